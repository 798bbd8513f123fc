//! Accepting connections.
//!
//! Invariants: an error of `accept` ends nothing and makes nobody spin; accepting goes on while the
//! process drains (for cancel, status and resume) and ends when it stops.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::edge::{Edge, Handler, Origin, Side};
use super::io::Socket;
use super::listen::{Accepting, Listener};
use super::places::Place;
use super::{Shared, connection};
use crate::gateway::lifecycle::Phase;

/// Waits after errors of `accept`: from the first to the longest, doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A listener as this worker's runtime sees it.
pub(super) struct Acceptor {
    socket: AsyncListener,
    side: Side,
    loopback: bool,
    tls: Option<TlsAcceptor>,
    _file: Option<Arc<super::listen::SocketFile>>,
}

enum AsyncListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Hands the socket to the runtime this is called in.
    pub(super) fn new(listener: Listener) -> io::Result<Self> {
        let Listener {
            socket,
            side,
            loopback,
            tls,
            _file,
        } = listener;
        let socket = match socket {
            Accepting::Tcp(socket) => AsyncListener::Tcp(TcpListener::from_std(socket)?),
            Accepting::Unix(socket) => AsyncListener::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self {
            socket,
            side,
            loopback,
            tls,
            _file,
        })
    }

    /// Accepts until the process stops.
    pub(super) async fn run<H: Handler>(self, shared: Arc<Shared<H>>, connections: TaskTracker) {
        let lifecycle = Arc::clone(&shared.lifecycle);
        tokio::select! {
            () = self.accept_all(shared, connections) => {}
            () = lifecycle.reached(Phase::Stopped) => {}
        }
    }

    async fn accept_all<H: Handler>(&self, shared: Arc<Shared<H>>, connections: TaskTracker) {
        let mut wait = FIRST_WAIT;
        loop {
            match self.accept().await {
                Ok((socket, peer)) => {
                    wait = FIRST_WAIT;
                    self.receive(&shared, &connections, socket, peer).await;
                }
                Err(error) if is_peers(&error) => {}
                Err(error) => {
                    if wait == FIRST_WAIT {
                        tracing::warn!(%error, "cannot accept connections; trying again (check the limit on open files)");
                    }
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(Socket, IpAddr)> {
        match &self.socket {
            AsyncListener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Each event leaves at once.
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), peer.ip().to_canonical()))
            }
            AsyncListener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }

    async fn receive<H: Handler>(
        &self,
        shared: &Arc<Shared<H>>,
        connections: &TaskTracker,
        socket: Socket,
        peer: IpAddr,
    ) {
        let place = match self.side {
            Side::Clients => shared.places.client().await,
            Side::Admin => shared.places.admin().await,
        };
        let from = Origin {
            side: self.side,
            peer,
            loopback: self.loopback,
            unix: matches!(socket, Socket::Unix(_)),
            beyond_cap: matches!(place, Place::Beyond(_)),
        };
        let (edge, tls) = (Edge::new(Arc::clone(shared), from), self.tls.clone());
        connections.spawn(async move {
            connection::serve(socket, tls, edge).await;
            drop(place);
        });
    }
}

/// True for errors of the one connection that was to be accepted.
fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, InvalidInput,
        NotConnected,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | Interrupted
            | InvalidInput
            | NotConnected
    )
}
