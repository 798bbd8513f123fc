//! Reads this wire's errors, `{"message": "text"}`: bodies of error responses, and errors inside a
//! good response.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model::fault::Fault;
use crate::wire::kit::refusal::fault;

/// Cohere's own status for an invalid API key. Other providers use it for exceeded capacity.
const INVALID_TOKEN: u16 = 498;

/// Reads a response with an error status. Proxies in front of the API answer in HTML or plain text;
/// such a body adds nothing to the status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let status = if status.as_u16() == INVALID_TOKEN {
        StatusCode::UNAUTHORIZED
    } else {
        status
    };
    from_json(
        &serde_json::from_slice(body).unwrap_or_default(),
        status,
        headers,
    )
}

/// Reads an error payload from a stream or from a response with a good status. It states no status,
/// so it counts as a failure of the upstream.
pub(super) fn read_payload(json: &str) -> Fault {
    from_json(
        &serde_json::from_str(json).unwrap_or_default(),
        StatusCode::INTERNAL_SERVER_ERROR,
        &HeaderMap::new(),
    )
}

fn from_json(body: &Value, status: StatusCode, headers: &HeaderMap) -> Fault {
    let text = |pointer: &str| body.pointer(pointer)?.as_str().map(str::to_owned);
    // Compatible servers write the message in other places.
    let message = ["/message", "/error", "/error/message"]
        .into_iter()
        .find_map(text);
    let kind = text("/error_type");
    // Clients know this code for a prompt that is too long.
    let code =
        (kind.as_deref() == Some("TOO_MANY_TOKENS")).then(|| "context_length_exceeded".to_owned());
    fault(status, headers, message, kind, code, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Code, Side};

    fn fault_for(status: u16, body: &str) -> Fault {
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-debug-trace-id"),
            "t-1".parse().unwrap(),
        )]);
        read(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    #[test]
    fn statuses_are_mapped_to_codes() {
        for (status, code, answered) in [
            (400, Code::InvalidRequest, 400),
            (401, Code::UpstreamAuth, 502),
            (403, Code::UpstreamAuth, 502),
            (404, Code::NotFound, 404),
            (422, Code::InvalidRequest, 422),
            (429, Code::RateLimited, 429),
            (498, Code::UpstreamAuth, 502),
            (499, Code::UpstreamError, 502),
            (500, Code::UpstreamError, 502),
            (501, Code::UpstreamError, 502),
            (503, Code::Overloaded, 503),
            (504, Code::UpstreamError, 502),
        ] {
            let fault = fault_for(status, r#"{"id":"x","message":"some words"}"#);
            assert_eq!(
                (fault.code, fault.status.as_u16()),
                (code, answered),
                "{status}"
            );
            assert_eq!(
                fault.message.contains("some words"),
                code != Code::UpstreamAuth,
                "{}",
                fault.message
            );
            assert_eq!(fault.upstream_request_id.as_deref(), Some("t-1"));
        }
    }

    #[test]
    fn codes_and_messages_are_read() {
        let long = fault_for(
            400,
            r#"{"error_type":"TOO_MANY_TOKENS","id":"x","message":"too many tokens: size limit exceeded by 5 tokens."}"#,
        );
        assert_eq!(
            (long.side, long.client_code()),
            (Side::Client, "context_length_exceeded")
        );
        assert_eq!(
            long.message,
            "too many tokens: size limit exceeded by 5 tokens."
        );
        let gone = fault_for(
            404,
            r#"{"id":"x","message":"model 'command-r' was removed"}"#,
        );
        assert_eq!(
            (&*gone.message, gone.ends_route()),
            ("model 'command-r' was removed", false)
        );
        assert_eq!(fault_for(400, r#"{"error":{"message":"m"}}"#).message, "m");
    }

    #[test]
    fn bodies_of_another_shape_fall_back_to_the_status() {
        for body in ["", "<html>", "[]", r#"{"message":7}"#, "\u{0}"] {
            assert_eq!(
                fault_for(500, body).message,
                "the upstream failed with status 500",
                "{body}"
            );
        }
    }
}
