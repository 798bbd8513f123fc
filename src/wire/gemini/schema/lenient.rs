//! Values that providers spell in more than one way.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use smallvec::SmallVec;

/// A string, borrowed where it holds no escapes. (`Option<Cow>` alone would always copy.) Half of a
/// surrogate pair, which no string can hold, becomes U+FFFD.
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
        // Asked for a string, the parser would refuse what is no Unicode, and with it the whole
        // stream.
        json.deserialize_bytes(Bytes(PhantomData))
    }
}

impl Text<'_> {
    /// The string as a slice of the frame, where it holds no escapes.
    pub(in super::super) fn share(self, frame: &ByteString) -> ByteString {
        match self.0 {
            Cow::Borrowed(text) => frame.slice_ref(text),
            Cow::Owned(text) => text.into(),
        }
    }
}

/// A list that nearly always has one element; `null` is an empty one.
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

/// An enum's value: its name, or its number in digits.
pub(in super::super) struct Word<'a>(pub(in super::super) Cow<'a, str>);

impl Word<'_> {
    /// The word as a slice of the frame, where it stands there.
    pub(in super::super) fn share(self, frame: &ByteString) -> ByteString {
        Text(self.0).share(frame)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Either<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Either<'a> {
            type Value = Word<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a number")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Word<'a>, E> {
                Ok(Word(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Word<'a>, E> {
                Ok(Word(Cow::Owned(name.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Word<'a>, E> {
                Ok(Word(Cow::Owned(number.to_string())))
            }
        }
        json.deserialize_any(Either(PhantomData))
    }
}

/// A whole number, also where it is spelled as a string or with a fraction; anything else is
/// unknown.
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
