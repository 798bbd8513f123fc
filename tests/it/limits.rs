//! Limits as clients see them: admission, cost, reported values, and the return of everything
//! reserved.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::upstream::{Step, json as whole};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, dialects, encode, pairs, settle, wires,
};

const SECRET: &str = "ann-0123456789abcdef";
/// Estimated tokens of the prompt of every request here ("Say something.").
const PROMPT: u64 = 4;
/// Tokens reserved for an answer by default; also the `max_tokens` of Messages requests.
const RESERVE: u64 = 1000;

/// Adds a key with these limits.
fn with_key_limits(setup: Setup, limits: &str) -> Setup {
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

fn number(reply: &Reply, name: &str) -> u64 {
    reply
        .header(name)
        .unwrap_or_else(|| panic!("no {name}: {:?}", reply.headers))
        .parse()
        .unwrap()
}

/// Returns the remaining tokens of the tightest token limit, from the dialect's header fields.
fn tokens_left(reply: &Reply, dialect: Dialect) -> u64 {
    let name = if dialect == Dialect::Messages {
        "anthropic-ratelimit-tokens-remaining"
    } else {
        "x-ratelimit-remaining-tokens"
    };
    number(reply, name)
}

/// Returns the remaining tokens while nothing is reserved, measured with one more request that is
/// then cancelled.
async fn left(proxy: &Proxy, client: &Client, upstream: &Upstream) -> u64 {
    proxy.at_rest().await;
    let request = Request::chat(Dialect::Events, "m", true).cancel_on_disconnect();
    let before = upstream.count();
    let reply = client.ask(&request).await;
    assert_eq!(reply.status, 200);
    upstream.requests(before + 1).await;
    let left = tokens_left(&reply, Dialect::Events) + PROMPT + RESERVE;
    drop(reply);
    upstream.closed(before).await;
    left
}

/// Sends the whole content of an answer, but never its end.
fn never_ending(wire: WireId, answer: &Answer) -> Vec<Step> {
    let mut steps = answer.steps_until(wire, Pace::Flat, usize::MAX);
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
async fn b34_fifty_requests_at_once_with_tokens_for_ten() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Gate)).await;
        let budget = 10 * (PROMPT + RESERVE);
        let setup = with_key_limits(
            Setup::new().over(wire, &upstream),
            &format!("{{ tokens_per_minute = {budget} }}"),
        );
        let (proxy, client) = start(setup).await;
        let request = Request::chat(dialect, "m", true);
        let mut waiting = Vec::new();
        for _ in 0..50 {
            waiting.push(client.send(&request).await);
        }
        upstream.requests(10).await;
        assert_eq!(proxy.running.current_load().reserved, budget);
        upstream.open(30);
        let mut admitted = 0;
        for waiting in waiting {
            let mut reply = waiting.head().await;
            if reply.status == 200 {
                admitted += 1;
                assert!(reply.received().await.is_success());
                continue;
            }
            let limit = number(
                &reply,
                if dialect == Dialect::Messages {
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
                number(&reply, "retry-after"),
                number(&reply, "retry-after-ms"),
            );
            assert!(
                (1..=60).contains(&seconds) && millis.div_ceil(1000) == seconds,
                "{seconds} s, {millis} ms"
            );
        }
        assert_eq!((admitted, upstream.count()), (10, 10));
        proxy.at_rest().await;
        let gauges = proxy.running.current_load();
        assert_eq!((gauges.permits, gauges.reserved), (0, 0));
    }
}

#[tokio::test]
async fn b32_a_client_that_disconnects_before_the_usage_pays_what_was_streamed() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::always(never_ending(wire, &Answer::tokens(9))).await;
        let (proxy, client) = start(with_key_limits(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 100000 }",
        ))
        .await;
        let request = Request::chat(dialect, "m", true).cancel_on_disconnect();
        let mut paid = 0;
        for n in 0..3 {
            let mut reply = client.ask(&request).await;
            reply
                .until(|received| received.text().contains("tok8"))
                .await;
            let id = reply.stream_id();
            drop(reply);
            upstream.closed(n).await;
            paid += total(&client, &id).await;
        }
        assert!(paid >= 3 * (PROMPT + 9), "{paid}");
        assert_eq!(
            left(&proxy, &client, &upstream).await,
            100_000 - paid,
            "charged once, as much as the status reports"
        );
    }
}

