//! Every source of secrets, against a scripted server; and what becomes of the secrets.

mod aws;
mod entra;
mod google;
mod secrecy;
mod server;

use std::time::{Duration, SystemTime};

use super::*;
use crate::model::wire::WireId;

/// The credentials of an account that has this one, in this environment.
fn credentials(credential: Credential, environment: &[(&str, &str)]) -> Arc<Credentials> {
    let provider = Provider {
        credential,
        ..Provider::example(WireId::OpenaiChat, "http://upstream.test")
    };
    Arc::new(Credentials::new(&provider, Environment::of(environment)).unwrap())
}

/// A client as accounts have it, without a proxy.
fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .http1_only()
        .build()
        .unwrap()
}

/// The secret that is got.
async fn got(credential: Credential, environment: &[(&str, &str)]) -> Shown {
    credentials(credential, environment)
        .shown(&client())
        .await
        .unwrap()
}

/// The fault that is got.
async fn fault(credential: Credential, environment: &[(&str, &str)]) -> Fault {
    let fault = credentials(credential, environment)
        .shown(&client())
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

/// The token that is shown.
fn token(shown: &Shown) -> &str {
    let Secret::Token { authorization, .. } = shown.secret() else {
        panic!("no token but {shown:?}")
    };
    authorization.to_str().unwrap()
}

/// The keys that are shown: id, secret, session.
fn keys(shown: &Shown) -> (&str, &str, Option<&str>) {
    let Secret::Keys { keys, .. } = shown.secret() else {
        panic!("no keys but {shown:?}")
    };
    (
        keys.access_key_id(),
        keys.secret_access_key(),
        keys.session_token(),
    )
}

/// A file of its own in a folder that goes when the test is over.
struct File(std::path::PathBuf);

impl File {
    fn of(text: &str) -> Self {
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

/// The time in so many seconds, as AWS writes it.
fn rfc3339(from_now: u64) -> String {
    let time = time::OffsetDateTime::from(SystemTime::now() + Duration::from_secs(from_now));
    let (date, clock) = (time.date(), time.time());
    let (year, month, day) = date.to_calendar_date();
    format!(
        "{year:04}-{:02}-{day:02}T{:02}:{:02}:{:02}Z",
        u8::from(month),
        clock.hour(),
        clock.minute(),
        clock.second()
    )
}

#[tokio::test]
async fn what_is_configured_is_shown_as_it_is() {
    let key = |auth| Credential::Key {
        key: "s3cret".to_owned().into(),
        auth,
    };
    for (credential, expected) in [
        (key(Auth::Bearer), ("authorization", "Bearer s3cret")),
        (key(Auth::Header("x-api-key")), ("x-api-key", "s3cret")),
    ] {
        let shown = got(credential, &[]).await;
        let Secret::Header(name, value) = shown.secret() else {
            panic!("{shown:?}")
        };
        assert_eq!((name.as_str(), value.to_str().unwrap()), expected);
        assert!(!format!("{shown:?}").contains("s3cret"));
    }
    assert!(matches!(
        got(Credential::None, &[]).await.secret(),
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
        Credentials::new(&broken, Environment::of(&[]))
            .unwrap_err()
            .contains("no header")
    );
}

#[test]
fn what_says_that_a_secret_is_bad_is_known() {
    let said = |status: u16, kind: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", kind.parse().unwrap());
        refuses(StatusCode::from_u16(status).unwrap(), &headers)
    };
    assert!(
        said(401, "")
            && said(403, "ExpiredTokenException:http://x")
            && said(403, "UnrecognizedClientException")
    );
    assert!(
        !said(403, "AccessDeniedException")
            && !said(403, "")
            && !said(500, "ExpiredTokenException")
    );
}
