//! Text as it comes over a wire: bytes that should be UTF-8, and JSON strings as slices of the
//! frame they stand in.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// Bytes as text, without a copy where they are UTF-8. What is not becomes U+FFFD.
#[must_use]
pub fn of_bytes(bytes: &Bytes) -> ByteString {
    ByteString::try_from(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned().into())
}

/// A JSON string, borrowed where it holds no escapes. Halves of surrogate pairs become U+FFFD.
///
/// It has no `Debug`: these are completions.
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The string as a slice of the `frame` it was read from, wherever it can be one.
    #[must_use]
    pub fn of(&self, frame: &ByteString) -> ByteString {
        match &self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.as_str().into(),
        }
    }

    /// The string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True where nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// Read as bytes: serde_json refuses half a surrogate pair in a `str`, and models do break
    /// characters apart.
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
        Ok(Cow::Owned(
            std::str::from_utf8(bytes).map_or_else(|_| mended(bytes), str::to_owned),
        ))
    }
}

/// The text with one U+FFFD for each half of a surrogate pair, which serde_json hands out as three
/// bytes from 0xED on.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame = ByteString::from_static(r#"["plain é","a\nb"]"#);
        let texts: Vec<Text<'_>> = serde_json::from_str(&frame).unwrap();
        let plain = texts[0].of(&frame);
        assert_eq!(plain, "plain é");
        assert!(
            frame
                .as_bytes()
                .as_ptr_range()
                .contains(&plain.as_bytes().as_ptr())
        );
        assert_eq!(texts[1].of(&frame), "a\nb");
    }

    #[test]
    fn halves_of_surrogate_pairs_are_replaced() {
        let read =
            |json| serde_json::from_str::<Text<'_>>(json).map(|text| text.as_str().to_owned());
        assert_eq!(read(r#""a\ud83db""#).unwrap(), "a\u{fffd}b");
        assert_eq!(read(r#""\ude00\ud83d""#).unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(read(r#""\ud83d\ude00\u00e9""#).unwrap(), "😀é");
        assert!(read("1").is_err());
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_and_others_shared() {
        let bytes = Bytes::from_static("é".as_bytes());
        assert_eq!(of_bytes(&bytes).as_bytes().as_ptr(), bytes.as_ptr());
        assert_eq!(of_bytes(&Bytes::from_static(b"a\xffb")), "a\u{fffd}b");
    }
}