#[tokio::test]
async fn b32_a_thousand_streams_cut_before_their_usage_are_all_paid() {
    let _clock = VirtualClock::start();
    let (wire, answer) = (WireId::OpenaiChat, Answer::tokens(3));
    let upstream = Upstream::always(never_ending(wire, &answer)).await;
    let (proxy, client) = start(with_key_limits(
        Setup::new().over(wire, &upstream),
        "{ tokens_per_minute = 1000000 }",
    ))
    .await;
    let request = Request::chat(Dialect::Chat, "m", true).cancel_on_disconnect();
    for n in 0..1000 {
        let mut reply = client.ask(&request).await;
        reply
            .until(|received| received.text().contains("tok2"))
            .await;
        drop(reply);
        upstream.closed(n).await;
    }
    let each = PROMPT + (answer.text().len() as u64).div_ceil(4);
    assert_eq!(
        left(&proxy, &client, &upstream).await,
        1_000_000 - 1000 * each
    );
}

#[tokio::test]
async fn b33_the_providers_usage_settles_and_the_rest_is_released() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for stream in [true, false] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, stream: {stream}"));
            let hang = Answer::tokens(1).steps_until(wire, Pace::Flat, 0);
            let script = Answer::tokens(9).script(wire, Pace::Flat);
            let upstream = Upstream::start(move |call, n| {
                if n < 2 {
                    script(call, n)
                } else {
                    [hang.clone(), vec![Step::Hang]].concat()
                }
            })
            .await;
            let (proxy, client) = start(with_key_limits(
                Setup::new().over(wire, &upstream),
                "{ tokens_per_minute = 100000 }",
            ))
            .await;
            let request = Request::chat(dialect, "m", stream);
            for _ in 0..2 {
                let mut reply = client.ask(&request).await;
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

/// Sends a request that must not cost anything.
async fn costs_nothing(
    dialect: Dialect,
    wire: WireId,
    upstream: &Upstream,
    status: u16,
    retries: u32,
) {
    let setup = with_key_limits(
        Setup::new().over(wire, upstream),
        "{ tokens_per_minute = 100000, concurrent_streams = 1 }",
    );
    let (proxy, client) = start(setup.section("models.m", &format!("retries = {retries}"))).await;
    let reply = client.ask(&Request::chat(dialect, "m", false)).await;
    assert_eq!(
        (reply.status, tokens_left(&reply, dialect)),
        (status, 100_000 - PROMPT - RESERVE)
    );
    proxy.at_rest().await;
    let again = client.ask(&Request::chat(dialect, "m", false)).await;
    assert_eq!(
        tokens_left(&again, dialect),
        100_000 - PROMPT - RESERVE,
        "the whole reservation was released"
    );
}

#[tokio::test]
async fn a_failure_before_any_content_costs_nothing() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let failing = Upstream::always(whole(
            500,
            encode::refusal(wire, 500, "not now").to_string(),
        ))
        .await;
        let asked = costs_nothing(dialect, wire, &failing, 502, 1);
        clock
            .takes_at_most(Duration::from_secs(30), "two failures", asked)
            .await;
        let refusing =
            Upstream::always(whole(400, encode::refusal(wire, 400, "never").to_string())).await;
        costs_nothing(dialect, wire, &refusing, 400, 0).await;
    }
}

