//! Numbers and flags.

use serde::Deserialize;
use serde::de::Deserializer;

use super::form::{Form, or_absent, strictly};

/// A number that is not negative, from which a fraction is cut off.
struct Whole(u64);

impl Form<'_> for Whole {
    const EXPECTED: &'static str = "a number that is not negative";

    fn from_whole(number: u64) -> Option<Self> {
        Some(Self(number))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    fn from_fraction(number: f64) -> Option<Self> {
        // Some servers write all numbers as `1.0`.
        (0.0..9e15).contains(&number).then_some(Self(number as u64))
    }

    fn from_text(digits: &str) -> Option<Self> {
        digits.parse().ok().map(Self)
    }
}

/// A count. A value that is not a number, or a negative one, counts as absent.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count(pub Option<u64>);

impl Count {
    /// Returns this count, or `other` if it is absent.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0))
    }

    /// Returns the count if it fits into 32 bits.
    #[must_use]
    pub fn small(self) -> Option<u32> {
        self.0.and_then(|number| number.try_into().ok())
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Ok(Self(or_absent(json)?.map(|Whole(number)| number)))
    }
}

/// The index of a part of the answer. Any value but a number is an error: content at a guessed
/// index would be misplaced.
#[derive(Clone, Copy)]
pub struct Index(pub u32);

impl Form<'_> for Index {
    const EXPECTED: &'static str = "an index";

    fn from_whole(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }

    fn from_fraction(number: f64) -> Option<Self> {
        Whole::from_fraction(number).and_then(|Whole(number)| Self::from_whole(number))
    }

    fn from_text(digits: &str) -> Option<Self> {
        digits.parse().ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Index {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        strictly(json)
    }
}

/// A boolean. `null` is false.
#[derive(Default, Clone, Copy)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Option::<bool>::deserialize(json).map(|flag| Self(flag.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_in_every_form() {
        for (json, count) in [
            ("7", Some(7)),
            ("7.0", Some(7)),
            ("7.9", Some(7)),
            ("7e2", Some(700)),
            (r#""7""#, Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("-7", None),
            ("-0.5", None),
            ("1e300", None),
            (r#""-7""#, None),
            (r#""seven""#, None),
            ("null", None),
            ("true", None),
            ("[7]", None),
            (r#"{"a":7}"#, None),
        ] {
            assert_eq!(
                serde_json::from_str::<Count>(json).unwrap().0,
                count,
                "{json}"
            );
        }
    }

    #[test]
    fn an_index_is_a_number() {
        for json in ["3", "3.0", r#""3""#] {
            assert_eq!(serde_json::from_str::<Index>(json).unwrap().0, 3, "{json}");
        }
        for json in ["-3", "4294967296", r#""x""#, "[3]", "null"] {
            assert!(serde_json::from_str::<Index>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_flag_that_is_null_is_false() {
        let flags: Vec<Flag> = serde_json::from_str("[true, false, null]").unwrap();
        assert_eq!(
            flags.iter().map(|flag| flag.0).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert!(serde_json::from_str::<Flag>("1").is_err());
    }
}
