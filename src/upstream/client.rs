//! HTTP clients: one for each account and worker, so that a connection lives on the runtime that reads it. Beside them the
//! account's credentials, one for all workers.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytestring::ByteString;
use secrecy::ExposeSecret as _;

use super::credentials::{Credentials, Environment, Shown};
use crate::model::fault::{Code, Fault};
use crate::model::target::{Account, Credential, Via};

/// Idle connections kept for each upstream host: a burst is over, most of its connections are not needed again.
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
    accounts: HashMap<ByteString, Place>,
}

/// What an account has.
#[derive(Debug)]
struct Place {
    clients: Vec<OnceLock<reqwest::Client>>,
    credentials: Arc<Credentials>,
}

impl Clients {
    /// Clients for these accounts. Those of the calling worker are built now, so that a bad certificate file is found
    /// now; those of the others when they are first needed.
    ///
    /// # Errors
    /// When one cannot be built, or a credential cannot be sent: names the account.
    pub fn new<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>, workers: usize) -> Result<Self, ClientProblem> {
        let environment = Environment::of_process();
        let mut all = Self { workers: workers.max(1), accounts: HashMap::new() };
        for account in accounts {
            let problem = |what| ClientProblem { account: account.name.to_string(), what };
            let credentials = Arc::new(Credentials::new(account, environment.clone()).map_err(problem)?);
            let clients = (0..all.workers).map(|_| OnceLock::new()).collect();
            all.accounts.insert(account.name.clone(), Place { clients, credentials });
            all.of(account).map_err(|fault| problem(fault.message))?;
        }
        Ok(all)
    }

    /// The client of an account for this worker.
    pub(super) fn of(&self, account: &Account) -> Result<reqwest::Client, Fault> {
        let place = self.place(account)?.clients.get(WORKER.get() % self.workers).ok_or_else(|| missing(account))?;
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let client = build(account).map_err(|what| Fault::new(Code::InternalError, what))?;
        Ok(place.get_or_init(|| client).clone())
    }

    /// A good credential of an account; it is fetched if it must be.
    ///
    /// # Errors
    /// When there is none: says what its operator has to do.
    pub(super) async fn credential(&self, account: &Account) -> Result<Shown, Fault> {
        self.place(account)?.credentials.shown(&self.of(account)?).await
    }

    fn place(&self, account: &Account) -> Result<&Place, Fault> {
        self.accounts.get(&account.name).ok_or_else(|| missing(account))
    }
}

fn missing(account: &Account) -> Fault {
    Fault::new(Code::InternalError, format!("the provider `{}` has no client", account.name))
}

/// A client that cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("provider `{account}`: {what}")]
pub struct ClientProblem {
    /// The account.
    pub account: String,
    /// What is wrong.
    pub what: String,
}

fn build(account: &Account) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(account.clocks.connect)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .retry(reqwest::retry::never())
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .pool_idle_timeout(IDLE_FOR)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    builder = match (account.http2, &account.via) {
        (false, _) => builder.http1_only(),
        (true, Via::Http { base_url, .. }) if base_url.starts_with("http:") => builder.http2_prior_knowledge(),
        (true, _) => builder,
    };
    if never_secured(account) {
        builder = builder.tls_certs_only([]);
    }
    if let Some(proxy) = &account.proxy {
        builder =
            builder.proxy(reqwest::Proxy::all(proxy.expose_secret()).map_err(|_| "`proxy` is not a URL that can be used".to_owned())?);
    }
    if let Some(file) = &account.ca_file {
        builder = builder.tls_certs_merge(certificates(file)?);
    }
    builder.build().map_err(|error| format!("its HTTP client cannot be built: {error}"))
}

/// Nothing of it goes over TLS, so that no certificate authorities need be read and kept.
fn never_secured(account: &Account) -> bool {
    let plain = matches!(&account.via, Via::Http { base_url, .. } if base_url.starts_with("http:"));
    plain && account.proxy.is_none() && account.ca_file.is_none() && matches!(account.credential, Credential::None | Credential::Key { .. })
}

fn certificates(file: &std::path::Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("`ca_file` {} cannot be read: {error}", file.display()))?;
    reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| format!("`ca_file` {} holds no PEM certificates", file.display()))
}
