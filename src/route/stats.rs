//! What is kept of one route: how much was asked beyond one request each, and how soon first
//! contents come.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::retry::Budget;
use super::rules::Rules;

/// The times that are looked at, the latest.
const KEPT: usize = 128;
/// Fewer say nothing of the slowest in twenty.
const ENOUGH: usize = 20;

/// What is kept of a route.
#[derive(Debug)]
pub struct RouteStats {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    retries: Budget,
    hedges: Budget,
    times: Vec<Duration>,
    /// The place of the oldest once there are [`KEPT`].
    oldest: usize,
    p95: Option<Duration>,
}

impl RouteStats {
    /// Nothing has happened.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let now = Instant::now();
        let (retries, hedges) = (
            Budget::retries(rules.least_retries, now),
            Budget::hedges(now),
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

    /// A request has come.
    pub fn begin(&self) {
        let (now, mut state) = (Instant::now(), self.state.lock());
        state.retries.deposit(now);
        state.hedges.deposit(now);
    }

    /// May a target be asked again? Each yes is counted.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        self.state.lock().retries.take(Instant::now())
    }

    /// May a second target be asked beside the first? Each yes is counted.
    #[must_use]
    pub fn may_hedge(&self) -> bool {
        self.state.lock().hedges.take(Instant::now())
    }

    /// A target gave its first content after this time, or would have taken longer.
    pub fn observe(&self, took: Duration) {
        self.state.lock().observe(took);
    }

    /// The time in which nineteen of twenty first contents have come lately; `None` while there
    /// were too few.
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
        if self.times.len() >= ENOUGH {
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
    fn the_slowest_in_twenty_is_known_when_there_are_enough() {
        let stats = RouteStats::new(Rules::default());
        (1..20).for_each(|n| stats.observe(MS(n * 10)));
        assert_eq!(stats.p95(), None);
        stats.observe(MS(200));
        assert_eq!(stats.p95(), Some(MS(200)));
        (0..100).for_each(|_| stats.observe(MS(50)));
        assert!(stats.p95().unwrap() < MS(160), "{:?}", stats.p95());
        (0..KEPT).for_each(|_| stats.observe(MS(70)));
        assert_eq!(stats.p95(), Some(MS(70)), "what was is forgotten");
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
