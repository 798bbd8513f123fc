//! HTTP clients and credentials of providers. Each worker has its own client per provider, so that
//! a connection lives on the runtime that reads it. Credentials are shared by all workers.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytestring::ByteString;
use secrecy::ExposeSecret as _;

use super::credentials::{Credentials, Environment, RequestCredential};
use crate::model::fault::{Code, Fault};
use crate::model::target::{Credential, Provider, Via};

/// Maximum number of idle connections per upstream host: after a burst most of them are not needed
/// again.
const MAX_IDLE_CONNECTIONS: usize = 64;
/// Maximum idle time of a connection; below the usual 60 s to 350 s of load balancers.
const MAX_IDLE_TIME: Duration = Duration::from_secs(50);

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Sets the worker number of this thread. Workers count from 0.
pub fn set_worker(worker: usize) {
    WORKER.set(worker);
}

/// The clients and credentials of all providers.
#[derive(Debug)]
pub struct Clients {
    workers: usize,
    providers: HashMap<ByteString, ProviderClients>,
}

/// The clients and the credentials of one provider.
#[derive(Debug)]
struct ProviderClients {
    clients: Vec<OnceLock<reqwest::Client>>,
    credentials: Arc<Credentials>,
}

impl Clients {
    /// Builds the clients of these providers. The client of the calling worker is built now, so
    /// that a bad certificate file is reported now. The clients of other workers are built on first
    /// use.
    ///
    /// # Errors
    /// Returns an error that names the provider when a client cannot be built or a credential
    /// cannot be sent.
    pub fn new<'a>(
        providers: impl Iterator<Item = &'a Arc<Provider>>,
        workers: usize,
    ) -> Result<Self, ClientProblem> {
        let environment = Environment::from_process();
        let mut all = Self {
            workers: workers.max(1),
            providers: HashMap::new(),
        };
        for provider in providers {
            let problem = |message| ClientProblem {
                provider: provider.name.to_string(),
                message,
            };
            let credentials =
                Arc::new(Credentials::new(provider, environment.clone()).map_err(problem)?);
            let clients = (0..all.workers).map(|_| OnceLock::new()).collect();
            all.providers.insert(
                provider.name.clone(),
                ProviderClients {
                    clients,
                    credentials,
                },
            );
            // Builds the client of this worker, to find a bad certificate file now.
            all.client(provider)
                .map_err(|fault| problem(fault.message))?;
        }
        Ok(all)
    }

    /// Returns the client of a provider for this worker.
    pub(super) fn client(&self, provider: &Provider) -> Result<reqwest::Client, Fault> {
        let entry = self
            .entry(provider)?
            .clients
            .get(WORKER.get() % self.workers)
            .ok_or_else(|| missing_client(provider))?;
        if let Some(client) = entry.get() {
            return Ok(client.clone());
        }
        let client = build(provider).map_err(|message| Fault::new(Code::InternalError, message))?;
        Ok(entry.get_or_init(|| client).clone())
    }

    /// Returns a valid credential of a provider, fetching it if necessary.
    ///
    /// # Errors
    /// Returns a fault that says what the operator has to do.
    pub(super) async fn credential(&self, provider: &Provider) -> Result<RequestCredential, Fault> {
        self.entry(provider)?
            .credentials
            .obtain(&self.client(provider)?)
            .await
    }

    fn entry(&self, provider: &Provider) -> Result<&ProviderClients, Fault> {
        self.providers
            .get(&provider.name)
            .ok_or_else(|| missing_client(provider))
    }
}

fn missing_client(provider: &Provider) -> Fault {
    Fault::new(
        Code::InternalError,
        format!("the provider `{}` has no client", provider.name),
    )
}

/// The reason why a client cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("provider `{provider}`: {message}")]
pub struct ClientProblem {
    /// The name of the provider.
    pub provider: String,
    /// The reason, and what to do.
    pub message: String,
}

fn build(provider: &Provider) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        // No total and no read timeout: the clocks of the attempt limit the rest (`clock.rs`).
        .connect_timeout(provider.clocks.connect)
        // A redirect could carry the credential to another host.
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Retries and failover are the task of this room, which knows what has been journaled.
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
        .pool_idle_timeout(MAX_IDLE_TIME)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        // Only the configured `proxy` is used, never one from the environment.
        .no_proxy();
    // HTTP/1.1 unless configured: a cancel then closes a socket. There is no ALPN without TLS, so
    // HTTP/2 over plain HTTP needs prior knowledge.
    builder = match (provider.http2, &provider.via) {
        (false, _) => builder.http1_only(),
        (true, Via::Http { base_url, .. }) if base_url.starts_with("http:") => {
            builder.http2_prior_knowledge()
        }
        (true, _) => builder,
    };
    if never_uses_tls(provider) {
        // Without this, each client would load the certificate authorities of the system.
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = &provider.proxy {
        builder = builder.proxy(
            reqwest::Proxy::all(proxy.expose_secret())
                .map_err(|_| "`proxy` is not a valid proxy URL".to_owned())?,
        );
    }
    if let Some(file) = &provider.ca_file {
        builder = builder.tls_certs_merge(certificates(file)?);
    }
    builder
        .build()
        .map_err(|error| format!("cannot build its HTTP client: {error}"))
}

/// Returns true when no request of this provider uses TLS. Certificate authorities then need not be
/// loaded and kept in memory.
fn never_uses_tls(provider: &Provider) -> bool {
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
        .map_err(|error| format!("cannot read `ca_file` {}: {error}", file.display()))?;
    reqwest::Certificate::from_pem_bundle(&pem)
        .map_err(|_| format!("`ca_file` {} contains no PEM certificates", file.display()))
}
