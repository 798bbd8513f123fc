//! Answers that break off, clients that disconnect, requests that are refused half-way.

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::raw::{Raw, ask, head};
use crate::server::{PANIC, TestServer};

#[tokio::test]
async fn a_panic_is_a_500_with_the_request_id_and_nothing_else() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    let answer = client
        .ask(
            "GET /panic",
            &["x-request-id: my-id.1", "Origin: https://chat.example"],
        )
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (500, "internal_error")
    );
    assert_eq!(
        (
            answer.field("x-request-id"),
            answer.field("access-control-allow-origin")
        ),
        ("my-id.1", "https://chat.example")
    );
    assert!(!answer.body.contains("secret"));
    assert_eq!(
        client.ask("GET /", &[]).await.status,
        200,
        "the connection stays open"
    );
}

#[tokio::test]
async fn a_panic_in_a_body_breaks_that_answer_off() {
    let mut server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    assert_eq!(client.answer_head().await.0, 200);
    tokens.send(PANIC.into()).await.unwrap();
    let rest = client.rest().await.unwrap_or_default();
    assert_eq!(rest, "", "it must not look like a proper end");
    assert_eq!(ask(server.clients, "GET /", &[]).await.status, 200);
    assert_eq!(
        server.lifecycle.live(),
        0,
        "the connection is no longer counted"
    );
}

/// Sends tokens until the server notices that no client reads them. Each send lets the connection
/// write once.
async fn send_until_closed(tokens: mpsc::Sender<Bytes>) {
    while tokens.send("token\n".into()).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_pipelined_more_and_closed_is_found_by_the_next_write() {
    let mut server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client
        .send(head("GET /live", &[]) + "GET /more HTTP/1.1\r\nHost: loc")
        .await;
    let tokens = server.live.recv().await.unwrap();
    tokens.send("first\n".into()).await.unwrap();
    client.answer_head().await;
    // Only the sending side is shut down: the kernel still accepts the server's writes, so no write
    // error reveals the client.
    client.0.get_mut().shutdown().await.unwrap();
    send_until_closed(tokens).await;
    server.lifecycle.idle().await;
}

#[tokio::test]
async fn a_disconnected_client_is_noticed_without_a_write() {
    let mut server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    client.answer_head().await;
    drop(client);
    tokens.closed().await;
}

#[tokio::test]
async fn a_refusal_half_way_through_a_body_reaches_the_client() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    let size = 8 << 20;
    client
        .send(head(
            "POST /too-large",
            &[&format!("Content-Length: {size}")],
        ))
        .await;
    // Send all of it before reading the answer, as simple clients do.
    let waste = vec![b'x'; 64 << 10];
    for _ in 0..size / waste.len() {
        client.send(&waste).await;
    }
    let answer = client.answer(false).await;
    assert_eq!(
        (answer.status.as_u16(), answer.field("connection")),
        (413, "close")
    );
    assert_eq!(client.rest().await, Some(String::new()));
}

#[tokio::test]
async fn a_body_of_any_size_is_read_in_pieces() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client
        .send(head("POST /swallow", &["Content-Length: 3000000"]))
        .await;
    client.send(vec![b'x'; 3_000_000]).await;
    assert_eq!(client.answer(false).await.body, "Ok(3000000)");
}
