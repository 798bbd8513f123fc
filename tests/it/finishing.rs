//! `on_cancel = "finish"`: the proxy reads a cancelled upstream to its end for the true usage, and
//! no client waits for that.

use std::time::Duration;

use serde_json::Value;

use crate::rig::log::Log;
use crate::rig::received::Usage;
use crate::rig::upstream::{Step, json};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, chat_pairs, encode, name, settle, within,
};

/// Maximum time for which a cancelled upstream is read.
const MAX_TIME: Duration = Duration::from_secs(120);
/// Maximum number of cancelled upstreams read at the same time.
const MAX_COUNT: usize = 256;
/// Long enough for any retry, fallback or forgotten timer to act.
const LATER: Duration = Duration::from_secs(60);

fn has_five_tokens(received: &Received) -> bool {
    received.text().matches("tok").count() >= 5
}

fn finishing(wire: WireId, upstream: &Upstream) -> Setup {
    Setup::new()
        .over(wire, upstream)
        .section("providers.up", "on_cancel = \"finish\"")
}

/// The same with a spare target and retries.
async fn retrying_proxy(wire: WireId, upstream: &Upstream, spare: &Upstream) -> Proxy {
    let setup = Setup::new()
        .over_two(wire, upstream, spare)
        .section("providers.up", "on_cancel = \"finish\"");
    setup.section("models.m", "retries = 3").start().await
}

/// Waits until the status JSON reports this upstream state.
async fn until_upstream(client: &Client, id: &str, state: &str) -> Value {
    let waiting = async {
        loop {
            let status = client.status(id).await;
            if status["upstream"] == state {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    within(&format!("the upstream to be {state}"), waiting).await
}

fn usage(status: &Value) -> Usage {
    assert_eq!(
        status["estimated"], status["usage"]["estimated"],
        "{status}"
    );
    Received::from_body(Dialect::Events, status).usage.unwrap()
}

/// Returns true if the usage is the provider's own.
fn is_provider_usage(status: &Value) -> bool {
    let used = usage(status);
    (used.input, used.output, used.estimated) == (Some(11), Some(7), false)
}

/// The way in which a stream is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Id,
    Disconnect,
    Forgotten,
}

#[tokio::test]
async fn b07_a_cancelled_upstream_is_read_for_its_usage_without_delaying_anyone() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        for by in [By::Id, By::Disconnect, By::Forgotten] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, by {by:?}"));
            cancelled_mid_stream(&clock, dialect, wire, by).await;
        }
    }
}

async fn cancelled_mid_stream(clock: &VirtualClock, dialect: Dialect, wire: WireId, by: By) {
    let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
    let spare = Upstream::silent().await;
    let proxy = retrying_proxy(wire, &upstream, &spare).await;
    upstream.open(5);
    let mut reply = proxy
        .client
        .ask(&Request::chat(dialect, "m", true).cancel_on_disconnect())
        .await;
    let id = reply.stream_id();
    reply.until(has_five_tokens).await;
    cancelled(&proxy.client, reply, by).await;
    proxy.at_rest().await;
    assert_eq!(
        upstream.call(0).closed,
        None,
        "the upstream does not notice the cancel"
    );
    upstream.open(99);
    upstream.ended(0).await;
    clock.advance(LATER).await;
    assert_eq!(
        (upstream.count(), spare.count(), upstream.call(0).closed),
        (1, 0, None),
        "the upstream is read to its end, and no other is called"
    );
    if by == By::Forgotten {
        assert_eq!(
            proxy.client.get(&format!("/v1/streams/{id}")).await.status,
            404
        );
        return;
    }
    let status = proxy.client.status(&id).await;
    assert_eq!(
        (&status["status"], &status["upstream"]),
        (&"cancelled".into(), &"closed".into()),
        "{status}"
    );
    assert!(is_provider_usage(&status), "{status}");
    assert!(
        !status["text"].as_str().unwrap().contains("tok5"),
        "text read after the cancel is not delivered: {status}"
    );
    let received = proxy
        .client
        .follow(Dialect::Events, &id)
        .await
        .received()
        .await;
    assert!(
        received.is_cancelled() && received.usage.is_some_and(|used| used.estimated),
        "the journal does not change after the cancel: {received:?}"
    );
}

