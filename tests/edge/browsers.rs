//! Origins, hosts, CORS.

use sluicegate::model::limit::Limit;
use sluicegate::server::{Listen, Origins, Settings};
use tokio::io::BufReader;
use tokio::net::UnixStream;

use crate::raw::{Raw, ask};
use crate::server::{TestServer, settings};

const LISTED: &str = "Origin: https://chat.example";

const REQUEST_FIELDS: &[&str] = &[
    "authorization",
    "content-type",
    "x-api-key",
    "anthropic-version",
    "anthropic-beta",
    "anthropic-dangerous-direct-browser-access",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "user-agent",
    "cache-control",
    "x-stainless-lang",
    "x-stainless-package-version",
    "x-stainless-os",
    "x-stainless-arch",
    "x-stainless-runtime",
    "x-stainless-runtime-version",
    "x-stainless-async",
    "x-stainless-retry-count",
    "x-stainless-read-timeout",
    "x-stainless-timeout",
    "x-stainless-helper-method",
    "x-stainless-poll-helper",
    "x-stainless-custom-poll-interval",
    "last-event-id",
    "idempotency-key",
    "prefer",
    "x-stream-id",
    "x-event-ids",
    "x-on-disconnect",
    "x-retention",
    "x-request-id",
    "traceparent",
];

const RESPONSE_FIELDS: &[&str] = &[
    "x-stream-id",
    "x-request-id",
    "request-id",
    "location",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "ratelimit",
    "ratelimit-policy",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-output-tokens-reset",
    "www-authenticate",
    "x-upstream-request-id",
    "x-sluicegate-route",
    "x-sluicegate-dropped",
    "x-budget-warning",
];

fn names(list: &str) -> Vec<&str> {
    list.split(", ").collect()
}

#[tokio::test]
async fn every_field_of_the_contract_passes_its_preflight_on_every_path() {
    let server = TestServer::plain();
    for path in [
        "/v1/chat/completions",
        "/v1/streams/x/cancel",
        "/no/such/path",
    ] {
        for field in REQUEST_FIELDS {
            let wanted = format!("Access-Control-Request-Headers: {field}");
            let answer = ask(
                server.clients,
                &format!("OPTIONS {path}"),
                &[LISTED, "Access-Control-Request-Method: POST", &wanted],
            )
            .await;
            assert_eq!(answer.status, 204);
            assert!(
                names(answer.field("access-control-allow-headers")).contains(field),
                "{field}"
            );
            assert_eq!(
                answer.field("access-control-allow-origin"),
                "https://chat.example"
            );
            assert_eq!(answer.field("access-control-allow-credentials"), "true");
            assert_eq!(answer.field("vary"), "Origin");
            let methods = names(answer.field("access-control-allow-methods"));
            assert!(
                ["GET", "POST", "DELETE"]
                    .iter()
                    .all(|method| methods.contains(method))
            );
        }
    }
}

#[tokio::test]
async fn every_field_of_the_contract_is_exposed_to_an_allowed_page() {
    let server = TestServer::plain();
    for path in ["/v1/models", "/panic"] {
        let answer = ask(server.clients, &format!("GET {path}"), &[LISTED]).await;
        let exposed = answer.field("access-control-expose-headers");
        assert!(
            RESPONSE_FIELDS
                .iter()
                .all(|field| names(exposed).contains(field)),
            "{exposed}"
        );
        assert!(!exposed.contains('*'));
        assert_eq!(
            (
                answer.field("access-control-allow-origin"),
                answer.field("vary")
            ),
            ("https://chat.example", "Origin")
        );
    }
}

#[tokio::test]
async fn a_foreign_page_is_rejected() {
    let server = TestServer::plain();
    for (method, origin) in [
        ("POST", "https://evil.example"),
        ("OPTIONS", "https://evil.example"),
        ("GET", "null"),
    ] {
        let answer = ask(
            server.clients,
            &format!("{method} /panic"),
            &[&format!("Origin: {origin}")],
        )
        .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (403, "origin_not_allowed")
        );
        assert_eq!(
            (
                answer.field("access-control-allow-origin"),
                answer.field("vary")
            ),
            ("", "Origin")
        );
    }
}

