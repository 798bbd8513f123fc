//! Who counts as one client: an IPv4 address, or the /64 network an IPv6 address is in.
//!
//! Invariant: however many addresses come, the tables of the door hold a bounded number of keys:
//! past their bound, addresses share one of [`Address::SHARED`] keys.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The key of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// One IPv4 address.
    V4(u32),
    /// The first 64 bits of an IPv6 address: what one client is given by its provider.
    V6(u64),
    /// One of the keys that addresses share when there is no room for keys of their own.
    Shared(u16),
}

impl Address {
    /// How many keys are shared by those that have none of their own.
    pub const SHARED: u16 = 4096;

    /// The key of that address. An IPv4 address in IPv6's clothing is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }

    /// The key that this one shares with others; which ones nobody outside can tell.
    #[must_use]
    pub fn shared(self, secret: &RandomState) -> Self {
        Self::Shared((secret.hash_one(self) % u64::from(Self::SHARED)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Address {
        Address::of(text.parse().unwrap())
    }

    #[test]
    fn ipv6_clients_are_their_network() {
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
