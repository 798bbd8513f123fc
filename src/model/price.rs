//! Prices of tokens.
//!
//! Invariant: a price is per million tokens, and a cost is rounded once, to the nearest billionth.

use super::money::Money;
use super::usage::Usage;

/// Number of tokens that a price refers to.
const MILLION: u128 = 1_000_000;

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
            sum.saturating_add(u128::from(*tokens) * u128::from(price.as_nanos()))
        });
        let nanos = millionths.saturating_add(MILLION / 2) / MILLION;
        // The price per answer is exact and is added after rounding.
        Money::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).plus(self.request)
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
            input: Money::from_nanos(u64::MAX),
            output: Money::from_nanos(u64::MAX),
            request: Money::from_nanos(u64::MAX),
            ..Price::default()
        };
        let usage = Usage {
            input: Some(u64::MAX),
            output: Some(u64::MAX),
            ..Usage::default()
        };
        assert_eq!(price.cost(&usage), Money::from_nanos(u64::MAX));
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
        assert_eq!(price.cost(&usage), Money::from_nanos(38));
    }

    proptest! {
        #[test]
        fn the_maximum_is_never_less_than_the_cost(input in 0_u64..1 << 40, output in 0_u64..1 << 40, cached: u32, write: u32, reasoning: u32, prices: [u32; 6]) {
            let [a, b, c, d, e, f] = prices.map(|it| Money::from_nanos(it.into()));
            let price = Price { input: a, cached_input: Some(b), cache_write: Some(c), output: d, reasoning: Some(e), request: f };
            let usage = Usage {
                input: Some(input), output: Some(output), cached_input: Some(cached.into()),
                cache_write: Some(write.into()), reasoning: Some(reasoning.into()), ..Usage::default()
            };
            prop_assert!(price.cost(&usage) <= price.max_cost(input, output));
        }
    }
}
