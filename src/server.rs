//! Sockets, TLS, HTTP and drain: everything between the bytes of a client and the gateway.
//!
//! Invariants:
//! - No input from the network causes a panic, a busy loop or unbounded growth.
//! - Every request passes the edge, and every response leaves through it.
//! - A worker is one single-threaded runtime with its own sockets.

mod accept;
pub mod activity;
mod admin;
mod connection;
mod cors;
pub mod drain;
pub mod edge;
pub mod io;
pub mod listen;
mod origin;
mod path;
mod rules;
mod slots;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use secrecy::SecretString;
use tokio_util::task::TaskTracker;

use crate::gateway::Gateway;
use crate::gateway::lifecycle::Lifecycle;
use crate::limits::door::Door;
use crate::model::limit::Limit;
use accept::Acceptor;
use admin::Admin;
use edge::Handler;
use listen::Listeners;
use rules::Rules;
use slots::ConnectionSlots;

pub use listen::bind;

/// The state shared by all workers. `H` handles the requests that the edge admits.
#[derive(Debug)]
pub struct Shared<H = Arc<Gateway>> {
    clients: H,
    admin: Admin,
    rules: ArcSwap<Rules>,
    door: Door,
    slots: Arc<ConnectionSlots>,
    lifecycle: Arc<Lifecycle>,
}

impl<H: Handler> Shared<H> {
    /// Creates the shared state from these settings; `ip` is the limit per client address.
    #[must_use]
    pub fn new(settings: &Settings, ip: &Limit, clients: H, lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            clients,
            admin: Admin::new(Arc::clone(&lifecycle)),
            rules: ArcSwap::from_pointee(Rules::new(settings)),
            door: Door::new(ip),
            slots: ConnectionSlots::new(settings.max_connections),
            lifecycle,
        }
    }

    /// Applies the settings that may change while connections are open: origins, hosts, trusted
    /// proxies, the admin token, the cap on connections and the limit per address. An unchanged
    /// limit keeps its fill.
    pub fn reload(&self, settings: &Settings, ip: &Limit) {
        self.rules.store(Arc::new(Rules::new(settings)));
        self.slots.set_cap(settings.max_connections);
        self.door.reload(ip);
    }
}

/// Serves these listeners on the current runtime until the process has stopped and the last
/// connection is closed.
///
/// # Errors
/// Returns an error when the runtime cannot register a socket.
pub async fn serve<H: Handler>(
    listeners: Listeners,
    shared: Arc<Shared<H>>,
) -> std::io::Result<()> {
    let acceptors = listeners
        .0
        .into_iter()
        .map(Acceptor::new)
        .collect::<std::io::Result<Vec<_>>>()?;
    let tasks = TaskTracker::new();
    for acceptor in acceptors {
        // Connections are tracked as well, so that `wait` includes them.
        tasks.spawn(acceptor.run(Arc::clone(&shared), tasks.clone()));
    }
    // `wait` returns only on a closed tracker; spawning stays possible.
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// The settings of the server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Addresses for clients.
    pub listen: Vec<Listen>,
    /// Address of the admin listener.
    pub admin_listen: Listen,
    /// Token for the admin API; required where the admin listener can be reached from other
    /// machines.
    pub admin_token: Option<SecretString>,
    /// Additional `Host` names accepted on loopback listeners.
    pub hosts: Vec<String>,
    /// Origins of other pages whose requests are allowed (`scheme://host[:port]`).
    pub allowed_origins: Origins,
    /// Proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Maximum number of client connections.
    pub max_connections: usize,
    /// Maximum time for running streams to finish after SIGTERM.
    pub drain: Duration,
    /// TLS on the client listeners; `None` for plain HTTP.
    pub tls: Option<Tls>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The pages of other origins whose requests are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All origins (`"*"`).
    Any,
    /// These origins only.
    Exact(Vec<String>),
}

/// Certificate chain and private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Path of the certificate chain.
    pub cert: PathBuf,
    /// Path of the private key.
    pub key: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn settings() -> Settings {
        let anywhere = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        Settings {
            listen: vec![anywhere.clone()],
            admin_listen: anywhere,
            admin_token: None,
            hosts: vec![],
            allowed_origins: Origins::Exact(vec![]),
            trusted_proxies: vec![],
            max_connections: 100,
            drain: Duration::from_secs(30),
            tls: None,
        }
    }
}