#[tokio::test]
async fn a_stream_is_cut_with_its_dialects_error_when_a_token_limit_is_used_up() {
    let _clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for scope in ["key", "team", "global", "model", "provider", "ip"] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {scope}"));
            let answer = Answer {
                tokens: vec!["0123456789".repeat(20); 40],
                ..Answer::tokens(0)
            };
            let mut steps = answer.steps_until(wire, Pace::Gate, usize::MAX);
            steps.push(Step::Hang);
            let upstream = Upstream::always(steps).await;
            let (proxy, client) = start(
                scoped(wire, &upstream, scope, "{ tokens_per_minute = 1000 }")
                    .section("limits", "on_exceeded = \"cut\"\nreserve_output = 100"),
            )
            .await;
            let connection = client.send(&Request::chat(dialect, "m", true)).await;
            upstream.requests(1).await;
            for _ in 0..40 {
                upstream.open(1);
                settle().await;
            }
            let mut reply = connection.head().await;
            assert_eq!(reply.status, 200);
            let received = reply.received().await;
            assert!(
                received.is_failure() && received.code() == "rate_limited",
                "{received:?}"
            );
            let tokens = received.text().len() as u64 / 4;
            assert!((950..1200).contains(&tokens), "cut after {tokens} tokens");
            assert!(
                received.error.as_ref().unwrap().1.contains(&format!(
                    "the {scope} limit of 1000 tokens per minute ran out"
                )),
                "{received:?}"
            );
            upstream.closed(0).await;
            proxy.at_rest().await;
            assert_eq!(proxy.running.current_load().reserved, 0);
            let status = client.status(&reply.stream_id()).await;
            assert_eq!(
                (&status["status"], &status["upstream"]),
                (&json!("failed"), &json!("closed")),
                "{status}"
            );
            let refused = client.ask(&Request::chat(dialect, "m", true)).await;
            assert_eq!(refused.status, 429, "the streamed text is charged");
        }
    }
}

/// A limit of that scope over model `m`.
fn scoped(wire: WireId, upstream: &Upstream, scope: &str, limit: &str) -> Setup {
    let setup = with_key_limits(
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
async fn a_stream_that_may_finish_overdraws_its_limit() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let answer = Answer {
            tokens: vec!["0123456789".repeat(20); 40],
            usage: (11, 2000),
            ..Answer::tokens(0)
        };
        let upstream = Upstream::start(answer.script(wire, Pace::Gate)).await;
        let setup = with_key_limits(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 1000 }",
        )
        .section("limits", "reserve_output = 100");
        let (proxy, client) = start(setup).await;
        let connection = client.send(&Request::chat(dialect, "m", true)).await;
        upstream.requests(1).await;
        upstream.open(41);
        assert!(connection.head().await.received().await.is_success());
        proxy.at_rest().await;
        let refused = client.ask(&Request::chat(dialect, "m", true)).await;
        // 2011 tokens were used; the limit refills 1000 per minute, and the request needs 104.
        assert_eq!(
            (refused.status, number(&refused, "retry-after-ms")),
            (429, 66_900)
        );
        clock.advance(Duration::from_millis(66_900)).await;
        let admitted = client.send(&Request::chat(dialect, "m", true)).await;
        upstream.requests(2).await;
        upstream.open(41);
        assert_eq!(admitted.head().await.status, 200);
    }
}

#[tokio::test]
async fn every_limit_of_every_scope_refuses_before_the_upstream_is_called() {
    let _clock = VirtualClock::start();
    for dialect in dialects() {
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
                let _case = Case::new(format!("{dialect:?}, {scope}: {limit}"));
                if scope == "ip" && limit.contains("requests") {
                    continue;
                }
                let wire = WireId::OpenaiChat;
                let upstream = Upstream::start(Answer::tokens(2).script(wire, Pace::Gate)).await;
                let (_proxy, client) = start(scoped(wire, &upstream, scope, limit)).await;
                let request = with_user(Request::chat(dialect, "m", true), dialect, "ann");
                let _running = client.send(&request).await;
                upstream.requests(1).await;
                let mut refused = client.ask(&request).await;
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
                        .send(&with_user(
                            Request::chat(dialect, "m", true),
                            dialect,
                            "bob",
                        ))
                        .await;
                    upstream.requests(2).await;
                }
            }
        }
    }
}

