//! Parses Gemini's errors: `google.rpc.Status` as JSON, in the body of an error status or inside a
//! stream, bare or in a list of one. A proxy in front of Google may answer in any other form.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model::fault::Fault;
use crate::wire::kit::refusal::{fault, seconds};

/// Reads a response with an error status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    // Google sometimes wraps the error in a list of one.
    let body = body.get(0).unwrap_or(&body);
    from_json(body.get("error").unwrap_or(body), status, headers)
}

/// Reads the value of an `error` field inside a stream. The value names the status, because the
/// response's own status was 200.
pub(super) fn read_payload(json: &str) -> Fault {
    let error: Value = serde_json::from_str(json).unwrap_or_default();
    let code = error
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| StatusCode::from_u16(code).ok())
        // A `code` below 400 is no error status and is ignored.
        .filter(|code| code.as_u16() >= 400);
    let named = text(&error, "status").and_then(status_from_name);
    let status = code.or(named).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    from_json(&error, status, &HeaderMap::new())
}

fn from_json(error: &Value, status: StatusCode, headers: &HeaderMap) -> Fault {
    let details = error.get("details").and_then(Value::as_array);
    let details = details.map_or(&[][..], Vec::as_slice);
    // Google reports a bad key as a bad request, but the key is ours: the client cannot correct it.
    let is_bad_key = |detail: &Value| text(detail, "reason") == Some("API_KEY_INVALID");
    let status = if details.iter().any(is_bad_key) {
        StatusCode::UNAUTHORIZED
    } else {
        status
    };
    // Proxies send a plain string in place of the error object.
    let message = error.get("message").or(Some(error)).and_then(Value::as_str);
    let own = |text: &str| text.to_owned();
    let mut fault = fault(
        status,
        headers,
        message.map(own),
        text(error, "status").map(own),
        None,
        field_of(details).map(own),
    );
    // The header and the detail may differ: keep the longer delay.
    fault.retry_after = fault.retry_after.max(details.iter().find_map(retry_delay));
    fault
}

fn text<'a>(json: &'a Value, name: &str) -> Option<&'a str> {
    json.get(name)?.as_str()
}

/// Returns the first field that a `google.rpc.BadRequest` detail names.
fn field_of(details: &[Value]) -> Option<&str> {
    let mut violations = details
        .iter()
        .filter_map(|it| it.get("fieldViolations"))
        .filter_map(Value::as_array)
        .flatten();
    violations.find_map(|it| it.get("field"))?.as_str()
}

/// Returns the delay of a `google.rpc.RetryInfo` detail, such as `"34.5s"`.
fn retry_delay(detail: &Value) -> Option<Duration> {
    seconds(text(detail, "retryDelay")?.strip_suffix('s')?)
}

