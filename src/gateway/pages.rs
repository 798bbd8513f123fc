//! The pages we serve ourselves: the playground, and the client that it and other pages import.
//!
//! Invariants: a page asks nobody but us; its policy allows the script and the styles that are in
//! it, by their hashes, and scripts of its own origin, of which there is one (hashes do not reach
//! what a module imports); no other page may frame it, and its address is told to nobody.

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

/// The client as it is served: without the lines that only explain.
static CLIENT: LazyLock<Bytes> =
    LazyLock::new(|| Bytes::from(without_comments(include_str!("client.js"))));

static CLIENT_TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let tag = format!("\"{}\"", BASE64.encode(Sha256::digest(&*CLIENT)));
    HeaderValue::try_from(tag).expect("base64 and quotes are visible ASCII")
});

/// What it may be asked with: nothing of the device is any business of a chat.
const PERMISSIONS: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| policy(PLAYGROUND));

/// The answer to `GET /` (and to `HEAD /`, whose body the server leaves out).
#[must_use]
pub fn playground() -> Response<Reply> {
    let mut response = Response::new(Reply::whole(PLAYGROUND));
    let fixed = HeaderValue::from_static;
    let headers: [(HeaderName, HeaderValue); 7] = [
        (CONTENT_TYPE, fixed("text/html; charset=utf-8")),
        (CONTENT_SECURITY_POLICY, POLICY.clone()),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (REFERRER_POLICY, fixed("no-referrer")),
        (CACHE_CONTROL, fixed("no-cache")),
        (
            HeaderName::from_static("permissions-policy"),
            fixed(PERMISSIONS),
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            fixed("same-origin"),
        ),
    ];
    response.headers_mut().extend(headers);
    response
}

/// The answer to `GET /client.js`; 304 where the asker has it already.
#[must_use]
pub fn client(asked: &HeaderMap) -> Response<Reply> {
    let known = asked.get_all(IF_NONE_MATCH).iter().any(|tags| {
        let tags = tags.as_bytes();
        tags == b"*" || memchr::memmem::find(tags, CLIENT_TAG.as_bytes()).is_some()
    });
    let mut response = Response::new(if known {
        Reply::empty()
    } else {
        Reply::whole(CLIENT.clone())
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let fixed = HeaderValue::from_static;
    response.headers_mut().extend([
        (CONTENT_TYPE, fixed("text/javascript; charset=utf-8")),
        (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (CACHE_CONTROL, fixed("no-cache")),
        (ETAG, CLIENT_TAG.clone()),
    ]);
    response
}

/// A script without its comments, which have lines of their own, and without its indentation, which
/// nothing in it needs; the first line says where they are.
fn without_comments(script: &str) -> String {
    let comment = |line: &str| {
        ["//", "/*", "*"]
            .iter()
            .any(|mark| line.trim_start().starts_with(mark))
    };
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    let lines = std::iter::once(first).chain(rest.lines().filter(|line| !comment(line)));
    lines.flat_map(|line| [line.trim_start(), "\n"]).collect()
}

/// The content security policy of a page with one inline script and one inline style sheet. Trusted
/// types are demanded so that no string can become markup, whatever the script does.
fn policy(page: &str) -> HeaderValue {
    let (script, style) = (hash(element(page, SCRIPT)), hash(element(page, "style")));
    let policy = format!(
        "default-src 'none'; script-src 'self' '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::try_from(policy).expect("base64 and keywords are visible ASCII")
}

/// How the page's script begins.
const SCRIPT: &str = "script type=\"module\"";

/// The content of the page's first element that begins so; nothing where there is none, which no
/// script then matches.
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
    fn the_page_comes_with_its_headers() {
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
    fn the_client_is_small_and_comes_with_its_headers() {
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
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".into()] {
            let response = client(&HeaderMap::from_iter([(
                IF_NONE_MATCH,
                known.parse().unwrap(),
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
    fn comments_and_indentation_go_and_code_stays() {
        assert_eq!(
            without_comments("// a\n/** b\n * c\n */\nd(); // e\n\n  // f\n  g();\n"),
            "// a\nd(); // e\n\ng();\n"
        );
    }

    #[test]
    fn the_policy_names_what_is_in_the_page() {
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
    fn the_page_has_one_script_one_style_sheet_and_nothing_from_elsewhere() {
        for (name, begin) in [(SCRIPT, "<script"), ("style", "<style")] {
            assert_eq!(PLAYGROUND.matches(begin).count(), 1, "{name}");
            assert!(element(PLAYGROUND, name).len() > 1000, "{name}");
        }
        // A browser hashes what it has after turning CRLF into LF; and the policy has no word for
        // attributes.
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
