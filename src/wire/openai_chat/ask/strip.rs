//! Removes another wire's reasoning from a body that is otherwise forwarded unchanged.
//!
//! This gateway writes the text and the signatures of that reasoning into its answers, and clients
//! send them back in `reasoning_content` and `reasoning_details[]`. Strict servers reject unknown
//! members, and one provider's reasoning must not reach another provider.
//!
//! Invariant: only messages whose details carry this gateway's marks (a `range`, and the `format`
//! of another wire) are changed; everything else stays byte for byte.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::json::Fields;

/// The `format` of reasoning that a server of this wire made.
const OWN_FORMAT: &str = "openai-chat";
/// The members of a message that contain past reasoning.
const REASONING_MEMBERS: [&str; 3] = ["reasoning_details", "reasoning_content", "reasoning"];

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    format: Option<std::borrow::Cow<'a, str>>,
    range: Option<serde::de::IgnoredAny>,
}

/// Returns the body's `messages` without another wire's reasoning, as JSON, or `None` if they
/// contain none.
pub(super) fn without_foreign_reasoning(fields: &Fields<'_>) -> Option<String> {
    let messages = fields.get("messages")?.get();
    // Most bodies have no details. This search spares them the parsing of all messages.
    memmem::find(messages.as_bytes(), b"\"reasoning_details\"")?;
    let all: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let changed: Vec<Option<Bytes>> = all
        .iter()
        .map(|message| without_reasoning(message))
        .collect();
    changed.iter().any(Option::is_some).then(|| {
        let texts = all
            .iter()
            .zip(&changed)
            .map(|(message, changed)| match changed {
                Some(bytes) => String::from_utf8_lossy(bytes),
                None => message.get().into(),
            });
        format!("[{}]", texts.collect::<Vec<_>>().join(","))
    })
}

/// Returns the message without its reasoning, or `None` if no other wire made it.
fn without_reasoning(message: &RawValue) -> Option<Bytes> {
    let fields = Fields::parse(message.get().as_bytes()).ok()?;
    let items: Vec<Item<'_>> =
        serde_json::from_str(fields.get(REASONING_MEMBERS[0])?.get()).ok()?;
    let foreign = |item: &Item<'_>| {
        item.range.is_some()
            && item
                .format
                .as_deref()
                .is_some_and(|format| format != OWN_FORMAT)
    };
    items.iter().any(foreign).then(|| {
        // Each removal moves the other members, so the fields are located again every time.
        REASONING_MEMBERS.iter().fold(
            Bytes::copy_from_slice(message.get().as_bytes()),
            |bytes, member| {
                let shorter = Fields::parse(&bytes)
                    .ok()
                    .filter(|fields| fields.get(member).is_some())
                    .map(|fields| fields.without(member));
                shorter.unwrap_or(bytes)
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(messages: &str) -> Option<String> {
        without_foreign_reasoning(
            &Fields::parse(format!("{{\"messages\":{messages}}}").as_bytes()).unwrap(),
        )
    }

    #[test]
    fn another_wires_reasoning_is_removed() {
        let item = r#"{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1","index":0,"range":[0,2]}"#;
        let messages = format!(
            r#"[{{"role":"user","content":1.0}},{{"reasoning_content":"hm", "role":"assistant","reasoning_details":[{item}],"x": 1e2}}]"#
        );
        assert_eq!(
            cleaned(&messages).unwrap(),
            r#"[{"role":"user","content":1.0},{ "role":"assistant","x": 1e2}]"#
        );
    }

    #[test]
    fn other_reasoning_is_kept() {
        for messages in [
            r#"[{"role":"assistant","reasoning_content":"hm"}]"#,
            r#"[{"role":"assistant","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"anthropic-claude-v1"}]}]"#,
            r#"[{"role":"assistant","reasoning_content":"hm","reasoning_details":[{"format":"openai-chat","range":[0,2]}]}]"#,
            r#"[{"role":"assistant","reasoning_details":[]},{"role":"assistant","reasoning_details":{}},7]"#,
            r#""reasoning_details""#,
            r#"{"reasoning_details":[]}"#,
        ] {
            assert_eq!(cleaned(messages), None, "{messages}");
        }
        assert_eq!(
            without_foreign_reasoning(&Fields::parse(b"{}").unwrap()),
            None
        );
    }
}
