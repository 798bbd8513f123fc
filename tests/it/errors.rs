//! Refusals: what every provider really answers when it does not answer, and what it could; told as
//! the contract says.
//!
//! Each is served to both dialects, one of them streaming, by an upstream that is asked alone and
//! by one with a spare behind it: status, code, words, wait, and how often who was asked are
//! compared with a reading of the body of their own.

mod expected;
mod made;
mod recorded;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rig::upstream::{Call, Framing, Head, Step};
use crate::rig::{Ask, Client, Pace, Say, Scene, Setup, Speech, Upstream, Virtual, WireId, wires};
use expected::Expected;

/// So many are asked for at the same time.
const TOGETHER: usize = 24;
/// What the answer of a spare says.
const SPARE: &str = "tok0 tok1 ";

/// An answer that is no answer.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Where it comes from.
    name: String,
    /// Its status.
    status: u16,
    /// Its fields.
    headers: Vec<(String, String)>,
    /// Its body.
    body: Bytes,
}

impl Refusal {
    fn steps(&self) -> Vec<Step> {
        let head = Head {
            status: self.status,
            headers: self.headers.clone(),
            framing: Framing::Length(self.body.len()),
        };
        vec![Step::Head(head), Step::Write(self.body.clone()), Step::End]
    }
}

/// One way of asking for one of them.
#[derive(Debug, Clone, Copy)]
struct Way {
    number: usize,
    speech: Speech,
    stream: bool,
    model: &'static str,
}

impl Way {
    /// Every dialect, alone and with a spare; with a stream in one of them and without in the
    /// other, by turns.
    fn all(number: usize) -> impl Iterator<Item = Self> {
        let ways = Speech::CHATS
            .into_iter()
            .map(move |speech| (speech, (speech == Speech::Chat) == number.is_multiple_of(2)));
        ways.flat_map(move |(speech, stream)| {
            ["m", "spared"].map(|model| Self {
                number,
                speech,
                stream,
                model,
            })
        })
    }

    /// How the upstream tells requests apart.
    fn mark(self) -> String {
        format!(
            "refusal-{}-{}-{}-{}-",
            self.number,
            self.speech.name(),
            self.stream,
            self.model
        )
    }

    fn ask(self) -> Ask {
        let messages = json!([{"role": "user", "content": self.mark()}]);
        Ask::chat(self.speech, self.model, self.stream).set("messages", messages)
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.speech.name(),
            if self.stream { "streamed" } else { "whole" },
            self.model
        )
    }
}

/// The mark of a request.
fn mark_of(call: &Call) -> &str {
    let body = std::str::from_utf8(&call.body).unwrap();
    body.split('"')
        .find(|it| it.starts_with("refusal-"))
        .unwrap()
}

/// How often each was asked for.
fn counts(upstream: &Upstream) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for n in 0..upstream.count() {
        *counts
            .entry(mark_of(&upstream.call(n)).to_owned())
            .or_default() += 1;
    }
    counts
}

/// What a client got.
#[derive(Debug, Default)]
pub struct Got {
    /// The status, where the dialect had one to give.
    status: Option<u16>,
    /// The fields of the head.
    headers: Vec<(String, String)>,
    /// The error object; null where it was an answer after all.
    error: Value,
    /// Everything that was said, to look for what must not be in it.
    all: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

async fn got(client: &Client, way: Way) -> Got {
    let mut reply = client.ask(&way.ask()).await;
    let headers = reply.headers.clone();
    if way.stream && reply.status == 200 {
        let (events, _) = reply.events().await;
        let all = events
            .iter()
            .map(|it| it.data.as_str())
            .collect::<Vec<_>>()
            .join("\n");
        let error = events
            .iter()
            .find(|it| it.name == "error")
            .map(crate::rig::sse::Event::json)
            .unwrap_or_default();
        let ends = events
            .iter()
            .filter(|it| it.name == "end" || it.data == "[DONE]")
            .count();
        assert_eq!(ends, 1, "{all}");
        return Got {
            status: None,
            headers,
            error,
            all,
        };
    }
    let body = reply.json().await;
    Got {
        status: Some(reply.status),
        headers,
        error: body["error"].clone(),
        all: body.to_string(),
    }
}

/// Everything in which these refusals were told otherwise than they should be.
async fn differences(clock: &Virtual, wire: WireId, all: Vec<Refusal>) -> Vec<String> {
    let mut found = Vec::new();
    for some in all.chunks(TOGETHER) {
        found.extend(told(clock, wire, Arc::new(some.to_vec())).await);
    }
    found
}

/// The same of some that are asked for at the same time.
async fn told(clock: &Virtual, wire: WireId, all: Arc<Vec<Refusal>>) -> Vec<String> {
    let _scene = Scene::of(format!("{wire:?}, from {:?}", all[0]));
    let answers = Arc::clone(&all);
    let upstream = Upstream::start(move |call, _| {
        let number: usize = mark_of(call).split('-').nth(1).unwrap().parse().unwrap();
        answers[number].steps()
    })
    .await;
    let spare = Upstream::start(Say::tokens(2).script(wire, Pace::Flat)).await;
    let proxy = Setup::new()
        .over(wire, &upstream)
        .section("models.m", "retries = 1")
        .provider("spare", wire, spare.addr)
        .model("spared", "[\"up/m-up\", \"spare/m-spare\"]")
        .section("models.spared", "retries = 1")
        .forgiving()
        .start()
        .await;
    let mut asking = JoinSet::new();
    for way in (0..all.len()).flat_map(Way::all) {
        let client = proxy.client.clone();
        asking.spawn(async move { (way, got(&client, way).await) });
    }
    let answers = clock
        .takes_at_most(Duration::from_secs(30), "all answers", asking.join_all())
        .await;
    let (calls, spare_calls) = (counts(&upstream), counts(&spare));
    let count =
        |counts: &BTreeMap<String, usize>, way: Way| counts.get(&way.mark()).copied().unwrap_or(0);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (way, got) in answers {
        let refusal = &all[way.number];
        let calls = (count(&calls, way), count(&spare_calls, way));
        let what =
            Expected::of(refusal).differences(way.model == "spared", way.speech, &got, calls);
        for it in what {
            found
                .entry(format!(
                    "{wire:?} {} {}: {it}",
                    refusal.status, refusal.name
                ))
                .or_default()
                .push(way.to_string());
        }
    }
    found
        .into_iter()
        .map(|(what, ways)| format!("{what} [{}]", ways.join(", ")))
        .collect()
}

fn assert_none(found: &[String]) {
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[tokio::test]
async fn every_recorded_refusal_is_told_as_the_contract_says() {
    let clock = Virtual::start();
    let (mut found, mut count) = (Vec::new(), 0);
    for wire in wires() {
        let all = recorded::all(wire);
        count += all.len();
        println!("{wire:?}: {} recorded errors compared", all.len());
        found.extend(differences(&clock, wire, all).await);
    }
    let (path, wanted) = crate::corpus::corpus();
    assert!(
        !wanted || count > 0,
        "SLUICEGATE_CORPUS is set, and there is no error in {}",
        path.display()
    );
    assert_none(&found);
}

#[tokio::test]
async fn every_refusal_that_was_never_recorded_is_told_as_the_contract_says() {
    let clock = Virtual::start();
    let mut found = Vec::new();
    for wire in wires() {
        found.extend(differences(&clock, wire, made::of(wire)).await);
    }
    assert_none(&found);
}
