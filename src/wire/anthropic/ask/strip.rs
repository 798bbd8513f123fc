//! Removes thinking that other wires made from a request body of this shape.
//!
//! A conversation may contain thinking of an earlier answer that came over another wire. The API
//! rejects it, so it is removed; every other byte stays unchanged.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::codec::lenient::Text;
use crate::model::opaque_signature::is_opaque_signature;

/// Returns the body without foreign thinking, or `None` if it contains none.
pub(super) fn without_foreign_thinking(body: &Bytes) -> Option<Bytes> {
    // A cheap search that spares parsing: nearly every body contains no thinking.
    memmem::find(body, b"thinking\"")?;
    let fields = Fields::parse(body).ok()?;
    let messages: Vec<&RawValue> = serde_json::from_str(fields.get("messages")?.get()).ok()?;
    let kept: Vec<Stripped> = messages
        .iter()
        .map(|message| strip_message(message))
        .collect();
    // `None` lets the caller send the client's own bytes.
    if kept.iter().all(|kept| matches!(kept, Stripped::Unchanged)) {
        return None;
    }
    let whole = messages
        .iter()
        .zip(&kept)
        .filter_map(|(message, kept)| match kept {
            Stripped::Unchanged => Some(message.get().as_bytes()),
            Stripped::Changed(message) => Some(message),
            Stripped::Dropped => None,
        });
    // The list is joined from slices of the body, so kept messages stay byte for byte the same.
    let list = [
        b"[".as_slice(),
        &whole.collect::<Vec<_>>().join(&b','),
        b"]",
    ]
    .concat();
    let list = String::from_utf8(list).ok()?;
    Some(fields.with(&[("messages", &list)]))
}

/// Result of removing foreign thinking from one message.
enum Stripped {
    Unchanged,
    Changed(Bytes),
    /// The message held only foreign thinking: the API rejects empty turns, so it is dropped.
    Dropped,
}

fn strip_message(message: &RawValue) -> Stripped {
    // A message in an unexpected shape stays unchanged: it is for the provider to judge.
    let Ok(fields) = Fields::parse(message.get().as_bytes()) else {
        return Stripped::Unchanged;
    };
    // Content that is a plain string holds no blocks.
    let content = fields
        .get("content")
        .map(RawValue::get)
        .filter(|content| content.starts_with('['));
    let Some(Ok(blocks)) = content.map(serde_json::from_str::<Vec<&RawValue>>) else {
        return Stripped::Unchanged;
    };
    let kept: Vec<&str> = blocks
        .iter()
        .filter(|block| !is_foreign_thinking(block))
        .map(|block| block.get())
        .collect();
    match kept.len() {
        all if all == blocks.len() => Stripped::Unchanged,
        0 => Stripped::Dropped,
        _ => Stripped::Changed(fields.with(&[("content", &format!("[{}]", kept.join(",")))])),
    }
}

/// True for a thinking block that has no signature of this wire.
fn is_foreign_thinking(block: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Thinking<'a> {
        #[serde(borrow, rename = "type")]
        kind: Text<'a>,
        #[serde(borrow)]
        signature: Option<Text<'a>>,
        #[serde(borrow)]
        data: Option<Text<'a>>,
    }
    let Ok(block) = serde_json::from_str::<Thinking<'_>>(block.get()) else {
        return false;
    };
    // Thinking of other wires was sent to the client unsigned or with a signature made here.
    let signature = block.signature.as_ref().map_or("", Text::as_str);
    match block.kind.as_str() {
        "thinking" => signature.is_empty() || is_opaque_signature(signature),
        "redacted_thinking" => block
            .data
            .is_some_and(|data| is_opaque_signature(data.as_str())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(body: &str) -> Option<String> {
        without_foreign_thinking(&Bytes::copy_from_slice(body.as_bytes()))
            .map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn only_thinking_of_other_wires_is_removed() {
        let body = r#"{ "model":"m", "messages":[ {"role":"user","content":"thinking\" "},
            {"role":"assistant", "content":[ {"type":"thinking","thinking":"a","signature":""}, {"type":"text", "text":"b"},
             {"type":"redacted_thinking","data":"sluicegate:gemini:e30"},{"type":"thinking","thinking":"c","signature":"S"}], "x":1},
            {"role":"assistant","content":[{"type":"thinking","thinking":"d","signature":"sluicegate:gemini:e30"}]},
            {"role":"user","content":[{"type":"text","text":"e"}]} ], "max_tokens":1.0 }"#;
        let expected = r#"{ "model":"m", "messages":[{"role":"user","content":"thinking\" "},{"role":"assistant", "content":[{"type":"text", "text":"b"},{"type":"thinking","thinking":"c","signature":"S"}], "x":1},{"role":"user","content":[{"type":"text","text":"e"}]}], "max_tokens":1.0 }"#;
        assert_eq!(stripped(body).as_deref(), Some(expected));
        assert_eq!(stripped(expected), None, "nothing is left to remove");
    }

    #[test]
    fn a_body_without_foreign_thinking_is_unchanged() {
        for body in [
            r#"{"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"S"},{"type":"redacted_thinking","data":"D"}]}]}"#,
            r#"{"thinking":{"type":"adaptive"},"messages":[{"role":"user","content":[{"type":"text","text":"sluicegate:"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"thinking","signature":""}]}]}]}"#,
            r#"{"thinking":1,"messages":7}"#,
            "thinking\"",
        ] {
            assert_eq!(stripped(body), None, "{body}");
        }
    }
}
