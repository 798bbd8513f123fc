//! Journals for tests of the dialects: events written by hand, and random journals.

pub(super) mod own_wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytestring::ByteString;
use proptest::prelude::*;

use super::{Encode, View};
use crate::codec::sse_writer::{EventIds, SseWriter};
use crate::model::ask::AskHead;
use crate::model::entry::{Entry, Payload};
use crate::model::event::{
    Citation, End, Event, Failure, Finish, Raw, Reason, Route, Signature, Start, ToolCall,
};
use crate::model::fault::{Code, Fault};
use crate::model::fold::{Answer, Choice};
use crate::model::ids::StreamId;
use crate::model::usage::Usage;
use crate::model::wire::{DialectId, WireId};

const STREAM: &str = "abcdefghijklmnopqrstuvwxyz";

pub(super) fn start_data(choices: u16) -> Start {
    Start {
        stream: StreamId::parse(STREAM).unwrap(),
        created: 1_767_000_000,
        head: Arc::new(AskHead {
            choices,
            input_estimate: 10,
            ..AskHead::example(DialectId::Events)
        }),
    }
}

pub(super) fn view(choices: u16, raw: bool) -> View {
    View {
        start: start_data(choices),
        include_usage: true,
        raw,
    }
}

pub(super) fn start(choices: u16) -> Event {
    Event::Start(Box::new(start_data(choices)))
}

pub(super) fn route(wire: WireId, raw: bool) -> Event {
    Event::Route(Box::new(Route {
        provider: "acme".into(),
        model: "acme-1".into(),
        wire,
        raw,
        request_id: None,
    }))
}

pub(super) fn text(choice: u16, delta: &str) -> Event {
    Event::Text {
        choice,
        delta: delta.into(),
    }
}

pub(super) fn reasoning(choice: u16, delta: &str) -> Event {
    Event::Reasoning {
        choice,
        delta: delta.into(),
    }
}

pub(super) fn refusal(choice: u16, delta: &str) -> Event {
    Event::Refusal {
        choice,
        delta: delta.into(),
    }
}

pub(super) fn signature(choice: u16, signature: &str, wire: WireId, on_text: bool) -> Event {
    Event::Signature(Box::new(Signature {
        choice,
        signature: Some(signature.into()),
        redacted: None,
        wire,
        on_text,
    }))
}

pub(super) fn redacted(choice: u16, data: &str, wire: WireId) -> Event {
    Event::Signature(Box::new(Signature {
        choice,
        signature: None,
        redacted: Some(data.into()),
        wire,
        on_text: false,
    }))
}

pub(super) fn call(choice: u16, index: u16, custom: bool, signature: Option<&str>) -> Event {
    let (id, name) = (format!("call_{choice}_{index}").into(), "look_up".into());
    Event::ToolCall(Box::new(ToolCall {
        choice,
        index,
        id,
        name,
        signature: signature.map(Into::into),
        custom,
    }))
}

pub(super) fn arguments(choice: u16, index: u16, delta: &str) -> Event {
    Event::ToolArguments {
        choice,
        index,
        delta: delta.into(),
    }
}

pub(super) fn citation(choice: u16, url: Option<&str>) -> Event {
    let data = "{\"a\":\n \"b\u{2028}\"}".into();
    Event::Citation(Box::new(Citation {
        choice,
        url: url.map(Into::into),
        title: None,
        quote: Some("q".into()),
        span: Some((1, 4)),
        data,
    }))
}

pub(super) fn raw(choice: u16) -> Event {
    Event::Raw(Box::new(Raw {
        choice,
        wire: WireId::Gemini,
        data: "{\r\n\"inlineData\":{}}".into(),
    }))
}

pub(super) fn finish(choice: u16, reason: Reason) -> Event {
    Event::Finish(Box::new(Finish {
        choice,
        reason,
        native: Some(format!("native_{}", reason.name()).into()),
    }))
}

pub(super) fn sample_usage() -> Usage {
    Usage {
        input: Some(12),
        output: Some(5),
        cached_input: Some(8),
        cache_write: None,
        reasoning: Some(3),
        estimated: false,
        cost: None,
    }
}

pub(super) fn usage(estimated: bool) -> Event {
    Event::Usage(Box::new(Usage {
        estimated,
        ..sample_usage()
    }))
}

pub(super) fn error(passed_on: bool) -> Event {
    Event::Error(Box::new(Failure {
        fault: Fault::new(Code::UpstreamError, "the upstream failed; try again"),
        passed_on,
    }))
}

pub(super) fn end(reason: Reason) -> Event {
    Event::End(Box::new(End {
        reason,
        native: None,
        usage: Some(sample_usage()),
    }))
}

