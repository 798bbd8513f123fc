//! Arithmetic of token counts, which wires count and report in different ways.

use crate::model::usage::Usage;

/// Returns the sum of the counts that are known; `None` if none is.
pub(in crate::wire) fn sum<const N: usize>(counts: [Option<u64>; N]) -> Option<u64> {
    counts.into_iter().flatten().reduce(u64::saturating_add)
}

/// Returns the usage, unless it has no counts.
pub(in crate::wire) fn known(usage: Usage) -> Option<Usage> {
    (usage != Usage::default()).then_some(usage)
}
