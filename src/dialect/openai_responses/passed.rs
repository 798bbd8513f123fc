//! What payloads that were passed on have told the client: the response, its items as far as they
//! came, and the last number. It is what an end of ours has to go on from.

mod item;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use self::item::{Item, Words, step};
use super::pieces::{Status, put_usage};
use crate::codec::json::Fields;
use crate::codec::sse_writer::SseWriter;
use crate::model::entry::Payload;
use crate::model::usage::Usage;

/// The items that are followed, at the most: no honest answer has as many.
const MOST_ITEMS: usize = 4096;

/// What was passed on.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The number that comes next.
    pub(super) next: u64,
    /// The response as its latest event had it.
    response: Option<String>,
    /// That event was its last.
    terminal: bool,
    items: BTreeMap<u64, Item>,
}

/// The little that is read of an event.
#[derive(Deserialize, Default)]
struct Told<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    #[serde(default)]
    sequence_number: Option<u64>,
    #[serde(default)]
    output_index: Option<u64>,
    #[serde(default)]
    content_index: Option<u64>,
    #[serde(default)]
    summary_index: Option<u64>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input: Option<&'a RawValue>,
    #[serde(borrow, default)]
    part: Option<&'a RawValue>,
    #[serde(borrow, default)]
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

impl<'a> Told<'a> {
    /// What it says of a part of an item.
    fn words(&self) -> Words<'a> {
        let words = self
            .delta
            .or(self.text)
            .or(self.refusal)
            .or(self.arguments)
            .or(self.input);
        Words {
            at: self.summary_index.or(self.content_index),
            words,
            part: self.part,
        }
    }
}

impl Passed {
    /// Passes a payload on. One that came without a name goes under its type: clients go by names.
    pub(super) fn pass(&mut self, payload: &Payload, out: &mut SseWriter) {
        // What is no event tells nothing.
        let told: Told<'_> = serde_json::from_str(&payload.data).unwrap_or_default();
        let name = if payload.name.is_empty() {
            name(&told.kind)
        } else {
            &payload.name
        };
        out.payload(name, &payload.data);
        self.next = told.sequence_number.unwrap_or(self.next).saturating_add(1);
        if let Some((voice, step)) = step(&told.kind) {
            if let Some(item) = told
                .output_index
                .and_then(|place| self.items.get_mut(&place))
            {
                item.hear(voice, step, &told.words());
            }
            return;
        }
        let place = told.output_index.unwrap_or_default();
        match (&*told.kind, told.item, told.response) {
            ("response.output_item.added", Some(item), _) => self.keep(place, item, false),
            ("response.output_item.done", Some(item), _) => self.keep(place, item, true),
            (kind, _, Some(response)) if response.get().starts_with('{') => {
                self.response = Some(response.get().to_owned());
                self.terminal = !matches!(
                    kind,
                    "response.created" | "response.queued" | "response.in_progress"
                );
            }
            _ => {}
        }
    }

    fn keep(&mut self, place: u64, item: &RawValue, over: bool) {
        if self.items.len() < MOST_ITEMS || self.items.contains_key(&place) {
            self.items
                .insert(place, Item::new(item.get().to_owned(), over));
        }
    }

    /// Ends the items that are open, as incomplete.
    pub(super) fn close(&mut self, out: &mut SseWriter) {
        for (place, item) in self.items.iter_mut().filter(|(_, item)| item.is_open()) {
            for (name, mut event) in item.end(*place) {
                event.insert("type".to_owned(), name.into());
                event.insert("sequence_number".to_owned(), self.next.into());
                self.next = self.next.saturating_add(1);
                out.payload(name, &Value::from(event).to_string());
            }
        }
    }

    /// The response as it is: its last event's word for word where that was the provider's, else
    /// with what has come. None where nothing is known of it.
    pub(super) fn object(
        &self,
        status: &Status,
        usage: Option<&Usage>,
        over: bool,
    ) -> Option<Bytes> {
        let told = self.response.as_ref()?;
        if self.terminal {
            return Some(self.ended(told));
        }
        let mut response: Map<String, Value> = serde_json::from_str(told).ok()?;
        let mut own = Map::new();
        let mut set = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        set(
            "output",
            self.items
                .values()
                .map(|item| item.value("in_progress"))
                .collect(),
        );
        set("status", status.word().into());
        if let Status::Failed(code, message, limit) = status {
            let mut error = Map::from_iter([
                ("code".to_owned(), json!(code)),
                ("message".to_owned(), json!(message)),
            ]);
            error.extend(limit.map(|limit| ("limit".to_owned(), limit.into())));
            set("error", error.into());
        }
        if let Status::Incomplete(reason) = status {
            set("incomplete_details", json!({"reason": reason}));
        }
        if matches!(status, Status::Cancelled) {
            own.insert("reason".to_owned(), "cancelled".into());
        }
        if let Some(usage) = usage.filter(|_| over) {
            set("usage", value_of(usage));
            if usage.estimated {
                own.insert("estimated".to_owned(), true.into());
            }
        }
        if !own.is_empty() {
            set("sluicegate", own.into());
        }
        Some(Value::from(response).to_string().into())
    }
}

impl Passed {
    /// The response as its last event had it. Some servers leave the output out there: it is what
    /// its items were.
    fn ended(&self, told: &str) -> Bytes {
        let fields = Fields::of(told.as_bytes()).ok();
        let has_output = fields
            .as_ref()
            .and_then(|fields| fields.get("output"))
            .is_some_and(|output| output.get().len() > "[]".len());
        match fields {
            Some(fields) if !has_output && !self.items.is_empty() => {
                let items: Vec<&str> = self.items.values().map(Item::json).collect();
                fields.with(&[("output", &format!("[{}]", items.join(",")))])
            }
            _ => told.to_owned().into(),
        }
    }
}

fn value_of(usage: &Usage) -> Value {
    let mut buf = bytes::BytesMut::new();
    put_usage(&mut buf, usage);
    serde_json::from_slice(&buf).unwrap_or_default()
}

/// A type as the name of an event, where it can be one.
fn name(kind: &str) -> &str {
    if kind
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'))
    {
        kind
    } else {
        ""
    }
}
