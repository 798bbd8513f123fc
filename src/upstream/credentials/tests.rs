//! Tests every source of secrets against a scripted server, and that secrets do not leak.

mod aws;
mod entra;
mod google;
mod secrecy;
mod server;

use std::time::{Duration, SystemTime};

use super::*;
use crate::model::wire::WireId;

/// Credentials of a provider with this credential, in this environment.
fn credentials(credential: Credential, environment: &[(&str, &str)]) -> Arc<Credentials> {
    let provider = Provider {
        credential,
        ..Provider::example(WireId::OpenaiChat, "http://upstream.test")
    };
    Arc::new(Credentials::new(&provider, Environment::from_variables(environment)).unwrap())
}

/// A client like those of providers, without a proxy.
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .build()
        .unwrap()
}

/// Obtains a credential.
async fn obtain(credential: Credential, environment: &[(&str, &str)]) -> RequestCredential {
    credentials(credential, environment)
        .obtain(&client())
        .await
        .unwrap()
}

/// Obtains the fault of a credential that cannot be obtained.
async fn fault(credential: Credential, environment: &[(&str, &str)]) -> Fault {
    let fault = credentials(credential, environment)
        .obtain(&client())
        .await
        .unwrap_err();
    assert_eq!(
        (
            fault.code,
            fault.status.as_u16(),
            fault.side,
            fault.retryable
        ),
        (Code::UpstreamAuth, 502, Side::Ours, false)
    );
    fault
}

/// Returns the `Authorization` value of a credential.
fn token(credential: &RequestCredential) -> &str {
    let Secret::Token { authorization, .. } = credential.secret() else {
        panic!("no token but {credential:?}")
    };
    authorization.to_str().unwrap()
}

/// Returns the AWS keys of a credential: id, secret, session token.
fn keys(credential: &RequestCredential) -> (&str, &str, Option<&str>) {
    let Secret::Keys { keys, .. } = credential.secret() else {
        panic!("no keys but {credential:?}")
    };
    (
        keys.access_key_id(),
        keys.secret_access_key(),
        keys.session_token(),
    )
}

/// A temporary file that is removed when dropped.
struct File(std::path::PathBuf);

impl File {
    fn new(text: &str) -> Self {
        let name = format!(
            "sluicegate-credentials-{}-{:016x}",
            std::process::id(),
            getrandom::u64().unwrap()
        );
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// Returns the time `from_now` seconds from now, in the format of AWS.
fn rfc3339(from_now: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    crate::codec::date::rfc3339(now.unwrap().as_secs() + from_now)
}

#[tokio::test]
async fn configured_keys_are_sent_unchanged() {
    let key = |auth| Credential::Key {
        key: "s3cret".to_owned().into(),
        auth,
    };
    for (credential, expected) in [
        (key(Auth::Bearer), ("authorization", "Bearer s3cret")),
        (key(Auth::Header("x-api-key")), ("x-api-key", "s3cret")),
    ] {
        let credential = obtain(credential, &[]).await;
        let Secret::Header(name, value) = credential.secret() else {
            panic!("{credential:?}")
        };
        assert_eq!((name.as_str(), value.to_str().unwrap()), expected);
        assert!(!format!("{credential:?}").contains("s3cret"));
    }
    assert!(matches!(
        obtain(Credential::None, &[]).await.secret(),
        Secret::None
    ));
    let provider = Provider {
        credential: key(Auth::Bearer),
        ..Provider::example(WireId::OpenaiChat, "http://upstream.test")
    };
    let broken = Provider {
        credential: Credential::Key {
            key: "a\nb".to_owned().into(),
            auth: Auth::Bearer,
        },
        ..provider
    };
    assert!(
        Credentials::new(&broken, Environment::from_variables(&[]))
            .unwrap_err()
            .contains("not allowed in a header")
    );
}

#[test]
fn responses_that_reject_the_secret_are_recognised() {
    let rejects = |status: u16, kind: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", kind.parse().unwrap());
        rejects_secret(StatusCode::from_u16(status).unwrap(), &headers)
    };
    assert!(
        rejects(401, "")
            && rejects(403, "ExpiredTokenException:http://x")
            && rejects(403, "UnrecognizedClientException")
    );
    assert!(
        !rejects(403, "AccessDeniedException")
            && !rejects(403, "")
            && !rejects(500, "ExpiredTokenException")
    );
}
