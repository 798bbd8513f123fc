//! Converts error answers of upstreams to faults. Side, status and retries are decided here, once
//! for every wire.
//!
//! Invariants: no text passed to clients contains a possible secret, host or link, or is longer
//! than [`MESSAGE_BOUND`]; if the upstream rejected our own credential, none of its text is passed
//! on.

pub(in crate::wire) mod openai;
pub mod quota;
mod retry_after;
mod scrub;

use http::{HeaderMap, StatusCode};

pub use retry_after::retry_after;
pub(in crate::wire) use retry_after::seconds;
pub use scrub::scrub;

use crate::model::fault::{Code, Fault, Side};

/// Maximum length of an upstream's message that is passed to clients, bytes.
pub const MESSAGE_BOUND: usize = 4096;

/// Maximum length of a `code`, `type`, `param` or request id that is passed to clients, bytes.
const SHORT_TEXT_BOUND: usize = 256;

/// Upstream error codes that clients handle. They are passed on with every status.
const KNOWN_CODES: [&str; 3] = [
    "context_length_exceeded",
    "insufficient_quota",
    "content_filter",
];

/// Headers in which providers send their request id, the most common ones first.
const REQUEST_ID_HEADERS: [&str; 10] = [
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-ms-request-id",
    "x-amzn-requestid",
    "x-ds-trace-id",
    "x-debug-trace-id",
    "x-kong-request-id",
    "mistral-correlation-id",
    "x-generation-id",
];

/// Returns the fault for an answer with an error status. The texts are the upstream's own, as far
/// as its body could be read; `native_code` and `native_type` are its `error.code` and
/// `error.type`.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers build the texts for this call and do not use them afterwards"
)]
pub fn fault(
    status: StatusCode,
    headers: &HeaderMap,
    message: Option<String>,
    native_type: Option<String>,
    native_code: Option<String>,
    param: Option<String>,
) -> Fault {
    // Cut before and after: `scrub` then reads a bounded text, and its replacements cannot make the
    // message longer than the bound.
    let text = message
        .map(|message| bounded(&scrub(&bounded(&message, 4 * MESSAGE_BOUND)), MESSAGE_BOUND))
        .filter(|message| !message.is_empty());
    let quota_spent = native_code
        .as_deref()
        .is_some_and(|code| code.contains("quota") || code.contains("spend"));
    let mut fault = classify(status, text.as_deref());
    if fault.side == Side::Client {
        fault.native_code = native_code.as_deref().map(short_text);
        fault.native_type = native_type.as_deref().map(short_text);
        fault.param = param.as_deref().map(short_text);
    } else if fault.code != Code::UpstreamAuth {
        fault.native_code = native_code.filter(|code| KNOWN_CODES.contains(&code.as_str()));
    }
    if fault.native_code.as_deref() == Some("insufficient_quota") {
        fault.native_type = Some("insufficient_quota".to_owned());
        fault.retryable = false;
    }
    // A spent quota needs a payment: a retry cannot succeed.
    fault.retryable &= !quota_spent;
    fault.quotes_upstream = text.is_some() && fault.code != Code::UpstreamAuth;
    fault.retry_after = retry_after(headers);
    fault.upstream_request_id = request_id(headers);
    fault.upstream_status = Some(status);
    fault
}

/// Returns the provider's request id, if there is one that is safe to pass on.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = REQUEST_ID_HEADERS
        .iter()
        .find_map(|name| headers.get(*name))?
        .to_str()
        .ok()?;
    (!id.is_empty() && id.len() <= SHORT_TEXT_BOUND && id.bytes().all(|b| b.is_ascii_graphic()))
        .then(|| id.to_owned())
}

