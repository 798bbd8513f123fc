//! Recording of provider answers and their replay: every wire, whole and streamed, refused and cut
//! off.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sluicegate::wire::recording::Recording;

use crate::rig::log::Log;
use crate::rig::received::Choice;
use crate::rig::upstream::{Head, Step, json as whole, pieces};
use crate::rig::{
    Answer, Case, Dialect, Ending, Pace, Proxy, Received, RecordingFolder, Reply, Request, Setup,
    Upstream, VirtualClock, WireId, chat_pairs, encode, wires, within,
};

/// Time between two tokens of a recorded answer.
const GAP: Duration = Duration::from_millis(700);
/// Longer than any recording here.
const LATER: Duration = Duration::from_secs(60);

fn with_recording(setup: Setup, provider: &str, folder: &RecordingFolder) -> Setup {
    setup.section(
        &format!("providers.{provider}"),
        &format!("record = {:?}", folder.path()),
    )
}

/// A proxy that replays the folder: `replay/<file>` is a model.
async fn player(folder: &RecordingFolder, more: &str) -> Proxy {
    player_with(Setup::new(), folder, more).await
}

async fn player_with(setup: Setup, folder: &RecordingFolder, more: &str) -> Proxy {
    setup
        .section(
            "providers.replay",
            &format!("dir = {:?}\ndirect = true\n{more}", folder.path()),
        )
        .start()
        .await
}

fn body(recording: &Recording) -> Bytes {
    recording
        .chunks
        .iter()
        .flat_map(|chunk| chunk.bytes.to_vec())
        .collect::<Vec<u8>>()
        .into()
}

/// Asserts that two answers are the same except for their tool call ids.
fn assert_same(one: &Received, other: &Received) {
    assert_eq!(
        (without_ids(one), one.usage, &one.signatures),
        (without_ids(other), other.usage, &other.signatures)
    );
    assert_eq!(
        (&one.error, one.done, one.ends, one.cut),
        (&other.error, other.done, other.ends, other.cut)
    );
}

/// The choices without tool call ids: a wire without ids gets new ones in every stream.
fn without_ids(received: &Received) -> BTreeMap<u64, Choice> {
    let mut choices = received.choices.clone();
    choices
        .values_mut()
        .flat_map(|choice| choice.tools.values_mut())
        .for_each(|(id, ..)| id.clear());
    choices
}

/// Sends a request on the virtual clock. Returns the answer, the time from the first content to the
/// end, and the stream id.
async fn ask_with_clock(
    clock: &VirtualClock,
    proxy: &Proxy,
    dialect: Dialect,
    model: &str,
) -> (Received, Duration, String) {
    clock
        .takes_at_most(LATER, "the answer", ask_timed(proxy, dialect, model))
        .await
}

async fn ask_timed(proxy: &Proxy, dialect: Dialect, model: &str) -> (Received, Duration, String) {
    let mut reply = proxy.client.ask(&Request::chat(dialect, model, true)).await;
    assert_eq!(reply.status, 200);
    let mut events = reply
        .until(|received| {
            received
                .choices
                .values()
                .any(|it| !it.reasoning.is_empty() || !it.text.is_empty())
        })
        .await;
    let begun = tokio::time::Instant::now();
    let (rest, ending) = reply.events().await;
    events.extend(rest);
    let mut received = Received::from_events(dialect, &events);
    received.cut = ending != Ending::Proper;
    (received, begun.elapsed(), reply.stream_id())
}

fn full_answer() -> Answer {
    Answer::tokens(6)
        .reasoning("because", "c2ln")
        .tool("call_1", "look", &["{\"a\":", "\"é\"}"])
}

