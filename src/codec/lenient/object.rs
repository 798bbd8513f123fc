//! Objects whose fields have several names.

/// Declares an object with these fields, each with the JSON names it is read from. Of several names
/// for a field, the last one in the JSON wins. A value of another type is an object without fields.
/// Unknown members are skipped, or kept unparsed if they are objects or lists: unknown scalars are
/// metadata (`id`, `created`), not output.
macro_rules! object {
    ($(#[$doc:meta])* $name:ident<'a> { $($field:ident: $ty:ty = $($key:literal)|+;)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: $ty,)*
            /// The unknown members.
            pub(super) rest: Vec<(std::borrow::Cow<'a, str>, &'a serde_json::value::RawValue)>,
        }

        impl<'a> $crate::codec::lenient::Form<'a> for $name<'a> {
            const EXPECTED: &'static str = "an object";

            fn from_object<A: serde::de::MapAccess<'a>>(
                mut object: A,
            ) -> Result<Option<Self>, A::Error> {
                let mut it = Self::default();
                while let Some($crate::codec::lenient::Key(key)) = object.next_key()? {
                    match &*key {
                        $($($key)|+ => it.$field = object.next_value()?,)*
                        _ => {
                            let value: &serde_json::value::RawValue = object.next_value()?;
                            if value.get().starts_with(['{', '[']) {
                                it.rest.push((key, value));
                            }
                        }
                    }
                }
                Ok(Some(it))
            }
        }

        impl<'a> serde::Deserialize<'a> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'a>>(json: D) -> Result<Self, D::Error> {
                $crate::codec::lenient::or_absent(json).map(Option::unwrap_or_default)
            }
        }
    };
}

pub(crate) use object;

#[cfg(test)]
mod tests {
    use crate::codec::lenient::{Count, Maybe, Text};

    object! {
        /// An object.
        Thing<'a> {
            name: Maybe<Text<'a>> = "name" | "title";
            size: Count = "size";
        }
    }

    #[test]
    fn the_last_name_wins_and_unknown_values_are_kept() {
        let json = r#"{"name":"a","title":"b","size":"2","id":"x","new":[ 1],"null":null}"#;
        let thing: Thing<'_> = serde_json::from_str(json).unwrap();
        assert_eq!(
            (thing.name.non_empty().unwrap(), thing.size.0),
            ("b".into(), Some(2))
        );
        let rest: Vec<_> = thing
            .rest
            .iter()
            .map(|(key, value)| (&**key, value.get()))
            .collect();
        assert_eq!(rest, [("new", "[ 1]")]);
    }

    #[test]
    fn values_of_another_type_are_empty_objects() {
        for json in ["null", "true", "-1", "1.5", r#""text""#, "[[1],{}]", "{}"] {
            let thing: Thing<'_> = serde_json::from_str(json).unwrap();
            assert!(thing.name.0.is_none() && thing.size.0.is_none() && thing.rest.is_empty());
        }
        assert!(serde_json::from_str::<Thing<'_>>(r#"{"name":"#).is_err());
    }
}
