//! An item that was passed on: its first event, the content streamed since, and its end if the
//! provider does not end it.

use bytes::Bytes;

use super::super::pieces::put_event;
use super::part::{Part, PartKind, PartUpdate, Step, content_kind, json_string};
use crate::codec::json::{Fields, json_text, put_str};
use crate::codec::members::Elements;
use crate::codec::sse_writer::SseWriter;

/// Maximum number of parts of one item that are tracked.
const MAX_PARTS: usize = 4096;

/// The state of one item.
#[derive(Debug)]
pub(super) struct PassedItem {
    /// The item (JSON) of its `added` event or, once it has ended, of its `done` event.
    json: String,
    ended: bool,
    /// Parts streamed so far.
    parts: Vec<Part>,
}

impl PassedItem {
    /// Creates an item from its `added` or `done` event.
    pub(super) fn new(json: String, ended: bool) -> Self {
        Self {
            json,
            ended,
            parts: Vec::new(),
        }
    }

    /// Returns the latest JSON of the item.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// Returns true if the item has not ended.
    pub(super) fn is_open(&self) -> bool {
        !self.ended
    }

    /// Updates a part from an event.
    pub(super) fn update(&mut self, kind: Option<PartKind>, step: Step, update: &PartUpdate<'_>) {
        // Events after the end of an item change nothing.
        if self.ended {
            return;
        }
        let kind = kind.or_else(|| update.part.and_then(content_kind));
        let at = update.at.unwrap_or_default();
        if let Some(part) = kind.and_then(|kind| self.part(kind, at)) {
            part.update(step, update.text.and_then(json_string));
        }
    }

    /// Returns the part of this kind and index, created if necessary; `None` if the item has too
    /// many parts.
    fn part(&mut self, kind: PartKind, at: u64) -> Option<&mut Part> {
        let found = self
            .parts
            .iter()
            .rposition(|part| (part.kind, part.at) == (kind, at));
        if found.is_none() {
            if self.parts.len() == MAX_PARTS {
                return None;
            }
            self.parts.push(Part::new(kind, at));
        }
        let last = self.parts.len().saturating_sub(1);
        self.parts.get_mut(found.unwrap_or(last))
    }

    /// Ends the item as incomplete, and writes the events that report it. `place` is its output
    /// index.
    pub(super) fn end(&mut self, place: u64, number: &mut u64, out: &mut SseWriter) {
        self.ensure_arguments();
        let ended = self.current("incomplete");
        let ended = String::from_utf8_lossy(&ended).into_owned();
        // Clients match the events of an item by its id.
        let fields = Fields::parse(self.json.as_bytes()).ok();
        let id = fields.as_ref().and_then(|fields| fields.get("id"));
        let id = id.map_or("null", |id| id.get());
        for part in &self.parts {
            part.end(number, out, |event| {
                event.json("item_id", id);
                event.number("output_index", place);
            });
        }
        put_event(out, number, "response.output_item.done", |event| {
            event.number("output_index", place);
            event.json("item", &ended);
        });
        (self.json, self.ended) = (ended, true);
    }

    /// Adds the arguments part of a call that has received no arguments yet: clients expect its
    /// `done` event.
    fn ensure_arguments(&mut self) {
        let Some((kind, begun)) = self.arguments() else {
            return;
        };
        if self.parts.iter().all(|part| part.kind != kind)
            && let Some(part) = self.part(kind, 0)
        {
            part.text = begun;
        }
    }

    /// Returns the kind of arguments of a call, and the arguments that it began with.
    fn arguments(&self) -> Option<(PartKind, String)> {
        let fields = Fields::parse(self.json.as_bytes()).ok()?;
        let text = |name: &str| fields.get(name).and_then(json_string);
        let kind = match &*text("type")? {
            "function_call" => PartKind::Arguments,
            "custom_tool_call" => PartKind::Input,
            _ => return None,
        };
        let begun = text(kind.field()).unwrap_or_default();
        Some((kind, begun.into_owned()))
    }

    /// Returns the item (JSON) with the content streamed so far.
    pub(super) fn current(&self, status: &str) -> Bytes {
        let fields = match Fields::parse(self.json.as_bytes()) {
            // An ended item is the provider's own JSON, and stays unchanged.
            Ok(fields) if !self.ended => fields,
            _ => return Bytes::copy_from_slice(self.json.as_bytes()),
        };
        let mut changes = Vec::new();
        for part in &self.parts {
            if matches!(part.kind, PartKind::Arguments | PartKind::Input) {
                changes.push((part.kind.field(), json_text(|buf| put_str(buf, &part.text))));
            }
        }
        let content = [PartKind::Text, PartKind::Refusal, PartKind::Reasoning];
        changes.extend(self.list(&content).map(|it| ("content", it)));
        changes.extend(self.list(&[PartKind::Summary]).map(|it| ("summary", it)));
        changes.push(("status", json_text(|buf| put_str(buf, status))));
        let changes: Vec<(&str, &str)> = changes.iter().map(|(name, it)| (*name, &**it)).collect();
        fields.with(&changes)
    }