#[tokio::test]
async fn a_recording_is_replayed_unchanged_with_its_timing() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let folder = RecordingFolder::new();
        let upstream = Upstream::start(full_answer().script(wire, Pace::Every(GAP))).await;
        let proxy = with_recording(Setup::new().over(wire, &upstream), "up", &folder)
            .start()
            .await;
        let (first, took, id) = ask_with_clock(&clock, &proxy, dialect, "m").await;
        assert!(first.is_success(), "{first:?}");
        let name = format!("{id}.rec");
        let recording = folder.recording(&name).await;
        assert_eq!(
            body(&recording),
            full_answer().stream(wire),
            "byte for byte"
        );
        assert_eq!(
            (recording.wire, recording.status, &*recording.content_type),
            (wire, 200, encode::for_wire(wire).content_type())
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(folder.path()), mode(&folder.path().join(&name))),
            (0o700, 0o600)
        );
        let prompt = String::from_utf8_lossy(&folder.file(&name).await).contains("Say something.");
        assert!(!prompt, "prompts are not recorded");

        let replay = player(&folder, "").await;
        for again in Dialect::CHATS {
            let (second, same, _) =
                ask_with_clock(&clock, &replay, again, &format!("replay/{name}")).await;
            if again == dialect {
                assert_same(&first, &second);
            }
            assert!(
                second.is_success() && second.text() == first.text(),
                "{again:?}: {second:?}"
            );
            assert!(
                same.abs_diff(took) <= GAP,
                "{again:?}: {same:?} instead of {took:?}"
            );
        }
        let fast = player(&folder, "pace = \"0s\"").await;
        let (second, at_once, _) = ask_timed(&fast, dialect, &format!("replay/{name}")).await;
        assert_same(&first, &second);
        assert_eq!(at_once, Duration::ZERO, "no time needs to pass");
    }
}

#[tokio::test]
async fn a_whole_recording_is_replayed_streamed_and_whole() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let folder = RecordingFolder::new();
        let upstream = Upstream::start(full_answer().script(wire, Pace::Every(GAP))).await;
        let proxy = with_recording(Setup::new().over(wire, &upstream), "up", &folder)
            .start()
            .await;
        let (status, first, id) =
            ask_whole(&clock, &proxy, &Request::chat(dialect, "m", false)).await;
        assert_eq!(status, 200, "{first}");
        let name = format!("{id}.rec");
        let recording = folder.recording(&name).await;
        let replay = player(&folder, "").await;
        let model = format!("replay/{name}");
        let (status, again, _) =
            ask_whole(&clock, &replay, &Request::chat(dialect, &model, false)).await;
        assert_eq!(status, 200, "{again}");
        let streamed = recording.content_type == encode::for_wire(wire).content_type();
        if !streamed {
            assert_eq!(body(&recording), first, "byte for byte");
            assert_eq!(first, again, "byte for byte");
        }
        for again in Dialect::CHATS {
            let (received, _, _) = ask_with_clock(&clock, &replay, again, &model).await;
            assert!(received.is_success(), "{again:?}: {received:?}");
            assert_eq!(
                (received.text(), received.usage.map(|it| it.output)),
                (&*full_answer().text(), Some(Some(7))),
                "{again:?}"
            );
        }
    }
}

/// Sends a non-streaming request. Returns status, body and stream id.
async fn ask_whole(
    clock: &VirtualClock,
    proxy: &Proxy,
    request: &Request,
) -> (u16, String, String) {
    let asked = async {
        let mut reply = proxy.client.ask(request).await;
        let id = reply.stream_id();
        (reply.status, reply.text().await, id)
    };
    clock.takes_at_most(LATER, "the answer", asked).await
}

