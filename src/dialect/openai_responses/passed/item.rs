//! An item that was passed on: its first event, the content streamed since, and its end if the
//! provider does not end it.
//!
//! Invariant: a part, or the text of a part, that the provider has ended is not ended again.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The members of an event, without its type and number.
pub(super) type Members = Map<String, Value>;

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

/// A part of an item, identified by its kind and index.
#[derive(Debug)]
struct Part {
    kind: PartKind,
    at: u64,
    text: String,
    /// True if its `added` event was passed on.
    begun: bool,
    /// True if the `done` event of its text was passed on.
    text_ended: bool,
    /// True if its own `done` event was passed on.
    ended: bool,
}

/// The kind of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    /// Text of a message.
    Text,
    /// Refusal of a message.
    Refusal,
    /// Summary of reasoning.
    Summary,
    /// Text of reasoning.
    Reasoning,
    /// Arguments of a function call.
    Arguments,
    /// Input of a custom tool call.
    Input,
}

/// The effect of an event on a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The part begins.
    Begin,
    /// Its text grows.
    Delta,
    /// Its text is complete.
    TextDone,
    /// The part ends.
    End,
}

/// The fields of an event about a part.
pub(super) struct PartUpdate<'a> {
    /// Index among the summaries or in the content.
    pub(super) at: Option<u64>,
    /// A delta, or the complete text (a JSON string).
    pub(super) text: Option<&'a RawValue>,
    /// The part itself (JSON).
    pub(super) part: Option<&'a RawValue>,
}

/// Returns the part kind and the step of an event type. The kind is `None` for content parts, whose
/// kind is in the part itself.
pub(super) fn classify(kind: &str) -> Option<(Option<PartKind>, Step)> {
    let (what, action) = kind.strip_prefix("response.")?.split_once('.')?;
    let kind = match what {
        "output_text" => PartKind::Text,
        "refusal" => PartKind::Refusal,
        "reasoning_summary_text" => PartKind::Summary,
        "reasoning_text" => PartKind::Reasoning,
        "function_call_arguments" => PartKind::Arguments,
        "custom_tool_call_input" => PartKind::Input,
        "content_part" => return Some((None, part_step(action)?)),
        "reasoning_summary_part" => return Some((Some(PartKind::Summary), part_step(action)?)),
        _ => return None,
    };
    match action {
        "delta" => Some((Some(kind), Step::Delta)),
        "done" => Some((Some(kind), Step::TextDone)),
        _ => None,
    }
}

