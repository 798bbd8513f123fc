//! One journal, many views: what every recording says in every dialect can be gone on with behind
//! any event and any byte, and comes to what the whole answer says.
//!
//! `SLUICEGATE_SEED` repeats a run: it says how recordings are cut in pieces, and where readers
//! come back.

mod fold;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::task::{JoinError, JoinSet};

use crate::corpus::all_recordings;
use crate::corpus::recording::{Dice, Recording, seed};
use crate::rig::sse::Parser;
use crate::rig::stage::{Answered, events};
use crate::rig::timeless::timeless;
use crate::rig::{Ask, Scene, Speech, Stage, Told, speeches};
use fold::{fold, whole};

/// Recordings played at the same time: each has some tasks.
const AT_ONCE: usize = 8;
/// The most places at which a body is cut before it is played.
const PIECES: u64 = 40;
/// Events behind which a reader of each view comes back.
const CUTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_view_of_every_recording_goes_on_anywhere_and_comes_to_the_whole_answer() {
    let seed = seed();
    let (all, stage) = (Arc::new(all_recordings()), Arc::new(Stage::new()));
    let (mut running, mut found) = (JoinSet::new(), Vec::new());
    for number in 0..all.len() {
        if running.len() == AT_ONCE {
            found.extend(finished(running.join_next().await.unwrap()));
        }
        running.spawn(seen(
            all.clone(),
            number,
            stage.clone(),
            seed.wrapping_add(number as u64),
        ));
    }
    while let Some(done) = running.join_next().await {
        found.extend(finished(done));
    }
    println!("{} recordings in {} dialects", all.len(), speeches().len());
    assert!(
        found.is_empty(),
        "{} differences (seed {seed}):\n{}",
        found.len(),
        found.join("\n")
    );
}

/// What was found; a fold that gave up has said of what.
fn finished(done: Result<Vec<String>, JoinError>) -> Vec<String> {
    done.unwrap_or_else(|error| vec![error.to_string()])
}

/// Everything in which a recording's views are not as they should be.
async fn seen(
    all: Arc<Vec<Recording>>,
    number: usize,
    stage: Arc<Stage>,
    seed: u64,
) -> Vec<String> {
    let (recording, mut dice) = (&all[number], Dice::new(seed));
    let model = put(&stage, number, recording, &mut dice);
    let mut found = Vec::new();
    for speech in speeches() {
        let _scene = Scene::of(format_args!("{}: {speech:?}", recording.name));
        let view = View {
            stage: &stage,
            recording,
            speech,
            model: &model,
        };
        found.extend(
            view.differences(&mut dice)
                .await
                .into_iter()
                .map(|it| format!("{}: {speech:?}: {it}", recording.name)),
        );
    }
    found
}

/// Puts a recording on the stage, cut at random places.
fn put(stage: &Stage, number: usize, recording: &Recording, dice: &mut Dice) -> String {
    let mut cuts: Vec<usize> = (0..dice.below(PIECES))
        .map(|_| dice.place(recording.body.len()))
        .collect();
    cuts.extend([0, recording.body.len()]);
    cuts.sort_unstable();
    let pieces = cuts.windows(2).map(|it| recording.body.slice(it[0]..it[1]));
    stage.put(
        &format!("{number}.rec"),
        recording.wire,
        &recording.content_type,
        pieces,
    )
}

/// What one dialect makes of a recording.
struct View<'a> {
    stage: &'a Stage,
    recording: &'a Recording,
    speech: Speech,
    model: &'a str,
}

