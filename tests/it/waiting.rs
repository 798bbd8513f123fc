//! Waiting and pressure: silence, clocks, latency, slow readers, hostile upstreams, and everything
//! given back at the end.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::relay::Relay;
use crate::rig::upstream::{Head, Step, json as whole, refusing, unreachable};
use crate::rig::{
    Ask, Client, Ending, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Told, Upstream, Virtual,
    WireId, by_turns, name, pairs, say, within,
};

/// Ninety seconds.
const SILENCE: Duration = Duration::from_secs(90);
/// Longer than any of it takes.
const LONG: Duration = Duration::from_secs(300);

/// An answer with that silence before its head, and one with it after two tokens.
fn silences(wire: WireId) -> [Vec<Step>; 2] {
    let early = [
        vec![Step::Pause(SILENCE)],
        Say::tokens(4).steps(wire, Pace::Flat),
    ]
    .concat();
    let mut late = Say::tokens(4).steps(wire, Pace::Flat);
    let middle = late.len() - 4;
    late.insert(middle, Step::Pause(SILENCE));
    [early, late]
}

#[tokio::test]
async fn b25_ninety_seconds_of_silence_with_default_clocks() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        for (n, steps) in silences(wire).into_iter().enumerate() {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, silence {n}"));
            let upstream = Upstream::always(steps).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let ask = Ask::chat(speech, "m", true);
            let read = async { proxy.client.ask(&ask).await.told().await };
            let told = clock.takes_at_most(LONG, "the end", read).await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), Say::tokens(4).text());
            assert_eq!(upstream.count(), 1);
        }
    }
}

#[tokio::test]
async fn b25_ninety_seconds_of_silence_behind_an_impatient_intermediary() {
    let clock = Virtual::start();
    for (speech, wire) in pairs() {
        for (n, steps) in silences(wire).into_iter().enumerate() {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, silence {n}"));
            let upstream = Upstream::always(steps).await;
            let setup = Setup::new()
                .over(wire, &upstream)
                .section("streams", "heartbeat = \"2s\"\ncommit_after = \"2s\"");
            let proxy = setup.start().await;
            let relay = Relay::start(proxy.running.addr(), Duration::from_secs(5)).await;
            let client = proxy.client.through(relay.addr);
            let ask = Ask::chat(speech, "m", true);
            let read = async { client.ask(&ask).await.told().await };
            let told = clock.takes_at_most(LONG, "the end", read).await;
            assert!(told.is_success(), "{told:?}");
            assert_eq!(told.text(), Say::tokens(4).text());
        }
    }
}

#[tokio::test]
async fn b26_an_early_200_hides_no_error() {
    let clock = Virtual::start();
    for (speech, wire) in pairs().filter(|(speech, _)| !speech.answers_at_once()) {
        for opening in [false, true] {
            for (seconds, status) in [(5, 502), (9, 502), (11, 200), (25, 200)] {
                let _scene = Scene::of(format!(
                    "{speech:?} over {wire:?}, an error after {seconds} s, after an opening: {opening}"
                ));
                let upstream =
                    Upstream::always(late_error(wire, opening, Duration::from_secs(seconds))).await;
                let proxy = Setup::new()
                    .over(wire, &upstream)
                    .section("models.m", "retries = 0")
                    .start()
                    .await;
                let ask = Ask::chat(speech, "m", true);
                let mut reply = clock
                    .takes_at_most(LONG, "the head", proxy.client.ask(&ask))
                    .await;
                assert_eq!(reply.status, status);
                if status == 200 {
                    let told = clock.takes_at_most(LONG, "the end", reply.told()).await;
                    assert!(told.is_failure(), "{told:?}");
                    assert!(
                        reply.heartbeats() >= 1,
                        "the head was committed with a heartbeat"
                    );
                    assert!(told.error.unwrap().1.contains("it broke"));
                } else {
                    assert!(
                        reply.json().await["error"]["message"]
                            .as_str()
                            .unwrap()
                            .contains("it broke")
                    );
                }
            }
        }
    }
}

fn late_error(wire: WireId, opening: bool, after: Duration) -> Vec<Step> {
    if !opening {
        return [
            vec![Step::Pause(after)],
            whole(500, say::refusal(wire, 500, "it broke").to_string()),
        ]
        .concat();
    }
    let mut steps = Say::tokens(1).steps_until(wire, Pace::Flat, 0);
    steps.extend([
        Step::Pause(after),
        Step::Write(say::error(wire, "it broke")),
        Step::End,
    ]);
    steps
}

