//! Usage as this wire counts it: told in pieces that are cumulative, with cached input outside of
//! `input_tokens`.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape;
use crate::model::usage::Usage;
use crate::wire::DecodeError;

/// The counts told so far.
#[derive(Debug, Default)]
pub(super) struct UsageCounter {
    counts: Counts,
    told: Usage,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Counts {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Details {
    thinking_tokens: Option<u64>,
}

impl UsageCounter {
    /// Takes in one `usage` object: what it says replaces what was said before.
    ///
    /// # Errors
    /// When it is no such object.
    pub(super) fn add(&mut self, usage: &RawValue) -> Result<(), DecodeError> {
        let new: Counts = shape::read(usage.get(), "usage")?;
        let old = self.counts;
        self.counts = Counts {
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

    /// What `message_start` tells for certain. Its output is a placeholder, and so is an input of
    /// nothing at all: an estimate is nearer to the truth if the stream breaks here.
    pub(super) fn begun(&mut self) -> Option<Usage> {
        let usage = self.usage();
        self.tell(Usage {
            input: usage.input.filter(|total| *total > 0),
            output: None,
            reasoning: None,
            ..usage
        })
    }

    /// What is known now, where it is news.
    pub(super) fn settled(&mut self) -> Option<Usage> {
        self.tell(self.usage())
    }

    fn tell(&mut self, usage: Usage) -> Option<Usage> {
        if usage == self.told {
            return None;
        }
        self.told = usage;
        Some(usage)
    }

    fn usage(&self) -> Usage {
        let counts = &self.counts;
        let inputs = [
            counts.input_tokens,
            counts.cache_read_input_tokens,
            counts.cache_creation_input_tokens,
        ];
        Usage {
            input: inputs.into_iter().flatten().reduce(u64::saturating_add),
            output: counts.output_tokens,
            cached_input: counts.cache_read_input_tokens,
            cache_write: counts.cache_creation_input_tokens,
            reasoning: counts
                .output_tokens_details
                .and_then(|details| details.thinking_tokens),
            estimated: false,
            cost: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(counter: &mut UsageCounter, json: &str) {
        counter.add(serde_json::from_str(json).unwrap()).unwrap();
    }

    #[test]
    fn cumulative_counts_replace_and_cached_input_is_added() {
        let mut counter = UsageCounter::default();
        add(
            &mut counter,
            r#"{"input_tokens":11,"cache_read_input_tokens":1000,"cache_creation_input_tokens":100,"output_tokens":1}"#,
        );
        let begun = counter.begun().unwrap();
        assert_eq!(
            (
                begun.input,
                begun.output,
                begun.cached_input,
                begun.cache_write
            ),
            (Some(1111), None, Some(1000), Some(100))
        );
        add(&mut counter, r#"{"output_tokens":5}"#);
        add(
            &mut counter,
            r#"{"output_tokens":9,"input_tokens":12,"output_tokens_details":{"thinking_tokens":4}}"#,
        );
        let end = counter.settled().unwrap();
        assert_eq!(
            (end.input, end.output, end.reasoning),
            (Some(1112), Some(9), Some(4))
        );
        assert_eq!(counter.settled(), None, "told already");
    }

    #[test]
    fn zeros_are_told_once_they_are_certain() {
        let mut counter = UsageCounter::default();
        add(
            &mut counter,
            r#"{"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":null}"#,
        );
        assert_eq!(counter.begun(), None);
        let end = counter.settled().unwrap();
        assert_eq!(
            (end.input, end.output, end.cached_input),
            (Some(0), Some(0), None)
        );
    }

    #[test]
    fn sums_do_not_overflow() {
        let mut counter = UsageCounter::default();
        add(
            &mut counter,
            r#"{"input_tokens":18446744073709551615,"cache_read_input_tokens":2}"#,
        );
        assert_eq!(counter.settled().unwrap().input, Some(u64::MAX));
    }
}
