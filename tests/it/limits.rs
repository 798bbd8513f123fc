//! Limits, seen from outside: who is let in, what it costs, what is told, and that everything comes
//! back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::{Step, json as whole};
use crate::rig::{
    Ask, Client, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Told, Upstream, Virtual, WireId,
    pairs, say, settle, speeches, wires,
};

const SECRET: &str = "ann-0123456789abcdef";
/// What the prompt of every request here is estimated at, "Say something." as it is.
const PROMPT: u64 = 4;
/// What is reserved for an answer where nothing is configured, and what Messages ask for.
const RESERVE: u64 = 1000;

/// A key with these limits, in front of whatever is set up.
fn keyed(setup: Setup, limits: &str) -> Setup {
    let key = format!("secret = \"{SECRET}\"\nteam = \"growth\"\nlimits = {limits}");
    setup
        .section("auth", "mode = \"required\"")
        .section("keys.ann", &key)
}

async fn start(setup: Setup) -> (Proxy, Client) {
    let proxy = setup.start().await;
    let client = proxy.client.with_key(SECRET);
    (proxy, client)
}

fn figure(reply: &Reply, name: &str) -> u64 {
    reply
        .header(name)
        .unwrap_or_else(|| panic!("no {name}: {:?}", reply.headers))
        .parse()
        .unwrap()
}

/// What is left of the tightest limit of tokens, as a client of that dialect reads it.
fn tokens_left(reply: &Reply, speech: Speech) -> u64 {
    let name = if speech == Speech::Messages {
        "anthropic-ratelimit-tokens-remaining"
    } else {
        "x-ratelimit-remaining-tokens"
    };
    figure(reply, name)
}

/// What is left while nothing is reserved: by one more request, which is then over.
async fn left(proxy: &Proxy, client: &Client, upstream: &Upstream) -> u64 {
    proxy.at_rest().await;
    let ask = Ask::chat(Speech::Events, "m", true).cancel_on_disconnect();
    let before = upstream.count();
    let reply = client.ask(&ask).await;
    assert_eq!(reply.status, 200);
    upstream.requests(before + 1).await;
    let left = tokens_left(&reply, Speech::Events) + PROMPT + RESERVE;
    drop(reply);
    upstream.closed(before).await;
    left
}

/// All that a model says, and then nothing any more.
fn unending(wire: WireId, say: &Say) -> Vec<Step> {
    let mut steps = say.steps_until(wire, Pace::Flat, usize::MAX);
    steps.push(Step::Hang);
    steps
}

async fn total(client: &Client, id: &str) -> u64 {
    let status = client.status(id).await;
    status["usage"]["total_tokens"]
        .as_u64()
        .unwrap_or_else(|| panic!("no usage in {status}"))
}

#[tokio::test]
async fn b34_fifty_at_once_on_a_budget_of_tokens_for_ten() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Gate)).await;
        let budget = 10 * (PROMPT + RESERVE);
        let setup = keyed(
            Setup::new().over(wire, &upstream),
            &format!("{{ tokens_per_minute = {budget} }}"),
        );
        let (proxy, client) = start(setup).await;
        let ask = Ask::chat(speech, "m", true);
        let mut waiting = Vec::new();
        for _ in 0..50 {
            waiting.push(client.send(&ask).await);
        }
        upstream.requests(10).await;
        assert_eq!(proxy.running.gauges().reserved, budget);
        upstream.open(30);
        let mut admitted = 0;
        for waiting in waiting {
            let mut reply = waiting.head().await;
            if reply.status == 200 {
                admitted += 1;
                assert!(reply.told().await.is_success());
                continue;
            }
            let limit = figure(
                &reply,
                if speech == Speech::Messages {
                    "anthropic-ratelimit-tokens-limit"
                } else {
                    "x-ratelimit-limit-tokens"
                },
            );
            let body = reply.json().await;
            assert_eq!(
                (reply.status, limit, &body["error"]["limit"]),
                (429, budget, &json!("key")),
                "{body}"
            );
            assert!(
                body["error"]["message"]
                    .as_str()
                    .unwrap()
                    .contains("tokens per minute"),
                "{body}"
            );
            let (seconds, millis) = (
                figure(&reply, "retry-after"),
                figure(&reply, "retry-after-ms"),
            );
            assert!(
                (1..=60).contains(&seconds) && millis.div_ceil(1000) == seconds,
                "{seconds} s, {millis} ms"
            );
        }
        assert_eq!((admitted, upstream.count()), (10, 10));
        proxy.at_rest().await;
        let gauges = proxy.running.gauges();
        assert_eq!((gauges.permits, gauges.reserved), (0, 0));
    }
}

