//! Types for values that Google's services encode in more than one way.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use smallvec::SmallVec;

/// A string, borrowed if it contains no escapes. (`Option<Cow>` alone would always copy.) Half of a
/// surrogate pair, which no Rust string can hold, becomes U+FFFD.
pub(in super::super) struct Text<'a>(pub(in super::super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Bytes<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Bytes<'a> {
            type Value = Text<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Text<'a>, E> {
                Ok(Text(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(
                    String::from_utf8_lossy(bytes).into_owned(),
                )))
            }
        }
        // `deserialize_str` would reject half a surrogate pair, and with it the whole stream.
        json.deserialize_bytes(Bytes(PhantomData))
    }
}

impl Text<'_> {
    /// Returns the string, as a slice of the frame if it contains no escapes.
    pub(in super::super) fn share(self, frame: &ByteString) -> ByteString {
        match self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.into(),
        }
    }
}

/// A list that nearly always has one element. `null` is read as an empty list.
pub(in super::super) struct List<T>(pub(in super::super) SmallVec<[T; 1]>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut list = List::default();
                while let Some(element) = seq.next_element()? {
                    list.0.push(element);
                }
                Ok(list)
            }

            fn visit_unit<E: Error>(self) -> Result<List<T>, E> {
                Ok(List::default())
            }
        }
        json.deserialize_any(Elements(PhantomData))
    }
}

/// The value of an enum: its name, or its number in decimal digits.
pub(in super::super) struct EnumValue<'a>(pub(in super::super) Cow<'a, str>);

impl EnumValue<'_> {
    /// Returns the value, as a slice of the frame if the frame contains it literally.
    pub(in super::super) fn share(self, frame: &ByteString) -> ByteString {
        Text(self.0).share(frame)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for EnumValue<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Either<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Either<'a> {
            type Value = EnumValue<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<EnumValue<'a>, E> {
                Ok(EnumValue(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<EnumValue<'a>, E> {
                Ok(EnumValue(Cow::Owned(name.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<EnumValue<'a>, E> {
                Ok(EnumValue(Cow::Owned(number.to_string())))
            }
        }
        json.deserialize_any(Either(PhantomData))
    }
}

/// A count, read from a number, a number with a fraction (truncated) or a string of digits. `None`
/// for a negative number or other text.
#[derive(Default, Clone, Copy)]
pub(in super::super) struct Count(pub(in super::super) Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Number;
        impl<'de> Visitor<'de> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count(Some(number)))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Count, E> {
                Ok(Count(None))
            }

            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a float saturates; counts are small"
            )]
            fn visit_f64<E: Error>(self, number: f64) -> Result<Count, E> {
                Ok(Count((number >= 0.0).then_some(number as u64)))
            }

            // Some services encode counts as strings of digits.
            fn visit_str<E: Error>(self, digits: &str) -> Result<Count, E> {
                Ok(Count(digits.parse().ok()))
            }

            fn visit_unit<E: Error>(self) -> Result<Count, E> {
                Ok(Count(None))
            }
        }
        json.deserialize_any(Number)
    }
}
