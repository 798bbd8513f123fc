//! The JSON shapes of this wire for serde: borrowed from the frame, with every field optional.
//!
//! No type here implements `Debug`: the values are completions, which must not reach a log.

use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use crate::codec::lenient::Text;
use crate::codec::lenient::{Index, RawList};
use crate::model::event::Reason;
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// One event of the stream.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) index: Option<Index>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow)]
    // Kept as JSON: a block of an unknown type is carried unchanged.
    pub(super) content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The delta of a content block, or of the message (`message_delta`).
#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) partial_json: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) citation: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_details: Option<&'a RawValue>,
}

/// An event whose delta is kept as JSON, because its type has no normalized form.
#[derive(Deserialize)]
pub(super) struct RawDelta<'a> {
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
}

/// Any object with a `type`.
#[derive(Deserialize)]
pub(super) struct Tagged<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
}

/// A content block of a type that has a normalized form.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) citations: RawList<'a>,
    #[serde(borrow)]
    pub(super) thinking: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) signature: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// The message in `message_start`, and a whole answer.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) content: Option<RawList<'a>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_details: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The details of the stop reason `refusal`.
#[derive(Deserialize)]
pub(super) struct StopDetails<'a> {
    #[serde(borrow)]
    pub(super) explanation: Option<Text<'a>>,
}

/// The fields read from a citation of any type.
#[derive(Deserialize)]
pub(super) struct CitationFields<'a> {
    #[serde(borrow)]
    pub(super) url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) source: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) document_title: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) cited_text: Option<Text<'a>>,
}

/// Parses `json`; `part` names the piece of the stream in an error.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str, part: &str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| unreadable(part, &error))
}

/// Returns the error for JSON that serde could not read.
pub(super) fn unreadable(part: &str, error: &serde_json::Error) -> DecodeError {
    DecodeError::unreadable(WireId::Anthropic, part, error)
}

/// Returns the error for a payload that this wire does not send.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::malformed(WireId::Anthropic, what)
}

/// Normalizes a `stop_reason`. One that is newer than this code counts as a normal stop, because
/// the client receives the native reason as well.
pub(super) fn finish_reason(native: &str) -> Reason {
    match native {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::ToolCalls,
        "refusal" => Reason::ContentFilter,
        // Also `pause_turn` and `compaction`, which have no normalized form.
        _ => Reason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_contain_no_content() {
        let Err(error) = read::<Envelope<'_>>(r#"{"index":"a secret"}"#, "a frame") else {
            panic!("an index is a number")
        };
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.to_string().contains("column"), "{error}");
    }
}
