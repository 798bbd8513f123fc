//! What of a request is to stick to one target, so that the provider's prompt cache is met again: the conversation.
//!
//! Providers cache by the beginning of a prompt. So it is told by the client's own id of the conversation where there is one
//! (`useChat`'s chat, `prompt_cache_key`), else by what all turns of it begin with: the instructions and the user's first
//! words. The caller is part of it: two callers' equal prompts need not meet.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::model::ask::Ask;
use crate::model::chat::{Chat, Message, Role};
use crate::model::ids::CallerId;

/// Bytes of a prompt that are looked at, at the most: conversations that are alike so far may share a target.
const LOOKED_AT: usize = 16 * 1024;

/// The key of a conversation.
pub(super) fn key(caller: &CallerId, ask: &Ask) -> u64 {
    let mut hasher = DefaultHasher::new();
    (caller.to_string(), &ask.model).hash(&mut hasher);
    if let Some(chat) = ask.conversation.as_ref().and_then(|thread| thread.chat.as_ref()) {
        chat.hash(&mut hasher);
        return hasher.finish();
    }
    // Parsed for this alone it is not kept: a stream may run for long.
    match ask.chat.get().map_or_else(|| (ask.translate)(&ask.body), Clone::clone) {
        Ok(chat) => by_prompt(&chat, &mut hasher),
        Err(_) => ask.body.get(..LOOKED_AT.min(ask.body.len())).hash(&mut hasher),
    }
    hasher.finish()
}

fn by_prompt(chat: &Chat, hasher: &mut DefaultHasher) {
    if let Some(key) = &chat.cache_key {
        return key.hash(hasher);
    }
    let first = |role: Role| chat.messages.iter().find(|message| message.role == role);
    for message in [first(Role::System), first(Role::User)].into_iter().flatten() {
        spell(message, hasher);
    }
}

/// Feeds what a message says, as far as it is looked at.
fn spell(message: &Message, hasher: &mut DefaultHasher) {
    struct Feed<'a>(&'a mut DefaultHasher, usize);
    impl fmt::Write for Feed<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let taken = text.as_bytes().get(..self.1.min(text.len())).unwrap_or_default();
            self.0.write(taken);
            self.1 -= taken.len();
            if self.1 == 0 { Err(fmt::Error) } else { Ok(()) }
        }
    }
    // An error says that enough was fed.
    let _enough = write!(Feed(hasher, LOOKED_AT), "{:?}{:?}", message.role, message.parts);
}