impl View<'_> {
    async fn differences(&self, dice: &mut Dice) -> Vec<String> {
        let live = self.stage.ask(&self.request(true).with_ids()).await;
        let id = live.stream_id();
        // Also what was refused before its first content is a stream that can be read.
        let all = self.stage.read(&id, self.speech, None).await.body;
        let mut found = self.goes_on(&id, &all, dice).await;
        if live.is_stream() {
            found.extend(self.goes_on_live(&id, &live, &all, dice).await);
        }
        found.extend(self.comes_to_the_whole(&id, &all).await);
        self.stage.forget(&id).await;
        found
    }

    fn request(&self, stream: bool) -> Ask {
        let ask = Ask::chat(self.speech, self.model, stream);
        let choices = self.recording.choices();
        if choices > 1 && self.speech.has_choices() {
            ask.set("n", choices.into())
        } else {
            ask
        }
    }

    /// The dialect is that of the recording's wire, whose payloads are passed on.
    fn passes_on(&self) -> bool {
        self.speech.wire() == Some(self.recording.wire)
    }

    /// Behind an event comes exactly the rest; behind a byte, the rest of what had come whole.
    async fn goes_on(&self, id: &str, all: &Bytes, dice: &mut Dice) -> Vec<String> {
        let ends: Vec<usize> = memchr::memmem::find_iter(all, b"\n\n")
            .map(|at| at + 2)
            .collect();
        let mut places: Vec<usize> = (0..CUTS).map(|_| ends[dice.place(ends.len())]).collect();
        // A connection breaks anywhere: what had come whole by then counts.
        let cut = dice.place(all.len());
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
            let tail = self.stage.read(id, self.speech, last.as_deref()).await;
            let expected = if place == all.len() { 204 } else { 200 };
            if tail.status != expected || tail.body != all[place..] {
                found.push(format!(
                    "behind {last:?} came {} {:?} instead of {:?}",
                    tail.status,
                    tail.body,
                    all.slice(place..)
                ));
            }
        }
        if self.speech == Speech::Responses && !self.passes_on() {
            found.extend(self.goes_on_by_number(id, all, &ends, dice).await);
        }
        found
    }

    /// The same by the numbers that OpenAI's clients go by.
    async fn goes_on_by_number(
        &self,
        id: &str,
        all: &Bytes,
        ends: &[usize],
        dice: &mut Dice,
    ) -> Option<String> {
        let number = dice.place(ends.len());
        let path = format!("/v1/responses/resp_{id}?stream=true&starting_after={number}");
        let tail = self.stage.ask(&Ask::new("GET", path)).await;
        let expected = without_ids(&all[ends[number]..]);
        (tail.text() != expected).then(|| {
            format!(
                "behind number {number} came {:?} instead of {expected:?}",
                tail.body
            )
        })
    }

    /// What somebody had of it live, and what came after, is the same answer: however much of it
    /// was sent as one.
    async fn goes_on_live(
        &self,
        id: &str,
        live: &Answered,
        all: &Bytes,
        dice: &mut Dice,
    ) -> Option<String> {
        let cut = dice.place(live.body.len() + 1);
        let had = memchr::memmem::rfind(&live.body[..cut], b"\n\n").map_or(0, |at| at + 2);
        let tail = self
            .stage
            .read(id, self.speech, last_id(&live.body[..had]).as_deref())
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
        (both != all).then(|| format!("cut at byte {cut} it came to {both:?} instead of {all:?}"))
    }

    fn folded(&self, id: &str, body: &[u8]) -> Result<Value, Value> {
        let timeless = |value| timeless(value, id);
        fold(self.speech, &events(body))
            .map(timeless)
            .map_err(timeless)
    }

    /// What the events come to is what is told to who wants no stream.
    async fn comes_to_the_whole(&self, id: &str, all: &Bytes) -> Vec<String> {
        let answered = self.stage.ask(&self.request(false)).await;
        let other = answered.stream_id();
        let mut found = Vec::new();
        if self.passes_on() {
            // Payloads that are passed on hold more than is understood of them: what was understood
            // is read as events.
            let events = Told::of(
                Speech::Events,
                &self.stage.read(id, Speech::Events, None).await.events(),
            );
            found.extend(match whole(self.speech, answered.status, answered.json()) {
                Ok(_) if events.error.is_none() => {
                    same_words(&events, &Told::of_whole(self.speech, &answered.json()))
                }
                Err(error) if error["code"] == events.code() => None,
                _ => Some(format!(
                    "{} {:?} instead of {events:?}",
                    answered.status, answered.body
                )),
            });
        } else {
            let (stream, whole) = (
                self.folded(id, all),
                whole(
                    self.speech,
                    answered.status,
                    timeless(answered.json(), &other),
                ),
            );
            found.extend((stream != whole).then(|| {
                format!("the events come to\n  {stream:?}, the whole answer is\n  {whole:?}")
            }));
        }
        if self.speech == Speech::Events {
            let status = whole(self.speech, 200, timeless(self.stage.status(id).await, id));
            let events = self.folded(id, all);
            found.extend(
                (status != events).then(|| {
                    format!("the events come to\n  {events:?}, the status is\n  {status:?}")
                }),
            );
        }
        self.stage.forget(&other).await;
        found
    }
}

/// The id that a client has when this is what it got.
fn last_id(got: &[u8]) -> Option<String> {
    let mut parser = Parser::default();
    parser
        .feed(got)
        .pop()
        .map(|event| event.id.expect("every event has an id"))
}

/// The same events without their ids.
fn without_ids(body: &[u8]) -> String {
    std::str::from_utf8(body)
        .unwrap()
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("id: "))
        .collect()
}

/// In which words two tellings of a choice differ.
fn same_words(one: &Told, other: &Told) -> Option<String> {
    let words = |told: &Told| {
        let first = told.first();
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
