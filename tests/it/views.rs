//! One journal, many views: in every dialect every recording can be resumed after any event and any
//! byte, and its events fold to the whole answer.
//!
//! `SLUICEGATE_SEED` repeats a run: it determines how recordings are cut into pieces and where
//! readers resume.

mod fold;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};

use crate::corpus::all_recordings;
use crate::corpus::recording::{Recording, Rng, seed};
use crate::rig::direct_gateway::{Response, events};
use crate::rig::normalize::normalize;
use crate::rig::sse::Parser;
use crate::rig::{Case, Dialect, DirectGateway, Received, Request, dialects};
use fold::{fold, whole};

/// Number of recordings played at the same time.
const AT_ONCE: usize = 8;
/// Maximum number of places at which a body is cut before it is played.
const PIECES: u64 = 40;
/// Number of events after which a reader of each view resumes.
const CUTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_of_every_recording_can_be_resumed_anywhere_and_folds_to_the_whole_answer() {
    let seed = seed();
    let (all, gateway) = (Arc::new(all_recordings()), Arc::new(DirectGateway::new()));
    let (mut running, mut found) = (JoinSet::new(), Vec::new());
    for number in 0..all.len() {
        if running.len() == AT_ONCE {
            found.extend(finished(running.join_next().await.unwrap()));
        }
        running.spawn(view_differences(
            all.clone(),
            number,
            gateway.clone(),
            seed.wrapping_add(number as u64),
        ));
    }
    while let Some(done) = running.join_next().await {
        found.extend(finished(done));
    }
    println!("{} recordings in {} dialects", all.len(), dialects().len());
    assert!(
        found.is_empty(),
        "{} differences (seed {seed}):\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Returns the differences found; the panic of a fold counts as one.
fn finished(done: Result<Vec<String>, JoinError>) -> Vec<String> {
    done.unwrap_or_else(|error| vec![error.to_string()])
}

/// Returns all differences in the views of a recording.
async fn view_differences(
    all: Arc<Vec<Recording>>,
    number: usize,
    gateway: Arc<DirectGateway>,
    seed: u64,
) -> Vec<String> {
    let (recording, mut rng) = (&all[number], Rng::new(seed));
    let model = put(&gateway, number, recording, &mut rng);
    let mut found = Vec::new();
    for dialect in dialects() {
        let _case = Case::new(format_args!("{}: {dialect:?}", recording.name));
        let view = View {
            gateway: &gateway,
            recording,
            dialect,
            model: &model,
        };
        found.extend(
            view.differences(&mut rng)
                .await
                .into_iter()
                .map(|it| format!("{}: {dialect:?}: {it}", recording.name)),
        );
    }
    found
}

/// Stores a recording, cut at random places. Returns the name of its model.
fn put(gateway: &DirectGateway, number: usize, recording: &Recording, rng: &mut Rng) -> String {
    let mut cuts: Vec<usize> = (0..rng.below(PIECES))
        .map(|_| rng.offset(recording.body.len()))
        .collect();
    cuts.extend([0, recording.body.len()]);
    cuts.sort_unstable();
    let pieces = cuts.windows(2).map(|it| recording.body.slice(it[0]..it[1]));
    gateway.put(
        &format!("{number}.rec"),
        recording.wire,
        &recording.content_type,
        pieces,
    )
}

/// One recording in one dialect.
struct View<'a> {
    gateway: &'a DirectGateway,
    recording: &'a Recording,
    dialect: Dialect,
    model: &'a str,
}

impl View<'_> {
    async fn differences(&self, rng: &mut Rng) -> Vec<String> {
        let live = self.gateway.ask(&self.request(true).with_ids()).await;
        let id = live.stream_id();
        // A stream that was refused before its first content can be read too.
        let all = self.gateway.read(&id, self.dialect, None).await.body;
        let mut found = self.resumes(&id, &all, rng).await;
        if live.is_stream() {
            found.extend(self.resumes_live(&id, &live, &all, rng).await);
        }
        found.extend(self.matches_the_whole_answer(&id, &all).await);
        self.gateway.forget(&id).await;
        found
    }

    fn request(&self, stream: bool) -> Request {
        let request = Request::chat(self.dialect, self.model, stream);
        let choices = self.recording.choices();
        if choices > 1 && self.dialect.has_choices() {
            request.set("n", choices.into())
        } else {
            request
        }
    }

    /// Returns true if the dialect is that of the recording's wire, whose payloads are passed on.
    fn passes_on(&self) -> bool {
        self.dialect.wire() == Some(self.recording.wire)
    }

    /// Checks resuming: after an event exactly the rest follows; after a byte, the rest after the
    /// last complete event.
    async fn resumes(&self, id: &str, all: &Bytes, rng: &mut Rng) -> Vec<String> {
        let ends: Vec<usize> = memchr::memmem::find_iter(all, b"\n\n")
            .map(|at| at + 2)
            .collect();
        let mut places: Vec<usize> = (0..CUTS).map(|_| ends[rng.offset(ends.len())]).collect();
        // A connection can break at any byte: the last complete event before it counts.
        let cut = rng.offset(all.len());
        places.push(
            ends.iter()
                .copied()
                .take_while(|end| *end <= cut)
                .last()
                .unwrap_or(0),
        );
        places.push(all.len());
        let mut found = Vec::new();
        for place in places {
            let last = last_id(&all[..place]);
            let tail = self.gateway.read(id, self.dialect, last.as_deref()).await;
            let expected = if place == all.len() { 204 } else { 200 };
            if tail.status != expected || tail.body != all[place..] {
                found.push(format!(
                    "after {last:?}: {} {:?} instead of {:?}",
                    tail.status,
                    tail.body,
                    all.slice(place..)
                ));
            }
        }
        if self.dialect == Dialect::Responses && !self.passes_on() {
            found.extend(self.resumes_by_number(id, all, &ends, rng).await);
        }
        found
    }

    /// Checks resuming by the sequence numbers that OpenAI's clients use.
    async fn resumes_by_number(
        &self,
        id: &str,
        all: &Bytes,
        ends: &[usize],
        rng: &mut Rng,
    ) -> Option<String> {
        let number = rng.offset(ends.len());
        let path = format!("/v1/responses/resp_{id}?stream=true&starting_after={number}");
        let tail = self.gateway.ask(&Request::new("GET", path)).await;
        let expected = without_ids(&all[ends[number]..]);
        (tail.text() != expected).then(|| {
            format!(
                "after number {number}: {:?} instead of {expected:?}",
                tail.body
            )
        })
    }

    /// Checks that the events received live and those received after resuming form the same answer,
    /// however deltas were merged.
    async fn resumes_live(
        &self,
        id: &str,
        live: &Response,
        all: &Bytes,
        rng: &mut Rng,
    ) -> Option<String> {
        let cut = rng.offset(live.body.len() + 1);
        let had = memchr::memmem::rfind(&live.body[..cut], b"\n\n").map_or(0, |at| at + 2);
        let tail = self
            .gateway
            .read(id, self.dialect, last_id(&live.body[..had]).as_deref())
            .await;
        let both = [&live.body[..had], &tail.body].concat();
        if self.passes_on() {
            return (both[..] != all[..]).then(|| {
                format!(
                    "{:?} and then {:?} instead of {all:?}",
                    live.body.slice(..had),
                    tail.body
                )
            });
        }
        let (both, all) = (self.folded(id, &both), self.folded(id, all));
        (both != all).then(|| format!("cut at byte {cut}: {both:?} instead of {all:?}"))
    }

    fn folded(&self, id: &str, body: &[u8]) -> Result<Value, Value> {
        let normalize = |value| normalize(value, id);
        fold(self.dialect, &events(body))
            .map(normalize)
            .map_err(normalize)
    }

    /// Checks that the events fold to the non-streaming answer.
    async fn matches_the_whole_answer(&self, id: &str, all: &Bytes) -> Vec<String> {
        let response = self.gateway.ask(&self.request(false)).await;
        let other = response.stream_id();
        let mut found = Vec::new();
        if self.passes_on() {
            // Passed-on payloads contain more than the proxy decodes: compare the decoded part,
            // read as events.
            let events = Received::from_events(
                Dialect::Events,
                &self.gateway.read(id, Dialect::Events, None).await.events(),
            );
            found.extend(
                match whole(self.dialect, response.status, response.json()) {
                    Ok(_) if events.error.is_none() => text_difference(
                        &events,
                        &Received::from_body(self.dialect, &response.json()),
                    ),
                    Err(error) if error["code"] == events.code() => None,
                    _ => Some(format!(
                        "{} {:?} instead of {events:?}",
                        response.status, response.body
                    )),
                },
            );
        } else {
            let (stream, whole) = (
                self.folded(id, all),
                whole(
                    self.dialect,
                    response.status,
                    normalize(response.json(), &other),
                ),
            );
            found.extend((stream != whole).then(|| {
                format!("the events fold to\n  {stream:?}, the whole answer is\n  {whole:?}")
            }));
        }
        if self.dialect == Dialect::Events {
            let status = whole(
                self.dialect,
                200,
                normalize(self.gateway.status(id).await, id),
            );
            let events = self.folded(id, all);
            found.extend(
                (status != events).then(|| {
                    format!("the events fold to\n  {events:?}, the status is\n  {status:?}")
                }),
            );
        }
        self.gateway.forget(&other).await;
        found
    }
}

/// Returns the last event id that a client has after these bytes.
fn last_id(received: &[u8]) -> Option<String> {
    let mut parser = Parser::default();
    parser
        .feed(received)
        .pop()
        .map(|event| event.id.expect("every event has an id"))
}

/// Returns the events without their ids.
fn without_ids(body: &[u8]) -> String {
    std::str::from_utf8(body)
        .unwrap()
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("id: "))
        .collect()
}

/// Returns the difference between the content of two answers.
fn text_difference(one: &Received, other: &Received) -> Option<String> {
    let words = |received: &Received| {
        let first = received.first();
        (
            first.text,
            first.reasoning,
            first.refusal,
            first.finish,
            first.tools.len(),
        )
    };
    (words(one) != words(other)).then(|| format!("{:?} instead of {:?}", words(other), words(one)))
}
