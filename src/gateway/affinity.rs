//! The affinity key of a request: requests of one conversation have the same key and prefer the
//! same target, so that the provider's prompt cache is reused.
//!
//! Providers cache by the beginning of a prompt. So the key is made from the client's own id of the
//! conversation if there is one (`useChat`'s chat id, `prompt_cache_key`), otherwise from the part
//! that all turns share: the instructions and the first user message. The caller is part of the
//! key: equal prompts of two callers need not share a target.
//!
//! Invariant: the same request has the same key in every build and on every machine. Only the
//! content of the request is hashed, never the layout or the debug output of our types.

use crate::model::ask::Ask;
use crate::model::chat::{Chat, Message, Part, Role, Source};
use crate::model::ids::CallerId;
use crate::route::StableHash;

/// Maximum number of bytes of a message that are hashed. Conversations that agree so far may share
/// a target.
const MAX_HASHED: usize = 16 * 1024;

/// Returns the affinity key of a request.
pub(super) fn key(caller: &CallerId, ask: &Ask) -> u64 {
    let mut key = StableHash::default();
    key.field(caller.to_string());
    key.field(&ask.head.model);
    if let Some(chat) = ask
        .head
        .conversation
        .as_ref()
        .and_then(|thread| thread.chat.as_ref())
    {
        key.field("chat");
        key.field(chat);
        return key.hash();
    }
    // A chat parsed only for the key is dropped: a stream may run for long, and would hold it.
    let parsed = if ask.chat.get().is_none() {
        Some((ask.translate)(&ask.body))
    } else {
        None
    };
    match ask.chat.get().or(parsed.as_ref()) {
        Some(Ok(chat)) => add_prompt(chat, &mut key),
        // A body that cannot be parsed still gets a stable key.
        _ => {
            key.field("body");
            key.field(prefix(&ask.body, MAX_HASHED));
        }
    }
    key.hash()
}

fn add_prompt(chat: &Chat, key: &mut StableHash) {
    // The client's own cache key names the conversation; the content may then differ.
    if let Some(name) = &chat.cache_key {
        key.field("cache_key");
        return key.field(name);
    }
    // Only the first message of each role: later turns must not change the key.
    for (name, role) in [("system", Role::System), ("user", Role::User)] {
        if let Some(message) = chat.messages.iter().find(|message| message.role == role) {
            key.field(name);
            add_message(message, key);
        }
    }
}

/// Adds the content of a message to the key, up to the bound.
fn add_message(message: &Message, key: &mut StableHash) {
    let mut left = MAX_HASHED;
    for (kind, content) in message.parts.iter().filter_map(part_content) {
        let taken = prefix(content.as_bytes(), left);
        key.field(kind);
        key.field(taken);
        left -= taken.len();
        if left == 0 {
            return;
        }
    }
}

fn prefix(bytes: &[u8], max: usize) -> &[u8] {
    bytes.get(..max).unwrap_or(bytes)
}

/// Returns the kind and the content of a part. Cache marks are skipped: clients move them from turn
/// to turn, and the key must not change with them.
fn part_content(part: &Part) -> Option<(&'static str, &str)> {
    Some(match part {
        Part::Text(text) => ("text", text),
        Part::Image { source, .. } => ("image", source_text(source)),
        Part::File { source, .. } => ("file", source_text(source)),
        Part::Audio { data, .. } => ("audio", data),
        Part::Reasoning(reasoning) => ("reasoning", &reasoning.text),
        Part::Refusal(text) => ("refusal", text),
        Part::ToolCall(call) => ("call", &call.id),
        Part::ToolResult(result) => ("result", &result.id),
        Part::CacheMark(_) => return None,
    })
}

fn source_text(source: &Source) -> &str {
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

    fn key_of(dialect: DialectId, body: &Value) -> u64 {
        let ask = dialect::of(dialect)
            .parse(&HeaderMap::new(), Bytes::from(body.to_string()))
            .unwrap();
        key(&CallerId::Key("web".into()), &ask)
    }

    fn chat(messages: &Value) -> u64 {
        key_of(
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
    fn the_key_is_stable() {
        // The first eight bytes of the SHA-256 of: web, smart, system, text, Be brief., user, text,
        // Hello, each after its length in eight bytes. Another value here would move all
        // conversations of a fleet while it is being updated.
        assert_eq!(
            chat(&json!([system(), user("Hello")])),
            0x01b9_fb17_2239_ebb8
        );
    }

    #[test]
    fn later_turns_have_the_same_key() {
        let first = chat(&json!([system(), user("Hello")]));
        let answer = json!({"role": "assistant", "content": "Hi."});
        assert_eq!(
            chat(&json!([system(), user("Hello"), answer, user("And now?")])),
            first
        );
        assert_ne!(chat(&json!([system(), user("Hello!")])), first);
        assert_ne!(chat(&json!([user("Hello")])), first);
        let other = json!({"model": "quick", "messages": [system(), user("Hello")]});
        assert_ne!(key_of(DialectId::OpenaiChat, &other), first);
    }

    #[test]
    fn all_dialects_have_the_same_key_for_the_same_content() {
        let first = chat(&json!([system(), user("Hello")]));
        let messages = json!({"model": "smart", "max_tokens": 9, "system": "Be brief.", "messages": [user("Hello")]});
        assert_eq!(key_of(DialectId::Anthropic, &messages), first);
        let responses = json!({"model": "smart", "instructions": "Be brief.", "input": "Hello"});
        assert_eq!(key_of(DialectId::OpenaiResponses, &responses), first);
    }

    #[test]
    fn moving_a_cache_mark_does_not_change_the_key() {
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
            key_of(DialectId::Anthropic, &body(json!([turn("Hello", true)]))),
            key_of(
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
    fn images_are_hashed_and_bytes_past_the_bound_are_not() {
        let image = |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
        assert_ne!(
            chat(&image("https://a.example/1.png")),
            chat(&image("https://a.example/2.png"))
        );
        let long = |end: &str| chat(&json!([user(&("é".repeat(MAX_HASHED / 2) + end))]));
        assert_eq!(long("a"), long("b"));
        assert_ne!(
            long("a"),
            chat(&json!([user(&"é".repeat(MAX_HASHED / 2 - 1))]))
        );
    }

    #[test]
    fn a_conversation_id_takes_precedence_over_content() {
        let named = |content: &str, key: &str| json!({"model": "smart", "messages": [user(content)], "prompt_cache_key": key});
        assert_eq!(
            key_of(DialectId::OpenaiChat, &named("a", "k")),
            key_of(DialectId::OpenaiChat, &named("b", "k"))
        );
        assert_ne!(
            key_of(DialectId::OpenaiChat, &named("a", "k")),
            key_of(DialectId::OpenaiChat, &named("a", "l"))
        );
    }
}