#[tokio::test]
async fn b32_who_hangs_up_before_the_usage_pays_what_was_streamed() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::always(unending(wire, &Say::tokens(9))).await;
        let (proxy, client) = start(keyed(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 100000 }",
        ))
        .await;
        let ask = Ask::chat(speech, "m", true).cancel_on_disconnect();
        let mut paid = 0;
        for n in 0..3 {
            let mut reply = client.ask(&ask).await;
            reply.until(|told| told.text().contains("tok8")).await;
            let id = reply.stream_id();
            drop(reply);
            upstream.closed(n).await;
            paid += total(&client, &id).await;
        }
        assert!(paid >= 3 * (PROMPT + 9), "{paid}");
        assert_eq!(
            left(&proxy, &client, &upstream).await,
            100_000 - paid,
            "charged once, what the status says"
        );
    }
}

#[tokio::test]
async fn b32_a_thousand_streams_cut_one_event_before_their_usage_are_all_paid() {
    let _clock = Virtual::start();
    let (wire, said) = (WireId::OpenaiChat, Say::tokens(3));
    let upstream = Upstream::always(unending(wire, &said)).await;
    let (proxy, client) = start(keyed(
        Setup::new().over(wire, &upstream),
        "{ tokens_per_minute = 1000000 }",
    ))
    .await;
    let ask = Ask::chat(Speech::Chat, "m", true).cancel_on_disconnect();
    for n in 0..1000 {
        let mut reply = client.ask(&ask).await;
        reply.until(|told| told.text().contains("tok2")).await;
        drop(reply);
        upstream.closed(n).await;
    }
    let each = PROMPT + (said.text().len() as u64).div_ceil(4);
    assert_eq!(
        left(&proxy, &client, &upstream).await,
        1_000_000 - 1000 * each
    );
}

#[tokio::test]
async fn b33_the_providers_figures_settle_and_the_rest_is_given_back() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        for stream in [true, false] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, stream: {stream}"));
            let hang = Say::tokens(1).steps_until(wire, Pace::Flat, 0);
            let script = Say::tokens(9).script(wire, Pace::Flat);
            let upstream = Upstream::start(move |call, n| {
                if n < 2 {
                    script(call, n)
                } else {
                    [hang.clone(), vec![Step::Hang]].concat()
                }
            })
            .await;
            let (proxy, client) = start(keyed(
                Setup::new().over(wire, &upstream),
                "{ tokens_per_minute = 100000 }",
            ))
            .await;
            let ask = Ask::chat(speech, "m", stream);
            for _ in 0..2 {
                let mut reply = client.ask(&ask).await;
                assert_eq!(reply.status, 200);
                reply.whole().await;
            }
            assert_eq!(
                left(&proxy, &client, &upstream).await,
                100_000 - 2 * (11 + 7)
            );
        }
    }
}

/// A request that costs nothing.
async fn costs_nothing(
    speech: Speech,
    wire: WireId,
    upstream: &Upstream,
    status: u16,
    retries: u32,
) {
    let setup = keyed(
        Setup::new().over(wire, upstream),
        "{ tokens_per_minute = 100000, concurrent_streams = 1 }",
    );
    let (proxy, client) = start(setup.section("models.m", &format!("retries = {retries}"))).await;
    let reply = client.ask(&Ask::chat(speech, "m", false)).await;
    assert_eq!(
        (reply.status, tokens_left(&reply, speech)),
        (status, 100_000 - PROMPT - RESERVE)
    );
    proxy.at_rest().await;
    let again = client.ask(&Ask::chat(speech, "m", false)).await;
    assert_eq!(
        tokens_left(&again, speech),
        100_000 - PROMPT - RESERVE,
        "all of it was given back"
    );
}

