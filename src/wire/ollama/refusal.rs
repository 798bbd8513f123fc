//! What this wire's errors mean: `{"error": "words"}`, as a body of a bad status or as a line of a
//! good answer.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model::fault::Fault;
use crate::wire::refusal::fault;

/// What an answer with a bad status means. What stands before a server answers in HTML or plain
/// text; that says no more than its status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let message = serde_json::from_slice(body)
        .ok()
        .and_then(|body| words(&body));
    // Words are all this wire has: these are the ones by which it refuses a prompt that is too
    // long.
    let too_long = message
        .as_deref()
        .is_some_and(|it| it.contains("context length") && it.contains("exceed"));
    let code = (too_long && status == StatusCode::BAD_REQUEST)
        .then(|| "context_length_exceeded".to_owned());
    fault(status, headers, message, None, code, None)
}

/// What an error inside a stream means. It has no status of its own.
pub(super) fn told(line: &str) -> Fault {
    let message = serde_json::from_str(line)
        .ok()
        .and_then(|line| words(&line));
    fault(
        StatusCode::BAD_GATEWAY,
        &HeaderMap::new(),
        message,
        None,
        None,
        None,
    )
}

/// The words of an error; compatible servers wrap them in an object.
fn words(body: &Value) -> Option<String> {
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

    fn of(status: u16, body: &str) -> Fault {
        read(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
        )
    }

    #[test]
    fn every_status_has_its_meaning() {
        for (status, code, told, ends) in [
            (400, Code::InvalidRequest, 400, true),
            (401, Code::UpstreamAuth, 502, false),
            (403, Code::UpstreamAuth, 502, false),
            (404, Code::NotFound, 404, false),
            (429, Code::RateLimited, 429, false),
            (500, Code::UpstreamError, 502, false),
            (502, Code::UpstreamError, 502, false),
            (503, Code::Overloaded, 503, false),
        ] {
            let fault = of(status, r#"{"error":"some words"}"#);
            assert_eq!(
                (fault.code, fault.status.as_u16(), fault.ends_route()),
                (code, told, ends),
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
    fn the_words_are_told() {
        let missing = of(
            404,
            r#"{"error":"model 'nonexistent-model:latest' not found"}"#,
        );
        assert_eq!(
            (missing.side, &*missing.message),
            (Side::Client, "model 'nonexistent-model:latest' not found")
        );
        let long = of(
            400,
            r#"{"error":"the input length exceeds the context length"}"#,
        );
        assert_eq!(long.told_code(), "context_length_exceeded");
        assert_eq!(
            of(400, r#"{"error":{"message":"bad think"}}"#).message,
            "bad think"
        );
    }

    #[test]
    fn bodies_of_another_shape_say_no_more_than_their_status() {
        for body in [
            "",
            "<html>",
            "[]",
            r#"{"error":7}"#,
            r#"{"error":null}"#,
            "\u{0}",
        ] {
            assert_eq!(
                of(500, body).message,
                "the upstream failed with status 500",
                "{body}"
            );
        }
    }

    #[test]
    fn an_error_in_a_stream_is_the_upstreams() {
        let fault = told(r#"{"error":"an error was encountered while running the model"}"#);
        assert_eq!((fault.code, fault.retryable), (Code::UpstreamError, true));
        assert!(fault.message.contains("running the model"));
    }
}
