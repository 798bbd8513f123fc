//! What stands on the wire, as serde reads it: borrowed from the frame, and lenient about what is missing.
//!
//! Nothing here implements Debug: these are completions.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use crate::model::event::Reason;
use crate::model::wire::Wire;
use crate::provider::DecodeError;

/// A string, borrowed where it holds no escapes. Halves of surrogate pairs become U+FFFD.
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The string as a slice of the `frame` it was read from, wherever it can be one.
    pub(super) fn of(&self, frame: &ByteString) -> ByteString {
        match &self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.as_str().into(),
        }
    }

    /// The string.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// Read as bytes: serde_json refuses half a surrogate pair in a `str`, and models do break characters apart.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_bytes(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(std::str::from_utf8(bytes).map_or_else(|_| Cow::Owned(mended(bytes)), Cow::Borrowed))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(std::str::from_utf8(bytes).map_or_else(|_| mended(bytes), str::to_owned)))
    }
}

/// The text with one U+FFFD for each half of a surrogate pair, which serde_json hands out as three bytes from 0xED on.
fn mended(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if chunk.invalid().first() == Some(&0xed) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

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

/// The error of something that serde could not read: its own words could hold pieces of the answer.
pub(super) fn misfit(what: &str, error: &serde_json::Error) -> DecodeError {
    use serde_json::error::Category;
    let how = match error.classify() {
        Category::Data => "has another shape than expected",
        Category::Syntax | Category::Eof | Category::Io => "is not valid JSON",
    };
    malformed(format!("{what} {how}, at line {} column {}", error.line(), error.column()))
}

/// The error of something that this wire does not send.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed { wire: Wire::Anthropic.name(), what: what.into() }
}

/// What a `stop_reason` means. What is newer than this is taken for a proper end, as its native word is told as well.
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
    use super::*;

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame = ByteString::from_static(r#"{"type":"x","delta":{"text":"plain é","thinking":"a\nb"}}"#);
        let envelope: Envelope<'_> = read(&frame, "frame").ok().unwrap();
        let delta = envelope.delta.unwrap();
        let text = delta.text.unwrap().of(&frame);
        assert_eq!(text, "plain é");
        assert!(frame.as_bytes().as_ptr_range().contains(&text.as_bytes().as_ptr()));
        assert_eq!(delta.thinking.unwrap().of(&frame), "a\nb");
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        let read = |json| serde_json::from_str::<Text<'_>>(json).map(|text| text.as_str().to_owned());
        assert_eq!(read(r#""a\ud83db""#).unwrap(), "a\u{fffd}b");
        assert_eq!(read(r#""\ude00\ud83d""#).unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(read(r#""\ud83d\ude00\u00e9""#).unwrap(), "😀é");
        assert!(read("1").is_err());
    }

    #[test]
    fn errors_hold_no_content() {
        let Err(error) = read::<Envelope<'_>>(r#"{"index":"a secret"}"#, "a frame") else { panic!("an index is a number") };
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.to_string().contains("column"), "{error}");
    }
}