/// Cancels the stream and checks that neither the canceller nor the reader waits for the upstream.
async fn cancelled(client: &Client, mut reply: Reply, by: By) {
    let id = reply.stream_id();
    match by {
        By::Id => {
            let first = client.cancel(&id).await.json().await;
            assert_eq!(
                (&first["status"], &first["upstream"]),
                (&"cancelled".into(), &"finishing".into()),
                "{first}"
            );
            assert!(
                usage(&first).estimated && usage(&first).output > Some(0),
                "{first}"
            );
            assert!(
                reply.received().await.is_cancelled(),
                "the reader gets its end at once"
            );
            let again = client.cancel(&id).await.json().await;
            assert_eq!(
                (&first["status"], &first["usage"]),
                (&again["status"], &again["usage"]),
                "cancelling again changes nothing"
            );
        }
        By::Disconnect => {
            drop(reply);
            assert_eq!(
                client.until_status(&id, "cancelled").await["upstream"],
                "finishing"
            );
        }
        By::Forgotten => {
            assert_eq!(client.forget(&id).await.status, 204);
            assert!(reply.received().await.is_cancelled());
        }
    }
}

/// The state of the upstream before its first content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Head,
    Content,
    NextAttempt,
}

#[tokio::test]
async fn b07_a_request_cancelled_before_any_content_is_read_to_its_end() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        for stream in [true, false] {
            for wait in [Wait::Head, Wait::Content, Wait::NextAttempt] {
                let _case = Case::new(format!(
                    "{dialect:?} over {wire:?}, stream: {stream}, waiting for {wait:?}"
                ));
                cancelled_waiting(&clock, dialect, wire, stream, wait).await;
            }
        }
    }
}

async fn cancelled_waiting(
    clock: &VirtualClock,
    dialect: Dialect,
    wire: WireId,
    stream: bool,
    wait: Wait,
) {
    let upstream = Upstream::start(move |call, n| {
        let mut steps = Answer::tokens(9).script(wire, Pace::Flat)(call, n);
        match wait {
            Wait::Head => steps.insert(0, Step::Gate),
            Wait::Content => steps.insert(1, Step::Gate),
            Wait::NextAttempt => {
                return json(500, encode::refusal(wire, 500, "not now").to_string());
            }
        }
        steps
    })
    .await;
    let spare = Upstream::silent().await;
    let proxy = retrying_proxy(wire, &upstream, &spare).await;
    let connection = proxy
        .client
        .send(&Request::chat(dialect, "m", stream).named(&name(1)))
        .await;
    upstream.requests(1).await;
    if wait == Wait::NextAttempt {
        upstream.ended(0).await;
    }
    settle().await;
    let status = proxy.client.cancel(&name(1)).await.json().await;
    let mut reply = connection.head().await;
    if stream {
        assert!(reply.received().await.is_cancelled());
    }
    assert!(
        matches!((stream, reply.status), (_, 200) | (false, 409)),
        "{}",
        reply.status
    );
    proxy.at_rest().await;
    if wait == Wait::NextAttempt {
        assert_eq!(status["upstream"], "closed", "there is nothing to read");
    } else {
        finished(&proxy.client, &upstream, &status).await;
    }
    clock.advance(LATER).await;
    assert_eq!(
        (upstream.count(), spare.count()),
        (1, 0),
        "no other attempt is made"
    );
}

/// Lets the upstream continue and checks that it is read to its end.
async fn finished(client: &Client, upstream: &Upstream, before: &Value) {
    assert_eq!(
        (&before["upstream"], upstream.call(0).closed),
        (&"finishing".into(), None),
        "{before}"
    );
    assert!(usage(before).estimated, "{before}");
    upstream.open(1);
    upstream.ended(0).await;
    let status = until_upstream(client, &name(1), "closed").await;
    assert!(is_provider_usage(&status), "{status}");
    assert_eq!(upstream.call(0).closed, None);
}

#[tokio::test]
async fn a_request_that_was_not_sent_is_not_sent_for_its_usage() {
    let clock = VirtualClock::start();
    let (addr, _held) = crate::rig::upstream::unresponsive_address();
    let setup = Setup::new()
        .provider("up", WireId::OpenaiChat, addr)
        .model("m", "[\"up/m-up\"]");
    let proxy = setup
        .section("providers.up", "on_cancel = \"finish\"")
        .start()
        .await;
    let _waiting = proxy
        .client
        .send(&Request::chat(Dialect::Events, "m", true).named(&name(1)))
        .await;
    until_upstream(&proxy.client, &name(1), "open").await;
    clock.advance(Duration::from_secs(1)).await;
    let status = proxy.client.cancel(&name(1)).await.json().await;
    assert_eq!(
        (&status["status"], &status["upstream"]),
        (&"cancelled".into(), &"closed".into()),
        "{status}"
    );
}

