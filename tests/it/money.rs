//! Money: what is refused costs nobody anything, and a fallback changes neither what was asked nor
//! what was said.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::{Step, json as whole};
use crate::rig::{
    Ask, Client, Pace, Say, Scene, Setup, Upstream, Virtual, pairs, say, speeches, wires,
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

/// Status and body, the body read to its end.
async fn asked(client: &Client, ask: &Ask) -> (u16, Value) {
    let mut reply = client.ask(ask).await;
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
async fn b35_a_limit_refuses_before_the_upstream_is_asked_and_takes_nothing_from_the_others() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Flat)).await;
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
        let ask = Ask::chat(speech, "m", true);
        assert_eq!(asked(&ann, &ask).await.0, 200);
        for _ in 0..5 {
            let (status, body) = asked(&ann, &ask).await;
            assert_eq!(
                (status, &body["error"]["code"], &body["error"]["limit"]),
                (429, &json!("rate_limited"), &json!("key")),
                "{body}"
            );
        }
        assert_eq!(upstream.count(), 1, "nothing refused reaches the upstream");
        for _ in 0..3 {
            assert_eq!(
                asked(&bob, &ask).await.0,
                200,
                "what was refused took nothing from the global limit"
            );
        }
        let (status, body) = asked(&bob, &ask).await;
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
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Gate)).await;
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
        let ask = Ask::chat(speech, "m", true).cancel_on_disconnect();
        let waiting = ann.send(&ask).await;
        upstream.requests(1).await;
        let (status, body) = asked(&ann, &ask).await;
        assert_eq!(
            (status, &body["error"]["limit"]),
            (429, &json!("key")),
            "{body}"
        );
        let other = bob.send(&ask).await;
        upstream.requests(2).await;
        drop(waiting);
        upstream.closed(0).await;
        upstream.open(3);
        assert!(other.head().await.told().await.is_success());
        upstream.open(3);
        assert_eq!(
            asked(&ann, &ask).await.0,
            200,
            "the slot of the one who left is free"
        );
        clock.pass(Duration::from_secs(1)).await;
        assert_eq!(upstream.count(), 3);
    }
}

#[tokio::test]
async fn b36_a_fallback_gets_the_body_as_it_was() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        for stream in [true, false] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, stream: {stream}"));
            let upstream =
                Upstream::always(whole(500, say::refusal(wire, 500, "not now").to_string())).await;
            let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
            let setup = Setup::new()
                .over_two(wire, &upstream, &spare)
                .section("models.m", "retries = 1");
            let proxy = setup.start().await;
            let ask = Ask::chat(speech, "m", stream)
                .set("metadata", json!({"weird": " \u{2028}\u{1F600} "}));
            let (status, body) = clock
                .takes_at_most(
                    Duration::from_secs(60),
                    "the fallback",
                    asked(&proxy.client, &ask),
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
                "and so does a fallback, but for the model"
            );
        }
    }
}

#[tokio::test]
async fn b36_a_fallback_over_another_wire_asks_the_same() {
    let clock = Virtual::start();
    let wires = wires();
    for (first, second) in wires
        .iter()
        .copied()
        .zip(wires.iter().copied().cycle().skip(1))
    {
        for speech in speeches() {
            let _scene = Scene::of(format!("{speech:?}, {first:?} then {second:?}"));
            let upstream =
                Upstream::always(whole(500, say::refusal(first, 500, "not now").to_string())).await;
            let spare = Upstream::start(Say::tokens(3).script(second, Pace::Flat)).await;
            let setup = Setup::new()
                .provider("up", first, upstream.addr)
                .provider("spare", second, spare.addr);
            let proxy = setup
                .model("m", "[\"up/m-up\", \"spare/m-spare\"]")
                .section("models.m", "retries = 0")
                .start()
                .await;
            let ask = Ask::chat(speech, "m", true);
            let read = async { proxy.client.ask(&ask).await.told().await };
            let told = clock
                .takes_at_most(Duration::from_secs(60), "the fallback", read)
                .await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), "tok0 tok1 tok2 ");
            for call in [upstream.call(0), spare.call(0)] {
                assert_eq!(
                    call.json().to_string().matches("Say something.").count(),
                    1,
                    "the message is asked, once"
                );
            }
        }
    }
}

#[tokio::test]
async fn b36_delivered_text_is_never_repeated() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        for end in [Step::Truncate, Step::Reset, Step::End] {
            let _scene = Scene::of(format!(
                "{speech:?} over {wire:?}, {end:?} after the first token"
            ));
            let mut steps = Say::tokens(9).steps_until(wire, Pace::Flat, 1);
            steps.extend([Step::Yield, end]);
            let upstream = Upstream::always(steps).await;
            let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
            let proxy = Setup::new().over_two(wire, &upstream, &spare).start().await;
            let told = proxy
                .client
                .ask(&Ask::chat(speech, "m", true))
                .await
                .told()
                .await;
            assert!(told.is_failure(), "{told:?}");
            assert_eq!(told.text(), "tok0 ");
            clock.pass(Duration::from_secs(60)).await;
            assert_eq!(
                (upstream.count(), spare.count()),
                (1, 0),
                "nobody is asked after the first content"
            );
        }
    }
}
