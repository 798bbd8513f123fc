//! The pages we serve ourselves: the playground.
//!
//! Invariants: a page is one file without any outside request; its policy allows exactly the script and the styles that
//! are in it, by their hashes, and nothing else; no other page may frame it, and its address is told to nobody.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Response};
use sha2::{Digest as _, Sha256};

use super::reply::Reply;

const PLAYGROUND: &str = include_str!("playground.html");

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
        (HeaderName::from_static("permissions-policy"), fixed(PERMISSIONS)),
        (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
    ];
    response.headers_mut().extend(headers);
    response
}

/// The content security policy of a page with one inline script and one inline style sheet. Trusted types are demanded
/// so that no string can become markup, whatever the script does.
fn policy(page: &str) -> HeaderValue {
    let (script, style) = (hash(element(page, "script")), hash(element(page, "style")));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    );
    HeaderValue::try_from(policy).expect("base64 and keywords are visible ASCII")
}

/// The content of the page's first element of that name; nothing where there is none, which no script then matches.
fn element<'a>(page: &'a str, name: &str) -> &'a str {
    let content = page.split_once(&format!("<{name}>")).map(|(_, rest)| rest);
    content.and_then(|rest| rest.split_once(&format!("</{name}>"))).map_or("", |(content, _)| content)
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
        assert_eq!(header(&response, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "cache-control"), "no-cache");
        assert_eq!(header(&response, "cross-origin-opener-policy"), "same-origin");
        assert!(header(&response, "permissions-policy").contains("microphone=()"));
        assert!(matches!(response.body(), Reply::Whole(Some(body)) if body == PLAYGROUND.as_bytes()));
    }

    #[test]
    fn the_policy_names_what_is_in_the_page() {
        let policy = policy("<style>a</style><script>b</script>");
        assert_eq!(
            policy,
            "default-src 'none'; script-src 'sha256-PiPoFgA5WUoziU9lZOGxNIu9egCI1CxKy3PurtWcAJ0='; \
             style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
        );
        assert_eq!(header(&playground(), "content-security-policy"), super::policy(PLAYGROUND));
    }

    #[test]
    fn the_page_has_one_script_one_style_sheet_and_nothing_from_elsewhere() {
        for name in ["script", "style"] {
            assert_eq!(PLAYGROUND.matches(&format!("<{name}")).count(), 1, "{name}");
            assert!(element(PLAYGROUND, name).len() > 1000, "{name}");
        }
        // A browser hashes what it has after turning CRLF into LF; and the policy has no word for attributes.
        assert!(!PLAYGROUND.contains('\r'));
        for outside in ["src=", "style=\"", " onclick", "@import", "url(", "innerHTML", "insertAdjacentHTML", "document.write"] {
            assert!(!PLAYGROUND.contains(outside), "{outside}");
        }
        assert!(PLAYGROUND.split("://").skip(1).all(|rest| rest.starts_with("www.w3.org/2000/svg")));
    }
}
