//! What each dialect has words for: the table of the README, held against what the encoders write.

use std::collections::BTreeMap;

use super::View;
use super::journals::{
    arguments, call, citation, end, entries, error, finish, raw, reasoning, redacted, refusal,
    route, signature, spelled, start_of, text, usage, view,
};
use crate::model::event::{End, Event, Finish, Raw, Reason};
use crate::model::usage::Usage;
use crate::model::wire::{DialectId, WireId};

const README: &str = include_str!("../../README.md");
/// The head of the table.
const HEAD: &str = "| what | `openai-chat` | `openai-responses` | `anthropic` | `events` | `ui` |";
/// What stands where a dialect has no words.
const NOTHING: &str = "—";

/// Two journals, the second of which says one thing more.
struct Row {
    what: &'static str,
    choices: u16,
    without: Vec<Event>,
    with: Vec<Event>,
}

/// Something said in the middle of an answer.
fn said(what: &'static str, events: impl IntoIterator<Item = Event>) -> Row {
    let around = |middle: Vec<Event>| [vec![text(0, "a")], middle, completed()].concat();
    Row {
        what,
        choices: 1,
        without: around(Vec::new()),
        with: around(events.into_iter().collect()),
    }
}

fn completed() -> Vec<Event> {
    vec![finish(0, Reason::Stop), usage(false), end(Reason::Stop)]
}

/// One thing at the end instead of another.
fn ended(what: &'static str, without: Vec<Event>, with: Vec<Event>) -> Row {
    let behind = |ending: Vec<Event>| [vec![text(0, "a")], ending].concat();
    Row {
        what,
        choices: 1,
        without: behind(without),
        with: behind(with),
    }
}

fn used(usage: Usage) -> Vec<Event> {
    vec![
        finish(0, Reason::Stop),
        Event::Usage(Box::new(usage)),
        Event::End(Box::new(End {
            reason: Reason::Stop,
            native: None,
            usage: Some(usage),
        })),
    ]
}

fn unused() -> Vec<Event> {
    vec![
        finish(0, Reason::Stop),
        Event::End(Box::new(End {
            reason: Reason::Stop,
            native: None,
            usage: None,
        })),
    ]
}

fn native(native: Option<&str>) -> Vec<Event> {
    let finish = Finish {
        choice: 0,
        reason: Reason::Stop,
        native: native.map(Into::into),
    };
    vec![
        Event::Finish(Box::new(finish)),
        usage(false),
        Event::End(Box::new(End {
            reason: Reason::Stop,
            native: native.map(Into::into),
            usage: None,
        })),
    ]
}

fn media() -> Event {
    let data = r#"{"inlineData":{"mimeType":"image/png","data":"AAAA"}}"#.into();
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Gemini,
        data,
    }))
}

