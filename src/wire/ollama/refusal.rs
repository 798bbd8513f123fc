//! Parses this wire's errors: `{"error": "message"}`, as the body of an error status or as a line
//! of a stream with status 200.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model::fault::Fault;
use crate::wire::kit::refusal::fault;

/// Returns the fault for a response with an error status. Proxies in front of a server answer with
/// HTML or plain text; such a body adds nothing to the status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let message = serde_json::from_slice(body)
        .ok()
        .and_then(|body| message(&body));
    // This wire has no error codes, so a prompt that is too long is recognized by its message.
    let too_long = message
        .as_deref()
        .is_some_and(|it| it.contains("context length") && it.contains("exceed"));
    let code = (too_long && status == StatusCode::BAD_REQUEST)
        .then(|| "context_length_exceeded".to_owned());
    fault(status, headers, message, None, code, None)
}

/// Returns the fault for an error line inside a stream.
pub(super) fn read_payload(line: &str) -> Fault {
    let message = serde_json::from_str(line)
        .ok()
        .and_then(|line| message(&line));
    // The line has no status of its own, and that of the response was 200: report a bad gateway.
    fault(
        StatusCode::BAD_GATEWAY,
        &HeaderMap::new(),
        message,
        None,
        None,
        None,
    )
}

/// Returns the message of an error. Compatible servers wrap it in an object.
fn message(body: &Value) -> Option<String> {
    let error = body.get("error")?;
    Some(
        error
            .as_str()
            .or_else(|| error.get("message")?.as_str())?
            .to_owned(),
    )
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

    #[test]
    fn every_status_maps_to_a_code() {
        for (status, code, sent, ends) in [
            (400, Code::InvalidRequest, 400, true),
            (401, Code::UpstreamAuth, 502, false),
            (403, Code::UpstreamAuth, 502, false),
            (404, Code::NotFound, 404, false),
            (429, Code::RateLimited, 429, false),
            (500, Code::UpstreamError, 502, false),
            (502, Code::UpstreamError, 502, false),
            (503, Code::Overloaded, 503, false),
        ] {
            let fault = fault_of(status, r#"{"error":"some words"}"#);
            assert_eq!(
                (fault.code, fault.status.as_u16(), fault.ends_route()),
                (code, sent, ends),
                "{status}"
            );
            assert_eq!(
                fault.message.contains("some words"),
                code != Code::UpstreamAuth,
                "{}",
                fault.message
            );
        }
    }

    #[test]
    fn error_messages_reach_the_client() {
        let missing = fault_of(
            404,
            r#"{"error":"model 'nonexistent-model:latest' not found"}"#,
        );
        assert_eq!(
            (missing.side, &*missing.message),
            (Side::Client, "model 'nonexistent-model:latest' not found")
        );
        let long = fault_of(
            400,
            r#"{"error":"the input length exceeds the context length"}"#,
        );
        assert_eq!(long.client_code(), "context_length_exceeded");
        assert_eq!(
            fault_of(400, r#"{"error":{"message":"bad think"}}"#).message,
            "bad think"
        );
    }

    #[test]
    fn bodies_of_another_shape_add_nothing_to_the_status() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"error":7}"#,
            r#"{"error":null}"#,
            "\u{0}",
        ] {
            assert_eq!(
                fault_of(500, body).message,
                "the upstream failed with status 500",
                "{body}"
            );
        }
    }

    #[test]
    fn an_error_in_a_stream_is_an_upstream_error() {
        let fault = read_payload(r#"{"error":"an error was encountered while running the model"}"#);
        assert_eq!((fault.code, fault.retryable), (Code::UpstreamError, true));
        assert!(fault.message.contains("running the model"));
    }
}
