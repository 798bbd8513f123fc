//! HTTP requests to token endpoints and metadata servers.
//!
//! Invariants:
//! - Responses have a maximum size.
//! - No redirect is followed, so a secret is sent only to the server it is meant for.
//! - The text of a problem contains neither an address nor a response.
//! - Metadata servers, which are on the local link of this machine, are reached directly, whatever
//!   the proxy of the provider.

use std::sync::OnceLock;
use std::time::Duration;

use http::header;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;

use super::Problem;

/// Maximum size of a response, bytes; tokens have a few KiB at most.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;
/// Connect timeout for metadata servers, which are near if they exist.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The client for metadata servers, built on first use. It keeps no connections: one opened by
/// another worker would depend on that worker.
#[derive(Debug, Default)]
pub(super) struct DirectClient(OnceLock<Client>);

impl DirectClient {
    pub(super) fn client(&self) -> Result<&Client, Problem> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .http1_only()
            .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
            // The proxy variables of the environment must not apply: the address is link-local.
            .no_proxy()
            .build()
            .map_err(|error| {
                Problem::new("cannot build an HTTP client for metadata servers")
                    .with_detail(error.without_url())
            })?;
        Ok(self.0.get_or_init(|| client))
    }
}

/// The clients that fetches use.
#[derive(Debug)]
pub(super) struct HttpClients<'a> {
    /// The client of the provider, with its proxy and certificates.
    pub(super) provider: Client,
    /// The client for metadata servers.
    pub(super) direct: &'a DirectClient,
}

/// A server that issues credentials, as errors describe it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Endpoint {
    /// Its name: "the token endpoint".
    pub(super) name: &'static str,
    /// The things to check when it issues nothing.
    pub(super) check: &'static str,
}

/// A response.
pub(super) struct Response {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its body.
    pub(super) body: Vec<u8>,
    endpoint: Endpoint,
}

/// Adds a form as the body of a request.
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

/// Sends a request and reads the response.
pub(super) async fn send(request: RequestBuilder, endpoint: Endpoint) -> Result<Response, Problem> {
    let name = endpoint.name;
    let unreachable = |error: reqwest::Error| {
        Problem::new(format!(
            "{name} cannot be reached: check the network path to it"
        ))
        .with_detail(root_cause(error))
    };
    let mut response = request.send().await.map_err(unreachable)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        // A `content-length` may be missing or wrong: count what arrives.
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return Err(Problem::new(format!(
                "{name} sent more than {MAX_RESPONSE_BYTES} bytes: check its address"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response {
        status: response.status(),
        body,
        endpoint,
    })
}

impl Response {
    /// Parses the body of a successful response as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // Error messages of serde quote the wrong value, which may be a secret.
        serde_json::from_slice(&self.body_if_success()?.body).map_err(|_| self.unreadable())
    }

    /// Returns the body of a successful response as text.
    pub(super) fn text(&self) -> Result<&str, Problem> {
        std::str::from_utf8(&self.body_if_success()?.body).map_err(|_| self.unreadable())
    }

    fn body_if_success(&self) -> Result<&Self, Problem> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.refusal(None))
        }
    }

    /// Returns the problem of an error response; `code` is its error code, if known.
    pub(super) fn refusal(&self, code: Option<&str>) -> Problem {
        let what = format!(
            "{} issued no credential: check {}",
            self.endpoint.name, self.endpoint.check
        );
        Problem::new(what).with_detail(format_args!(
            "{} {}",
            self.status.as_u16(),
            code.unwrap_or_default()
        ))
    }

    /// Returns the problem of a response that cannot be parsed.
    pub(super) fn unreadable(&self) -> Problem {
        Problem::new(format!(
            "{} did not answer with a credential: check its address",
            self.endpoint.name
        ))
    }
}

/// Returns the text of the innermost cause of an error, without an address.
fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
