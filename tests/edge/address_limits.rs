//! Limits per client address, and the cap on connections.

use sluicegate::model::limit::Limit;
use sluicegate::server::{Origins, Settings};

use crate::raw::{Raw, ask};
use crate::server::{TestServer, per_minute, settings};

fn with_trusted_proxies() -> Settings {
    Settings {
        trusted_proxies: vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.0.0.0/8".parse().unwrap(),
        ],
        ..settings()
    }
}

async fn status_for(server: &TestServer, forwarded: &[&str]) -> u16 {
    let fields: Vec<_> = forwarded
        .iter()
        .map(|chain| format!("X-Forwarded-For: {chain}"))
        .collect();
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    ask(server.clients, "GET /", &fields).await.status.as_u16()
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
    let server = TestServer::open(&with_trusted_proxies(), &per_minute(1));
    assert_eq!(status_for(&server, &["198.51.100.1"]).await, 200);
    assert_eq!(status_for(&server, &["198.51.100.2, 10.0.0.7"]).await, 200);
    assert_eq!(
        status_for(&server, &["198.51.100.1, 10.0.0.7"]).await,
        429,
        "the same client over another path"
    );
    assert_eq!(
        status_for(&server, &["1.1.1.1, 198.51.100.1"]).await,
        429,
        "an address that the client itself wrote is ignored"
    );
    assert_eq!(status_for(&server, &["1.1.1.1", "198.51.100.1"]).await, 429);
    assert_eq!(status_for(&server, &["2001:db8:0:1::1"]).await, 200);
    assert_eq!(
        status_for(&server, &["2001:db8:0:1:ffff::2"]).await,
        429,
        "an IPv6 client is its /64"
    );
    assert_eq!(status_for(&server, &["2001:db8:0:2::1"]).await, 200);
}

#[tokio::test]
async fn without_trusted_proxies_a_forged_chain_has_no_effect() {
    let server = TestServer::open(&settings(), &per_minute(1));
    assert_eq!(status_for(&server, &["198.51.100.1"]).await, 200);
    assert_eq!(status_for(&server, &["198.51.100.2"]).await, 429);
    let server = TestServer::plain();
    let seen = ask(server.clients, "GET /", &["X-Forwarded-For: 198.51.100.1"])
        .await
        .json();
    assert_eq!(
        (&seen["client"], &seen["forwarded"]),
        (&"127.0.0.1".into(), &true.into())
    );
}

#[tokio::test]
async fn a_refusal_names_its_limit_and_the_wait() {
    let server = TestServer::open(&settings(), &per_minute(30));
    let origin = "Origin: https://chat.example";
    let mut client = Raw::connect(server.clients).await;
    let first = client.ask("GET /", &[origin]).await;
    assert_eq!(
        (
            first.field("x-ratelimit-limit-requests"),
            first.field("x-ratelimit-remaining-requests")
        ),
        ("30", "29")
    );
    for _ in 1..30 {
        assert_eq!(client.ask("GET /", &[origin]).await.status, 200);
    }
    let refused = client.ask("GET /", &[origin]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (429, "rate_limited")
    );
    assert_eq!(refused.json()["error"]["limit"], "ip");
    assert!(
        matches!(refused.field("retry-after"), "1" | "2"),
        "{refused:?}"
    );
    assert!((1..=2000).contains(&refused.field("retry-after-ms").parse().unwrap()));
    assert_eq!(
        (
            refused.field("x-ratelimit-remaining-requests"),
            refused.field("ratelimit-policy")
        ),
        ("0", "\"ip\";q=30;w=60")
    );
    assert!(
        refused.field("ratelimit").starts_with("\"ip\";r=0;t="),
        "{refused:?}"
    );
    assert_eq!(
        refused.field("access-control-allow-origin"),
        "https://chat.example",
        "a page must be able to read it"
    );
    assert_eq!(
        client.ask("OPTIONS /", &[origin]).await.status,
        204,
        "preflights are not counted"
    );
}

#[tokio::test]
async fn a_cancel_is_exempt_from_the_limit() {
    let server = TestServer::open(&settings(), &per_minute(1));
    assert_eq!(ask(server.clients, "GET /", &[]).await.status, 200);
    for request in [
        "POST /v1/streams/abc/cancel",
        "DELETE /v1/streams/abc",
        "POST /v1//streams/abc/cancel",
    ] {
        assert_eq!(
            ask(server.clients, request, &["Content-Length: 0"])
                .await
                .status,
            200,
            "{request}"
        );
    }
    assert_eq!(
        ask(server.clients, "GET /v1/streams/abc", &[]).await.status,
        429
    );
}

#[tokio::test]
async fn after_sixty_failed_authentications_only_a_valid_cancel_passes() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    for _ in 0..60 {
        let refused = client
            .ask("GET /unauthenticated", &["x-wrong-key: 1"])
            .await;
        assert_eq!(
            (refused.status.as_u16(), refused.field("www-authenticate")),
            (401, "Bearer")
        );
    }
    let refused = client.ask("GET /", &[]).await;
    assert_eq!(
        (
            refused.status.as_u16(),
            refused.json()["error"]["limit"].as_str()
        ),
        (429, Some("ip"))
    );
    assert!((1..=60).contains(&refused.field("retry-after").parse().unwrap()));
    assert_eq!(
        client
            .ask("POST /v1/streams/a/cancel", &["Content-Length: 0"])
            .await
            .status,
        200
    );
    let guess = client
        .ask(
            "POST /v1/streams/a/cancel",
            &["Content-Length: 0", "x-wrong-key: 1"],
        )
        .await;
    assert_eq!(
        guess.status, 429,
        "a guess among cancels gets the same refusal"
    );
    for path in ["GET /healthz", "GET /readyz", "GET /metrics"] {
        let status = ask(server.admin, path, &[]).await.status;
        assert_eq!(status, 200, "{path}: a wrong key stops no probe");
    }
    assert_eq!(ask(server.admin, "GET /api/streams", &[]).await.status, 429);
}

#[tokio::test]
async fn probes_are_never_limited() {
    let server = TestServer::open(&settings(), &per_minute(1));
    for _ in 0..5 {
        assert_eq!(ask(server.admin, "GET /healthz", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn beyond_the_connection_cap_a_request_is_refused_but_may_cancel() {
    let settings = Settings {
        max_connections: 1,
        allowed_origins: Origins::Any,
        ..settings()
    };
    let server = TestServer::open(&settings, &Limit::default());
    let mut first = Raw::connect(server.clients).await;
    assert_eq!(first.ask("GET /", &[]).await.status, 200);
    let mut second = Raw::connect(server.clients).await;
    let refused = second.ask("GET /", &["Origin: https://a.example"]).await;
    assert_eq!(
        (refused.status.as_u16(), refused.code().as_str()),
        (503, "overloaded")
    );
    assert_eq!(
        (
            refused.field("retry-after"),
            refused.field("access-control-allow-origin")
        ),
        ("1", "*")
    );
    assert_eq!(refused.field("connection"), "close");
    assert_eq!(second.rest().await, Some(String::new()));
    assert_eq!(
        ask(
            server.clients,
            "POST /v1/streams/abc/cancel",
            &["Content-Length: 0"]
        )
        .await
        .status,
        200
    );
    assert_eq!(
        first.ask("GET /", &[]).await.status,
        200,
        "established connections are not affected"
    );
    assert_eq!(ask(server.admin, "GET /healthz", &[]).await.status, 200);
}
