//! TLS in front of a plain server, with a self-signed certificate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::PrivateKeyDer;
use sluicegate::model::ids::StreamId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// A TLS server for `localhost`.
pub struct Tls {
    /// Its port.
    pub port: u16,
    authority: PathBuf,
    task: AbortHandle,
}

impl Tls {
    /// Starts a server that forwards to `plain`.
    pub async fn before(plain: SocketAddr) -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let authority =
            std::env::temp_dir().join(format!("sluicegate-{}-authority.pem", StreamId::random()));
        std::fs::write(&authority, cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), plain))
            .abort_handle();
        Self {
            port,
            authority,
            task,
        }
    }

    /// Returns the path of the authority's certificate.
    pub fn authority(&self) -> &Path {
        &self.authority
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.task.abort();
        // The file may be gone already.
        let _ = std::fs::remove_file(&self.authority);
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, plain: SocketAddr) {
    loop {
        let (outer, _) = listener.accept().await.unwrap();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that does not trust the certificate disconnects.
            let Ok(mut outer) = acceptor.accept(outer).await else {
                return;
            };
            let mut inner = TcpStream::connect(plain).await.unwrap();
            let _ = copy_bidirectional(&mut outer, &mut inner).await;
        });
    }
}
