//! What payloads that were passed on have told the client: the response, its items as far as they came, and the last
//! number. It is what an end of ours has to go on from.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::pieces::{Status, put_usage};
use crate::codec::json::Fields;
use crate::codec::sse_writer::SseWriter;
use crate::model::entry::Payload;
use crate::model::usage::Usage;

/// The items that are followed, at the most: no honest answer has as many.
const MOST_ITEMS: usize = 4096;
/// The parts of one item that are followed, at the most.
const MOST_PARTS: usize = 4096;

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

/// An item as it was told.
#[derive(Debug)]
struct Item {
    /// As it began or, once it is over, ended.
    json: String,
    over: bool,
    /// What has streamed of it, by voice and place.
    parts: Vec<(Voice, u64, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Voice {
    Text,
    Refusal,
    Summary,
    Thought,
    Arguments,
    Input,
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
    item: Option<&'a RawValue>,
    #[serde(borrow, default)]
    response: Option<&'a RawValue>,
}

impl Passed {
    /// Passes a payload on. One that came without a name goes under its type: clients go by names.
    pub(super) fn pass(&mut self, payload: &Payload, out: &mut SseWriter) {
        // What is no event tells nothing.
        let told: Told<'_> = serde_json::from_str(&payload.data).unwrap_or_default();
        let name = if payload.name.is_empty() { name(&told.kind) } else { &payload.name };
        out.payload(name, &payload.data);
        self.next = told.sequence_number.unwrap_or(self.next).saturating_add(1);
        if let Some(voice) = voice(&told.kind) {
            self.hear(voice, &told);
            return;
        }
        let place = told.output_index.unwrap_or_default();
        match (&*told.kind, told.item, told.response) {
            ("response.output_item.added", Some(item), _) => self.keep(place, item, false),
            ("response.output_item.done", Some(item), _) => self.keep(place, item, true),
            (kind, _, Some(response)) if response.get().starts_with('{') => {
                self.response = Some(response.get().to_owned());
                self.terminal = !matches!(kind, "response.created" | "response.queued" | "response.in_progress");
            }
            _ => {}
        }
    }

    fn keep(&mut self, place: u64, item: &RawValue, over: bool) {
        if self.items.len() < MOST_ITEMS || self.items.contains_key(&place) {
            self.items.insert(place, Item { json: item.get().to_owned(), over, parts: Vec::new() });
        }
    }

    fn hear(&mut self, voice: Voice, told: &Told<'_>) {
        let Some(item) = told.output_index.and_then(|place| self.items.get_mut(&place)).filter(|item| !item.over) else { return };
        let Some(delta) = told.delta.and_then(|delta| serde_json::from_str::<Cow<'_, str>>(delta.get()).ok()) else { return };
        let at = if voice == Voice::Summary { told.summary_index } else { told.content_index }.unwrap_or_default();
        let room = item.parts.len() < MOST_PARTS;
        match item.parts.iter_mut().rev().find(|part| (part.0, part.1) == (voice, at)) {
            Some((_, _, text)) => text.push_str(&delta),
            None if room => item.parts.push((voice, at, delta.into_owned())),
            None => {}
        }
    }

    /// Ends the items that are open, as incomplete.
    pub(super) fn close(&mut self, out: &mut SseWriter) {
        let open: Vec<u64> = self.items.iter().filter(|(_, item)| !item.over).map(|(place, _)| *place).collect();
        for place in open {
            let Some(item) = self.items.get_mut(&place) else { continue };
            let ended = item.value("incomplete");
            (item.json, item.over) = (ended.to_string(), true);
            let event = json!({"type": "response.output_item.done", "sequence_number": self.next, "output_index": place, "item": ended});
            out.payload("response.output_item.done", &event.to_string());
            self.next = self.next.saturating_add(1);
        }
    }

    /// The response as it is: its last event's word for word where that was the provider's, else with what has come.
    /// None where nothing is known of it.
    pub(super) fn object(&self, status: &Status, usage: Option<&Usage>, over: bool) -> Option<Bytes> {
        let told = self.response.as_ref()?;
        if self.terminal {
            return Some(self.ended(told));
        }
        let mut response: Map<String, Value> = serde_json::from_str(told).ok()?;
        let mut own = Map::new();
        let mut set = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        set("output", self.items.values().map(|item| item.value("in_progress")).collect());
        set("status", status.word().into());
        if let Status::Failed(code, message) = status {
            set("error", json!({"code": code, "message": message}));
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
    /// The response as its last event had it. Some servers leave the output out there: it is what its items were.
    fn ended(&self, told: &str) -> Bytes {
        let fields = Fields::of(told.as_bytes()).ok();
        let has_output = fields.as_ref().and_then(|fields| fields.get("output")).is_some_and(|output| output.get().len() > "[]".len());
        match fields {
            Some(fields) if !has_output && !self.items.is_empty() => {
                let items: Vec<&str> = self.items.values().map(|item| &*item.json).collect();
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

impl Item {
    /// The item with all that has streamed of it.
    fn value(&self, status: &str) -> Value {
        let begun: Value = serde_json::from_str(&self.json).unwrap_or_default();
        let mut item = match begun {
            Value::Object(item) if !self.over => item,
            other => return other,
        };
        let mut set = |name: &str, value: Value| drop(item.insert(name.to_owned(), value));
        let (mut content, mut summary) = (Vec::new(), Vec::new());
        for (voice, _, text) in &self.parts {
            match voice {
                Voice::Text => content.push(json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})),
                Voice::Refusal => content.push(json!({"type": "refusal", "refusal": text})),
                Voice::Thought => content.push(json!({"type": "reasoning_text", "text": text})),
                Voice::Summary => summary.push(json!({"type": "summary_text", "text": text})),
                Voice::Arguments => set("arguments", text.as_str().into()),
                Voice::Input => set("input", text.as_str().into()),
            }
        }
        if !content.is_empty() {
            set("content", content.into());
        }
        if !summary.is_empty() {
            set("summary", summary.into());
        }
        set("status", status.into());
        item.into()
    }
}

fn voice(kind: &str) -> Option<Voice> {
    Some(match kind {
        "response.output_text.delta" => Voice::Text,
        "response.refusal.delta" => Voice::Refusal,
        "response.reasoning_summary_text.delta" => Voice::Summary,
        "response.reasoning_text.delta" => Voice::Thought,
        "response.function_call_arguments.delta" => Voice::Arguments,
        "response.custom_tool_call_input.delta" => Voice::Input,
        _ => return None,
    })
}

/// A type as the name of an event, where it can be one.
fn name(kind: &str) -> &str {
    if kind.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) { kind } else { "" }
}
