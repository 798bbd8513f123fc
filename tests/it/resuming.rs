//! Resuming and reading: a stream is cut anywhere, read by many, joined by a second request, and
//! visible to its owner only.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::sse::Event;
use crate::rig::{
    Answer, Case, Client, Dialect, Ending, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, dialects, name, nth_dialect, pairs, wires, within,
};

/// An answer with every kind of journal content, short enough to be cut at every byte.
fn answer() -> Answer {
    Answer::tokens(3).reasoning("hm \u{2028} é", "c2ln").tool(
        "call_1",
        "look",
        &["{\"at\":", "\"😀\"}"],
    )
}

/// Returns the whole replay of a finished stream, and the number of raw bytes of its body.
async fn replay(client: &Client, dialect: Dialect, id: &str) -> (Vec<Event>, usize) {
    let mut reply = client.follow(dialect, id).await;
    assert_eq!(reply.status, 200);
    let (events, ending) = reply.events().await;
    assert_eq!(ending, Ending::Proper);
    (events, reply.raw_bytes())
}

#[tokio::test]
async fn b09_a_stream_cut_at_any_byte_is_resumed() {
    for (n, (dialect, wire)) in pairs().enumerate() {
        let upstream = Upstream::start(answer().script(wire, Pace::Flat)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let mut reply = proxy
            .client
            .ask(&Request::chat(dialect, "m", true).with_ids())
            .await;
        let id = reply.stream_id();
        let (first, _) = reply.events().await;
        let (whole, bytes) = replay(&proxy.client, dialect, &id).await;
        assert!(
            whole.iter().all(|event| event.id.is_some()),
            "every event of a replay has an id"
        );
        assert_eq!(
            first, whole,
            "{dialect:?} over {wire:?}: live and replayed events are equal"
        );
        let stride = if wire == WireId::OpenaiChat { 1 } else { 5 };
        for at in (n..=bytes).step_by(stride) {
            let _case = Case::new(format!(
                "{dialect:?} over {wire:?}, cut at byte {at} of {bytes}"
            ));
            let mut seen = proxy.client.follow(dialect, &id).await.cut_at(at).await;
            seen.extend(rest(&proxy.client, dialect, &id, seen.last()).await);
            assert_eq!(seen, whole);
        }
        assert_eq!(upstream.count(), 1);
    }
}

/// Returns the events after `last`.
async fn rest(client: &Client, dialect: Dialect, id: &str, last: Option<&Event>) -> Vec<Event> {
    let mut reply = client
        .resume(dialect, id, last.and_then(|it| it.id.as_deref()))
        .await;
    let (events, ending) = reply.events().await;
    assert_eq!(ending, Ending::Proper);
    assert_eq!(
        reply.status,
        if events.is_empty() { 204 } else { 200 },
        "a GET at the very end has no content"
    );
    events
}

#[tokio::test]
async fn b09_a_stream_cut_between_replay_and_live_is_resumed() {
    const TOKENS: usize = 6;
    for (dialect, wire) in pairs() {
        for cut in 0..=TOKENS {
            for early in [false, true] {
                let _case = Case::new(format!(
                    "{dialect:?} over {wire:?}, cut after {cut} tokens, early: {early}"
                ));
                let upstream =
                    Upstream::start(Answer::tokens(TOKENS).script(wire, Pace::Gate)).await;
                let proxy = Proxy::over(wire, &upstream).await;
                upstream.open(cut);
                let connection = proxy
                    .client
                    .send(
                        &Request::chat(dialect, "m", true)
                            .with_ids()
                            .named(&name(cut)),
                    )
                    .await;
                upstream.requests(1).await;
                let mut seen = match (cut, dialect) {
                    (0, dialect) if !dialect.answers_at_once() => leave_before_head(connection),
                    _ => read(connection.head().await, cut).await,
                };
                if early {
                    upstream.open(TOKENS + 1 - cut);
                }
                let mut reply = proxy
                    .client
                    .resume(
                        dialect,
                        &name(cut),
                        seen.last().and_then(|it| it.id.as_deref()),
                    )
                    .await;
                if !early {
                    upstream.open(TOKENS + 1 - cut);
                }
                let (tail, ending) = reply.events().await;
                assert_eq!(ending, Ending::Proper);
                seen.extend(tail);
                let received = Received::from_events(dialect, &seen);
                assert!(received.is_success(), "{received:?}");
                assert_eq!(received.text(), Answer::tokens(TOKENS).text());
                assert_eq!(upstream.count(), 1);
            }
        }
    }
}

fn leave_before_head(connection: crate::rig::client::Connection) -> Vec<Event> {
    drop(connection);
    Vec::new()
}

/// Reads `tokens` tokens and disconnects.
async fn read(mut reply: Reply, tokens: usize) -> Vec<Event> {
    reply
        .until(|received| received.text().matches("tok").count() >= tokens)
        .await
}

#[tokio::test]
async fn b10_many_readers_each_get_every_event_once() {
    const TOKENS: usize = 20;
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let upstream = Upstream::start(Answer::tokens(TOKENS).script(wire, Pace::Gate)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let client = &proxy.client;
        let mut readers = vec![(
            Dialect::Events,
            client.ask(&Request::chat(Dialect::Events, "m", true)).await,
        )];
        let id = readers[0].1.stream_id();
        for n in 0..TOKENS {
            upstream.open(1);
            upstream.wrote(0, n + 1).await;
            if n % 2 == 0 {
                let dialect = nth_dialect(n / 2);
                readers.push((dialect, client.follow(dialect, &id).await));
            }
        }
        assert_eq!(
            client.status(&id).await["readers"],
            readers.len(),
            "every reader is counted"
        );
        upstream.open(1);
        for (dialect, mut reply) in readers {
            let received = reply.received().await;
            assert!(received.is_success(), "{dialect:?}: {received:?}");
            assert_eq!(
                received.text(),
                Answer::tokens(TOKENS).text(),
                "{dialect:?}"
            );
        }
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn b10_an_idle_reader_does_not_slow_others() {
    const TOKENS: usize = 20_000;
    let upstream =
        Upstream::start(Answer::tokens(TOKENS).script(WireId::OpenaiChat, Pace::Flat)).await;
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let mut idle = proxy
        .client
        .ask(&Request::chat(Dialect::Events, "m", true))
        .await;
    let id = idle.stream_id();
    for dialect in dialects() {
        let received = proxy.client.follow(dialect, &id).await.received().await;
        assert!(received.is_success());
        assert_eq!(received.text(), Answer::tokens(TOKENS).text());
    }
    assert_eq!(
        proxy.client.status(&id).await["status"],
        "completed",
        "the generation did not wait"
    );
    let received = idle.received().await;
    assert!(
        received.is_success(),
        "the idle reader can still read everything"
    );
    assert_eq!(received.text(), Answer::tokens(TOKENS).text());
}

#[tokio::test]
async fn b11_no_reader_hangs_whenever_it_joins() {
    for wire in wires() {
        for turns in 0..40 {
            let _case = Case::new(format!("{wire:?}, a reader after {turns} turns"));
            let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let mut first = proxy
                .client
                .ask(&Request::chat(Dialect::Events, "m", true))
                .await;
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            let mut second = proxy
                .client
                .follow(nth_dialect(turns), &first.stream_id())
                .await;
            let (first, second) = tokio::join!(first.received(), second.received());
            assert!(
                first.is_success() && second.is_success(),
                "{first:?} {second:?}"
            );
            assert_eq!(first.text(), second.text());
        }
    }
}

#[tokio::test]
async fn b12_ids_are_never_reused_and_do_not_survive_a_restart() {
    let upstream = Upstream::start(Answer::tokens(1).script(WireId::OpenaiChat, Pace::Flat)).await;
    let mut ids = HashSet::new();
    let mut last = None;
    for _ in 0..2 {
        let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
        for _ in 0..50 {
            let mut reply = proxy
                .client
                .ask(&Request::chat(Dialect::Events, "m", true))
                .await;
            assert!(ids.insert(reply.stream_id()), "an id was used twice");
            let (events, _) = reply.events().await;
            last = events.last().and_then(|it| it.id.clone());
        }
    }
    let proxy = Proxy::over(WireId::OpenaiChat, &upstream).await;
    let calls = upstream.count();
    for id in &ids {
        for reply in [
            proxy.client.get(&format!("/v1/streams/{id}")).await,
            proxy.client.cancel(id).await,
        ] {
            refused(reply, 404, "stream_not_found").await;
        }
    }
    let again =
        Request::chat(Dialect::Events, "m", true).header("last-event-id", last.as_deref().unwrap());
    refused(proxy.client.ask(&again).await, 404, "stream_not_found").await;
    assert_eq!(
        upstream.count(),
        calls,
        "an id from before the restart never starts a generation"
    );
}

async fn refused(mut reply: Reply, status: u16, code: &str) -> Value {
    let body = reply.json().await;
    assert_eq!(
        (reply.status, body["error"]["code"].as_str()),
        (status, Some(code)),
        "{body}"
    );
    body
}

#[tokio::test]
async fn b13_only_the_owner_can_read_watch_or_stop() {
    let keys = Setup::new()
        .section("auth", "mode = \"required\"")
        .section(
            "keys.ann",
            "secret = \"ann-0123456789abcdef\"\nmodels = [\"*\"]",
        )
        .section(
            "keys.bob",
            "secret = \"bob-0123456789abcdef\"\nmodels = [\"*\"]",
        );
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(3).script(wire, Pace::Gate)).await;
        let proxy = keys.clone().over(wire, &upstream).start().await;
        let (ann, bob) = (
            proxy.client.with_key("ann-0123456789abcdef"),
            proxy.client.with_key("bob-0123456789abcdef"),
        );
        upstream.open(2);
        let mut reply = ann
            .ask(&Request::chat(dialect, "m", true).with_ids().named(&name(3)))
            .await;
        let id = reply.stream_id();
        let event = reply.event().await.unwrap();
        let unknown = "abcdefghijklmnopqrstuvwxyz";
        let known = bodies(&bob, &id, &event.id.unwrap()).await;
        let guessed = bodies(&bob, unknown, &format!("{unknown}.1")).await;
        assert_eq!(
            known, guessed,
            "another caller's stream looks like an unknown one"
        );
        assert_eq!(
            bodies(&bob, &name(3), &format!("{unknown}.1")).await[..5],
            guessed[..5]
        );
        for nobody in [&proxy.client, &proxy.client.with_key("wrong")] {
            refused(
                nobody.get(&format!("/v1/streams/{id}")).await,
                401,
                "unauthenticated",
            )
            .await;
            refused(nobody.cancel(&id).await, 401, "unauthenticated").await;
        }
        assert_eq!(
            bob.get("/v1/streams").await.json().await["data"],
            json!([]),
            "the list does not show it either"
        );
        assert_eq!(
            ann.status(&name(3)).await["status"],
            "running",
            "the stream was not stopped"
        );
        upstream.open(2);
        reply.events().await;
        assert_eq!(ann.status(&id).await["status"], "completed");
    }
}

/// Sends every kind of request with an id that must not work. Returns the error bodies with the id
/// and event removed.
async fn bodies(client: &Client, id: &str, event: &str) -> Vec<String> {
    let post = Request::chat(Dialect::Events, "m", true).header("last-event-id", event);
    let replies = [
        client.get(&format!("/v1/streams/{id}")).await,
        client.follow(Dialect::Events, id).await,
        client.resume(Dialect::Chat, id, Some(event)).await,
        client.cancel(id).await,
        client.forget(id).await,
        client.ask(&post).await,
    ];
    let mut all = Vec::new();
    for reply in replies {
        let body = refused(reply, 404, "stream_not_found").await.to_string();
        all.push(body.replace(id, "…").replace(event, "…"));
    }
    all
}

#[tokio::test]
async fn b15_a_repeated_post_joins_the_running_stream() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for claim in ["idempotency-key", "x-stream-id"] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, by {claim}"));
            let upstream = Upstream::start(Answer::tokens(4).script(wire, Pace::Gate)).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let client = &proxy.client;
            let request = Request::chat(dialect, "m", true)
                .header(claim, &name(15))
                .with_ids();
            let lost = client.send(&request).await;
            upstream.requests(1).await;
            lost.abort();
            upstream.open(2);
            let mut second = client.ask(&request).await;
            let seen = second
                .until(|received| received.text().contains("tok1"))
                .await;
            drop(second);
            let last = seen.last().and_then(|it| it.id.clone()).unwrap();
            let mut third = client
                .ask(&request.clone().header("last-event-id", &last))
                .await;
            assert_eq!(third.status, 200);
            upstream.open(3);
            let (tail, _) = third.events().await;
            let received = Received::from_events(dialect, &[seen, tail].concat());
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), Answer::tokens(4).text());
            let mut other = client
                .ask(&request.clone().set("temperature", json!(0)))
                .await;
            let body = other.json().await;
            assert_eq!(other.status, 409, "{body}");
            assert_eq!(other.header("x-should-retry"), Some("false"));
            clock.advance(Duration::from_secs(20)).await;
            assert_eq!(upstream.count(), 1, "the upstream is called once");
        }
    }
}

