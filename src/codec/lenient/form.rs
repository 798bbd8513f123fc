//! The visitor that reads every lenient type.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A type that is read from several kinds of JSON values. Each function reads one kind and returns
/// `None` if the type has no such form, which is the default.
pub trait Form<'de>: Sized {
    /// The forms, in words, for an error.
    const EXPECTED: &'static str;

    /// Reads `null`.
    #[must_use]
    fn from_null() -> Option<Self> {
        None
    }

    /// Reads a number that is whole and not negative.
    #[must_use]
    fn from_whole(_number: u64) -> Option<Self> {
        None
    }

    /// Reads a number with a fraction or an exponent.
    #[must_use]
    fn from_fraction(_number: f64) -> Option<Self> {
        None
    }

    /// Reads a string that contains no escapes: a slice of the JSON.
    #[must_use]
    fn from_slice(text: &'de str) -> Option<Self> {
        Self::from_text(text)
    }

    /// Reads a string.
    #[must_use]
    fn from_text(_text: &str) -> Option<Self> {
        None
    }

    /// Reads a list.
    ///
    /// # Errors
    /// When an element cannot be read.
    fn from_list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        // A visitor must consume the list, or the parser reports an error.
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When a member cannot be read.
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Reads a value.
///
/// # Errors
/// When the value has none of the type's forms.
pub fn strictly<'de, T: Form<'de>, D: Deserializer<'de>>(json: D) -> Result<T, D::Error> {
    let value = json.deserialize_any(Reader::<T, true>(PhantomData))?;
    value.ok_or_else(|| D::Error::custom(T::EXPECTED))
}

/// Reads a value; `None` if it has none of the type's forms.
///
/// # Errors
/// When the value is not JSON, or a part of it cannot be read.
pub fn or_absent<'de, T: Form<'de>, D: Deserializer<'de>>(json: D) -> Result<Option<T>, D::Error> {
    json.deserialize_any(Reader::<T, false>(PhantomData))
}

/// A value that counts as absent if it has none of the type's forms.
pub struct Maybe<T>(pub Option<T>);

impl<T> From<Maybe<T>> for Option<T> {
    fn from(maybe: Maybe<T>) -> Self {
        maybe.0
    }
}

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Form<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        or_absent(json).map(Self)
    }
}

/// Reads a value of any kind. One of another form is an error if `STRICT`, else absent.
struct Reader<T, const STRICT: bool>(PhantomData<T>);

impl<T, const STRICT: bool> Reader<T, STRICT> {
    /// Rejects an absent value, if the reader is strict. The error does not quote the value.
    fn check<'de, E: Error>(value: Option<T>) -> Result<Option<T>, E>
    where
        T: Form<'de>,
    {
        if STRICT && value.is_none() {
            return Err(E::custom(format_args!("expected {}", T::EXPECTED)));
        }
        Ok(value)
    }
}

impl<'de, T: Form<'de>, const STRICT: bool> Visitor<'de> for Reader<T, STRICT> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Self::check(T::from_null())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Self::check(None)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Self::check(T::from_whole(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        // serde_json passes positive numbers as `u64`.
        Self::check(u64::try_from(number).ok().and_then(T::from_whole))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Self::check(T::from_fraction(number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Self::check(T::from_slice(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Self::check(T::from_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::from_list(list).and_then(Self::check)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::from_object(object).and_then(Self::check)
    }
}
