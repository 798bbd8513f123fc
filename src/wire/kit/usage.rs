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

/// The usage of an answer that reports it several times, each time complete.
#[derive(Default)]
pub(in crate::wire) struct LatestUsage(Usage);

impl LatestUsage {
    /// Records a report; returns it if it differs from the one before.
    pub(in crate::wire) fn change(&mut self, report: Usage) -> Option<Usage> {
        // A frame reports usage only where it changes it.
        let is_new = report != self.0;
        self.0 = report;
        is_new.then_some(report)
    }
}
