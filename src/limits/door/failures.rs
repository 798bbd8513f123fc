//! Failed authentications per address: sixty in a minute, then the door stays shut until that
//! minute is over.
//!
//! Invariants: exactly the sixty-first attempt within a minute of the first finds the door shut; at
//! most `KEPT` addresses (and [`Address::SHARED`] shared keys) are remembered; while nobody has
//! failed, a check costs one atomic load.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::address::Address;

/// Failures that are let pass in one [`WINDOW`].
const ALLOWED: u32 = 60;
/// How long a failure counts, from the first one on.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses with a window of their own: 64 Ki of them take about 3 MiB.
const KEPT: usize = 1 << 16;
/// A full table is walked for windows that are over at most this often: a flood must not have us
/// walk it all the time.
const SWEEP: Duration = Duration::from_secs(1);

/// The addresses that failed lately.
#[derive(Debug, Default)]
pub struct Failures {
    windows: Mutex<Windows>,
    /// The size of the map, for a look without the lock.
    remembered: AtomicUsize,
    secret: RandomState,
}

#[derive(Debug, Default)]
struct Windows {
    by_address: HashMap<Address, Window>,
    swept: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Instant,
    failures: u32,
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= WINDOW
    }
}

impl Failures {
    /// Counts one failure.
    pub fn count(&self, address: Address, now: Instant) {
        let mut windows = self.windows.lock();
        let key = windows
            .place(address, now)
            .unwrap_or_else(|| address.shared(&self.secret));
        let window = windows.by_address.entry(key).or_insert(Window {
            since: now,
            failures: 0,
        });
        if window.is_over(now) {
            *window = Window {
                since: now,
                failures: 0,
            };
        }
        window.failures = window.failures.saturating_add(1);
        self.remembered
            .store(windows.by_address.len(), Ordering::Relaxed);
    }

    /// How long the door stays shut for that address, where it is shut.
    #[must_use]
    pub fn blocked(&self, address: Address, now: Instant) -> Option<Duration> {
        if self.remembered.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let windows = &self.windows.lock().by_address;
        let window = windows
            .get(&address)
            .or_else(|| windows.get(&address.shared(&self.secret)))?;
        (window.failures >= ALLOWED && !window.is_over(now))
            .then(|| WINDOW.saturating_sub(now.duration_since(window.since)))
    }
}

impl Windows {
    /// The key to count under: the address itself while there is room.
    fn place(&mut self, address: Address, now: Instant) -> Option<Address> {
        if self.by_address.contains_key(&address) {
            return Some(address);
        }
        if self.by_address.len() >= KEPT
            && self
                .swept
                .is_none_or(|swept| now.duration_since(swept) >= SWEEP)
        {
            self.swept = Some(now);
            self.by_address.retain(|_, window| !window.is_over(now));
        }
        (self.by_address.len() < KEPT).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Address = Address::V4(1);

    #[test]
    fn the_door_opens_again_when_the_minute_is_over() {
        let (failures, start) = (Failures::default(), Instant::now());
        (0..ALLOWED).for_each(|_| failures.count(ONE, start));
        assert_eq!(
            failures.blocked(ONE, start + Duration::from_secs(20)),
            Some(Duration::from_secs(40))
        );
        assert_eq!(failures.blocked(ONE, start + WINDOW), None);
        failures.count(ONE, start + WINDOW);
        assert_eq!(
            failures.blocked(ONE, start + WINDOW),
            None,
            "a new minute begins with one failure"
        );
    }

    #[test]
    fn memory_is_bounded_and_the_limit_still_holds() {
        let (failures, start) = (Failures::default(), Instant::now());
        for address in 0..(KEPT + 20_000) as u32 {
            failures.count(Address::V4(address), start);
        }
        assert!(failures.windows.lock().by_address.len() <= KEPT + usize::from(Address::SHARED));
        let late = Address::V6(7);
        (0..ALLOWED).for_each(|_| failures.count(late, start));
        assert!(
            failures.blocked(late, start).is_some(),
            "those without a window of their own share one"
        );
        failures.count(Address::V6(8), start + WINDOW);
        assert!(
            failures.windows.lock().by_address.len() <= usize::from(Address::SHARED) + 1,
            "what is over is let go"
        );
    }
}
