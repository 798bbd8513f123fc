//! Errors of a chat for the user at the terminal, and their remedies.

use std::io;

use serde::Deserialize;

/// The error that ended a chat early. Messages are lower case and do not contain the remedy.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChatError {
    /// The server rejected the request.
    #[error("{0}")]
    Rejected(ErrorResponse),
    /// There was no response from the address.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// The system's message.
        why: String,
    },
    /// The response is not from a Sluicegate server.
    #[error("{url} is not a Sluicegate server: {what}")]
    NotSluicegate {
        /// The address.
        url: String,
        /// The unexpected property of the response.
        what: String,
    },
    /// The address is malformed.
    #[error("`{url}` is not an http or https address: {why}")]
    BadUrl {
        /// The given address.
        url: String,
        /// The description of the problem.
        why: String,
    },
    /// The key contains characters that are not allowed in a header.
    #[error("the key contains characters that cannot be sent in a header")]
    BadKey,
    /// The connection was cut and could not be resumed in time.
    #[error("the connection was lost and could not be resumed: {why}")]
    ConnectionLost {
        /// The failure of the last attempt.
        why: String,
    },
    /// The server sent an event that cannot be parsed.
    #[error("the server sent an event that cannot be read: {0}")]
    MalformedEvent(String),
    /// The stream was cancelled, but its end did not arrive.
    #[error("cancel was requested, but the end of the stream did not arrive in time")]
    CancelTimeout,
    /// The answer cannot be written, for example because standard output is closed.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// An error response of the server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct ErrorResponse {
    /// The error code of the contract, or `http_<status>` if the body contains none.
    pub code: String,
    /// The server's message.
    pub message: String,
    /// The header `x-request-id`.
    pub request_id: Option<String>,
    /// The header `retry-after`, unchanged.
    pub retry_after: Option<String>,
}

impl ErrorResponse {
    /// Parses an error response.
    pub(super) fn read(status: http::StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let receiver = serde_json::from_slice::<ErrorBody>(body)
            .map(|body| body.error)
            .unwrap_or_default();
        Self {
            code: receiver
                .code
                .unwrap_or_else(|| format!("http_{}", status.as_u16())),
            message: receiver
                .message
                .unwrap_or_else(|| format!("the server returned {status} without a message")),
            request_id: header("x-request-id"),
            retry_after: header("retry-after"),
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorObject,
}

#[derive(Deserialize, Default)]
struct ErrorObject {
    code: Option<String>,
    message: Option<String>,
}

impl ChatError {
    /// Returns the remedy for the error.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Rejected(refusal) => hint(&refusal.code, refusal.retry_after.as_deref()),
            Self::Unreachable { .. } => {
                Some("check that the server is running (`sluicegate` starts it); set its address with --url".into())
            }
            Self::NotSluicegate { .. } => Some("set the address of a Sluicegate server with --url".into()),
            Self::BadUrl { .. } => Some("use an address like --url http://127.0.0.1:8484".into()),
            Self::ConnectionLost { .. } | Self::CancelTimeout => {
                Some("the generation may still be running: GET /v1/streams lists it".into())
            }
            Self::BadKey | Self::MalformedEvent(_) | Self::Output(_) => None,
        }
    }

    /// Returns the id under which the operator finds the request in the log.
    pub(super) fn request_id(&self) -> Option<&str> {
        match self {
            Self::Rejected(refusal) => refusal.request_id.as_deref(),
            _ => None,
        }
    }
}

/// Returns the remedy for an error code of the contract.
pub(super) fn hint(code: &str, retry_after: Option<&str>) -> Option<String> {
    let hint = match code {
        "unauthenticated" => "pass a key with --key or in the environment variable SLUICEGATE_KEY",
        "model_not_found" | "model_not_allowed" => {
            "GET /v1/models lists the models you may use; choose one with --model"
        }
        "host_not_allowed" => "add the host name to `server.hosts`, or use 127.0.0.1",
        "upstream_auth" => {
            "the provider's api_key in the server's configuration is wrong or missing"
        }
        "upstream_error" | "upstream_timeout" => "the provider failed; see the server's log",
        "stream_not_found" | "replay_expired" => {
            "the server no longer has this stream: it was restarted, or the stream was evicted"
        }
        "context_length_exceeded" | "body_too_large" => {
            "send a shorter message, or choose a model with a longer context"
        }
        "rate_limited" | "budget_exceeded" | "overloaded" | "shutting_down"
        | "store_unavailable" => {
            return Some(retry_after.map_or_else(
                || "try again later".into(),
                |after| format!("try again after {after} (seconds or a date)"),
            ));
        }
        _ => return None,
    };
    Some(hint.into())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn an_error_response_is_read_from_the_contracts_body() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "req-1".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        let body = br#"{"error":{"message":"too many","type":"x","param":null,"code":"rate_limited","limit":"key"}}"#;
        let error = ChatError::Rejected(ErrorResponse::read(
            StatusCode::TOO_MANY_REQUESTS,
            &headers,
            body,
        ));
        assert_eq!(error.to_string(), "rate_limited: too many");
        assert_eq!(error.request_id(), Some("req-1"));
        assert_eq!(
            error.hint().unwrap(),
            "try again after 7 (seconds or a date)"
        );
    }

    #[test]
    fn any_other_body_is_reported_by_its_status() {
        for body in [
            &b""[..],
            b"<html>",
            b"[]",
            br#"{"error":"x"}"#,
            br#"{"error":{"code":null}}"#,
        ] {
            let refusal = ErrorResponse::read(StatusCode::BAD_GATEWAY, &HeaderMap::new(), body);
            assert_eq!(
                refusal.to_string(),
                "http_502: the server returned 502 Bad Gateway without a message"
            );
        }
    }
}
