//! An outline of a stream that can be read in a diff: every event in order, long texts as prefix,
//! length and hash, and a text that arrives in pieces as one line.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::rig::normalize::normalize;
use crate::rig::sse::Event;

/// Maximum length of a text printed in full, characters.
const MAX_TEXT: usize = 24;
/// Length of the prefix printed of a longer text, characters.
const TEXT_PREFIX: usize = 12;
/// Maximum length of a list printed in full, and the number of elements printed of a longer one.
const MAX_LIST: usize = 6;
const LIST_PREFIX: usize = 3;
/// Members whose text arrives in pieces.
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
/// Members that repeat in every event: they are printed only when they change.
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

/// Returns the outline of a stream's events.
pub fn outline(events: &[Event], stream: &str) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let mut before = Map::new();
    for event in events {
        let line = Line::new(event, stream, &mut before);
        match lines.last_mut() {
            Some(last) if last.continues(&line) => last.append(&line),
            _ => lines.push(line),
        }
    }
    lines.iter().fold(String::new(), |mut all, line| {
        writeln!(all, "{}", line.render()).unwrap();
        all
    })
}

/// One event, or consecutive events that differ only in their growing texts.
struct Line {
    name: String,
    /// The data without the growing texts.
    data: Value,
    /// The growing texts, in order of appearance.
    growing: Vec<String>,
    count: usize,
}

impl Line {
    fn new(event: &Event, stream: &str, before: &mut Map<String, Value>) -> Self {
        let Ok(json) = serde_json::from_str::<Value>(&event.data) else {
            return Self {
                name: event.name.clone(),
                data: event.data.clone().into(),
                growing: Vec::new(),
                count: 1,
            };
        };
        let mut data = normalize(json, stream);
        if let Some(members) = data.as_object_mut() {
            members.remove("sequence_number");
            members.retain(|member, value| member != "type" || value != &event.name);
            without_repetition(members, before);
        }
        let mut growing = Vec::new();
        take_growing(&mut data, &mut growing);
        Self {
            name: event.name.clone(),
            data,
            growing,
            count: 1,
        }
    }

    /// Pieces of the same text become one line.
    fn continues(&self, next: &Self) -> bool {
        !self.growing.is_empty() && self.name == next.name && self.data == next.data
    }

    fn append(&mut self, next: &Self) {
        self.growing
            .iter_mut()
            .zip(&next.growing)
            .for_each(|(all, piece)| all.push_str(piece));
        self.count += 1;
    }

    fn render(&self) -> String {
        let mut data = self.data.clone();
        put_growing(&mut data, &mut self.growing.iter());
        shorten(&mut data);
        let data = if let Value::String(text) = &data {
            text.clone()
        } else {
            data.to_string()
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
        format!("{times}{name}{data}")
    }
}

/// Removes members that repeat the previous event; a member that is gone is marked with `-`.
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

fn take_growing(value: &mut Value, growing: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if GROWING.contains(&name.as_str()) => {
                        growing.push(std::mem::take(text));
                    }
                    _ => take_growing(value, growing),
                }
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| take_growing(value, growing)),
        _ => {}
    }
}

fn put_growing<'a>(value: &mut Value, growing: &mut impl Iterator<Item = &'a String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if GROWING.contains(&name.as_str()) => {
                        text.clone_from(growing.next().unwrap());
                    }
                    _ => put_growing(value, growing),
                }
            }
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| put_growing(value, growing)),
        _ => {}
    }
}

fn shorten(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(shorten),
        Value::Array(list) => {
            if list.len() > MAX_LIST {
                let rest = list.split_off(LIST_PREFIX);
                list.push(
                    format!("…{}:{}", rest.len(), hash(&Value::from(rest).to_string())).into(),
                );
            }
            list.iter_mut().for_each(shorten);
        }
        Value::String(text) if text.chars().count() > MAX_TEXT => {
            let beginning: String = text.chars().take(TEXT_PREFIX).collect();
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
fn growing_texts_become_one_line_and_changes_are_kept() {
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
    let text = outline(&events.map(event), "stream");
    let lines: Vec<&str> = text.lines().collect();
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
