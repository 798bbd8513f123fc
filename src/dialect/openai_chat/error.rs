//! Errors in OpenAI's shape: `{"error":{message,type,param,code}}`; all four keys are always
//! present.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::codec::members::Members;
use crate::dialect::client_message;
use crate::model::fault::{Code, Fault};

/// Returns the body of an error response.
pub(super) fn body(fault: &Fault, request_id: &str) -> Bytes {
    let mut buf = BytesMut::with_capacity(fault.message.len() + 128);
    put(&mut buf, fault, format_args!("request {request_id}"));
    buf.freeze()
}

/// Writes an error object. An internal error reports only its place.
pub(super) fn put(buf: &mut BytesMut, fault: &Fault, place: fmt::Arguments<'_>) {
    let mut body = Members::new(buf);
    let mut error = body.object("error");
    error.text("message", &client_message(fault, place));
    // The upstream's own type is kept: clients tell errors apart by it.
    let native = fault.native_type.as_deref();
    error.text("type", native.unwrap_or_else(|| type_of(fault)));
    error.text_or_null("param", fault.param.as_deref());
    error.text("code", fault.client_code());
    error.text_if_some("limit", fault.limit);
    error.end();
    body.end();
}

/// Returns the error type, by which clients of OpenAI tell errors apart.
fn type_of(fault: &Fault) -> &'static str {
    match (fault.code, fault.status.as_u16()) {
        (Code::BudgetExceeded, _) => "insufficient_quota",
        (_, 403) => "permission_error",
        (_, 408 | 504) => "timeout",
        (_, 429) => "requests",
        (_, 400..=499) => "invalid_request_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(fault: &Fault) -> String {
        String::from_utf8(body(fault, "req-1").to_vec()).unwrap()
    }

    #[test]
    fn an_error_has_all_four_keys() {
        let fault = Fault::invalid("messages", "`messages` must be \"an array\"");
        let expected = r#"{"error":{"message":"`messages` must be \"an array\"","type":"invalid_request_error","param":"messages","code":"invalid_request"}}"#;
        assert_eq!(json(&fault), expected);
    }

    #[test]
    fn a_limit_is_named_and_a_native_code_is_kept() {
        let mut fault = Fault::new(Code::RateLimited, "too many").with_limit("key");
        assert_eq!(
            json(&fault),
            r#"{"error":{"message":"too many","type":"requests","param":null,"code":"rate_limited","limit":"key"}}"#
        );
        fault.native_code = Some("insufficient_quota".into());
        fault.native_type = Some("tokens".into());
        fault.limit = None;
        assert_eq!(
            json(&fault),
            r#"{"error":{"message":"too many","type":"tokens","param":null,"code":"insufficient_quota"}}"#
        );
    }

    #[test]
    fn types_follow_the_status() {
        for (code, kind) in [
            (Code::Unauthenticated, "invalid_request_error"),
            (Code::ModelNotAllowed, "permission_error"),
            (Code::RequestTimeout, "timeout"),
            (Code::StreamExists, "invalid_request_error"),
            (Code::BudgetExceeded, "insufficient_quota"),
            (Code::UpstreamAuth, "server_error"),
            (Code::Overloaded, "server_error"),
            (Code::UpstreamTimeout, "timeout"),
        ] {
            assert_eq!(type_of(&Fault::new(code, "")), kind, "{code:?}");
        }
    }
}
