//! What stands on the wire, as serde reads it: borrowed from the frame, and lenient about what is
//! missing.
//!
//! Nothing here implements Debug: these are completions.

use serde::Deserialize;
use serde_json::value::RawValue;

pub(super) use crate::codec::text::Text;
use crate::model::event::Reason;
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// One event of the stream.
#[derive(Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow)]
    pub(super) content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// The delta of a content block, or of the message.
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

/// An event whose delta does not fit [`Delta`]: a kind that is newer than this, perhaps.
#[derive(Deserialize)]
pub(super) struct Odd<'a> {
    #[serde(borrow)]
    pub(super) delta: Option<&'a RawValue>,
}

/// Anything with a type.
#[derive(Deserialize)]
pub(super) struct Tagged<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
}

/// A content block of one of the kinds that have a normalized form.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow)]
    pub(super) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) citations: Option<Vec<&'a RawValue>>,
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

/// The message of `message_start`, and a whole answer.
#[derive(Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) content: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_details: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) usage: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) error: Option<&'a RawValue>,
}

/// What a refusal says of itself.
#[derive(Deserialize)]
pub(super) struct StopDetails<'a> {
    #[serde(borrow)]
    pub(super) explanation: Option<Text<'a>>,
}

/// What can be read from a citation of any kind.
#[derive(Deserialize)]
pub(super) struct Source<'a> {
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

/// Reads `json`; `what` says in an error which part of the stream it is.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a str, what: &str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| misfit(what, &error))
}

/// The error of something that serde could not read.
pub(super) fn misfit(what: &str, error: &serde_json::Error) -> DecodeError {
    DecodeError::unreadable(WireId::Anthropic, what, error)
}

/// The error of something that this wire does not send.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::malformed(WireId::Anthropic, what)
}

/// What a `stop_reason` means. What is newer than this is taken for a proper end, as its native
/// word is told as well.
pub(super) fn reason(native: &str) -> Reason {
    match native {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::ToolCalls,
        "refusal" => Reason::ContentFilter,
        _ => Reason::Stop,
    }
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;

    use super::*;

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame =
            ByteString::from_static(r#"{"type":"x","delta":{"text":"plain é","thinking":"a\nb"}}"#);
        let envelope: Envelope<'_> = read(&frame, "frame").ok().unwrap();
        let delta = envelope.delta.unwrap();
        let text = delta.text.unwrap().of(&frame);
        assert_eq!(text, "plain é");
        assert!(
            frame
                .as_bytes()
                .as_ptr_range()
                .contains(&text.as_bytes().as_ptr())
        );
        assert_eq!(delta.thinking.unwrap().of(&frame), "a\nb");
    }

    #[test]
    fn errors_hold_no_content() {
        let Err(error) = read::<Envelope<'_>>(r#"{"index":"a secret"}"#, "a frame") else {
            panic!("an index is a number")
        };
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.to_string().contains("column"), "{error}");
    }
}
