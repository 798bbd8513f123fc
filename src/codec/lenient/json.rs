//! Members that are parsed when they are needed.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::number::Count;
use super::text::Text;

/// The JSON of a member, if it is present and not null.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent, bound(deserialize = "'de: 'a"))]
pub struct Json<'a>(Option<&'a RawValue>);

impl<'a> Json<'a> {
    /// Wraps the JSON of a member.
    #[must_use]
    pub fn new(json: &'a RawValue) -> Self {
        Self(Some(json))
    }

    /// Returns the JSON text; empty if the member is absent.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.0.map_or("", RawValue::get)
    }

    /// Returns true for a string, list or object that is not empty.
    #[must_use]
    pub fn is_non_empty(self) -> bool {
        // Two bytes are the delimiters of an empty value.
        matches!(self.raw().as_bytes(), [b'"' | b'[' | b'{', _, _, ..])
    }

    /// Returns the string, borrowed if it contains no escapes; `None` if the member is not one.
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        let json = self.raw();
        let inside = json.strip_prefix('"')?.strip_suffix('"')?;
        // The common case: without escapes, the content of the literal is the string itself.
        if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
            return Some(Cow::Borrowed(inside));
        }
        serde_json::from_str(json).ok().map(Text::into_cow)
    }

    /// Returns the string, if it is not empty: as a slice of the `frame` it was read from if it
    /// contains no escapes.
    #[must_use]
    pub fn piece(self, frame: &ByteString) -> Option<ByteString> {
        match self.text().filter(|text| !text.is_empty())? {
            Cow::Borrowed(text) => Some(frame.slice_ref(text)),
            Cow::Owned(text) => Some(text.into()),
        }
    }

    /// Returns the JSON as a slice of the `frame` it was read from.
    #[must_use]
    pub fn slice(self, frame: &ByteString) -> ByteString {
        self.0
            .map_or_else(ByteString::new, |json| frame.slice_ref(json.get()))
    }

    /// Returns the number, if it is not negative; a fraction is cut off.
    #[must_use]
    pub fn number(self) -> Option<u64> {
        // Nearly always digits or absent, for which the parser is not needed.
        let digits = self.raw().parse().ok();
        digits.or_else(|| self.0.and_then(|_| self.read::<Count>().0))
    }

    /// Returns the items of a list; none if the member is not a list or one object.
    #[must_use]
    pub fn list(self) -> Vec<Self> {
        let items = self.raw_list().unwrap_or_default();
        items.into_iter().map(Self::new).collect()
    }

    /// Returns the items of a list; `None` if the member is not absent, a list or one object.
    #[must_use]
    pub fn raw_list(self) -> Option<Vec<&'a RawValue>> {
        let Some(json) = self.0 else {
            return Some(Vec::new());
        };
        match json.get().as_bytes().first() {
            Some(b'[') => serde_json::from_str(json.get()).ok(),
            Some(b'{') => Some(if is_empty_object(json.get()) {
                Vec::new()
            } else {
                vec![json]
            }),
            Some(b'n') => Some(Vec::new()),
            _ => None,
        }
    }

    /// Parses the member; the default value if it has another shape.
    #[must_use]
    pub fn read<T: Deserialize<'a> + Default>(self) -> T {
        serde_json::from_str(self.raw()).unwrap_or_default()
    }
}

fn is_empty_object(json: &str) -> bool {
    json.strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|inside| inside.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json<'_> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn plain_strings_are_slices_of_the_frame() {
        let frame = ByteString::from_static(r#" "plain é" "#);
        let piece = json(&frame).piece(&frame).unwrap();
        assert_eq!(piece, "plain é");
        assert!(
            frame
                .as_bytes()
                .as_ptr_range()
                .contains(&piece.as_bytes().as_ptr())
        );
        assert_eq!(json(r#""a\n""#).piece(&frame).unwrap(), "a\n");
        assert_eq!(json(r#""""#).piece(&frame), None);
        assert_eq!(json("null").piece(&frame), None);
    }

    #[test]
    fn values_of_another_type_count_as_absent() {
        let (number, object, list) = (json("1"), json(r#"{"a":"b"}"#), json("[]"));
        assert!(number.text().is_none() && object.text().is_none());
        assert!(json("null").raw().is_empty() && number.list().is_empty());
        assert!(object.is_non_empty() && !list.is_non_empty());
        assert_eq!(object.list().len(), 1);
        let numbers = ["-1", "7", "7.0", r#""7""#, "null"].map(|text| json(text).number());
        assert_eq!(numbers, [None, Some(7), Some(7), Some(7), None]);
        assert!(
            list.read::<std::collections::BTreeMap<&str, &str>>()
                .is_empty()
        );
    }
}
