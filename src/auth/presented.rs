//! What a request presents to say who sends it.
//!
//! Invariants: a header is somebody's will and wins over a cookie, which browsers send by
//! themselves: a cookie counts only where the page that caused the request can be trusted with it.

use http::{HeaderMap, Method, header};

/// What of a request tells who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its head.
    pub headers: &'a HeaderMap,
    /// It comes from a page of the listener's own, or of an origin that is allowed by name.
    pub trusted_page: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    /// In `Authorization: Bearer` or `x-api-key`.
    Header(&'a [u8]),
    /// In the cookie that may carry a token.
    Cookie(&'a [u8]),
    /// There is such a cookie, and it does not count here.
    Untrusted,
    /// Nothing.
    Nothing,
}

/// What `asking` presents; `cookie` is the name of the one that counts.
pub(super) fn of<'a>(asking: &Asking<'a>, cookie: Option<&str>) -> Presented<'a> {
    if let Some(secret) = in_header(asking.headers) {
        return Presented::Header(secret);
    }
    match cookie.and_then(|name| in_cookie(asking.headers, name)) {
        Some(token) if counts(asking) => Presented::Cookie(token),
        Some(_) => Presented::Untrusted,
        None => Presented::Nothing,
    }
}

/// The secret in `Authorization: Bearer` or `x-api-key`.
pub(super) fn in_header(headers: &HeaderMap) -> Option<&[u8]> {
    const SCHEME: usize = "Bearer ".len();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(SCHEME)?;
        scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| token.trim_ascii())
    });
    bearer
        .or_else(|| {
            headers
                .get("x-api-key")
                .map(|value| value.as_bytes().trim_ascii())
        })
        .filter(|secret| !secret.is_empty())
}

/// The value of that cookie. Where two of its name differ, one was planted: then there is none.
fn in_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    let mut values = fields.filter_map(|pair| {
        let (key, value) = pair.trim_ascii().split_at_checked(name.len())?;
        (key == name.as_bytes())
            .then(|| value.strip_prefix(b"="))?
            .map(unquoted)
    });
    let first = values.next().filter(|value| !value.is_empty())?;
    values.all(|other| other == first).then_some(first)
}

fn unquoted(value: &[u8]) -> &[u8] {
    value
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// A cookie counts on everything a trusted page sends. Reading is also let pass where no page of
/// another site has a hand in it.
fn counts(asking: &Asking<'_>) -> bool {
    let reads = matches!(*asking.method, Method::GET | Method::HEAD);
    let foreign = asking.headers.contains_key(header::ORIGIN)
        || asking
            .headers
            .get("sec-fetch-site")
            .is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
    asking.trusted_page || reads && !foreign
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    fn presented(
        method: &Method,
        trusted_page: bool,
        list: &[(&'static str, &'static str)],
    ) -> String {
        let headers = headers(list);
        match of(
            &Asking {
                method,
                headers: &headers,
                trusted_page,
            },
            Some("session"),
        ) {
            Presented::Header(secret) => format!("header {}", String::from_utf8_lossy(secret)),
            Presented::Cookie(token) => format!("cookie {}", String::from_utf8_lossy(token)),
            Presented::Untrusted => "untrusted".into(),
            Presented::Nothing => "nothing".into(),
        }
    }

    #[test]
    fn a_header_wins_and_the_named_cookie_is_found_among_others() {
        for (list, expected) in [
            (&[("authorization", "BEARER  a ")][..], "header a"),
            (&[("x-api-key", "a"), ("cookie", "session=b")], "header a"),
            (
                &[("authorization", "Basic a"), ("cookie", "session=b")],
                "cookie b",
            ),
            (
                &[("cookie", "x=1; session=b.c.d; sessions=e")],
                "cookie b.c.d",
            ),
            (
                &[("cookie", "x=1"), ("cookie", "session=\"b\"")],
                "cookie b",
            ),
            (&[("cookie", "session=b; session=b")], "cookie b"),
            (&[("cookie", "session=b; session=c")], "nothing"),
            (&[("cookie", "session=; Session=c; xsession=d")], "nothing"),
            (&[], "nothing"),
        ] {
            assert_eq!(presented(&Method::GET, false, list), expected, "{list:?}");
        }
    }

    #[test]
    fn a_cookie_counts_only_where_its_page_can_be_trusted() {
        const COOKIE: (&str, &str) = ("cookie", "session=b");
        for (method, trusted, more, expected) in [
            (Method::GET, false, &[][..], "cookie b"),
            (
                Method::HEAD,
                false,
                &[("sec-fetch-site", "same-origin")],
                "cookie b",
            ),
            (
                Method::GET,
                false,
                &[("sec-fetch-site", "cross-site")],
                "untrusted",
            ),
            (
                Method::GET,
                false,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://evil.example"),
                ],
                "untrusted",
            ),
            (
                Method::GET,
                false,
                &[("origin", "https://evil.example")],
                "untrusted",
            ),
            (
                Method::GET,
                true,
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://chat.example"),
                ],
                "cookie b",
            ),
            (Method::POST, false, &[], "untrusted"),
            (
                Method::POST,
                false,
                &[("sec-fetch-site", "same-origin")],
                "untrusted",
            ),
            (
                Method::POST,
                true,
                &[("origin", "https://chat.example")],
                "cookie b",
            ),
            (Method::DELETE, false, &[], "untrusted"),
        ] {
            let list: Vec<_> = std::iter::once(COOKIE)
                .chain(more.iter().copied())
                .collect();
            assert_eq!(
                presented(&method, trusted, &list),
                expected,
                "{method} {trusted} {more:?}"
            );
        }
    }
}
