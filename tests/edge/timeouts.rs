//! Clients that send nothing, send slowly, or stay idle, in virtual time.

use std::time::Duration;

use tokio::time::Instant;

use crate::raw::{Raw, head};
use crate::server::TestServer;

/// Returns how long the server keeps a connection on which these bytes were sent, and the bytes it
/// sends meanwhile.
async fn seconds_until_closed(bytes: &str) -> (u64, Option<String>) {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client.send(bytes).await;
    tokio::time::pause();
    let start = Instant::now();
    let received = client.rest().await;
    (start.elapsed().as_secs(), received)
}

#[tokio::test]
async fn a_silent_client_is_dropped_after_ten_seconds() {
    assert_eq!(seconds_until_closed("").await, (10, Some(String::new())));
}

#[tokio::test]
async fn a_partial_http2_preface_does_not_extend_the_timeout() {
    assert_eq!(seconds_until_closed("PRI * HT").await.0, 10);
}

#[tokio::test]
async fn an_unfinished_head_is_dropped_after_fifteen_seconds() {
    assert_eq!(
        seconds_until_closed("GET / HTTP/1.1\r\nHost: loc").await,
        (15, Some(String::new()))
    );
}

#[tokio::test]
async fn a_dribble_of_header_bytes_does_not_extend_the_timeout() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client.send("GET / HTTP/1.1\r\n").await;
    tokio::time::pause();
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_secs(4));
    loop {
        tokio::select! {
            line = client.line() => break assert_eq!(line, ""),
            _ = tick.tick() => client.send("x-a: b\r\n").await,
        }
    }
    assert_eq!(start.elapsed().as_secs(), 15);
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_75_seconds_between_requests() {
    let server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    assert_eq!(client.ask("GET /", &[]).await.status, 200);
    tokio::time::pause();
    // The client's own timer fires first: the connection must still be open.
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(client.ask("GET /", &[]).await.status, 200);
    let start = Instant::now();
    assert_eq!(client.rest().await, Some(String::new()));
    assert!(
        (74..=76).contains(&start.elapsed().as_secs()),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_answer_may_take_any_time() {
    let mut server = TestServer::plain();
    let mut client = Raw::connect(server.clients).await;
    client.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    client.answer_head().await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    tokens.send("late\n".into()).await.unwrap();
    client.line().await;
    assert_eq!(client.line().await, "late");
}
