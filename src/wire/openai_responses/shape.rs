//! The JSON objects of the wire, read leniently and only as far as needed.
//!
//! A member is kept as raw JSON and parsed when its event needs it. A member of an unexpected type
//! counts as absent, and unused members are skipped. Nothing here implements `Debug`, because these
//! are completions.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::wire::WireId;
use crate::wire::{DecodeError, utf16};

/// The JSON of a member, if it is present and not null.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent, bound(deserialize = "'de: 'a"))]
pub(super) struct Json<'a>(Option<&'a RawValue>);

impl<'a> Json<'a> {
    /// Returns the JSON text; empty if the member is absent.
    pub(super) fn raw(self) -> &'a str {
        self.0.map_or("", RawValue::get)
    }

    /// Wraps the JSON of a member.
    pub(super) fn new(json: &'a RawValue) -> Self {
        Self(Some(json))
    }

    /// Returns true for a string, list or object that is not empty.
    pub(super) fn is_non_empty(self) -> bool {
        // Two bytes are the delimiters of an empty value.
        matches!(self.raw().as_bytes(), [b'"' | b'[' | b'{', _, _, ..])
    }

    /// Returns the string, borrowed if it contains no escapes. Lone surrogates become U+FFFD.
    pub(super) fn text(self) -> Option<Cow<'a, str>> {
        let json = self.raw();
        let inside = json.strip_prefix('"')?.strip_suffix('"')?;
        // The common case: without escapes, the content of the literal is the string itself.
        if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inside));
        }
        // serde_json rejects lone surrogates, which servers emit when they cut inside a pair.
        let repaired = || serde_json::from_str(&utf16::replace_lone_surrogates(json)?).ok();
        serde_json::from_str(json)
            .ok()
            .or_else(repaired)
            .map(Cow::Owned)
    }

    /// Returns the string, if it is not empty: as a slice of the `frame` it was read from if it
    /// contains no escapes.
    pub(super) fn piece(self, frame: &ByteString) -> Option<ByteString> {
        match self.text().filter(|text| !text.is_empty())? {
            Cow::Borrowed(text) => Some(frame.slice_ref(text)),
            Cow::Owned(text) => Some(text.into()),
        }
    }

    /// Returns the JSON as a slice of the `frame` it was read from.
    pub(super) fn slice(self, frame: &ByteString) -> ByteString {
        self.0
            .map_or_else(ByteString::new, |json| frame.slice_ref(json.get()))
    }

    /// Returns the number, if it is whole and not negative. Some servers write all numbers as
    /// `1.0`.
    pub(super) fn number(self) -> Option<u64> {
        self.raw().trim_end_matches(".0").parse().ok()
    }

    /// Returns the items of a list; none if the member is not a list.
    pub(super) fn list(self) -> Vec<Self> {
        self.read()
    }

    /// Parses the member; the default value if it has another shape.
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

/// A response, from a terminal event or a non-streaming answer.
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

/// The fields of an annotation of any kind.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Source<'a> {
    pub(super) url: Json<'a>,
    pub(super) title: Json<'a>,
    pub(super) filename: Json<'a>,
    pub(super) start_index: Json<'a>,
    pub(super) end_index: Json<'a>,
}

/// Returns the error for a frame that is not valid for this wire.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::OpenaiResponses.name(),
        what: what.into(),
    }
}

/// Returns the error for JSON that cannot be parsed: its position, without any content.
pub(super) fn invalid_json(error: &serde_json::Error) -> DecodeError {
    malformed(format!(
        "invalid JSON at line {} column {}",
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
    fn lone_surrogates_are_replaced() {
        for (json, text) in [
            (r#"{"delta":"a\ud83db"}"#, "a\u{fffd}b"),
            (r#"{"delta":"\ud83d\ude00\u00e9"}"#, "😀é"),
        ] {
            assert_eq!(event(json).delta.text().unwrap(), text);
        }
    }

    #[test]
    fn members_of_another_type_count_as_absent() {
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
        assert!(
            event.delta.is_non_empty()
                && !event.item.is_non_empty()
                && event.delta.list().is_empty()
        );
        assert!(event.item.read::<Item<'_>>().id.text().is_none());
    }

    #[test]
    fn errors_contain_no_content() {
        let Err(error) = serde_json::from_str::<Event<'_>>(r#"{"delta":"a secret"#) else {
            panic!("the JSON is cut")
        };
        assert!(!invalid_json(&error).to_string().contains("secret"));
    }
}