/// Adds an end user, in the dialect's own field.
fn with_user(request: Request, dialect: Dialect, user: &str) -> Request {
    match dialect {
        Dialect::Messages => request.set("metadata", json!({"user_id": user})),
        Dialect::Responses => request.set("safety_identifier", json!(user)),
        Dialect::Chat | Dialect::Events | Dialect::Ui => request.set("user", json!(user)),
    }
}

#[tokio::test]
async fn a_prompt_larger_than_a_limit_is_an_invalid_request() {
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let upstream = Upstream::silent().await;
        let (_proxy, client) = start(with_key_limits(
            Setup::new().over(WireId::OpenaiChat, &upstream),
            "{ tokens_per_minute = 100 }",
        ))
        .await;
        let mut reply = client
            .ask(&Request::chat(dialect, "m", true).with_text(&"word ".repeat(100)))
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
async fn rate_limit_fields_report_the_tightest_limit_of_each_kind() {
    let _clock = VirtualClock::start();
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let upstream =
            Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await;
        let setup = with_key_limits(
            Setup::new().over(WireId::OpenaiChat, &upstream),
            "{ requests_per_minute = 60, tokens_per_minute = 200000 }",
        );
        let setup = setup
            .section("limits", "global = { requests_per_minute = 600, tokens_per_minute = 100000 }\nip = { requests_per_minute = 1000 }");
        let (_proxy, client) = start(setup).await;
        let reply = client.ask(&Request::chat(dialect, "m", true)).await;
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
        let prefix = if dialect == Dialect::Messages {
            "anthropic-ratelimit"
        } else {
            "x-ratelimit"
        };
        let named = |kind: &str, what: &str| match dialect {
            Dialect::Messages => format!("{prefix}-{kind}-{what}"),
            _ => format!("{prefix}-{what}-{kind}"),
        };
        let of = |kind, what| number(&reply, &named(kind, what));
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
            if dialect == Dialect::Messages {
                reset.ends_with('Z')
            } else {
                reset == "602ms"
            },
            "{reset}"
        );
    }
}

#[tokio::test]
async fn joining_a_stream_takes_no_limit_and_a_cancel_is_never_refused() {
    let _clock = VirtualClock::start();
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let upstream =
            Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Gate)).await;
        let one = "{ requests_per_minute = 1, tokens_per_minute = 1100, concurrent_streams = 1 }";
        let (proxy, client) = start(with_key_limits(
            Setup::new().over(WireId::OpenaiChat, &upstream),
            one,
        ))
        .await;
        let request = Request::chat(dialect, "m", true).header("idempotency-key", "once");
        let first = client.send(&request).await;
        upstream.requests(1).await;
        let (again, other) = (
            client.send(&request).await,
            client.ask(&Request::chat(dialect, "m", true)).await,
        );
        assert_eq!(other.status, 429, "nothing is left of the limits");
        upstream.open(1);
        let (first, again) = (first.head().await, again.head().await);
        assert_eq!((first.stream_id(), again.status), (again.stream_id(), 200));
        assert_eq!(
            client
                .resume(dialect, &first.stream_id(), None)
                .await
                .status,
            200,
            "resuming takes no limit either"
        );
        assert_eq!(client.cancel(&first.stream_id()).await.status, 200);
        upstream.closed(0).await;
        proxy.at_rest().await;
        assert_eq!(
            (proxy.running.current_load().reserved, upstream.count()),
            (0, 1)
        );
    }
}

