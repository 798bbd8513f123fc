//! Real recordings through the running proxy: what every provider really sent, in every dialect,
//! says what it said.
//!
//! The recordings lie in `SLUICEGATE_CORPUS`, else in `../shared/corpus`; the repository's own
//! (`tests/recordings`, `demo`) are played in any case. Bodies are cut at random places:
//! `SLUICEGATE_SEED` repeats a run.

mod expected;
pub mod recording;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sluicegate::model::fault::Side;
use sluicegate::wire;
use tokio::task::JoinSet;

use crate::rig::upstream::{Call, Head, Step, pieces};
use crate::rig::{Ask, Client, Proxy, Setup, Speech, Told, Upstream, WireId, speeches, wires};
use expected::{differences, failure};
use recording::{Dice, Recording};

/// Recordings played at the same time.
const AT_ONCE: usize = 12;
/// The most places at which a body is cut.
const CUTS: u64 = 40;

/// What differs and may: a piece of the recording's name, what of it, and why.
const EXPLAINED: [(&str, &str, &str); 3] = [
    (
        "test_snowflake_thinking_streaming.0-66cfc4",
        ": reasoning: ",
        "it sends its reasoning in `reasoning_details` alone, where the independent fold does not look",
    ),
    (
        "_azure_grok-4-1-fast-non-reasoning_",
        "Messages",
        "it counts more cached input than input, and a message has no words for that",
    ),
    (
        "xai-x-search-tool.chunks.0-7e5c6f",
        "Messages",
        "what a custom tool is given is free text, and stands in a message as {\"input\": …}",
    ),
];

/// Where recordings are looked for besides the repository's own; and whether they must be there.
pub fn corpus() -> (PathBuf, bool) {
    match std::env::var_os("SLUICEGATE_CORPUS") {
        Some(path) => (path.into(), true),
        None => (
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
            false,
        ),
    }
}

/// All recordings that can be had; the repository's own are the last.
pub fn all_recordings() -> Vec<Recording> {
    let (path, wanted) = corpus();
    let mut all = recording::under(&path, false);
    assert!(
        !wanted || !all.is_empty(),
        "SLUICEGATE_CORPUS is set, and there is no recording in {}",
        path.display()
    );
    if all.is_empty() {
        println!(
            "no corpus in {}: only the repository's own recordings are played",
            path.display()
        );
    }
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let before = all.len();
    all.extend(recording::under(&own, true));
    assert!(
        all.len() > before,
        "the repository's own recordings are in {}",
        own.display()
    );
    all
}

/// How a user's message names the recording that is to be played.
fn request(number: usize) -> String {
    format!("recording-{number}-")
}

/// The recording that a request asks for.
fn asked_for(call: &Call) -> usize {
    let body = std::str::from_utf8(&call.body).unwrap();
    body.split("recording-")
        .nth(1)
        .and_then(|rest| rest.split('-').next())
        .unwrap()
        .parse()
        .unwrap()
}

async fn player(all: &Arc<Vec<Recording>>, seed: u64) -> Upstream {
    let all = Arc::clone(all);
    Upstream::start(move |call, n| {
        let recording = &all[asked_for(call)];
        let mut dice = Dice::new(seed.wrapping_add(n as u64));
        let mut cuts: Vec<usize> = (0..dice.below(CUTS))
            .map(|_| dice.place(recording.body.len()))
            .collect();
        cuts.sort_unstable();
        let mut steps = vec![Step::Head(Head::ok(&recording.content_type))];
        steps.extend(pieces(&recording.body, cuts));
        steps.push(Step::End);
        steps
    })
    .await
}

#[tokio::test]
async fn every_recording_says_what_it_said_in_every_dialect() {
    let seed = recording::seed();
    let all = Arc::new(all_recordings());
    let upstream = player(&all, seed).await;
    let mut setup = Setup::new().section("limits", "");
    for wire in wires() {
        let name = wire.name();
        setup = setup
            .provider(name, wire, upstream.addr)
            .model(name, &format!("[\"{name}/m\"]"))
            .section(&format!("models.{name}"), "retries = 0");
    }
    let proxy = setup.start().await;
    let mut found = Vec::new();
    let mut running = JoinSet::new();
    for number in 0..all.len() {
        if running.len() == AT_ONCE {
            found.extend(running.join_next().await.unwrap().unwrap());
        }
        running.spawn(played(Arc::clone(&all), number, proxy.client.clone()));
    }
    while let Some(done) = running.join_next().await {
        found.extend(done.unwrap());
    }
    summary(&all);
    found.retain(|it: &String| {
        !EXPLAINED
            .iter()
            .any(|(name, what, _)| it.contains(name) && it.contains(what))
    });
    assert!(
        found.is_empty(),
        "{} differences (seed {seed}):\n{}",
        found.len(),
        found.join("\n")
    );
    proxy.at_rest().await;
}

fn summary(all: &[Recording]) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for recording in all {
        *counts.entry(&recording.folder).or_default() += 1;
    }
    for (folder, count) in counts {
        println!("{folder}: {count} recordings compared");
    }
}