/// Makes one entry of each event.
pub(super) fn entries(events: impl IntoIterator<Item = Event>) -> Vec<Entry> {
    events
        .into_iter()
        .map(|event| Entry::new([event].into_iter().collect()))
        .collect()
}

/// Makes an entry that holds a payload.
pub(super) fn payload_entry(data: &str, events: impl IntoIterator<Item = Event>) -> Entry {
    Entry {
        raw: Some(Payload {
            name: ByteString::new(),
            data: data.into(),
        }),
        events: events.into_iter().collect(),
    }
}

/// Returns the SSE events for a reader that starts at entry 0.
pub(super) fn encoded(mut encoder: Box<dyn Encode>, journal: &[Entry]) -> Vec<String> {
    sse_events(&encode_from(
        &mut *encoder,
        &mut SseWriter::new(None),
        journal,
        0,
        0,
    ))
}

pub(super) fn sse_events(sse: &str) -> Vec<String> {
    sse.split_terminator("\n\n").map(str::to_owned).collect()
}

/// Encodes the entries from `seq` on, without the first `seen` SSE events of that entry.
fn encode_from(
    encoder: &mut dyn Encode,
    out: &mut SseWriter,
    journal: &[Entry],
    seq: usize,
    seen: u32,
) -> String {
    let mut sse = String::new();
    for (at, entry) in journal.iter().enumerate().skip(seq) {
        out.begin_entry(at as u64, if at == seq { seen } else { 0 });
        encoder.write_entry(entry, out);
        out.end_entry();
        sse.push_str(std::str::from_utf8(&out.take()).unwrap());
    }
    sse
}

/// Asserts the law of resume: an encoder that has processed the earlier entries with a muted writer
/// writes exactly the rest, from any position, also from inside an entry.
pub(super) fn assert_resumes_everywhere(encoder: impl Fn() -> Box<dyn Encode>, journal: &[Entry]) {
    let writer = || {
        SseWriter::new(Some(EventIds {
            stream: STREAM.as_bytes().into(),
            dialect: "test",
        }))
    };
    let all = sse_events(&encode_from(&mut *encoder(), &mut writer(), journal, 0, 0));
    let mut gone = 0;
    for seq in 0..journal.len() {
        let silent = || {
            let (mut encoder, mut out) = (encoder(), writer());
            out.mute(true);
            assert_eq!(
                encode_from(&mut *encoder, &mut out, &journal[..seq], 0, 0),
                ""
            );
            out.mute(false);
            (encoder, out)
        };
        let (mut quiet, mut out) = silent();
        let parts = sse_events(&encode_from(
            &mut *quiet,
            &mut out,
            &journal[..=seq],
            seq,
            0,
        ))
        .len();
        for seen in 0..=parts {
            let (mut encoder, mut out) = silent();
            let tail = sse_events(&encode_from(
                &mut *encoder,
                &mut out,
                journal,
                seq,
                u32::try_from(seen).unwrap(),
            ));
            assert_eq!(
                tail,
                all[gone + seen..],
                "from entry {seq}, {seen} of {parts} events seen"
            );
        }
        gone += parts;
    }
    assert_eq!(gone, all.len());
}

/// The end of a random journal.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Completed,
    Cancelled { with_finish: bool },
    Failed,
}

/// The seed of a random event: kind, choice, content.
type Seed = (u8, u16, String);

fn any_text() -> impl Strategy<Value = String> {
    let letters = prop::sample::select(vec![
        'a', 'b', ' ', '"', '\\', '\n', '\r', '\t', '\u{1}', '\u{85}', '\u{2028}', 'é', '😀',
    ]);
    prop::collection::vec(letters, 0..6).prop_map(String::from_iter)
}

fn any_ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Completed),
        1 => any::<bool>().prop_map(|with_finish| Ending::Cancelled { with_finish }),
        1 => Just(Ending::Failed),
    ]
}

/// Generates journals that keep the invariants of events. With `raw`, each entry has a payload of
/// the wire `openai-chat`.
pub(super) fn any_journal(raw: bool) -> impl Strategy<Value = (u16, Vec<Entry>)> {
    let seeds = prop::collection::vec(
        prop::collection::vec((0u8..12, 0u16..3, any_text()), 1..3),
        0..12,
    );
    (1u16..=3, seeds, any_ending(), any::<bool>()).prop_map(
        move |(choices, seeds, ending, together)| {
            let mut calls = BTreeMap::new();
            let mut journal = entries([
                start(choices),
                route(
                    if raw {
                        WireId::OpenaiChat
                    } else {
                        WireId::Anthropic
                    },
                    raw,
                ),
            ]);
            for seeds in seeds {
                let events: Vec<Event> = seeds
                    .into_iter()
                    .filter_map(|seed| next_event(seed, choices, &mut calls))
                    .collect();
                journal.push(if raw {
                    payload_entry(&chunk(&events), events)
                } else {
                    Entry::new(events.into_iter().collect())
                });
            }
            let last = end_events(ending, choices, &journal);
            journal.extend(if together {
                vec![Entry::new(last.into_iter().collect())]
            } else {
                entries(last)
            });
            (choices, journal)
        },
    )
}

