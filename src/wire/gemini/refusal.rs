//! What Gemini's errors mean: `google.rpc.Status` as JSON, in the body of a bad status, inside a
//! stream, bare or in a list of one; or whatever a proxy before it wrote.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::model::fault::Fault;
use crate::wire::refusal::fault;

/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What an answer with a bad status means.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let body = body.get(0).unwrap_or(&body);
    read(body.get("error").unwrap_or(body), status, headers)
}

/// What the value of an `error` field inside a stream means: it says its own status.
pub(super) fn in_stream(error: &RawValue) -> Fault {
    let error: Value = serde_json::from_str(error.get()).unwrap_or_default();
    let code = error
        .get("code")
        .and_then(Value::as_u64)
        .and_then(|code| u16::try_from(code).ok());
    let code = code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .filter(|code| code.as_u16() >= 400);
    let named = error
        .get("status")
        .and_then(Value::as_str)
        .and_then(status_named);
    let status = code.or(named).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    read(&error, status, &HeaderMap::new())
}

fn read(error: &Value, status: StatusCode, headers: &HeaderMap) -> Fault {
    let details = error
        .get("details")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    // A bad key is told as a bad request, but it is ours: no client could send a better one.
    let bad_key = details
        .iter()
        .any(|it| it.get("reason").and_then(Value::as_str) == Some("API_KEY_INVALID"));
    let status = if bad_key {
        StatusCode::UNAUTHORIZED
    } else {
        status
    };
    let message = error
        .get("message")
        .or(Some(error))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let native_type = error
        .get("status")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let mut fault = fault(
        status,
        headers,
        message,
        native_type,
        None,
        field_of(details),
    );
    fault.retry_after = fault.retry_after.max(details.iter().find_map(retry_delay));
    fault
}

/// The first field that a `google.rpc.BadRequest` names.
fn field_of(details: &[Value]) -> Option<String> {
    let mut violations = details
        .iter()
        .filter_map(|it| it.get("fieldViolations"))
        .filter_map(Value::as_array)
        .flatten();
    Some(
        violations
            .find_map(|it| it.get("field"))?
            .as_str()?
            .to_owned(),
    )
}

/// What a `google.rpc.RetryInfo` says: `"34.5s"`.
fn retry_delay(detail: &Value) -> Option<Duration> {
    let seconds = detail
        .get("retryDelay")?
        .as_str()?
        .strip_suffix('s')?
        .parse::<f64>()
        .ok()?;
    Some(Duration::try_from_secs_f64(seconds).ok()?.min(LONGEST_WAIT))
}

fn status_named(status: &str) -> Option<StatusCode> {
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

    fn of(status: u16, body: &str) -> Fault {
        refusal(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        )
    }

    fn streamed(error: &str) -> Fault {
        in_stream(serde_json::from_str(error).unwrap())
    }

    #[test]
    fn what_is_wrong_with_the_request_is_told() {
        let body = r#"{"error":{"code":400,"message":"Invalid value at temperature","status":"INVALID_ARGUMENT",
            "details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"generation_config.temperature"}]}]}}"#;
        for body in [body.to_owned(), format!("[{body}]")] {
            let fault = of(400, &body);
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
        let missing = of(
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
    fn a_bad_key_is_ours_whatever_its_status() {
        let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}"#;
        for fault in [
            of(400, body),
            of(
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
    fn limits_say_when_to_come_back() {
        let body = r#"{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED",
            "details":[{"@type":"x/google.rpc.Help"},{"@type":"x/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;
        let fault = of(429, body);
        assert_eq!(
            (fault.code, fault.limit, fault.retryable),
            (Code::RateLimited, Some("provider"), true)
        );
        assert_eq!(fault.retry_after, Some(Duration::from_millis(34_500)));
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, "60".parse().unwrap())]);
        let larger = refusal(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes());
        assert_eq!(larger.retry_after, Some(Duration::from_secs(60)));
        for (delay, read) in [
            ("1e300s", None),
            ("-1s", None),
            ("NaNs", None),
            ("90000000s", Some(LONGEST_WAIT)),
        ] {
            assert_eq!(
                retry_delay(&serde_json::json!({ "retryDelay": delay })),
                read,
                "{delay}"
            );
        }
    }

    #[test]
    fn what_is_no_error_of_google_keeps_its_status() {
        for body in [
            "",
            "<html>502</html>",
            "\"plain\"",
            "{\"error\":\"plain\"}",
            "[]",
            "{\"error\":null}",
            "\u{0}",
        ] {
            assert_eq!(of(500, body).code, Code::UpstreamError, "{body}");
            assert_eq!(of(503, body).code, Code::Overloaded, "{body}");
        }
        assert!(
            of(500, "{\"error\":\"plain words\"}")
                .message
                .contains("plain words")
        );
    }

    #[test]
    fn an_error_in_a_stream_says_its_own_status() {
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
