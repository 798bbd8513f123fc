//! Usage as this wire counts it.

use super::super::shape::UsageCounts;
use crate::model::usage::Usage;
use crate::wire::kit::usage::sum;

/// Returns the normalized usage.
pub(super) fn read_usage(counts: &UsageCounts) -> Usage {
    Usage {
        // `inputTokens` excludes cached tokens, `Usage::input` includes them.
        input: sum([
            counts.input_tokens.0,
            counts.cache_read_input_tokens.0,
            counts.cache_write_input_tokens.0,
        ]),
        output: counts.output_tokens.0,
        cached_input: counts.cache_read_input_tokens.0,
        cache_write: counts.cache_write_input_tokens.0,
        ..Usage::default()
    }
}
