//! HTTP/1.1, HTTP/2 with prior knowledge, TLS with ALPN; heads, paths, ids.

use sluicegate::model::fault::Code;
use sluicegate::model::ids::StreamId;
use sluicegate::model::limit::Limit;
use sluicegate::server::{Settings, Tls};

use crate::raw::{Raw, ask, head};
use crate::server::{PANIC, TestServer, per_minute, settings};

fn http2() -> reqwest::Client {
    reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .unwrap()
}

#[tokio::test]
async fn every_answer_carries_the_header_fields_of_the_contract() {
    let server = TestServer::plain();
    let answer = ask(
        server.clients,
        "GET /v1/models",
        &["x-request-id: abc-1._Z"],
    )
    .await;
    assert_eq!(
        (answer.field("x-request-id"), answer.json()["id"].as_str()),
        ("abc-1._Z", Some("abc-1._Z"))
    );
    assert_eq!(
        (
            answer.field("cache-control"),
            answer.field("x-content-type-options")
        ),
        ("no-store", "nosniff")
    );
    let answer = ask(server.clients, "GET /v1/models", &["x-request-id: not ok"]).await;
    assert_eq!(
        answer.json()["id"].as_str().unwrap(),
        answer.field("x-request-id")
    );
    assert!(!answer.field("x-request-id").contains(' ') && answer.field("x-request-id").len() > 20);
}

#[tokio::test]
async fn a_stream_keeps_its_own_cache_control() {
    let mut server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    let (_, headers) = client.answer_head().await;
    assert_eq!(
        (
            &headers["cache-control"],
            &headers["x-content-type-options"]
        ),
        (
            &"no-cache, no-transform".parse().unwrap(),
            &"nosniff".parse().unwrap()
        )
    );
    assert!(!headers.contains_key("content-length"));
    drop(tokens);
}

#[tokio::test]
async fn http1_and_http2_share_a_cleartext_port() {
    let server = TestServer::plain();
    let url = format!("http://{}/v1//models?a=//b", server.clients);
    let seen: serde_json::Value = serde_json::from_str(
        &http2()
            .get(&url)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        (
            seen["version"].as_str().unwrap(),
            seen["client"].as_str().unwrap()
        ),
        ("HTTP/2.0", "127.0.0.1")
    );
    assert!(
        seen["uri"].as_str().unwrap().ends_with("/v1/models?a=//b"),
        "{seen}"
    );
    let seen = ask(server.clients, "GET //v1///models?a=//b", &[])
        .await
        .json();
    assert_eq!(
        (
            seen["version"].as_str().unwrap(),
            seen["uri"].as_str().unwrap()
        ),
        ("HTTP/1.1", "/v1/models?a=//b")
    );
}

#[tokio::test]
async fn an_http2_stream_that_breaks_off_does_not_affect_the_others() {
    let mut server = TestServer::plain();
    let (client, url) = (http2(), format!("http://{}/live", server.clients));
    let mut broken = client.get(&url).send().await.unwrap();
    let to_broken = server.live.recv().await.unwrap();
    let mut whole = client.get(&url).send().await.unwrap();
    let to_whole = server.live.recv().await.unwrap();
    to_broken.send(PANIC.into()).await.unwrap();
    assert!(broken.chunk().await.is_err());
    to_whole.send("alive\n".into()).await.unwrap();
    assert_eq!(whole.chunk().await.unwrap().unwrap(), "alive\n");
    drop(to_whole);
    assert_eq!(whole.bytes().await.unwrap(), "", "a proper end");
}

#[tokio::test]
async fn head_is_get_without_the_body_on_both_versions() {
    let mut server = TestServer::plain();
    let mut raw = Raw::connect(server.clients).await;
    let get = raw.ask("GET /v1/models", &["x-request-id: a"]).await;
    let answer = raw.ask("HEAD /v1/models", &["x-request-id: a"]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("content-length")),
        (200, get.field("content-length"))
    );
    assert_eq!(
        raw.ask("GET /v1/models", &[]).await.status,
        200,
        "HEAD left no extra byte on the connection"
    );

    let url = format!("http://{}/v1/models", server.clients);
    let client = http2();
    let length = client
        .get(&url)
        .header("x-request-id", "a")
        .send()
        .await
        .unwrap()
        .headers()["content-length"]
        .clone();
    let answer = client
        .head(&url)
        .header("x-request-id", "a")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            &answer.headers()["content-length"]
        ),
        (200, &length)
    );
    assert_eq!(answer.bytes().await.unwrap().len(), 0);
    let live = client
        .head(format!("http://{}/live", server.clients))
        .send()
        .await
        .unwrap();
    assert!(!live.headers().contains_key("content-length"));
    assert_eq!(live.bytes().await.unwrap().len(), 0);
    assert!(
        raw.ask("HEAD /live", &[])
            .await
            .field("content-length")
            .is_empty()
    );
    for _ in 0..2 {
        server.live.recv().await.unwrap().closed().await;
    }
}