#[tokio::test]
async fn what_failed_before_it_gave_anything_costs_nothing() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let failing =
            Upstream::always(whole(500, say::refusal(wire, 500, "not now").to_string())).await;
        let asked = costs_nothing(speech, wire, &failing, 502, 1);
        clock
            .takes_at_most(Duration::from_secs(30), "two failures", asked)
            .await;
        let refusing =
            Upstream::always(whole(400, say::refusal(wire, 400, "never").to_string())).await;
        costs_nothing(speech, wire, &refusing, 400, 0).await;
    }
}

#[tokio::test]
async fn a_stream_is_cut_in_its_dialects_own_words_when_the_account_runs_dry() {
    let _clock = Virtual::start();
    for (speech, wire) in pairs() {
        for scope in ["key", "team", "global", "model", "provider", "ip"] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {scope}"));
            let say = Say {
                tokens: vec!["0123456789".repeat(20); 40],
                ..Say::tokens(0)
            };
            let mut steps = say.steps_until(wire, Pace::Gate, usize::MAX);
            steps.push(Step::Hang);
            let upstream = Upstream::always(steps).await;
            let (proxy, client) = start(
                scoped(wire, &upstream, scope, "{ tokens_per_minute = 1000 }")
                    .section("limits", "on_exceeded = \"cut\"\nreserve_output = 100"),
            )
            .await;
            let connection = client.send(&Ask::chat(speech, "m", true)).await;
            upstream.requests(1).await;
            for _ in 0..40 {
                upstream.open(1);
                settle().await;
            }
            let mut reply = connection.head().await;
            assert_eq!(reply.status, 200);
            let told = reply.told().await;
            assert!(
                told.is_failure() && told.code() == "rate_limited",
                "{told:?}"
            );
            let tokens = told.text().len() as u64 / 4;
            assert!((950..1200).contains(&tokens), "cut after {tokens} tokens");
            assert!(
                told.error.as_ref().unwrap().1.contains(&format!(
                    "the {scope} limit of 1000 tokens per minute ran out"
                )),
                "{told:?}"
            );
            upstream.closed(0).await;
            proxy.at_rest().await;
            assert_eq!(proxy.running.gauges().reserved, 0);
            let status = client.status(&reply.stream_id()).await;
            assert_eq!(
                (&status["status"], &status["upstream"]),
                (&json!("failed"), &json!("closed")),
                "{status}"
            );
            let refused = client.ask(&Ask::chat(speech, "m", true)).await;
            assert_eq!(refused.status, 429, "what was streamed is paid");
        }
    }
}

/// A limit of that scope over model `m`.
fn scoped(wire: WireId, upstream: &Upstream, scope: &str, limit: &str) -> Setup {
    let setup = keyed(
        Setup::new().over(wire, upstream),
        if scope == "key" { limit } else { "{}" },
    );
    match scope {
        "key" => setup,
        "provider" => setup.section("providers.up", &format!("limits = {limit}")),
        "team" => setup.section("limits", &format!("teams.growth = {limit}")),
        "model" => setup.section("limits", &format!("models.m = {limit}")),
        other => setup.section("limits", &format!("{other} = {limit}")),
    }
}

