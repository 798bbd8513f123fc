//! `[server]`

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::pem::{Error, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::node::Node;
use crate::config::table::Table;
use crate::config::{address, quantity, schema};
use crate::server::{Listen, Origins, Settings, Tls};

/// Reads the listeners and the checks of connections.
pub(in crate::config) fn server(table: &Table<'_, '_>) -> Settings {
    Settings {
        listen: table
            .read("listen", listeners)
            .unwrap_or_else(|| vec![loopback(8484)]),
        admin_listen: table
            .read("admin_listen", address::listen)
            .unwrap_or_else(|| loopback(8485)),
        admin_token: table
            .read("admin_token", super::access::token)
            .map(Into::into),
        hosts: table
            .read("hosts", |node| {
                node.list("a list of host names", address::host)
            })
            .unwrap_or_default(),
        allowed_origins: table
            .read("allowed_origins", address::origins)
            .unwrap_or(Origins::Exact(Vec::new())),
        trusted_proxies: table
            .read("trusted_proxies", |node| {
                node.list("a list of networks", address::network)
            })
            .unwrap_or_default(),
        max_connections: table
            .read("max_connections", quantity::count)
            .unwrap_or(10_000),
        drain: table
            .read("drain", quantity::duration)
            .unwrap_or(Duration::from_secs(30)),
        tls: table.read("tls", tls),
    }
}

/// Reads the maximum body size in bytes and the playground switch, which are settings of the
/// gateway.
pub(in crate::config) fn body_and_playground(table: &Table<'_, '_>) -> (usize, bool) {
    let max_body = table.read("max_body", quantity::size).unwrap_or(20 << 20);
    (
        max_body,
        table
            .read("playground", |node| node.boolean())
            .unwrap_or(true),
    )
}

fn loopback(port: u16) -> Listen {
    Listen::Tcp(([127, 0, 0, 1], port).into())
}

fn listeners(node: &Node<'_, '_>) -> Option<Vec<Listen>> {
    if !node.is_list() {
        return Some(vec![address::listen(node)?]);
    }
    let list = node.list("an address or a list of them", address::listen)?;
    if list.is_empty() {
        node.refuse_with("must not be empty", "list at least one address")
    } else {
        Some(list)
    }
}

fn tls(node: &Node<'_, '_>) -> Option<Tls> {
    let table = Table::open(node, schema::TLS)?;
    for key in ["cert", "key"].into_iter().filter(|key| !table.has(key)) {
        table.missing::<()>(
            key,
            "missing",
            "set a PEM file: tls = { cert = \"cert.pem\", key = \"key.pem\" }",
        );
    }
    let cert = table.read("cert", |node| pem(node, is_chain));
    let key = table.read("key", |node| pem(node, is_key));
    Some(Tls {
        cert: cert?,
        key: key?,
    })
}

/// Reads the path of a PEM file and checks its content with `check`. Messages never quote the
/// content.
fn pem(node: &Node<'_, '_>, check: fn(&Path) -> Result<(), Error>) -> Option<PathBuf> {
    let path = address::file(node)?;
    match check(&path) {
        Ok(()) => Some(path),
        Err(Error::Io(error)) => node.refuse(format!("cannot be read: {error}")),
        Err(Error::NoItemsFound) => {
            node.refuse("the file contains no PEM block of the expected kind")
        }
        Err(_) => node.refuse("the file is not well-formed PEM"),
    }
}

fn is_chain(path: &Path) -> Result<(), Error> {
    CertificateDer::from_pem_file(path).map(drop)
}

fn is_key(path: &Path) -> Result<(), Error> {
    PrivateKeyDer::from_pem_file(path).map(drop)
}
