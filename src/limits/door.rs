//! The door: limits per client address, checked before anything of a request is read.
//!
//! Invariants: memory is bounded whatever arrives; an IPv6 client is its /64; nothing here waits; a
//! check that refuses takes nothing.

pub mod address;
pub mod failures;
pub mod requests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::limit_state::LimitState;
use crate::model::limit::Limit;
use address::Address;
use failures::Failures;
use requests::Requests;

/// Limits on requests and on failed authentications per client address.
#[derive(Debug)]
pub struct Door {
    requests: ArcSwapOption<Requests>,
    failures: Failures,
}

/// A request refused because it came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoorRefusal {
    /// State of the limit, with nothing remaining.
    pub limit_state: LimitState,
    /// Time until the next request is admitted.
    pub retry_after: Duration,
}

impl Door {
    /// Creates a door with this limit on requests; without `requests_per_minute` requests are not
    /// limited.
    #[must_use]
    pub fn new(limit: &Limit) -> Self {
        Self {
            requests: ArcSwapOption::new(Requests::new(limit).map(Arc::new)),
            failures: Failures::default(),
        }
    }

    /// Replaces the limit. An unchanged limit keeps its fill; failed authentications are kept in
    /// any case.
    pub fn reload(&self, limit: &Limit) {
        // A new table starts with full accounts: only a changed limit may reset them.
        let unchanged = match self.requests.load().as_deref() {
            Some(requests) => requests.limit() == limit,
            None => limit.requests_per_minute.is_none(),
        };
        if !unchanged {
            self.requests.store(Requests::new(limit).map(Arc::new));
        }
    }

    /// Admits one request of that address and returns the state of its limit, if there is one.
    ///
    /// # Errors
    /// The refusal when the address has no request left.
    pub fn request(&self, client: IpAddr) -> Result<Option<LimitState>, DoorRefusal> {
        self.requests
            .load()
            .as_deref()
            .map(|requests| requests.check(Address::from_ip(client)))
            .transpose()
    }

    /// Counts one failed authentication of that address.
    pub fn failed_authentication(&self, client: IpAddr) {
        self.failures
            .count(Address::from_ip(client), Instant::now());
    }

    /// Returns how long the address stays blocked because of failed authentications, if it is.
    #[must_use]
    pub fn blocked(&self, client: IpAddr) -> Option<Duration> {
        self.failures
            .blocked(Address::from_ip(client), Instant::now())
    }

    /// Returns true while the address is blocked because of failed authentications.
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
    fn without_a_limit_every_request_is_admitted() {
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
    fn after_sixty_failures_in_a_minute_the_address_is_blocked() {
        let door = Door::new(&Limit::default());
        (0..59).for_each(|_| door.failed_authentication(CLIENT));
        assert!(!door.is_blocked(CLIENT));
        door.failed_authentication(CLIENT);
        assert!(door.is_blocked(CLIENT));
        assert!(!door.is_blocked("192.0.2.2".parse().unwrap()));
    }
}
