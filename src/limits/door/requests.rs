//! Requests per address and minute, counted by `governor`.
//!
//! Invariants: at most `MAX_ADDRESSES` addresses have an account of their own, others share
//! [`Address::SHARED`] accounts; accounts that are full again are removed once a minute, or earlier
//! if room is needed.

use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use super::super::limit_state::LimitState;
use super::DoorRefusal;
use super::address::Address;
use crate::model::limit::Limit;

/// Maximum number of addresses with an account of their own: 128 Ki of them take about 6 MiB.
const MAX_ADDRESSES: usize = 1 << 17;
/// Number of requests between two looks at the size of the table, which locks every shard.
const MAINTAIN_EVERY: u32 = 256;
/// Time between two removals of accounts that are full again.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// The same while the table is full; a sweep walks all of it.
const FULL_SWEEP_INTERVAL: Duration = Duration::from_secs(1);

type Accounts<C> = RateLimiter<Address, DashMapStateStore<Address>, C, StateInformationMiddleware>;

/// The accounts of all addresses under one limit.
#[derive(Debug)]
pub struct Requests<C: Clock = DefaultClock> {
    limit: Limit,
    per_minute: NonZeroU32,
    accounts: Accounts<C>,
    max_addresses: usize,
    checks: AtomicU32,
    full: AtomicBool,
    swept: Mutex<Instant>,
    secret: RandomState,
}

impl Requests {
    /// Creates the accounts for a limit; `None` if it does not limit requests.
    #[must_use]
    pub fn new(limit: &Limit) -> Option<Self> {
        Self::with_clock(limit, MAX_ADDRESSES, DefaultClock::default())
    }
}

impl<C: Clock> Requests<C> {
    fn with_clock(limit: &Limit, max_addresses: usize, clock: C) -> Option<Self> {
        let per_minute = limit.requests_per_minute?;
        let quota = Quota::per_minute(per_minute).allow_burst(limit.burst.unwrap_or(per_minute));
        Some(Self {
            limit: *limit,
            per_minute,
            accounts: RateLimiter::new(quota, DashMapStateStore::default(), clock),
            max_addresses,
            checks: AtomicU32::new(0),
            full: AtomicBool::new(false),
            swept: Mutex::new(Instant::now()),
            secret: RandomState::new(),
        })
    }

    /// Returns the limit that the accounts apply.
    #[must_use]
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Takes one request from the account of that address.
    ///
    /// # Errors
    /// The refusal when the account is empty; nothing is taken then.
    pub fn check(&self, address: Address) -> Result<LimitState, DoorRefusal> {
        self.maintain();
        // While the table is full every address uses a shared key, so that no check adds an
        // account.
        let key = if self.full.load(Ordering::Relaxed) {
            address.shared(&self.secret)
        } else {
            address
        };
        match self.accounts.check_key(&key) {
            Ok(state) => Ok(self.limit_state(&state)),
            Err(early) => Err(DoorRefusal {
                limit_state: LimitState {
                    remaining: 0,
                    reset: refill_time(&early.quota(), early.quota().burst_size().get()),
                    ..self.empty()
                },
                retry_after: early.wait_time_from(self.accounts.clock().now()),
            }),
        }
    }

    fn limit_state(&self, state: &StateSnapshot) -> LimitState {
        let (quota, remaining) = (state.quota(), state.remaining_burst_capacity());
        LimitState {
            remaining,
            reset: refill_time(&quota, quota.burst_size().get().saturating_sub(remaining)),
            ..self.empty()
        }
    }

    fn empty(&self) -> LimitState {
        LimitState {
            limit: "ip",
            per_minute: self.per_minute.get(),
            remaining: 0,
            reset: Duration::ZERO,
        }
    }

    /// Removes accounts that are full again, from time to time, and records whether there is room
    /// for new ones.
    fn maintain(&self) {
        if !self
            .checks
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(MAINTAIN_EVERY)
        {
            return;
        }
        let now = Instant::now();
        let full = self.accounts.len() >= self.max_addresses;
        // A worker that finds the lock taken leaves the sweep to the one that holds it.
        if let Some(mut swept) = self.swept.try_lock()
            && now.duration_since(*swept)
                >= if full {
                    FULL_SWEEP_INTERVAL
                } else {
                    SWEEP_INTERVAL
                }
        {
            *swept = now;
            self.accounts.retain_recent();
            self.accounts.shrink_to_fit();
        }
        self.full
            .store(self.accounts.len() >= self.max_addresses, Ordering::Relaxed);
    }
}

/// Returns the time in which an account gets back that many requests.
fn refill_time(quota: &Quota, missing: u32) -> Duration {
    quota.replenish_interval().saturating_mul(missing)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn requests(
        per_minute: u32,
        burst: Option<u32>,
        max_addresses: usize,
    ) -> (Requests<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let limit = Limit {
            requests_per_minute: NonZeroU32::new(per_minute),
            burst: burst.and_then(NonZeroU32::new),
            ..Limit::default()
        };
        (
            Requests::with_clock(&limit, max_addresses, clock.clone()).unwrap(),
            clock,
        )
    }

    #[test]
    fn an_account_holds_one_minute_and_reports_its_state() {
        let (requests, clock) = requests(60, None, MAX_ADDRESSES);
        let first = requests.check(Address::V4(1)).unwrap();
        assert_eq!(
            (first.per_minute, first.remaining, first.reset),
            (60, 59, Duration::from_secs(1))
        );
        assert!((1..60).all(|_| requests.check(Address::V4(1)).is_ok()));
        let refused = requests.check(Address::V4(1)).unwrap_err();
        assert_eq!(
            (refused.retry_after, refused.limit_state.remaining),
            (Duration::from_secs(1), 0)
        );
        assert!(
            requests.check(Address::V4(2)).is_ok(),
            "another client has its own account"
        );
        clock.advance(Duration::from_secs(1));
        assert!(requests.check(Address::V4(1)).is_ok());
        assert!(requests.check(Address::V4(1)).is_err());
    }

    #[test]
    fn a_burst_bounds_simultaneous_requests() {
        let (requests, clock) = requests(60, Some(2), MAX_ADDRESSES);
        assert!(requests.check(Address::V4(1)).is_ok() && requests.check(Address::V4(1)).is_ok());
        assert!(requests.check(Address::V4(1)).is_err());
        clock.advance(Duration::from_secs(60));
        assert!(requests.check(Address::V4(1)).is_ok() && requests.check(Address::V4(1)).is_ok());
        assert!(
            requests.check(Address::V4(1)).is_err(),
            "an account never holds more than the burst"
        );
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_is_still_limited() {
        let (requests, _) = requests(1, None, 1000);
        for address in 0..50_000 {
            let _: Result<_, _> = requests.check(Address::V4(address));
        }
        let bound = 1000 + usize::from(Address::SHARED) + MAINTAIN_EVERY as usize;
        assert!(
            requests.accounts.len() <= bound,
            "{} accounts",
            requests.accounts.len()
        );
        assert!((50_000..51_000).any(|address| requests.check(Address::V4(address)).is_err()));
    }
}
