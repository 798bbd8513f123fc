//! Accepts connections.
//!
//! Invariants:
//! - An error of `accept` neither stops the loop nor makes it spin.
//! - Connections are accepted while the process drains (for cancel, status and resume) and no
//!   longer when it has stopped.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use super::edge::{ConnectionSource, Edge, Handler, ListenerKind};
use super::io::Socket;
use super::listen::{Listener, ListeningSocket};
use super::slots::ConnectionSlot;
use super::{Shared, connection};
use crate::gateway::lifecycle::Phase;

/// Delay after an error of `accept`; doubled for each further error, up to [`MAX_DELAY`].
const FIRST_DELAY: Duration = Duration::from_millis(10);
const MAX_DELAY: Duration = Duration::from_secs(1);

/// A listener registered with the runtime of this worker.
pub(super) struct Acceptor {
    socket: AsyncListener,
    kind: ListenerKind,
    loopback: bool,
    tls: Option<TlsAcceptor>,
    _file: Option<Arc<super::listen::SocketFile>>,
}

enum AsyncListener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Acceptor {
    /// Registers the socket with the current runtime.
    pub(super) fn new(listener: Listener) -> io::Result<Self> {
        let Listener {
            socket,
            kind,
            loopback,
            tls,
            _file,
        } = listener;
        let socket = match socket {
            ListeningSocket::Tcp(socket) => AsyncListener::Tcp(TcpListener::from_std(socket)?),
            ListeningSocket::Unix(socket) => AsyncListener::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self {
            socket,
            kind,
            loopback,
            tls,
            _file,
        })
    }

    /// Accepts connections until the process stops.
    pub(super) async fn run<H: Handler>(self, shared: Arc<Shared<H>>, connections: TaskTracker) {
        let lifecycle = Arc::clone(&shared.lifecycle);
        tokio::select! {
            () = self.accept_all(shared, connections) => {}
            () = lifecycle.reached(Phase::Stopped) => {}
        }
    }

    async fn accept_all<H: Handler>(&self, shared: Arc<Shared<H>>, connections: TaskTracker) {
        let mut delay = FIRST_DELAY;
        loop {
            match self.accept().await {
                Ok((socket, peer)) => {
                    delay = FIRST_DELAY;
                    self.spawn_connection(&shared, &connections, socket, peer)
                        .await;
                }
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    // Log only the first of a series.
                    if delay == FIRST_DELAY {
                        tracing::warn!(
                            %error,
                            "cannot accept connections, retrying; check the limit on open files \
                             (`ulimit -n`)"
                        );
                    }
                    tokio::time::sleep(delay).await;
                    delay = (delay * 2).min(MAX_DELAY);
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(Socket, IpAddr)> {
        match &self.socket {
            AsyncListener::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Send each event at once: Nagle's algorithm would delay small writes.
                stream.set_nodelay(true)?;
                Ok((Socket::Tcp(stream), peer.ip().to_canonical()))
            }
            AsyncListener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                // A Unix peer has no address.
                Ok((Socket::Unix(stream), IpAddr::V4(Ipv4Addr::LOCALHOST)))
            }
        }
    }

    async fn spawn_connection<H: Handler>(
        &self,
        shared: &Arc<Shared<H>>,
        connections: &TaskTracker,
        socket: Socket,
        peer: IpAddr,
    ) {
        // Waiting here stops accepting: further connections queue in the kernel.
        let slot = match self.kind {
            ListenerKind::Clients => shared.slots.client().await,
            ListenerKind::Admin => shared.slots.admin().await,
        };
        let source = ConnectionSource {
            kind: self.kind,
            peer,
            loopback: self.loopback,
            unix: matches!(socket, Socket::Unix(_)),
            beyond_cap: matches!(slot, ConnectionSlot::BeyondCap(_)),
        };
        let (edge, tls) = (Edge::new(Arc::clone(shared), source), self.tls.clone());
        connections.spawn(async move {
            connection::serve(socket, tls, edge).await;
            // Held until here, so that the slot covers the whole connection.
            drop(slot);
        });
    }
}

/// Returns true for errors that concern only the connection that was to be accepted.
fn is_connection_error(error: &io::Error) -> bool {
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