#[tokio::test]
async fn tls_negotiates_the_clients_protocol() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = std::env::temp_dir();
    let path = |name: &str| folder.join(format!("sluicegate-{}-{name}", StreamId::random()));
    let tls = Tls {
        cert: path("cert.pem"),
        key: path("key.pem"),
    };
    std::fs::write(&tls.cert, cert.pem()).unwrap();
    std::fs::write(&tls.key, signing_key.serialize_pem()).unwrap();
    let server = TestServer::open(
        &Settings {
            tls: Some(tls.clone()),
            ..settings()
        },
        &Limit::default(),
    );
    let root = reqwest::Certificate::from_pem(cert.pem().as_bytes()).unwrap();
    let client = || {
        reqwest::Client::builder()
            .tls_certs_only([root.clone()])
            .resolve("localhost", server.clients)
            .no_proxy()
    };
    let url = format!("https://localhost:{}/", server.clients.port());
    for (client, version) in [(client(), "HTTP/2.0"), (client().http1_only(), "HTTP/1.1")] {
        let client = client.build().unwrap();
        let answer = client
            .get(&url)
            .header("origin", url.trim_end_matches('/'))
            .send()
            .await
            .unwrap();
        assert_eq!(
            answer.headers()["access-control-allow-origin"],
            url.trim_end_matches('/')
        );
        let seen: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(seen["version"], version);
    }
    // The admin listener does not use TLS.
    assert_eq!(ask(server.admin, "GET /healthz", &[]).await.body, "ok\n");
    std::fs::remove_file(&tls.cert).unwrap();
    std::fs::remove_file(&tls.key).unwrap();
}

fn padding(bytes: usize) -> String {
    format!("x-padding: {}", "a".repeat(bytes))
}

#[tokio::test]
async fn heads_over_32_kib_get_our_431_and_over_64_kib_the_librarys() {
    let server = TestServer::plain();
    assert_eq!(
        ask(server.clients, "GET /", &[&padding(31 << 10)])
            .await
            .status,
        200
    );
    let answer = ask(server.clients, "GET /", &[&padding(33 << 10)]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (431, "headers_too_large")
    );
    assert!(!answer.field("x-request-id").is_empty());
    let bare = ask(server.clients, "GET /", &[&padding(80 << 10)]).await;
    assert_eq!((bare.status.as_u16(), bare.body.as_str()), (431, ""));
    let many: Vec<_> = (0..300).map(|n| format!("x-{n}: 1")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(ask(server.clients, "GET /", &many).await.status, 431);

    let mut request = http2().get(format!("http://{}/", server.clients));
    for n in 0..300 {
        request = request.header(format!("x-{n}"), "1");
    }
    let answer = request.send().await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.text().await.unwrap().contains("headers_too_large")
        ),
        (431, true)
    );
}

#[tokio::test]
async fn the_admin_listener_reports_health() {
    let server = TestServer::plain();
    for (request, status) in [
        ("GET /healthz", 200),
        ("HEAD /readyz", 200),
        ("POST /healthz", 405),
        ("GET /", 404),
        ("GET /metrics", 200),
        ("HEAD /metrics", 200),
        ("POST /metrics", 405),
    ] {
        let answer = ask(server.admin, request, &["Content-Length: 0"]).await;
        assert_eq!(answer.status.as_u16(), status, "{request}");
        assert_eq!(answer.field("allow").is_empty(), status != 405);
        assert_eq!(status == 404, answer.body.contains("not_found"));
    }
}

#[tokio::test]
async fn metrics_come_in_the_requested_format_and_to_no_foreign_page() {
    let server = TestServer::plain();
    let prometheus = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (accept, content_type, body) in [
        (
            prometheus,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "OpenMetrics",
        ),
        (
            "Accept: */*",
            "text/plain; version=0.0.4; charset=utf-8",
            "Text",
        ),
    ] {
        let answer = ask(server.admin, "GET /metrics", &[accept]).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.field("content-type"),
                answer.body.as_str()
            ),
            (200, content_type, body)
        );
        assert!(
            answer.field("vary").to_lowercase().contains("accept"),
            "{answer:?}"
        );
        let head = ask(server.admin, "HEAD /metrics", &[accept]).await;
        assert_eq!(
            (
                head.status.as_u16(),
                head.field("content-type"),
                head.body.as_str()
            ),
            (200, content_type, "")
        );
    }
    assert_eq!(
        ask(server.admin, "GET /metrics", &["Host: rebound.example"])
            .await
            .status,
        403
    );
    assert_eq!(
        ask(server.clients, "GET /metrics", &[]).await.json()["uri"],
        "/metrics",
        "the client listener has no metrics"
    );
    assert!(
        server.refused.lock().unwrap().is_empty(),
        "requests to the admin listener are not counted"
    );
}

#[tokio::test]
async fn refusals_of_the_edge_are_counted() {
    let server = TestServer::open(&settings(), &per_minute(2));
    assert_eq!(
        ask(server.clients, "GET /", &["Host: rebound.example"])
            .await
            .status,
        403
    );
    assert_eq!(ask(server.clients, "GET /panic", &[]).await.status, 500);
    assert_eq!(
        ask(
            server.clients,
            "OPTIONS /",
            &["Origin: https://chat.example"]
        )
        .await
        .status,
        204
    );
    assert_eq!(ask(server.clients, "GET /", &[]).await.status, 200);
    assert_eq!(ask(server.clients, "GET /", &[]).await.status, 429);
    assert_eq!(
        *server.refused.lock().unwrap(),
        [Code::HostNotAllowed, Code::InternalError, Code::RateLimited]
    );
}

#[tokio::test]
async fn bytes_that_are_not_http_are_answered_and_closed() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client
        .send("\x16\x03\x01 this is a TLS hello, say\r\n\r\n")
        .await;
    let answer = client.rest().await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    assert_eq!(ask(server.clients, "GET /", &[]).await.status, 200);
}
