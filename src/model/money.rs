//! Amounts of money, in whole billionths of the operator's currency, and prices of tokens.
//!
//! Invariants: sums are of whole numbers, so that they do not depend on the order; a price is per
//! million tokens, and a cost is rounded once, to the nearest billionth. The currency is not known
//! here: all prices and budgets are in the same one.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::usage::Usage;

/// Number of billionths in one unit of the currency.
const NANOS: u64 = 1_000_000_000;
/// Number of tokens that a price refers to.
const MILLION: u128 = 1_000_000;
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

/// The prices of a target's tokens, per million of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Price {
    /// Price of input that was neither read from nor written to a prompt cache.
    pub input: Money,
    /// Price of input read from a prompt cache; `None` is the price of other input.
    pub cached_input: Option<Money>,
    /// Price of input written to a prompt cache; `None` is the price of other input.
    pub cache_write: Option<Money>,
    /// Price of output.
    pub output: Money,
    /// Price of reasoning output; `None` is the price of other output.
    pub reasoning: Option<Money>,
    /// Price of each answer, independent of its tokens.
    pub request: Money,
}

impl Price {
    /// Returns the cost of a usage. Tokens without a count cost nothing.
    #[must_use]
    pub fn cost(&self, usage: &Usage) -> Money {
        let (input, output) = (usage.input.unwrap_or(0), usage.output.unwrap_or(0));
        // A provider may report parts that exceed their sum. Tokens must not be charged twice.
        let cached = usage.cached_input.unwrap_or(0).min(input);
        let written = usage.cache_write.unwrap_or(0).min(input - cached);
        let reasoning = usage.reasoning.unwrap_or(0).min(output);
        let parts = [
            (input - cached - written, self.input),
            (cached, self.cached_input.unwrap_or(self.input)),
            (written, self.cache_write.unwrap_or(self.input)),
            (output - reasoning, self.output),
            (reasoning, self.reasoning.unwrap_or(self.output)),
        ];
        let millionths = parts.iter().fold(0_u128, |sum, (tokens, price)| {
            sum.saturating_add(u128::from(*tokens) * u128::from(price.0))
        });
        let nanos = millionths.saturating_add(MILLION / 2) / MILLION;
        // The price per answer is exact and is added after rounding.
        Money(u64::try_from(nanos).unwrap_or(u64::MAX)).plus(self.request)
    }

    /// Returns the maximum cost of this many tokens, whatever their kinds. It is used before the
    /// kinds are known.
    #[must_use]
    pub fn max_cost(&self, input: u64, output: u64) -> Money {
        let max_input_price = [self.cached_input, self.cache_write]
            .into_iter()
            .flatten()
            .fold(self.input, Money::max);
        let max_prices = Self {
            input: max_input_price,
            output: self
                .reasoning
                .map_or(self.output, |reasoning| reasoning.max(self.output)),
            request: self.request,
            ..Self::default()
        };
        max_prices.cost(&Usage {
            input: Some(input),
            output: Some(output),
            ..Usage::default()
        })
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
    fn input_has_three_prices_and_output_two() {
        let price = Price {
            input: money("1.25"),
            cached_input: Some(money("0.125")),
            cache_write: Some(money("1.5625")),
            output: money("10"),
            reasoning: None,
            request: Money::ZERO,
        };
        let usage = Usage {
            input: Some(1000),
            cached_input: Some(600),
            cache_write: Some(100),
            output: Some(50),
            reasoning: Some(40),
            ..Usage::default()
        };
        // 300 × 1.25 + 600 × 0.125 + 100 × 1.5625 + 50 × 10, in millionths
        assert_eq!(price.cost(&usage).to_string(), "0.00110625");
        let reasoned = Price {
            reasoning: Some(money("20")),
            request: money("0.005"),
            ..price
        };
        assert_eq!(reasoned.cost(&usage).to_string(), "0.00650625");
        let plain = Price {
            cached_input: None,
            cache_write: None,
            ..price
        };
        assert_eq!(plain.cost(&usage).to_string(), "0.00175");
    }

    #[test]
    fn parts_larger_than_their_sum_are_not_charged_twice() {
        let price = Price {
            input: money("1"),
            cached_input: Some(money("0.5")),
            output: money("2"),
            ..Price::default()
        };
        let odd = Usage {
            input: Some(10),
            cached_input: Some(90),
            cache_write: Some(90),
            output: Some(1),
            reasoning: Some(7),
            ..Usage::default()
        };
        assert_eq!(price.cost(&odd).to_string(), "0.000007");
    }

    #[test]
    fn the_largest_values_saturate() {
        let price = Price {
            input: Money(u64::MAX),
            output: Money(u64::MAX),
            request: Money(u64::MAX),
            ..Price::default()
        };
        let usage = Usage {
            input: Some(u64::MAX),
            output: Some(u64::MAX),
            ..Usage::default()
        };
        assert_eq!(price.cost(&usage), Money(u64::MAX));
        assert_eq!(Price::default().cost(&usage), Money::ZERO);
    }

    #[test]
    fn fractions_of_a_billionth_are_rounded_once() {
        let price = Price {
            input: money("0.0375"),
            output: money("0.0005"),
            ..Price::default()
        };
        let usage = Usage {
            input: Some(1),
            output: Some(1),
            ..Usage::default()
        };
        // 37.5 + 0.5 billionths
        assert_eq!(price.cost(&usage), Money(38));
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

        #[test]
        fn the_maximum_is_never_less_than_the_cost(input in 0_u64..1 << 40, output in 0_u64..1 << 40, cached: u32, write: u32, reasoning: u32, prices: [u32; 6]) {
            let [a, b, c, d, e, f] = prices.map(|it| Money(it.into()));
            let price = Price { input: a, cached_input: Some(b), cache_write: Some(c), output: d, reasoning: Some(e), request: f };
            let usage = Usage {
                input: Some(input), output: Some(output), cached_input: Some(cached.into()),
                cache_write: Some(write.into()), reasoning: Some(reasoning.into()), ..Usage::default()
            };
            prop_assert!(price.cost(&usage) <= price.max_cost(input, output));
        }
    }
}