/// Returns the status for an error inside a stream that has no status of its own, derived from the
/// text of its code and type.
#[must_use]
pub fn status_from_text(text: &str) -> Option<StatusCode> {
    // The first match decides: specific texts stand before general ones such as `invalid`.
    const TABLE: [(&[&str], u16); 10] = [
        (
            &[
                "insufficient_quota",
                "rate_limit",
                "rate limit",
                "too_many_requests",
                "too many requests",
                "resource_exhausted",
            ],
            429,
        ),
        (&["usage_limit"], 429),
        (&["overloaded", "unavailable", "capacity", "slow_down"], 503),
        (
            &[
                "auth",
                "api_key",
                "permission",
                "forbidden",
                "payment",
                "billing",
                "credit",
                "balance",
            ],
            401,
        ),
        (&["timeout"], 504),
        (&["not_found", "notfound"], 404),
        (&["too_large", "payload_too"], 413),
        (&["unprocessable"], 422),
        (
            &[
                "invalid",
                "bad_request",
                "bad request",
                "context_length",
                "context_size",
                "token_limit",
                "tokens_exceeded",
            ],
            400,
        ),
        (
            &[
                "content_filter",
                "content_policy",
                "validation",
                "string_too_long",
                "tool_use_failed",
                "precondition",
                "image",
                "_policy",
            ],
            400,
        ),
    ];
    let text = text.to_ascii_lowercase();
    let (_, status) = TABLE
        .iter()
        .find(|(marks, _)| marks.iter().any(|mark| text.contains(mark)))?;
    StatusCode::from_u16(*status).ok()
}

/// Chooses code, side and message for a status.
fn classify(status: StatusCode, text: Option<&str>) -> Fault {
    match status.as_u16() {
        400 | 404 | 413 | 415 | 422 => client_fault(status, text),
        401 | 402 | 403 | 407 => {
            let message = format!(
                "the provider rejected the configured credential or account with status {}: \
                 check its key and its account",
                status.as_u16()
            );
            Fault::new(Code::UpstreamAuth, message)
        }
        429 => Fault {
            retryable: true,
            ..upstream_fault(Code::RateLimited, status, text).with_limit("provider")
        },
        // 498 is Groq's flex capacity, 529 Anthropic's overload.
        498 | 503 | 529 => Fault {
            retryable: true,
            ..upstream_fault(Code::Overloaded, status, text)
        },
        _ => upstream_fault(Code::UpstreamError, status, text),
    }
}

/// Returns the fault for a request that is itself wrong. It has the upstream's own message.
fn client_fault(status: StatusCode, text: Option<&str>) -> Fault {
    let code = match status.as_u16() {
        404 => Code::NotFound,
        413 => Code::BodyTooLarge,
        415 => Code::UnsupportedMediaType,
        _ => Code::InvalidRequest,
    };
    let message = text.map_or_else(
        || {
            format!(
                "the upstream rejected the request with status {}",
                status.as_u16()
            )
        },
        str::to_owned,
    );
    Fault {
        status,
        side: Side::Client,
        retryable: false,
        ..Fault::new(code, message)
    }
}

/// Returns the fault for a failure of the upstream. Its message begins with what failed.
fn upstream_fault(code: Code, status: StatusCode, text: Option<&str>) -> Fault {
    let message = match (code, text) {
        (Code::RateLimited, None) => {
            "the upstream's rate limit is reached: try again later".to_owned()
        }
        (Code::Overloaded, None) => "the upstream is overloaded: try again later".to_owned(),
        (_, None) => format!("the upstream failed with status {}", status.as_u16()),
        (Code::RateLimited, Some(text)) => format!("the upstream's rate limit is reached: {text}"),
        (Code::Overloaded, Some(text)) => format!("the upstream is overloaded: {text}"),
        (_, Some(text)) => format!("the upstream failed: {text}"),
    };
    Fault {
        side: Side::Upstream,
        ..Fault::new(code, message)
    }
}

/// Removes secrets and hosts from a short text and cuts it to [`SHORT_TEXT_BOUND`].
fn short_text(text: &str) -> String {
    bounded(
        &scrub(&bounded(text, 2 * SHORT_TEXT_BOUND)),
        SHORT_TEXT_BOUND,
    )
}

