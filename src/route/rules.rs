//! Rules for when a failing target is paused and how often one may be asked again.

use std::time::Duration;

/// The rules of all routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Number of consecutive failures that open a breaker …
    pub consecutive_failures: u32,
    /// … and share of failures among the outcomes within [`Self::window`] that opens it, in
    /// percent, …
    pub failure_percent: u32,
    /// … if there are at least this many outcomes.
    pub min_outcomes: u32,
    /// Time over which that share is counted.
    pub window: Duration,
    /// Time for which a breaker is open at first; it doubles each time …
    pub shortest_open: Duration,
    /// … up to this. A breaker that was closed for this long starts again with the shortest time.
    pub longest_open: Duration,
    /// Time for which a running probe keeps others from probing: one that takes longer may be a
    /// model that thinks.
    pub probe_time: Duration,
    /// Maximum time for which a provider's `retry-after` pauses a target: a longer one is more
    /// likely wrong.
    pub longest_pause: Duration,
    /// Maximum time for which a target is paused because its provider's headers report that nothing
    /// remains: providers count by the minute, and the time they give is mostly the one until all
    /// of it is back.
    pub longest_full_pause: Duration,
    /// Retries per ten seconds that a route has beside a fifth of its requests, so that a quiet one
    /// has some at all.
    pub min_retries: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_percent: 50,
            min_outcomes: 10,
            window: Duration::from_secs(30),
            shortest_open: Duration::from_secs(2),
            longest_open: Duration::from_secs(60),
            probe_time: Duration::from_secs(10),
            longest_pause: Duration::from_secs(60 * 60),
            longest_full_pause: Duration::from_secs(60),
            min_retries: 100,
        }
    }
}

impl Rules {
    /// Rules that never pause a target and allow every configured retry.
    #[must_use]
    pub fn forgiving() -> Self {
        let never = u32::MAX;
        Self {
            consecutive_failures: never,
            min_outcomes: never,
            longest_pause: Duration::ZERO,
            longest_full_pause: Duration::ZERO,
            min_retries: never,
            ..Self::default()
        }
    }
}
