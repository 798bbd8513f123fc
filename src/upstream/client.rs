//! HTTP clients: one for each account and worker, so that a connection lives on the runtime that
//! reads it. Beside them the account's credentials, one for all workers.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytestring::ByteString;
use secrecy::ExposeSecret as _;

use super::credentials::{Credentials, Environment, Shown};
use crate::model::fault::{Code, Fault};
use crate::model::target::{Credential, Provider, Via};

/// Idle connections kept for each upstream host: a burst is over, most of its connections are not
/// needed again.
const IDLE_CONNECTIONS: usize = 64;
/// How long they are kept: less than the usual 60 s to 350 s of load balancers.
const IDLE_FOR: Duration = Duration::from_secs(50);

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Says which worker this thread is. Workers count from 0.
pub fn set_worker(worker: usize) {
    WORKER.set(worker);
}

/// The clients of all accounts.
#[derive(Debug)]
pub struct Clients {
    workers: usize,
    providers: HashMap<ByteString, Place>,
}

/// What an account has.
#[derive(Debug)]
struct Place {
    clients: Vec<OnceLock<reqwest::Client>>,
    credentials: Arc<Credentials>,
}

impl Clients {
    /// Clients for these accounts. Those of the calling worker are built now, so that a bad
    /// certificate file is found now; those of the others when they are first needed.
    ///
    /// # Errors
    /// When one cannot be built, or a credential cannot be sent: names the account.
    pub fn new<'a>(
        providers: impl Iterator<Item = &'a Arc<Provider>>,
        workers: usize,
    ) -> Result<Self, ClientProblem> {
        let environment = Environment::of_process();
        let mut all = Self {
            workers: workers.max(1),
            providers: HashMap::new(),
        };
        for provider in providers {
            let problem = |what| ClientProblem {
                provider: provider.name.to_string(),
                what,
            };
            let credentials =
                Arc::new(Credentials::new(provider, environment.clone()).map_err(problem)?);
            let clients = (0..all.workers).map(|_| OnceLock::new()).collect();
            all.providers.insert(
                provider.name.clone(),
                Place {
                    clients,
                    credentials,
                },
            );
            all.of(provider).map_err(|fault| problem(fault.message))?;
        }
        Ok(all)
    }

    /// The client of an account for this worker.
    pub(super) fn of(&self, provider: &Provider) -> Result<reqwest::Client, Fault> {
        let place = self
            .place(provider)?
            .clients
            .get(WORKER.get() % self.workers)
            .ok_or_else(|| missing(provider))?;
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let client = build(provider).map_err(|what| Fault::new(Code::InternalError, what))?;
        Ok(place.get_or_init(|| client).clone())
    }

    /// A good credential of an account; it is fetched if it must be.
    ///
    /// # Errors
    /// When there is none: says what its operator has to do.
    pub(super) async fn credential(&self, provider: &Provider) -> Result<Shown, Fault> {
        self.place(provider)?
            .credentials
            .shown(&self.of(provider)?)
            .await
    }

    fn place(&self, provider: &Provider) -> Result<&Place, Fault> {
        self.providers
            .get(&provider.name)
            .ok_or_else(|| missing(provider))
    }
}

fn missing(provider: &Provider) -> Fault {
    Fault::new(
        Code::InternalError,
        format!("the provider `{}` has no client", provider.name),
    )
}

/// A client that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("provider `{provider}`: {what}")]
pub struct ClientProblem {
    /// The account.
    pub provider: String,
    /// What is wrong.
    pub what: String,
}

fn build(provider: &Provider) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(provider.clocks.connect)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_FOR)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    builder = match (provider.http2, &provider.via) {
        (false, _) => builder.http1_only(),
        (true, Via::Http { base_url, .. }) if base_url.starts_with("http:") => {
            builder.http2_prior_knowledge()
        }
        (true, _) => builder,
    };
    if never_secured(provider) {
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = &provider.proxy {
        builder = builder.proxy(
            reqwest::Proxy::all(proxy.expose_secret())
                .map_err(|_| "`proxy` is not a URL that can be used".to_owned())?,
        );
    }
    if let Some(file) = &provider.ca_file {
        builder = builder.tls_certs_merge(certificates(file)?);
    }
    builder
        .build()
        .map_err(|error| format!("its HTTP client cannot be built: {error}"))
}

/// Nothing of it goes over TLS, so that no certificate authorities need be read and kept.
fn never_secured(provider: &Provider) -> bool {
    let plain =
        matches!(&provider.via, Via::Http { base_url, .. } if base_url.starts_with("http:"));
    plain
        && provider.proxy.is_none()
        && provider.ca_file.is_none()
        && matches!(
            provider.credential,
            Credential::None | Credential::Key { .. }
        )
}

fn certificates(file: &std::path::Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(file)
        .map_err(|error| format!("`ca_file` {} cannot be read: {error}", file.display()))?;
    reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|_| format!("`ca_file` {} holds no PEM certificates", file.display()))
}
