//! Draining and the end of the process.

use std::sync::Arc;
use std::time::Duration;

use sluicegate::gateway::lifecycle::{Lifecycle, Phase};
use sluicegate::model::limit::Limit;
use sluicegate::server::drain::{Drained, drain};
use sluicegate::server::{self, Shared};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::raw::{Raw, ask, head};
use crate::server::{Refused, Script, TestServer, settings};

#[tokio::test]
async fn while_draining_streams_continue_and_cancels_are_served() {
    let mut server = TestServer::plain();
    let mut reader = Raw::connect(server.clients).await;
    let mut idle = Raw::connect(server.clients).await;
    assert_eq!(idle.ask("GET /", &[]).await.status, 200);
    reader.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    reader.answer_head().await;
    assert_eq!(ask(server.admin, "GET /readyz", &[]).await.status, 200);

    let lifecycle = Arc::clone(&server.lifecycle);
    let draining = tokio::spawn(async move { drain(&lifecycle, Duration::from_secs(3600)).await });
    server.lifecycle.reached(Phase::Draining).await;
    assert_eq!(ask(server.admin, "GET /readyz", &[]).await.status, 503);
    assert_eq!(ask(server.admin, "GET /healthz", &[]).await.status, 200);
    assert_eq!(
        ask(
            server.clients,
            "POST /v1/streams/a/cancel",
            &["Content-Length: 0"]
        )
        .await
        .status,
        200
    );
    tokens.send("last\n".into()).await.unwrap();
    drop(tokens);
    assert_eq!(
        reader.rest().await.as_deref(),
        Some("5\r\nlast\n\r\n0\r\n\r\n")
    );
    assert_eq!(draining.await.unwrap(), Drained::Idle);
    server.serving.await.unwrap().unwrap();
    assert_eq!(
        idle.rest().await,
        Some(String::new()),
        "idle connections are closed"
    );
    assert!(
        TcpStream::connect(server.clients).await.is_err()
            && TcpStream::connect(server.admin).await.is_err()
    );
}

#[tokio::test]
async fn when_the_drain_time_is_up_the_server_ends_whatever_clients_do() {
    let mut server = TestServer::plain();
    let mut reader = Raw::connect(server.clients).await;
    reader.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    let mut half = Raw::connect(server.clients).await;
    half.send("GET / HT").await;
    let silent = Raw::connect(server.clients).await;
    assert_eq!(
        ask(server.clients, "GET /", &[]).await.status,
        200,
        "the three earlier connections are accepted"
    );
    tokio::time::pause();
    assert_eq!(
        drain(&server.lifecycle, Duration::from_secs(30)).await,
        Drained::CutShort(1)
    );
    let start = tokio::time::Instant::now();
    server.serving.await.unwrap().unwrap();
    assert!(
        start.elapsed() <= Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert!(tokens.is_closed(), "the stream's reader is gone");
    drop((reader, half, silent));
}

#[tokio::test]
async fn a_stream_that_ends_in_time_ends_properly_after_the_stop() {
    let mut server = TestServer::plain();
    let mut reader = Raw::connect(server.clients).await;
    reader.send(head("GET /live", &[])).await;
    let tokens = server.live.recv().await.unwrap();
    server.lifecycle.advance(Phase::Stopped);
    tokens.send("end\n".into()).await.unwrap();
    drop(tokens);
    assert_eq!(reader.answer_head().await.0, 200);
    assert_eq!(
        reader.rest().await.as_deref(),
        Some("4\r\nend\n\r\n0\r\n\r\n")
    );
    server.serving.await.unwrap().unwrap();
}

#[test]
fn several_workers_share_a_port_and_drain_together() {
    let settings = settings();
    let bound = server::bind(&settings, 2).unwrap();
    let address = bound.client_addresses()[0];
    let lifecycle = Lifecycle::new();
    let (tokens, _live) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared::new(
        &settings,
        &Limit::default(),
        Script(tokens, Refused::default()),
        Arc::clone(&lifecycle),
    ));
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let workers: Vec<_> = bound
        .split()
        .into_iter()
        .map(|listeners| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || runtime().block_on(server::serve(listeners, shared)))
        })
        .collect();
    runtime().block_on(async {
        for _ in 0..64 {
            assert_eq!(ask(address, "GET /", &[]).await.status, 200);
        }
        assert_eq!(
            drain(&lifecycle, Duration::from_secs(3600)).await,
            Drained::Idle
        );
    });
    for worker in workers {
        worker.join().unwrap().unwrap();
    }
}
