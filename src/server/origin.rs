//! Checks `Origin` and `Host`: the protection against web pages of other sites.
//!
//! Invariants: a request without `Origin` comes from no page and passes; the origin `null` is
//! always foreign; a request with contradictory fields is rejected.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderValue, Request};

use super::Origins;
use crate::model::fault::{Code, Fault};

/// The page that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// No page: a program, or a browser that does not send `Origin`.
    None,
    /// Our own page, or one whose origin is listed.
    Allowed(HeaderValue),
    /// Any page: all origins are allowed.
    Anyone,
    /// A page of an origin that is not allowed.
    Foreign,
}

impl Page {
    /// Returns the page that sent this request.
    pub(super) fn from_request<B>(request: &Request<B>, allowed: &Origins) -> Self {
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Self::None;
        };
        let Some(text) = origin.to_str().ok().filter(|_| origins.next().is_none()) else {
            return Self::Foreign;
        };
        match allowed {
            // Before the list, so that our own page stays trusted with `allowed_origins = "*"`.
            _ if is_own(text, request) => Self::Allowed(origin.clone()),
            Origins::Exact(list) if list.iter().any(|entry| is_same(entry, text)) => {
                Self::Allowed(origin.clone())
            }
            Origins::Exact(_) => Self::Foreign,
            Origins::Any => Self::Anyone,
        }
    }

    /// Returns true for our own page and for one whose origin is listed: it may use the cookies of
    /// its visitor.
    pub(super) const fn is_trusted(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Rejects foreign pages.
    ///
    /// # Errors
    /// Returns `origin_not_allowed`.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Foreign => {
                let message = "pages of this origin are not allowed; add the origin to \
                    `server.allowed_origins`";
                Err(Fault::new(Code::OriginNotAllowed, message))
            }
            Self::None | Self::Allowed(_) | Self::Anyone => Ok(()),
        }
    }
}

/// Rejects host names that do not belong to a loopback listener. They indicate a foreign page whose
/// name resolves to this machine (DNS rebinding).
///
/// # Errors
/// Returns `host_not_allowed`.
pub(super) fn check_host<B>(request: &Request<B>, hosts: &[String]) -> Result<(), Fault> {
    let mut names = authorities(request).peekable();
    let known =
        names.peek().is_some() && names.all(|name| name.is_some_and(|name| is_local(name, hosts)));
    if known {
        return Ok(());
    }
    let message =
        "this listener accepts only loopback names as `Host`; add other names to `server.hosts`";
    Err(Fault::new(Code::HostNotAllowed, message))
}

/// Returns the names that a request is addressed to: `:authority` or the authority of an absolute
/// URI, and `Host`. `None` stands for a value that is not text.
fn authorities<B>(request: &Request<B>) -> impl Iterator<Item = Option<&str>> {
    let target = request
        .uri()
        .authority()
        .map(|authority| Some(authority.as_str()));
    target.into_iter().chain(
        request
            .headers()
            .get_all(HOST)
            .iter()
            .map(|value| value.to_str().ok()),
    )
}

fn is_local(authority: &str, hosts: &[String]) -> bool {
    let Some((host, _)) = split(authority) else {
        return false;
    };
    is_loopback(host)
        || hosts
            .iter()
            .any(|entry| entry.eq_ignore_ascii_case(host) || entry.eq_ignore_ascii_case(authority))
}

fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or(name);
    // RFC 6761: every name under `localhost` is this machine.
    last.eq_ignore_ascii_case("localhost")
}

/// Returns true when the origin has the same host and port as the request; a missing port is the
/// default of the scheme. The scheme may differ, because TLS may end in front of us.
fn is_own<B>(origin: &str, request: &Request<B>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Some(ours) = host_and_port(authority, default) else {
        return false;
    };
    let mut names = authorities(request).peekable();
    names.peek().is_some()
        && names.all(|name| {
            name.and_then(|name| host_and_port(name, default))
                .is_some_and(|(host, port)| host.eq_ignore_ascii_case(ours.0) && port == ours.1)
        })
}

fn host_and_port(authority: &str, default: u16) -> Option<(&str, u16)> {
    split(authority).map(|(host, port)| (host, port.unwrap_or(default)))
}

