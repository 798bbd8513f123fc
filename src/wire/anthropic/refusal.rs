//! Reads this wire's errors: bodies of error responses, and errors inside a good response.

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::lenient::Text;
use crate::model::fault::Fault;
use crate::wire::kit::refusal::fault;

/// Longest request id that is passed on, bytes.
const MAX_REQUEST_ID: usize = 256;

/// Reads a response with an error status. The edge in front of the API answers in HTML or plain
/// text; such a body adds nothing to the status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let fields = std::str::from_utf8(body)
        .ok()
        .and_then(ErrorFields::parse)
        .unwrap_or_default();
    fields.into_fault(status, headers)
}

/// Reads an error payload from a stream or from a response with a good status. The `type` of the
/// error stands for the status it would have had.
pub(super) fn read_payload(json: &str) -> Fault {
    let fields = ErrorFields::parse(json).unwrap_or_default();
    // An error without a type counts as a failure of the upstream.
    let status = fields
        .kind
        .as_deref()
        .map_or(StatusCode::BAD_GATEWAY, status_for_type);
    fields.into_fault(status, &HeaderMap::new())
}

/// Returns the status that the API documents for an error type.
fn status_for_type(kind: &str) -> StatusCode {
    match kind {
        "invalid_request_error" => StatusCode::BAD_REQUEST,
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "billing_error" => StatusCode::PAYMENT_REQUIRED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "conflict_error" => StatusCode::CONFLICT,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        // Documented as 529; 503 is its standard equivalent.
        "overloaded_error" => StatusCode::SERVICE_UNAVAILABLE,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        // `api_error`, and types newer than this code.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The fields of an error that are passed on.
#[derive(Default)]
struct ErrorFields {
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
struct ErrorObject<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ErrorDetails<'a> {
    #[serde(borrow)]
    error_code: Option<Text<'a>>,
}

impl ErrorFields {
    fn into_fault(self, status: StatusCode, headers: &HeaderMap) -> Fault {
        // The id is passed on as a header value, so it must be able to be one.
        let printable =
            |id: &String| id.len() <= MAX_REQUEST_ID && id.bytes().all(|b| b.is_ascii_graphic());
        let mut fault = fault(status, headers, self.message, self.kind, self.code, None);
        // Errors inside a stream have no headers of their own: the id in the payload is used.
        fault.upstream_request_id = fault
            .upstream_request_id
            .or(self.request_id.filter(printable));
        fault
    }

    /// Parses an error payload; `None` if it is not JSON. Compatible servers write `error` as a
    /// string, or its message at the top level.
    fn parse(json: &str) -> Option<Self> {
        let owned = |text: Option<Text<'_>>| {
            text.map(|text| text.as_str().to_owned())
                .filter(|text| !text.is_empty())
        };
        let body: Body<'_> = serde_json::from_str(json).ok()?;
        let error = body.error.map_or("null", RawValue::get);
        let object = serde_json::from_str::<Option<ErrorObject<'_>>>(error)
            .ok()
            .flatten();
        let text = serde_json::from_str::<Text<'_>>(error).ok();
        let (kind, message, details) =
            object.map_or((None, None, None), |it| (it.kind, it.message, it.details));
        let details = details
            .and_then(|details| serde_json::from_str::<ErrorDetails<'_>>(details.get()).ok());
        Some(Self {
            message: owned(message)
                .or_else(|| owned(text))
                .or_else(|| owned(body.message)),
            kind: owned(kind),
            // This code tells a spend limit, which is not retried, from a rate limit.
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

    fn fault_for(status: u16, body: &str) -> Fault {
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
    fn client_errors_keep_status_and_message() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (404, "not_found_error"),
            (413, "request_too_large"),
        ] {
            for fault in [
                fault_for(status, &error(kind, "tools.0.custom: too long")),
                read_payload(&error(kind, "tools.0.custom: too long")),
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
    fn auth_and_billing_errors_are_upstream_auth() {
        for (status, kind) in [
            (401, "authentication_error"),
            (402, "billing_error"),
            (403, "permission_error"),
        ] {
            for fault in [
                fault_for(status, &error(kind, "invalid x-api-key sk-ant-api03-abc")),
                read_payload(&error(kind, "sk-ant-api03-abc")),
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
    fn overload_rate_limits_and_failures_are_distinguished() {
        for (status, kind, code, answered) in [
            (529, "overloaded_error", Code::Overloaded, 503),
            (429, "rate_limit_error", Code::RateLimited, 429),
            (409, "conflict_error", Code::UpstreamError, 502),
            (500, "api_error", Code::UpstreamError, 502),
            (504, "timeout_error", Code::UpstreamError, 502),
            (500, "brand_new_error", Code::UpstreamError, 502),
        ] {
            for fault in [
                fault_for(status, &error(kind, "Overloaded")),
                read_payload(&error(kind, "Overloaded")),
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
            read_payload(&error("rate_limit_error", "slow down")).limit,
            Some("provider")
        );
    }

    #[test]
    fn retry_after_and_request_id_are_read_from_headers() {
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
    fn unreadable_bodies_fall_back_to_the_status() {
        for body in [
            "",
            "<html><h1>502 Bad Gateway</h1></html>",
            "null",
            "[1]",
            r#"{"error":7}"#,
            "\u{0}",
        ] {
            let fault = fault_for(502, body);
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
            fault_for(400, r#"{"error":"model is required"}"#)
                .message
                .contains("model is required")
        );
        assert!(
            fault_for(400, r#"{"message":"model is required"}"#)
                .message
                .contains("model is required")
        );
        assert_eq!(read_payload("{}").code, Code::UpstreamError);
    }

    #[test]
    fn a_request_id_that_cannot_be_a_header_value_is_dropped() {
        let body =
            r#"{"type":"error","error":{"type":"api_error","message":"x"},"request_id":"a\nb"}"#;
        assert_eq!(fault_for(500, body).upstream_request_id, None);
    }
}
