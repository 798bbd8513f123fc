//! The HTTP requests of a chat: list models, begin, resume, cancel.
//!
//! Invariants: the key is sent only to the given address (redirects are not followed); bodies that
//! are read as a whole are bounded; no request waits for its response head longer than
//! [`HEAD_TIMEOUT`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::error::{ChatError, ErrorResponse};

/// Maximum wait for a response head. Streams send it at once; the rest is tolerance for busy
/// machines and slow networks.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval of TCP keepalive probes. A peer that has vanished is detected by the third unanswered
/// probe. Silence itself is not a failure, because a server's heartbeats may be far apart.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Maximum size of a model list or of an error body, bytes.
const MAX_BODY: usize = 4 << 20;

/// A connection to a Sluicegate server: HTTP client, address and key.
#[derive(Clone)]
pub(super) struct Session {
    client: Client,
    url: String,
    authorization: Option<HeaderValue>,
}

/// A request that failed without a response.
pub(super) struct RequestError {
    /// True if no connection was established, so the server cannot have read the request.
    pub before_connected: bool,
    /// The cause of the failure.
    pub why: String,
}

impl Session {
    /// Creates a session with the Sluicegate at `url`; nothing is sent yet.
    pub(super) fn new(url: &str, key: Option<&SecretString>) -> Result<Self, ChatError> {
        let authorization = key.map(authorization).transpose()?;
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(3)
            .user_agent(concat!("sluicegate-chat/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ChatError::Unreachable {
                url: url.to_owned(),
                why: root_cause(&error),
            })?;
        Ok(Self {
            client,
            url: base_url(url)?,
            authorization,
        })
    }

    /// Requests the list of models and returns the first one that this caller may use.
    pub(super) async fn first_model(&self) -> Result<String, ChatError> {
        let answer = self
            .send(self.client.get(self.path("/models")))
            .await
            .map_err(|error| self.unreachable(error))?;
        let answer = self.require_success(answer).await?;
        let body = body(answer).await.map_err(|why| {
            self.unreachable(RequestError {
                before_connected: false,
                why,
            })
        })?;
        let models: Models = serde_json::from_slice(&body)
            .map_err(|_| self.not_sluicegate("/v1/models did not return a list of models"))?;
        let none = || {
            self.not_sluicegate(
                "its list of models is empty: no model is configured, or your key may use none",
            )
        };
        models
            .data
            .into_iter()
            .next()
            .map(|model| model.id)
            .ok_or_else(none)
    }

    /// Starts a generation under a claim, or joins the generation that an earlier request with the
    /// same claim and body started.
    pub(super) async fn begin(&self, claim: &str, body: Bytes) -> Result<Response, RequestError> {
        let request = self
            .client
            .post(self.path("/streams"))
            .header(header::CONTENT_TYPE, "application/json");
        self.send(
            request
                .header(header::ACCEPT, "text/event-stream")
                .header("x-stream-id", claim)
                .body(body),
        )
        .await
    }

    /// Follows the claim's stream, from the event after `last_id` if there is one.
    pub(super) async fn resume(
        &self,
        claim: &str,
        last_id: Option<&str>,
    ) -> Result<Response, RequestError> {
        let request = self
            .client
            .get(self.path(&format!("/streams/{claim}")))
            .header(header::ACCEPT, "text/event-stream");
        self.send(
            last_id
                .into_iter()
                .fold(request, |request, id| request.header("last-event-id", id)),
        )
        .await
    }

    /// Cancels the claim's stream.
    pub(super) async fn cancel(&self, claim: &str) -> Result<(), ChatError> {
        let path = self.path(&format!("/streams/{claim}/cancel"));
        let answer = self
            .send(self.client.post(path))
            .await
            .map_err(|error| self.unreachable(error))?;
        // The server remembers the cancel of a claim that it does not know yet, so 404 is success.
        if answer.status() == StatusCode::NOT_FOUND {
            Ok(())
        } else {
            self.require_success(answer).await.map(drop)
        }
    }

    /// Returns the response if its status is a success, else its error.
    pub(super) async fn require_success(&self, answer: Response) -> Result<Response, ChatError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let headers = answer.headers().clone();
        // An error whose body is cut or too long can still be reported by its status.
        let body = body(answer).await.unwrap_or_default();
        Err(ChatError::Rejected(ErrorResponse::read(
            status, &headers, &body,
        )))
    }

    /// Returns the error for a response that is not from a Sluicegate server.
    pub(super) fn not_sluicegate(&self, what: &str) -> ChatError {
        ChatError::NotSluicegate {
            url: self.url.clone(),
            what: what.to_owned(),
        }
    }

    /// Returns the error for a request without a response.
    pub(super) fn unreachable(&self, error: RequestError) -> ChatError {
        ChatError::Unreachable {
            url: self.url.clone(),
            why: error.why,
        }
    }

    fn path(&self, path: &str) -> String {
        format!("{}/v1{path}", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RequestError> {
        let request = self.authorization.iter().fold(request, |request, value| {
            request.header(header::AUTHORIZATION, value)
        });
        match tokio::time::timeout(HEAD_TIMEOUT, request.send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(RequestError {
                before_connected: error.is_connect(),
                why: root_cause(&error),
            }),
            Err(_) => Err(RequestError {
                before_connected: false,
                why: format!("no answer within {HEAD_TIMEOUT:?}"),
            }),
        }
    }
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

/// Returns the address without the trailing slash and `/v1` that users often include.
fn base_url(url: &str) -> Result<String, ChatError> {
    let bad = |why: &str| ChatError::BadUrl {
        url: url.to_owned(),
        why: why.to_owned(),
    };
    let parsed = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
    match parsed.scheme() {
        "http" | "https" if parsed.query().is_none() && parsed.fragment().is_none() => {
            let base = parsed.as_str().trim_end_matches('/');
            Ok(base
                .strip_suffix("/v1")
                .unwrap_or(base)
                .trim_end_matches('/')
                .to_owned())
        }
        "http" | "https" => Err(bad("it must not contain a query or a fragment")),
        other => Err(bad(&format!("its scheme is {other}"))),
    }
}

fn authorization(key: &SecretString) -> Result<HeaderValue, ChatError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
        .map_err(|_| ChatError::BadKey)?;
    // `Debug` hides a sensitive value.
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a whole body. The error is the reason why it could not be read.
async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| root_cause(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BODY {
            return Err(format!("the answer is larger than {MAX_BODY} bytes"));
        }
    }
    Ok(body)
}

/// Returns the innermost cause of an error, which is the system's message. The outer layers state
/// only that there was a failure.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_forms_of_addresses_are_accepted() {
        for url in [
            "http://a:1",
            "http://a:1/",
            "http://a:1/v1",
            "http://a:1/v1/",
        ] {
            assert_eq!(base_url(url).unwrap(), "http://a:1");
        }
        assert_eq!(base_url("https://a/llm/v1").unwrap(), "https://a/llm");
        for url in ["", "a:1", "ftp://a", "http://a?x", "http://a#x", "/v1"] {
            assert!(
                matches!(base_url(url), Err(ChatError::BadUrl { .. })),
                "{url}"
            );
        }
    }

    #[test]
    fn a_key_that_does_not_fit_a_header_is_rejected_unquoted() {
        let error = Session::new("http://a", Some(&"hu\nsh".into()))
            .err()
            .unwrap();
        assert!(
            matches!(error, ChatError::BadKey) && !error.to_string().contains("hu"),
            "{error}"
        );
    }
}
