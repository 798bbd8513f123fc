//! Requests per address and minute, by `governor`.
//!
//! Invariants: at most `KEPT` addresses have an account of their own, others share
//! [`Address::SHARED`] of them; accounts that are full again are let go once a minute, or earlier
//! where room is needed.

use std::hash::RandomState;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use super::super::Limit;
use super::super::limit_state::LimitState;
use super::Refused;
use super::address::Address;

/// Addresses with an account of their own: 128 Ki of them take about 6 MiB.
const KEPT: usize = 1 << 17;
/// The size of the table is looked at once in so many requests, as it costs a lock per shard.
const LOOK_EVERY: u32 = 256;
/// Accounts that are full again are let go this often.
const SWEEP: Duration = Duration::from_secs(60);
/// … and, where the table is full, this often: a sweep walks all of it.
const SWEEP_FULL: Duration = Duration::from_secs(1);

type Accounts<C> = RateLimiter<Address, DashMapStateStore<Address>, C, StateInformationMiddleware>;

/// The accounts of all addresses under one limit.
#[derive(Debug)]
pub struct Requests<C: Clock = DefaultClock> {
    limit: Limit,
    per_minute: NonZeroU32,
    accounts: Accounts<C>,
    kept: usize,
    looks: AtomicU32,
    full: AtomicBool,
    swept: Mutex<Instant>,
    secret: RandomState,
}

impl Requests {
    /// The accounts of that limit, where it has one on requests.
    #[must_use]
    pub fn of(limit: &Limit) -> Option<Self> {
        Self::with_clock(limit, KEPT, DefaultClock::default())
    }
}

impl<C: Clock> Requests<C> {
    fn with_clock(limit: &Limit, kept: usize, clock: C) -> Option<Self> {
        let per_minute = limit.requests_per_minute?;
        let quota = Quota::per_minute(per_minute).allow_burst(limit.burst.unwrap_or(per_minute));
        Some(Self {
            limit: *limit,
            per_minute,
            accounts: RateLimiter::new(quota, DashMapStateStore::default(), clock),
            kept,
            looks: AtomicU32::new(0),
            full: AtomicBool::new(false),
            swept: Mutex::new(Instant::now()),
            secret: RandomState::new(),
        })
    }

    /// The limit it was made of.
    #[must_use]
    pub const fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Takes one request from the account of that address.
    ///
    /// # Errors
    /// When the account is empty; nothing is taken then.
    pub fn check(&self, address: Address) -> Result<LimitState, Refused> {
        self.look_after();
        let key = if self.full.load(Ordering::Relaxed) {
            address.shared(&self.secret)
        } else {
            address
        };
        match self.accounts.check_key(&key) {
            Ok(state) => Ok(self.limit_state(&state)),
            Err(early) => Err(Refused {
                limit_state: LimitState {
                    remaining: 0,
                    reset: full_again(&early.quota(), early.quota().burst_size().get()),
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
            reset: full_again(&quota, quota.burst_size().get().saturating_sub(remaining)),
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

    /// Lets accounts go that say nothing any more, and notes whether there is room for new ones.
    fn look_after(&self) {
        if !self
            .looks
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(LOOK_EVERY)
        {
            return;
        }
        let now = Instant::now();
        let full = self.accounts.len() >= self.kept;
        // Whoever finds the lock taken leaves the work to the one who has it.
        if let Some(mut swept) = self.swept.try_lock()
            && now.duration_since(*swept) >= if full { SWEEP_FULL } else { SWEEP }
        {
            *swept = now;
            self.accounts.retain_recent();
            self.accounts.shrink_to_fit();
        }
        self.full
            .store(self.accounts.len() >= self.kept, Ordering::Relaxed);
    }
}

/// How long an account takes to get back that many requests.
fn full_again(quota: &Quota, missing: u32) -> Duration {
    quota.replenish_interval().saturating_mul(missing)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn requests(
        per_minute: u32,
        burst: Option<u32>,
        kept: usize,
    ) -> (Requests<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let limit = Limit {
            requests_per_minute: NonZeroU32::new(per_minute),
            burst: burst.and_then(NonZeroU32::new),
            ..Limit::default()
        };
        (
            Requests::with_clock(&limit, kept, clock.clone()).unwrap(),
            clock,
        )
    }

    #[test]
    fn a_minute_holds_what_was_configured_and_says_so() {
        let (requests, clock) = requests(60, None, KEPT);
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
            "another client has an account of its own"
        );
        clock.advance(Duration::from_secs(1));
        assert!(requests.check(Address::V4(1)).is_ok());
        assert!(requests.check(Address::V4(1)).is_err());
    }

    #[test]
    fn a_burst_bounds_what_comes_at_once() {
        let (requests, clock) = requests(60, Some(2), KEPT);
        assert!(requests.check(Address::V4(1)).is_ok() && requests.check(Address::V4(1)).is_ok());
        assert!(requests.check(Address::V4(1)).is_err());
        clock.advance(Duration::from_secs(60));
        assert!(requests.check(Address::V4(1)).is_ok() && requests.check(Address::V4(1)).is_ok());
        assert!(
            requests.check(Address::V4(1)).is_err(),
            "time saves up no more than a burst"
        );
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_is_still_limited() {
        let (requests, _) = requests(1, None, 1000);
        for address in 0..50_000 {
            let _: Result<_, _> = requests.check(Address::V4(address));
        }
        let bound = 1000 + usize::from(Address::SHARED) + LOOK_EVERY as usize;
        assert!(
            requests.accounts.len() <= bound,
            "{} accounts",
            requests.accounts.len()
        );
        assert!((50_000..51_000).any(|address| requests.check(Address::V4(address)).is_err()));
    }
}