#[tokio::test]
async fn an_upstream_that_fails_after_the_cancel_leaves_the_estimate() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}, refused"));
        let upstream = Upstream::start(move |_, _| {
            let refusal = json(500, encode::refusal(wire, 500, "not now").to_string());
            [vec![Step::Gate], refusal].concat()
        })
        .await;
        let spare = Upstream::silent().await;
        let proxy = retrying_proxy(wire, &upstream, &spare).await;
        let _waiting = proxy
            .client
            .send(&Request::chat(dialect, "m", true).named(&name(1)))
            .await;
        upstream.requests(1).await;
        settle().await;
        let before = proxy.client.cancel(&name(1)).await.json().await;
        upstream.open(1);
        let after = until_upstream(&proxy.client, &name(1), "closed").await;
        assert_eq!(before["usage"], after["usage"]);
        clock.advance(LATER).await;
        assert_eq!(
            (upstream.count(), spare.count()),
            (1, 0),
            "nothing is retried"
        );

        let _case = Case::new(format!("{dialect:?} over {wire:?}, broken off"));
        let upstream = Upstream::start(move |_, _| {
            let mut steps = Answer::tokens(9).steps_until(wire, Pace::Gate, 9);
            steps.push(Step::Truncate);
            steps
        })
        .await;
        let proxy = finishing(wire, &upstream).start().await;
        upstream.open(5);
        let mut reply = proxy.client.ask(&Request::chat(dialect, "m", true)).await;
        reply.until(has_five_tokens).await;
        let before = usage(&proxy.client.cancel(&reply.stream_id()).await.json().await);
        upstream.open(4);
        let after = usage(&until_upstream(&proxy.client, &reply.stream_id(), "closed").await);
        assert!(
            after.estimated && after.output > before.output,
            "text read after the cancel counts: {before:?}, {after:?}"
        );
    }
}

#[tokio::test]
async fn b32_reading_after_a_cancel_is_bounded_in_time() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        for (clocks, bound) in [
            ("", MAX_TIME),
            ("total = \"90s\"", Duration::from_secs(90)),
            ("idle = \"5s\"", Duration::from_secs(5)),
        ] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {clocks}"));
            let silent = clocks.starts_with("idle");
            let upstream =
                Upstream::always(five_tokens_and_more(wire, if silent { 0 } else { 1000 })).await;
            let proxy = finishing(wire, &upstream)
                .section("providers.up", &format!("timeouts = {{ {clocks} }}"))
                .start()
                .await;
            let mut reply = proxy
                .client
                .ask(&Request::chat(dialect, "m", true).named(&name(1)))
                .await;
            reply.until(has_five_tokens).await;
            let before = usage(&proxy.client.cancel(&name(1)).await.json().await);
            let early = Duration::from_secs(2);
            clock.advance(bound - early).await;
            assert_eq!(
                (
                    &proxy.client.status(&name(1)).await["upstream"],
                    upstream.call(0).closed
                ),
                (&"finishing".into(), None)
            );
            clock
                .takes_at_most(2 * early, "the upstream to be closed", upstream.closed(0))
                .await;
            let status = until_upstream(&proxy.client, &name(1), "closed").await;
            let after = usage(&status);
            assert!(
                after.estimated && (silent || after.output > before.output),
                "{before:?}, {status}"
            );
        }
    }
}

/// Sends five tokens at once, then `more` tokens at one per second, then nothing.
fn five_tokens_and_more(wire: WireId, more: usize) -> Vec<Step> {
    let answer = Answer::tokens(5 + more);
    let mut steps = answer.steps_until(wire, Pace::Flat, 5);
    for piece in answer.content(wire).into_iter().skip(5) {
        steps.extend([Step::Pause(Duration::from_secs(1)), Step::Write(piece)]);
    }
    steps.push(Step::Hang);
    steps
}