#[tokio::test]
async fn a_stream_that_may_finish_goes_into_debt() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let say = Say {
            tokens: vec!["0123456789".repeat(20); 40],
            usage: (11, 2000),
            ..Say::tokens(0)
        };
        let upstream = Upstream::start(say.script(wire, Pace::Gate)).await;
        let setup = keyed(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 1000 }",
        )
        .section("limits", "reserve_output = 100");
        let (proxy, client) = start(setup).await;
        let connection = client.send(&Ask::chat(speech, "m", true)).await;
        upstream.requests(1).await;
        upstream.open(41);
        assert!(connection.head().await.told().await.is_success());
        proxy.at_rest().await;
        let refused = client.ask(&Ask::chat(speech, "m", true)).await;
        // 2011 were used, 1000 are there in a minute, and 104 are needed.
        assert_eq!(
            (refused.status, figure(&refused, "retry-after-ms")),
            (429, 66_900)
        );
        clock.pass(Duration::from_millis(66_900)).await;
        let admitted = client.send(&Ask::chat(speech, "m", true)).await;
        upstream.requests(2).await;
        upstream.open(41);
        assert_eq!(admitted.head().await.status, 200);
    }
}

#[tokio::test]
async fn every_limit_of_every_scope_refuses_before_the_upstream_is_asked() {
    let _clock = Virtual::start();
    for speech in speeches() {
        for scope in ["key", "team", "global", "model", "provider", "user", "ip"] {
            for (limit, words) in [
                (
                    "{ requests_per_minute = 1 }",
                    "1 request per minute is used up",
                ),
                (
                    "{ tokens_per_minute = 1500 }",
                    "1500 tokens per minute has 496 left, and this request needs about 1004",
                ),
                (
                    "{ concurrent_streams = 1 }",
                    "1 stream at a time is reached",
                ),
            ] {
                let _scene = Scene::of(format!("{speech:?}, {scope}: {limit}"));
                if scope == "ip" && limit.contains("requests") {
                    continue;
                }
                let wire = WireId::OpenaiChat;
                let upstream = Upstream::start(Say::tokens(2).script(wire, Pace::Gate)).await;
                let (_proxy, client) = start(scoped(wire, &upstream, scope, limit)).await;
                let ask = by(Ask::chat(speech, "m", true), speech, "ann");
                let _running = client.send(&ask).await;
                upstream.requests(1).await;
                let mut refused = client.ask(&ask).await;
                let body = refused.json().await;
                assert_eq!(
                    (
                        refused.status,
                        &body["error"]["code"],
                        &body["error"]["limit"]
                    ),
                    (429, &json!("rate_limited"), &json!(scope)),
                    "{body}"
                );
                assert!(
                    body["error"]["message"].as_str().unwrap().contains(words),
                    "{body}"
                );
                assert!(refused.header("retry-after").is_some());
                assert_eq!(upstream.count(), 1);
                if scope == "user" {
                    let _other = client
                        .send(&by(Ask::chat(speech, "m", true), speech, "bob"))
                        .await;
                    upstream.requests(2).await;
                }
            }
        }
    }
}

/// The same for that end user, as its dialect names one.
fn by(ask: Ask, speech: Speech, user: &str) -> Ask {
    match speech {
        Speech::Messages => ask.set("metadata", json!({"user_id": user})),
        Speech::Responses => ask.set("safety_identifier", json!(user)),
        Speech::Chat | Speech::Events | Speech::Ui => ask.set("user", json!(user)),
    }
}

#[tokio::test]
async fn a_prompt_larger_than_a_limit_can_hold_is_told_so() {
    for speech in speeches() {
        let _scene = Scene::of(format!("{speech:?}"));
        let upstream = Upstream::silent().await;
        let (_proxy, client) = start(keyed(
            Setup::new().over(WireId::OpenaiChat, &upstream),
            "{ tokens_per_minute = 100 }",
        ))
        .await;
        let mut reply = client
            .ask(&Ask::chat(speech, "m", true).saying(&"word ".repeat(100)))
            .await;
        let body = reply.json().await;
        assert_eq!(
            (
                reply.status,
                &body["error"]["code"],
                &body["error"]["limit"]
            ),
            (400, &json!("invalid_request"), &json!("key")),
            "{body}"
        );
        assert_eq!((upstream.count(), reply.header("retry-after")), (0, None));
    }
}