#[tokio::test]
async fn a_provider_without_free_slots_is_skipped_and_a_failing_one_releases_its_slot() {
    let clock = VirtualClock::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic] {
        let _case = Case::new(format!("{wire:?}"));
        let gated = Answer::tokens(2).script(wire, Pace::Gate);
        let refusal = whole(500, encode::refusal(wire, 500, "not now").to_string());
        let upstream = Upstream::start(move |call, n| {
            if n < 1 {
                gated(call, n)
            } else {
                refusal.clone()
            }
        })
        .await;
        let spare = Upstream::start(Answer::tokens(2).script(wire, Pace::Gate)).await;
        let setup = Setup::new()
            .over_two(wire, &upstream, &spare)
            .section("models.m", "retries = 0");
        let setup = setup
            .section("providers.up", "limits = { concurrent_streams = 1 }")
            .section("providers.spare", "limits = { concurrent_streams = 1 }");
        let proxy = setup.start().await;
        let request = Request::chat(Dialect::Events, "m", true).cancel_on_disconnect();
        let first = proxy.client.ask(&request).await;
        upstream.requests(1).await;
        let second = proxy.client.ask(&request).await;
        spare.requests(1).await;
        assert_eq!(proxy.running.current_load().permits, 2);
        let mut third = proxy.client.ask(&request).await;
        assert_eq!(
            (third.status, &third.json().await["error"]["limit"]),
            (429, &json!("provider"))
        );
        assert_eq!((upstream.count(), spare.count()), (1, 1));
        drop(first);
        upstream.closed(0).await;
        // The first target fails; the second has no free slot.
        let mut fourth = proxy.client.ask(&request).await;
        let received: Received = clock
            .takes_at_most(Duration::from_secs(5), "a failure", fourth.received())
            .await;
        assert_eq!(
            (
                received.code(),
                upstream.count(),
                proxy.running.current_load().permits
            ),
            ("rate_limited", 2, 1),
            "{received:?}"
        );
        drop(second);
        spare.closed(0).await;
        let fifth = proxy.client.ask(&request).await;
        spare.requests(2).await;
        assert_eq!(
            (upstream.count(), proxy.running.current_load().permits),
            (3, 1),
            "never two streams at a time"
        );
        drop(fifth);
        proxy.at_rest().await;
    }
}

#[tokio::test]
async fn a_finishing_stream_holds_no_slot_and_pays_its_true_usage() {
    let _clock = VirtualClock::start();
    for wire in [WireId::OpenaiChat, WireId::Anthropic] {
        let _case = Case::new(format!("{wire:?}"));
        let answer = Answer {
            usage: (11, 700),
            ..Answer::tokens(3)
        };
        let upstream = Upstream::start(answer.script(wire, Pace::Gate)).await;
        let setup = with_key_limits(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 100000, concurrent_streams = 1 }",
        );
        let (proxy, client) = start(setup.section("providers.up", "on_cancel = \"finish\"")).await;
        let reply = client.ask(&Request::chat(Dialect::Events, "m", true)).await;
        upstream.requests(1).await;
        upstream.open(1);
        assert_eq!(client.cancel(&reply.stream_id()).await.status, 200);
        let gauges = proxy.running.current_load();
        assert_eq!(
            (gauges.permits, gauges.reserved),
            (0, PROMPT + RESERVE),
            "the slot is free; the cost is not known yet"
        );
        let next = client.ask(&Request::chat(Dialect::Events, "m", true)).await;
        assert_eq!(next.status, 200);
        upstream.requests(2).await;
        upstream.open(8);
        upstream.ended(0).await;
        upstream.ended(1).await;
        drop(next);
        proxy.at_rest().await;
        let reply = client.ask(&Request::chat(Dialect::Events, "m", true)).await;
        assert_eq!(
            tokens_left(&reply, Dialect::Events),
            100_000 - 2 * 711 - PROMPT - RESERVE
        );
    }
}

