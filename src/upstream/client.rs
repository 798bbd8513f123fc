//! HTTP clients: one for each account and worker, so that a connection lives on the runtime that reads it.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytestring::ByteString;
use secrecy::ExposeSecret as _;

use crate::model::fault::{Code, Fault};
use crate::model::target::Account;

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
    accounts: HashMap<ByteString, Vec<OnceLock<reqwest::Client>>>,
}

impl Clients {
    /// Clients for these accounts. Those of the calling worker are built now, so that a bad certificate file is found
    /// now; those of the others when they are first needed.
    ///
    /// # Errors
    /// When one cannot be built: names the account.
    pub fn new<'a>(accounts: impl Iterator<Item = &'a Arc<Account>>, workers: usize) -> Result<Self, ClientProblem> {
        let mut all = Self { workers: workers.max(1), accounts: HashMap::new() };
        for account in accounts {
            all.accounts.insert(account.name.clone(), (0..all.workers).map(|_| OnceLock::new()).collect());
            all.of(account).map_err(|fault| ClientProblem { account: account.name.to_string(), what: fault.message })?;
        }
        Ok(all)
    }

    /// The client of an account for this worker.
    pub(super) fn of(&self, account: &Account) -> Result<reqwest::Client, Fault> {
        let missing = || Fault::new(Code::InternalError, format!("the provider `{}` has no client", account.name));
        let places = self.accounts.get(&account.name).ok_or_else(missing)?;
        let place = places.get(WORKER.get() % self.workers).ok_or_else(missing)?;
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let client = build(account).map_err(|what| Fault::new(Code::InternalError, what))?;
        Ok(place.get_or_init(|| client).clone())
    }
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
        (true, crate::model::target::Via::Http { base_url, .. }) if base_url.starts_with("http:") => builder.http2_prior_knowledge(),
        (true, _) => builder,
    };
    if let Some(proxy) = &account.proxy {
        builder =
            builder.proxy(reqwest::Proxy::all(proxy.expose_secret()).map_err(|_| "`proxy` is not a URL that can be used".to_owned())?);
    }
    if let Some(file) = &account.ca_file {
        builder = builder.tls_certs_merge(certificates(file)?);
    }
    builder.build().map_err(|error| format!("its HTTP client cannot be built: {error}"))
}

fn certificates(file: &std::path::Path) -> Result<Vec<reqwest::Certificate>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("`ca_file` {} cannot be read: {error}", file.display()))?;
    reqwest::Certificate::from_pem_bundle(&pem).map_err(|_| format!("`ca_file` {} holds no PEM certificates", file.display()))
}