#[tokio::test]
async fn the_fields_tell_the_tightest_limit_of_each_kind() {
    let _clock = Virtual::start();
    for speech in speeches() {
        let _scene = Scene::of(format!("{speech:?}"));
        let upstream = Upstream::start(Say::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await;
        let setup = keyed(
            Setup::new().over(WireId::OpenaiChat, &upstream),
            "{ requests_per_minute = 60, tokens_per_minute = 200000 }",
        );
        let setup = setup
            .section("limits", "global = { requests_per_minute = 600, tokens_per_minute = 100000 }\nip = { requests_per_minute = 1000 }");
        let (_proxy, client) = start(setup).await;
        let reply = client.ask(&Ask::chat(speech, "m", true)).await;
        let left = 100_000 - PROMPT - RESERVE;
        assert_eq!(
            reply.header("ratelimit-policy"),
            Some("\"key\";q=60;w=60, \"global-tokens\";q=100000;qu=\"sluicegate-tokens\";w=60")
        );
        assert_eq!(
            reply.header("ratelimit"),
            Some(&*format!(
                "\"key\";r=59;t=1, \"global-tokens\";r={left};t=1"
            ))
        );
        let prefix = if speech == Speech::Messages {
            "anthropic-ratelimit"
        } else {
            "x-ratelimit"
        };
        let named = |kind: &str, what: &str| match speech {
            Speech::Messages => format!("{prefix}-{kind}-{what}"),
            _ => format!("{prefix}-{what}-{kind}"),
        };
        let of = |kind, what| figure(&reply, &named(kind, what));
        assert_eq!(
            (of("requests", "limit"), of("requests", "remaining")),
            (60, 59)
        );
        assert_eq!(
            (of("tokens", "limit"), of("tokens", "remaining")),
            (100_000, left)
        );
        let reset = reply.header(&named("tokens", "reset")).unwrap();
        assert!(
            if speech == Speech::Messages {
                reset.ends_with('Z')
            } else {
                reset == "602ms"
            },
            "{reset}"
        );
    }
}

#[tokio::test]
async fn joining_a_stream_takes_nothing_and_a_cancel_is_never_refused() {
    let _clock = Virtual::start();
    for speech in speeches() {
        let _scene = Scene::of(format!("{speech:?}"));
        let upstream = Upstream::start(Say::tokens(2).script(WireId::OpenaiChat, Pace::Gate)).await;
        let one = "{ requests_per_minute = 1, tokens_per_minute = 1100, concurrent_streams = 1 }";
        let (proxy, client) =
            start(keyed(Setup::new().over(WireId::OpenaiChat, &upstream), one)).await;
        let ask = Ask::chat(speech, "m", true).header("idempotency-key", "once");
        let first = client.send(&ask).await;
        upstream.requests(1).await;
        let (again, other) = (
            client.send(&ask).await,
            client.ask(&Ask::chat(speech, "m", true)).await,
        );
        assert_eq!(other.status, 429, "there is nothing left");
        upstream.open(1);
        let (first, again) = (first.head().await, again.head().await);
        assert_eq!((first.stream_id(), again.status), (again.stream_id(), 200));
        assert_eq!(
            client.resume(speech, &first.stream_id(), None).await.status,
            200,
            "nor does resuming"
        );
        assert_eq!(client.cancel(&first.stream_id()).await.status, 200);
        upstream.closed(0).await;
        proxy.at_rest().await;
        assert_eq!((proxy.running.gauges().reserved, upstream.count()), (0, 1));
    }
}

#[tokio::test]
async fn a_provider_without_room_is_passed_over_and_one_that_fails_gives_its_slot_back() {
    let clock = Virtual::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic] {
        let _scene = Scene::of(format!("{wire:?}"));
        let gated = Say::tokens(2).script(wire, Pace::Gate);
        let refusal = whole(500, say::refusal(wire, 500, "not now").to_string());
        let upstream = Upstream::start(move |call, n| {
            if n < 1 {
                gated(call, n)
            } else {
                refusal.clone()
            }
        })
        .await;
        let spare = Upstream::start(Say::tokens(2).script(wire, Pace::Gate)).await;
        let setup = Setup::new()
            .over_two(wire, &upstream, &spare)
            .section("models.m", "retries = 0");
        let setup = setup
            .section("providers.up", "limits = { concurrent_streams = 1 }")
            .section("providers.spare", "limits = { concurrent_streams = 1 }");
        let proxy = setup.start().await;
        let ask = Ask::chat(Speech::Events, "m", true).cancel_on_disconnect();
        let first = proxy.client.ask(&ask).await;
        upstream.requests(1).await;
        let second = proxy.client.ask(&ask).await;
        spare.requests(1).await;
        assert_eq!(proxy.running.gauges().permits, 2);
        let mut third = proxy.client.ask(&ask).await;
        assert_eq!(
            (third.status, &third.json().await["error"]["limit"]),
            (429, &json!("provider"))
        );
        assert_eq!((upstream.count(), spare.count()), (1, 1));
        drop(first);
        upstream.closed(0).await;
        // It asks the first, which fails, and then finds the second full.
        let mut fourth = proxy.client.ask(&ask).await;
        let told: Told = clock
            .takes_at_most(Duration::from_secs(5), "a failure", fourth.told())
            .await;
        assert_eq!(
            (
                told.code(),
                upstream.count(),
                proxy.running.gauges().permits
            ),
            ("rate_limited", 2, 1),
            "{told:?}"
        );
        drop(second);
        spare.closed(0).await;
        let fifth = proxy.client.ask(&ask).await;
        spare.requests(2).await;
        assert_eq!(
            (upstream.count(), proxy.running.gauges().permits),
            (3, 1),
            "never two at a time"
        );
        drop(fifth);
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn what_is_read_on_after_a_cancel_holds_no_slot_and_is_paid_by_its_true_usage() {
    let _clock = Virtual::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic] {
        let _scene = Scene::of(format!("{wire:?}"));
        let say = Say {
            usage: (11, 700),
            ..Say::tokens(3)
        };
        let upstream = Upstream::start(say.script(wire, Pace::Gate)).await;
        let setup = keyed(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 100000, concurrent_streams = 1 }",
        );
        let (proxy, client) = start(setup.section("providers.up", "on_cancel = \"finish\"")).await;
        let reply = client.ask(&Ask::chat(Speech::Events, "m", true)).await;
        upstream.requests(1).await;
        upstream.open(1);
        assert_eq!(client.cancel(&reply.stream_id()).await.status, 200);
        let gauges = proxy.running.gauges();
        assert_eq!(
            (gauges.permits, gauges.reserved),
            (0, PROMPT + RESERVE),
            "the slot is free, what it costs is not known"
        );
        let next = client.ask(&Ask::chat(Speech::Events, "m", true)).await;
        assert_eq!(next.status, 200);
        upstream.requests(2).await;
        upstream.open(8);
        upstream.ended(0).await;
        upstream.ended(1).await;
        drop(next);
        proxy.at_rest().await;
        let reply = client.ask(&Ask::chat(Speech::Events, "m", true)).await;
        assert_eq!(
            tokens_left(&reply, Speech::Events),
            100_000 - 2 * 711 - PROMPT - RESERVE
        );
    }
}

