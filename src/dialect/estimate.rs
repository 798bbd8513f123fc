//! How much a prompt weighs, read off its JSON without making anything of it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::object::read;
use super::references;
use crate::codec::json::Fields;
use crate::model::ask::{Reference, input_estimate};

/// What a prompt is made of, for an estimate.
#[derive(Debug, Default)]
pub(super) struct Estimate {
    /// UTF-8 bytes of text.
    pub(super) bytes: u64,
    /// Pictures, and whatever counts as one.
    pub(super) images: u64,
    /// What it names in the provider's account.
    pub(super) references: Vec<Reference>,
}

impl Estimate {
    /// The estimate of its tokens.
    pub(super) const fn tokens(&self) -> u64 {
        input_estimate(self.bytes, self.images)
    }

    /// Notes something that stands in the provider's account, by the value that says so; nothing
    /// where that is `null`.
    pub(super) fn refer(&mut self, path: String, value: &RawValue) {
        self.references.extend(references::named(path, value));
    }

    /// Adds a text; nothing where it is none.
    pub(super) fn text(&mut self, value: &RawValue) {
        self.bytes += text_bytes(value.get());
    }
}

/// The elements of an array; none of anything else.
pub(super) fn elements(value: &RawValue) -> Vec<&RawValue> {
    if value.get().starts_with('[') {
        read("", value, "").unwrap_or_default()
    } else {
        Vec::new()
    }
}

/// The members of an object; none of anything else.
pub(super) fn members(value: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    if value.get().starts_with('{') {
        Fields::of(value.get().as_bytes())
            .map(|fields| fields.list)
            .unwrap_or_default()
    } else {
        Vec::new()
    }
}

/// The UTF-8 bytes of a JSON string, none of anything else. Nothing is copied, and broken
/// surrogates do not matter.
fn text_bytes(json: &str) -> u64 {
    let Some(inside) = json
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
    else {
        return 0;
    };
    let mut bytes = inside.as_bytes();
    let mut count = 0;
    while let Some(at) = memchr::memchr(b'\\', bytes) {
        let (escape, written) = escape(bytes.get(at + 1..).unwrap_or_default());
        count += at + written;
        bytes = bytes.get(at + 1 + escape..).unwrap_or_default();
    }
    (count + bytes.len()) as u64
}

/// How many bytes an escape takes behind its backslash, and how many the text has for it.
fn escape(behind: &[u8]) -> (usize, usize) {
    let [b'u', hex @ ..] = behind else {
        return (1, 1);
    };
    let code = hex
        .get(..4)
        .and_then(|hex| std::str::from_utf8(hex).ok())
        .and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let written = match code {
        Some(0..=0x7f) => 1,
        // Two surrogates are one character of four bytes.
        Some(0x80..=0x7ff | 0xd800..=0xdfff) => 2,
        _ => 3,
    };
    (5, written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_counted_as_the_model_reads_it() {
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
