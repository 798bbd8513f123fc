//! Retries: at most a share of the requests, so that an outage does not double the load, each after
//! a longer wait.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;

/// Wait before the first retry of the same target; it doubles with each retry.
const BACKOFF: Duration = Duration::from_millis(200);
/// Time over which requests and extra attempts are compared.
const SPAN: Duration = Duration::from_secs(10);

/// A budget for attempts beyond one per request.
#[derive(Debug)]
pub(super) struct ExtraBudget {
    /// Share of the requests, percent.
    percent: u32,
    /// Attempts allowed beside the share, so that a quiet route has some at all.
    least: u32,
    counts: Window<2>,
}

const REQUESTS: usize = 0;
const EXTRA: usize = 1;

impl ExtraBudget {
    /// Creates the budget of retries: a fifth of the requests, plus `least` per ten seconds.
    pub(super) fn retries(least: u32, now: Instant) -> Self {
        Self {
            percent: 20,
            least,
            counts: Window::new(SPAN, now),
        }
    }

    /// Creates the budget of hedges: a tenth of the requests, plus one per second.
    pub(super) fn hedges(now: Instant) -> Self {
        Self {
            percent: 10,
            least: 10,
            counts: Window::new(SPAN, now),
        }
    }

    /// Counts a request.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.counts.add(now, REQUESTS);
    }

    /// Takes an attempt if one is left.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let [requests, extra] = self.counts.counts(now);
        let may = u64::from(requests) * u64::from(self.percent) / 100 + u64::from(self.least);
        let there = u64::from(extra) < may;
        if there {
            self.counts.add(now, EXTRA);
        }
        there
    }
}

/// Returns the wait before a retry: what the provider asked for, else exponential with jitter.
#[must_use]
pub fn retry_wait(retries: u32, asked: Option<Duration>) -> Duration {
    asked.unwrap_or_else(|| {
        // Bounded: at most 51.2 s.
        let most = BACKOFF.saturating_mul(1 << retries.min(8));
        // Between half of the maximum and all of it.
        most / 2 + most.mul_f64(fraction() / 2.0)
    })
}

/// Returns between three quarters of a time and all of it, so that requests that wait for the same
/// time do not come back together.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.75 + fraction() / 4.0)
}

/// Returns a random number from 0 to 1.
fn fraction() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// Returns a random number for balancing, not for secrets: SplitMix64 with a seed from the system.
pub(super) fn random() -> u64 {
    // The fixed seed is used if the system gives no randomness: balancing needs none that is
    // secret.
    static STATE: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(getrandom::u64().unwrap_or(0x5851_f42d_4c95_7f2d)));
    mix(STATE
        .fetch_add(GOLDEN, Ordering::Relaxed)
        .wrapping_add(GOLDEN))
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes bits so that similar inputs give unrelated outputs (the finisher of SplitMix64).
pub(super) const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests() {
        let mut now = Instant::now();
        let mut budget = ExtraBudget::retries(100, now);
        let (mut requests, mut retries) = (0, 0);
        for _ in 0..100_000 {
            now += Duration::from_millis(1);
            budget.deposit(now);
            requests += 1;
            retries += u32::from(budget.take(now));
        }
        let share = f64::from(retries) / f64::from(requests);
        assert!(
            (0.2..0.24).contains(&share),
            "{share}: a fifth, and ten a second"
        );
    }

    #[test]
    fn a_quiet_route_has_a_minimum_of_retries() {
        let now = Instant::now();
        let mut budget = ExtraBudget::retries(100, now);
        budget.deposit(now);
        assert!((0..100).all(|_| budget.take(now)));
        assert!(!budget.take(now));
        assert!(budget.take(now + SPAN), "the budget recovers over time");
    }

    #[test]
    fn waits_grow_within_bounds() {
        for retries in 0..20 {
            let most = BACKOFF * (1 << retries.min(8));
            let wait = retry_wait(retries, None);
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
        }
        assert_eq!(
            retry_wait(3, Some(Duration::from_secs(9))),
            Duration::from_secs(9)
        );
        let time = Duration::from_secs(100);
        assert!(
            (0..1000)
                .map(|_| jittered(time))
                .all(|it| it >= time * 3 / 4 && it <= time)
        );
    }

    #[test]
    fn random_numbers_are_spread() {
        let low = (0..10_000).filter(|_| random() % 10 < 3).count();
        assert!(
            (2700..3300).contains(&low),
            "{low} of 10000 for three tenths"
        );
    }
}