    /// Returns the parts of these kinds as a JSON array; `None` if there are none.
    fn list(&self, kinds: &[PartKind]) -> Option<String> {
        let mut parts = self
            .parts
            .iter()
            .filter(|part| kinds.contains(&part.kind))
            .peekable();
        parts.peek()?;
        Some(json_text(|buf| {
            let mut list = Elements::new(buf);
            parts.for_each(|part| part.put(list.element()));
            list.end();
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::part::classify;
    use super::*;

    fn end_events(item: &Value, events: &[(&str, Value)]) -> Vec<Value> {
        let mut item = PassedItem::new(item.to_string(), false);
        for (kind, event) in events {
            let (part_kind, step) = classify(kind).unwrap();
            let raw = |name: &str| {
                event
                    .get(name)
                    .map(|value| serde_json::value::to_raw_value(value).unwrap())
            };
            let (text, part) = (raw("text"), raw("part"));
            item.update(
                part_kind,
                step,
                &PartUpdate {
                    at: event["at"].as_u64(),
                    text: text.as_deref(),
                    part: part.as_deref(),
                },
            );
        }
        let mut out = SseWriter::new(None);
        out.begin_entry(0, 0);
        item.end(3, &mut 7, &mut out);
        out.end_entry();
        let written = out.take();
        let events = std::str::from_utf8(&written)
            .unwrap()
            .split_terminator("\n\n");
        (7..)
            .zip(events)
            .map(|(number, event)| {
                let (name, data) = event.split_once("\ndata: ").unwrap();
                let mut data: Value = serde_json::from_str(data).unwrap();
                assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
                assert_eq!(data["sequence_number"].take(), number);
                data.as_object_mut().unwrap().remove("sequence_number");
                data
            })
            .collect()
    }

    #[test]
    fn open_parts_end_before_their_item() {
        let part = json!({"type": "output_text", "text": ""});
        let events = end_events(
            &json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}),
            &[
                (
                    "response.content_part.added",
                    json!({"at": 0, "part": part}),
                ),
                (
                    "response.output_text.delta",
                    json!({"at": 0, "text": "one"}),
                ),
                (
                    "response.output_text.done",
                    json!({"at": 0, "text": "one."}),
                ),
                ("response.content_part.done", json!({"at": 0, "part": part})),
                (
                    "response.content_part.added",
                    json!({"at": 1, "part": {"type": "refusal", "refusal": ""}}),
                ),
                ("response.refusal.delta", json!({"at": 1, "text": "n\"o"})),
                (
                    "response.content_part.added",
                    json!({"at": 2, "part": part}),
                ),
                ("response.output_text.done", json!({"at": 2, "text": "two"})),
            ],
        );
        let text = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let refusal = json!({"type": "refusal", "refusal": "n\"o"});
        let placed = |mut event: Value, at: u64| {
            for (name, value) in [
                ("item_id", json!("msg_1")),
                ("output_index", json!(3)),
                ("content_index", json!(at)),
            ] {
                event[name] = value;
            }
            event
        };
        let item = json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "incomplete",
            "content": [text("one."), refusal, text("two")]});
        let expected = vec![
            placed(
                json!({"type": "response.refusal.done", "refusal": "n\"o"}),
                1,
            ),
            placed(
                json!({"type": "response.content_part.done", "part": refusal}),
                1,
            ),
            placed(
                json!({"type": "response.content_part.done", "part": text("two")}),
                2,
            ),
            json!({"type": "response.output_item.done", "output_index": 3, "item": item}),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn reasoning_and_calls_end_with_their_own_events() {
        let names = |events: Vec<Value>| -> Vec<String> {
            events
                .iter()
                .map(|event| event["type"].as_str().unwrap().to_owned())
                .collect()
        };
        let reasoning = json!({"id": "rs_1", "type": "reasoning", "summary": []});
        let summary = (
            "response.reasoning_summary_part.added",
            json!({"at": 0, "part": {"type": "summary_text", "text": ""}}),
        );
        let ended = [
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
        ];
        assert_eq!(names(end_events(&reasoning, &[summary])), ended);
        // Some servers send no part events.
        let delta = ("response.reasoning_text.delta", json!({"text": "hm"}));
        assert_eq!(
            names(end_events(&reasoning, &[delta])),
            ["response.reasoning_text.done", "response.output_item.done"]
        );
        let call = json!({"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": ""});
        let events = end_events(&call, &[]);
        assert_eq!(
            (&events[0]["type"], &events[0]["arguments"]),
            (&json!("response.function_call_arguments.done"), &json!(""))
        );
        let events = end_events(
            &call,
            &[(
                "response.function_call_arguments.delta",
                json!({"text": "{"}),
            )],
        );
        assert_eq!(
            (&events[0]["arguments"], &events[1]["item"]["arguments"]),
            (&json!("{"), &json!("{"))
        );
    }
}
