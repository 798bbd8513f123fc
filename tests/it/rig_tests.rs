//! Tests of the test rig itself: it must report what really happened, because a test that cannot
//! fail proves nothing.

use std::time::Duration;

use tokio::net::TcpStream;

use crate::rig::relay::Relay;
use crate::rig::sse::Parser;
use crate::rig::upstream::{Close, Head, Step, pieces, refusing_address, unresponsive_address};
use crate::rig::{
    Answer, Client, Dialect, Ending, Pace, Received, Request, Upstream, VirtualClock, WireId,
    settle, within,
};

/// A client that talks to the upstream directly.
fn direct_client(upstream: &Upstream) -> Client {
    Client::new(upstream.addr)
}

fn chat() -> Request {
    Request::chat(Dialect::Chat, "m", true)
}

#[tokio::test]
async fn an_upstream_reports_how_and_when_a_client_disconnects() {
    let _clock = VirtualClock::start();
    let upstream = Upstream::start(Answer::tokens(9).script(WireId::OpenaiChat, Pace::Gate)).await;
    for n in 0..2 {
        let mut reply = direct_client(&upstream).ask(&chat()).await;
        upstream.open(2);
        reply
            .until(|received| received.text().contains("tok1"))
            .await;
        assert_eq!(upstream.call(n).closed, None);
        assert_eq!(upstream.call(n).events, 3);
        if n == 0 {
            drop(reply);
        } else {
            reply.abort();
        }
        assert_eq!(upstream.closed(n).await, [Close::Fin, Close::Reset][n]);
    }
}

#[tokio::test]
async fn a_whole_stream_is_received_with_a_proper_end() {
    let answer = Answer::tokens(3)
        .reasoning("hm", "sig")
        .tool("a", "f", &["{", "}"])
        .tool("b", "g", &["{}"]);
    let upstream = Upstream::start(answer.script(WireId::OpenaiChat, Pace::Flat)).await;
    let received = direct_client(&upstream).ask(&chat()).await.received().await;
    assert!(received.is_success(), "{received:?}");
    let first = received.first();
    assert_eq!(
        (first.text.as_str(), first.reasoning.as_str()),
        ("tok0 tok1 tok2 ", "hm")
    );
    assert_eq!(first.tools[&0], ("a".into(), "f".into(), "{}".into()));
    assert_eq!(first.tools[&1], ("b".into(), "g".into(), "{}".into()));
    assert_eq!(first.finish.as_deref(), Some("tool_calls"));
    upstream.ended(0).await;
    let mut whole = direct_client(&upstream)
        .ask(&Request::chat(Dialect::Chat, "m", false))
        .await;
    let whole = Received::from_body(Dialect::Chat, &whole.json().await);
    assert_eq!((whole.first(), whole.usage), (first, received.usage));
}

#[tokio::test]
async fn endings_are_distinguished() {
    for (step, ending) in [
        (Step::End, Ending::Proper),
        (Step::Truncate, Ending::Cut),
        (Step::Reset, Ending::Reset),
    ] {
        let steps = [
            Answer::tokens(3).steps_until(WireId::OpenaiChat, Pace::Flat, 3),
            vec![Step::Yield, step],
        ]
        .concat();
        let upstream = Upstream::always(steps).await;
        let mut reply = direct_client(&upstream).ask(&chat()).await;
        reply
            .until(|received| received.text().contains("tok2"))
            .await;
        assert_eq!(reply.events().await.1, ending);
    }
}

#[tokio::test]
async fn pieces_are_read_one_by_one() {
    let body = Answer::tokens(1).stream(WireId::OpenaiChat);
    let mut steps = vec![Step::Head(Head::sse())];
    steps.extend(pieces(&body, [1, 2, 10, 10]));
    steps.push(Step::End);
    let upstream = Upstream::always(steps).await;
    let mut reply = direct_client(&upstream).ask(&chat()).await;
    let mut lengths = Vec::new();
    while let Some(bytes) = reply.bytes().await {
        lengths.push(bytes.len());
    }
    assert_eq!(lengths, [1, 1, 8, body.len() - 10]);
}

#[tokio::test]
async fn a_cut_returns_the_complete_events() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Flat)).await;
    let mut reply = direct_client(&upstream).ask(&chat()).await;
    let (all, _) = reply.events().await;
    let mut counts = Vec::new();
    for at in (0..=reply.raw_bytes()).step_by(7) {
        let seen = direct_client(&upstream).ask(&chat()).await.cut_at(at).await;
        assert_eq!(seen, all[..seen.len()]);
        counts.push(seen.len());
    }
    assert!(
        counts.is_sorted() && counts[0] == 0 && *counts.last().unwrap() >= all.len() - 1,
        "{counts:?}"
    );
}

#[tokio::test]
async fn the_virtual_clock_moves_only_when_advanced() {
    let clock = VirtualClock::start();
    let upstream = Upstream::start(
        Answer::tokens(3).script(WireId::OpenaiChat, Pace::Every(Duration::from_secs(30))),
    )
    .await;
    let begun = tokio::time::Instant::now();
    let mut reply = direct_client(&upstream).ask(&chat()).await;
    settle().await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    clock.advance(Duration::from_secs(31)).await;
    assert_eq!(upstream.call(0).events, 2, "the opening and one token");
    let received = clock
        .takes_at_most(Duration::from_secs(100), "the end", reply.received())
        .await;
    assert!(received.is_success());
    assert!(begun.elapsed() >= Duration::from_secs(120));
}

#[tokio::test]
async fn unreachable_addresses_do_not_answer() {
    let clock = VirtualClock::start();
    assert!(
        within("a refusal", TcpStream::connect(refusing_address().await))
            .await
            .is_err()
    );
    let (blackhole, _held) = unresponsive_address();
    tokio::select! {
        connected = TcpStream::connect(blackhole) => panic!("{connected:?}"),
        () = clock.advance(Duration::from_secs(60)) => {}
    }
}

#[tokio::test]
async fn the_relay_cuts_silent_connections() {
    let clock = VirtualClock::start();
    for (seconds, ending) in [(4, Ending::Proper), (6, Ending::Cut)] {
        let upstream = Upstream::start(Answer::tokens(3).script(
            WireId::OpenaiChat,
            Pace::Every(Duration::from_secs(seconds)),
        ))
        .await;
        let relay = Relay::start(upstream.addr, Duration::from_secs(5)).await;
        let client = direct_client(&upstream).through(relay.addr);
        let read = async { client.ask(&chat()).await.events().await.1 };
        assert_eq!(
            clock
                .takes_at_most(Duration::from_secs(60), "the end", read)
                .await,
            ending
        );
    }
}

#[test]
fn input_that_crashes_clients_fails_the_parser() {
    for bad in [
        "\n",
        "id: 1\n\n",
        "retry: 5\n\n",
        "event: x\n\n",
        "data: 1\r\n\r\n",
        "data: 1\n: ping\n\n",
        ": ping\n\n",
        "other: 1\ndata: 2\n\n",
    ] {
        let fed = std::panic::catch_unwind(|| Parser::default().feed(bad.as_bytes()));
        assert!(fed.is_err(), "{bad:?} passed");
    }
    let mut good = Parser::default();
    let events = good.feed(b": ping\nid: 7\nevent: x\ndata: a\ndata: b\n\n: ping\n");
    assert_eq!(
        (events.len(), events[0].data.as_str(), good.comments),
        (1, "a\nb", 2)
    );
    assert!(good.is_empty());
}
