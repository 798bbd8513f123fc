//! The figures of a limit, as configured or as a token brings them.

use std::num::NonZeroU32;

/// The figures of one limit. `None` means unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// Maximum number of generations per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Maximum number of tokens per minute, of prompts and answers together; one minute's worth may
    /// be used at once.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Maximum number of generations at a time.
    pub concurrent_streams: Option<NonZeroU32>,
    /// Maximum number of requests that may come at once; defaults to one minute's worth.
    pub burst: Option<NonZeroU32>,
}

impl Limit {
    /// Returns true if any figure is set.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.requests_per_minute.is_some()
            || self.tokens_per_minute.is_some()
            || self.concurrent_streams.is_some()
    }

    /// Returns the tighter figure of both limits, for each figure.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let tighter =
            |one: Option<NonZeroU32>, other: Option<NonZeroU32>| one.into_iter().chain(other).min();
        Self {
            requests_per_minute: tighter(self.requests_per_minute, other.requests_per_minute),
            tokens_per_minute: tighter(self.tokens_per_minute, other.tokens_per_minute),
            concurrent_streams: tighter(self.concurrent_streams, other.concurrent_streams),
            burst: tighter(self.burst, other.burst),
        }
    }

    /// Returns the requests per minute and the burst, if requests are limited.
    #[must_use]
    pub fn requests(&self) -> Option<(NonZeroU32, NonZeroU32)> {
        let per_minute = self.requests_per_minute?;
        Some((per_minute, self.burst.unwrap_or(per_minute)))
    }
}
