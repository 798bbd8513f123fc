//! How often and how soon a target is asked again: a share of the requests, so that an outage does
//! not double the load, and later each time.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::window::Window;

/// The first wait before the same target is asked again; it doubles.
const BACKOFF: Duration = Duration::from_millis(200);
/// The time over which requests and what is asked beyond them are compared.
const SPAN: Duration = Duration::from_secs(10);

/// What may be asked of upstreams beyond one request for each.
#[derive(Debug)]
pub(super) struct Budget {
    /// Of a hundred requests.
    percent: u32,
    /// Whatever the share is: so that a quiet route has some at all.
    least: u32,
    counts: Window<2>,
}

const REQUESTS: usize = 0;
const EXTRA: usize = 1;

impl Budget {
    /// That of retries: a fifth of the requests, and so many in ten seconds.
    pub(super) fn retries(least: u32, now: Instant) -> Self {
        Self {
            percent: 20,
            least,
            counts: Window::new(SPAN, now),
        }
    }

    /// That of hedges: a tenth of the requests, and one a second.
    pub(super) fn hedges(now: Instant) -> Self {
        Self {
            percent: 10,
            least: 10,
            counts: Window::new(SPAN, now),
        }
    }

    /// A request has come.
    pub(super) fn deposit(&mut self, now: Instant) {
        self.counts.add(now, REQUESTS);
    }

    /// Takes one, if there is one left.
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

/// The wait before another try: what the provider asks for, else exponential with jitter.
#[must_use]
pub fn wait_before(retries: u32, asked: Option<Duration>) -> Duration {
    asked.unwrap_or_else(|| {
        let most = BACKOFF.saturating_mul(1 << retries.min(8));
        // Between half of it and all.
        most / 2 + most.mul_f64(fraction() / 2.0)
    })
}

/// Between three quarters of a time and all of it, so that those who wait for the same do not come
/// back together.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(0.75 + fraction() / 4.0)
}

/// A number from 0 up to 1.
fn fraction() -> f64 {
    f64::from(u32::try_from(random() >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}

/// A number that nobody relies on not being guessed: SplitMix64, begun where the system says.
pub(super) fn random() -> u64 {
    static STATE: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(getrandom::u64().unwrap_or(0x5851_f42d_4c95_7f2d)));
    mixed(
        STATE
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN),
    )
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bits well spread (the finisher of SplitMix64).
pub(super) const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_not_doubled() {
        let mut now = Instant::now();
        let mut budget = Budget::retries(100, now);
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
    fn a_quiet_route_may_ask_again() {
        let now = Instant::now();
        let mut budget = Budget::retries(100, now);
        budget.deposit(now);
        assert!((0..100).all(|_| budget.take(now)));
        assert!(!budget.take(now));
        assert!(budget.take(now + SPAN), "time gives some back");
    }

    #[test]
    fn waits_grow_within_bounds() {
        for retries in 0..20 {
            let most = BACKOFF * (1 << retries.min(8));
            let wait = wait_before(retries, None);
            assert!(wait >= most / 2 && wait <= most, "{wait:?} of {most:?}");
        }
        assert_eq!(
            wait_before(3, Some(Duration::from_secs(9))),
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
