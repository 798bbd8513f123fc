//! Finds the credential that a request presents.
//!
//! Invariants: a header is sent deliberately and takes precedence over a cookie, which browsers
//! send automatically. A cookie is accepted only if the page that caused the request is trusted
//! (protection against cross-site request forgery).

use http::{HeaderMap, Method, header};

/// The parts of a request that authentication reads.
#[derive(Debug, Clone, Copy)]
pub struct AuthRequest<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// True if the request comes from a page of the listener itself, or of an origin listed in
    /// `server.allowed_origins`.
    pub trusted_page: bool,
}

/// The credential found in a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented<'a> {
    /// The secret in `Authorization: Bearer` or `x-api-key`.
    Header(&'a [u8]),
    /// The token in the configured cookie.
    Cookie(&'a [u8]),
    /// The configured cookie is present, but the request's page is not trusted.
    Untrusted,
    /// No credential.
    Nothing,
}

/// Returns the credential of a request. `cookie` is the name of the cookie that may carry a token.
pub(super) fn find<'a>(request: &AuthRequest<'a>, cookie: Option<&str>) -> Presented<'a> {
    if let Some(secret) = in_header(request.headers) {
        return Presented::Header(secret);
    }
    match cookie.and_then(|name| in_cookie(request.headers, name)) {
        Some(token) if accepts_cookie(request) => Presented::Cookie(token),
        Some(_) => Presented::Untrusted,
        None => Presented::Nothing,
    }
}

/// Returns the secret in `Authorization: Bearer` or `x-api-key`.
pub(super) fn in_header(headers: &HeaderMap) -> Option<&[u8]> {
    const SCHEME_LENGTH: usize = "Bearer ".len();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(SCHEME_LENGTH)?;
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
        // An empty header counts as absent, so that a cookie can be used.
        .filter(|secret| !secret.is_empty())
}

/// Returns the value of the cookie `name`. If several cookies of this name have different values,
/// one was planted by an attacker, and none is used.
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
    // RFC 6265 allows a cookie's value in double quotes.
    value
        .strip_prefix(b"\"")
        .and_then(|inner| inner.strip_suffix(b"\""))
        .unwrap_or(value)
}

/// True if the cookie may authenticate the request: a trusted page may send any method; a page that
/// is not from another site may send GET and HEAD.
fn accepts_cookie(request: &AuthRequest<'_>) -> bool {
    // Browsers send no `Origin` with same-origin GET requests, so its absence is accepted for
    // reading.
    let is_read = matches!(*request.method, Method::GET | Method::HEAD);
    let is_cross_site = request.headers.contains_key(header::ORIGIN)
        || request
            .headers
            .get("sec-fetch-site")
            .is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
    request.trusted_page || is_read && !is_cross_site
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
        match find(
            &AuthRequest {
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
    fn a_header_takes_precedence_over_the_named_cookie() {
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
    fn a_cookie_is_accepted_only_from_trusted_pages() {
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
