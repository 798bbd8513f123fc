//! Listening sockets, bound once, before anything else starts.
//!
//! Invariants:
//! - With several workers, each has its own TCP socket on the same port (`SO_REUSEPORT`), and
//!   another process on that port is detected.
//! - A Unix socket that another process serves is never taken over; a stale one is removed; our own
//!   is removed when we stop.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::TlsAcceptor;

use super::edge::ListenerKind;
use super::{Listen, Settings, tls};

/// Maximum number of connections that wait in the kernel to be accepted.
const BACKLOG: i32 = 1024;

/// All sockets of the process, bound and listening.
#[derive(Debug)]
pub struct Bound {
    clients: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    workers: Vec<Listeners>,
}

/// The sockets of one worker.
#[derive(Debug, Default)]
pub struct Listeners(pub(super) Vec<Listener>);

/// One listening socket and the properties of its connections.
pub(super) struct Listener {
    pub(super) socket: ListeningSocket,
    pub(super) kind: ListenerKind,
    pub(super) loopback: bool,
    pub(super) tls: Option<TlsAcceptor>,
    /// Removes the file of a Unix socket when the last listener is dropped.
    pub(super) _file: Option<Arc<SocketFile>>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            socket,
            kind,
            loopback,
            tls,
            _file,
        } = self;
        f.debug_struct("Listener")
            .field("socket", socket)
            .field("kind", kind)
            .field("loopback", loopback)
            .field("tls", &tls.is_some())
            .finish()
    }
}

#[derive(Debug)]
pub(super) enum ListeningSocket {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The file may already be gone. No other error can be handled here.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Binds all sockets for `workers` workers. The first worker gets the admin listener.
///
/// # Errors
/// Returns an error that names the address or TLS file that cannot be used, the reason, and what to
/// do.
pub fn bind(settings: &Settings, workers: usize) -> io::Result<Bound> {
    let workers = workers.max(1);
    let tls = settings.tls.as_ref().map(tls::load).transpose()?;
    let mut bound = Bound {
        clients: Vec::new(),
        admin: None,
        workers: (0..workers).map(|_| Listeners::default()).collect(),
    };
    for listen in &settings.listen {
        let address = bound
            .add(listen, ListenerKind::Clients, tls.as_ref(), workers)
            .map_err(|error| bind_error(listen, "server.listen", &error))?;
        bound.clients.extend(address);
    }
    let admin = &settings.admin_listen;
    bound.admin = bound
        .add(admin, ListenerKind::Admin, None, 1)
        .map_err(|error| bind_error(admin, "server.admin_listen", &error))?;
    Ok(bound)
}

fn bind_error(listen: &Listen, key: &str, error: &io::Error) -> io::Error {
    let place = match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    };
    let message = format!(
        "cannot listen on {place}: {error}; change `{key}`, or stop the process that uses this \
         address"
    );
    io::Error::new(error.kind(), message)
}

impl Bound {
    /// Returns the TCP addresses of the client listeners, with port 0 replaced by the assigned
    /// port.
    #[must_use]
    pub fn client_addresses(&self) -> &[SocketAddr] {
        &self.clients
    }

    /// Returns the TCP address of the admin listener; `None` for a Unix socket.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Returns the sockets of each worker.
    #[must_use]
    pub fn split(self) -> Vec<Listeners> {
        self.workers
    }

    /// Binds one address for the first `workers` workers.
    fn add(
        &mut self,
        listen: &Listen,
        kind: ListenerKind,
        tls: Option<&TlsAcceptor>,
        workers: usize,
    ) -> io::Result<Option<SocketAddr>> {
        match listen {
            Listen::Tcp(address) => self.add_tcp(*address, kind, tls, workers).map(Some),
            Listen::Unix(path) => self.add_unix(path, kind, workers).map(|()| None),
        }
    }