#[tokio::test]
async fn a_reload_keeps_usage_and_applies_new_limits_at_once() {
    let _clock = VirtualClock::start();
    let wire = WireId::OpenaiChat;
    let upstream = Upstream::start(
        Answer {
            usage: (100, 900),
            ..Answer::tokens(2)
        }
        .script(wire, Pace::Flat),
    )
    .await;
    let setup = |figures: &str| with_key_limits(Setup::new().over(wire, &upstream), figures);
    let (proxy, client) = start(setup(
        "{ tokens_per_minute = 3000, requests_per_minute = 3 }",
    ))
    .await;
    let request = Request::chat(Dialect::Chat, "m", true);
    assert!(client.ask(&request).await.received().await.is_success());
    proxy
        .running
        .reload(setup("{ tokens_per_minute = 5000, requests_per_minute = 2 }").config())
        .unwrap();
    let mut reply = client.ask(&request).await;
    assert_eq!(
        (
            tokens_left(&reply, Dialect::Chat),
            number(&reply, "x-ratelimit-remaining-requests")
        ),
        (4000 - PROMPT - RESERVE, 0)
    );
    assert!(reply.received().await.is_success());
    assert_eq!(client.ask(&request).await.status, 429);
    proxy
        .running
        .reload(setup("{ tokens_per_minute = 5000, requests_per_minute = 4 }").config())
        .unwrap();
    assert_eq!(client.ask(&request).await.status, 200);
}

#[tokio::test]
async fn counting_a_prompt_is_a_request_and_takes_no_tokens() {
    let _clock = VirtualClock::start();
    let upstream = Upstream::always(whole(200, json!({"input_tokens": 5}).to_string())).await;
    let setup = with_key_limits(
        Setup::new().over(WireId::Anthropic, &upstream),
        "{ tokens_per_minute = 3000, requests_per_minute = 3 }",
    );
    let (proxy, client) = start(setup).await;
    let body: Value =
        json!({"model": "m", "messages": [{"role": "user", "content": "Say something."}]});
    for left in [2, 1, 0] {
        let reply = client
            .ask(&Request::new("POST", "/v1/messages/count_tokens").json(&body))
            .await;
        assert_eq!(
            (
                reply.status,
                number(&reply, "anthropic-ratelimit-requests-remaining")
            ),
            (200, left)
        );
        assert_eq!(tokens_left(&reply, Dialect::Messages), 3000);
    }
    assert_eq!(
        client
            .ask(&Request::new("POST", "/v1/messages/count_tokens").json(&body))
            .await
            .status,
        429
    );
    proxy.at_rest().await;
}

#[tokio::test]
async fn reads_have_a_generous_limit_and_cancels_have_none() {
    let _clock = VirtualClock::start();
    let upstream = Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Gate)).await;
    let (_proxy, client) = start(with_key_limits(
        Setup::new().over(WireId::OpenaiChat, &upstream),
        "{ requests_per_minute = 5 }",
    ))
    .await;
    let id = client
        .ask(&Request::chat(Dialect::Events, "m", true))
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
            .ask(&Request::chat(Dialect::Events, "m", true))
            .await
            .status,
        200,
        "generations have a limit of their own"
    );
    assert_eq!(client.cancel(&id).await.status, 200);
}

#[tokio::test]
async fn a_stream_cut_by_a_limit_does_not_count_against_the_provider() {
    let _clock = VirtualClock::start();
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let answer = Answer {
            tokens: vec!["0123456789".repeat(20); 40],
            ..Answer::tokens(0)
        };
        let upstream = Upstream::always(never_ending(wire, &answer)).await;
        let setup = with_key_limits(
            Setup::new().over(wire, &upstream),
            "{ tokens_per_minute = 1000 }",
        )
        .section("keys.bob", "secret = \"bob-0123456789abcdef\"");
        let (proxy, ann) =
            start(setup.section("limits", "on_exceeded = \"cut\"\nreserve_output = 10")).await;
        let received = ann
            .ask(&Request::chat(Dialect::Events, "m", true))
            .await
            .received()
            .await;
        assert_eq!(received.code(), "rate_limited", "{received:?}");
        upstream.closed(0).await;
        let mut reply = proxy
            .client
            .with_key("bob-0123456789abcdef")
            .ask(&Request::chat(Dialect::Events, "m", true))
            .await;
        reply.until(|received| !received.text().is_empty()).await;
        assert_eq!(upstream.count(), 2, "the target is not paused");
    }
}
