//! Sentences of the contract that no other behaviour covers.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::upstream::Step;
use crate::rig::{
    Ask, Pace, Proxy, Say, Scene, Setup, Speech, Upstream, Virtual, WireId, name, pairs, say,
    within,
};

#[tokio::test]
async fn content_and_an_error_in_one_read_are_an_answer_that_failed() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let words = Say::tokens(2);
        let read = say::joined(
            &[
                vec![words.opening(wire)],
                words.content(wire),
                vec![say::error(wire, "it broke")],
            ]
            .concat(),
        );
        let upstream = Upstream::always(vec![
            Step::Head(say::head(wire)),
            Step::Write(read),
            Step::End,
        ])
        .await;
        let spare = Upstream::silent().await;
        let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
        let told = proxy
            .client
            .ask(&Ask::chat(speech, "m", true))
            .await
            .told()
            .await;
        assert!(told.is_failure(), "{told:?}");
        assert_eq!(told.text(), "tok0 tok1 ", "what had come is told");
        assert_eq!(
            (upstream.count(), spare.count()),
            (1, 0),
            "nobody is asked again"
        );
    }
}

#[tokio::test]
async fn a_whole_answer_of_the_same_wire_takes_as_long_as_the_total_clock() {
    let clock = Virtual::start();
    let upstream = Upstream::start(
        Say::tokens(3).script(WireId::OpenaiChat, Pace::Every(Duration::from_secs(8))),
    )
    .await;
    let clocks =
        "timeouts = { headers = \"2s\", first_token = \"3s\", idle = \"4s\", total = \"9s\" }";
    let proxy = Setup::new()
        .over(WireId::OpenaiChat, &upstream)
        .section("providers.up", clocks)
        .start()
        .await;
    let ask = Ask::chat(Speech::Chat, "m", false);
    let answered = async {
        let mut reply = proxy.client.ask(&ask).await;
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
async fn a_detached_generation_has_no_reader_to_lose() {
    let upstream = Upstream::start(Say::tokens(3).script(WireId::OpenaiChat, Pace::Gate)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let ask = Ask::chat(Speech::Events, "m", true)
        .named(&name(1))
        .header("prefer", "respond-async")
        .header("x-on-disconnect", "cancel");
    let mut reply = proxy.client.ask(&ask).await;
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
async fn a_head_request_is_told_what_a_get_would_be() {
    let upstream = Upstream::start(Say::tokens(3).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let mut reply = proxy
        .client
        .ask(&Ask::chat(Speech::Events, "m", true))
        .await;
    let (events, _) = reply.events().await;
    let (id, last) = (
        reply.stream_id(),
        events.last().unwrap().id.clone().unwrap(),
    );
    for (after, status) in [(None, 200), (Some(last), 204)] {
        let mut head =
            Ask::new("HEAD", format!("/v1/streams/{id}")).header("accept", "text/event-stream");
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
async fn an_answer_names_the_target_that_gave_it() {
    for (speech, wire) in pairs() {
        let upstream = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let reply = proxy.client.ask(&Ask::chat(speech, "m", false)).await;
        assert_eq!(
            reply.header("x-sluicegate-route"),
            Some("up/m-up"),
            "{speech:?} over {wire:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_drips_is_too_slow_in_the_end() {
    let clock = Virtual::start();
    let upstream = Upstream::silent().await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let ask = Ask::chat(Speech::Chat, "m", true).json(&"x".repeat(100).into());
    let spelled = ask.spell(proxy.running.addr());
    let mut socket = TcpStream::connect(proxy.running.addr()).await.unwrap();
    socket
        .write_all(&spelled[..spelled.len() - 90])
        .await
        .unwrap();
    for _ in 0..16 {
        socket.write_all(b"x").await.unwrap();
        clock.pass(Duration::from_secs(20)).await;
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
