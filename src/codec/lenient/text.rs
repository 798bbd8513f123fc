//! Strings, as slices of their frame.

use std::borrow::Cow;
use std::fmt;

use bytestring::ByteString;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::form::{Form, Maybe, strictly};

/// A string, borrowed if it contains no escapes. (`Option<Cow>` alone would always copy.) Half of a
/// surrogate pair becomes one U+FFFD.
#[derive(Default)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    /// Returns the string as a slice of the `frame` it was read from, or as a copy if it contained
    /// escapes.
    #[must_use]
    pub fn slice_of(&self, frame: &ByteString) -> ByteString {
        match &self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.as_str().into(),
        }
    }

    /// Returns the string, as a slice of the `frame` it was read from if it contained no escapes.
    #[must_use]
    pub fn share(self, frame: &ByteString) -> ByteString {
        match self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.into(),
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

    /// Returns the string, borrowed if it contained no escapes.
    #[must_use]
    pub fn into_cow(self) -> Cow<'a, str> {
        self.0
    }
}

impl<'de: 'a, 'a> Form<'de> for Text<'a> {
    const EXPECTED: &'static str = "a string";

    fn from_slice(text: &'de str) -> Option<Self> {
        Some(Self(Cow::Borrowed(text)))
    }

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(Cow::Owned(text.to_owned())))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    /// Deserializes from bytes: serde_json rejects lone surrogates in a `str`, and models do split
    /// characters.
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_bytes(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Text::EXPECTED)
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

    // The key that a list has read to see whether an object in its place is empty.
    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
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

impl<'a> Maybe<Text<'a>> {
    /// Returns the string if it is present and not empty, borrowed if it contained no escapes.
    #[must_use]
    pub fn non_empty(self) -> Option<Cow<'a, str>> {
        self.0.map(Text::into_cow).filter(|text| !text.is_empty())
    }
}

/// A member's name, borrowed if it contains no escapes.
#[derive(serde::Deserialize)]
pub struct Key<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The value of an enum: its name, or its number in decimal digits.
pub struct Name<'a>(Text<'a>);

impl Name<'_> {
    /// Returns the value, as a slice of the `frame` it was read from if the frame contains it
    /// literally.
    #[must_use]
    pub fn share(self, frame: &ByteString) -> ByteString {
        self.0.share(frame)
    }

    /// Returns the value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns true if the value is an empty string.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de: 'a, 'a> Form<'de> for Name<'a> {
    const EXPECTED: &'static str = "a name or a number";

    fn from_whole(number: u64) -> Option<Self> {
        Text::from_text(itoa::Buffer::new().format(number)).map(Self)
    }

    fn from_slice(text: &'de str) -> Option<Self> {
        Text::from_slice(text).map(Self)
    }

    fn from_text(text: &str) -> Option<Self> {
        Text::from_text(text).map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        strictly(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame = ByteString::from_static(r#"["plain é","a\nb"]"#);
        let mut texts: Vec<Text<'_>> = serde_json::from_str(&frame).unwrap();
        assert_eq!(texts[1].slice_of(&frame), "a\nb");
        let slice = texts[0].slice_of(&frame);
        for plain in [slice, texts.remove(0).share(&frame)] {
            assert_eq!(plain, "plain é");
            assert!(
                frame
                    .as_bytes()
                    .as_ptr_range()
                    .contains(&plain.as_bytes().as_ptr())
            );
        }
    }

    #[test]
    fn lone_surrogates_are_replaced() {
        let read =
            |json| serde_json::from_str::<Text<'_>>(json).map(|text| text.as_str().to_owned());
        assert_eq!(read(r#""a\ud83db""#).unwrap(), "a\u{fffd}b");
        assert_eq!(read(r#""\ude00\ud83d""#).unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(read(r#""\ud83d\ude00\u00e9""#).unwrap(), "😀é");
    }

    #[test]
    fn other_values_are_errors_without_content_or_absent() {
        for json in [
            "1",
            "null",
            "true",
            r#"["secret"]"#,
            r#"{"secret":"secret"}"#,
        ] {
            let error = serde_json::from_str::<Text<'_>>(json).err().unwrap();
            assert!(!error.to_string().contains("secret"), "{error}");
            let maybe: Maybe<Text<'_>> = serde_json::from_str(json).unwrap();
            assert!(maybe.non_empty().is_none(), "{json}");
        }
        let maybe: Maybe<Text<'_>> = serde_json::from_str(r#""\u00e9""#).unwrap();
        assert_eq!(maybe.non_empty().unwrap(), "é");
    }

    #[test]
    fn enums_are_names_or_numbers() {
        let names: Vec<Name<'_>> = serde_json::from_str(r#"["STOP", 2, "\u0041"]"#).unwrap();
        assert_eq!(
            names.iter().map(Name::as_str).collect::<Vec<_>>(),
            ["STOP", "2", "A"]
        );
        assert!(serde_json::from_str::<Name<'_>>("-1").is_err());
    }
}
