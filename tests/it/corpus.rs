//! Plays real recordings through the running proxy and compares, in every dialect, the decoded
//! answer with an independent fold of what the provider sent.
//!
//! The recordings are in `SLUICEGATE_CORPUS`, or in `../shared/corpus`; the repository's own
//! (`tests/recordings`, `demo`) are always played. Bodies are cut at random places:
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
use crate::rig::{
    Client, Dialect, Proxy, Received, Request, Setup, Upstream, WireId, dialects, wires,
};
use expected::{differences, failure};
use recording::{Recording, Rng};

/// Number of recordings played at the same time.
const AT_ONCE: usize = 12;
/// Maximum number of places at which a body is cut.
const CUTS: u64 = 40;

/// Accepted differences: a part of the recording's name, a part of the difference, and the reason.
const EXPLAINED: [(&str, &str, &str); 3] = [
    (
        "test_snowflake_thinking_streaming.0-66cfc4",
        ": reasoning: ",
        "it sends its reasoning in `reasoning_details` only, which the independent fold ignores",
    ),
    (
        "_azure_grok-4-1-fast-non-reasoning_",
        "Messages",
        "it counts more cached input than input, which a message cannot represent",
    ),
    (
        "xai-x-search-tool.chunks.0-7e5c6f",
        "Messages",
        "what a custom tool is given is free text, and stands in a message as {\"input\": …}",
    ),
];

/// Returns the folder of the corpus, and true if it must contain recordings.
pub fn corpus() -> (PathBuf, bool) {
    match std::env::var_os("SLUICEGATE_CORPUS") {
        Some(path) => (path.into(), true),
        None => (
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus"),
            false,
        ),
    }
}

/// Returns all available recordings; the repository's own come last.
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
        "no recordings of the repository's own in {}",
        own.display()
    );
    all
}

/// Text in the user's message that selects the recording to play.
fn prompt_marker(number: usize) -> String {
    format!("recording-{number}-")
}

/// Returns the number of the recording that a request selects.
fn requested_recording(call: &Call) -> usize {
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
        let recording = &all[requested_recording(call)];
        let mut rng = Rng::new(seed.wrapping_add(n as u64));
        let mut cuts: Vec<usize> = (0..rng.below(CUTS))
            .map(|_| rng.offset(recording.body.len()))
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
async fn every_recording_decodes_to_its_expected_answer_in_every_dialect() {
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
        running.spawn(play(Arc::clone(&all), number, proxy.client.clone()));
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

/// Plays one recording in every dialect, streamed and whole, and returns the differences.
async fn play(all: Arc<Vec<Recording>>, number: usize, client: Client) -> Vec<String> {
    let recording = &all[number];
    let request = |dialect, stream| {
        let request =
            Request::chat(dialect, recording.wire.name(), stream).with_text(&prompt_marker(number));
        if recording.choices() > 1 && dialect.has_choices() {
            request.set("n", recording.choices().into())
        } else {
            request
        }
    };
    let mut found = Vec::new();
    for dialect in dialects() {
        let mut reply = client.ask(&request(dialect, true)).await;
        if reply.status != 200 {
            let body = reply.json().await;
            found.extend(
                (!recording.fails()).then(|| format!("{dialect:?}: {} {body}", reply.status)),
            );
            continue;
        }
        let (events, _) = reply.events().await;
        if dialect.wire() == Some(recording.wire) {
            found.extend(recording.payload_difference(dialect, &events));
            continue;
        }
        found.extend(
            differences(recording, dialect, &Received::from_events(dialect, &events))
                .into_iter()
                .map(|it| format!("{dialect:?}: {it}")),
        );
    }
    // In the dialect of the recording's own wire the proxy asks for a whole answer, and no
    // recording contains one.
    for dialect in dialects()
        .into_iter()
        .filter(|dialect| dialect.wire() != Some(recording.wire))
    {
        found.extend(whole(recording, dialect, &client, &request(dialect, false)).await);
    }
    found
        .into_iter()
        .map(|it| format!("{}: {it}", recording.name))
        .collect()
}

/// Compares the non-streaming answer; over another wire it is the fold of a stream.
async fn whole(
    recording: &Recording,
    dialect: Dialect,
    client: &Client,
    request: &Request,
) -> Vec<String> {
    let mut reply = client.ask(request).await;
    let body = reply.json().await;
    let expected = failure(recording, dialect);
    if expected.is_some() || reply.status != 200 {
        let answer = (reply.status, body["error"]["code"].as_str().unwrap_or(""));
        let same = expected
            .as_ref()
            .is_some_and(|(status, code)| (*status, code.as_str()) == answer);
        return (!same)
            .then(|| {
                format!(
                    "{dialect:?}, whole: {} {body} instead of {expected:?}",
                    reply.status
                )
            })
            .into_iter()
            .collect();
    }
    let received = Received::from_body(dialect, &body);
    differences(recording, dialect, &received)
        .into_iter()
        .map(|it| format!("{dialect:?}, whole: {it}"))
        .collect()
}

#[test]
fn every_recorded_error_is_attributed_to_the_right_side() {
    let (path, wanted) = corpus();
    let all = recording::refusals(&path);
    assert!(
        !wanted || !all.is_empty(),
        "SLUICEGATE_CORPUS is set, and there is no error in {}",
        path.display()
    );
    for recorded in &all {
        let status = StatusCode::from_u16(recorded.status).unwrap();
        let fault = wire::for_id(recorded.wire).refusal(status, &HeaderMap::new(), &recorded.body);
        let reported = (fault.status.as_u16(), fault.code.as_str());
        let name = &recorded.name;
        match recorded.status {
            401 | 403 => assert_eq!(reported, (502, "upstream_auth"), "{name}"),
            // Google reports an invalid API key with status 400 only.
            400 if recorded.wire == WireId::Gemini && reported.1 == "upstream_auth" => {}
            400 | 404 | 413 | 422 => {
                assert_eq!(
                    (reported.0, fault.side),
                    (recorded.status, Side::Client),
                    "{name}"
                );
                assert!(
                    fault.quotes_upstream,
                    "the upstream's message is quoted: {name}: {fault}"
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
    for dialect in dialects() {
        let received = play_demo(&proxy, dialect, "demo").await;
        assert!(
            received.text().len() > 500 && !received.first().reasoning.is_empty(),
            "{received:?}"
        );
        let received = play_demo(&proxy, dialect, "demo-tools").await;
        assert_eq!(received.first().finish.as_deref(), Some("tool_calls"));
        for (_, (id, name, arguments)) in received.first().tools {
            assert!(!id.is_empty() && !name.is_empty());
            assert!(
                serde_json::from_str::<Value>(&arguments).is_ok(),
                "{arguments}"
            );
        }
    }
}

async fn play_demo(proxy: &Proxy, dialect: Dialect, model: &str) -> Received {
    let received = proxy
        .client
        .ask(&Request::chat(dialect, model, true))
        .await
        .received()
        .await;
    assert!(received.is_success(), "{received:?}");
    assert!(
        received
            .usage
            .is_some_and(|it| !it.estimated && it.output > Some(0)),
        "{received:?}"
    );
    received
}
