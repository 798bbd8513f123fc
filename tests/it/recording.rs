//! Recording what providers answer, and playing it again: every wire, whole and streamed, refused
//! and cut.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use sluicegate::wire::recording::Recording;

use crate::rig::log::Log;
use crate::rig::told::Choice;
use crate::rig::upstream::{Head, Step, json as whole, pieces};
use crate::rig::{
    Ask, Ending, Folder, Pace, Proxy, Reply, Say, Scene, Setup, Speech, Told, Upstream, Virtual,
    WireId, chat_pairs, say, wires, within,
};

/// Between two tokens of what is recorded.
const GAP: Duration = Duration::from_millis(700);
/// Longer than any recording here.
const LATER: Duration = Duration::from_secs(60);

fn recorded(setup: Setup, provider: &str, folder: &Folder) -> Setup {
    setup.section(
        &format!("providers.{provider}"),
        &format!("record = {:?}", folder.path()),
    )
}

/// A proxy that plays the folder: `replay/<file>` is a model.
async fn player(folder: &Folder, more: &str) -> Proxy {
    player_with(Setup::new(), folder, more).await
}

async fn player_with(setup: Setup, folder: &Folder, more: &str) -> Proxy {
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

/// The same words, whoever said them.
fn assert_same(one: &Told, other: &Told) {
    assert_eq!(
        (without_ids(one), one.usage, &one.signatures),
        (without_ids(other), other.usage, &other.signatures)
    );
    assert_eq!(
        (&one.error, one.done, one.ends, one.cut),
        (&other.error, other.done, other.ends, other.cut)
    );
}

/// What was said; where a wire has no ids for tool calls, each stream makes its own.
fn without_ids(told: &Told) -> BTreeMap<u64, Choice> {
    let mut choices = told.choices.clone();
    choices
        .values_mut()
        .flat_map(|choice| choice.tools.values_mut())
        .for_each(|(id, ..)| id.clear());
    choices
}

/// Asks while time passes; says also how long it took from the first content to the end.
async fn told(
    clock: &Virtual,
    proxy: &Proxy,
    speech: Speech,
    model: &str,
) -> (Told, Duration, String) {
    clock
        .takes_at_most(LATER, "the answer", timed(proxy, speech, model))
        .await
}

async fn timed(proxy: &Proxy, speech: Speech, model: &str) -> (Told, Duration, String) {
    let mut reply = proxy.client.ask(&Ask::chat(speech, model, true)).await;
    assert_eq!(reply.status, 200);
    let mut events = reply
        .until(|told| {
            told.choices
                .values()
                .any(|it| !it.reasoning.is_empty() || !it.text.is_empty())
        })
        .await;
    let begun = tokio::time::Instant::now();
    let (rest, ending) = reply.events().await;
    events.extend(rest);
    let mut told = Told::of(speech, &events);
    told.cut = ending != Ending::Proper;
    (told, begun.elapsed(), reply.stream_id())
}

fn words() -> Say {
    Say::tokens(6)
        .reasoning("because", "c2ln")
        .tool("call_1", "look", &["{\"a\":", "\"é\"}"])
}

#[tokio::test]
async fn what_is_recorded_is_played_as_it_was_timing_included() {
    let clock = Virtual::start();
    for (speech, wire) in chat_pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let folder = Folder::new();
        let upstream = Upstream::start(words().script(wire, Pace::Every(GAP))).await;
        let proxy = recorded(Setup::new().over(wire, &upstream), "up", &folder)
            .start()
            .await;
        let (first, took, id) = told(&clock, &proxy, speech, "m").await;
        assert!(first.is_success(), "{first:?}");
        let name = format!("{id}.rec");
        let recording = folder.recording(&name).await;
        assert_eq!(body(&recording), words().stream(wire), "byte for byte");
        assert_eq!(
            (recording.wire, recording.status, &*recording.content_type),
            (wire, 200, say::of(wire).content_type())
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(folder.path()), mode(&folder.path().join(&name))),
            (0o700, 0o600)
        );
        let prompt = String::from_utf8_lossy(&folder.file(&name).await).contains("Say something.");
        assert!(!prompt, "prompts are not recorded");

        let replay = player(&folder, "").await;
        for again in Speech::CHATS {
            let (second, same, _) = told(&clock, &replay, again, &format!("replay/{name}")).await;
            if again == speech {
                assert_same(&first, &second);
            }
            assert!(
                second.is_success() && second.text() == first.text(),
                "{again:?}: {second:?}"
            );
            assert!(
                same.abs_diff(took) <= GAP,
                "{again:?}: {same:?} in place of {took:?}"
            );
        }
        let fast = player(&folder, "pace = \"0s\"").await;
        let (second, at_once, _) = timed(&fast, speech, &format!("replay/{name}")).await;
        assert_same(&first, &second);
        assert_eq!(at_once, Duration::ZERO, "no time has to pass");
    }
}

