//! Takes out of a body that goes on as it came what this gateway itself has put there: the words
//! and signatures of another wire's reasoning, which clients bring back in `reasoning_content` and
//! `reasoning_details[]`. Strict servers refuse what they do not know, and nobody's reasoning is
//! another provider's business.
//!
//! Invariant: only messages are touched whose details carry the marks of this gateway (a `range`,
//! and the `format` of another wire); everything else stays byte for byte.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::json::Fields;

/// The format of what a server of this wire has said itself.
const OWN: &str = "openai-chat";
/// The members of a message in which reasoning is brought back.
const MEMBERS: [&str; 3] = ["reasoning_details", "reasoning_content", "reasoning"];

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    format: Option<std::borrow::Cow<'a, str>>,
    range: Option<serde::de::IgnoredAny>,
}

/// The body's `messages` without another wire's reasoning, as JSON; `None` where there is none in
/// them.
pub(super) fn taken_out(fields: &Fields<'_>) -> Option<String> {
    let messages = fields.get("messages")?.get();
    memmem::find(messages.as_bytes(), b"\"reasoning_details\"")?;
    let all: Vec<&RawValue> = serde_json::from_str(messages).ok()?;
    let changed: Vec<Option<Bytes>> = all.iter().map(|message| without(message)).collect();
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

/// The message without its reasoning, where that is another wire's.
fn without(message: &RawValue) -> Option<Bytes> {
    let fields = Fields::of(message.get().as_bytes()).ok()?;
    let items: Vec<Item<'_>> = serde_json::from_str(fields.get(MEMBERS[0])?.get()).ok()?;
    let foreign = |item: &Item<'_>| {
        item.range.is_some() && item.format.as_deref().is_some_and(|format| format != OWN)
    };
    items.iter().any(foreign).then(|| {
        MEMBERS.iter().fold(
            Bytes::copy_from_slice(message.get().as_bytes()),
            |bytes, member| {
                let shorter = Fields::of(&bytes)
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

    fn of(messages: &str) -> Option<String> {
        taken_out(&Fields::of(format!("{{\"messages\":{messages}}}").as_bytes()).unwrap())
    }

    #[test]
    fn what_this_gateway_has_spelled_of_another_wire_is_taken_out() {
        let item = r#"{"type":"reasoning.text","signature":"s","format":"anthropic-claude-v1","index":0,"range":[0,2]}"#;
        let messages = format!(
            r#"[{{"role":"user","content":1.0}},{{"reasoning_content":"hm", "role":"assistant","reasoning_details":[{item}],"x": 1e2}}]"#
        );
        assert_eq!(
            of(&messages).unwrap(),
            r#"[{"role":"user","content":1.0},{ "role":"assistant","x": 1e2}]"#
        );
    }

    #[test]
    fn what_others_have_said_stays() {
        for messages in [
            r#"[{"role":"assistant","reasoning_content":"hm"}]"#,
            r#"[{"role":"assistant","reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","format":"anthropic-claude-v1"}]}]"#,
            r#"[{"role":"assistant","reasoning_content":"hm","reasoning_details":[{"format":"openai-chat","range":[0,2]}]}]"#,
            r#"[{"role":"assistant","reasoning_details":[]},{"role":"assistant","reasoning_details":{}},7]"#,
            r#""reasoning_details""#,
            r#"{"reasoning_details":[]}"#,
        ] {
            assert_eq!(of(messages), None, "{messages}");
        }
        assert_eq!(taken_out(&Fields::of(b"{}").unwrap()), None);
    }
}
