//! Pages served by this process: the playground, and the browser client that it and other pages
//! import.
//!
//! Invariants: the playground sends requests only to its own origin. Its content security policy
//! allows the inline script and styles by their hashes, and scripts of its own origin, of which
//! there is one (hashes do not cover what a module imports). No other page may frame it, and its
//! URL is not sent as a referrer.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::reply::Reply;

const PLAYGROUND: &str = include_str!("playground.html");

/// The browser client as it is served, without comment lines.
static CLIENT: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(strip_comments(include_str!("client.js"))));

static CLIENT_TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let tag = format!("\"{}\"", BASE64.encode(Sha256::digest(&*CLIENT)));
    HeaderValue::try_from(tag).expect("base64 and quotes are visible ASCII")
});

/// Permissions policy: the playground uses no feature of the device.
const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

static CONTENT_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(PLAYGROUND));

/// Returns the playground for `GET /` (and `HEAD /`, whose body the server omits).
#[must_use]
pub fn playground() -> Response<Reply> {
    let mut response = Response::new(Reply::whole(PLAYGROUND));
    let fixed = HeaderValue::from_static;
    let headers: [(HeaderName, HeaderValue); 7] = [
        (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY.clone()),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (REFERRER_POLICY, fixed("no-referrer")),
        (CACHE_CONTROL, fixed("no-cache")),
        (
            HeaderName::from_static("permissions-policy"),
            fixed(PERMISSIONS_POLICY),
        ),
        (
            // A page that opened the playground gets no handle on its window.
            HeaderName::from_static("cross-origin-opener-policy"),
            fixed("same-origin"),
        ),
    ];
    response.headers_mut().extend(headers);
    response
}

/// Returns the browser client for `GET /client.js`; 304 if the browser has it already.
#[must_use]
pub fn client(request_headers: &HeaderMap) -> Response<Reply> {
    let cached = request_headers.get_all(IF_NONE_MATCH).iter().any(|tags| {
        let tags = tags.as_bytes();
        // Weak tags (`W/…`) match too: proxies that compress a response weaken its tag.
        tags == b"*" || memchr::memmem::find(tags, CLIENT_TAG.as_bytes()).is_some()
    });
    let mut response = Response::new(if cached {
        Reply::empty()
    } else {
        Reply::whole(CLIENT.clone())
    });
    if cached {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fixed = HeaderValue::from_static;
    response.headers_mut().extend([
        (CONTENT_TYPE, fixed("text/javascript; charset=utf-8")),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        // Revalidated with every load, so that a new server version is used at once.
        (CACHE_CONTROL, fixed("no-cache")),
        (ETAG, CLIENT_TAG.clone()),
    ]);
    response
}

/// Removes comment lines and indentation from a script. Comments in `client.js` have lines of their
/// own, and nothing in it depends on indentation. The first line is kept: it names the project.
fn strip_comments(script: &str) -> String {
    let comment = |line: &str| {
        ["//", "/*", "*"]
            .iter()
            .any(|mark| line.trim_start().starts_with(mark))
    };
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    let lines = std::iter::once(first).chain(rest.lines().filter(|line| !comment(line)));
    lines.flat_map(|line| [line.trim_start(), "\n"]).collect()
}

/// Returns the content security policy of a page with one inline script and one inline style sheet.
/// It requires trusted types, so that no string can become markup, whatever the script does.
fn policy(page: &str) -> HeaderValue {
    let (script, style) = (
        hash(element(page, SCRIPT_TAG)),
        hash(element(page, "style")),
    );
    let policy = format!(
        "default-src 'none'; script-src 'self' '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::try_from(policy).expect("base64 and keywords are visible ASCII")
}

/// The opening tag of the page's script, without its angle brackets.
const SCRIPT_TAG: &str = "script type=\"module\"";

/// Returns the content of the first element with this opening tag; empty if there is none, so that
/// the hash matches no script.
fn element<'a>(page: &'a str, name: &str) -> &'a str {
    let content = page.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    let name = name.split(' ').next().unwrap_or(name);
    content
        .and_then(|rest| rest.split_once(&format!("</{name}>")))
        .map_or("", |(content, _)| content)
}

fn hash(content: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(content)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(response: &'a Response<Reply>, name: &str) -> &'a str {
        response.headers().get(name).unwrap().to_str().unwrap()
    }

    #[test]
    fn the_playground_has_its_headers() {
        let response = playground();
        assert_eq!(
            header(&response, "content-type"),
            "text/html; charset=utf-8"
        );
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(
            header(&response, "cross-origin-opener-policy"),
            "same-origin"
        );
        assert!(header(&response, "permissions-policy").contains("microphone=()"));
        assert!(
            matches!(response.body(), Reply::Whole(Some(body)) if body == PLAYGROUND.as_bytes())
        );
    }

    #[test]
    fn the_client_is_small_and_has_its_headers() {
        let response = client(&HeaderMap::new());
        assert_eq!(
            header(&response, "content-type"),
            "text/javascript; charset=utf-8"
        );
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "cache-control"), "no-cache");
        let Reply::Whole(Some(body)) = response.body() else {
            panic!("it has a body")
        };
        assert!(body.len() < 6000, "{} bytes", body.len());
        let text = std::str::from_utf8(body).unwrap();
        assert!(
            text.starts_with("// Sluicegate")
                && text.is_ascii()
                && !text.contains("/**")
                && !text.contains("import ")
        );
        let tag = header(&response, "etag").to_owned();
        for cached in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let response = client(&HeaderMap::from_iter([(
                IF_NONE_MATCH,
                cached.parse().unwrap(),
            )]));
            assert_eq!(
                (response.status(), header(&response, "etag")),
                (StatusCode::NOT_MODIFIED, &*tag)
            );
            assert!(matches!(response.body(), Reply::Whole(None)));
        }
        assert_eq!(
            client(&HeaderMap::from_iter([(
                IF_NONE_MATCH,
                "\"x\"".parse().unwrap()
            )]))
            .status(),
            StatusCode::OK
        );
    }

    #[test]
    fn comments_and_indentation_are_removed_and_code_is_kept() {
        assert_eq!(
            strip_comments("// a\n/** b\n * c\n */\nd(); // e\n\n  // f\n  g();\n"),
            "// a\nd(); // e\n\ng();\n"
        );
    }

    #[test]
    fn the_policy_contains_the_hashes_of_the_page() {
        let policy = policy("<style>a</style><script type=\"module\">b</script>");
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'self' 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='; \
             style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        );
        assert_eq!(
            header(&playground(), "content-security-policy"),
            super::policy(PLAYGROUND)
        );
    }

    #[test]
    fn the_page_has_one_script_one_style_sheet_and_no_outside_resource() {
        for (name, begin) in [(SCRIPT_TAG, "<script"), ("style", "<style")] {
            assert_eq!(PLAYGROUND.matches(begin).count(), 1, "{name}");
            assert!(element(PLAYGROUND, name).len() > 1000, "{name}");
        }
        // Browsers hash a script after they have replaced CRLF by LF, and the policy does not allow
        // inline attributes.
        assert!(!PLAYGROUND.contains('\r'));
        for outside in [
            "src=",
            "style=\"",
            " onclick",
            "@import",
            "url(",
            "innerHTML",
            "insertAdjacentHTML",
            "document.write",
        ] {
            assert!(!PLAYGROUND.contains(outside), "{outside}");
        }
        assert!(
            PLAYGROUND
                .split("://")
                .skip(1)
                .all(|rest| rest.starts_with("www.w3.org/2000/svg"))
        );
    }
}
