//! Token counts with one meaning for every provider.

use super::money::Money;

/// Tokens used by one generation, normalized: `input` includes cached and cache-write tokens,
/// `output` includes reasoning. What a provider did not say is `None`, never zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens, those read from or written to a prompt cache included.
    pub input: Option<u64>,
    /// All output tokens, reasoning included.
    pub output: Option<u64>,
    /// Input tokens that were read from a prompt cache (part of `input`).
    pub cached_input: Option<u64>,
    /// Input tokens that were written to a prompt cache (part of `input`).
    pub cache_write: Option<u64>,
    /// Output tokens spent on reasoning (part of `output`).
    pub reasoning: Option<u64>,
    /// True when any figure rests on our estimate rather than on the provider's word.
    pub estimated: bool,
    /// What it costs by the operator's prices; `None` where the target has none. No provider says
    /// it: it is filled in when the stream is settled, and journaled with the figures it was
    /// reckoned from.
    pub cost: Option<Money>,
}

impl Usage {
    /// Input plus output, where at least one of them is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match (self.input, self.output) {
            (None, None) => None,
            (input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}

/// The estimate of the tokens in `bytes` of UTF-8 text: a quarter, rounded up.
#[must_use]
pub const fn estimate(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}
