//! Money: a refused request costs nothing, and a fallback changes neither the request nor the
//! delivered text.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::{Step, json as whole};
use crate::rig::{
    Answer, Case, Client, Pace, Request, Setup, Upstream, VirtualClock, dialects, encode, pairs,
    wires,
};

fn keys(setup: Setup, ann: &str, bob: &str) -> Setup {
    setup
        .section("auth", "mode = \"required\"")
        .section(
            "keys.ann",
            &format!("secret = \"ann-0123456789abcdef\"\nmodels = [\"*\"]\nlimits = {ann}"),
        )
        .section(
            "keys.bob",
            &format!("secret = \"bob-0123456789abcdef\"\nmodels = [\"*\"]\nlimits = {bob}"),
        )
}

/// Returns status and body, the body read to its end.
async fn status_and_body(client: &Client, request: &Request) -> (u16, Value) {
    let mut reply = client.ask(request).await;
    let body = if reply.status == 200 {
        json!(reply.text().await)
    } else {
        reply.json().await
    };
    if reply.status == 429 {
        let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!(after >= 1);
    }
    (reply.status, body)
}

#[tokio::test]
async fn b35_a_limit_refuses_before_the_upstream_is_called_and_takes_nothing_from_other_limits() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
        let one = "{ requests_per_minute = 1, burst = 1 }";
        let setup = keys(
            Setup::new().over(wire, &upstream),
            one,
            "{ requests_per_minute = 60, burst = 60 }",
        );
        let proxy = setup
            .section("limits", "global = { requests_per_minute = 4, burst = 4 }")
            .start()
            .await;
        let (ann, bob) = (
            proxy.client.with_key("ann-0123456789abcdef"),
            proxy.client.with_key("bob-0123456789abcdef"),
        );
        let request = Request::chat(dialect, "m", true);
        assert_eq!(status_and_body(&ann, &request).await.0, 200);
        for _ in 0..5 {
            let (status, body) = status_and_body(&ann, &request).await;
            assert_eq!(
                (status, &body["error"]["code"], &body["error"]["limit"]),
                (429, &json!("rate_limited"), &json!("key")),
                "{body}"
            );
        }
        assert_eq!(
            upstream.count(),
            1,
            "no refused request reaches the upstream"
        );
        for _ in 0..3 {
            assert_eq!(
                status_and_body(&bob, &request).await.0,
                200,
                "the refused requests took nothing from the global limit"
            );
        }
        let (status, body) = status_and_body(&bob, &request).await;
        assert_eq!(
            (status, &body["error"]["limit"]),
            (429, &json!("global")),
            "{body}"
        );
        assert_eq!(upstream.count(), 4);
    }
}

#[tokio::test]
async fn b35_a_slot_is_held_as_long_as_its_generation() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Gate)).await;
        let setup = keys(
            Setup::new().over(wire, &upstream),
            "{ concurrent_streams = 1 }",
            "{ concurrent_streams = 1 }",
        );
        let proxy = setup.start().await;
        let (ann, bob) = (
            proxy.client.with_key("ann-0123456789abcdef"),
            proxy.client.with_key("bob-0123456789abcdef"),
        );
        let request = Request::chat(dialect, "m", true).cancel_on_disconnect();
        let waiting = ann.send(&request).await;
        upstream.requests(1).await;
        let (status, body) = status_and_body(&ann, &request).await;
        assert_eq!(
            (status, &body["error"]["limit"]),
            (429, &json!("key")),
            "{body}"
        );
        let other = bob.send(&request).await;
        upstream.requests(2).await;
        drop(waiting);
        upstream.closed(0).await;
        upstream.open(3);
        assert!(other.head().await.received().await.is_success());
        upstream.open(3);
        assert_eq!(
            status_and_body(&ann, &request).await.0,
            200,
            "the disconnected client's slot is free"
        );
        clock.advance(Duration::from_secs(1)).await;
        assert_eq!(upstream.count(), 3);
    }
}

#[tokio::test]
async fn b36_a_fallback_gets_the_body_unchanged() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for stream in [true, false] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, stream: {stream}"));
            let upstream = Upstream::always(whole(
                500,
                encode::refusal(wire, 500, "not now").to_string(),
            ))
            .await;
            let spare = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
            let setup = Setup::new()
                .over_two(wire, &upstream, &spare)
                .section("models.m", "retries = 1");
            let proxy = setup.start().await;
            let request = Request::chat(dialect, "m", stream)
                .set("metadata", json!({"weird": " \u{2028}\u{1F600} "}));
            let (status, body) = clock
                .takes_at_most(
                    Duration::from_secs(60),
                    "the fallback",
                    status_and_body(&proxy.client, &request),
                )
                .await;
            assert_eq!(status, 200, "{body}");
            assert_eq!((upstream.count(), spare.count()), (2, 1));
            let (first, again, last) = (upstream.call(0), upstream.call(1), spare.call(0));
            assert_eq!(first.body, again.body, "a retry sends the same bytes");
            assert!(!first.body.is_empty());
            let but_model = |text: &[u8]| {
                String::from_utf8(text.to_vec())
                    .unwrap()
                    .replace("m-spare", "m-up")
            };
            assert_eq!(
                but_model(&first.body),
                but_model(&last.body),
                "a fallback sends the same bytes, except for the model"
            );
        }
    }
}

#[tokio::test]
async fn b36_a_fallback_over_another_wire_gets_the_same_message() {
    let clock = VirtualClock::start();
    let wires = wires();
    for (first, second) in wires
        .iter()
        .copied()
        .zip(wires.iter().copied().cycle().skip(1))
    {
        for dialect in dialects() {
            let _case = Case::new(format!("{dialect:?}, {first:?} then {second:?}"));
            let upstream = Upstream::always(whole(
                500,
                encode::refusal(first, 500, "not now").to_string(),
            ))
            .await;
            let spare = Upstream::start(Answer::tokens(3).script(second, Pace::Flat)).await;
            let setup = Setup::new()
                .provider("up", first, upstream.addr)
                .provider("spare", second, spare.addr);
            let proxy = setup
                .model("m", "[\"up/m-up\", \"spare/m-spare\"]")
                .section("models.m", "retries = 0")
                .start()
                .await;
            let request = Request::chat(dialect, "m", true);
            let read = async { proxy.client.ask(&request).await.received().await };
            let received = clock
                .takes_at_most(Duration::from_secs(60), "the fallback", read)
                .await;
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), "tok0 tok1 tok2 ");
            for call in [upstream.call(0), spare.call(0)] {
                assert_eq!(
                    call.json().to_string().matches("Say something.").count(),
                    1,
                    "the message is sent once"
                );
            }
        }
    }
}

#[tokio::test]
async fn b36_delivered_text_is_never_repeated() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for end in [Step::Truncate, Step::Reset, Step::End] {
            let _case = Case::new(format!(
                "{dialect:?} over {wire:?}, {end:?} after the first token"
            ));
            let mut steps = Answer::tokens(9).steps_until(wire, Pace::Flat, 1);
            steps.extend([Step::Yield, end]);
            let upstream = Upstream::always(steps).await;
            let spare = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
            let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
            let received = proxy
                .client
                .ask(&Request::chat(dialect, "m", true))
                .await
                .received()
                .await;
            assert!(received.is_failure(), "{received:?}");
            assert_eq!(received.text(), "tok0 ");
            clock.advance(Duration::from_secs(60)).await;
            assert_eq!(
                (upstream.count(), spare.count()),
                (1, 0),
                "no target is called after the first content"
            );
        }
    }
}
