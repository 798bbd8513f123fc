//! The edge settings that a reload may change, read once per request.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;
use secrecy::SecretString;

use super::{Origins, Settings};

/// Access rules: allowed origins and hosts, trusted proxies, the admin token.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) origins: Origins,
    pub(super) hosts: Vec<String>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) admin_token: Option<SecretString>,
}

impl Rules {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            origins: settings.allowed_origins.clone(),
            hosts: settings.hosts.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
            admin_token: settings.admin_token.clone(),
        }
    }

    /// Returns the address of the client: that of the peer, or, when the peer is a trusted proxy,
    /// the last address in `X-Forwarded-For` that is not a trusted proxy. Entries further left can
    /// be forged by anybody.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // A dual-stack listener reports IPv4 peers as IPv4-mapped IPv6 addresses.
        let mut client = peer.to_canonical();
        let fields: Vec<&[u8]> = headers
            .get_all("x-forwarded-for")
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        let mut hops = fields
            .iter()
            // Each proxy appends, so the nearest hop is last; several fields count as one list.
            .rev()
            .flat_map(|field| field.rsplit(|b| *b == b','));
        while self.is_trusted_proxy(client) {
            // If an entry is not an address, use the proxy that wrote it.
            let Some(hop) = hops.next().and_then(address) else {
                break;
            };
            client = hop;
        }
        client
    }

    fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// Parses one entry: a bare address, in brackets, or with a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = std::str::from_utf8(entry).ok()?.trim();
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(entry);
    let address = bare
        .parse()
        .ok()
        .or_else(|| entry.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(trusted: &[&str], peer: &str, fields: &[&str]) -> String {
        let rules = Rules {
            origins: Origins::Exact(vec![]),
            hosts: vec![],
            trusted_proxies: trusted
                .iter()
                .map(|network| network.parse().unwrap())
                .collect(),
            admin_token: None,
        };
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append("x-forwarded-for", HeaderValue::from_str(field).unwrap());
        }
        rules.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_field_from_an_untrusted_peer_is_ignored() {
        assert_eq!(client(&[], "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(
            client(&["10.0.0.0/8"], "203.0.113.9", &["198.51.100.1"]),
            "203.0.113.9"
        );
    }

    #[test]
    fn behind_trusted_proxies_the_last_foreign_address_counts() {
        let trusted = &["10.0.0.0/8", "fd00::/8"];
        for (fields, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            (
                &["1.2.3.4", "198.51.100.1", "10.0.0.2 ,fd00::7"],
                "198.51.100.1",
            ),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["198.51.100.1, unknown"], "10.0.0.1"),
            (&["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
            (&[""], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(client(trusted, "10.0.0.1", fields), expected, "{fields:?}");
        }
        assert_eq!(
            client(trusted, "::ffff:10.0.0.1", &["198.51.100.1"]),
            "198.51.100.1",
            "a dual-stack listener's peer"
        );
    }
}