#[tokio::test]
async fn a_streamed_recording_is_folded_for_a_non_streaming_request() {
    let folder = RecordingFolder::new();
    for wire in wires() {
        let head = json!({"recording": 1, "wire": wire.name(), "content_type": encode::for_wire(wire).content_type(), "status": 200});
        let encoded = base64(&Answer::tokens(3).stream(wire));
        folder.write(
            wire.name(),
            format!("{head}\n{{\"at\":0,\"base64\":\"{encoded}\"}}\n"),
        );
        let replay = player(&folder, "").await;
        let mut reply = replay
            .client
            .ask(&Request::chat(
                Dialect::Chat,
                &format!("replay/{}", wire.name()),
                false,
            ))
            .await;
        let received = Received::from_body(Dialect::Chat, &reply.json().await);
        assert_eq!(
            (
                reply.status,
                received.text(),
                received.usage.unwrap().output
            ),
            (200, "tok0 tok1 tok2 ", Some(7)),
            "{wire:?}"
        );
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn the_content_type_of_a_recording_selects_its_framing() {
    if !wires().contains(&WireId::Gemini) {
        return;
    }
    let folder = RecordingFolder::new();
    let element = |text: &str, rest: Value| {
        let mut it = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]});
        it["candidates"][0]
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        it
    };
    let list = json!([
        element("one ", json!({})),
        element("two", json!({"finishReason": "STOP"}))
    ])
    .to_string();
    let whole = element("one two", json!({"finishReason": "STOP"})).to_string();
    for (name, text) in [("list", list), ("whole", whole)] {
        let (front, back) = text.split_at(40);
        let head = r#"{"recording":1,"wire":"gemini","content_type":"application/json; charset=UTF-8","status":200}"#;
        folder.write(
            name,
            format!(
                "{head}\n{}\n{}\n",
                json!({"at": 0, "text": front}),
                json!({"at": 9, "text": back})
            ),
        );
        let replay = player(&folder, "").await;
        for dialect in Dialect::CHATS {
            let received = replay
                .client
                .ask(&Request::chat(dialect, &format!("replay/{name}"), true))
                .await
                .received()
                .await;
            assert!(
                received.is_success() && received.text() == "one two",
                "{name}, {dialect:?}: {received:?}"
            );
        }
    }
}

#[tokio::test]
async fn refusals_are_recorded_and_replayed_with_a_file_per_attempt() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        for (status, code) in [
            (400, "invalid_request"),
            (429, "rate_limited"),
            (500, "upstream_error"),
            (401, "upstream_auth"),
        ] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {status}"));
            let folder = RecordingFolder::new();
            let upstream = Upstream::always(whole(
                status,
                encode::refusal(wire, status, "not like this").to_string(),
            ))
            .await;
            let setup = with_recording(Setup::new().over(wire, &upstream), "up", &folder)
                .section("models.m", "retries = 1");
            let proxy = setup.start().await;
            let (first, id) = refused(&clock, &proxy, &Request::chat(dialect, "m", true)).await;
            let name = format!("{id}.rec");
            let recording = folder.recording(&name).await;
            assert_eq!(
                (recording.status, body(&recording)),
                (
                    status,
                    encode::refusal(wire, status, "not like this")
                        .to_string()
                        .into()
                )
            );
            let again = matches!(status, 429 | 500);
            if again {
                assert_eq!(
                    folder.recording(&format!("{id}-2.rec")).await.status,
                    status
                );
            }
            folder.settled().await;
            assert_eq!(folder.names().len(), 1 + usize::from(again));

            // Files are read in real time while virtual time passes: a long `commit_after` keeps
            // the proxy from committing to a 200 meanwhile.
            let replay = player_with(
                Setup::new().section("streams", "commit_after = \"2m\""),
                &folder,
                "",
            )
            .await;
            let (second, _) = refused(
                &clock,
                &replay,
                &Request::chat(dialect, &format!("replay/{name}"), true),
            )
            .await;
            assert_eq!(second.1["error"]["code"], code, "{}", second.1);
            assert_eq!(first, second);
        }
    }
}

/// Returns status and error of a refusal, and the stream id.
async fn refused(clock: &VirtualClock, proxy: &Proxy, request: &Request) -> ((u16, Value), String) {
    let asked = async {
        let mut reply = proxy.client.ask(request).await;
        let id = reply.stream_id();
        if reply.status == 200 {
            let received = reply.received().await;
            let (code, message) = received.error.unwrap();
            return (
                (200, json!({"error": {"code": code, "message": message}})),
                id,
            );
        }
        ((reply.status, reply.json().await), id)
    };
    clock.takes_at_most(LATER, "the refusal", asked).await
}

