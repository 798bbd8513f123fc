//! Failed authentications per address: after sixty within a minute the address is blocked until
//! that minute is over.
//!
//! Invariants: exactly the sixty-first attempt within a minute of the first is blocked; at most
//! `MAX_ADDRESSES` addresses (and [`Address::SHARED`] shared keys) are kept; while no address has
//! failed, a check costs one atomic load.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::address::Address;

/// Number of failures allowed within one [`WINDOW`].
const ALLOWED: u32 = 60;
/// Time for which failures count, from the first one on.
const WINDOW: Duration = Duration::from_secs(60);
/// Maximum number of addresses with a window of their own: 64 Ki of them take about 3 MiB.
const MAX_ADDRESSES: usize = 1 << 16;
/// Minimum time between two sweeps of a full table for windows that are over: a flood must not make
/// every check walk the table.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The addresses with recent failures.
#[derive(Debug, Default)]
pub struct Failures {
    windows: Mutex<Windows>,
    /// Size of the map, readable without the lock.
    map_size: AtomicUsize,
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
            .key_for(address, now)
            .unwrap_or_else(|| address.shared(&self.secret));
        let window = windows.by_address.entry(key).or_insert(Window {
            since: now,
            failures: 0,
        });
        // A window starts with its first failure, not on the minute.
        if window.is_over(now) {
            *window = Window {
                since: now,
                failures: 0,
            };
        }
        window.failures = window.failures.saturating_add(1);
        self.map_size
            .store(windows.by_address.len(), Ordering::Relaxed);
    }

    /// Returns how long the address stays blocked, if it is.
    #[must_use]
    pub fn blocked(&self, address: Address, now: Instant) -> Option<Duration> {
        // The common case: no address has failed, and no lock is taken.
        if self.map_size.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let windows = &self.windows.lock().by_address;
        let window = windows
            .get(&address)
            // An address without a window of its own was counted under its shared key.
            .or_else(|| windows.get(&address.shared(&self.secret)))?;
        (window.failures >= ALLOWED && !window.is_over(now))
            .then(|| WINDOW.saturating_sub(now.duration_since(window.since)))
    }
}

impl Windows {
    /// Returns the key to count under: the address itself, or `None` if there is no room for it.
    fn key_for(&mut self, address: Address, now: Instant) -> Option<Address> {
        if self.by_address.contains_key(&address) {
            return Some(address);
        }
        if self.by_address.len() >= MAX_ADDRESSES
            && self
                .swept
                .is_none_or(|swept| now.duration_since(swept) >= SWEEP_INTERVAL)
        {
            self.swept = Some(now);
            self.by_address.retain(|_, window| !window.is_over(now));
        }
        (self.by_address.len() < MAX_ADDRESSES).then_some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Address = Address::V4(1);

    #[test]
    fn an_address_is_unblocked_when_the_minute_is_over() {
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
            "a new window begins with one failure"
        );
    }

    #[test]
    fn memory_is_bounded_and_the_limit_still_holds() {
        let (failures, start) = (Failures::default(), Instant::now());
        for address in 0..(MAX_ADDRESSES + 20_000) as u32 {
            failures.count(Address::V4(address), start);
        }
        assert!(
            failures.windows.lock().by_address.len()
                <= MAX_ADDRESSES + usize::from(Address::SHARED)
        );
        let late = Address::V6(7);
        (0..ALLOWED).for_each(|_| failures.count(late, start));
        assert!(
            failures.blocked(late, start).is_some(),
            "addresses without a window of their own share one"
        );
        failures.count(Address::V6(8), start + WINDOW);
        assert!(
            failures.windows.lock().by_address.len() <= usize::from(Address::SHARED) + 1,
            "windows that are over are removed"
        );
    }
}
