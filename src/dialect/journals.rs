//! Journals to test dialects with: written by hand, and made up.

use std::collections::BTreeMap;

use bytestring::ByteString;
use proptest::prelude::*;

use super::{Encode, View};
use crate::codec::sse_writer::{Ids, SseWriter};
use crate::model::entry::{Entry, Payload};
use crate::model::event::{
    Citation, End, Event, Failure, Finish, Raw, Reason, Route, Signature, Start, ToolCall,
};
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::usage::Usage;
use crate::model::wire::WireId;

const STREAM: &str = "abcdefghijklmnopqrstuvwxyz";

pub(super) fn start_of(choices: u16) -> Start {
    Start {
        stream: StreamId::parse(STREAM).unwrap(),
        model: "smart".into(),
        created: 1_767_000_000,
        choices,
        thread: None,
        input_estimate: 10,
    }
}

pub(super) fn view(choices: u16, raw: bool) -> View {
    View {
        start: start_of(choices),
        include_usage: true,
        raw,
        asked: None,
    }
}

pub(super) fn start(choices: u16) -> Event {
    Event::Start(Box::new(start_of(choices)))
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

pub(super) fn used() -> Usage {
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
        ..used()
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
        usage: Some(used()),
    }))
}

/// Every event an entry of its own.
pub(super) fn entries(events: impl IntoIterator<Item = Event>) -> Vec<Entry> {
    events
        .into_iter()
        .map(|event| Entry::of([event].into_iter().collect()))
        .collect()
}

/// An entry that holds a payload.
pub(super) fn passed(data: &str, events: impl IntoIterator<Item = Event>) -> Entry {
    Entry {
        raw: Some(Payload {
            name: ByteString::new(),
            data: data.into(),
        }),
        events: events.into_iter().collect(),
    }
}

/// What a reader from the start is sent; one string for each SSE event.
pub(super) fn spelled(mut encoder: Box<dyn Encode>, journal: &[Entry]) -> Vec<String> {
    blocks(&spell(
        &mut *encoder,
        &mut SseWriter::new(None),
        journal,
        0,
        0,
    ))
}

pub(super) fn blocks(sse: &str) -> Vec<String> {
    sse.split_terminator("\n\n").map(str::to_owned).collect()
}

/// Spells the entries from `seq` on, the first `seen` events of the first of them left out.
fn spell(
    encoder: &mut dyn Encode,
    out: &mut SseWriter,
    journal: &[Entry],
    seq: usize,
    seen: u32,
) -> String {
    let mut sse = String::new();
    for (at, entry) in journal.iter().enumerate().skip(seq) {
        out.begin_entry(at as u64, if at == seq { seen } else { 0 });
        encoder.entry(entry, out);
        out.end_entry();
        sse.push_str(std::str::from_utf8(&out.take()).unwrap());
    }
    sse
}

