//! What stands on the wire: read from the frame as far as it is wanted, and leniently.
//!
//! A member is kept as the JSON it is, and looked into where its event needs it: what is of an
//! unexpected type counts as absent, and what nobody asks for is only read over. Nothing here
//! implements Debug: these are completions.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::wire::WireId;
use crate::wire::{DecodeError, utf16};

/// A member's JSON, if it is there and not null.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent, bound(deserialize = "'de: 'a"))]
pub(super) struct Json<'a>(Option<&'a RawValue>);

impl<'a> Json<'a> {
    /// Its text as it stands; empty where there is none.
    pub(super) fn raw(self) -> &'a str {
        self.0.map_or("", RawValue::get)
    }

    /// The JSON of a member.
    pub(super) fn of(json: &'a RawValue) -> Self {
        Self(Some(json))
    }

    /// True for a string, a list or an object that is not empty.
    pub(super) fn is_said(self) -> bool {
        matches!(self.raw().as_bytes(), [b'"' | b'[' | b'{', _, _, ..])
    }

    /// The string, borrowed where it holds no escapes. Halves of surrogate pairs become U+FFFD.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let json = self.raw();
        let inside = json.strip_prefix('"')?.strip_suffix('"')?;
        if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inside));
        }
        let mended = || serde_json::from_str(&utf16::replaced(json)?).ok();
        serde_json::from_str(json)
            .ok()
            .or_else(mended)
            .map(Cow::Owned)
    }

    /// The string, if it is not empty, as a slice of the `frame` it was read from wherever it can
    /// be one.
    pub(super) fn piece(self, frame: &ByteString) -> Option<ByteString> {
        match self.text().filter(|text| !text.is_empty())? {
            Cow::Borrowed(text) => Some(frame.slice_ref(text)),
            Cow::Owned(text) => Some(text.into()),
        }
    }

    /// The JSON as a slice of the `frame` it was read from.
    pub(super) fn slice(self, frame: &ByteString) -> ByteString {
        self.0
            .map_or_else(ByteString::new, |json| frame.slice_ref(json.get()))
    }

    /// The number, if it is whole and not negative. Some servers have no other numbers than `1.0`.
    pub(super) fn number(self) -> Option<u64> {
        self.raw().trim_end_matches(".0").parse().ok()
    }

    /// The items of a list.
    pub(super) fn list(self) -> Vec<Self> {
        self.read()
    }

    /// What an object holds.
    pub(super) fn read<T: Deserialize<'a> + Default>(self) -> T {
        serde_json::from_str(self.raw()).unwrap_or_default()
    }
}

/// One event of the stream.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Json<'a>,
    pub(super) output_index: Json<'a>,
    pub(super) content_index: Json<'a>,
    pub(super) summary_index: Json<'a>,
    pub(super) delta: Json<'a>,
    pub(super) logprobs: Json<'a>,
    pub(super) text: Json<'a>,
    pub(super) refusal: Json<'a>,
    pub(super) arguments: Json<'a>,
    pub(super) input: Json<'a>,
    pub(super) annotation: Json<'a>,
    pub(super) item: Json<'a>,
    pub(super) response: Json<'a>,
    pub(super) error: Json<'a>,
}

/// The response, as terminal events have it, and as a whole answer is.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Response<'a> {
    pub(super) status: Json<'a>,
    pub(super) error: Json<'a>,
    pub(super) incomplete_details: Json<'a>,
    pub(super) output: Json<'a>,
    pub(super) usage: Json<'a>,
}

/// `incomplete_details`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Incomplete<'a> {
    pub(super) reason: Json<'a>,
}

/// An item of the output.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Item<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Json<'a>,
    pub(super) id: Json<'a>,
    pub(super) call_id: Json<'a>,
    pub(super) name: Json<'a>,
    pub(super) arguments: Json<'a>,
    pub(super) input: Json<'a>,
    pub(super) content: Json<'a>,
    pub(super) summary: Json<'a>,
    pub(super) encrypted_content: Json<'a>,
}

/// A part of a message or of reasoning.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Part<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Json<'a>,
    pub(super) text: Json<'a>,
    pub(super) refusal: Json<'a>,
    pub(super) annotations: Json<'a>,
}

/// What can be read from an annotation of any kind.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Source<'a> {
    pub(super) url: Json<'a>,
    pub(super) title: Json<'a>,
    pub(super) filename: Json<'a>,
    pub(super) start_index: Json<'a>,
    pub(super) end_index: Json<'a>,
}

/// The error of something that this wire does not send.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::OpenaiResponses.name(),
        what: what.into(),
    }
}

/// Says where JSON cannot be read, and nothing of what it holds.
pub(super) fn broken(error: &serde_json::Error) -> DecodeError {
    malformed(format!(
        "the JSON breaks at line {} column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(json: &str) -> Event<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame = ByteString::from_static(
            r#"{"type":"x", "delta" : "plain é" ,"text":"a\n","refusal":""}"#,
        );
        let event = event(&frame);
        let piece = event.delta.piece(&frame).unwrap();
        assert_eq!(piece, "plain é");
        assert!(
            frame
                .as_bytes()
                .as_ptr_range()
                .contains(&piece.as_bytes().as_ptr())
        );
        assert_eq!(event.text.piece(&frame).unwrap(), "a\n");
        assert_eq!(
            (event.refusal.piece(&frame), event.input.piece(&frame)),
            (None, None)
        );
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        for (json, text) in [
            (r#"{"delta":"a\ud83db"}"#, "a\u{fffd}b"),
            (r#"{"delta":"\ud83d\ude00\u00e9"}"#, "😀é"),
        ] {
            assert_eq!(event(json).delta.text().unwrap(), text);
        }
    }

    #[test]
    fn other_types_count_as_absent() {
        let event = event(
            r#"{"type":1,"delta":{"a":"b"},"output_index":"0","content_index":-1,"item":[],"response":null}"#,
        );
        assert!(
            event.kind.text().is_none()
                && event.delta.text().is_none()
                && event.response.raw().is_empty()
        );
        assert_eq!(
            (event.output_index.number(), event.content_index.number()),
            (None, None)
        );
        assert!(event.delta.is_said() && !event.item.is_said() && event.delta.list().is_empty());
        assert!(event.item.read::<Item<'_>>().id.text().is_none());
    }

    #[test]
    fn errors_hold_no_content() {
        let Err(error) = serde_json::from_str::<Event<'_>>(r#"{"delta":"a secret"#) else {
            panic!("it is cut")
        };
        assert!(!broken(&error).to_string().contains("secret"));
    }
}
