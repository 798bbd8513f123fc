//! Text from upstreams: bytes that should be UTF-8, and JSON strings as slices of their frame.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Converts bytes to text, without a copy if they are UTF-8. Invalid bytes become U+FFFD.
#[must_use]
pub fn from_bytes(bytes: &Bytes) -> ByteString {
    ByteString::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

/// A JSON string, borrowed if it contains no escapes. Lone surrogates become U+FFFD.
///
/// It does not implement `Debug`, because these are completions.
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// Returns the string as a slice of the `frame` it was read from, or as a copy if it contained
    /// escapes.
    #[must_use]
    pub fn slice_of(&self, frame: &ByteString) -> ByteString {
        match &self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.as_str().into(),
        }
    }

    /// Returns the string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true if the string is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// Deserializes from bytes: serde_json rejects lone surrogates in a `str`, and models do split
    /// characters.
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
        Ok(std::str::from_utf8(bytes).map_or_else(
            |_| Cow::Owned(replace_lone_surrogates(bytes)),
            Cow::Borrowed,
        ))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(std::str::from_utf8(bytes).map_or_else(
            |_| replace_lone_surrogates(bytes),
            str::to_owned,
        )))
    }
}

/// Returns the text with one U+FFFD for each lone surrogate, which serde_json passes as three bytes
/// that begin with 0xED.
fn replace_lone_surrogates(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        // The other two bytes follow as invalid chunks of their own.
        if chunk.invalid().first() == Some(&0xed) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame = ByteString::from_static(r#"["plain é","a\nb"]"#);
        let texts: Vec<Text<'_>> = serde_json::from_str(&frame).unwrap();
        let plain = texts[0].slice_of(&frame);
        assert_eq!(plain, "plain é");
        assert!(
            frame
                .as_bytes()
                .as_ptr_range()
                .contains(&plain.as_bytes().as_ptr())
        );
        assert_eq!(texts[1].slice_of(&frame), "a\nb");
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        let read =
            |json| serde_json::from_str::<Text<'_>>(json).map(|text| text.as_str().to_owned());
        assert_eq!(read(r#""a\ud83db""#).unwrap(), "a\u{fffd}b");
        assert_eq!(read(r#""\ude00\ud83d""#).unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(read(r#""\ud83d\ude00\u00e9""#).unwrap(), "😀é");
        assert!(read("1").is_err());
    }

    #[test]
    fn invalid_utf8_is_replaced_and_valid_bytes_are_shared() {
        let bytes = Bytes::from_static("é".as_bytes());
        assert_eq!(from_bytes(&bytes).as_bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(from_bytes(&Bytes::from_static(b"a\xffb")), "a\u{fffd}b");
    }
}
