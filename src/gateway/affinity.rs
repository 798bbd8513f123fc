//! What of a request is to stick to one target, so that the provider's prompt cache is met again:
//! the conversation.
//!
//! Providers cache by the beginning of a prompt. So it is told by the client's own id of the
//! conversation where there is one (`useChat`'s chat, `prompt_cache_key`), else by what all turns
//! of it begin with: the instructions and the user's first words. The caller is part of it: two
//! callers' equal prompts need not meet.
//!
//! Invariant: the same request has the same key in every build and on every machine. Only what it
//! says goes in, never how our types are laid out or printed.

use crate::model::ask::Ask;
use crate::model::chat::{Chat, Message, Part, Role, Source};
use crate::model::ids::CallerId;
use crate::route::Stable;

/// Bytes of a message that are looked at, at the most: conversations that are alike so far may
/// share a target.
const LOOKED_AT: usize = 16 * 1024;

/// The key of a conversation.
pub(super) fn key(caller: &CallerId, ask: &Ask) -> u64 {
    let mut key = Stable::default();
    key.field(caller.to_string());
    key.field(&ask.model);
    if let Some(chat) = ask
        .conversation
        .as_ref()
        .and_then(|thread| thread.chat.as_ref())
    {
        key.field("chat");
        key.field(chat);
        return key.hash();
    }
    // Parsed for this alone it is not kept: a stream may run for long.
    let parsed = if ask.chat.get().is_none() {
        Some((ask.translate)(&ask.body))
    } else {
        None
    };
    match ask.chat.get().or(parsed.as_ref()) {
        Some(Ok(chat)) => by_prompt(chat, &mut key),
        _ => {
            key.field("body");
            key.field(beginning(&ask.body, LOOKED_AT));
        }
    }
    key.hash()
}

fn by_prompt(chat: &Chat, key: &mut Stable) {
    if let Some(name) = &chat.cache_key {
        key.field("cache_key");
        return key.field(name);
    }
    for (name, role) in [("system", Role::System), ("user", Role::User)] {
        if let Some(message) = chat.messages.iter().find(|message| message.role == role) {
            key.field(name);
            spell(message, key);
        }
    }
}

/// Adds what a message says, as far as it is looked at.
fn spell(message: &Message, key: &mut Stable) {
    let mut left = LOOKED_AT;
    for (kind, content) in message.parts.iter().filter_map(said) {
        let taken = beginning(content.as_bytes(), left);
        key.field(kind);
        key.field(taken);
        left -= taken.len();
        if left == 0 {
            return;
        }
    }
}

fn beginning(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..most).unwrap_or(bytes)
}

/// What a part is and says. Marks of the cache say nothing: clients move them along from turn to
/// turn.
fn said(part: &Part) -> Option<(&'static str, &str)> {
    Some(match part {
        Part::Text(text) => ("text", text),
        Part::Image { source, .. } => ("image", place(source)),
        Part::File { source, .. } => ("file", place(source)),
        Part::Audio { data, .. } => ("audio", data),
        Part::Reasoning(reasoning) => ("reasoning", &reasoning.text),
        Part::Refusal(text) => ("refusal", text),
        Part::ToolCall(call) => ("call", &call.id),
        Part::ToolResult(result) => ("result", &result.id),
        Part::CacheMark(_) => return None,
    })
}

fn place(source: &Source) -> &str {
    match source {
        Source::Url(text) | Source::Data { base64: text, .. } | Source::FileId(text) => text,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::dialect;
    use crate::model::wire::DialectId;

    fn of(dialect: DialectId, body: &Value) -> u64 {
        let ask = dialect::of(dialect)
            .parse(&HeaderMap::new(), Bytes::from(body.to_string()))
            .unwrap();
        key(&CallerId::Key("web".into()), &ask)
    }

    fn chat(messages: &Value) -> u64 {
        of(
            DialectId::OpenaiChat,
            &json!({"model": "smart", "messages": messages}),
        )
    }

    fn system() -> Value {
        json!({"role": "system", "content": "Be brief."})
    }

    fn user(content: &str) -> Value {
        json!({"role": "user", "content": content})
    }

    #[test]
    fn it_is_pinned() {
        // The first eight bytes of the SHA-256 of each of: web, smart, system, text, Be brief.,
        // user, text, Hello behind its length in eight bytes. Another value here moves all
        // conversations of a fleet that is being updated.
        assert_eq!(
            chat(&json!([system(), user("Hello")])),
            0x01b9_fb17_2239_ebb8
        );
    }

    #[test]
    fn further_turns_have_the_same_key() {
        let first = chat(&json!([system(), user("Hello")]));
        let answer = json!({"role": "assistant", "content": "Hi."});
        assert_eq!(
            chat(&json!([system(), user("Hello"), answer, user("And now?")])),
            first
        );
        assert_ne!(chat(&json!([system(), user("Hello!")])), first);
        assert_ne!(chat(&json!([user("Hello")])), first);
        let other = json!({"model": "quick", "messages": [system(), user("Hello")]});
        assert_ne!(of(DialectId::OpenaiChat, &other), first);
    }

    #[test]
    fn every_dialect_has_the_same_key_for_the_same_words() {
        let first = chat(&json!([system(), user("Hello")]));
        let messages = json!({"model": "smart", "max_tokens": 9, "system": "Be brief.", "messages": [user("Hello")]});
        assert_eq!(of(DialectId::Anthropic, &messages), first);
        let responses = json!({"model": "smart", "instructions": "Be brief.", "input": "Hello"});
        assert_eq!(of(DialectId::OpenaiResponses, &responses), first);
    }

    #[test]
    fn a_cache_mark_that_moves_along_changes_nothing() {
        let turn = |text: &str, marked: bool| {
            let mut block = json!({"type": "text", "text": text});
            if marked {
                block["cache_control"] = json!({"type": "ephemeral"});
            }
            json!({"role": "user", "content": [block]})
        };
        let body =
            |messages: Value| json!({"model": "smart", "max_tokens": 9, "messages": messages});
        let answer = json!({"role": "assistant", "content": "Hi."});
        assert_eq!(
            of(DialectId::Anthropic, &body(json!([turn("Hello", true)]))),
            of(
                DialectId::Anthropic,
                &body(json!([
                    turn("Hello", false),
                    answer,
                    turn("And now?", true)
                ]))
            )
        );
    }

    #[test]
    fn pictures_count_and_what_is_beyond_the_bound_does_not() {
        let picture = |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
        assert_ne!(
            chat(&picture("https://a.example/1.png")),
            chat(&picture("https://a.example/2.png"))
        );
        let long = |end: &str| chat(&json!([user(&("é".repeat(LOOKED_AT / 2) + end))]));
        assert_eq!(long("a"), long("b"));
        assert_ne!(
            long("a"),
            chat(&json!([user(&"é".repeat(LOOKED_AT / 2 - 1))]))
        );
    }

    #[test]
    fn ids_of_conversations_come_before_their_words() {
        let named = |words: &str, key: &str| json!({"model": "smart", "messages": [user(words)], "prompt_cache_key": key});
        assert_eq!(
            of(DialectId::OpenaiChat, &named("a", "k")),
            of(DialectId::OpenaiChat, &named("b", "k"))
        );
        assert_ne!(
            of(DialectId::OpenaiChat, &named("a", "k")),
            of(DialectId::OpenaiChat, &named("a", "l"))
        );
    }
}
