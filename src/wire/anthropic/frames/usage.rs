//! Usage as this wire counts it: several cumulative reports, with cached input outside of
//! `input_tokens`.

use serde_json::value::RawValue;

use super::super::shape::UsageCounts;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::DecodeError;
use crate::wire::kit::sink;
use crate::wire::kit::usage::{LatestUsage, sum};

/// The latest counts of one answer.
#[derive(Default)]
pub(super) struct UsageCounter {
    counts: UsageCounts,
    latest: LatestUsage,
}

impl UsageCounter {
    /// Reads one `usage` object: its counts replace the earlier ones.
    ///
    /// # Errors
    /// When it cannot be read as such an object.
    pub(super) fn read_usage(&mut self, usage: &RawValue) -> Result<(), DecodeError> {
        let new: UsageCounts = sink::read(WireId::Anthropic, usage.get(), "usage")?;
        let old = self.counts;
        // Reports are cumulative, and later ones may leave out counts that have not changed.
        self.counts = UsageCounts {
            input_tokens: new.input_tokens.or(old.input_tokens),
            cache_read_input_tokens: new.cache_read_input_tokens.or(old.cache_read_input_tokens),
            cache_creation_input_tokens: new
                .cache_creation_input_tokens
                .or(old.cache_creation_input_tokens),
            output_tokens: new.output_tokens.or(old.output_tokens),
            output_tokens_details: new.output_tokens_details.or(old.output_tokens_details),
        };
        Ok(())
    }

    /// Returns the reliable part of the usage in `message_start`. Its output is a placeholder, and
    /// so is an input of 0: an estimate is closer to the truth if the stream breaks here.
    pub(super) fn initial(&mut self) -> Option<Usage> {
        let usage = self.usage();
        self.latest.change(Usage {
            input: usage.input.filter(|total| *total > 0),
            output: None,
            reasoning: None,
            ..usage
        })
    }

    /// Returns the current usage if it differs from the usage returned last.
    pub(super) fn changed(&mut self) -> Option<Usage> {
        self.latest.change(self.usage())
    }

    fn usage(&self) -> Usage {
        let counts = &self.counts;
        Usage {
            // `Usage::input` includes cached tokens, the API's `input_tokens` does not.
            input: sum([
                counts.input_tokens.0,
                counts.cache_read_input_tokens.0,
                counts.cache_creation_input_tokens.0,
            ]),
            output: counts.output_tokens.0,
            cached_input: counts.cache_read_input_tokens.0,
            cache_write: counts.cache_creation_input_tokens.0,
            reasoning: counts
                .output_tokens_details
                .and_then(|details| details.thinking_tokens.0),
            estimated: false,
            cost: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(counter: &mut UsageCounter, json: &str) {
        counter
            .read_usage(serde_json::from_str(json).unwrap())
            .unwrap();
    }

    #[test]
    fn later_counts_replace_earlier_ones_and_input_includes_cached() {
        let mut counter = UsageCounter::default();
        update(
            &mut counter,
            r#"{"input_tokens":11,"cache_read_input_tokens":1000,"cache_creation_input_tokens":100,"output_tokens":1}"#,
        );
        let initial = counter.initial().unwrap();
        assert_eq!(
            (
                initial.input,
                initial.output,
                initial.cached_input,
                initial.cache_write
            ),
            (Some(1111), None, Some(1000), Some(100))
        );
        update(&mut counter, r#"{"output_tokens":5}"#);
        update(
            &mut counter,
            r#"{"output_tokens":9,"input_tokens":12,"output_tokens_details":{"thinking_tokens":4}}"#,
        );
        let end = counter.changed().unwrap();
        assert_eq!(
            (end.input, end.output, end.reasoning),
            (Some(1112), Some(9), Some(4))
        );
        assert_eq!(counter.changed(), None, "returned already");
    }

    #[test]
    fn zero_input_is_reported_at_the_end_only() {
        let mut counter = UsageCounter::default();
        update(
            &mut counter,
            r#"{"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":null}"#,
        );
        assert_eq!(counter.initial(), None);
        let end = counter.changed().unwrap();
        assert_eq!(
            (end.input, end.output, end.cached_input),
            (Some(0), Some(0), None)
        );
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut counter = UsageCounter::default();
        update(
            &mut counter,
            r#"{"input_tokens":18446744073709551615,"cache_read_input_tokens":2}"#,
        );
        assert_eq!(counter.changed().unwrap().input, Some(u64::MAX));
    }
}