/// Returns at most `bound` bytes of a text, cut between characters and marked with `…`.
fn bounded(text: &str, bound: usize) -> String {
    if text.len() <= bound {
        return text.to_owned();
    }
    let room = bound - '…'.len_utf8();
    let fits = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= room)
        .last();
    let mut short = text.get(..fits.unwrap_or(0)).unwrap_or_default().to_owned();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(status: u16, code: Option<&str>) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        let own = |text: &str| Some(text.to_owned());
        fault(
            status,
            &HeaderMap::new(),
            own("Sorry."),
            own("some_type"),
            code.map(str::to_owned),
            own("messages[0].content"),
        )
    }

    #[test]
    fn request_errors_keep_the_upstreams_message() {
        for (status, code) in [
            (400, "invalid_request"),
            (404, "not_found"),
            (413, "body_too_large"),
            (422, "invalid_request"),
        ] {
            let fault = of(status, None);
            assert_eq!(
                (
                    fault.status.as_u16(),
                    fault.side,
                    fault.client_code(),
                    &*fault.message
                ),
                (status, Side::Client, code, "Sorry.")
            );
            assert_eq!(
                (fault.native_type.as_deref(), fault.param.as_deref()),
                (Some("some_type"), Some("messages[0].content"))
            );
            assert_eq!(fault.ends_route(), status != 404);
        }
        assert_eq!(
            of(400, Some("unsupported_value")).client_code(),
            "unsupported_value"
        );
    }

    #[test]
    fn a_rejected_credential_hides_the_upstreams_message() {
        for status in [401, 402, 403, 407] {
            let fault = of(status, Some("invalid_api_key"));
            assert_eq!(
                (fault.status.as_u16(), fault.client_code(), fault.retryable),
                (502, "upstream_auth", false)
            );
            assert!(!fault.message.contains("Sorry") && !fault.ends_route());
        }
    }

    #[test]
    fn upstream_failures_are_bad_gateways() {
        for status in [301, 408, 409, 418, 424, 425, 500, 502, 504, 520, 599] {
            let fault = of(status, Some("server_error"));
            assert_eq!(
                (fault.status.as_u16(), fault.client_code(), fault.retryable),
                (502, "upstream_error", true),
                "{status}"
            );
            assert_eq!((fault.side, fault.param), (Side::Upstream, None));
        }
    }

    #[test]
    fn rate_limits_and_overload_have_their_own_codes() {
        let limited = of(429, Some("rate_limit_exceeded"));
        assert_eq!(
            (
                limited.status.as_u16(),
                limited.client_code(),
                limited.limit
            ),
            (429, "rate_limited", Some("provider"))
        );
        assert!(limited.retryable && !limited.ends_route());
        let quota = of(429, Some("insufficient_quota"));
        assert_eq!(
            (quota.client_code(), quota.retryable),
            ("insufficient_quota", false)
        );
        for status in [503, 529] {
            let fault = of(status, None);
            assert_eq!(
                (fault.status.as_u16(), fault.client_code(), fault.retryable),
                (503, "overloaded", true)
            );
            assert!(!fault.ends_route());
        }
    }

    #[test]
    fn request_id_and_retry_after_are_read_from_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("apim-request-id", "r-1".parse().unwrap());
        headers.insert("retry-after", "2".parse().unwrap());
        let fault = fault(
            StatusCode::TOO_MANY_REQUESTS,
            &headers,
            None,
            None,
            None,
            None,
        );
        assert_eq!(
            (fault.upstream_request_id.as_deref(), fault.retry_after),
            (Some("r-1"), Some(Duration::from_secs(2)))
        );
        headers.insert("x-request-id", "has space".parse().unwrap());
        assert_eq!(request_id(&headers), None);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let fault = fault(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            Some("é".repeat(5000)),
            None,
            None,
            None,
        );
        assert!(fault.message.len() <= MESSAGE_BOUND && fault.message.ends_with('…'));
    }

    #[test]
    fn error_texts_have_a_status() {
        for (text, status) in [
            ("invalid_request_error", 400),
            ("authentication_error invalid_request_error", 401),
            ("insufficient_quota", 429),
            ("provider_overloaded", 503),
            ("context_length_exceeded", 400),
            ("model_not_found", 404),
            ("image_parse_error", 400),
            ("image_file_too_large", 413),
            ("cyber_policy", 400),
            ("usage_limit_reached", 429),
        ] {
            assert_eq!(
                status_from_text(text).map(|s| s.as_u16()),
                Some(status),
                "{text}"
            );
        }
        assert_eq!(status_from_text("server_error"), None);
    }
}
