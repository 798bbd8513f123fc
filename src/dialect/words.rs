//! Compares the documented table of what each dialect supports with what the encoders write.

use std::collections::BTreeMap;

use super::View;
use super::journals::{
    arguments, call, citation, encoded, end, entries, error, finish, raw, reasoning, redacted,
    refusal, route, signature, start_data, text, usage, view,
};
use crate::model::event::{End, Event, Finish, Raw, Reason};
use crate::model::usage::Usage;
use crate::model::wire::{DialectId, WireId};

/// The page with the table.
const PAGE: &str = include_str!("../../docs/dialects.md");
/// The header row of the table.
const HEAD: &str = "| what | `openai-chat` | `openai-responses` | `anthropic` | `events` | `ui` |";
/// The cell of a dialect that does not support the content of a row.
const NOTHING: &str = "—";

/// Two journals that differ in the content of one row of the table.
struct Row {
    what: &'static str,
    choices: u16,
    without: Vec<Event>,
    with: Vec<Event>,
}

/// A row whose content is added in the middle of an answer.
fn in_the_middle(what: &'static str, events: impl IntoIterator<Item = Event>) -> Row {
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

/// A row whose content replaces the end of an answer.
fn at_the_end(what: &'static str, without: Vec<Event>, with: Vec<Event>) -> Row {
    let after = |ending: Vec<Event>| [vec![text(0, "a")], ending].concat();
    Row {
        what,
        choices: 1,
        without: after(without),
        with: after(with),
    }
}

fn with_usage(usage: Usage) -> Vec<Event> {
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

fn without_usage() -> Vec<Event> {
    vec![
        finish(0, Reason::Stop),
        Event::End(Box::new(End {
            reason: Reason::Stop,
            native: None,
            usage: None,
        })),
    ]
}

fn with_native(native: Option<&str>) -> Vec<Event> {
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
    let several = |middle: Vec<Event>| {
        [
            vec![text(0, "a")],
            middle,
            vec![finish(0, Reason::Stop), usage(false), end(Reason::Stop)],
        ]
        .concat()
    };
    vec![
        in_the_middle("text", [text(0, "b")]),
        in_the_middle("reasoning", [reasoning(0, "b")]),
        in_the_middle(
            "the signature of reasoning",
            [
                reasoning(0, "b"),
                signature(0, "c2ln", WireId::Gemini, false),
            ],
        ),
        in_the_middle("encrypted reasoning", [redacted(0, "ZW5j", WireId::Gemini)]),
        in_the_middle(
            "the signature of a text",
            [signature(0, "c2ln", WireId::Gemini, true)],
        ),
        in_the_middle(
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
        in_the_middle(
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
        in_the_middle(
            "the signature of a tool call",
            [
                call(0, 0, false, Some("c2ln")),
                Event::ToolCallEnd {
                    choice: 0,
                    index: 0,
                },
            ],
        ),
        in_the_middle("a refusal", [refusal(0, "no")]),
        in_the_middle(
            "a citation with a URL",
            [citation(0, Some("https://example.com/a"))],
        ),
        in_the_middle("a citation without one", [citation(0, None)]),
        in_the_middle("an image or sound", [media()]),
        in_the_middle("other content", [raw(0)]),
        Row {
            what: "a further choice",
            choices: 2,
            without: several(Vec::new()),
            with: several(vec![text(1, "b"), finish(1, Reason::Stop)]),
        },
        at_the_end(
            "why it ended",
            with_native(None),
            vec![finish(0, Reason::Length), usage(false), end(Reason::Length)],
        ),
        at_the_end(
            "the provider's own word for that",
            with_native(None),
            with_native(Some("own_word")),
        ),
        at_the_end("usage", without_usage(), with_usage(counts)),
        at_the_end(
            "cached and reasoning tokens",
            with_usage(counts),
            with_usage(detailed),
        ),
        at_the_end(
            "that usage is an estimate",
            with_usage(counts),
            with_usage(Usage {
                estimated: true,
                ..counts
            }),
        ),
        at_the_end(
            "a failure",
            completed(),
            vec![error(false), usage(false), end(Reason::Error)],
        ),
        at_the_end(
            "a cancel",
            completed(),
            vec![usage(false), end(Reason::Cancelled)],
        ),
    ]
}

/// Returns the SSE events that only the second journal produces.
fn added_events(row: &Row, dialect: DialectId) -> String {
    let encode = |events: &[Event]| {
        let begun = [
            Event::Start(Box::new(start_data(row.choices))),
            route(WireId::Gemini, false),
        ];
        let view = View {
            ..view(row.choices, false)
        };
        encoded(
            super::of(dialect).encoder(view),
            &entries(begun.into_iter().chain(events.iter().cloned())),
        )
    };
    let mut before: BTreeMap<String, usize> = BTreeMap::new();
    for block in encode(&row.without) {
        *before.entry(without_number(&block)).or_default() += 1;
    }
    let is_new = |block: &String| match before.get_mut(&without_number(block)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    };
    let mut is_new = is_new;
    encode(&row.with)
        .into_iter()
        .filter(|block| is_new(block))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Strips the sequence number from an SSE event. The numbers differ between the two journals.
fn without_number(block: &str) -> String {
    block
        .split("\"sequence_number\":")
        .map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit()))
        .collect()
}

/// Reads the rows of the table: the content, and the cell of each dialect.
fn documented() -> BTreeMap<&'static str, Vec<&'static str>> {
    let table = PAGE
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

/// Returns the words between backticks.
fn quoted_words(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_table_of_dialects_matches_the_encoders() {
    let documented = documented();
    let rows = rows();
    assert_eq!(documented.len(), rows.len(), "every row, and no other");
    let mut wrong = Vec::new();
    for row in &rows {
        let cells = documented
            .get(row.what)
            .unwrap_or_else(|| panic!("no row of the table is `{}`", row.what));
        let dialects = [
            DialectId::OpenaiChat,
            DialectId::OpenaiResponses,
            DialectId::Anthropic,
            DialectId::Events,
            DialectId::Ui,
        ];
        assert_eq!(cells.len(), dialects.len(), "{}", row.what);
        for (dialect, cell) in dialects.into_iter().zip(cells) {
            let added = added_events(row, dialect);
            let matches = quoted_words(cell).count() > 0
                && quoted_words(cell).all(|word| added.contains(word));
            if !(matches || *cell == NOTHING && added.is_empty()) {
                wrong.push(format!(
                    "{} in {}: {cell}, but the encoder writes\n{added}",
                    row.what,
                    dialect.name()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