    fn add_tcp(
        &mut self,
        mut address: SocketAddr,
        kind: ListenerKind,
        tls: Option<&TlsAcceptor>,
        workers: usize,
    ) -> io::Result<SocketAddr> {
        let reuse_port = workers > 1;
        if reuse_port && address.port() != 0 {
            // With `SO_REUSEPORT` a second process could join unnoticed. A test socket without it
            // fails if any process, such as another Sluicegate, uses the port.
            drop(tcp(address, false)?);
        }
        for Listeners(listeners) in self.workers.iter_mut().take(workers) {
            let socket = tcp(address, reuse_port)?;
            // Port 0: the other workers bind the port that the first one was assigned.
            address = socket.local_addr()?;
            let loopback = address.ip().to_canonical().is_loopback();
            listeners.push(Listener {
                socket: ListeningSocket::Tcp(socket),
                kind,
                loopback,
                tls: tls.cloned(),
                _file: None,
            });
        }
        Ok(address)
    }

    fn add_unix(&mut self, path: &Path, kind: ListenerKind, workers: usize) -> io::Result<()> {
        remove_stale(path)?;
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        let file = Arc::new(SocketFile(path.to_owned()));
        for Listeners(listeners) in self.workers.iter_mut().take(workers) {
            let socket = ListeningSocket::Unix(socket.try_clone()?);
            listeners.push(Listener {
                socket,
                kind,
                loopback: true,
                tls: None,
                _file: Some(Arc::clone(&file)),
            });
        }
        Ok(())
    }
}

fn tcp(address: SocketAddr, reuse_port: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the previous process in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    // Required by tokio.
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn remove_stale(path: &Path) -> io::Result<()> {
    // Do not follow links: only a socket at this path itself may be removed.
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is not a socket exists at this path",
        )),
        Ok(_) => match UnixStream::connect(path) {
            // No process accepts on it: one has left it without removing it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another process serves this socket",
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Origins;

    fn settings(listen: Vec<Listen>) -> Settings {
        Settings {
            listen,
            ..crate::server::tests::settings()
        }
    }

    fn somewhere() -> Listen {
        Listen::Tcp("127.0.0.1:0".parse().unwrap())
    }

    fn path() -> PathBuf {
        std::env::temp_dir().join(format!(
            "sluicegate-{}.sock",
            crate::model::ids::StreamId::random()
        ))
    }

    #[test]
    fn workers_share_a_port_and_no_other_process_gets_it() {
        let bound = bind(&settings(vec![somewhere()]), 3).unwrap();
        let address = bound.client_addresses()[0];
        assert_ne!(address.port(), 0);
        for workers in [1, 2] {
            let error = bind(&settings(vec![Listen::Tcp(address)]), workers).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
            assert!(
                error.to_string().contains(&address.to_string())
                    && error.to_string().contains("server.listen"),
                "{error}"
            );
        }
        let counts: Vec<_> = bound
            .split()
            .iter()
            .map(|listeners| listeners.0.len())
            .collect();
        assert_eq!(
            counts,
            [2, 1, 1],
            "the first worker also has the admin listener"
        );
    }

    #[test]
    fn a_port_is_free_again_when_its_sockets_are_gone() {
        let bound = bind(&settings(vec![somewhere()]), 2).unwrap();
        let address = bound.client_addresses()[0];
        drop(bound);
        bind(&settings(vec![Listen::Tcp(address)]), 2).unwrap();
    }

    #[test]
    fn a_live_unix_socket_is_refused_and_a_stale_one_replaced() {
        let path = path();
        let unix = || settings(vec![Listen::Unix(path.clone())]);
        let bound = bind(&unix(), 2).unwrap();
        assert_eq!(
            bind(&unix(), 1).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(bound);
        assert!(!path.exists(), "our own socket file is removed");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a stale socket file exists");
        drop(bind(&unix(), 1).unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(
            bind(&unix(), 1).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn loopback_listeners_are_recognised() {
        let listen = vec![
            Listen::Tcp("0.0.0.0:0".parse().unwrap()),
            somewhere(),
            Listen::Unix(path()),
        ];
        let bound = bind(
            &Settings {
                allowed_origins: Origins::Any,
                ..settings(listen)
            },
            1,
        )
        .unwrap();
        let loopback: Vec<_> = bound.split()[0]
            .0
            .iter()
            .map(|listener| listener.loopback)
            .collect();
        assert_eq!(loopback, [false, true, true, true]);
    }
}