/// Plays one recording to every kind of client; gives what was not as it should be.
async fn played(all: Arc<Vec<Recording>>, number: usize, client: Client) -> Vec<String> {
    let recording = &all[number];
    let ask = |speech, stream| {
        let ask = Ask::chat(speech, recording.wire.name(), stream).saying(&request(number));
        if recording.choices() > 1 && speech.has_choices() {
            ask.set("n", recording.choices().into())
        } else {
            ask
        }
    };
    let mut found = Vec::new();
    for speech in speeches() {
        let mut reply = client.ask(&ask(speech, true)).await;
        if reply.status != 200 {
            let body = reply.json().await;
            found.extend(
                (!recording.fails()).then(|| format!("{speech:?}: {} {body}", reply.status)),
            );
            continue;
        }
        let (events, _) = reply.events().await;
        if speech.wire() == Some(recording.wire) {
            found.extend(recording.unchanged(speech, &events));
            continue;
        }
        found.extend(
            differences(recording, speech, &Told::of(speech, &events))
                .into_iter()
                .map(|it| format!("{speech:?}: {it}")),
        );
    }
    // Of its own wire a whole answer is asked, and no recording is one.
    for speech in speeches()
        .into_iter()
        .filter(|speech| speech.wire() != Some(recording.wire))
    {
        found.extend(whole(recording, speech, &client, &ask(speech, false)).await);
    }
    found
        .into_iter()
        .map(|it| format!("{}: {it}", recording.name))
        .collect()
}

/// The same without a stream: over another wire it is the fold of one.
async fn whole(recording: &Recording, speech: Speech, client: &Client, ask: &Ask) -> Vec<String> {
    let mut reply = client.ask(ask).await;
    let body = reply.json().await;
    let expected = failure(recording, speech);
    if expected.is_some() || reply.status != 200 {
        let got = (reply.status, body["error"]["code"].as_str().unwrap_or(""));
        let same = expected
            .as_ref()
            .is_some_and(|(status, code)| (*status, code.as_str()) == got);
        return (!same)
            .then(|| {
                format!(
                    "{speech:?}, whole: {} {body} instead of {expected:?}",
                    reply.status
                )
            })
            .into_iter()
            .collect();
    }
    let told = Told::of_whole(speech, &body);
    differences(recording, speech, &told)
        .into_iter()
        .map(|it| format!("{speech:?}, whole: {it}"))
        .collect()
}

#[test]
fn every_recorded_refusal_is_blamed_on_whoever_it_must_be() {
    let (path, wanted) = corpus();
    let all = recording::refusals(&path);
    assert!(
        !wanted || !all.is_empty(),
        "SLUICEGATE_CORPUS is set, and there is no error in {}",
        path.display()
    );
    for recorded in &all {
        let status = StatusCode::from_u16(recorded.status).unwrap();
        let fault = wire::of(recorded.wire).refusal(status, &HeaderMap::new(), &recorded.body);
        let told = (fault.status.as_u16(), fault.code.as_str());
        let name = &recorded.name;
        match recorded.status {
            401 | 403 => assert_eq!(told, (502, "upstream_auth"), "{name}"),
            // Google has no other status for a key that is not valid.
            400 if recorded.wire == WireId::Gemini && told.1 == "upstream_auth" => {}
            400 | 404 | 413 | 422 => {
                assert_eq!(
                    (told.0, fault.side),
                    (recorded.status, Side::Client),
                    "{name}"
                );
                assert!(
                    fault.quotes,
                    "the upstream's words are told: {name}: {fault}"
                );
            }
            _ => assert_eq!(fault.side, Side::Upstream, "{name}"),
        }
    }
    println!("errors: {} recordings compared", all.len());
}

#[tokio::test]
async fn the_demo_recordings_play() {
    let demo = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("demo");
    let proxy = Setup::new()
        .section(
            "providers.demo",
            &format!(
                "wire = \"replay\"\ndir = {:?}\npace = \"0s\"",
                demo.display().to_string()
            ),
        )
        .model("demo", "[\"demo/tour.rec\"]")
        .model("demo-tools", "[\"demo/tools.rec\"]")
        .start()
        .await;
    for speech in speeches() {
        let told = demo_told(&proxy, speech, "demo").await;
        assert!(
            told.text().len() > 500 && !told.first().reasoning.is_empty(),
            "{told:?}"
        );
        let told = demo_told(&proxy, speech, "demo-tools").await;
        assert_eq!(told.first().finish.as_deref(), Some("tool_calls"));
        for (_, (id, name, arguments)) in told.first().tools {
            assert!(!id.is_empty() && !name.is_empty());
            assert!(
                serde_json::from_str::<Value>(&arguments).is_ok(),
                "{arguments}"
            );
        }
    }
}

async fn demo_told(proxy: &Proxy, speech: Speech, model: &str) -> Told {
    let told = proxy
        .client
        .ask(&Ask::chat(speech, model, true))
        .await
        .told()
        .await;
    assert!(told.is_success(), "{told:?}");
    assert!(
        told.usage
            .is_some_and(|it| !it.estimated && it.output > Some(0)),
        "{told:?}"
    );
    told
}