#[tokio::test]
async fn b27_every_event_is_on_the_wire_at_once() {
    const TOKENS: usize = 60;
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(Say::tokens(TOKENS).script(wire, Pace::Gate)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let connection = proxy.client.send(&Ask::chat(speech, "m", true)).await;
        upstream.requests(1).await;
        let mut times = Vec::new();
        let begun = Instant::now();
        upstream.open(1);
        let mut reply = connection.head().await;
        token(&mut reply).await;
        times.push(begun.elapsed());
        for _ in 1..TOKENS {
            let begun = Instant::now();
            upstream.open(1);
            token(&mut reply).await;
            times.push(begun.elapsed());
        }
        let nagled = times
            .iter()
            .filter(|it| (38..60).contains(&it.as_millis()))
            .count();
        let first = times[0];
        times.sort_unstable();
        let median = times[TOKENS / 2];
        assert!(
            median < Duration::from_millis(5),
            "the median is {median:?}"
        );
        assert!(
            nagled * 5 < TOKENS,
            "{nagled} of {TOKENS} tokens took about 40 ms"
        );
        assert!(
            first < Duration::from_millis(500),
            "the first token took {first:?}"
        );
    }
}

/// Reads up to the next text.
async fn token(reply: &mut Reply) {
    reply.until(|told| !told.text().is_empty()).await;
}

