//! What a body of this shape may hold that no provider of this wire has made: thinking that other
//! wires have said in the same conversation. The API refuses it, so it is taken out; everything
//! else stays byte for byte what it was.

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape::Text;
use crate::codec::json::Fields;
use crate::model::opaque_signature::is_ours;

/// The body without foreign thinking; `None` where there is none in it.
pub(super) fn foreign(body: &Bytes) -> Option<Bytes> {
    // Nearly every body ends here.
    memmem::find(body, b"thinking\"")?;
    let fields = Fields::of(body).ok()?;
    let messages: Vec<&RawValue> = serde_json::from_str(fields.get("messages")?.get()).ok()?;
    let kept: Vec<Kept> = messages.iter().map(|message| of_message(message)).collect();
    if kept.iter().all(|kept| matches!(kept, Kept::All)) {
        return None;
    }
    let whole = messages
        .iter()
        .zip(&kept)
        .filter_map(|(message, kept)| match kept {
            Kept::All => Some(message.get().as_bytes()),
            Kept::Some(message) => Some(message),
            Kept::Nothing => None,
        });
    let list = [
        b"[".as_slice(),
        &whole.collect::<Vec<_>>().join(&b','),
        b"]",
    ]
    .concat();
    let list = String::from_utf8(list).ok()?;
    Some(fields.with(&[("messages", &list)]))
}

/// What is left of a message.
enum Kept {
    All,
    Some(Bytes),
    /// It said nothing but foreign thinking: the API takes no empty turns.
    Nothing,
}

fn of_message(message: &RawValue) -> Kept {
    let Ok(fields) = Fields::of(message.get().as_bytes()) else {
        return Kept::All;
    };
    let content = fields
        .get("content")
        .map(RawValue::get)
        .filter(|content| content.starts_with('['));
    let Some(Ok(blocks)) = content.map(serde_json::from_str::<Vec<&RawValue>>) else {
        return Kept::All;
    };
    let kept: Vec<&str> = blocks
        .iter()
        .filter(|block| !is_foreign(block))
        .map(|block| block.get())
        .collect();
    match kept.len() {
        all if all == blocks.len() => Kept::All,
        0 => Kept::Nothing,
        _ => Kept::Some(fields.with(&[("content", &format!("[{}]", kept.join(",")))])),
    }
}

/// True for thinking without a signature of this wire's.
fn is_foreign(block: &RawValue) -> bool {
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
    let signature = block.signature.as_ref().map_or("", Text::as_str);
    match block.kind.as_str() {
        "thinking" => signature.is_empty() || is_ours(signature),
        "redacted_thinking" => block.data.is_some_and(|data| is_ours(data.as_str())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(body: &str) -> Option<String> {
        foreign(&Bytes::copy_from_slice(body.as_bytes()))
            .map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn what_other_wires_have_thought_is_taken_out_and_nothing_else() {
        let body = r#"{ "model":"m", "messages":[ {"role":"user","content":"thinking\" "},
            {"role":"assistant", "content":[ {"type":"thinking","thinking":"a","signature":""}, {"type":"text", "text":"b"},
             {"type":"redacted_thinking","data":"sluicegate:gemini:e30"},{"type":"thinking","thinking":"c","signature":"S"}], "x":1},
            {"role":"assistant","content":[{"type":"thinking","thinking":"d","signature":"sluicegate:gemini:e30"}]},
            {"role":"user","content":[{"type":"text","text":"e"}]} ], "max_tokens":1.0 }"#;
        let expected = r#"{ "model":"m", "messages":[{"role":"user","content":"thinking\" "},{"role":"assistant", "content":[{"type":"text", "text":"b"},{"type":"thinking","thinking":"c","signature":"S"}], "x":1},{"role":"user","content":[{"type":"text","text":"e"}]}], "max_tokens":1.0 }"#;
        assert_eq!(stripped(body).as_deref(), Some(expected));
        assert_eq!(stripped(expected), None, "once is enough");
    }

    #[test]
    fn a_body_of_its_own_passes() {
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
