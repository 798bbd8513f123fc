//! A signer's public keys, fetched over HTTP and kept.
//!
//! Invariants: the signer is asked at most once in [`PAUSE`], whatever callers send, and once for
//! all who wait; keys that are there serve without waiting, also while others are fetched and for
//! [`STALE`] while none can be; answers are bounded in size, time and number of keys; redirects are
//! not followed. No lock is held while anything is waited for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::keyset::KeySet;

/// The shortest time between two questions.
const PAUSE: Duration = Duration::from_secs(30);
/// Keys of this age are asked for anew: one that was withdrawn serves no longer than that.
const REFRESH: Duration = Duration::from_secs(10 * 60);
/// Keys serve this long where no others can be had.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest that a connection may take, and …
const CONNECT: Duration = Duration::from_secs(5);
/// … the whole answer.
const WHOLE: Duration = Duration::from_secs(10);
/// The longest answer, bytes: a hundred keys with their certificates.
const MAX_BYTES: usize = 256 << 10;

/// A key set and where it comes from.
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
    /// When they came.
    came: Option<Instant>,
    asked: Option<Instant>,
    /// Ends when the fetch under way does.
    flight: Option<watch::Receiver<()>>,
}

impl Jwks {
    /// Nothing is fetched yet.
    ///
    /// # Errors
    /// When `ca_file` cannot be used.
    pub(super) fn new(url: &str, ca_file: Option<&Path>) -> Result<Arc<Self>, String> {
        let client = client(url, ca_file)?;
        Ok(Arc::new(Self {
            url: url.to_owned(),
            ca_file: ca_file.map(Path::to_owned),
            client,
            state: Mutex::default(),
        }))
    }

    /// It is that one.
    pub(super) fn is_of(&self, url: &str, ca_file: Option<&Path>) -> bool {
        self.url == url && self.ca_file.as_deref() == ca_file
    }

    /// Begins to fetch, unless that was done lately.
    pub(super) fn warm(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if state.current().is_none() {
            // Nobody waits for it here.
            drop(self.launch(&mut state));
        }
    }

    /// The keys of the moment, waited for where there are none.
    ///
    /// # Errors
    /// When they cannot be had: how long until they are asked for again.
    pub(super) async fn keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Duration> {
        let flight = {
            let mut state = self.state.lock();
            let due = state.came.is_none_or(|came| came.elapsed() >= REFRESH);
            let flight = if due { self.launch(&mut state) } else { None };
            match (state.current(), flight) {
                (Some(keys), _) => return Ok(keys),
                (None, Some(flight)) => flight,
                (None, None) => return Err(state.wait()),
            }
        };
        landed(flight).await;
        let state = self.state.lock();
        state.current().ok_or_else(|| state.wait())
    }

    /// Other keys than these, where the signer has them: it is asked, unless that was done lately.
    pub(super) async fn newer(self: &Arc<Self>, than: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let other = |state: &State| state.current().filter(|keys| !Arc::ptr_eq(keys, than));
        let flight = {
            let mut state = self.state.lock();
            if let Some(keys) = other(&state) {
                return Some(keys);
            }
            self.launch(&mut state)?
        };
        landed(flight).await;
        other(&self.state.lock())
    }

    /// The fetch under way, or a new one where it is time for one.
    fn launch(self: &Arc<Self>, state: &mut State) -> Option<watch::Receiver<()>> {
        if let Some(flight) = state
            .flight
            .as_ref()
            .filter(|flight| flight.has_changed().is_ok())
        {
            return Some(flight.clone());
        }
        if state.asked.is_some_and(|asked| asked.elapsed() < PAUSE) {
            return None;
        }
        let (landing, flight) = watch::channel(());
        state.asked = Some(Instant::now());
        state.flight = Some(flight.clone());
        let jwks = self.clone();
        // It belongs to nobody who waits for it: none of them can stop it.
        tokio::spawn(async move {
            let fetched = timeout(WHOLE, jwks.fetch())
                .await
                .unwrap_or_else(|_| Err(format!("there was no answer within {WHOLE:?}")));
            jwks.land(fetched);
            drop(landing);
        });
        Some(flight)
    }

    fn land(&self, fetched: Result<KeySet, String>) {
        let mut state = self.state.lock();
        state.flight = None;
        match fetched {
            Ok(keys) => {
                state.came = Some(Instant::now());
                if !state
                    .keys
                    .as_ref()
                    .is_some_and(|known| known.is_same(&keys))
                {
                    state.keys = Some(Arc::new(keys));
                }
            }
            Err(what) => {
                let meanwhile = if state.current().is_some() {
                    "those that are known serve on"
                } else {
                    "no token can be verified until then"
                };
                tracing::warn!("the keys of auth.jwt.jwks_url cannot be had: {what}; {meanwhile}");
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let redact = |error: reqwest::Error| told(&error.without_url());
        let mut response = self
            .client
            .get(&self.url)
            .header("accept", "application/json")
            .send()
            .await
            .map_err(redact)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the answer was {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(redact)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(format!("the answer is longer than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::of_jwks(&body).map_err(str::to_owned)
    }
}

impl State {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.keys
            .clone()
            .filter(|_| self.came.is_some_and(|came| came.elapsed() < STALE))
    }

    /// How long until the signer may be asked again.
    fn wait(&self) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| {
            PAUSE.saturating_sub(asked.elapsed())
        })
    }
}

/// Waits for the end of a fetch.
async fn landed(mut flight: watch::Receiver<()>) {
    // Nothing is ever sent: the channel closes.
    let _closed = flight.changed().await;
}

/// The error with what caused it: reqwest alone only says that it could not send.
fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// A client for a question every few minutes: it keeps no connection, which would belong to one
/// worker's runtime.
fn client(url: &str, ca_file: Option<&Path>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .http1_only();
    if url.starts_with("http:") {
        builder = builder.tls_certs_only([]);
    } else if let Some(file) = ca_file {
        let bad = |what: &str| format!("auth.jwt.ca_file {} {what}", file.display());
        let pem = std::fs::read(file).map_err(|error| bad(&format!("cannot be read: {error}")))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|_| bad("holds no PEM certificates"))?;
        builder = builder.tls_certs_merge(certificates);
    } else {
        builder = builder.https_only(true);
    }
    builder
        .build()
        .map_err(|error| format!("the HTTP client for auth.jwt.jwks_url cannot be built: {error}"))
}
