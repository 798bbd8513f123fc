//! A signer's public keys, fetched over HTTP and cached.
//!
//! Invariants: the keys are requested at most once in [`MIN_INTERVAL`], whatever callers send, and
//! one fetch serves all callers that wait. Cached keys are used without waiting, also during a
//! fetch, and for [`MAX_AGE`] if fetches fail. Responses are bounded in size, time and number of
//! keys; redirects are not followed. No lock is held across an await.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::keyset::KeySet;

/// Minimum time between two requests.
const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// Age at which keys are fetched again. A withdrawn key is accepted no longer than this.
const REFRESH_AGE: Duration = Duration::from_secs(10 * 60);
/// Maximum age of keys in use while fetches fail.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Timeout of the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout of the whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of a response, bytes: a hundred keys with their certificates.
const MAX_BYTES: usize = 256 << 10;

/// A cached key set and its address.
#[derive(Debug)]
pub(super) struct Jwks {
    url: String,
    ca_file: Option<PathBuf>,
    client: reqwest::Client,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// The time of the last successful fetch.
    fetched_at: Option<Instant>,
    requested_at: Option<Instant>,
    /// Closes when the fetch in progress ends.
    in_flight: Option<watch::Receiver<()>>,
}

impl Jwks {
    /// Creates an empty cache; nothing is fetched yet.
    ///
    /// # Errors
    /// Returns a message if `ca_file` cannot be used.
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Arc<Self>, String> {
        let client = client(url, ca_file)?;
        Ok(Arc::new(Self {
            url: url.to_owned(),
            ca_file: ca_file.map(Path::to_owned),
            client,
            state: Mutex::default(),
        }))
    }

    /// True if the key set has this address and these certificate authorities.
    pub(super) fn has_source(&self, url: &str, ca_file: Option<&Path>) -> bool {
        self.url == url && self.ca_file.as_deref() == ca_file
    }

    /// Starts a fetch, unless keys are cached or a fetch was started within [`MIN_INTERVAL`].
    pub(super) fn prefetch(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.current().is_none() {
            // The fetch runs in a task of its own; nothing waits for it here.
            drop(self.start_fetch(&mut state));
        }
    }

    /// Returns the current keys. Waits for a fetch only if none are cached.
    ///
    /// # Errors
    /// Returns the time until the next request is allowed if no keys are available.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Duration> {
        let in_flight = {
            let mut state = self.state.lock();
            // Keys that are due for a refresh are used until the fetch in the background ends.
            let due = state
                .fetched_at
                .is_none_or(|fetched_at| fetched_at.elapsed() >= REFRESH_AGE);
            let in_flight = if due {
                self.start_fetch(&mut state)
            } else {
                None
            };
            match (state.current(), in_flight) {
                (Some(keys), _) => return Ok(keys),
                (None, Some(in_flight)) => in_flight,
                (None, None) => return Err(state.retry_after()),
            }
        };
        wait_for_fetch(in_flight).await;
        let state = self.state.lock();
        state.current().ok_or_else(|| state.retry_after())
    }

    /// Returns a key set other than `than`, if the signer has one. Fetches it, unless a fetch was
    /// started within [`MIN_INTERVAL`].
    pub(super) async fn newer(self: &Arc<Self>, than: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let other = |state: &State| state.current().filter(|keys| !Arc::ptr_eq(keys, than));
        let in_flight = {
            let mut state = self.state.lock();
            if let Some(keys) = other(&state) {
                return Some(keys);
            }
            self.start_fetch(&mut state)?
        };
        wait_for_fetch(in_flight).await;
        other(&self.state.lock())
    }

    /// Returns the fetch in progress, or starts one if [`MIN_INTERVAL`] has passed.
    fn start_fetch(self: &Arc<Self>, state: &mut State) -> Option<watch::Receiver<()>> {
        if let Some(in_flight) = state
            .in_flight
            .as_ref()
            .filter(|in_flight| in_flight.has_changed().is_ok())
        {
            return Some(in_flight.clone());
        }
        if state
            .requested_at
            .is_some_and(|requested_at| requested_at.elapsed() < MIN_INTERVAL)
        {
            return None;
        }
        let (fetch_guard, in_flight) = watch::channel(());
        state.requested_at = Some(Instant::now());
        state.in_flight = Some(in_flight.clone());
        let jwks = self.clone();
        // A task of its own: a caller that disconnects must not abort the fetch for the others.
        tokio::spawn(async move {
            let fetched = timeout(REQUEST_TIMEOUT, jwks.fetch())
                .await
                .unwrap_or_else(|_| Err(format!("no response within {REQUEST_TIMEOUT:?}")));
            jwks.finish_fetch(fetched);
            drop(fetch_guard);
        });
        Some(in_flight)
    }

    fn finish_fetch(&self, fetched: Result<KeySet, String>) {
        let mut state = self.state.lock();
        state.in_flight = None;
        match fetched {
            Ok(keys) => {
                state.fetched_at = Some(Instant::now());
                // An unchanged set keeps its `Arc`, to which the cache of verified tokens is bound.
                if !state
                    .keys
                    .as_ref()
                    .is_some_and(|known| known.is_same(&keys))
                {
                    state.keys = Some(Arc::new(keys));
                }
            }
            Err(what) => {
                let consequence = if state.current().is_some() {
                    "the known keys stay in use"
                } else {
                    "no token can be verified until a fetch succeeds"
                };
                tracing::warn!("cannot fetch the keys of auth.jwt.jwks_url: {what}; {consequence}");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        // The error is logged; the URL's query may contain a secret.
        let redact = |error: reqwest::Error| with_causes(&error.without_url());
        let mut response = self
            .client
            .get(&self.url)
            .header("accept", "application/json")
            .send()
            .await
            .map_err(redact)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the response status was {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(redact)? {
            // Counted while reading: `content-length` may be absent or wrong.
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(format!("the response is longer than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::from_jwks(&body).map_err(str::to_owned)
    }
}

impl State {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.clone().filter(|_| {
            self.fetched_at
                .is_some_and(|fetched_at| fetched_at.elapsed() < MAX_AGE)
        })
    }

    /// Returns the time until the next request is allowed.
    fn retry_after(&self) -> Duration {
        self.requested_at.map_or(Duration::ZERO, |requested_at| {
            MIN_INTERVAL.saturating_sub(requested_at.elapsed())
        })
    }
}

/// Waits until a fetch ends.
async fn wait_for_fetch(mut in_flight: watch::Receiver<()>) {
    // No value is ever sent: the channel closes when the fetch ends.
    let _closed = in_flight.changed().await;
}

/// Returns the error with all its causes. The outermost text of reqwest states only that sending
/// failed.
fn with_causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Builds a client for one request every few minutes. It keeps no idle connections, because a
/// connection belongs to the runtime of one worker.
fn client(url: &str, ca_file: Option<&Path>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .http1_only();
    // Plain HTTP needs no certificates, so none are loaded.
    if url.starts_with("http:") {
        builder = builder.tls_certs_only([]);
    } else if let Some(file) = ca_file {
        let bad = |what: &str| format!("auth.jwt.ca_file {} {what}", file.display());
        let pem = std::fs::read(file).map_err(|error| bad(&format!("cannot be read: {error}")))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|_| bad("contains no PEM certificates"))?;
        builder = builder.tls_certs_merge(certificates);
    } else {
        builder = builder.https_only(true);
    }
    builder
        .build()
        .map_err(|error| format!("the HTTP client for auth.jwt.jwks_url cannot be built: {error}"))
}