#[tokio::test]
async fn a_reload_keeps_what_was_used_and_changes_figures_at_once() {
    let _clock = Virtual::start();
    let wire = WireId::OpenaiChat;
    let upstream = Upstream::start(
        Say {
            usage: (100, 900),
            ..Say::tokens(2)
        }
        .script(wire, Pace::Flat),
    )
    .await;
    let setup = |figures: &str| keyed(Setup::new().over(wire, &upstream), figures);
    let (proxy, client) = start(setup(
        "{ tokens_per_minute = 3000, requests_per_minute = 3 }",
    ))
    .await;
    let ask = Ask::chat(Speech::Chat, "m", true);
    assert!(client.ask(&ask).await.told().await.is_success());
    proxy
        .running
        .reload(setup("{ tokens_per_minute = 5000, requests_per_minute = 2 }").config())
        .unwrap();
    let mut reply = client.ask(&ask).await;
    assert_eq!(
        (
            tokens_left(&reply, Speech::Chat),
            figure(&reply, "x-ratelimit-remaining-requests")
        ),
        (4000 - PROMPT - RESERVE, 0)
    );
    assert!(reply.told().await.is_success());
    assert_eq!(client.ask(&ask).await.status, 429);
    proxy
        .running
        .reload(setup("{ tokens_per_minute = 5000, requests_per_minute = 4 }").config())
        .unwrap();
    assert_eq!(client.ask(&ask).await.status, 200);
}