#[tokio::test]
async fn b15_a_post_with_a_last_event_id_resumes() {
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(4).script(wire, Pace::Gate)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let request = Request::chat(dialect, "m", true).with_ids();
        upstream.open(2);
        let mut reply = proxy.client.ask(&request).await;
        let seen = reply
            .until(|received| received.text().contains("tok1"))
            .await;
        drop(reply);
        let last = |events: &[Event]| events.last().and_then(|it| it.id.clone()).unwrap();
        let again = |events: &[Event]| request.clone().header("last-event-id", &last(events));
        let mut resumed = proxy.client.ask(&again(&seen)).await;
        upstream.open(3);
        let (tail, _) = resumed.events().await;
        let all = [seen, tail].concat();
        assert_eq!(
            Received::from_events(dialect, &all).text(),
            Answer::tokens(4).text()
        );
        let mut over = proxy.client.ask(&again(&all)).await;
        assert_eq!(
            (over.status, over.whole().await.len()),
            (200, 0),
            "at the very end: an empty event stream"
        );
        let other = again(&all).set("temperature", json!(0));
        refused(proxy.client.ask(&other).await, 409, "idempotency_conflict").await;
        for bad in [
            "x",
            "..",
            "a-b.c.d",
            &format!("{}.99999", last(&all).split('.').next().unwrap()),
        ] {
            let request = request.clone().header("last-event-id", bad);
            refused(
                within("a refusal", proxy.client.ask(&request)).await,
                400,
                "bad_event_id",
            )
            .await;
        }
        assert_eq!(upstream.count(), 1);
    }
}
