//! Estimates the size of a prompt from its JSON, without building a conversation from it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object::{Object, read};
use super::references;
use crate::codec::json::Fields;
use crate::model::ask::{Reference, input_estimate};
use crate::model::fault::Fault;

/// The size of a prompt, and the references it contains.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// UTF-8 bytes of text.
    pub(super) bytes: u64,
    /// Number of images, and of other media that count as images.
    pub(super) images: u64,
    /// References to objects in the provider's account.
    pub(super) references: Vec<Reference>,
}

impl Estimate {
    /// Returns the estimated number of tokens.
    pub(super) const fn tokens(&self) -> u64 {
        input_estimate(self.bytes, self.images)
    }

    /// Records the references that `value` at `path` holds; `null` holds none.
    pub(super) fn add_reference(&mut self, path: String, value: &RawValue) {
        self.references.extend(references::from_value(path, value));
    }

    /// Adds the size of a text; a value that is not a string adds nothing.
    pub(super) fn add_text(&mut self, value: &RawValue) {
        self.bytes += text_bytes(value.get());
    }
}

/// Returns the messages of a body.
///
/// # Errors
/// A 400 when `messages` is not a non-empty array.
pub(super) fn messages<'a>(top: &Object<'a>) -> Result<Vec<&'a RawValue>, Fault> {
    const EXPECTED: &str = "a non-empty array of objects";
    let messages: Vec<&RawValue> = top.read("messages", EXPECTED)?.unwrap_or_default();
    if messages.is_empty() {
        return Err(top.invalid("messages", EXPECTED));
    }
    Ok(messages)
}

/// Returns the elements of an array; an empty list for any other value.
pub(super) fn elements(value: &RawValue) -> Vec<&RawValue> {
    // An estimate rejects nothing: invalid content is left to the translation, or to the upstream.
    if value.get().starts_with('[') {
        read("", value, "").unwrap_or_default()
    } else {
        Vec::new()
    }
}

/// Returns the members of an object; an empty list for any other value.
pub(super) fn members(value: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    if value.get().starts_with('{') {
        Fields::parse(value.get().as_bytes())
            .map(|fields| fields.list)
            .unwrap_or_default()
    } else {
        Vec::new()
    }
}

/// Returns the number of UTF-8 bytes of a JSON string; 0 for any other value. Nothing is copied.
fn text_bytes(json: &str) -> u64 {
    let Some(inside) = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return 0;
    };
    let mut bytes = inside.as_bytes();
    let mut count = 0;
    // Deserializing would allocate, and would fail on an unpaired surrogate escape.
    while let Some(at) = memchr::memchr(b'\\', bytes) {
        let (escape, written) = escape_lengths(bytes.get(at + 1..).unwrap_or_default());
        count += at + written;
        bytes = bytes.get(at + 1 + escape..).unwrap_or_default();
    }
    (count + bytes.len()) as u64
}

/// Returns the length of the escape that starts `after` a backslash, and the number of UTF-8 bytes
/// of the text it stands for.
fn escape_lengths(after: &[u8]) -> (usize, usize) {
    let [b'u', hex @ ..] = after else {
        // Every other escape is one ASCII letter for one ASCII character.
        return (1, 1);
    };
    let code = hex
        .get(..4)
        .and_then(|hex| std::str::from_utf8(hex).ok())
        .and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let written = match code {
        Some(0..=0x7f) => 1,
        // A surrogate pair is one character of four bytes, so each half counts as two.
        Some(0x80..=0x7ff | 0xd800..=0xdfff) => 2,
        _ => 3,
    };
    (5, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_count_as_the_text_they_stand_for() {
        for (json, bytes) in [
            (r#""""#, 0),
            (r#""ab""#, 2),
            (r#""a\n\"\\""#, 4),
            (r#""\u00e9\ud83d\ude00é😀""#, 12),
            (r#""\u20ac\u0041""#, 4),
            ("12", 0),
        ] {
            assert_eq!(text_bytes(json), bytes, "{json}");
        }
    }
}
