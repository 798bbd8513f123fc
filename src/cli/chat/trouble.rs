//! What can go wrong for somebody at a terminal, and what to do about it.

use std::io;

use serde::Deserialize;

/// Why a chat did not come to its end. Messages are lower case, without the hint.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
    /// Nobody answers at that address.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// What the system says.
        why: String,
    },
    /// Somebody answers, but it is not Sluicegate.
    #[error("{url} does not answer like Sluicegate: {what}")]
    Foreign {
        /// Where.
        url: String,
        /// What came instead.
        what: String,
    },
    /// The address is none.
    #[error("`{url}` is not an http or https address: {why}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The key has characters that no header takes.
    #[error("the key has characters that cannot be sent in a header")]
    BadKey,
    /// The connection was cut, and could not be resumed in time.
    #[error("the connection was lost and could not be resumed: {why}")]
    Lost {
        /// The last attempt's failure.
        why: String,
    },
    /// The server sent what cannot be read.
    #[error("the server sent an event that cannot be read: {0}")]
    Unreadable(String),
    /// Cancelled, but the end did not come.
    #[error("the server was asked to cancel, but its end did not come in time")]
    NoEnd,
    /// Standard output is closed.
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

/// The server's refusal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct Refusal {
    /// The contract's code, or `http_<status>` where the body named none.
    pub code: String,
    /// The server's sentence.
    pub message: String,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// `retry-after`, as it came.
    pub retry_after: Option<String>,
}

impl Refusal {
    /// The refusal in an answer with this status.
    pub(super) fn read(status: http::StatusCode, headers: &http::HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let told = serde_json::from_slice::<Body>(body)
            .map(|body| body.error)
            .unwrap_or_default();
        Self {
            code: told
                .code
                .unwrap_or_else(|| format!("http_{}", status.as_u16())),
            message: told
                .message
                .unwrap_or_else(|| format!("the server answered {status} without a reason")),
            request_id: header("x-request-id"),
            retry_after: header("retry-after"),
        }
    }
}

#[derive(Deserialize)]
struct Body {
    error: Told,
}

#[derive(Deserialize, Default)]
struct Told {
    code: Option<String>,
    message: Option<String>,
}

impl Trouble {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Refused(refusal) => hint(&refusal.code, refusal.retry_after.as_deref()),
            Self::Unreachable { .. } => {
                Some("is it running? `sluicegate` starts it; --url says where it is".into())
            }
            Self::Foreign { .. } => Some("give the address of a Sluicegate with --url".into()),
            Self::BadUrl { .. } => Some("for example --url http://127.0.0.1:8484".into()),
            Self::Lost { .. } | Self::NoEnd => {
                Some("the generation may still run; see GET /v1/streams".into())
            }
            Self::BadKey | Self::Unreadable(_) | Self::Output(_) => None,
        }
    }

    /// The id under which the operator finds it in the log.
    pub(super) fn request_id(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.request_id.as_deref(),
            _ => None,
        }
    }
}

/// What to do about an error code of the contract.
pub(super) fn hint(code: &str, retry_after: Option<&str>) -> Option<String> {
    let hint = match code {
        "unauthenticated" => "give a key with --key or in SLUICEGATE_KEY",
        "model_not_found" | "model_not_allowed" => {
            "GET /v1/models lists the models you may use; choose one with --model"
        }
        "host_not_allowed" => "add the host name to `server.hosts`, or use 127.0.0.1",
        "upstream_auth" => {
            "the provider's api_key in the server's configuration is wrong or missing"
        }
        "upstream_error" | "upstream_timeout" => "the provider failed; the server's log says more",
        "stream_not_found" | "replay_expired" => {
            "the server no longer has this stream: it was restarted, or let it go"
        }
        "context_length_exceeded" | "body_too_large" => {
            "ask something shorter, or choose a model with a longer context"
        }
        "rate_limited" | "budget_exceeded" | "overloaded" | "shutting_down"
        | "store_unavailable" => {
            return Some(retry_after.map_or_else(
                || "try again later".into(),
                |after| format!("try again after {after} (seconds, or that date)"),
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
    fn a_refusal_is_read_from_the_contracts_body() {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "req-1".parse().unwrap());
        headers.insert("retry-after", "7".parse().unwrap());
        let body = br#"{"error":{"message":"too many","type":"x","param":null,"code":"rate_limited","limit":"key"}}"#;
        let trouble =
            Trouble::Refused(Refusal::read(StatusCode::TOO_MANY_REQUESTS, &headers, body));
        assert_eq!(trouble.to_string(), "rate_limited: too many");
        assert_eq!(trouble.request_id(), Some("req-1"));
        assert_eq!(
            trouble.hint().unwrap(),
            "try again after 7 (seconds, or that date)"
        );
    }

    #[test]
    fn any_other_body_is_told_by_its_status() {
        for body in [
            &b""[..],
            b"<html>",
            b"[]",
            br#"{"error":"x"}"#,
            br#"{"error":{"code":null}}"#,
        ] {
            let refusal = Refusal::read(StatusCode::BAD_GATEWAY, &HeaderMap::new(), body);
            assert_eq!(
                refusal.to_string(),
                "http_502: the server answered 502 Bad Gateway without a reason"
            );
        }
    }
}
