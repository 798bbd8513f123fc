//! Statistics of one route: retries and hedges compared to requests, and the times of first
//! contents.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::retry::ExtraBudget;
use super::rules::Rules;

/// Number of latest times kept.
const KEPT: usize = 128;
/// Minimum number of times from which a p95 is computed: fewer say nothing about the slowest in
/// twenty.
const ENOUGH: usize = 20;

/// Statistics of one route.
#[derive(Debug)]
pub struct RouteStats {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    retries: ExtraBudget,
    hedges: ExtraBudget,
    times: Vec<Duration>,
    /// Index of the oldest time once there are [`KEPT`].
    oldest: usize,
    p95: Option<Duration>,
}

impl RouteStats {
    /// Creates empty statistics.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let now = Instant::now();
        let (retries, hedges) = (
            ExtraBudget::retries(rules.min_retries, now),
            ExtraBudget::hedges(now),
        );
        Self {
            state: Mutex::new(State {
                retries,
                hedges,
                times: Vec::new(),
                oldest: 0,
                p95: None,
            }),
        }
    }

    /// Counts a request.
    pub fn begin(&self) {
        let (now, mut state) = (Instant::now(), self.state.lock());
        state.retries.deposit(now);
        state.hedges.deposit(now);
    }

    /// Returns true if a target may be asked again, and counts the retry.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.state.lock().retries.take(Instant::now())
    }

    /// Returns true if a second target may be asked beside the first, and counts the hedge.
    #[must_use]
    pub fn may_hedge(&self) -> bool {
        self.state.lock().hedges.take(Instant::now())
    }

    /// Records the time of a first content, or a lower bound of it.
    pub fn observe(&self, took: Duration) {
        self.state.lock().observe(took);
    }

    /// Returns the recent 95th percentile of the times of first contents; `None` while there are
    /// too few.
    #[must_use]
    pub fn p95(&self) -> Option<Duration> {
        self.state.lock().p95
    }
}

impl State {
    fn observe(&mut self, took: Duration) {
        if self.times.len() < KEPT {
            self.times.push(took);
        } else if let Some(oldest) = self.times.get_mut(self.oldest) {
            *oldest = took;
            self.oldest = (self.oldest + 1) % KEPT;
        }
        // Computed with each new time, so that reading the p95 costs nothing.
        if self.times.len() >= ENOUGH {
            // A copy, as the selection reorders it.
            let mut times: smallvec::SmallVec<[Duration; KEPT]> =
                self.times.iter().copied().collect();
            let at = times.len() * 95 / 100;
            self.p95 = Some(*times.select_nth_unstable(at).1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_p95_is_known_once_there_are_enough_times() {
        let stats = RouteStats::new(Rules::default());
        (1..20).for_each(|n| stats.observe(MS(n * 10)));
        assert_eq!(stats.p95(), None);
        stats.observe(MS(200));
        assert_eq!(stats.p95(), Some(MS(200)));
        (0..100).for_each(|_| stats.observe(MS(50)));
        assert!(stats.p95().unwrap() < MS(160), "{:?}", stats.p95());
        (0..KEPT).for_each(|_| stats.observe(MS(70)));
        assert_eq!(stats.p95(), Some(MS(70)), "older times are dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn hedges_are_a_tenth_of_the_requests() {
        let stats = RouteStats::new(Rules::default());
        let mut hedges = 0;
        for _ in 0..10_000 {
            stats.begin();
            hedges += usize::from(stats.may_hedge());
        }
        assert!((1000..1020).contains(&hedges), "{hedges}");
    }
}