#[tokio::test]
async fn an_answer_in_one_body_is_played_in_every_form() {
    let clock = Virtual::start();
    for (speech, wire) in chat_pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let folder = Folder::new();
        let upstream = Upstream::start(words().script(wire, Pace::Every(GAP))).await;
        let proxy = recorded(Setup::new().over(wire, &upstream), "up", &folder)
            .start()
            .await;
        let (status, first, id) = asked_whole(&clock, &proxy, &Ask::chat(speech, "m", false)).await;
        assert_eq!(status, 200, "{first}");
        let name = format!("{id}.rec");
        let recording = folder.recording(&name).await;
        let replay = player(&folder, "").await;
        let model = format!("replay/{name}");
        let (status, again, _) =
            asked_whole(&clock, &replay, &Ask::chat(speech, &model, false)).await;
        assert_eq!(status, 200, "{again}");
        let streamed = recording.content_type == say::of(wire).content_type();
        if !streamed {
            assert_eq!(body(&recording), first, "byte for byte");
            assert_eq!(first, again, "byte for byte");
        }
        for again in Speech::CHATS {
            let (told, _, _) = told(&clock, &replay, again, &model).await;
            assert!(told.is_success(), "{again:?}: {told:?}");
            assert_eq!(
                (told.text(), told.usage.map(|it| it.output)),
                (&*words().text(), Some(Some(7))),
                "{again:?}"
            );
        }
    }
}

/// Status, body and id of an answer that is not streamed.
async fn asked_whole(clock: &Virtual, proxy: &Proxy, ask: &Ask) -> (u16, String, String) {
    let asked = async {
        let mut reply = proxy.client.ask(ask).await;
        let id = reply.stream_id();
        (reply.status, reply.text().await, id)
    };
    clock.takes_at_most(LATER, "the answer", asked).await
}