#[tokio::test]
async fn b28_a_reader_that_reads_nothing_costs_what_is_configured_and_delays_nobody() {
    const TOKENS: usize = 1200;
    let large = |n: usize| format!("{n} {}", "x".repeat(32 * 1024));
    let said = Say {
        tokens: (0..TOKENS).map(large).collect(),
        ..Say::tokens(0)
    };
    let upstream = Upstream::start(said.script(WireId::Anthropic, Pace::Gate)).await;
    let setup = Setup::new()
        .over(WireId::Anthropic, &upstream)
        .section("streams", "max_stream = \"1MiB\"\nmemory = \"4MiB\"");
    let proxy = setup.start().await;
    let mut idle = proxy
        .client
        .ask(&Ask::chat(Speech::Events, "m", true))
        .await;
    let id = idle.stream_id();
    let mut good = proxy.client.follow(Speech::Events, &id).await;
    for n in 0..TOKENS {
        upstream.open(1);
        let events = good.until(|told| !told.text().is_empty()).await;
        assert!(
            events.last().unwrap().json()["delta"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{n} ")),
            "none is lost or late"
        );
    }
    upstream.open(2);
    assert!(good.told().await.is_success());
    assert_eq!(proxy.client.status(&id).await["status"], "completed");
    let (events, ending) = idle.events().await;
    let told = Told::of(Speech::Events, &events);
    assert_eq!(ending, Ending::Proper);
    assert_eq!(
        told.code(),
        "replay_expired",
        "a reader that was overtaken is told so"
    );
    assert_eq!(
        events.iter().filter(|it| it.name == "end").count(),
        1,
        "and that is its end"
    );
    let last = events
        .iter()
        .rev()
        .find(|it| it.name == "text")
        .and_then(|it| it.id.clone())
        .unwrap();
    let mut behind = proxy.client.resume(Speech::Events, &id, Some(&last)).await;
    let body = behind.json().await;
    assert_eq!(
        (behind.status, body["error"]["code"].as_str()),
        (410, Some("replay_expired")),
        "{body}"
    );
    proxy.at_rest().await;
}

/// A clock that runs out: its name, and an upstream that lets it.
fn slow_ones(wire: WireId) -> [(&'static str, Vec<Step>); 4] {
    let opened = |count| Say::tokens(99).steps_until(wire, Pace::Flat, count);
    [
        ("headers", vec![Step::Hang]),
        ("first", [opened(0), vec![Step::Hang]].concat()),
        ("idle", [opened(2), vec![Step::Hang]].concat()),
        (
            "total",
            Say::tokens(99).steps(wire, Pace::Every(Duration::from_secs(1))),
        ),
    ]
}

fn clocks(setup: Setup) -> Setup {
    let clocks = "timeouts = { connect = \"1s\", headers = \"2s\", first_token = \"3s\", idle = \"4s\", total = \"9s\" }";
    setup
        .section("providers.up", clocks)
        .section("models.m", "retries = 0")
}

#[tokio::test]
async fn b29_each_clock_has_its_own_error() {
    let clock = Virtual::start();
    let (blackhole, _held) = unreachable();
    for (speech, wire) in pairs() {
        let setup = clocks(
            Setup::new()
                .provider("up", wire, blackhole)
                .model("m", "[\"up/m-up\"]"),
        );
        timed_out(&clock, speech, &setup.start().await.client, "connect").await;
        for (name, steps) in slow_ones(wire) {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {name}"));
            let upstream = Upstream::always(steps).await;
            let proxy = clocks(Setup::new().over(wire, &upstream)).start().await;
            timed_out(&clock, speech, &proxy.client, name).await;
            upstream.closed(0).await;
            proxy.at_rest().await;
        }
    }
}

async fn timed_out(clock: &Virtual, speech: Speech, client: &Client, name: &str) {
    let asked = async {
        let mut reply = client.ask(&Ask::chat(speech, "m", true)).await;
        if reply.status == 200 {
            let told = reply.told().await;
            assert!(told.is_failure(), "{told:?}");
            return (200, told.error.unwrap());
        }
        let body = reply.json().await;
        let text = |field: &str| body["error"][field].as_str().unwrap().to_owned();
        (reply.status, (text("code"), text("message")))
    };
    let (status, (code, message)) = clock
        .takes_at_most(Duration::from_secs(10), name, asked)
        .await;
    let early = matches!(name, "connect" | "headers" | "first");
    assert_eq!(
        status,
        if early && !speech.answers_at_once() {
            504
        } else {
            200
        },
        "{name}: {message}"
    );
    assert_eq!(code, "upstream_timeout", "{name}: {message}");
    assert!(
        message.contains(name),
        "the message names the clock {name}: {message}"
    );
}

#[tokio::test]
async fn b29_an_early_clock_falls_back() {
    let clock = Virtual::start();
    let (blackhole, _held) = unreachable();
    let refused = refusing().await;
    for (speech, wire) in pairs() {
        for (name, steps) in slow_ones(wire).into_iter().take(2) {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {name}"));
            let upstream = Upstream::always(steps).await;
            fell_back(&clock, speech, wire, upstream.addr).await;
        }
        for addr in [blackhole, refused] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, no connection to {addr}"));
            fell_back(&clock, speech, wire, addr).await;
        }
    }
}

async fn fell_back(clock: &Virtual, speech: Speech, wire: WireId, first: std::net::SocketAddr) {
    let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
    let setup = Setup::new()
        .provider("up", wire, first)
        .provider("spare", wire, spare.addr);
    let proxy = clocks(setup.model("m", "[\"up/m-up\", \"spare/m-spare\"]"))
        .start()
        .await;
    let ask = Ask::chat(speech, "m", true);
    let read = async { proxy.client.ask(&ask).await.told().await };
    let told = clock
        .takes_at_most(Duration::from_secs(10), "the fallback", read)
        .await;
    assert!(told.is_success(), "{told:?}");
    assert_eq!(told.text(), "tok0 tok1 tok2 ");
}

/// What no upstream should send.
fn hostile(wire: WireId) -> Vec<Vec<u8>> {
    let name = "\u{0}".repeat(3);
    let deep = format!("data: {}\n\n", "[".repeat(100_000));
    let mut all: Vec<Vec<u8>> = [
        "data: null\n\n",
        "data: []\n\n",
        "data: 1e999\n\n",
        "data: {\"choices\":null}\n\n",
        "data: {\"choices\":[{\"index\":65535,\"delta\":{\"content\":\"x\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":-1,\"delta\":{\"content\":\"x\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":4000000000}]}}]}\n\n",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":99999,\"delta\":{\"type\":\"text_delta\"}}\n\n",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\"}\n\n",
        "data: {\"candidates\":[{\"index\":70000,\"content\":{\"parts\":[{\"text\":7}]}}]}\n\n",
        "data: {\"candidates\":{}}\n\n",
        "data: {\"error\":{}}\n\n",
        "data: {\"error\":\"\"}\n\n",
        "data: \"\\ud800\"\n\n",
        "<html>",
        "",
    ]
    .iter()
    .map(|it| it.as_bytes().to_vec())
    .collect();
    all.extend([
        deep.into_bytes(),
        format!("event: {name}\ndata: {{}}\n\n").into_bytes(),
        vec![0xff; 4096],
        vec![b'\n'; 4096],
    ]);
    let half = Say::tokens(3).stream(wire);
    all.push(half[..half.len() / 2].to_vec());
    all
}

#[tokio::test]
async fn b30_a_hostile_upstream_harms_only_its_own_stream() {
    for (speech, wire) in pairs() {
        let calm = Upstream::start(Say::tokens(200).script(wire, Pace::Gate)).await;
        let wild = Upstream::start(move |_, n| {
            let bytes = hostile(wire).swap_remove(n / 2);
            let head = if n % 2 == 0 {
                Head::sse()
            } else {
                Head::ok("application/json")
            };
            vec![Step::Head(head), Step::Write(bytes.into()), Step::End]
        })
        .await;
        let setup = Setup::new()
            .provider("calm", wire, calm.addr)
            .provider("wild", wire, wild.addr);
        let setup = setup
            .model("calm", "[\"calm/m\"]")
            .model("wild", "[\"wild/m\"]")
            .section("models.wild", "retries = 0");
        let proxy = setup.forgiving().start().await;
        calm.open(1);
        let mut good = proxy.client.ask(&Ask::chat(speech, "calm", true)).await;
        for n in 0..hostile(wire).len() * 2 {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, hostile answer {n}"));
            let mut reply = proxy.client.ask(&Ask::chat(speech, "wild", true)).await;
            if reply
                .header("content-type")
                .is_some_and(|it| it.starts_with("text/event-stream"))
            {
                let told = reply.told().await;
                assert!(!told.cut && told.ends == 1, "{told:?}");
            } else {
                assert!(
                    reply.status >= 400 && !reply.json().await["error"].is_null(),
                    "{}",
                    reply.status
                );
            }
            calm.open(1);
        }
        calm.open(200);
        let told = good.told().await;
        assert!(told.is_success(), "{told:?}");
        assert_eq!(told.text(), Say::tokens(200).text());
        proxy.at_rest().await;
    }
}