/// The law of resume: an encoder that has silently gone over what came before says exactly the
/// rest, wherever it begins, inside an entry too.
pub(super) fn resumes_everywhere(encoder: impl Fn() -> Box<dyn Encode>, journal: &[Entry]) {
    let writer = || {
        SseWriter::new(Some(Ids {
            stream: STREAM.as_bytes().into(),
            dialect: "test",
        }))
    };
    let all = blocks(&spell(&mut *encoder(), &mut writer(), journal, 0, 0));
    let mut gone = 0;
    for seq in 0..journal.len() {
        let silent = || {
            let (mut encoder, mut out) = (encoder(), writer());
            out.mute(true);
            assert_eq!(spell(&mut *encoder, &mut out, &journal[..seq], 0, 0), "");
            out.mute(false);
            (encoder, out)
        };
        let (mut quiet, mut out) = silent();
        let parts = blocks(&spell(&mut *quiet, &mut out, &journal[..=seq], seq, 0)).len();
        for seen in 0..=parts {
            let (mut encoder, mut out) = silent();
            let tail = blocks(&spell(
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

/// How a made-up journal ends.
#[derive(Debug, Clone, Copy)]
enum Ending {
    Completed,
    Cancelled { told: bool },
    Failed,
}

/// A piece of a made-up journal: kind, choice, words.
type Seed = (u8, u16, String);

fn words() -> impl Strategy<Value = String> {
    let letters = prop::sample::select(vec![
        'a', 'b', ' ', '"', '\\', '\n', '\r', '\t', '\u{1}', '\u{85}', '\u{2028}', 'é', '😀',
    ]);
    prop::collection::vec(letters, 0..6).prop_map(String::from_iter)
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        3 => Just(Ending::Completed),
        1 => any::<bool>().prop_map(|told| Ending::Cancelled { told }),
        1 => Just(Ending::Failed),
    ]
}

/// Any journal that keeps the invariants of events; where `raw`, with payloads of the wire
/// `openai-chat`.
pub(super) fn journals(raw: bool) -> impl Strategy<Value = (u16, Vec<Entry>)> {
    let seeds = prop::collection::vec(
        prop::collection::vec((0u8..12, 0u16..3, words()), 1..3),
        0..12,
    );
    (1u16..=3, seeds, ending(), any::<bool>()).prop_map(
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
                    .filter_map(|seed| grown(seed, choices, &mut calls))
                    .collect();
                journal.push(if raw {
                    passed(&payload(&events), events)
                } else {
                    Entry::of(events.into_iter().collect())
                });
            }
            let last = ended(ending, choices, &journal);
            journal.extend(if together {
                vec![Entry::of(last.into_iter().collect())]
            } else {
                entries(last)
            });
            (choices, journal)
        },
    )
}

/// `calls` has the latest call of each choice, and whether it goes on.
fn grown(
    (kind, choice, words): Seed,
    choices: u16,
    calls: &mut BTreeMap<u16, (u16, bool)>,
) -> Option<Event> {
    let choice = choice % choices;
    let latest = calls.get(&choice).copied();
    let open = latest.filter(|(_, open)| *open).map(|(index, _)| index);
    Some(match kind {
        0..=2 => text(choice, &words),
        3 | 4 => reasoning(choice, &words),
        5 => refusal(choice, &words),
        6 => signature(choice, &words, WireId::Anthropic, false),
        7 if words.len().is_multiple_of(2) => redacted(choice, &words, WireId::Anthropic),
        7 => signature(choice, &words, WireId::Gemini, true),
        8 => {
            let index = latest.map_or(0, |(index, _)| index + 1);
            calls.insert(choice, (index, true));
            call(
                choice,
                index,
                words.len().is_multiple_of(2),
                (words.len() > 3).then_some(&words),
            )
        }
        9 => arguments(choice, open?, &words),
        10 => citation(
            choice,
            (!words.len().is_multiple_of(3)).then_some("https://example.com/a"),
        ),
        _ if words.len() > 3 => raw(choice),
        _ => {
            let index = open?;
            calls.insert(choice, (index, false));
            Event::ToolCallEnd { choice, index }
        }
    })
}

fn ended(ending: Ending, choices: u16, journal: &[Entry]) -> Vec<Event> {
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
        Ending::Cancelled { told: false } => vec![usage(true), end(Reason::Cancelled)],
        Ending::Cancelled { told: true } => (0..choices)
            .map(|choice| finish(choice, Reason::Cancelled))
            .chain([usage(true), end(Reason::Cancelled)])
            .collect(),
        Ending::Failed => vec![error(false), usage(true), end(Reason::Error)],
    }
}

/// A chunk as an upstream would have sent it, in a spelling that is not ours.
fn payload(events: &[Event]) -> String {
    let choice = events.first().map_or(0, Event::choice);
    let content: u64 = events.iter().map(Event::output_bytes).sum();
    format!(
        r#"{{ "id" : "up-1","created":7, "model":"acme-1","choices":[{{"index":{choice},"delta":{{}}, "n":{content},"finish_reason": null}}]}}"#
    )
}
