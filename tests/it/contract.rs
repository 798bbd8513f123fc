//! Statements of the contract that no other behaviour covers.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::upstream::Step;
use crate::rig::{
    Answer, Case, Dialect, Pace, Proxy, Request, Setup, Upstream, VirtualClock, WireId, encode,
    name, pairs, within,
};

#[tokio::test]
async fn content_and_an_error_in_one_read_fail_after_the_content_without_a_retry() {
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let answer = Answer::tokens(2);
        let read = encode::joined(
            &[
                vec![answer.opening(wire)],
                answer.content(wire),
                vec![encode::error(wire, "it broke")],
            ]
            .concat(),
        );
        let upstream = Upstream::always(vec![
            Step::Head(encode::head(wire)),
            Step::Write(read),
            Step::End,
        ])
        .await;
        let spare = Upstream::silent().await;
        let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
        let received = proxy
            .client
            .ask(&Request::chat(dialect, "m", true))
            .await
            .received()
            .await;
        assert!(received.is_failure(), "{received:?}");
        assert_eq!(
            received.text(),
            "tok0 tok1 ",
            "the content before the error is delivered"
        );
        assert_eq!(
            (upstream.count(), spare.count()),
            (1, 0),
            "no other target is called"
        );
    }
}

#[tokio::test]
async fn a_whole_answer_of_the_same_wire_is_bounded_by_the_total_timeout_only() {
    let clock = VirtualClock::start();
    let upstream = Upstream::start(
        Answer::tokens(3).script(WireId::OpenaiChat, Pace::Every(Duration::from_secs(8))),
    )
    .await;
    let clocks =
        "timeouts = { headers = \"2s\", first_token = \"3s\", idle = \"4s\", total = \"9s\" }";
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("providers.up", clocks)
        .start()
        .await;
    let request = Request::chat(Dialect::Chat, "m", false);
    let answered = async {
        let mut reply = proxy.client.ask(&request).await;
        (reply.status, reply.json().await)
    };
    let (status, body): (u16, Value) = clock
        .takes_at_most(Duration::from_secs(9), "the answer", answered)
        .await;
    assert_eq!(
        (status, body["choices"][0]["message"]["content"].as_str()),
        (200, Some("tok0 tok1 tok2 ")),
        "{body}"
    );
}

#[tokio::test]
async fn a_detached_generation_ignores_on_disconnect() {
    let upstream = Upstream::start(Answer::tokens(3).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let request = Request::chat(Dialect::Events, "m", true)
        .named(&name(1))
        .header("prefer", "respond-async")
        .header("x-on-disconnect", "cancel");
    let mut reply = proxy.client.ask(&request).await;
    let body = reply.json().await;
    assert_eq!(
        (reply.status, &body["status"], &body["readers"]),
        (202, &"running".into(), &0.into()),
        "{body}"
    );
    upstream.open(99);
    proxy.client.until_status(&name(1), "completed").await;
}

#[tokio::test]
async fn a_head_request_gets_the_status_of_a_get() {
    let upstream = Upstream::start(Answer::tokens(3).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let mut reply = proxy
        .client
        .ask(&Request::chat(Dialect::Events, "m", true))
        .await;
    let (events, _) = reply.events().await;
    let (id, last) = (
        reply.stream_id(),
        events.last().unwrap().id.clone().unwrap(),
    );
    for (after, status) in [(None, 200), (Some(last), 204)] {
        let mut head =
            Request::new("HEAD", format!("/v1/streams/{id}")).header("accept", "text/event-stream");
        if let Some(after) = &after {
            head = head.header("last-event-id", after);
        }
        assert_eq!(
            proxy.client.ask(&head).await.status,
            status,
            "after {after:?}"
        );
    }
    proxy.at_rest().await;
}

#[tokio::test]
async fn an_answer_names_its_target() {
    for (dialect, wire) in pairs() {
        let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let reply = proxy.client.ask(&Request::chat(dialect, "m", false)).await;
        assert_eq!(
            reply.header("x-sluicegate-route"),
            Some("up/m-up"),
            "{dialect:?} over {wire:?}"
        );
    }
}

#[tokio::test]
async fn a_slowly_dripping_body_times_out() {
    let clock = VirtualClock::start();
    let upstream = Upstream::silent().await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let request = Request::chat(Dialect::Chat, "m", true).json(&"x".repeat(100).into());
    let encoded = request.encode(proxy.running.addr());
    let mut socket = TcpStream::connect(proxy.running.addr()).await.unwrap();
    socket
        .write_all(&encoded[..encoded.len() - 90])
        .await
        .unwrap();
    for _ in 0..16 {
        socket.write_all(b"x").await.unwrap();
        clock.advance(Duration::from_secs(20)).await;
    }
    let mut answer = Vec::new();
    within("an answer", socket.read_to_end(&mut answer))
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("request_timeout"),
        "{answer}"
    );
}