#[tokio::test]
async fn a_streamed_recording_is_folded_where_one_body_was_asked_for() {
    let folder = Folder::new();
    for wire in wires() {
        let head = json!({"recording": 1, "wire": wire.name(), "content_type": say::of(wire).content_type(), "status": 200});
        let encoded = base64(&Say::tokens(3).stream(wire));
        folder.write(
            wire.name(),
            format!("{head}\n{{\"at\":0,\"base64\":\"{encoded}\"}}\n"),
        );
        let replay = player(&folder, "").await;
        let mut reply = replay
            .client
            .ask(&Ask::chat(
                Speech::Chat,
                &format!("replay/{}", wire.name()),
                false,
            ))
            .await;
        let told = Told::of_whole(Speech::Chat, &reply.json().await);
        assert_eq!(
            (reply.status, told.text(), told.usage.unwrap().output),
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
async fn the_content_type_of_a_recording_says_how_it_is_framed() {
    if !wires().contains(&WireId::Gemini) {
        return;
    }
    let folder = Folder::new();
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
        for speech in Speech::CHATS {
            let told = replay
                .client
                .ask(&Ask::chat(speech, &format!("replay/{name}"), true))
                .await
                .told()
                .await;
            assert!(
                told.is_success() && told.text() == "one two",
                "{name}, {speech:?}: {told:?}"
            );
        }
    }
}

#[tokio::test]
async fn refusals_are_recorded_and_played_each_attempt_under_its_own_name() {
    let clock = Virtual::start();
    for (speech, wire) in chat_pairs() {
        for (status, code) in [
            (400, "invalid_request"),
            (429, "rate_limited"),
            (500, "upstream_error"),
            (401, "upstream_auth"),
        ] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {status}"));
            let folder = Folder::new();
            let upstream = Upstream::always(whole(
                status,
                say::refusal(wire, status, "not like this").to_string(),
            ))
            .await;
            let setup = recorded(Setup::new().over(wire, &upstream), "up", &folder)
                .section("models.m", "retries = 1");
            let proxy = setup.start().await;
            let (first, id) = refused(&clock, &proxy, &Ask::chat(speech, "m", true)).await;
            let name = format!("{id}.rec");
            let recording = folder.recording(&name).await;
            assert_eq!(
                (recording.status, body(&recording)),
                (
                    status,
                    say::refusal(wire, status, "not like this")
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

            // Files are read in real time: the virtual one, which passes meanwhile, must not commit
            // to an answer.
            let replay = player_with(
                Setup::new().section("streams", "commit_after = \"2m\""),
                &folder,
                "",
            )
            .await;
            let (second, _) = refused(
                &clock,
                &replay,
                &Ask::chat(speech, &format!("replay/{name}"), true),
            )
            .await;
            assert_eq!(second.1["error"]["code"], code, "{}", second.1);
            assert_eq!(first, second);
        }
    }
}

/// Status and error of a refusal, and the stream's id.
async fn refused(clock: &Virtual, proxy: &Proxy, ask: &Ask) -> ((u16, Value), String) {
    let asked = async {
        let mut reply = proxy.client.ask(ask).await;
        let id = reply.stream_id();
        if reply.status == 200 {
            let told = reply.told().await;
            let (code, message) = told.error.unwrap();
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
async fn a_refusal_that_is_played_falls_back_like_a_real_one() {
    let clock = Virtual::start();
    for (speech, wire) in chat_pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let folder = Folder::new();
        let head = json!({"recording": 1, "wire": wire.name(), "content_type": "application/json", "status": 503});
        folder.write(
            "busy",
            format!(
                "{head}\n{}\n",
                json!({"at": 5, "text": say::refusal(wire, 503, "busy").to_string()})
            ),
        );
        let spare = Upstream::start(Say::tokens(3).script(wire, Pace::Flat)).await;
        let setup = Setup::new()
            .section("providers.replay", &format!("dir = {:?}", folder.path()))
            .provider("spare", wire, spare.addr);
        let proxy = setup
            .model("m", "[\"replay/busy\", \"spare/m\"]")
            .start()
            .await;
        let (told, _, _) = told(&clock, &proxy, speech, "m").await;
        assert!(
            told.is_success() && told.text() == "tok0 tok1 tok2 ",
            "{told:?}"
        );
        assert_eq!(spare.count(), 1);
    }
}

#[tokio::test]
async fn a_cancelled_stream_is_recorded_as_far_as_it_was_read() {
    let clock = Virtual::start();
    for (speech, wire) in chat_pairs() {
        for policy in ["abort", "finish"] {
            let _scene = Scene::of(format!("{speech:?} over {wire:?}, {policy}"));
            let folder = Folder::new();
            let upstream = Upstream::start(Say::tokens(9).script(wire, Pace::Gate)).await;
            let setup = recorded(Setup::new().over(wire, &upstream), "up", &folder);
            let proxy = setup
                .section("providers.up", &format!("on_cancel = {policy:?}"))
                .start()
                .await;
            upstream.open(5);
            let mut reply: Reply = proxy.client.ask(&Ask::chat(speech, "m", true)).await;
            reply.until(|told| told.text().contains("tok4")).await;
            let id = reply.stream_id();
            proxy.client.cancel(&id).await;
            upstream.open(99);
            let recording = folder.recording(&format!("{id}.rec")).await;
            let full = Say::tokens(9).stream(wire);
            assert!(full.starts_with(&body(&recording)));
            assert_eq!(
                body(&recording) == full,
                policy == "finish",
                "read on, it is recorded to its end"
            );
            let replay = player(&folder, "").await;
            let (told, _, _) = told(&clock, &replay, speech, &format!("replay/{id}.rec")).await;
            assert!(
                if policy == "finish" {
                    told.is_success()
                } else {
                    told.is_failure() && told.text().contains("tok4")
                },
                "{told:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_accounts_secrets_are_not_recorded_wherever_the_reads_were_cut() {
    let _clock = Virtual::start();
    for wire in wires() {
        let _scene = Scene::of(format!("{wire:?}"));
        let folder = Folder::new();
        let said = "Incorrect API key provided: upstream-secret, upstream-sec";
        let refusal: Bytes = say::refusal(wire, 401, said).to_string().into();
        let stream = Say {
            tokens: vec!["your key is upstream-secret and team-token-1 ".into()],
            ..Say::tokens(0)
        }
        .stream(wire);
        for (status, text) in [(401, refusal), (200, stream)] {
            let at = memchr::memmem::find(&text, b"upstream-secret").unwrap();
            for cut in [at + 1, at + 7, at + 14, at + 15] {
                let head = Head {
                    status,
                    ..if status == 200 {
                        say::head(wire)
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
                let setup = recorded(Setup::new().over(wire, &upstream), "up", &folder)
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
                    .ask(&Ask::chat(Speech::Events, "m", true))
                    .await;
                let id = reply.stream_id();
                reply.whole().await;
                let file = folder.file(&format!("{id}.rec")).await;
                let all = body(&Recording::parse(&file).unwrap());
                let shown = String::from_utf8_lossy(&all);
                assert!(
                    !shown.contains("upstream-secret") && !shown.contains("team-token-1"),
                    "{shown}"
                );
                assert!(
                    shown.contains("***************") && all.len() == text.len(),
                    "{shown}"
                );
            }
        }
    }
}

#[tokio::test]
async fn recording_stops_at_its_bound_and_disturbs_nobody() {
    let clock = Virtual::start();
    let log = Log::default();
    let _listening = log.listen();
    let wire = wires()[0];
    let folder = Folder::new();
    folder.write("mine.rec", "x".repeat(1000));
    folder.write("notes.txt", "x".repeat(100_000));
    let upstream = Upstream::start(Say::tokens(6).script(wire, Pace::Flat)).await;
    let bound: u64 = 8000;
    let setup = recorded(Setup::new().over(wire, &upstream), "up", &folder)
        .section("providers.up", &format!("record_max = {bound}"));
    let proxy = setup.start().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let (told, _, id) = told(&clock, &proxy, Speech::Events, "m").await;
        assert!(told.is_success(), "{told:?}");
        folder.settled().await;
        ids.push(id);
    }
    let kept: Vec<bool> = ids
        .iter()
        .map(|id| folder.path().join(format!("{id}.rec")).exists())
        .collect();
    assert!(
        kept[0] && kept.is_sorted_by(|one, other| one >= other) && !kept[19],
        "it stops, and stays so: {kept:?}"
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
async fn a_folder_that_cannot_be_made_is_said_at_the_start() {
    let folder = Folder::new();
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
        error.contains("provider `up`") && error.contains("cannot be made"),
        "{error}"
    );
}

#[tokio::test]
async fn recordings_that_cannot_be_played_are_told_apart() {
    let folder = Folder::new();
    folder.write("broken", "{\"recording\":1}\n");
    let replay = player(&folder, "").await;
    for (model, status, code) in [
        ("none", 404, "model_not_found"),
        (".hidden", 404, "model_not_found"),
        ("broken", 502, "upstream_error"),
    ] {
        let mut reply = replay
            .client
            .ask(&Ask::chat(Speech::Chat, &format!("replay/{model}"), true))
            .await;
        let body = reply.json().await;
        assert_eq!(
            (reply.status, &body["error"]["code"]),
            (status, &json!(code)),
            "{model}: {body}"
        );
    }
}
