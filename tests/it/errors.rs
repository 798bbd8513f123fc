//! Upstream errors: every recorded provider error and a list of made-up ones, reported to clients
//! as the contract says.
//!
//! Each error is requested in two dialects, one streaming and one not, from an upstream alone and
//! from an upstream with a spare. Status, code, message, retry delay and number of calls are
//! compared with an independent interpretation of the error body.

mod expected;
mod made_up;
mod recorded;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::rig::upstream::{Call, Framing, Head, Step};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Request, Setup, Upstream, VirtualClock, WireId, wires,
};
use expected::Expected;

/// Number of errors requested at the same time.
const TOGETHER: usize = 24;
/// Text of the spare's answer.
const SPARE: &str = "tok0 tok1 ";

/// An error response of an upstream.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Its origin.
    name: String,
    /// Its status.
    status: u16,
    /// Its header fields.
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

/// One way to request an error.
#[derive(Debug, Clone, Copy)]
struct Way {
    number: usize,
    dialect: Dialect,
    stream: bool,
    model: &'static str,
}

impl Way {
    /// Returns every dialect, with and without a spare; one of the dialects streams, alternating
    /// with the number.
    fn all(number: usize) -> impl Iterator<Item = Self> {
        let ways = Dialect::CHATS.into_iter().map(move |dialect| {
            (
                dialect,
                (dialect == Dialect::Chat) == number.is_multiple_of(2),
            )
        });
        ways.flat_map(move |(dialect, stream)| {
            ["m", "spared"].map(|model| Self {
                number,
                dialect,
                stream,
                model,
            })
        })
    }

    /// Marker by which the upstream recognizes the request.
    fn mark(self) -> String {
        format!(
            "refusal-{}-{}-{}-{}-",
            self.number,
            self.dialect.name(),
            self.stream,
            self.model
        )
    }

    fn request(self) -> Request {
        let messages = json!([{"role": "user", "content": self.mark()}]);
        Request::chat(self.dialect, self.model, self.stream).set("messages", messages)
    }
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {} {}",
            self.dialect.name(),
            if self.stream { "streamed" } else { "whole" },
            self.model
        )
    }
}

/// Returns the marker in a request.
fn mark_in(call: &Call) -> &str {
    let body = std::str::from_utf8(&call.body).unwrap();
    body.split('"')
        .find(|it| it.starts_with("refusal-"))
        .unwrap()
}

/// Returns the number of calls per marker.
fn counts(upstream: &Upstream) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for n in 0..upstream.count() {
        *counts
            .entry(mark_in(&upstream.call(n)).to_owned())
            .or_default() += 1;
    }
    counts
}

/// The answer that a client received.
#[derive(Debug, Default)]
pub struct ClientAnswer {
    /// The status; `None` if the error came in a stream.
    status: Option<u16>,
    /// The header fields.
    headers: Vec<(String, String)>,
    /// The error object; null if the request succeeded.
    error: Value,
    /// The whole body, searched for text that must not be in it.
    all: String,
}

impl ClientAnswer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

async fn ask(client: &Client, way: Way) -> ClientAnswer {
    let mut reply = client.ask(&way.request()).await;
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
        return ClientAnswer {
            status: None,
            headers,
            error,
            all,
        };
    }
    let body = reply.json().await;
    ClientAnswer {
        status: Some(reply.status),
        headers,
        error: body["error"].clone(),
        all: body.to_string(),
    }
}

/// Returns all differences between the reported errors and the expected ones.
async fn differences(clock: &VirtualClock, wire: WireId, all: Vec<Refusal>) -> Vec<String> {
    let mut found = Vec::new();
    for some in all.chunks(TOGETHER) {
        found.extend(differences_in_batch(clock, wire, Arc::new(some.to_vec())).await);
    }
    found
}

/// Returns the differences for one batch, requested at the same time.
async fn differences_in_batch(
    clock: &VirtualClock,
    wire: WireId,
    all: Arc<Vec<Refusal>>,
) -> Vec<String> {
    let _case = Case::new(format!("{wire:?}, from {:?}", all[0]));
    let answers = Arc::clone(&all);
    let upstream = Upstream::start(move |call, _| {
        let number: usize = mark_in(call).split('-').nth(1).unwrap().parse().unwrap();
        answers[number].steps()
    })
    .await;
    let spare = Upstream::start(Answer::tokens(2).script(wire, Pace::Flat)).await;
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
        asking.spawn(async move { (way, ask(&client, way).await) });
    }
    let answers = clock
        .takes_at_most(Duration::from_secs(30), "all answers", asking.join_all())
        .await;
    let (calls, spare_calls) = (counts(&upstream), counts(&spare));
    let count =
        |counts: &BTreeMap<String, usize>, way: Way| counts.get(&way.mark()).copied().unwrap_or(0);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (way, answer) in answers {
        let refusal = &all[way.number];
        let calls = (count(&calls, way), count(&spare_calls, way));
        let what = Expected::from_refusal(refusal).differences(
            way.model == "spared",
            way.dialect,
            &answer,
            calls,
        );
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
async fn every_recorded_error_is_reported_as_the_contract_says() {
    let clock = VirtualClock::start();
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
async fn every_made_up_error_is_reported_as_the_contract_says() {
    let clock = VirtualClock::start();
    let mut found = Vec::new();
    for wire in wires() {
        found.extend(differences(&clock, wire, made_up::for_wire(wire)).await);
    }
    assert_none(&found);
}
