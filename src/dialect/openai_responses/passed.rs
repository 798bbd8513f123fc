//! The state of a client that has received payloads passed on unchanged: the response, its items as
//! far as they came, and the last event number. When we end the stream, our events continue from
//! this state.

mod item;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use self::item::{PartUpdate, PassedItem, classify};
use super::pieces::{Status, put_usage};
use crate::codec::json::Fields;
use crate::codec::sse_writer::SseWriter;
use crate::model::entry::Payload;
use crate::model::usage::Usage;

/// Maximum number of items that are tracked: no well-behaved provider sends as many.
const MAX_ITEMS: usize = 4096;

/// The state after the payloads passed on so far.
#[derive(Debug, Default)]
pub(super) struct Passed {
    /// The number of the next event.
    pub(super) next: u64,
    /// The response object (JSON) of the latest event that contained it.
    response: Option<String>,
    /// True if that event was terminal.
    terminal: bool,
    items: BTreeMap<u64, PassedItem>,
}

/// The fields of an event that are read.
#[derive(Deserialize, Default)]
struct EventFields<'a> {
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

impl<'a> EventFields<'a> {
    /// Returns the update of a part that the event contains.
    fn part_update(&self) -> PartUpdate<'a> {
        let text = self
            .delta
            .or(self.text)
            .or(self.refusal)
            .or(self.arguments)
            .or(self.input);
        PartUpdate {
            at: self.summary_index.or(self.content_index),
            text,
            part: self.part,
        }
    }
}

impl Passed {
    /// Passes a payload on. A payload without an event name is sent under its type, because clients
    /// dispatch events by name.
    pub(super) fn pass(&mut self, payload: &Payload, out: &mut SseWriter) {
        // A payload that cannot be parsed is passed on all the same, and changes no state but the
        // number.
        let fields: EventFields<'_> = serde_json::from_str(&payload.data).unwrap_or_default();
        let name = if payload.name.is_empty() {
            name(&fields.kind)
        } else {
            &payload.name
        };
        out.payload(name, &payload.data);
        // The provider's numbers win: our events continue after the last one that the client has
        // received.
        self.next = fields
            .sequence_number
            .unwrap_or(self.next)
            .saturating_add(1);
        if let Some((part_kind, step)) = classify(&fields.kind) {
            if let Some(item) = fields
                .output_index
                .and_then(|index| self.items.get_mut(&index))
            {
                item.update(part_kind, step, &fields.part_update());
            }
            return;
        }
        let index = fields.output_index.unwrap_or_default();
        match (&*fields.kind, fields.item, fields.response) {
            ("response.output_item.added", Some(item), _) => self.insert(index, item, false),
            ("response.output_item.done", Some(item), _) => self.insert(index, item, true),
            (kind, _, Some(response)) if response.get().starts_with('{') => {
                self.response = Some(response.get().to_owned());
                // Every event with a response object is terminal, except these three.
                self.terminal = !matches!(
                    kind,
                    "response.created" | "response.queued" | "response.in_progress"
                );
            }
            _ => {}
        }
    }

    fn insert(&mut self, index: u64, item: &RawValue, ended: bool) {
        // The bound must not stop items that are already tracked from ending.
        if self.items.len() < MAX_ITEMS || self.items.contains_key(&index) {
            self.items
                .insert(index, PassedItem::new(item.get().to_owned(), ended));
        }
    }

    /// Ends the open items as incomplete.
    pub(super) fn close(&mut self, out: &mut SseWriter) {
        for (index, item) in self.items.iter_mut().filter(|(_, item)| item.is_open()) {
            for (name, mut event) in item.end(*index) {
                event.insert("type".to_owned(), name.into());
                event.insert("sequence_number".to_owned(), self.next.into());
                self.next = self.next.saturating_add(1);
                out.payload(name, &Value::from(event).to_string());
            }
        }
    }

    /// Returns the response object: that of the provider's terminal event, unchanged, otherwise the
    /// latest one with the items, status and usage so far. `None` if no event contained one.
    pub(super) fn response_json(
        &self,
        status: &Status,
        usage: Option<&Usage>,
        ended: bool,
    ) -> Option<Bytes> {
        let latest = self.response.as_ref()?;
        if self.terminal {
            return Some(self.terminal_response(latest));
        }
        let mut response: Map<String, Value> = serde_json::from_str(latest).ok()?;
        let mut own = Map::new();
        let mut set = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        set(
            "output",
            self.items
                .values()
                .map(|item| item.value("in_progress"))
                .collect(),
        );
        set("status", status.name().into());
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
        if let Some(usage) = usage.filter(|_| ended) {
            set("usage", usage_value(usage));
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
    /// Returns the response object of the terminal event. Some servers omit the output there: then
    /// the items are inserted.
    fn terminal_response(&self, response: &str) -> Bytes {
        let fields = Fields::parse(response.as_bytes()).ok();
        let has_output = fields
            .as_ref()
            .and_then(|fields| fields.get("output"))
            .is_some_and(|output| output.get().len() > "[]".len());
        match fields {
            Some(fields) if !has_output && !self.items.is_empty() => {
                let items: Vec<&str> = self.items.values().map(PassedItem::json).collect();
                fields.with(&[("output", &format!("[{}]", items.join(",")))])
            }
            _ => response.to_owned().into(),
        }
    }
}

fn usage_value(usage: &Usage) -> Value {
    let mut buf = bytes::BytesMut::new();
    put_usage(&mut buf, usage);
    serde_json::from_slice(&buf).unwrap_or_default()
}

/// Returns a type as the name of an event; empty if it contains characters that are not safe in an
/// event name.
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
