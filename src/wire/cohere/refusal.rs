//! What this wire's errors mean: `{"message": "words"}`, as a body of a bad status or inside a good
//! answer.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::model::fault::Fault;
use crate::wire::refusal::fault;

/// Cohere's own status for a token that is not valid. Elsewhere it speaks of capacity.
const INVALID_TOKEN: u16 = 498;

/// What an answer with a bad status means. What stands before the API answers in HTML or plain
/// text; that says no more than its status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    let status = if status.as_u16() == INVALID_TOKEN {
        StatusCode::UNAUTHORIZED
    } else {
        status
    };
    of(
        &serde_json::from_slice(body).unwrap_or_default(),
        status,
        headers,
    )
}

/// What an error told in a stream, or under a good status, means.
pub(super) fn told(json: &str) -> Fault {
    of(
        &serde_json::from_str(json).unwrap_or_default(),
        StatusCode::INTERNAL_SERVER_ERROR,
        &HeaderMap::new(),
    )
}

fn of(body: &Value, status: StatusCode, headers: &HeaderMap) -> Fault {
    let text = |place: &str| body.pointer(place)?.as_str().map(str::to_owned);
    let message = ["/message", "/error", "/error/message"]
        .into_iter()
        .find_map(text);
    let kind = text("/error_type");
    let code =
        (kind.as_deref() == Some("TOO_MANY_TOKENS")).then(|| "context_length_exceeded".to_owned());
    fault(status, headers, message, kind, code, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Code, Side};

    fn at(status: u16, body: &str) -> Fault {
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
    fn every_status_has_its_meaning() {
        for (status, code, told) in [
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
            let fault = at(status, r#"{"id":"x","message":"some words"}"#);
            assert_eq!(
                (fault.code, fault.status.as_u16()),
                (code, told),
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
    fn the_words_are_told() {
        let long = at(
            400,
            r#"{"error_type":"TOO_MANY_TOKENS","id":"x","message":"too many tokens: size limit exceeded by 5 tokens."}"#,
        );
        assert_eq!(
            (long.side, long.told_code()),
            (Side::Client, "context_length_exceeded")
        );
        assert_eq!(
            long.message,
            "too many tokens: size limit exceeded by 5 tokens."
        );
        let gone = at(
            404,
            r#"{"id":"x","message":"model 'command-r' was removed"}"#,
        );
        assert_eq!(
            (&*gone.message, gone.ends_route()),
            ("model 'command-r' was removed", false)
        );
        assert_eq!(at(400, r#"{"error":{"message":"m"}}"#).message, "m");
    }

    #[test]
    fn bodies_of_another_shape_say_no_more_than_their_status() {
        for body in ["", "<html>", "[]", r#"{"message":7}"#, "\u{0}"] {
            assert_eq!(
                at(500, body).message,
                "the upstream failed with status 500",
                "{body}"
            );
        }
    }
}
