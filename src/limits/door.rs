//! The door: what one client address may do before anything of its request is read.
//!
//! Invariants: memory is bounded whatever comes; an IPv6 client is its /64; nothing here waits; a
//! check that refuses takes nothing.

pub mod address;
pub mod failures;
pub mod requests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::Limit;
use super::limit_state::LimitState;
use address::Address;
use failures::Failures;
use requests::Requests;

/// Requests and failed authentications per client address.
#[derive(Debug)]
pub struct Door {
    requests: ArcSwapOption<Requests>,
    failures: Failures,
}

/// A request that came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The limit, now empty.
    pub limit_state: LimitState,
    /// When the next request will be let in.
    pub retry_after: Duration,
}

impl Door {
    /// A door with this limit on requests; without `requests_per_minute` there is none.
    #[must_use]
    pub fn new(limit: &Limit) -> Self {
        Self {
            requests: ArcSwapOption::new(Requests::of(limit).map(Arc::new)),
            failures: Failures::default(),
        }
    }

    /// Puts another limit in place. An unchanged one keeps its fill; failed authentications are
    /// kept in any case.
    pub fn reload(&self, limit: &Limit) {
        let unchanged = match self.requests.load().as_deref() {
            Some(requests) => requests.limit() == limit,
            None => limit.requests_per_minute.is_none(),
        };
        if !unchanged {
            self.requests.store(Requests::of(limit).map(Arc::new));
        }
    }

    /// Lets one request of that address in, and says where the address stands where there is a
    /// limit.
    ///
    /// # Errors
    /// When the address has used up its requests.
    pub fn request(&self, client: IpAddr) -> Result<Option<LimitState>, Refused> {
        self.requests
            .load()
            .as_deref()
            .map(|requests| requests.check(Address::of(client)))
            .transpose()
    }

    /// Counts one failed authentication of that address.
    pub fn failed_authentication(&self, client: IpAddr) {
        self.failures.count(Address::of(client), Instant::now());
    }

    /// How long that address stays out for its failed authentications, where it does.
    #[must_use]
    pub fn blocked(&self, client: IpAddr) -> Option<Duration> {
        self.failures.blocked(Address::of(client), Instant::now())
    }

    /// True while that address stays out for its failed authentications.
    #[must_use]
    pub fn is_blocked(&self, client: IpAddr) -> bool {
        self.blocked(client).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn per_minute(requests: u32) -> Limit {
        Limit {
            requests_per_minute: NonZeroU32::new(requests),
            ..Limit::default()
        }
    }

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn without_a_limit_everything_comes_in() {
        let door = Door::new(&Limit::default());
        assert!((0..10_000).all(|_| door.request(CLIENT) == Ok(None)));
    }

    #[test]
    fn an_unchanged_limit_keeps_its_fill_over_a_reload() {
        let door = Door::new(&per_minute(1));
        assert!(door.request(CLIENT).is_ok());
        door.reload(&per_minute(1));
        assert!(door.request(CLIENT).is_err());
        door.reload(&per_minute(2));
        assert!(door.request(CLIENT).is_ok());
        door.reload(&Limit::default());
        assert!((0..10).all(|_| door.request(CLIENT) == Ok(None)));
    }

    #[test]
    fn the_sixty_first_failure_in_a_minute_finds_the_door_closed() {
        let door = Door::new(&Limit::default());
        (0..59).for_each(|_| door.failed_authentication(CLIENT));
        assert!(!door.is_blocked(CLIENT));
        door.failed_authentication(CLIENT);
        assert!(door.is_blocked(CLIENT));
        assert!(!door.is_blocked("192.0.2.2".parse().unwrap()));
    }
}
