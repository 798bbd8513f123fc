//! Whose page asks, and under which name: the guard against other people's web pages.
//!
//! Invariants: a request without `Origin` is no page's and passes; `null` is nobody's own; where
//! several fields contradict each other, the request is refused.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderValue, Request};

use super::Origins;
use crate::model::fault::{Code, Fault};

/// The page that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// None: a program, or a browser that does not say.
    None,
    /// One of ours, or one that is allowed by name.
    Allowed(HeaderValue),
    /// Any, as all are allowed.
    Anyone,
    /// Somebody else's.
    Foreign,
}

impl Page {
    /// The page that sent this request.
    pub(super) fn of<B>(request: &Request<B>, allowed: &Origins) -> Self {
        let mut origins = request.headers().get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Self::None;
        };
        let Some(text) = origin.to_str().ok().filter(|_| origins.next().is_none()) else {
            return Self::Foreign;
        };
        match allowed {
            _ if is_own(text, request) => Self::Allowed(origin.clone()),
            Origins::Exact(list) if list.iter().any(|entry| is_same(entry, text)) => {
                Self::Allowed(origin.clone())
            }
            Origins::Exact(_) => Self::Foreign,
            Origins::Any => Self::Anyone,
        }
    }

    /// True for a page of our own, and for one that is allowed by name: it may use its visitor's
    /// cookies.
    pub(super) const fn is_trusted(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// Refuses foreign pages.
    ///
    /// # Errors
    /// `origin_not_allowed`.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Foreign => {
                let message = "the page that sent this request is not allowed to; its origin has to stand in `server.allowed_origins`";
                Err(Fault::new(Code::OriginNotAllowed, message))
            }
            Self::None | Self::Allowed(_) | Self::Anyone => Ok(()),
        }
    }
}

/// Refuses names that do not belong to a loopback listener: a foreign page whose name was made to
/// point here.
///
/// # Errors
/// `host_not_allowed`.
pub(super) fn check_host<B>(request: &Request<B>, hosts: &[String]) -> Result<(), Fault> {
    let mut names = authorities(request).peekable();
    let known =
        names.peek().is_some() && names.all(|name| name.is_some_and(|name| is_local(name, hosts)));
    if known {
        return Ok(());
    }
    let message = "this listener answers to loopback names only; another `Host` has to stand in `server.hosts`";
    Err(Fault::new(Code::HostNotAllowed, message))
}

/// The names a request is addressed to: `:authority` or the absolute address, and `Host`. `None`:
/// not text.
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

/// The listener's own origin: the same host and port, the scheme's default port left out. The
/// scheme itself may differ, as TLS may end in front of us.
fn is_own<B>(origin: &str, request: &Request<B>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let Some(ours) = place(authority, default) else {
        return false;
    };
    let mut names = authorities(request).peekable();
    names.peek().is_some()
        && names.all(|name| {
            name.and_then(|name| place(name, default))
                .is_some_and(|(host, port)| host.eq_ignore_ascii_case(ours.0) && port == ours.1)
        })
}

fn place(authority: &str, default: u16) -> Option<(&str, u16)> {
    split(authority).map(|(host, port)| (host, port.unwrap_or(default)))
}

/// Host and port. An address with anything else in it is none.
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

/// An entry of `server.allowed_origins` and an `Origin`. Browsers leave default ports out; people
/// may not.
fn is_same(entry: &str, origin: &str) -> bool {
    bare(entry).eq_ignore_ascii_case(bare(origin))
}

fn bare(origin: &str) -> &str {
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
        Page::of(
            &request("/", &[host], &[origin]),
            &Origins::Exact(vec!["https://chat.example".into(), "app://x".into()]),
        )
    }

    fn allowed(origin: &str) -> Page {
        Page::Allowed(HeaderValue::from_str(origin).unwrap())
    }

    #[test]
    fn own_is_the_same_host_and_port_with_default_ports_left_out() {
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
    fn foreign_is_everything_else() {
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
    fn with_a_star_everybody_may_but_only_own_pages_by_name() {
        let any =
            |host: &str, origin: &str| Page::of(&request("/", &[host], &[origin]), &Origins::Any);
        assert_eq!(any("a", "null"), Page::Anyone);
        assert_eq!(any("a", "https://b"), Page::Anyone);
        assert_eq!(any("a", "https://a"), allowed("https://a"));
    }

    #[test]
    fn contradictions_are_foreign() {
        let none = Origins::Exact(vec![]);
        assert_eq!(
            Page::of(&request("/", &["a"], &["http://a", "http://a"]), &none),
            Page::Foreign
        );
        assert_eq!(
            Page::of(&request("/", &["a", "b"], &["http://a"]), &none),
            Page::Foreign
        );
        assert_eq!(
            Page::of(&request("http://b/", &["a"], &["http://a"]), &none),
            Page::Foreign
        );
        assert_eq!(
            Page::of(&request("http://a/", &["a"], &["http://a"]), &none),
            allowed("http://a")
        );
        assert_eq!(
            Page::of(&request("http://a/", &[], &["http://a"]), &none),
            allowed("http://a")
        );
        assert_eq!(Page::of(&request("/", &["a"], &[]), &none), Page::None);
    }

    #[test]
    fn loopback_listeners_answer_to_loopback_names() {
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
