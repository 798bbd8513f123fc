//! What this wire's errors mean: bodies of bad statuses, and errors told in a good answer.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape::Text;
use crate::model::fault::Fault;
use crate::wire::refusal::fault;

/// The longest request id that is passed on, in bytes.
const MAX_REQUEST_ID: usize = 256;

/// What an answer with a bad status means. The edge in front of the API answers in HTML or plain
/// text; that says no more than its status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let told = std::str::from_utf8(body)
        .ok()
        .and_then(Told::read)
        .unwrap_or_default();
    told.fault(status, headers)
}

/// What an error told in a stream, or under a good status, means: its type stands for the status it
/// would have had.
pub(super) fn told(json: &str) -> Fault {
    let told = Told::read(json).unwrap_or_default();
    let status = told
        .kind
        .as_deref()
        .map_or(StatusCode::BAD_GATEWAY, status_of);
    told.fault(status, &HeaderMap::new())
}

/// The status that the API documents for a type of error.
fn status_of(kind: &str) -> StatusCode {
    match kind {
        "invalid_request_error" => StatusCode::BAD_REQUEST,
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "billing_error" => StatusCode::PAYMENT_REQUIRED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "conflict_error" => StatusCode::CONFLICT,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        "overloaded_error" => StatusCode::SERVICE_UNAVAILABLE,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// What an error says of itself.
#[derive(Default)]
struct Told {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    request_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    error_code: Option<Text<'a>>,
}

impl Told {
    fn fault(self, status: StatusCode, headers: &HeaderMap) -> Fault {
        let printable =
            |id: &String| id.len() <= MAX_REQUEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
        let mut fault = fault(status, headers, self.message, self.kind, self.code, None);
        fault.upstream_request_id = fault
            .upstream_request_id
            .or(self.request_id.filter(printable));
        fault
    }

    /// What `json` says, where it is JSON at all. Compatible servers write the error as a string,
    /// or flat.
    fn read(json: &str) -> Option<Self> {
        let owned = |text: Option<Text<'_>>| {
            text.map(|text| text.as_str().to_owned())
                .filter(|text| !text.is_empty())
        };
        let body: Body<'_> = serde_json::from_str(json).ok()?;
        let error = body.error.map_or("null", RawValue::get);
        let object = serde_json::from_str::<Option<Object<'_>>>(error)
            .ok()
            .flatten();
        let sentence = serde_json::from_str::<Text<'_>>(error).ok();
        let (kind, message, details) =
            object.map_or((None, None, None), |it| (it.kind, it.message, it.details));
        let details =
            details.and_then(|details| serde_json::from_str::<Details<'_>>(details.get()).ok());
        Some(Self {
            message: owned(message)
                .or_else(|| owned(sentence))
                .or_else(|| owned(body.message)),
            kind: owned(kind),
            code: owned(details.and_then(|details| details.error_code)),
            request_id: owned(body.request_id),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::fault::{Code, Side};

    fn refuse(status: u16, body: &str) -> Fault {
        read(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        )
    }

    fn error(kind: &str, message: &str) -> String {
        format!(
            r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}},"request_id":"req_1"}}"#
        )
    }

    #[test]
    fn the_clients_own_mistakes_keep_status_and_words() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
        ] {
            for fault in [
                refuse(status, &error(kind, "tools.0.custom: too long")),
                told(&error(kind, "tools.0.custom: too long")),
            ] {
                assert_eq!(
                    (fault.status.as_u16(), fault.side, fault.retryable),
                    (status, Side::Client, false)
                );
                assert_eq!(fault.message, "tools.0.custom: too long");
                assert_eq!(fault.native_type.as_deref(), Some(kind));
                assert_eq!(fault.upstream_request_id.as_deref(), Some("req_1"));
            }
        }
    }

    #[test]
    fn what_is_the_operators_to_mend_is_upstream_auth() {
        for (status, kind) in [
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
        ] {
            for fault in [
                refuse(status, &error(kind, "invalid x-api-key sk-ant-api03-abc")),
                told(&error(kind, "sk-ant-api03-abc")),
            ] {
                assert_eq!(
                    (fault.code, fault.status.as_u16(), fault.retryable),
                    (Code::UpstreamAuth, 502, false)
                );
                assert!(!fault.message.contains("sk-ant"), "{}", fault.message);
            }
        }
    }

    #[test]
    fn overload_limits_and_failures_are_told_apart() {
        for (status, kind, code, answered) in [
            (529, "overloaded_error", Code::Overloaded, 503),
            (429, "rate_limit_error", Code::RateLimited, 429),
            (409, "conflict_error", Code::UpstreamError, 502),
            (500, "api_error", Code::UpstreamError, 502),
            (504, "timeout_error", Code::UpstreamError, 502),
            (500, "brand_new_error", Code::UpstreamError, 502),
        ] {
            for fault in [
                refuse(status, &error(kind, "Overloaded")),
                told(&error(kind, "Overloaded")),
            ] {
                assert_eq!(
                    (
                        fault.code,
                        fault.status.as_u16(),
                        fault.side,
                        fault.retryable
                    ),
                    (code, answered, Side::Upstream, true),
                    "{kind}"
                );
            }
        }
        assert_eq!(
            told(&error("rate_limit_error", "slow down")).limit,
            Some("provider")
        );
    }

    #[test]
    fn headers_are_read() {
        let mut headers = HeaderMap::new();
        headers.insert("request-id", "req_header".parse().unwrap());
        headers.insert("retry-after", "3".parse().unwrap());
        headers.insert("retry-after-ms", "3500".parse().unwrap());
        let fault = read(
            StatusCode::TOO_MANY_REQUESTS,
            &headers,
            error("rate_limit_error", "x").as_bytes(),
        );
        assert_eq!(fault.retry_after, Some(Duration::from_millis(3500)));
        assert_eq!(fault.upstream_request_id.as_deref(), Some("req_header"));
    }

    #[test]
    fn any_body_is_read() {
        for body in [
            "",
            "<html><h1>502 Bad Gateway</h1></html>",
            "null",
            "[1]",
            r#"{"error":7}"#,
            "\u{0}",
        ] {
            let fault = refuse(502, body);
            assert_eq!(fault.code, Code::UpstreamError, "{body}");
            assert!(
                !fault.message.contains('<') && !fault.message.is_empty(),
                "{}",
                fault.message
            );
        }
        assert_eq!(
            read(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"\xff\xfe").code,
            Code::UpstreamError
        );
        assert!(
            refuse(400, r#"{"error":"model is required"}"#)
                .message
                .contains("model is required")
        );
        assert!(
            refuse(400, r#"{"message":"model is required"}"#)
                .message
                .contains("model is required")
        );
        assert_eq!(told("{}").code, Code::UpstreamError);
    }

    #[test]
    fn a_request_id_that_could_not_be_a_header_is_left_out() {
        let body =
            r#"{"type":"error","error":{"type":"api_error","message":"x"},"request_id":"a\nb"}"#;
        assert_eq!(refuse(500, body).upstream_request_id, None);
    }
}