/// Makes an event of a seed. `calls` holds the latest call of each choice, and whether it is still
/// open.
fn next_event(
    (kind, choice, content): Seed,
    choices: u16,
    calls: &mut BTreeMap<u16, (u16, bool)>,
) -> Option<Event> {
    let choice = choice % choices;
    let latest = calls.get(&choice).copied();
    let open = latest.filter(|(_, open)| *open).map(|(index, _)| index);
    Some(match kind {
        0..=2 => text(choice, &content),
        3 | 4 => reasoning(choice, &content),
        5 => refusal(choice, &content),
        6 => signature(choice, &content, WireId::Anthropic, false),
        7 if content.len().is_multiple_of(2) => redacted(choice, &content, WireId::Anthropic),
        7 => signature(choice, &content, WireId::Gemini, true),
        8 => {
            let index = latest.map_or(0, |(index, _)| index + 1);
            calls.insert(choice, (index, true));
            call(
                choice,
                index,
                content.len().is_multiple_of(2),
                (content.len() > 3).then_some(&content),
            )
        }
        9 => arguments(choice, open?, &content),
        10 => citation(
            choice,
            (!content.len().is_multiple_of(3)).then_some("https://example.com/a"),
        ),
        _ if content.len() > 3 => raw(choice),
        _ => {
            let index = open?;
            calls.insert(choice, (index, false));
            Event::ToolCallEnd { choice, index }
        }
    })
}

fn end_events(ending: Ending, choices: u16, journal: &[Entry]) -> Vec<Event> {
    let reasons = [
        Reason::Stop,
        Reason::Length,
        Reason::ToolCalls,
        Reason::ContentFilter,
    ];
    let finishes = (0..choices)
        .map(|choice| finish(choice, reasons[(journal.len() + usize::from(choice)) % 4]));
    match ending {
        Ending::Completed => finishes
            .chain([usage(journal.len().is_multiple_of(2)), end(Reason::Stop)])
            .collect(),
        Ending::Cancelled { with_finish: false } => vec![usage(true), end(Reason::Cancelled)],
        Ending::Cancelled { with_finish: true } => (0..choices)
            .map(|choice| finish(choice, Reason::Cancelled))
            .chain([usage(true), end(Reason::Cancelled)])
            .collect(),
        Ending::Failed => vec![error(false), usage(true), end(Reason::Error)],
    }
}

/// Makes a chunk in the formatting of an upstream, which differs from ours.
fn chunk(events: &[Event]) -> String {
    let choice = events.first().map_or(0, Event::choice);
    let content: u64 = events.iter().map(Event::output_bytes).sum();
    format!(
        r#"{{ "id" : "up-1","created":7, "model":"acme-1","choices":[{{"index":{choice},"delta":{{}}, "n":{content},"finish_reason": null}}]}}"#
    )
}

/// Returns the answer that the events of a journal make.
pub(super) fn answer(journal: &[Entry]) -> Answer {
    Answer::from_events(journal.iter().flat_map(|entry| &entry.events))
}

/// Returns the first choice of an answer.
pub(super) fn first_choice(answer: &Answer) -> Choice {
    answer.choices.first().cloned().unwrap_or_default()
}

/// Returns true if no call grows after its end. A stream has no place for such arguments.
pub(super) fn no_call_grows_after_its_end(journal: &[Entry]) -> bool {
    let mut ended = Vec::new();
    journal
        .iter()
        .flat_map(|entry| &entry.events)
        .all(|event| match event {
            Event::ToolCallEnd { choice, index } => {
                ended.push((*choice, *index));
                true
            }
            Event::ToolArguments { choice, index, .. } => !ended.contains(&(*choice, *index)),
            _ => true,
        })
}

/// Returns the SSE events for a reader from entry `seq` on, if of the first `evicted` entries only
/// their summary is left.
pub(super) fn tail(
    mut encoder: Box<dyn Encode>,
    summary: &Entry,
    journal: &[Entry],
    evicted: usize,
    seq: usize,
) -> Vec<String> {
    let mut out = SseWriter::new(None);
    out.mute(true);
    out.begin_entry(0, 0);
    encoder.restore(summary, &mut out);
    out.end_entry();
    let mut sse = String::new();
    for (at, entry) in journal.iter().enumerate().skip(evicted) {
        out.mute(at < seq);
        out.begin_entry(at as u64, 0);
        encoder.write_entry(entry, &mut out);
        out.end_entry();
        sse.push_str(std::str::from_utf8(&out.take()).unwrap());
    }
    sse_events(&sse)
}
