//! Errors in the shape of Anthropic: `{"type":"error","error":{type,message,…},"request_id"}`.
//!
//! In addition to `type` and `message`, an error has our `code` (also in `details.error_code`,
//! where the vendor's clients look for it), and `param` and `limit` where they apply.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use crate::codec::members::Members;
use crate::dialect::client_message;
use crate::model::fault::{Code, Fault};

/// The status of overload in this API.
const OVERLOADED: u16 = 529;

/// Error types of this API for errors that the client has to solve.
const TYPES: [&str; 8] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
];

/// Returns the body of an error response.
pub(super) fn body(fault: &Fault, request_id: &str) -> Bytes {
    let mut buf = BytesMut::with_capacity(fault.message.len() + 192);
    let mut body = Members::new(&mut buf);
    put(&mut body, fault, format_args!("request {request_id}"));
    body.text("request_id", request_id);
    body.end();
    buf.freeze()
}

/// Returns the status of an error response.
pub(super) fn status(fault: &Fault) -> StatusCode {
    let overloaded = if fault.code == Code::Overloaded {
        // 529 is outside the standard, so `http` has no constant for it.
        StatusCode::from_u16(OVERLOADED).ok()
    } else {
        None
    };
    overloaded.unwrap_or(fault.status)
}

/// Writes the members of an error. An internal error reports only its place.
pub(super) fn put(body: &mut Members<'_>, fault: &Fault, place: fmt::Arguments<'_>) {
    body.word("type", "error");
    let mut error = body.object("error");
    error.word("type", type_of(fault));
    error.text("message", &client_message(fault, place));
    let mut details = error.object("details");
    details.text("error_code", fault.client_code());
    details.end();
    error.text("code", fault.client_code());
    error.text_if_some("param", fault.param.as_deref());
    error.text_if_some("limit", fault.limit);
    error.end();
}

/// Returns the error type, by which clients tell errors apart: the type that the upstream sent if
/// it is one of [`TYPES`], otherwise the one for the status.
fn type_of(fault: &Fault) -> &'static str {
    let native = fault
        .native_type
        .as_deref()
        .and_then(|native| TYPES.into_iter().find(|known| *known == native));
    native.unwrap_or(match status(fault).as_u16() {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        OVERLOADED => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(fault: &Fault) -> String {
        String::from_utf8(body(fault, "req-1").to_vec()).unwrap()
    }

    #[test]
    fn an_error_has_this_apis_members_and_ours() {
        let fault = Fault::invalid("max_tokens", "`max_tokens` must be \"a number\"");
        let expected = r#"{"type":"error","error":{"type":"invalid_request_error","message":"`max_tokens` must be \"a number\"","details":{"error_code":"invalid_request"},"code":"invalid_request","param":"max_tokens"},"request_id":"req-1"}"#;
        assert_eq!(json(&fault), expected);
        let limited = json(&Fault::new(Code::RateLimited, "too many").with_limit("key"));
        assert!(
            limited.contains(r#""type":"rate_limit_error","message":"too many""#)
                && limited.contains(r#""limit":"key""#),
            "{limited}"
        );
    }

    #[test]
    fn types_follow_the_status() {
        for (code, kind, status) in [
            (Code::InvalidRequest, "invalid_request_error", 400),
            (Code::Unauthenticated, "authentication_error", 401),
            (Code::FieldNotAllowed, "permission_error", 403),
            (Code::ModelNotFound, "not_found_error", 404),
            (Code::MethodNotAllowed, "invalid_request_error", 405),
            (Code::RequestTimeout, "timeout_error", 408),
            (Code::StreamExists, "conflict_error", 409),
            (Code::ReplayExpired, "invalid_request_error", 410),
            (Code::BodyTooLarge, "request_too_large", 413),
            (Code::BudgetExceeded, "rate_limit_error", 429),
            (Code::UpstreamAuth, "api_error", 502),
            (Code::ShuttingDown, "api_error", 503),
            (Code::UpstreamTimeout, "timeout_error", 504),
            (Code::Overloaded, "overloaded_error", 529),
        ] {
            let fault = Fault::new(code, "");
            assert_eq!(
                (type_of(&fault), super::status(&fault).as_u16()),
                (kind, status),
                "{code:?}"
            );
        }
    }

    #[test]
    fn an_upstream_error_type_is_kept_if_this_api_defines_it() {
        let of = |native: &str| {
            type_of(&Fault {
                native_type: Some(native.into()),
                ..Fault::new(Code::InvalidRequest, "")
            })
        };
        assert_eq!(
            ["billing_error", "INVALID_ARGUMENT", "api_error"].map(of),
            [
                "billing_error",
                "invalid_request_error",
                "invalid_request_error"
            ]
        );
    }
}
