//! Token counts with the same meaning for every provider.

use super::money::Money;

/// The tokens of one generation, normalized: `input` includes cached and cache-write tokens,
/// `output` includes reasoning. A count that a provider did not send is `None`, never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, including those read from or written to a prompt cache.
    pub input: Option<u64>,
    /// All output tokens, including reasoning.
    pub output: Option<u64>,
    /// Input tokens that were read from a prompt cache (part of `input`).
    pub cached_input: Option<u64>,
    /// Input tokens that were written to a prompt cache (part of `input`).
    pub cache_write: Option<u64>,
    /// Output tokens used for reasoning (part of `output`).
    pub reasoning: Option<u64>,
    /// True if any count is our estimate instead of the provider's own.
    pub estimated: bool,
    /// The cost by the configured prices; `None` if the target has none. It is computed when the
    /// stream is settled, and journaled with the counts that it was computed from.
    pub cost: Option<Money>,
}

impl Usage {
    /// Returns the sum of input and output, if at least one of them is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}

/// Output that may stream between two looks at limits and budgets, bytes: a look costs as much as a
/// token, and 64 tokens do not matter to an account that counts by the minute or by the day.
pub const OUTPUT_STEP: u64 = 256;

/// Estimates the number of tokens in this many bytes of UTF-8 text: a quarter, rounded up.
#[must_use]
pub const fn estimate(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}
