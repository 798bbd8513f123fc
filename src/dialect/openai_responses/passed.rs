//! The state of a client that has received payloads passed on unchanged: the response, its items as
//! far as they came, and the last event number. When we end the stream, our events continue from
//! this state.

mod item;
mod part;

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::item::PassedItem;
use self::part::{PartUpdate, classify};
use super::pieces::{Status, put_error, put_incomplete_details, put_usage};
use crate::codec::json::{Fields, json_text, put_str};
use crate::codec::members::Elements;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_own;
use crate::dialect::passing::event_name;
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
    /// Passes a payload on.
    pub(super) fn pass(&mut self, payload: &Payload, out: &mut SseWriter) {
        // A payload that cannot be parsed is passed on all the same, and changes no state but the
        // number.
        let fields: EventFields<'_> = serde_json::from_str(&payload.data).unwrap_or_default();
        out.payload(event_name(payload, &fields.kind), &payload.data);
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
            item.end(*index, &mut self.next, out);
        }
    }

    /// Returns the response object: that of the provider's terminal event, unchanged, otherwise the
    /// latest one with the items and the status so far, and the usage of a response that has ended.
    /// `None` if no event contained one.
    pub(super) fn response_json(&self, status: &Status, usage: Option<&Usage>) -> Option<Bytes> {
        let latest = self.response.as_ref()?;
        if self.terminal {
            return Some(self.terminal_response(latest));
        }
        let fields = Fields::parse(latest.as_bytes()).ok()?;
        let mut changes = vec![
            ("output", json_text(|buf| self.put_output(buf))),
            ("status", json_text(|buf| put_str(buf, status.name()))),
        ];
        if let Status::Failed(..) = status {
            changes.push(("error", json_text(|buf| put_error(buf, status))));
        }
        if let Status::Incomplete(_) = status {
            let details = json_text(|buf| put_incomplete_details(buf, status));
            changes.push(("incomplete_details", details));
        }
        if let Some(usage) = usage {
            changes.push(("usage", json_text(|buf| put_usage(buf, usage))));
        }
        let (reason, estimated) = (status.own_reason(), usage.is_some_and(|it| it.estimated));
        if reason.is_some() || estimated {
            let own = json_text(|buf| put_own(buf, reason, estimated));
            changes.push(("sluicegate", own));
        }
        let changes: Vec<(&str, &str)> = changes.iter().map(|(name, it)| (*name, &**it)).collect();
        Some(fields.with(&changes))
    }

    fn put_output(&self, buf: &mut BytesMut) {
        let mut output = Elements::new(buf);
        for item in self.items.values() {
            output.written(&item.current("in_progress"));
        }
        output.end();
    }

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
