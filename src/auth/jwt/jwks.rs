//! A signer's public keys, fetched over HTTP and cached.
//!
//! Invariants: the keys are requested at most once in [`MIN_INTERVAL`], whatever callers send.
//! Cached keys are used for [`MAX_AGE`] if fetches fail. Responses are bounded in size, time and
//! number of keys; redirects are not followed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::keyset::KeySet;
use crate::cache::{Fetched, Policy, RenewingCache};

/// Minimum time between two requests.
const MIN_INTERVAL: Duration = Duration::from_secs(30);
/// Age at which keys are fetched again. A withdrawn key is accepted no longer than this.
const REFRESH_AGE: Duration = Duration::from_secs(10 * 60);
/// Maximum age of keys in use while fetches fail.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The interval is kept after successes too: tokens with unknown keys must not cause requests.
const POLICY: Policy = Policy {
    interval: MIN_INTERVAL,
    first_pause: Duration::ZERO,
    max_pause: Duration::ZERO,
};
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
    cache: Arc<RenewingCache<KeySet, ()>>,
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
            cache: RenewingCache::new(POLICY),
        }))
    }

    /// True if the key set has this address and these certificate authorities.
    pub(super) fn has_source(&self, url: &str, ca_file: Option<&Path>) -> bool {
        self.url == url && self.ca_file.as_deref() == ca_file
    }

    /// Starts a fetch, unless fresh keys are cached or a fetch was started within [`MIN_INTERVAL`].
    pub(super) fn prefetch(self: &Arc<Self>) {
        self.cache.prefetch(|| self.clone().renew());
    }

    /// Returns the current keys. Waits for a fetch only if none are cached.
    ///
    /// # Errors
    /// Returns the time until the next request is allowed if no keys are available.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Duration> {
        let keys = self.cache.get(|| self.clone().renew()).await;
        keys.map_err(|unavailable| unavailable.retry_after)
    }

    /// Returns a key set other than `than`, if the signer has one. Fetches it, unless a fetch was
    /// started within [`MIN_INTERVAL`].
    pub(super) async fn newer(self: &Arc<Self>, than: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        self.cache.other(than, || self.clone().renew()).await
    }

    async fn renew(self: Arc<Self>) -> Result<Fetched<KeySet>, ()> {
        let fetched = timeout(REQUEST_TIMEOUT, self.fetch())
            .await
            .unwrap_or_else(|_| Err(format!("no response within {REQUEST_TIMEOUT:?}")));
        let known = self.cache.current();
        match fetched {
            Ok(keys) => Ok(Fetched {
                // An unchanged set keeps its `Arc`, to which the cache of verified tokens is bound.
                value: known
                    .filter(|known| known.is_same(&keys))
                    .unwrap_or_else(|| Arc::new(keys)),
                renew_after: REFRESH_AGE,
                valid_for: Some(MAX_AGE),
            }),
            Err(what) => {
                let consequence = if known.is_some() {
                    "the known keys stay in use"
                } else {
                    "no token can be verified until a fetch succeeds"
                };
                tracing::warn!("cannot fetch the keys of auth.jwt.jwks_url: {what}; {consequence}");
                Err(())
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
