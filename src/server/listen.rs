//! Listening sockets, bound once, before anything else starts.
//!
//! Invariants: with several workers each has its own TCP socket on the same port (`SO_REUSEPORT`),
//! and no other process is let onto it unnoticed; a Unix socket that somebody serves is never taken
//! over, a stale one is removed, ours is removed when we stop.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::TlsAcceptor;

use super::edge::Side;
use super::{Listen, Settings, tls};

/// Connections the kernel keeps until we take them.
const BACKLOG: i32 = 1024;

/// All sockets of the process, bound and listening.
#[derive(Debug)]
pub struct Bound {
    clients: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    workers: Vec<Listeners>,
}

/// The sockets that one worker accepts on.
#[derive(Debug, Default)]
pub struct Listeners(pub(super) Vec<Listener>);

/// One listening socket, and what holds for the connections it brings.
pub(super) struct Listener {
    pub(super) socket: Accepting,
    pub(super) side: Side,
    pub(super) loopback: bool,
    pub(super) tls: Option<TlsAcceptor>,
    /// Removes the file of a Unix socket when its last listener is gone.
    pub(super) _file: Option<Arc<SocketFile>>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            socket,
            side,
            loopback,
            tls,
            _file,
        } = self;
        f.debug_struct("Listener")
            .field("socket", socket)
            .field("side", side)
            .field("loopback", loopback)
            .field("tls", &tls.is_some())
            .finish()
    }
}

#[derive(Debug)]
pub(super) enum Accepting {
    Tcp(std::net::TcpListener),
    Unix(UnixListener),
}

#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it before us; there is nothing to be done about anything else.
        drop(std::fs::remove_file(&self.0));
    }
}

/// Binds all sockets of the settings for that many workers; the admin listener goes to the first.
///
/// # Errors
/// Which address (or TLS file) cannot be used, why, and what to do.
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
            .add(listen, Side::Clients, tls.as_ref(), workers)
            .map_err(|error| cannot(listen, "server.listen", &error))?;
        bound.clients.extend(address);
    }
    let admin = &settings.admin_listen;
    bound.admin = bound
        .add(admin, Side::Admin, None, 1)
        .map_err(|error| cannot(admin, "server.admin_listen", &error))?;
    Ok(bound)
}

fn cannot(listen: &Listen, key: &str, error: &io::Error) -> io::Error {
    let place = match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    };
    let message = format!(
        "cannot listen on {place}: {error}; choose another `{key}`, or stop what stands in the way"
    );
    io::Error::new(error.kind(), message)
}

impl Bound {
    /// The TCP addresses clients come in at, port 0 replaced by the port that was given.
    #[must_use]
    pub fn client_addresses(&self) -> &[SocketAddr] {
        &self.clients
    }

    /// The TCP address of the admin listener.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The sockets of each worker.
    #[must_use]
    pub fn split(self) -> Vec<Listeners> {
        self.workers
    }

    /// Binds one address for the first so many workers.
    fn add(
        &mut self,
        listen: &Listen,
        side: Side,
        tls: Option<&TlsAcceptor>,
        workers: usize,
    ) -> io::Result<Option<SocketAddr>> {
        match listen {
            Listen::Tcp(address) => self.add_tcp(*address, side, tls, workers).map(Some),
            Listen::Unix(path) => self.add_unix(path, side, workers).map(|()| None),
        }
    }

    fn add_tcp(
        &mut self,
        mut address: SocketAddr,
        side: Side,
        tls: Option<&TlsAcceptor>,
        workers: usize,
    ) -> io::Result<SocketAddr> {
        let shared = workers > 1;
        if shared && address.port() != 0 {
            // A socket that does not share its port finds out whether anybody has it already,
            // another Sluicegate included.
            drop(tcp(address, false)?);
        }
        for Listeners(listeners) in self.workers.iter_mut().take(workers) {
            let socket = tcp(address, shared)?;
            address = socket.local_addr()?;
            let loopback = address.ip().to_canonical().is_loopback();
            listeners.push(Listener {
                socket: Accepting::Tcp(socket),
                side,
                loopback,
                tls: tls.cloned(),
                _file: None,
            });
        }
        Ok(address)
    }

    fn add_unix(&mut self, path: &Path, side: Side, workers: usize) -> io::Result<()> {
        remove_stale(path)?;
        let socket = UnixListener::bind(path)?;
        socket.set_nonblocking(true)?;
        let file = Arc::new(SocketFile(path.to_owned()));
        for Listeners(listeners) in self.workers.iter_mut().take(workers) {
            let socket = Accepting::Unix(socket.try_clone()?);
            listeners.push(Listener {
                socket,
                side,
                loopback: true,
                tls: None,
                _file: Some(Arc::clone(&file)),
            });
        }
        Ok(())
    }
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for the last connections of the process before.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "a file that is no socket has that name",
        )),
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "somebody serves on that socket",
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
    fn workers_share_a_port_and_nobody_else_gets_it() {
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
            "the first worker has the admin listener as well"
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
        assert!(!path.exists(), "ours is removed");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket left behind");
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
    fn what_is_loopback_is_known() {
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
