//! Waiting and load: silence, timeouts, latency, slow readers, hostile upstreams, and the return of
//! every resource.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::rig::relay::Relay;
use crate::rig::upstream::{Head, Step, json as whole, refusing_address, unresponsive_address};
use crate::rig::{
    Answer, Case, Client, Dialect, Ending, Pace, Proxy, Received, Reply, Request, Setup, Upstream,
    VirtualClock, WireId, encode, name, nth_dialect, pairs, within,
};

/// Ninety seconds.
const SILENCE: Duration = Duration::from_secs(90);
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(300);

/// An answer with that silence before its head, and one with it after two tokens.
fn silences(wire: WireId) -> [Vec<Step>; 2] {
    let early = [
        vec![Step::Pause(SILENCE)],
        Answer::tokens(4).steps(wire, Pace::Flat),
    ]
    .concat();
    let mut late = Answer::tokens(4).steps(wire, Pace::Flat);
    let middle = late.len() - 4;
    late.insert(middle, Step::Pause(SILENCE));
    [early, late]
}

#[tokio::test]
async fn b25_ninety_seconds_of_silence_with_default_timeouts() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for (n, steps) in silences(wire).into_iter().enumerate() {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, silence {n}"));
            let upstream = Upstream::always(steps).await;
            let proxy = Proxy::over(wire, &upstream).await;
            let request = Request::chat(dialect, "m", true);
            let read = async { proxy.client.ask(&request).await.received().await };
            let received = clock.takes_at_most(LONG, "the end", read).await;
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), Answer::tokens(4).text());
            assert_eq!(upstream.count(), 1);
        }
    }
}

#[tokio::test]
async fn b25_ninety_seconds_of_silence_through_an_impatient_intermediary() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs() {
        for (n, steps) in silences(wire).into_iter().enumerate() {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, silence {n}"));
            let upstream = Upstream::always(steps).await;
            let setup = Setup::new()
                .over(wire, &upstream)
                .section("streams", "heartbeat = \"2s\"\ncommit_after = \"2s\"");
            let proxy = setup.start().await;
            let relay = Relay::start(proxy.running.addr(), Duration::from_secs(5)).await;
            let client = proxy.client.through(relay.addr);
            let request = Request::chat(dialect, "m", true);
            let read = async { client.ask(&request).await.received().await };
            let received = clock.takes_at_most(LONG, "the end", read).await;
            assert!(received.is_success(), "{received:?}");
            assert_eq!(received.text(), Answer::tokens(4).text());
        }
    }
}

