//! The key that identifies one client: an IPv4 address, or the /64 network of an IPv6 address.
//!
//! Invariant: however many addresses arrive, the tables of the door hold a bounded number of keys;
//! addresses beyond that share one of [`Address::SHARED`] keys.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

/// The key of one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// One IPv4 address.
    V4(u32),
    /// The first 64 bits of an IPv6 address: the network that one client gets from its provider.
    V6(u64),
    /// One of the keys shared by addresses that have no key of their own.
    Shared(u16),
}

impl Address {
    /// Number of shared keys.
    pub const SHARED: u16 = 4096;

    /// Returns the key of an address. An IPv4-mapped IPv6 address has the key of the IPv4 address.
    #[must_use]
    pub fn from_ip(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }

    /// Returns the shared key for this one. The secret keeps outsiders from choosing addresses that
    /// share a key.
    #[must_use]
    pub fn shared(self, secret: &RandomState) -> Self {
        Self::Shared((secret.hash_one(self) % u64::from(Self::SHARED)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(text: &str) -> Address {
        Address::from_ip(text.parse().unwrap())
    }

    #[test]
    fn ipv6_clients_are_their_network() {
        assert_eq!(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ffff::9"));
        assert_ne!(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:3::1"));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(key_of("::ffff:192.0.2.7"), key_of("192.0.2.7"));
        assert_ne!(key_of("192.0.2.7"), key_of("192.0.2.8"));
    }
}