/// How one of many streams ends.
const KINDS: [&str; 10] = [
    "good",
    "reset",
    "cut",
    "refused",
    "idle",
    "silent",
    "cancelled",
    "left",
    "left early",
    "whole",
];

fn runs_out_of_time(n: usize) -> bool {
    matches!(KINDS[n % KINDS.len()], "idle" | "silent")
}

async fn all(mut tasks: JoinSet<()>) {
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn b31_two_thousand_streams_of_every_ending_leave_nothing_behind() {
    const STREAMS: usize = 2000;
    const AT_ONCE: usize = 100;
    let clock = Virtual::start();
    let upstream =
        Upstream::start(|call, _| ending(call.json()["messages"][0]["content"].as_str().unwrap()))
            .await;
    let setup = clocks(Setup::new().over(WireId::OpenaiChat, &upstream));
    let proxy = setup
        .section("limits", "global = { concurrent_streams = 200 }")
        .section("streams", "retention = \"1s\"")
        .forgiving()
        .start()
        .await;
    for wave in 0..STREAMS / AT_ONCE {
        let (mut timed, mut others) = (JoinSet::new(), JoinSet::new());
        for n in wave * AT_ONCE..(wave + 1) * AT_ONCE {
            let set = if runs_out_of_time(n) {
                &mut timed
            } else {
                &mut others
            };
            set.spawn(live(proxy.client.clone(), n));
        }
        within("streams to end that need no time", all(others)).await;
        clock
            .takes_at_most(LONG, "the others to run out of time", all(timed))
            .await;
    }
    clock.pass(Duration::from_secs(20)).await;
    proxy.at_rest().await;
    let list = proxy
        .client
        .get("/v1/streams?status=running&limit=20")
        .await
        .json()
        .await;
    assert_eq!(
        (list["data"].as_array().unwrap().len(), &list["has_more"]),
        (0, &json!(false)),
        "{list}"
    );
    clock.pass(Duration::from_secs(20)).await;
    let list = proxy.client.get("/v1/streams?limit=20").await.json().await;
    assert_eq!(list["data"], json!([]), "after retention nothing is left");
}

/// What the upstream does for a stream of this kind.
fn ending(kind: &str) -> Vec<Step> {
    let wire = WireId::OpenaiChat;
    let opened = |last| {
        [
            Say::tokens(9).steps_until(wire, Pace::Flat, 5),
            vec![Step::Yield, last],
        ]
        .concat()
    };
    match kind {
        "reset" => opened(Step::Reset),
        "cut" => opened(Step::Truncate),
        "refused" => whole(500, say::refusal(wire, 500, "no").to_string()),
        "idle" | "cancelled" | "left" => opened(Step::Hang),
        "silent" => vec![Step::Hang],
        _ => Say::tokens(9).steps(wire, Pace::Flat),
    }
}

/// Lives through stream number `n`, to the end of its kind.
async fn live(client: Client, n: usize) {
    let speech = by_turns(n / KINDS.len());
    let kind = KINDS[n % KINDS.len()];
    let _scene = Scene::of(format!("stream {n}, {kind}, {speech:?}"));
    let ask = Ask::chat(speech, "m", kind != "whole").saying(kind);
    match kind {
        "left early" => drop(client.send(&ask).await),
        "left" => {
            let mut reply = client.ask(&ask).await;
            reply.until(|told| told.text().contains("tok4")).await;
            reply.abort();
        }
        "cancelled" => {
            let reply = client.send(&ask.named(&name(n))).await;
            let mut reply = reply.head().await;
            reply.until(|told| told.text().contains("tok4")).await;
            assert_eq!(client.cancel(&name(n)).await.status, 200);
            assert_eq!(reply.events().await.1, Ending::Proper);
        }
        "whole" => drop(client.ask(&ask).await.whole().await),
        _ => drop(
            within("the end of a stream", async {
                client.ask(&ask).await.whole().await
            })
            .await,
        ),
    }
}
