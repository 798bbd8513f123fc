//! When a failing target is left alone, and how often one may be asked again.

use std::time::Duration;

/// The rules of all routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many failures behind one another open a breaker …
    pub consecutive: u32,
    /// … and so do failures of this share of the outcomes within [`Self::window`], percent, …
    pub percent: u32,
    /// … where there are at least so many outcomes.
    pub least: u32,
    /// The time over which that share is counted.
    pub window: Duration,
    /// How long a breaker is open at first; it doubles each time …
    pub shortest: Duration,
    /// … up to this. Closed for so long, it begins again with the shortest.
    pub longest: Duration,
    /// How long a probe keeps others from probing: one that takes longer may be a model that
    /// thinks.
    pub probe: Duration,
    /// The longest a provider's own `retry-after` keeps a target from being asked: what says more
    /// is more likely wrong.
    pub longest_pause: Duration,
    /// The longest that an account is taken to be full because its headers say that nothing
    /// remains: providers count by the minute, and the time they give is mostly that until all of
    /// it is back.
    pub longest_full: Duration,
    /// Retries in ten seconds that a route has whatever a fifth of its requests is: so that a quiet
    /// one has some at all.
    pub least_retries: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            consecutive: 5,
            percent: 50,
            least: 10,
            window: Duration::from_secs(30),
            shortest: Duration::from_secs(2),
            longest: Duration::from_secs(60),
            probe: Duration::from_secs(10),
            longest_pause: Duration::from_secs(60 * 60),
            longest_full: Duration::from_secs(60),
            least_retries: 100,
        }
    }
}

impl Rules {
    /// Nothing is ever held against a target, and it is asked again as often as its route says.
    #[must_use]
    pub fn forgiving() -> Self {
        let never = u32::MAX;
        Self {
            consecutive: never,
            least: never,
            longest_pause: Duration::ZERO,
            longest_full: Duration::ZERO,
            least_retries: never,
            ..Self::default()
        }
    }
}
