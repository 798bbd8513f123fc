//! Credentials other than static keys: requests are signed; tokens are fetched, cached and
//! replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};
use sluicegate::config::Config;
use sluicegate::model::target::{Aws, AwsKeys, Credential, Entra};
use sluicegate::route::Weighted;

use crate::rig::upstream::{Call, json};
use crate::rig::{Answer, Dialect, Pace, Proxy, Received, Request, Setup, Upstream, WireId};

/// A proxy with model `m` over an upstream, with this credential.
async fn proxy(upstream: &Upstream, credential: Credential) -> Proxy {
    let setup = Setup::new()
        .provider("up", WireId::OpenaiChat, upstream.addr)
        .model("m", "[\"up/m:1\"]");
    setup.start_with(|config| give(config, credential)).await
}

/// Replaces the credential of the only provider.
fn give(config: &mut Config, credential: Credential) {
    let models = std::mem::take(&mut config.route.models);
    // Targets hold the provider too: record them and build them again with the changed provider.
    let noted: Vec<_> = models
        .into_iter()
        .map(|(name, mut model)| (name, model.tiers.remove(0).remove(0).target.model, model))
        .collect();
    let (name, provider) = config.route.providers.pop_first().unwrap();
    let mut provider = Arc::try_unwrap(provider).unwrap();
    provider.credential = credential;
    let provider = Arc::new(provider);
    config.route.providers.insert(name, provider.clone());
    for (name, model, mut route) in noted {
        let target = sluicegate::model::target::Target {
            provider: provider.clone(),
            model,
        };
        route.tiers = vec![vec![Weighted { target, weight: 1 }]];
        config.route.models.insert(name, route);
    }
}

/// Returns the code and message of a request that fails before any content.
async fn refusal(proxy: &Proxy) -> (String, String) {
    let mut reply = proxy
        .client
        .ask(&Request::chat(Dialect::Chat, "m", true))
        .await;
    assert_eq!(reply.status, 502);
    let body = reply.json().await;
    let text = |name: &str| body["error"][name].as_str().unwrap().to_owned();
    (text("code"), text("message"))
}

async fn ask(proxy: &Proxy) -> Received {
    proxy
        .client
        .ask(&Request::chat(Dialect::Chat, "m", true))
        .await
        .received()
        .await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    assert!(key.len() <= 64);
    let pad =
        |with: u8| -> Vec<u8> { (0..64).map(|at| key.get(at).unwrap_or(&0) ^ with).collect() };
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

/// Computes the signature that AWS expects of a request, from AWS's description of the algorithm.
fn signature(call: &Call, secret: &str, region: &str) -> String {
    let mut line = call.line.split(' ');
    let (method, path) = (
        line.next().unwrap(),
        line.next().unwrap().replace('%', "%25").replace(':', "%3A"),
    );
    let date = call.header("x-amz-date").unwrap();
    let names = ["content-type", "host", "x-amz-date", "x-amz-security-token"];
    let fields: String = names
        .iter()
        .map(|name| format!("{name}:{}\n", call.header(name).unwrap()))
        .collect();
    let canonical = format!(
        "{method}\n{path}\n\n{fields}\n{}\n{}",
        names.join(";"),
        hex(&Sha256::digest(&call.body))
    );
    let (day, _) = date.split_once('T').unwrap();
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{day}/{region}/bedrock/aws4_request\n{}",
        hex(&Sha256::digest(canonical))
    );
    let chain = [day, region, "bedrock", "aws4_request"];
    hex(&hmac(
        &chain
            .iter()
            .fold(format!("AWS4{secret}").into_bytes(), |key, part| {
                hmac(&key, part)
            }),
        &text,
    ))
}

#[tokio::test]
async fn requests_are_signed_with_aws_keys() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let keys = AwsKeys {
        access_key_id: "AKIAGATE".into(),
        secret_access_key: "aws-s3cret".to_owned().into(),
        session_token: Some("s3ssion==".to_owned().into()),
    };
    let proxy = proxy(
        &upstream,
        Credential::Aws(Aws {
            region: "eu-west-1".into(),
            keys: Some(keys),
            profile: None,
        }),
    )
    .await;
    let received = ask(&proxy).await;
    assert!(received.is_success(), "{received:?}");
    let call = upstream.call(0);
    let (day, _) = call.header("x-amz-date").unwrap().split_once('T').unwrap();
    assert_eq!(
        call.header("authorization").unwrap(),
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIAGATE/{day}/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature={}",
            signature(&call, "aws-s3cret", "eu-west-1")
        )
    );
    assert!(
        call.headers
            .iter()
            .all(|(_, value)| !value.contains("aws-s3cret"))
    );
}

fn entra(tokens: &Upstream) -> Credential {
    Credential::Entra(Entra {
        token_url: format!("http://{}/tenant/oauth2/v2.0/token", tokens.addr),
        client_id: "gate".into(),
        client_secret: "cl1ent".to_owned().into(),
        scope: "https://cognitiveservices.azure.com/.default".into(),
    })
}

/// A token endpoint that issues `t0ken-0`, `t0ken-1` …
async fn tokens() -> Upstream {
    Upstream::start(|_, n| {
        json(
            200,
            format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"t0ken-{n}"}}"#),
        )
    })
    .await
}

#[tokio::test]
async fn a_fetched_token_is_used_until_it_is_rejected() {
    let tokens = tokens().await;
    let refuse = Arc::new(AtomicUsize::new(0));
    let (refused, good) = (
        refuse.clone(),
        Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat),
    );
    let upstream = Upstream::start(move |call, n| {
        if refused.load(Ordering::SeqCst) == n && n > 0 {
            json(401, r#"{"error":{"message":"expired"}}"#)
        } else {
            good(call, n)
        }
    })
    .await;
    let proxy = proxy(&upstream, entra(&tokens)).await;
    let both = tokio::join!(ask(&proxy), ask(&proxy));
    assert!(both.0.is_success() && both.1.is_success(), "{both:?}");
    refuse.store(2, Ordering::SeqCst);
    assert_eq!(refusal(&proxy).await.0, "upstream_auth");
    assert_eq!(tokens.count(), 1);
    assert!(ask(&proxy).await.is_success());
    assert_eq!(tokens.count(), 2);
    for (call, token) in [
        "Bearer t0ken-0",
        "Bearer t0ken-0",
        "Bearer t0ken-0",
        "Bearer t0ken-1",
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            upstream.call(call).header("authorization"),
            Some(token),
            "call {call}"
        );
    }
}

#[tokio::test]
async fn without_a_token_no_upstream_is_called() {
    let tokens = Upstream::always(json(401, r#"{"error":"invalid_client"}"#)).await;
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = proxy(&upstream, entra(&tokens)).await;
    for _ in 0..3 {
        let (code, message) = refusal(&proxy).await;
        assert_eq!(code, "upstream_auth");
        assert!(
            message.contains("provider `up`")
                && message.contains("check `tenant_id`, `client_id` and `client_secret`"),
            "{message}"
        );
    }
    assert_eq!(
        (upstream.count(), tokens.count()),
        (0, 1),
        "the token endpoint is not called again at once"
    );
    proxy.at_rest().await;
}