#[tokio::test]
async fn b26_an_early_200_hides_no_error() {
    let clock = VirtualClock::start();
    for (dialect, wire) in pairs().filter(|(dialect, _)| !dialect.answers_at_once()) {
        for opening in [false, true] {
            for (seconds, status) in [(5, 502), (9, 502), (11, 200), (25, 200)] {
                let _case = Case::new(format!(
                    "{dialect:?} over {wire:?}, an error after {seconds} s, after an opening: {opening}"
                ));
                let upstream =
                    Upstream::always(late_error(wire, opening, Duration::from_secs(seconds))).await;
                let proxy = Setup::new()
                    .over(wire, &upstream)
                    .section("models.m", "retries = 0")
                    .start()
                    .await;
                let request = Request::chat(dialect, "m", true);
                let mut reply = clock
                    .takes_at_most(LONG, "the head", proxy.client.ask(&request))
                    .await;
                assert_eq!(reply.status, status);
                if status == 200 {
                    let received = clock.takes_at_most(LONG, "the end", reply.received()).await;
                    assert!(received.is_failure(), "{received:?}");
                    assert!(
                        reply.heartbeats() >= 1,
                        "the head was committed with a heartbeat"
                    );
                    assert!(received.error.unwrap().1.contains("it broke"));
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
            whole(500, encode::refusal(wire, 500, "it broke").to_string()),
        ]
        .concat();
    }
    let mut steps = Answer::tokens(1).steps_until(wire, Pace::Flat, 0);
    steps.extend([
        Step::Pause(after),
        Step::Write(encode::error(wire, "it broke")),
        Step::End,
    ]);
    steps
}

#[tokio::test]
async fn b27_every_event_is_sent_at_once() {
    const TOKENS: usize = 60;
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(TOKENS).script(wire, Pace::Gate)).await;
        let proxy = Proxy::over(wire, &upstream).await;
        let connection = proxy.client.send(&Request::chat(dialect, "m", true)).await;
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
    reply.until(|received| !received.text().is_empty()).await;
}

#[tokio::test]
async fn b28_an_idle_reader_costs_bounded_memory_and_delays_no_other() {
    const TOKENS: usize = 1200;
    let large = |n: usize| format!("{n} {}", "x".repeat(32 * 1024));
    let answer = Answer {
        tokens: (0..TOKENS).map(large).collect(),
        ..Answer::tokens(0)
    };
    let upstream = Upstream::start(answer.script(WireId::Anthropic, Pace::Gate)).await;
    let setup = Setup::new()
        .over(WireId::Anthropic, &upstream)
        .section("streams", "max_stream = \"1MiB\"\nmemory = \"4MiB\"");
    let proxy = setup.start().await;
    let mut idle = proxy
        .client
        .ask(&Request::chat(Dialect::Events, "m", true))
        .await;
    let id = idle.stream_id();
    let mut good = proxy.client.follow(Dialect::Events, &id).await;
    for n in 0..TOKENS {
        upstream.open(1);
        let events = good.until(|received| !received.text().is_empty()).await;
        assert!(
            events.last().unwrap().json()["delta"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{n} ")),
            "no event is lost or late"
        );
    }
    upstream.open(2);
    assert!(good.received().await.is_success());
    assert_eq!(proxy.client.status(&id).await["status"], "completed");
    let (events, ending) = idle.events().await;
    let received = Received::from_events(Dialect::Events, &events);
    assert_eq!(ending, Ending::Proper);
    assert_eq!(
        received.code(),
        "replay_expired",
        "an overtaken reader gets an error"
    );
    assert_eq!(
        events.iter().filter(|it| it.name == "end").count(),
        1,
        "the error is followed by one end"
    );
    let last = events
        .iter()
        .rev()
        .find(|it| it.name == "text")
        .and_then(|it| it.id.clone())
        .unwrap();
    let mut late = proxy.client.resume(Dialect::Events, &id, Some(&last)).await;
    let body = late.json().await;
    assert_eq!(
        (late.status, body["error"]["code"].as_str()),
        (410, Some("replay_expired")),
        "{body}"
    );
    proxy.at_rest().await;
}

/// The name of each timeout, and an upstream that lets it run out.
fn slow_upstreams(wire: WireId) -> [(&'static str, Vec<Step>); 4] {
    let opened = |count| Answer::tokens(99).steps_until(wire, Pace::Flat, count);
    [
        ("headers", vec![Step::Hang]),
        ("first", [opened(0), vec![Step::Hang]].concat()),
        ("idle", [opened(2), vec![Step::Hang]].concat()),
        (
            "total",
            Answer::tokens(99).steps(wire, Pace::Every(Duration::from_secs(1))),
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
async fn b29_each_timeout_has_its_own_error() {
    let clock = VirtualClock::start();
    let (blackhole, _held) = unresponsive_address();
    for (dialect, wire) in pairs() {
        let setup = clocks(
            Setup::new()
                .provider("up", wire, blackhole)
                .model("m", "[\"up/m-up\"]"),
        );
        timed_out(&clock, dialect, &setup.start().await.client, "connect").await;
        for (name, steps) in slow_upstreams(wire) {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {name}"));
            let upstream = Upstream::always(steps).await;
            let proxy = clocks(Setup::new().over(wire, &upstream)).start().await;
            timed_out(&clock, dialect, &proxy.client, name).await;
            upstream.closed(0).await;
            proxy.at_rest().await;
        }
    }
}

async fn timed_out(clock: &VirtualClock, dialect: Dialect, client: &Client, name: &str) {
    let asked = async {
        let mut reply = client.ask(&Request::chat(dialect, "m", true)).await;
        if reply.status == 200 {
            let received = reply.received().await;
            assert!(received.is_failure(), "{received:?}");
            return (200, received.error.unwrap());
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
        if early && !dialect.answers_at_once() {
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
async fn b29_an_early_timeout_falls_back() {
    let clock = VirtualClock::start();
    let (blackhole, _held) = unresponsive_address();
    let refused = refusing_address().await;
    for (dialect, wire) in pairs() {
        for (name, steps) in slow_upstreams(wire).into_iter().take(2) {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {name}"));
            let upstream = Upstream::always(steps).await;
            check_fallback(&clock, dialect, wire, upstream.addr).await;
        }
        for addr in [blackhole, refused] {
            let _case = Case::new(format!(
                "{dialect:?} over {wire:?}, no connection to {addr}"
            ));
            check_fallback(&clock, dialect, wire, addr).await;
        }
    }
}

async fn check_fallback(
    clock: &VirtualClock,
    dialect: Dialect,
    wire: WireId,
    first: std::net::SocketAddr,
) {
    let spare = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
    let setup = Setup::new()
        .provider("up", wire, first)
        .provider("spare", wire, spare.addr);
    let proxy = clocks(setup.model("m", "[\"up/m-up\", \"spare/m-spare\"]"))
        .start()
        .await;
    let request = Request::chat(dialect, "m", true);
    let read = async { proxy.client.ask(&request).await.received().await };
    let received = clock
        .takes_at_most(Duration::from_secs(10), "the fallback", read)
        .await;
    assert!(received.is_success(), "{received:?}");
    assert_eq!(received.text(), "tok0 tok1 tok2 ");
}

/// Bytes that no upstream should send.
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
    let half = Answer::tokens(3).stream(wire);
    all.push(half[..half.len() / 2].to_vec());
    all
}

#[tokio::test]
async fn b30_a_hostile_upstream_harms_only_its_own_stream() {
    for (dialect, wire) in pairs() {
        let calm = Upstream::start(Answer::tokens(200).script(wire, Pace::Gate)).await;
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
        let mut good = proxy
            .client
            .ask(&Request::chat(dialect, "calm", true))
            .await;
        for n in 0..hostile(wire).len() * 2 {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, hostile answer {n}"));
            let mut reply = proxy
                .client
                .ask(&Request::chat(dialect, "wild", true))
                .await;
            if reply
                .header("content-type")
                .is_some_and(|it| it.starts_with("text/event-stream"))
            {
                let received = reply.received().await;
                assert!(!received.cut && received.ends == 1, "{received:?}");
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
        let received = good.received().await;
        assert!(received.is_success(), "{received:?}");
        assert_eq!(received.text(), Answer::tokens(200).text());
        proxy.at_rest().await;
    }
}

/// The ways in which one of many streams ends.
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
    let clock = VirtualClock::start();
    let upstream = Upstream::start(|call, _| {
        upstream_steps(call.json()["messages"][0]["content"].as_str().unwrap())
    })
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
            set.spawn(run_client(proxy.client.clone(), n));
        }
        within("the streams without timeouts to end", all(others)).await;
        clock
            .takes_at_most(LONG, "the other streams to time out", all(timed))
            .await;
    }
    clock.advance(Duration::from_secs(20)).await;
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
    clock.advance(Duration::from_secs(20)).await;
    let list = proxy.client.get("/v1/streams?limit=20").await.json().await;
    assert_eq!(list["data"], json!([]), "nothing is left after retention");
}

/// Returns the steps of the upstream for a stream of this kind.
fn upstream_steps(kind: &str) -> Vec<Step> {
    let wire = WireId::OpenaiChat;
    let opened = |last| {
        [
            Answer::tokens(9).steps_until(wire, Pace::Flat, 5),
            vec![Step::Yield, last],
        ]
        .concat()
    };
    match kind {
        "reset" => opened(Step::Reset),
        "cut" => opened(Step::Truncate),
        "refused" => whole(500, encode::refusal(wire, 500, "no").to_string()),
        "idle" | "cancelled" | "left" => opened(Step::Hang),
        "silent" => vec![Step::Hang],
        _ => Answer::tokens(9).steps(wire, Pace::Flat),
    }
}

/// Runs the client of stream number `n` to the end of its kind.
async fn run_client(client: Client, n: usize) {
    let dialect = nth_dialect(n / KINDS.len());
    let kind = KINDS[n % KINDS.len()];
    let _case = Case::new(format!("stream {n}, {kind}, {dialect:?}"));
    let request = Request::chat(dialect, "m", kind != "whole").with_text(kind);
    match kind {
        "left early" => drop(client.send(&request).await),
        "left" => {
            let mut reply = client.ask(&request).await;
            reply
                .until(|received| received.text().contains("tok4"))
                .await;
            reply.abort();
        }
        "cancelled" => {
            let reply = client.send(&request.named(&name(n))).await;
            let mut reply = reply.head().await;
            reply
                .until(|received| received.text().contains("tok4"))
                .await;
            assert_eq!(client.cancel(&name(n)).await.status, 200);
            assert_eq!(reply.events().await.1, Ending::Proper);
        }
        "whole" => drop(client.ask(&request).await.whole().await),
        _ => drop(
            within("the end of a stream", async {
                client.ask(&request).await.whole().await
            })
            .await,
        ),
    }
}
