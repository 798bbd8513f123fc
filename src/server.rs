//! Sockets, TLS, HTTP, drain: everything between a client's bytes and the gateway.
//!
//! Invariants: nothing from the network panics, spins or grows without bound; every request passes
//! the edge, and every response leaves through it; a worker is one single-threaded runtime with
//! sockets of its own.

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
mod places;
mod rules;
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
use crate::limits::Limit;
use crate::limits::door::Door;
use accept::Acceptor;
use admin::Admin;
use edge::Handler;
use listen::Listeners;
use places::Places;
use rules::Rules;

pub use listen::bind;

/// What all workers share. `H` answers what the edge lets in.
#[derive(Debug)]
pub struct Shared<H = Arc<Gateway>> {
    clients: H,
    admin: Admin,
    rules: ArcSwap<Rules>,
    door: Door,
    places: Arc<Places>,
    lifecycle: Arc<Lifecycle>,
}

impl<H: Handler> Shared<H> {
    /// The edge of that handler, by these settings; `ip` is the limit at the door.
    #[must_use]
    pub fn new(settings: &Settings, ip: &Limit, clients: H, lifecycle: Arc<Lifecycle>) -> Self {
        Self {
            clients,
            admin: Admin::new(Arc::clone(&lifecycle)),
            rules: ArcSwap::from_pointee(Rules::of(settings)),
            door: Door::new(ip),
            places: Places::new(settings.max_connections),
            lifecycle,
        }
    }

    /// Takes over what may change while connections are open: origins, hosts, trusted proxies, the
    /// cap on connections and the limit at the door. An unchanged limit keeps its fill.
    pub fn reload(&self, settings: &Settings, ip: &Limit) {
        self.rules.store(Arc::new(Rules::of(settings)));
        self.places.set_cap(settings.max_connections);
        self.door.reload(ip);
    }
}

/// Serves these listeners on the runtime it is called in, until the process has stopped and the
/// last connection is gone.
///
/// # Errors
/// When the runtime cannot take a socket.
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
        tasks.spawn(acceptor.run(Arc::clone(&shared), tasks.clone()));
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// Where and how clients are served.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients come in.
    pub listen: Vec<Listen>,
    /// Where the operator comes in.
    pub admin_listen: Listen,
    /// What the operator shows for the pages behind it; needed where they can be reached from other
    /// machines.
    pub admin_token: Option<SecretString>,
    /// Further `Host` names accepted on loopback listeners.
    pub hosts: Vec<String>,
    /// Origins of other pages that may ask (`scheme://host[:port]`).
    pub allowed_origins: Origins,
    /// Whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at a time.
    pub max_connections: usize,
    /// How long running streams may take to finish after SIGTERM.
    pub drain: Duration,
    /// TLS on the client listeners.
    pub tls: Option<Tls>,
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Which other pages may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// All (`"*"`).
    Any,
    /// These.
    Exact(Vec<String>),
}

/// Certificate chain and key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The chain.
    pub cert: PathBuf,
    /// The key.
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
