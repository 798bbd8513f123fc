//! Lists.

use std::borrow::Cow;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, StringDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess};
use serde_json::value::RawValue;
use smallvec::SmallVec;

use super::form::{Form, Maybe, strictly};
use super::json::Json;
use super::text::Key;

/// A list that nearly always has one element. `null` is an empty list, and an object in its place
/// is its one element. For unparsed elements there is [`RawList`].
pub struct List<T>(pub SmallVec<[T; 1]>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<'de, T: Deserialize<'de>> Form<'de> for List<T> {
    const EXPECTED: &'static str = "a list";

    fn from_null() -> Option<Self> {
        Some(Self::default())
    }

    fn from_list<A: SeqAccess<'de>>(mut list: A) -> Result<Option<Self>, A::Error> {
        let mut elements = SmallVec::new();
        while let Some(element) = list.next_element()? {
            elements.push(element);
        }
        Ok(Some(Self(elements)))
    }

    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Option<Self>, A::Error> {
        // An empty object is an empty list of a server that does not tell them apart.
        let Some(first) = object.next_key::<Key<'de>>()? else {
            return Ok(Some(Self::default()));
        };
        let object = Begun {
            first: Some(first),
            rest: object,
        };
        let element = T::deserialize(MapAccessDeserializer::new(object))?;
        Ok(Some(Self(SmallVec::from_iter([element]))))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        strictly(json)
    }
}

impl<T> Maybe<List<T>> {
    /// Returns the elements.
    #[must_use]
    pub fn into_elements(self) -> SmallVec<[T; 1]> {
        self.0.unwrap_or_default().0
    }

    /// Returns true if there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|list| list.0.is_empty())
    }
}

/// An object whose first key has been read.
struct Begun<'de, A> {
    first: Option<Key<'de>>,
    rest: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Begun<'de, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(Key(Cow::Borrowed(key))) => seed
                .deserialize(BorrowedStrDeserializer::new(key))
                .map(Some),
            Some(Key(Cow::Owned(key))) => seed.deserialize(StringDeserializer::new(key)).map(Some),
            None => self.rest.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.rest.next_value_seed(seed)
    }
}

/// A list of unparsed elements. `null` is an empty list, and an object in its place is its one
/// element.
#[derive(Default)]
pub struct RawList<'a>(pub Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for RawList<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        // Not as a `Json`, which is also read from a missing member.
        Json::new(<&RawValue>::deserialize(json)?)
            .raw_list()
            .map(Self)
            .ok_or_else(|| D::Error::custom("expected a list"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::lenient::Text;

    #[derive(serde::Deserialize)]
    struct Item<'a> {
        #[serde(borrow)]
        name: Option<Text<'a>>,
        #[serde(borrow)]
        raw: Option<&'a RawValue>,
    }

    fn names(json: &str) -> Option<Vec<String>> {
        let list: List<Item<'_>> = serde_json::from_str(json).ok()?;
        let name = |item: Item<'_>| {
            let raw = item.raw.map_or("", RawValue::get);
            format!("{}{raw}", item.name.unwrap_or_default().as_str())
        };
        Some(list.0.into_iter().map(name).collect())
    }

    #[test]
    fn an_object_or_null_may_take_the_place_of_a_list() {
        for (json, expected) in [
            (r#"[{"name":"a"},{"raw":[1]}]"#, &["a", "[1]"][..]),
            (r#"{"name":"a", "raw":{"b": 1}}"#, &["a{\"b\": 1}"]),
            (r#"{"n\u0061me":"a", "x":1}"#, &["a"]),
            (r#"{"x":1}"#, &[""]),
            ("{}", &[]),
            ("[]", &[]),
            ("null", &[]),
        ] {
            assert_eq!(names(json).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn other_values_are_errors_or_empty() {
        for json in ["1", "false", r#""""#, r#""text""#] {
            assert!(names(json).is_none(), "{json}");
            assert!(serde_json::from_str::<RawList<'_>>(json).is_err(), "{json}");
            let maybe: Maybe<List<Item<'_>>> = serde_json::from_str(json).unwrap();
            assert!(
                maybe.is_empty() && maybe.into_elements().is_empty(),
                "{json}"
            );
        }
        assert!(names("[1]").is_none());
    }

    #[test]
    fn elements_stay_unparsed() {
        for (json, expected) in [
            (
                r#"[{"a": 1}, "b" ,null]"#,
                &[r#"{"a": 1}"#, r#""b""#, "null"][..],
            ),
            (r#"{"a": 1}"#, &[r#"{"a": 1}"#]),
            ("{ }", &[]),
            ("null", &[]),
        ] {
            let list: RawList<'_> = serde_json::from_str(json).unwrap();
            assert_eq!(
                list.0.iter().map(|it| it.get()).collect::<Vec<_>>(),
                expected
            );
        }
    }
}
