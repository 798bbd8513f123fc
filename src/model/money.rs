//! Amounts of money, in whole billionths of the operator's currency.
//!
//! Invariants: sums are of whole numbers, so that they do not depend on the order. The currency is
//! not known here: all prices and budgets are in the same one.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// Number of billionths in one unit of the currency.
const NANOS: u64 = 1_000_000_000;
/// Number of digits after the decimal point.
const DIGITS: usize = 9;

/// An amount, in billionths of a unit of the operator's currency. Arithmetic saturates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(u64);

impl Money {
    /// The amount zero.
    pub const ZERO: Self = Self(0);

    /// Returns the amount of this many billionths.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the number of billionths.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the sum.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, or zero if `other` is larger.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns true if the amount is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the share of `whole` in percent, rounded down; 100 if `whole` is zero.
    #[must_use]
    pub fn percent_of(self, whole: Self) -> u64 {
        if whole.is_zero() {
            return 100;
        }
        u64::try_from(u128::from(self.0) * 100 / u128::from(whole.0)).unwrap_or(u64::MAX)
    }
}

/// The error for a text that is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an amount of at most {} with at most {DIGITS} digits after the decimal point",
    u64::MAX / NANOS
)]
pub struct ParseMoneyError;

impl FromStr for Money {
    type Err = ParseMoneyError;

    /// Parses amounts such as `12`, `0.125`, `1_000.5` and `5e-7` exactly.
    fn from_str(text: &str) -> Result<Self, ParseMoneyError> {
        let plain = text.strip_prefix('+').unwrap_or(text).replace('_', "");
        let (digits, exponent) = match plain.split_once(['e', 'E']) {
            Some((digits, exponent)) => (
                digits,
                exponent.parse::<i32>().map_err(|_| ParseMoneyError)?,
            ),
            None => (plain.as_str(), 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty()
            || !whole
                .bytes()
                .chain(fraction.bytes())
                .all(|b| b.is_ascii_digit())
        {
            return Err(ParseMoneyError);
        }
        let all = format!("{whole}{fraction}");
        // Trailing zeros move to the exponent, so that long numbers fit into 64 bits.
        let all = all.trim_end_matches('0');
        let dropped = whole.len() + fraction.len() - all.len();
        // The position of the last significant digit, as a power of ten.
        let power =
            exponent.saturating_sub(i32::try_from(fraction.len()).map_err(|_| ParseMoneyError)?);
        let power = power
            .saturating_add(i32::try_from(dropped).map_err(|_| ParseMoneyError)?)
            .saturating_add(DIGITS as i32);
        let number: u64 = if all.is_empty() {
            0
        } else {
            all.parse().map_err(|_| ParseMoneyError)?
        };
        // Zero is valid with every exponent.
        if number == 0 {
            return Ok(Self::ZERO);
        }
        let scale = u32::try_from(power)
            .ok()
            .and_then(|power| 10_u64.checked_pow(power))
            .ok_or(ParseMoneyError)?;
        number.checked_mul(scale).map(Self).ok_or(ParseMoneyError)
    }
}

impl fmt::Display for Money {
    /// Formats a decimal number, which is also valid JSON: `0.0125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, nanos) = (self.0 / NANOS, self.0 % NANOS);
        if nanos == 0 {
            return write!(f, "{whole}");
        }
        let fraction = format!("{nanos:0DIGITS$}");
        write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Money {
    /// Serializes as a JSON number with all digits.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Through a raw value, because a float would lose digits.
        let number = serde_json::value::RawValue::from_string(self.to_string())
            .expect("a decimal number is JSON");
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = <&serde_json::value::RawValue>::deserialize(deserializer)?;
        number.get().parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_parsed_exactly() {
        for (text, nanos) in [
            ("0", 0),
            ("0.0", 0),
            ("1", NANOS),
            ("+20.0", 20 * NANOS),
            ("0.125", 125_000_000),
            ("0.000000001", 1),
            ("0.0000000010", 1),
            ("1_000.5", 1_000_500_000_000),
            ("5e-7", 500),
            ("2.5E3", 2_500 * NANOS),
            ("0.1", 100_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Money(nanos)), "{text}");
        }
        for text in [
            "",
            "-1",
            "1.2.3",
            "nan",
            "inf",
            "1e",
            "1e99",
            "0.0000000001",
            "99999999999999999999",
            "18446744074",
            ".5e",
            "a",
        ] {
            assert_eq!(text.parse::<Money>(), Err(ParseMoneyError), "{text}");
        }
    }

    #[test]
    fn a_tenth_added_ten_times_is_one() {
        let sum = (0..10).fold(Money::ZERO, |sum, _| sum.plus(money("0.1")));
        assert_eq!(sum.to_string(), "1");
    }

    #[test]
    fn shares_are_in_percent() {
        assert_eq!(money("8.39").percent_of(money("10")), 83);
        assert_eq!(money("30").percent_of(money("10")), 300);
        assert_eq!(Money::ZERO.percent_of(Money::ZERO), 100);
    }

    proptest! {
        #[test]
        fn formatting_and_parsing_gives_the_same_amount(nanos: u64) {
            let text = Money(nanos).to_string();
            prop_assert_eq!(text.parse(), Ok(Money(nanos)));
            let json = serde_json::to_string(&Money(nanos)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), Money(nanos));
        }
    }
}
