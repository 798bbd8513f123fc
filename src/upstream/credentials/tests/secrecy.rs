//! Secrets appear in no log, at any level, and in no `Debug` output.

use std::io;

use super::server::Server;
use super::*;
use crate::upstream::sign::sign;

/// Captured log output.
#[derive(Clone, Default)]
struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SECRETS: [&str; 5] = ["s3cret", "s3ssion", "t0ken", "pod-pass", "cl1ent"];

fn assert_no_secret(what: &str) {
    for secret in SECRETS {
        assert!(!what.contains(secret), "`{secret}` in: {what}");
    }
}

#[tokio::test]
async fn no_secret_is_logged_or_in_debug_output() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // With a single subscriber, `tracing` caches the interest of threads of other tests, which have
    // no subscriber. A second one prevents that.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _listening = tracing::subscriber::set_default(subscriber);
    let keys = r#"{"AccessKeyId":"ASIA","SecretAccessKey":"s3cret","Token":"s3ssion"}"#;
    let (metadata, tokens) = (
        Server::always(200, keys).await,
        Server::always(200, r#"{"access_token":"t0ken"}"#).await,
    );
    let full = metadata.url("/");
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*full),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-pass"),
    ];
    let aws = Credential::Aws(Aws {
        region: "us-east-1".into(),
        keys: None,
        profile: None,
    });
    let entra = |url| {
        Credential::Entra(Entra {
            token_url: url,
            client_id: "c".into(),
            client_secret: "cl1ent".to_owned().into(),
            scope: "s".into(),
        })
    };
    for credential in [aws, entra(tokens.url("/"))] {
        let provider = Provider {
            credential,
            ..Provider::example(WireId::OpenaiChat, "http://upstream.test")
        };
        let credentials = Arc::new(
            Credentials::new(&provider, Environment::from_variables(&environment)).unwrap(),
        );
        let credential = credentials.obtain(&client()).await.unwrap();
        let mut request = client()
            .post("http://upstream.test/model/m/converse")
            .body("{}")
            .build()
            .unwrap();
        sign(&mut request, &provider, &credential, SystemTime::now()).unwrap();
        assert!(request.headers().contains_key("authorization"));
        assert_no_secret(&format!(
            "{credentials:?} {credential:?} {request:?} {provider:?}"
        ));
    }
    let refused = Server::always(400, r#"{"error":"t0ken s3cret"}"#).await;
    let fault = fault(entra(refused.url("/")), &[]).await;
    assert_no_secret(&format!("{fault:?} {fault}"));
    let logged = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(
        logged.contains("cannot obtain the credential of a provider") && logged.contains("400"),
        "{logged}"
    );
    assert_no_secret(&logged);
}
