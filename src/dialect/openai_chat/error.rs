//! Errors in OpenAI's shape: `{"error":{message,type,param,code}}`; all four keys are always
//! present.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::codec::json::{put_opt_str, put_str};
use crate::model::fault::{Code, Fault};

/// Returns the body of an error response.
pub(super) fn body(fault: &Fault, request_id: &str) -> Bytes {
    let mut buf = BytesMut::with_capacity(fault.message.len() + 128);
    put(
        &mut buf,
        fault,
        &format!("internal error in request {request_id}"),
    );
    buf.freeze()
}

/// Writes an error object. An internal error is reported as `internal_message`, which names the
/// request or the stream but no detail.
pub(super) fn put(buf: &mut BytesMut, fault: &Fault, internal_message: &str) {
    let message = if fault.code == Code::InternalError {
        internal_message
    } else {
        &fault.message
    };
    buf.put_slice(b"{\"error\":{\"message\":");
    put_str(buf, message);
    buf.put_slice(b",\"type\":");
    // The upstream's own type is kept: clients tell errors apart by it.
    put_str(
        buf,
        fault
            .native_type
            .as_deref()
            .unwrap_or_else(|| type_of(fault)),
    );
    buf.put_slice(b",\"param\":");
    put_opt_str(buf, fault.param.as_deref());
    buf.put_slice(b",\"code\":");
    put_str(buf, fault.client_code());
    if let Some(limit) = fault.limit {
        buf.put_slice(b",\"limit\":");
        put_str(buf, limit);
    }
    buf.put_slice(b"}}");
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
    fn an_internal_error_reports_only_the_request() {
        let fault = Fault::new(Code::InternalError, "index out of bounds in hub.rs");
        let expected = r#"{"error":{"message":"internal error in request req-1","type":"server_error","param":null,"code":"internal_error"}}"#;
        assert_eq!(json(&fault), expected);
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