#[tokio::test]
async fn a_replayed_refusal_falls_back_like_a_real_one() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let folder = RecordingFolder::new();
        let head = json!({"recording": 1, "wire": wire.name(), "content_type": "application/json", "status": 503});
        folder.write(
            "busy",
            format!(
                "{head}\n{}\n",
                json!({"at": 5, "text": encode::refusal(wire, 503, "busy").to_string()})
            ),
        );
        let spare = Upstream::start(Answer::tokens(3).script(wire, Pace::Flat)).await;
        let setup = Setup::new()
            .section("providers.replay", &format!("dir = {:?}", folder.path()))
            .provider("spare", wire, spare.addr);
        let proxy = setup
            .model("m", "[\"replay/busy\", \"spare/m\"]")
            .start()
            .await;
        let (received, _, _) = ask_with_clock(&clock, &proxy, dialect, "m").await;
        assert!(
            received.is_success() && received.text() == "tok0 tok1 tok2 ",
            "{received:?}"
        );
        assert_eq!(spare.count(), 1);
    }
}

#[tokio::test]
async fn a_cancelled_stream_is_recorded_as_far_as_it_was_read() {
    let clock = VirtualClock::start();
    for (dialect, wire) in chat_pairs() {
        for policy in ["abort", "finish"] {
            let _case = Case::new(format!("{dialect:?} over {wire:?}, {policy}"));
            let folder = RecordingFolder::new();
            let upstream = Upstream::start(Answer::tokens(9).script(wire, Pace::Gate)).await;
            let setup = with_recording(Setup::new().over(wire, &upstream), "up", &folder);
            let proxy = setup
                .section("providers.up", &format!("on_cancel = {policy:?}"))
                .start()
                .await;
            upstream.open(5);
            let mut reply: Reply = proxy.client.ask(&Request::chat(dialect, "m", true)).await;
            reply
                .until(|received| received.text().contains("tok4"))
                .await;
            let id = reply.stream_id();
            proxy.client.cancel(&id).await;
            upstream.open(99);
            let recording = folder.recording(&format!("{id}.rec")).await;
            let full = Answer::tokens(9).stream(wire);
            assert!(full.starts_with(&body(&recording)));
            assert_eq!(
                body(&recording) == full,
                policy == "finish",
                "a finishing upstream is recorded to its end"
            );
            let replay = player(&folder, "").await;
            let (received, _, _) =
                ask_with_clock(&clock, &replay, dialect, &format!("replay/{id}.rec")).await;
            assert!(
                if policy == "finish" {
                    received.is_success()
                } else {
                    received.is_failure() && received.text().contains("tok4")
                },
                "{received:?}"
            );
        }
    }
}

#[tokio::test]
async fn provider_secrets_are_not_recorded_wherever_reads_split_them() {
    let _clock = VirtualClock::start();
    for wire in wires() {
        let _case = Case::new(format!("{wire:?}"));
        let folder = RecordingFolder::new();
        let message = "Incorrect API key provided: upstream-secret, upstream-sec";
        let refusal: Bytes = encode::refusal(wire, 401, message).to_string().into();
        let stream = Answer {
            tokens: vec!["your key is upstream-secret and team-token-1 ".into()],
            ..Answer::tokens(0)
        }
        .stream(wire);
        for (status, text) in [(401, refusal), (200, stream)] {
            let at = memchr::memmem::find(&text, b"upstream-secret").unwrap();
            for cut in [at + 1, at + 7, at + 14, at + 15] {
                let head = Head {
                    status,
                    ..if status == 200 {
                        encode::head(wire)
                    } else {
                        Head::ok("application/json")
                    }
                };
                let steps = [
                    vec![Step::Head(head)],
                    pieces(&text, [cut]),
                    vec![Step::End],
                ]
                .concat();
                let upstream = Upstream::always(steps).await;
                let setup = with_recording(Setup::new().over(wire, &upstream), "up", &folder)
                    .section("models.m", "retries = 0");
                let proxy = setup
                    .section(
                        "providers.up",
                        "headers = { x-team-token = \"team-token-1\" }",
                    )
                    .start()
                    .await;
                let mut reply = proxy
                    .client
                    .ask(&Request::chat(Dialect::Events, "m", true))
                    .await;
                let id = reply.stream_id();
                reply.whole().await;
                let file = folder.file(&format!("{id}.rec")).await;
                let all = body(&Recording::parse(&file).unwrap());
                let recorded_text = String::from_utf8_lossy(&all);
                assert!(
                    !recorded_text.contains("upstream-secret")
                        && !recorded_text.contains("team-token-1"),
                    "{recorded_text}"
                );
                assert!(
                    recorded_text.contains("***************") && all.len() == text.len(),
                    "{recorded_text}"
                );
            }
        }
    }
}

