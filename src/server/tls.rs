//! TLS on the client listeners: rustls, HTTP/2 and HTTP/1.1 by ALPN.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::Tls;

/// Loads the certificate chain and the private key.
///
/// # Errors
/// Returns an error that names the file that cannot be read or used, but not its content.
pub(super) fn load(tls: &Tls) -> io::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(&tls.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&tls.cert, "a PEM certificate chain", &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|error| unreadable(&tls.key, "a PEM private key", &error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| {
            io::Error::other(format!(
                "`server.tls`: certificate {} and key {} do not match or cannot be used: {error}",
                tls.cert.display(),
                tls.key.display()
            ))
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn unreadable(path: &Path, what: &str, error: &rustls_pki_types::pem::Error) -> io::Error {
    io::Error::other(format!(
        "`server.tls`: cannot read {what} from {}: {error}",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!(
            "sluicegate-{}-{name}",
            crate::model::ids::StreamId::random()
        ));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn unusable_files_are_named_and_not_quoted() {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (good_cert, good_key) = (
            write("cert.pem", &cert.pem()),
            write("key.pem", &signing_key.serialize_pem()),
        );
        let bad = write(
            "bad.pem",
            "-----BEGIN PRIVATE KEY-----\nsecret!\n-----END PRIVATE KEY-----\n",
        );
        let other = rcgen::KeyPair::generate().unwrap();
        let other = write("other.pem", &other.serialize_pem());
        assert!(
            load(&Tls {
                cert: good_cert.clone(),
                key: good_key.clone()
            })
            .is_ok()
        );
        let missing = std::path::PathBuf::from("/nowhere/cert.pem");
        for (cert, key, named) in [
            (&missing, &good_key, &missing),
            (&good_cert, &bad, &bad),
            (&good_cert, &other, &other),
        ] {
            let error = load(&Tls {
                cert: cert.clone(),
                key: key.clone(),
            })
            .err()
            .expect("it cannot be used")
            .to_string();
            assert!(
                error.contains(&named.display().to_string()) && !error.contains("secret!"),
                "{error}"
            );
        }
        for path in [good_cert, good_key, bad, other] {
            std::fs::remove_file(path).unwrap();
        }
    }
}