#[tokio::test]
async fn b32_reading_after_a_cancel_is_bounded_in_number() {
    let _clock = VirtualClock::start();
    let wire = crate::rig::wires()[0];
    let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
    let proxy = finishing(wire, &upstream).start().await;
    let mut readers = Vec::new();
    for number in 0..=MAX_COUNT {
        readers.push(
            proxy
                .client
                .send(&Request::chat(Dialect::Events, "m", true).named(&name(number)))
                .await,
        );
        upstream.requests(number + 1).await;
    }
    settle().await;
    for number in 0..=MAX_COUNT {
        let status = proxy.client.cancel(&name(number)).await.json().await;
        assert_eq!(
            status["upstream"],
            if number < MAX_COUNT {
                "finishing"
            } else {
                "closed"
            },
            "number {number}: {status}"
        );
    }
    upstream.closed(MAX_COUNT).await;
    upstream.open(10 * MAX_COUNT);
    let status = until_upstream(&proxy.client, &name(0), "closed").await;
    assert!(is_provider_usage(&status), "{status}");
    upstream.ended(MAX_COUNT - 1).await;
    proxy.at_rest().await;
}

#[tokio::test]
async fn a_slot_is_free_while_its_cancelled_upstream_is_read() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
        let proxy = finishing(wire, &upstream)
            .section("limits", "global = { concurrent_streams = 1 }")
            .start()
            .await;
        for number in 0..3 {
            let connection = proxy
                .client
                .send(&Request::chat(dialect, "m", true).named(&name(number)))
                .await;
            upstream.requests(number + 1).await;
            settle().await;
            assert_eq!(
                proxy.client.cancel(&name(number)).await.json().await["upstream"],
                "finishing"
            );
            assert!(connection.head().await.received().await.is_cancelled());
        }
    }
}

#[tokio::test]
async fn draining_waits_for_cancelled_upstreams_within_its_bound() {
    let clock = VirtualClock::start();
    let wire = crate::rig::wires()[0];
    for in_time in [true, false] {
        let _case = Case::new(format!("in time: {in_time}"));
        let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
        let proxy = finishing(wire, &upstream)
            .section("server", "drain = \"5s\"")
            .start()
            .await;
        let connection = proxy
            .client
            .send(&Request::chat(Dialect::Events, "m", true).named(&name(1)))
            .await;
        upstream.requests(1).await;
        settle().await;
        proxy.client.cancel(&name(1)).await;
        assert!(connection.head().await.received().await.is_cancelled());
        let begun = tokio::time::Instant::now();
        let draining = proxy.running.drain();
        if in_time {
            upstream.open(99);
            let ((), ()) = clock
                .takes_at_most(Duration::from_secs(1), "the end", async {
                    tokio::join!(draining, upstream.ended(0))
                })
                .await;
        } else {
            clock
                .takes_at_most(Duration::from_secs(6), "the end", draining)
                .await;
            assert!(
                begun.elapsed() >= Duration::from_secs(5),
                "{:?}",
                begun.elapsed()
            );
            upstream.closed(0).await;
        }
    }
}

#[tokio::test]
async fn b33_a_stream_is_settled_once_with_the_true_usage() {
    let _clock = VirtualClock::start();
    let log = Log::default();
    let _listening = log.listen();
    let wire = crate::rig::wires()[0];
    for (policy, input, estimated) in [("finish", 11, false), ("abort", 4, true)] {
        let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
        let setup = Setup::new()
            .over(wire, &upstream)
            .section("providers.up", &format!("on_cancel = {policy:?}"));
        let proxy = setup.start().await;
        upstream.open(5);
        let mut reply = proxy
            .client
            .ask(&Request::chat(Dialect::Events, "m", true))
            .await;
        reply.until(has_five_tokens).await;
        let id = reply.stream_id();
        proxy.client.cancel(&id).await;
        reply.received().await;
        assert_eq!(
            log.access_lines(&id).len(),
            usize::from(policy == "abort"),
            "the stream is settled when nothing more can come"
        );
        upstream.open(99);
        until_upstream(&proxy.client, &id, "closed").await;
        settle().await;
        let lines = log.access_lines(&id);
        let [line] = lines.as_slice() else {
            panic!("one line per stream: {lines:?}")
        };
        for part in [
            format!("input_tokens={input}"),
            format!("estimated={estimated}"),
            "status=499".into(),
            "reason=\"cancelled\"".into(),
        ] {
            assert!(line.contains(&part), "{part} in {line}");
        }
    }
}
