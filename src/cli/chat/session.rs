//! The requests of a chat: models, begin, resume, cancel.
//!
//! Invariants: the key goes to the one address that was given and nowhere else (no redirect is
//! followed); what is read whole is bounded; no request waits for its head longer than
//! [`HEAD_WAIT`].

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use reqwest::{Client, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::trouble::{Refusal, Trouble};

/// A stream's head comes at once; a busy machine and a slow network are given this much.
const HEAD_WAIT: Duration = Duration::from_secs(30);

const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// A peer that is gone without a word is found out by the third unanswered probe. Silence itself is
/// no failure: a server's heartbeats may be far apart.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The most that is read of a list of models or of an error, bytes.
const BODY_BOUND: usize = 4 << 20;

/// A Sluicegate and a caller's way to it.
#[derive(Clone)]
pub(super) struct Session {
    client: Client,
    url: String,
    authorization: Option<HeaderValue>,
}

/// Why a request has no answer.
pub(super) struct NoAnswer {
    /// No connection came about: nobody can have read the request.
    pub before_connected: bool,
    /// What happened.
    pub why: String,
}

impl Session {
    /// A session with the Sluicegate at `url`.
    pub(super) fn new(url: &str, key: Option<&SecretString>) -> Result<Self, Trouble> {
        let authorization = key.map(authorization).transpose()?;
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WAIT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_keepalive_retries(3)
            .user_agent(concat!("sluicegate-chat/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Trouble::Unreachable {
                url: url.to_owned(),
                why: why(&error),
            })?;
        Ok(Self {
            client,
            url: base(url)?,
            authorization,
        })
    }

    /// The first model this caller may use.
    pub(super) async fn first_model(&self) -> Result<String, Trouble> {
        let answer = self
            .send(self.client.get(self.path("/models")))
            .await
            .map_err(|no| self.unreachable(no))?;
        let answer = self.good(answer).await?;
        let body = body(answer).await.map_err(|why| {
            self.unreachable(NoAnswer {
                before_connected: false,
                why,
            })
        })?;
        let models: Models = serde_json::from_slice(&body)
            .map_err(|_| self.foreign("no list of models at /v1/models"))?;
        let none = || {
            self.foreign(
                "its list of models is empty: none is configured, or your key may use none",
            )
        };
        models
            .data
            .into_iter()
            .next()
            .map(|model| model.id)
            .ok_or_else(none)
    }

    /// Starts a generation under a claim, or joins the one that this claim and this body began.
    pub(super) async fn begin(&self, claim: &str, body: Bytes) -> Result<Response, NoAnswer> {
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

    /// Follows the claim's stream, from right behind `last_id` where there is one.
    pub(super) async fn resume(
        &self,
        claim: &str,
        last_id: Option<&str>,
    ) -> Result<Response, NoAnswer> {
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

    /// Cancels the claim's stream. A claim that is not there yet is remembered by the server: that
    /// is success.
    pub(super) async fn cancel(&self, claim: &str) -> Result<(), Trouble> {
        let path = self.path(&format!("/streams/{claim}/cancel"));
        let answer = self
            .send(self.client.post(path))
            .await
            .map_err(|no| self.unreachable(no))?;
        if answer.status() == StatusCode::NOT_FOUND {
            Ok(())
        } else {
            self.good(answer).await.map(drop)
        }
    }

    /// The answer, where its status is good; else its refusal.
    pub(super) async fn good(&self, answer: Response) -> Result<Response, Trouble> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let headers = answer.headers().clone();
        // A refusal whose body is cut or too long still has its status to tell.
        let body = body(answer).await.unwrap_or_default();
        Err(Trouble::Refused(Refusal::read(status, &headers, &body)))
    }

    /// Something else than Sluicegate answered.
    pub(super) fn foreign(&self, what: &str) -> Trouble {
        Trouble::Foreign {
            url: self.url.clone(),
            what: what.to_owned(),
        }
    }

    /// Nothing answered.
    pub(super) fn unreachable(&self, no: NoAnswer) -> Trouble {
        Trouble::Unreachable {
            url: self.url.clone(),
            why: no.why,
        }
    }

    fn path(&self, path: &str) -> String {
        format!("{}/v1{path}", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, NoAnswer> {
        let request = self.authorization.iter().fold(request, |request, value| {
            request.header(header::AUTHORIZATION, value)
        });
        match tokio::time::timeout(HEAD_WAIT, request.send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(NoAnswer {
                before_connected: error.is_connect(),
                why: why(&error),
            }),
            Err(_) => Err(NoAnswer {
                before_connected: false,
                why: format!("no answer within {HEAD_WAIT:?}"),
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

/// The address without what users like to leave behind it.
fn base(url: &str) -> Result<String, Trouble> {
    let bad = |why: &str| Trouble::BadUrl {
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
        "http" | "https" => Err(bad("no query and no fragment belong there")),
        other => Err(bad(&format!("its scheme is {other}"))),
    }
}

fn authorization(key: &SecretString) -> Result<HeaderValue, Trouble> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
        .map_err(|_| Trouble::BadKey)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The body as a whole, or why it could not be read.
async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| why(&error))? {
        body.extend_from_slice(&piece);
        if body.len() > BODY_BOUND {
            return Err(format!("the answer is larger than {BODY_BOUND} bytes"));
        }
    }
    Ok(body)
}

/// The innermost reason, which is what the system says; the layers above only say that there was
/// one.
pub(super) fn why(error: &dyn std::error::Error) -> String {
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
    fn addresses_are_taken_as_users_write_them() {
        for url in [
            "http://a:1",
            "http://a:1/",
            "http://a:1/v1",
            "http://a:1/v1/",
        ] {
            assert_eq!(base(url).unwrap(), "http://a:1");
        }
        assert_eq!(base("https://a/llm/v1").unwrap(), "https://a/llm");
        for url in ["", "a:1", "ftp://a", "http://a?x", "http://a#x", "/v1"] {
            assert!(matches!(base(url), Err(Trouble::BadUrl { .. })), "{url}");
        }
    }

    #[test]
    fn a_key_that_no_header_takes_is_refused_unquoted() {
        let trouble = Session::new("http://a", Some(&"hu\nsh".into()))
            .err()
            .unwrap();
        assert!(
            matches!(trouble, Trouble::BadKey) && !trouble.to_string().contains("hu"),
            "{trouble}"
        );
    }
}