fn part_step(action: &str) -> Option<Step> {
    match action {
        "added" => Some(Step::Begin),
        "done" => Some(Step::End),
        _ => None,
    }
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
        let Some(kind) = kind
            .or_else(|| update.part.and_then(content_kind))
            // Events after the end of an item change nothing.
            .filter(|_| !self.ended)
        else {
            return;
        };
        let Some(part) = self.part(kind, update.at.unwrap_or_default()) else {
            return;
        };
        let text = update.text.and_then(json_string);
        match step {
            Step::Begin => part.begun = true,
            Step::Delta => part.text.push_str(&text.unwrap_or_default()),
            Step::TextDone => {
                part.text_ended = true;
                // The complete text replaces the deltas; without it the deltas count.
                part.text = text.map_or_else(|| std::mem::take(&mut part.text), Cow::into_owned);
            }
            Step::End => part.ended = true,
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
            self.parts.push(Part {
                kind,
                at,
                text: String::new(),
                begun: false,
                text_ended: false,
                ended: false,
            });
        }
        let last = self.parts.len().saturating_sub(1);
        self.parts.get_mut(found.unwrap_or(last))
    }

    /// Ends the item as incomplete and returns the events that report it: names and members,
    /// without numbers. `place` is its output index.
    pub(super) fn end(&mut self, place: u64) -> Vec<(&'static str, Members)> {
        self.ensure_arguments();
        let ended = self.value("incomplete");
        // Clients match the events of an item by its id.
        let id = ended.get("id").cloned().unwrap_or_default();
        let parts = self
            .parts
            .iter()
            .flat_map(Part::pending_events)
            .map(|(name, members)| (name, with(members, "item_id", id.clone())));
        let mut events: Vec<_> = parts.collect();
        events.push((
            "response.output_item.done",
            with(Members::new(), "item", ended.clone()),
        ));
        (self.json, self.ended) = (ended.to_string(), true);
        events
            .into_iter()
            .map(|(name, members)| (name, with(members, "output_index", place.into())))
            .collect()
    }

    /// Adds the arguments part of a call that has received no arguments yet: clients expect its
    /// `done` event.
    fn ensure_arguments(&mut self) {
        let begun: Value = serde_json::from_str(&self.json).unwrap_or_default();
        let field = |name: &str| begun.get(name).and_then(Value::as_str);
        let kind = match field("type") {
            Some("function_call") => PartKind::Arguments,
            Some("custom_tool_call") => PartKind::Input,
            _ => return,
        };
        if self.parts.iter().all(|part| part.kind != kind)
            && let Some(part) = self.part(kind, 0)
        {
            part.text = field(kind.field()).unwrap_or_default().to_owned();
        }
    }

    /// Returns the item with the content streamed so far.
    pub(super) fn value(&self, status: &str) -> Value {
        let begun: Value = serde_json::from_str(&self.json).unwrap_or_default();
        // An ended item is the provider's own JSON, and stays unchanged.
        let mut item = match begun {
            Value::Object(item) if !self.ended => item,
            other => return other,
        };
        let mut set = |name: &str, value: Value| drop(item.insert(name.to_owned(), value));
        let (mut content, mut summary) = (Vec::new(), Vec::new());
        for part in &self.parts {
            match part.kind {
                PartKind::Text | PartKind::Refusal | PartKind::Reasoning => {
                    content.push(part.value());
                }
                PartKind::Summary => summary.push(part.value()),
                PartKind::Arguments | PartKind::Input => {
                    set(part.kind.field(), part.text.as_str().into());
                }
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

impl Part {
    /// Returns the part as it stands in the item.
    fn value(&self) -> Value {
        let text = &self.text;
        match self.kind {
            PartKind::Text => {
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
            }
            PartKind::Refusal => json!({"type": "refusal", "refusal": text}),
            PartKind::Reasoning => json!({"type": "reasoning_text", "text": text}),
            PartKind::Summary => json!({"type": "summary_text", "text": text}),
            PartKind::Arguments | PartKind::Input => Value::Null,
        }
    }

    /// Returns the pending `done` events: of the text, and of the part itself if its `added` event
    /// was passed on.
    fn pending_events(&self) -> Vec<(&'static str, Members)> {
        let (text_event, part_event) = self.kind.end_events();
        let text = (!self.text_ended).then(|| (text_event, self.text_members()));
        let end = part_event
            .filter(|_| self.begun && !self.ended)
            .map(|name| (name, with(Members::new(), "part", self.value())));
        let placed = |(name, members)| match self.kind.index() {
            Some(index) => (name, with(members, index, self.at.into())),
            None => (name, members),
        };
        text.into_iter().chain(end).map(placed).collect()
    }

    /// Returns the members that contain the complete text.
    fn text_members(&self) -> Members {
        let text = with(Members::new(), self.kind.field(), self.text.as_str().into());
        if self.kind == PartKind::Text {
            with(text, "logprobs", json!([]))
        } else {
            text
        }
    }
}

/// Returns the members with one more.
fn with(mut members: Members, name: &str, value: Value) -> Members {
    members.insert(name.to_owned(), value);
    members
}

impl PartKind {
    /// Returns the field that contains the complete text.
    const fn field(self) -> &'static str {
        match self {
            Self::Text | Self::Summary | Self::Reasoning => "text",
            Self::Refusal => "refusal",
            Self::Arguments => "arguments",
            Self::Input => "input",
        }
    }

    /// Returns the field that contains the index of the part, if it has one.
    const fn index(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Refusal | Self::Reasoning => Some("content_index"),
            Self::Summary => Some("summary_index"),
            Self::Arguments | Self::Input => None,
        }
    }

    /// Returns the names of the events that end the text, and the part if the kind has part events.
    const fn end_events(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Text => (
                "response.output_text.done",
                Some("response.content_part.done"),
            ),
            Self::Refusal => ("response.refusal.done", Some("response.content_part.done")),
            Self::Reasoning => (
                "response.reasoning_text.done",
                Some("response.content_part.done"),
            ),
            Self::Summary => (
                "response.reasoning_summary_text.done",
                Some("response.reasoning_summary_part.done"),
            ),
            Self::Arguments => ("response.function_call_arguments.done", None),
            Self::Input => ("response.custom_tool_call_input.done", None),
        }
    }
}

/// Returns the kind of a content part.
fn content_kind(part: &RawValue) -> Option<PartKind> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    match &*serde_json::from_str::<Tagged<'_>>(part.get()).ok()?.kind {
        "output_text" => Some(PartKind::Text),
        "refusal" => Some(PartKind::Refusal),
        "reasoning_text" => Some(PartKind::Reasoning),
        _ => None,
    }
}

fn json_string(json: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(json.get())
        .ok()
        .map(|text| text.0)
}

#[cfg(test)]
mod tests {
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
        item.end(3)
            .into_iter()
            .map(|(name, members)| with(members, "type", name.into()).into())
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
