//! A stream as a sketch that can be read in a diff: every event in its order, long texts by their
//! beginning, length and hash, and what grows piece by piece in one line.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::rig::sse::Event;
use crate::rig::timeless::timeless;

/// The longest text that is shown whole, characters.
const SHOWN: usize = 24;
/// The beginning that is shown of a longer one.
const BEGINNING: usize = 12;
/// The longest list that is shown whole, and how much of a longer one is.
const LISTED: usize = 6;
const FIRST: usize = 3;
/// Members whose text grows piece by piece.
const GROWING: [&str; 14] = [
    "delta",
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    "arguments",
    "input",
    "text",
    "thinking",
    "partial_json",
    "inputTextDelta",
    "obfuscation",
    "p",
    // Some servers give an item another id in every event.
    "item_id",
];
/// Members that say the same in event after event: they are shown where they change.
const ENVELOPE: [&str; 12] = [
    "id",
    "object",
    "model",
    "service_tier",
    "system_fingerprint",
    "provider",
    "item_id",
    "output_index",
    "content_index",
    "response",
    "native_finish_reason",
    "usage",
];

/// The sketch of a stream's events.
pub fn sketch(events: &[Event], stream: &str) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let mut before = Map::new();
    for event in events {
        let line = Line::of(event, stream, &mut before);
        match lines.last_mut() {
            Some(last) if last.joins(&line) => last.join(&line),
            _ => lines.push(line),
        }
    }
    lines.iter().fold(String::new(), |mut all, line| {
        writeln!(all, "{}", line.shown()).unwrap();
        all
    })
}

/// One event, or several that differ in what has grown.
struct Line {
    name: String,
    /// The data, its growing texts taken out.
    bones: Value,
    /// Those texts, by the order in which they stand.
    grown: Vec<String>,
    count: usize,
}

impl Line {
    fn of(event: &Event, stream: &str, before: &mut Map<String, Value>) -> Self {
        let Ok(data) = serde_json::from_str::<Value>(&event.data) else {
            return Self {
                name: event.name.clone(),
                bones: event.data.clone().into(),
                grown: Vec::new(),
                count: 1,
            };
        };
        let mut bones = timeless(data, stream);
        if let Some(members) = bones.as_object_mut() {
            members.remove("sequence_number");
            members.retain(|member, value| member != "type" || value != &event.name);
            without_repetition(members, before);
        }
        let mut grown = Vec::new();
        take_grown(&mut bones, &mut grown);
        Self {
            name: event.name.clone(),
            bones,
            grown,
            count: 1,
        }
    }

    /// Pieces of one text are one line.
    fn joins(&self, next: &Self) -> bool {
        !self.grown.is_empty() && self.name == next.name && self.bones == next.bones
    }

    fn join(&mut self, next: &Self) {
        self.grown
            .iter_mut()
            .zip(&next.grown)
            .for_each(|(all, piece)| all.push_str(piece));
        self.count += 1;
    }

    fn shown(&self) -> String {
        let mut bones = self.bones.clone();
        put_grown(&mut bones, &mut self.grown.iter());
        shorten(&mut bones);
        let bones = if let Value::String(text) = &bones {
            text.clone()
        } else {
            bones.to_string()
        };
        let times = if self.count > 1 {
            format!("{}× ", self.count)
        } else {
            String::new()
        };
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!("{} ", self.name)
        };
        format!("{times}{name}{bones}")
    }
}

/// Leaves out what the event before has said as well; what is not said any more is marked.
fn without_repetition(members: &mut Map<String, Value>, before: &mut Map<String, Value>) {
    for name in ENVELOPE {
        let now = members.get(name).cloned();
        if now == before.get(name).cloned() {
            members.remove(name);
        } else if let Some(now) = now {
            before.insert(name.to_owned(), now);
        } else {
            before.remove(name);
            members.insert(format!("-{name}"), Value::Null);
        }
    }
}

fn take_grown(value: &mut Value, grown: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if GROWING.contains(&name.as_str()) => {
                        grown.push(std::mem::take(text));
                    }
                    _ => take_grown(value, grown),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| take_grown(value, grown)),
        _ => {}
    }
}

fn put_grown<'a>(value: &mut Value, grown: &mut impl Iterator<Item = &'a String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if GROWING.contains(&name.as_str()) => {
                        text.clone_from(grown.next().unwrap());
                    }
                    _ => put_grown(value, grown),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| put_grown(value, grown)),
        _ => {}
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::Array(list) => {
            if list.len() > LISTED {
                let rest = list.split_off(FIRST);
                list.push(
                    format!("…{}:{}", rest.len(), hash(&Value::from(rest).to_string())).into(),
                );
            }
            list.iter_mut().for_each(shorten);
        }
        Value::String(text) if text.chars().count() > SHOWN => {
            let beginning: String = text.chars().take(BEGINNING).collect();
            *text = format!("{beginning}…{}:{}", text.len(), hash(text));
        }
        _ => {}
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn what_grows_is_one_line_and_nothing_that_changes_is_left_out() {
    let event = |data: &str| Event {
        name: "text".into(),
        data: data.to_owned(),
        id: None,
    };
    let events = [
        r#"{"id":"a","n":1,"delta":"Hello, "}"#,
        r#"{"id":"a","n":1,"delta":"this is a "}"#,
        r#"{"id":"a","n":1,"delta":"much longer story"}"#,
        r#"{"id":"a","n":2,"delta":"!"}"#,
        r#"{"id":"b","n":2,"delta":"!"}"#,
        r#"{"n":2}"#,
        "[DONE]",
    ];
    let told = sketch(&events.map(event), "stream");
    let lines: Vec<&str> = told.lines().collect();
    let expected = [
        r#"text {"delta":"Hello, ","id":"a","n":1}"#,
        r#"2× text {"delta":"this is a mu…27:HASH","n":1}"#,
        r#"text {"delta":"!","n":2}"#,
        r#"text {"delta":"!","id":"b","n":2}"#,
        r#"text {"-id":null,"n":2}"#,
        "text [DONE]",
    ];
    assert_eq!(
        lines,
        expected.map(|line| line.replace("HASH", &hash("this is a much longer story")))
    );
}