/// Splits an authority into host and port. Returns `None` when it contains anything else.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.is_empty() || authority.contains(['@', '/', '?', '#', ' ']) {
        return None;
    }
    let (host, rest) = match authority.find(']') {
        Some(bracket) => authority.split_at_checked(bracket + 1)?,
        None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?,
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        None if rest.is_empty() => None,
        _ => return None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// Compares an entry of `server.allowed_origins` with an `Origin`. Browsers omit default ports;
/// operators may not.
fn is_same(entry: &str, origin: &str) -> bool {
    without_default_port(entry).eq_ignore_ascii_case(without_default_port(origin))
}

fn without_default_port(origin: &str) -> &str {
    let origin = origin.strip_suffix('/').unwrap_or(origin);
    let port = match origin.split_once("://") {
        Some(("http", _)) => ":80",
        Some(("https", _)) => ":443",
        _ => return origin,
    };
    origin.strip_suffix(port).unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, host: &[&str], origin: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for host in host {
            request = request.header(HOST, *host);
        }
        for origin in origin {
            request = request.header(ORIGIN, *origin);
        }
        request.body(()).unwrap()
    }

    fn page(host: &str, origin: &str) -> Page {
        Page::from_request(
            &request("/", &[host], &[origin]),
            &Origins::Exact(vec!["https://chat.example".into(), "app://x".into()]),
        )
    }

    fn allowed(origin: &str) -> Page {
        Page::Allowed(HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn own_pages_have_the_same_host_and_port() {
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("LocalHost:8080", "https://localhost:8080"),
            ("proxy.example", "https://proxy.example"),
            ("proxy.example", "http://proxy.example"),
            ("proxy.example:443", "https://proxy.example"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("[::1]", "http://[::1]"),
        ] {
            assert_eq!(page(host, origin), allowed(origin), "{host} {origin}");
        }
    }

    #[test]
    fn all_other_pages_are_foreign() {
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8081"),
            ("localhost:8080", "http://localhost"),
            ("localhost", "null"),
            ("null", "null"),
            ("localhost", ""),
            ("localhost", "https://localhost.evil.example"),
            ("localhost", "https://evil@localhost"),
            ("proxy.example:80", "https://proxy.example"),
            ("x", "tauri://x"),
            ("[::1]8080", "http://[::1]8080"),
            ("a", "https://chat.example.evil"),
        ] {
            assert_eq!(page(host, origin), Page::Foreign, "{host} {origin}");
        }
    }

    #[test]
    fn listed_origins_are_exact() {
        for origin in [
            "https://chat.example",
            "https://chat.example:443",
            "HTTPS://CHAT.example",
            "app://x",
        ] {
            let expected = if origin.starts_with("HTTPS") {
                Page::Allowed(HeaderValue::from_static("HTTPS://CHAT.example"))
            } else {
                allowed(origin)
            };
            assert_eq!(page("proxy.example", origin), expected);
        }
        for origin in [
            "http://chat.example",
            "https://chat.example:8443",
            "https://a.chat.example",
        ] {
            assert_eq!(page("proxy.example", origin), Page::Foreign, "{origin}");
        }
    }

    #[test]
    fn a_star_allows_all_pages_but_trusts_only_own_ones() {
        let any = |host: &str, origin: &str| {
            Page::from_request(&request("/", &[host], &[origin]), &Origins::Any)
        };
        assert_eq!(any("a", "null"), Page::Anyone);
        assert_eq!(any("a", "https://b"), Page::Anyone);
        assert_eq!(any("a", "https://a"), allowed("https://a"));
    }

    #[test]
    fn contradictory_headers_are_foreign() {
        let none = Origins::Exact(vec![]);
        assert_eq!(
            Page::from_request(&request("/", &["a"], &["http://a", "http://a"]), &none),
            Page::Foreign
        );
        assert_eq!(
            Page::from_request(&request("/", &["a", "b"], &["http://a"]), &none),
            Page::Foreign
        );
        assert_eq!(
            Page::from_request(&request("http://b/", &["a"], &["http://a"]), &none),
            Page::Foreign
        );
        assert_eq!(
            Page::from_request(&request("http://a/", &["a"], &["http://a"]), &none),
            allowed("http://a")
        );
        assert_eq!(
            Page::from_request(&request("http://a/", &[], &["http://a"]), &none),
            allowed("http://a")
        );
        assert_eq!(
            Page::from_request(&request("/", &["a"], &[]), &none),
            Page::None
        );
    }

    #[test]
    fn loopback_listeners_accept_only_loopback_names() {
        let hosts = ["proxy.test".to_owned(), "other.test:8080".to_owned()];
        let ok = |uri: &str, host: &[&str]| check_host(&request(uri, host, &[]), &hosts).is_ok();
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "proxy.test:9",
            "other.test:8080",
        ] {
            assert!(ok("/", &[host]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "0.0.0.0:8080",
            "localhost.evil.example",
            "192.168.0.1",
            "",
            "a@localhost",
            "notlocalhost",
        ] {
            assert!(!ok("/", &[host]), "{host}");
        }
        assert!(
            !ok("/", &[])
                && !ok("/", &["localhost", "evil.example"])
                && !ok("http://evil.example/", &["localhost"])
        );
        assert!(ok("http://localhost/", &[]));
    }
}