#[tokio::test]
async fn the_servers_own_page_is_allowed_and_any_page_where_all_are_allowed() {
    let server = TestServer::plain();
    let (host, origin) = (
        format!("Host: {}", server.clients),
        format!("http://{}", server.clients),
    );
    let answer = ask(
        server.clients,
        "GET /",
        &[&host, &format!("Origin: {origin}")],
    )
    .await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.field("access-control-allow-origin")
        ),
        (200, origin.as_str())
    );

    let server = TestServer::open(
        &Settings {
            allowed_origins: Origins::Any,
            ..settings()
        },
        &Limit::default(),
    );
    for origin in ["https://anybody.example", "null"] {
        let answer = ask(server.clients, "GET /", &[&format!("Origin: {origin}")]).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.field("access-control-allow-origin")
            ),
            (200, "*")
        );
        assert_eq!(
            answer.field("access-control-allow-credentials"),
            "",
            "only origins allowed by name get credentials"
        );
    }
}

#[tokio::test]
async fn a_reload_changes_the_allowed_origins_on_an_open_connection() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    assert_eq!(
        client
            .ask("GET /", &["Origin: https://new.example"])
            .await
            .status,
        403
    );
    let settings = Settings {
        allowed_origins: Origins::Exact(vec!["https://new.example".into()]),
        ..settings()
    };
    server.shared.reload(&settings, &Limit::default());
    assert_eq!(
        client
            .ask("GET /", &["Origin: https://new.example"])
            .await
            .status,
        200
    );
    assert_eq!(client.ask("GET /", &[LISTED]).await.status, 403);
}

#[tokio::test]
async fn a_rebound_host_name_is_rejected_on_loopback_and_admin_listeners() {
    let server = TestServer::open(
        &Settings {
            hosts: vec!["proxy.test".into()],
            ..settings()
        },
        &Limit::default(),
    );
    for address in [server.clients, server.admin] {
        for host in ["evil.example", "evil.example:8080", "0.0.0.0"] {
            let answer = ask(address, "GET /healthz", &[&format!("Host: {host}")]).await;
            assert_eq!(
                (answer.status.as_u16(), answer.code().as_str()),
                (403, "host_not_allowed"),
                "{host}"
            );
        }
        for host in ["proxy.test", "127.0.0.1:1", "[::1]"] {
            assert_eq!(
                ask(address, "GET /healthz", &[&format!("Host: {host}")])
                    .await
                    .status,
                200,
                "{host}"
            );
        }
    }
    assert_eq!(
        ask(
            server.admin,
            "GET /healthz",
            &["Origin: https://evil.example"]
        )
        .await
        .code(),
        "origin_not_allowed"
    );
}

#[tokio::test]
async fn a_unix_socket_counts_as_loopback_and_accepts_any_host() {
    let path = std::env::temp_dir().join(format!(
        "sluicegate-{}.sock",
        sluicegate::model::ids::StreamId::random()
    ));
    let server = TestServer::open(
        &Settings {
            listen: vec![Listen::Unix(path.clone())],
            ..settings()
        },
        &Limit::default(),
    );
    let mut client = Raw(BufReader::new(UnixStream::connect(&path).await.unwrap()));
    let seen = client
        .ask("GET /", &["Host: whatever.example"])
        .await
        .json();
    assert_eq!(
        (&seen["client"], &seen["loopback"]),
        (&"127.0.0.1".into(), &true.into())
    );
    assert_eq!(
        client
            .ask(
                "GET /",
                &["Host: whatever.example", "Origin: https://evil.example"]
            )
            .await
            .status,
        403
    );
    drop(client);
    server
        .lifecycle
        .advance(sluicegate::gateway::lifecycle::Phase::Stopped);
    server.serving.await.unwrap().unwrap();
    assert!(!path.exists());
}