#[tokio::test]
async fn counting_a_prompt_is_a_request_and_takes_no_tokens() {
    let _clock = Virtual::start();
    let upstream = Upstream::always(whole(200, json!({"input_tokens": 5}).to_string())).await;
    let setup = keyed(
        Setup::new().over(WireId::Anthropic, &upstream),
        "{ tokens_per_minute = 3000, requests_per_minute = 3 }",
    );
    let (proxy, client) = start(setup).await;
    let body: Value =
        json!({"model": "m", "messages": [{"role": "user", "content": "Say something."}]});
    for left in [2, 1, 0] {
        let reply = client
            .ask(&Ask::new("POST", "/v1/messages/count_tokens").json(&body))
            .await;
        assert_eq!(
            (
                reply.status,
                figure(&reply, "anthropic-ratelimit-requests-remaining")
            ),
            (200, left)
        );
        assert_eq!(tokens_left(&reply, Speech::Messages), 3000);
    }
    assert_eq!(
        client
            .ask(&Ask::new("POST", "/v1/messages/count_tokens").json(&body))
            .await
            .status,
        429
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn reads_are_counted_generously_and_cancels_are_not() {
    let _clock = Virtual::start();
    let upstream = Upstream::start(Say::tokens(2).script(WireId::OpenaiChat, Pace::Gate)).await;
    let (_proxy, client) = start(keyed(
        Setup::new().over(WireId::OpenaiChat, &upstream),
        "{ requests_per_minute = 5 }",
    ))
    .await;
    let id = client
        .ask(&Ask::chat(Speech::Events, "m", true))
        .await
        .stream_id();
    for n in 0..600 {
        let path = [
            format!("/v1/streams/{id}"),
            "/v1/models".into(),
            "/v1/streams".into(),
            "/v1/models/m".into(),
        ][n % 4]
            .clone();
        assert_ne!(client.get(&path).await.status, 429, "read {n}");
    }
    let mut refused = client.get(&format!("/v1/streams/{id}")).await;
    let body = refused.json().await;
    assert_eq!(
        (refused.status, &body["error"]["limit"]),
        (429, &json!("key")),
        "{body}"
    );
    assert_eq!(
        client
            .ask(&Ask::chat(Speech::Events, "m", true))
            .await
            .status,
        200,
        "asking is another matter"
    );
    assert_eq!(client.cancel(&id).await.status, 200);
}

#[tokio::test]
async fn one_callers_cut_says_nothing_of_the_provider() {
    let _clock = Virtual::start();
    for wire in wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let say = Say {
            tokens: vec!["0123456789".repeat(20); 40],
            ..Say::tokens(0)
        };
        let upstream = Upstream::always(unending(wire, &say)).await;
        let setup = keyed(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 1000 }",
        )
        .section("keys.bob", "secret = \"bob-0123456789abcdef\"");
        let (proxy, ann) =
            start(setup.section("limits", "on_exceeded = \"cut\"\nreserve_output = 10")).await;
        let told = ann
            .ask(&Ask::chat(Speech::Events, "m", true))
            .await
            .told()
            .await;
        assert_eq!(told.code(), "rate_limited", "{told:?}");
        upstream.closed(0).await;
        let mut reply = proxy
            .client
            .with_key("bob-0123456789abcdef")
            .ask(&Ask::chat(Speech::Events, "m", true))
            .await;
        reply.until(|told| !told.text().is_empty()).await;
        assert_eq!(
            upstream.count(),
            2,
            "the target is asked as if nothing had been"
        );
    }
}
