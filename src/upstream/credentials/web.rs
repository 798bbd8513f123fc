//! Questions to token endpoints and metadata servers.
//!
//! Invariants: answers are bounded; no redirect is followed, so a secret goes to the server it is
//! meant for and to no other; neither addresses nor answers get into a problem's words; metadata
//! servers, which are on this machine's own link, are asked directly, whatever the account's proxy
//! is.

use std::sync::OnceLock;
use std::time::Duration;

use http::header;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::Problem;

/// The largest answer: tokens have a few KiB at most.
const ANSWER_BYTES: usize = 64 * 1024;
/// A metadata server is near, if there is one.
const NEAR: Duration = Duration::from_secs(2);

/// The client for metadata servers, made when it is first needed. Its connections are not kept: one
/// that another worker opened would depend on that worker.
#[derive(Debug, Default)]
pub(super) struct Direct(OnceLock<Client>);

impl Direct {
    pub(super) fn client(&self) -> Result<&Client, Problem> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(NEAR)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .http1_only()
            .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .build()
            .map_err(|error| {
                Problem::new("a client for metadata servers cannot be built")
                    .with(error.without_url())
            })?;
        Ok(self.0.get_or_init(|| client))
    }
}

/// The ways to ask.
#[derive(Debug)]
pub(super) struct Web<'a> {
    /// The account's own client: through its proxy, with its certificates.
    pub(super) provider: Client,
    /// The way to metadata servers.
    pub(super) direct: &'a Direct,
}

/// Who answers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    /// Its name: "the token endpoint".
    pub(super) name: &'static str,
    /// What is to be looked at where it gives nothing.
    pub(super) check: &'static str,
}

/// What came back.
pub(super) struct Answer {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its body.
    pub(super) body: Vec<u8>,
    whose: Whose,
}

/// A question with a form.
pub(super) fn with_form<'a>(
    request: RequestBuilder,
    form: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body)
}

/// Asks.
pub(super) async fn ask(request: RequestBuilder, whose: Whose) -> Result<Answer, Problem> {
    let name = whose.name;
    let lost = |error: reqwest::Error| {
        Problem::new(format!("{name} cannot be reached: check the way to it")).with(reason(error))
    };
    let mut response = request.send().await.map_err(lost)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(Problem::new(format!(
                "{name} says more than {ANSWER_BYTES} bytes: check its address"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status: response.status(),
        body,
        whose,
    })
}

impl Answer {
    /// The body of a good answer, as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // What serde says of a wrong value repeats it.
        serde_json::from_slice(&self.good()?.body).map_err(|_| self.unreadable())
    }

    /// The body of a good answer, as text.
    pub(super) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.good()?.body).map_err(|_| self.unreadable())
    }

    fn good(&self) -> Result<&Self, Problem> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.refusal(None))
        }
    }

    /// It says no, with a code of its own perhaps.
    pub(super) fn refusal(&self, code: Option<&str>) -> Problem {
        let what = format!(
            "{} gives no credential: check {}",
            self.whose.name, self.whose.check
        );
        Problem::new(what).with(format_args!(
            "{} {}",
            self.status.as_u16(),
            code.unwrap_or_default()
        ))
    }

    /// It says what nobody understands.
    pub(super) fn unreadable(&self) -> Problem {
        Problem::new(format!(
            "{} answers something else than a credential: check its address",
            self.whose.name
        ))
    }
}

/// What the last of an error's causes says, without an address.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