fn status_from_name(status: &str) -> Option<StatusCode> {
    Some(match status {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => StatusCode::BAD_REQUEST,
        "UNAUTHENTICATED" => StatusCode::UNAUTHORIZED,
        "PERMISSION_DENIED" => StatusCode::FORBIDDEN,
        "NOT_FOUND" => StatusCode::NOT_FOUND,
        "RESOURCE_EXHAUSTED" => StatusCode::TOO_MANY_REQUESTS,
        "UNAVAILABLE" => StatusCode::SERVICE_UNAVAILABLE,
        "DEADLINE_EXCEEDED" => StatusCode::GATEWAY_TIMEOUT,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Code, Side};

    fn fault_of(status: u16, body: &str) -> Fault {
        read(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        )
    }

    fn streamed(error: &str) -> Fault {
        read_payload(error)
    }

    #[test]
    fn invalid_requests_keep_googles_message_and_field() {
        let body = r#"{"error":{"code":400,"message":"Invalid value at temperature","status":"INVALID_ARGUMENT",
            "details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"generation_config.temperature"}]}]}}"#;
        for body in [body.to_owned(), format!("[{body}]")] {
            let fault = fault_of(400, &body);
            assert_eq!(
                (fault.code, fault.status.as_u16(), fault.side),
                (Code::InvalidRequest, 400, Side::Client)
            );
            assert_eq!(fault.message, "Invalid value at temperature");
            assert_eq!(
                fault.param.as_deref(),
                Some("generation_config.temperature")
            );
            assert_eq!(fault.native_type.as_deref(), Some("INVALID_ARGUMENT"));
            assert!(fault.ends_route());
        }
        let missing = fault_of(
            404,
            r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}"#,
        );
        assert_eq!(
            (missing.status.as_u16(), missing.ends_route()),
            (404, false)
        );
        assert_eq!(
            missing.message,
            "models/x is not found for API version v1beta"
        );
    }

    #[test]
    fn a_bad_key_is_an_upstream_error_with_any_status() {
        let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
        for fault in [
            fault_of(400, body),
            fault_of(
                403,
                r#"{"error":{"code":403,"message":"denied","status":"PERMISSION_DENIED"}}"#,
            ),
        ] {
            assert_eq!(
                (fault.code, fault.status.as_u16()),
                (Code::UpstreamAuth, 502)
            );
            assert!(!fault.message.contains("denied") && !fault.message.contains("not valid"));
        }
    }

    #[test]
    fn rate_limits_carry_the_longest_retry_delay() {
        let body = r#"{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED",
            "details":[{"@type":"x/google.rpc.Help"},{"@type":"x/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;
        let fault = fault_of(429, body);
        assert_eq!(
            (fault.code, fault.limit, fault.retryable),
            (Code::RateLimited, Some("provider"), true)
        );
        assert_eq!(fault.retry_after, Some(Duration::from_millis(34_500)));
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "60".parse().unwrap())]);
        let larger = read(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes());
        assert_eq!(larger.retry_after, Some(Duration::from_secs(60)));
        let day = Duration::from_secs(24 * 60 * 60);
        for (delay, read) in [
            ("1e300s", Some(day)),
            ("-1s", None),
            ("NaNs", None),
            ("90000000s", Some(day)),
        ] {
            assert_eq!(
                retry_delay(&serde_json::json!({ "retryDelay": delay })),
                read,
                "{delay}"
            );
        }
    }

    #[test]
    fn bodies_of_another_shape_keep_their_status() {
        for body in [
            "",
            "<html>502</html>",
            "\"plain\"",
            "{\"error\":\"plain\"}",
            "[]",
            "{\"error\":null}",
            "\u{0}",
        ] {
            assert_eq!(fault_of(500, body).code, Code::UpstreamError, "{body}");
            assert_eq!(fault_of(503, body).code, Code::Overloaded, "{body}");
        }
        assert!(
            fault_of(500, "{\"error\":\"plain words\"}")
                .message
                .contains("plain words")
        );
    }

    #[test]
    fn an_error_in_a_stream_names_its_status() {
        for (error, code, status) in [
            (
                r#"{"code":429,"status":"RESOURCE_EXHAUSTED"}"#,
                Code::RateLimited,
                429,
            ),
            (
                r#"{"status":"UNAVAILABLE","message":"overloaded"}"#,
                Code::Overloaded,
                503,
            ),
            (
                r#"{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}"#,
                Code::UpstreamError,
                502,
            ),
            (
                r#"{"code":400,"status":"FAILED_PRECONDITION"}"#,
                Code::InvalidRequest,
                400,
            ),
            (
                r#"{"code":401,"status":"UNAUTHENTICATED"}"#,
                Code::UpstreamAuth,
                502,
            ),
            (r#"{"code":404,"status":"NOT_FOUND"}"#, Code::NotFound, 404),
            (r#"{"code":"x"}"#, Code::UpstreamError, 502),
            (r#"{"code":200}"#, Code::UpstreamError, 502),
            (r#""words""#, Code::UpstreamError, 502),
        ] {
            let fault = streamed(error);
            assert_eq!(
                (fault.code, fault.status.as_u16()),
                (code, status),
                "{error}"
            );
        }
    }
}