#[expect(
    clippy::too_many_lines,
    reason = "one table, a row for each kind of event"
)]
fn rows() -> Vec<Row> {
    let counts = Usage {
        input: Some(12),
        output: Some(5),
        ..Usage::default()
    };
    let detailed = Usage {
        cached_input: Some(8),
        reasoning: Some(3),
        ..counts
    };
    let several = |more: Vec<Event>| {
        [
            vec![text(0, "a")],
            more,
            vec![finish(0, Reason::Stop), usage(false), end(Reason::Stop)],
        ]
        .concat()
    };
    vec![
        said("text", [text(0, "b")]),
        said("reasoning", [reasoning(0, "b")]),
        said(
            "the signature of reasoning",
            [
                reasoning(0, "b"),
                signature(0, "c2ln", WireId::Gemini, false),
            ],
        ),
        said("encrypted reasoning", [redacted(0, "ZW5j", WireId::Gemini)]),
        said(
            "the signature of a text",
            [signature(0, "c2ln", WireId::Gemini, true)],
        ),
        said(
            "a tool call",
            [
                call(0, 0, false, None),
                arguments(0, 0, "{}"),
                Event::ToolCallEnd {
                    choice: 0,
                    index: 0,
                },
            ],
        ),
        said(
            "a custom tool call",
            [
                call(0, 0, true, None),
                arguments(0, 0, "free"),
                Event::ToolCallEnd {
                    choice: 0,
                    index: 0,
                },
            ],
        ),
        said(
            "the signature of a tool call",
            [
                call(0, 0, false, Some("c2ln")),
                Event::ToolCallEnd {
                    choice: 0,
                    index: 0,
                },
            ],
        ),
        said("a refusal", [refusal(0, "no")]),
        said(
            "a citation with a URL",
            [citation(0, Some("https://example.com/a"))],
        ),
        said("a citation without one", [citation(0, None)]),
        said("an image or sound", [media()]),
        said("other content", [raw(0)]),
        Row {
            what: "a further choice",
            choices: 2,
            without: several(Vec::new()),
            with: several(vec![text(1, "b"), finish(1, Reason::Stop)]),
        },
        ended(
            "why it ended",
            native(None),
            vec![finish(0, Reason::Length), usage(false), end(Reason::Length)],
        ),
        ended(
            "the provider's own word for that",
            native(None),
            native(Some("own_word")),
        ),
        ended("usage", unused(), used(counts)),
        ended("cached and reasoning tokens", used(counts), used(detailed)),
        ended(
            "that usage is an estimate",
            used(counts),
            used(Usage {
                estimated: true,
                ..counts
            }),
        ),
        ended(
            "a failure",
            completed(),
            vec![error(false), usage(false), end(Reason::Error)],
        ),
        ended(
            "a cancel",
            completed(),
            vec![usage(false), end(Reason::Cancelled)],
        ),
    ]
}

/// The events that only the second journal gives.
fn more(row: &Row, dialect: DialectId) -> String {
    let told = |events: &[Event]| {
        let begun = [
            Event::Start(Box::new(start_of(row.choices))),
            route(WireId::Gemini, false),
        ];
        let view = View {
            ..view(row.choices, false)
        };
        spelled(
            super::of(dialect).encoder(view),
            &entries(begun.into_iter().chain(events.iter().cloned())),
        )
    };
    let mut before: BTreeMap<String, usize> = BTreeMap::new();
    for block in told(&row.without) {
        *before.entry(bare(&block)).or_default() += 1;
    }
    let is_new = |block: &String| match before.get_mut(&bare(block)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    let mut is_new = is_new;
    told(&row.with)
        .into_iter()
        .filter(|block| is_new(block))
        .collect::<Vec<_>>()
        .join("\n")
}

/// An event without its number, and without the whole answer that a last one repeats.
fn bare(block: &str) -> String {
    block
        .split("\"sequence_number\":")
        .map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit()))
        .collect()
}

/// The rows of the table: what, and how each dialect tells it.
fn documented() -> BTreeMap<&'static str, Vec<&'static str>> {
    let table = README
        .lines()
        .skip_while(|line| *line != HEAD)
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &'static str| {
        line.trim_matches('|')
            .split('|')
            .map(str::trim)
            .collect::<Vec<_>>()
    };
    table
        .map(cells)
        .map(|mut cells| (cells.remove(0), cells))
        .collect()
}

/// The words that stand between backticks.
fn words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_readme_says_what_each_dialect_has_words_for() {
    let documented = documented();
    let rows = rows();
    assert_eq!(documented.len(), rows.len(), "every row, and no other");
    let mut wrong = Vec::new();
    for row in &rows {
        let cells = documented
            .get(row.what)
            .unwrap_or_else(|| panic!("no row says `{}`", row.what));
        let dialects = [
            DialectId::OpenaiChat,
            DialectId::OpenaiResponses,
            DialectId::Anthropic,
            DialectId::Events,
            DialectId::Ui,
        ];
        assert_eq!(cells.len(), dialects.len(), "{}", row.what);
        for (dialect, cell) in dialects.into_iter().zip(cells) {
            let told = more(row, dialect);
            let true_word = words(cell).count() > 0 && words(cell).all(|word| told.contains(word));
            if !(true_word || *cell == NOTHING && told.is_empty()) {
                wrong.push(format!(
                    "{} in {}: {cell}, but what is told is\n{told}",
                    row.what,
                    dialect.name()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