#[tokio::test]
async fn recording_stops_at_its_size_limit_without_affecting_streams() {
    let clock = VirtualClock::start();
    let log = Log::default();
    let _listening = log.listen();
    let wire = wires()[0];
    let folder = RecordingFolder::new();
    folder.write("mine.rec", "x".repeat(1000));
    folder.write("notes.txt", "x".repeat(100_000));
    let upstream = Upstream::start(Answer::tokens(6).script(wire, Pace::Flat)).await;
    let bound: u64 = 8000;
    let setup = with_recording(Setup::new().over(wire, &upstream), "up", &folder)
        .section("providers.up", &format!("record_max = {bound}"));
    let proxy = setup.start().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let (received, _, id) = ask_with_clock(&clock, &proxy, Dialect::Events, "m").await;
        assert!(received.is_success(), "{received:?}");
        folder.settled().await;
        ids.push(id);
    }
    let kept: Vec<bool> = ids
        .iter()
        .map(|id| folder.path().join(format!("{id}.rec")).exists())
        .collect();
    assert!(
        kept[0] && kept.is_sorted_by(|one, other| one >= other) && !kept[19],
        "recording stops and does not start again: {kept:?}"
    );
    let size = |name: &str| fs::metadata(folder.path().join(name)).unwrap().len();
    let recordings: u64 = folder
        .names()
        .iter()
        .filter(|name| name.ends_with(".rec"))
        .map(|name| size(name))
        .sum();
    assert!(
        recordings <= bound && (size("mine.rec"), size("notes.txt")) == (1000, 100_000),
        "{recordings} {:?}",
        folder.names()
    );
    within("the log", async {
        while log.count("the folder is full") == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(
        log.count("every completion of this provider is written to disk"),
        1,
        "{}",
        log.text()
    );
    assert_eq!(log.count("the folder is full"), 1, "{}", log.text());
}

#[tokio::test]
async fn a_record_folder_that_cannot_be_created_is_an_error_at_startup() {
    let folder = RecordingFolder::new();
    folder.write("file", "");
    let text = format!(
        "[providers.up]\nwire = \"openai-chat\"\nbase_url = \"http://127.0.0.1:1\"\ndirect = true\nrecord = {:?}\n[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"",
        folder.path().join("file/deeper")
    );
    let config =
        sluicegate::config::Config::parse(&text, Path::new("test.toml"), &|_| None).unwrap();
    let error = sluicegate::app::start(config)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("provider `up`") && error.contains("cannot create its `record` folder"),
        "{error}"
    );
}

#[tokio::test]
async fn recordings_that_cannot_be_replayed_have_distinct_errors() {
    let folder = RecordingFolder::new();
    folder.write("broken", "{\"recording\":1}\n");
    let replay = player(&folder, "").await;
    for (model, status, code) in [
        ("none", 404, "model_not_found"),
        (".hidden", 404, "model_not_found"),
        ("broken", 502, "upstream_error"),
    ] {
        let mut reply = replay
            .client
            .ask(&Request::chat(
                Dialect::Chat,
                &format!("replay/{model}"),
                true,
            ))
            .await;
        let body = reply.json().await;
        assert_eq!(
            (reply.status, &body["error"]["code"]),
            (status, &json!(code)),
            "{model}: {body}"
        );
    }
}
