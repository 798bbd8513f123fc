//! An item that was passed on: as it began, what has streamed of it, and how it ends where its
//! provider does not end it.
//!
//! Invariant: what the provider has ended is not ended again, neither a part nor the words of one.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// The members of an event, its type and number aside.
pub(super) type Members = Map<String, Value>;

/// The parts of one item that are followed, at the most.
const MOST_PARTS: usize = 4096;

/// An item as it was told.
#[derive(Debug)]
pub(super) struct Item {
    /// As it began or, once it is over, ended.
    json: String,
    over: bool,
    /// What has streamed of it.
    parts: Vec<Part>,
}

/// A part of an item, in one voice at one place.
#[derive(Debug)]
struct Part {
    voice: Voice,
    at: u64,
    text: String,
    /// Its beginning was told.
    begun: bool,
    /// All its words were told.
    said: bool,
    /// Its end was told.
    over: bool,
}

/// What speaks in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// Text of a message.
    Text,
    /// Its refusal.
    Refusal,
    /// A summary of reasoning.
    Summary,
    /// Reasoning itself.
    Thought,
    /// The arguments of a call.
    Arguments,
    /// What a custom tool is given.
    Input,
}

/// What an event does to a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It begins.
    Begin,
    /// It says more.
    Say,
    /// All its words are told.
    Said,
    /// It ends.
    End,
}

/// What an event says of a part.
pub(super) struct Words<'a> {
    /// Its place among the summaries, or else in the content.
    pub(super) at: Option<u64>,
    /// More words, or all of them.
    pub(super) words: Option<&'a RawValue>,
    /// The part itself.
    pub(super) part: Option<&'a RawValue>,
}

/// What an event of this type does, and in which voice; the voice of a content part stands in the
/// part.
pub(super) fn step(kind: &str) -> Option<(Option<Voice>, Step)> {
    let (what, how) = kind.strip_prefix("response.")?.split_once('.')?;
    let voice = match what {
        "output_text" => Voice::Text,
        "refusal" => Voice::Refusal,
        "reasoning_summary_text" => Voice::Summary,
        "reasoning_text" => Voice::Thought,
        "function_call_arguments" => Voice::Arguments,
        "custom_tool_call_input" => Voice::Input,
        "content_part" => return Some((None, part_step(how)?)),
        "reasoning_summary_part" => return Some((Some(Voice::Summary), part_step(how)?)),
        _ => return None,
    };
    match how {
        "delta" => Some((Some(voice), Step::Say)),
        "done" => Some((Some(voice), Step::Said)),
        _ => None,
    }
}

fn part_step(how: &str) -> Option<Step> {
    match how {
        "added" => Some(Step::Begin),
        "done" => Some(Step::End),
        _ => None,
    }
}

impl Item {
    /// An item as it was told, when it began or when it was over.
    pub(super) fn new(json: String, over: bool) -> Self {
        Self {
            json,
            over,
            parts: Vec::new(),
        }
    }

    /// As it was told last.
    pub(super) fn json(&self) -> &str {
        &self.json
    }

    /// True where its end is still to be told.
    pub(super) fn is_open(&self) -> bool {
        !self.over
    }

    /// Takes in what an event says of a part.
    pub(super) fn hear(&mut self, voice: Option<Voice>, step: Step, words: &Words<'_>) {
        let Some(voice) = voice
            .or_else(|| words.part.and_then(voice_of))
            .filter(|_| !self.over)
        else {
            return;
        };
        let Some(part) = self.part(voice, words.at.unwrap_or_default()) else {
            return;
        };
        let said = words.words.and_then(text);
        match step {
            Step::Begin => part.begun = true,
            Step::Say => part.text.push_str(&said.unwrap_or_default()),
            Step::Said => {
                part.said = true;
                part.text = said.map_or_else(|| std::mem::take(&mut part.text), Cow::into_owned);
            }
            Step::End => part.over = true,
        }
    }

    /// The part of that voice at that place; none where there is no room for another.
    fn part(&mut self, voice: Voice, at: u64) -> Option<&mut Part> {
        let found = self
            .parts
            .iter()
            .rposition(|part| (part.voice, part.at) == (voice, at));
        if found.is_none() {
            if self.parts.len() == MOST_PARTS {
                return None;
            }
            self.parts.push(Part {
                voice,
                at,
                text: String::new(),
                begun: false,
                said: false,
                over: false,
            });
        }
        let last = self.parts.len().saturating_sub(1);
        self.parts.get_mut(found.unwrap_or(last))
    }

    /// Ends it as incomplete, at this place in the output: the events that tell it, each with its
    /// name, without numbers.
    pub(super) fn end(&mut self, place: u64) -> Vec<(&'static str, Members)> {
        self.expect_arguments();
        let ended = self.value("incomplete");
        let id = ended.get("id").cloned().unwrap_or_default();
        let parts = self
            .parts
            .iter()
            .flat_map(Part::endings)
            .map(|(name, members)| (name, with(members, "item_id", id.clone())));
        let mut events: Vec<_> = parts.collect();
        events.push((
            "response.output_item.done",
            with(Members::new(), "item", ended.clone()),
        ));
        (self.json, self.over) = (ended.to_string(), true);
        events
            .into_iter()
            .map(|(name, members)| (name, with(members, "output_index", place.into())))
            .collect()
    }

    /// A call has arguments, also where none have come yet.
    fn expect_arguments(&mut self) {
        let begun: Value = serde_json::from_str(&self.json).unwrap_or_default();
        let field = |name: &str| begun.get(name).and_then(Value::as_str);
        let voice = match field("type") {
            Some("function_call") => Voice::Arguments,
            Some("custom_tool_call") => Voice::Input,
            _ => return,
        };
        if self.parts.iter().all(|part| part.voice != voice)
            && let Some(part) = self.part(voice, 0)
        {
            part.text = field(voice.field()).unwrap_or_default().to_owned();
        }
    }

    /// The item with all that has streamed of it.
    pub(super) fn value(&self, status: &str) -> Value {
        let begun: Value = serde_json::from_str(&self.json).unwrap_or_default();
        let mut item = match begun {
            Value::Object(item) if !self.over => item,
            other => return other,
        };
        let mut set = |name: &str, value: Value| drop(item.insert(name.to_owned(), value));
        let (mut content, mut summary) = (Vec::new(), Vec::new());
        for part in &self.parts {
            match part.voice {
                Voice::Text | Voice::Refusal | Voice::Thought => content.push(part.value()),
                Voice::Summary => summary.push(part.value()),
                Voice::Arguments | Voice::Input => {
                    set(part.voice.field(), part.text.as_str().into());
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
    /// The part as its item has it.
    fn value(&self) -> Value {
        let text = &self.text;
        match self.voice {
            Voice::Text => {
                json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
            }
            Voice::Refusal => json!({"type": "refusal", "refusal": text}),
            Voice::Thought => json!({"type": "reasoning_text", "text": text}),
            Voice::Summary => json!({"type": "summary_text", "text": text}),
            Voice::Arguments | Voice::Input => Value::Null,
        }
    }

    /// The events that are still due: of its words, and of itself where its beginning was told.
    fn endings(&self) -> Vec<(&'static str, Members)> {
        let (said, over) = self.voice.endings();
        let words = (!self.said).then(|| (said, self.words()));
        let end = over
            .filter(|_| self.begun && !self.over)
            .map(|name| (name, with(Members::new(), "part", self.value())));
        let placed = |(name, members)| match self.voice.index() {
            Some(index) => (name, with(members, index, self.at.into())),
            None => (name, members),
        };
        words.into_iter().chain(end).map(placed).collect()
    }

    /// All its words.
    fn words(&self) -> Members {
        let words = with(
            Members::new(),
            self.voice.field(),
            self.text.as_str().into(),
        );
        if self.voice == Voice::Text {
            with(words, "logprobs", json!([]))
        } else {
            words
        }
    }
}

/// These members with one more.
fn with(mut members: Members, name: &str, value: Value) -> Members {
    members.insert(name.to_owned(), value);
    members
}

impl Voice {
    /// The field that has all its words.
    const fn field(self) -> &'static str {
        match self {
            Self::Text | Self::Summary | Self::Thought => "text",
            Self::Refusal => "refusal",
            Self::Arguments => "arguments",
            Self::Input => "input",
        }
    }

    /// The field that says which part it is.
    const fn index(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Refusal | Self::Thought => Some("content_index"),
            Self::Summary => Some("summary_index"),
            Self::Arguments | Self::Input => None,
        }
    }

    /// The events that end its words, and its part where it is one.
    const fn endings(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Text => (
                "response.output_text.done",
                Some("response.content_part.done"),
            ),
            Self::Refusal => ("response.refusal.done", Some("response.content_part.done")),
            Self::Thought => (
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

/// The voice of a content part.
fn voice_of(part: &RawValue) -> Option<Voice> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    match &*serde_json::from_str::<Tagged<'_>>(part.get()).ok()?.kind {
        "output_text" => Some(Voice::Text),
        "refusal" => Some(Voice::Refusal),
        "reasoning_text" => Some(Voice::Thought),
        _ => None,
    }
}

fn text(json: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(json.get())
        .ok()
        .map(|text| text.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(item: &Value, events: &[(&str, Value)]) -> Vec<Value> {
        let mut open = Item::new(item.to_string(), false);
        for (kind, event) in events {
            let (voice, step) = step(kind).unwrap();
            let raw = |name: &str| {
                event
                    .get(name)
                    .map(|value| serde_json::value::to_raw_value(value).unwrap())
            };
            let (words, part) = (raw("words"), raw("part"));
            open.hear(
                voice,
                step,
                &Words {
                    at: event["at"].as_u64(),
                    words: words.as_deref(),
                    part: part.as_deref(),
                },
            );
        }
        open.end(3)
            .into_iter()
            .map(|(name, members)| with(members, "type", name.into()).into())
            .collect()
    }

    #[test]
    fn what_is_open_ends_before_its_item() {
        let part = json!({"type": "output_text", "text": ""});
        let told = heard(
            &json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}),
            &[
                (
                    "response.content_part.added",
                    json!({"at": 0, "part": part}),
                ),
                (
                    "response.output_text.delta",
                    json!({"at": 0, "words": "one"}),
                ),
                (
                    "response.output_text.done",
                    json!({"at": 0, "words": "one."}),
                ),
                ("response.content_part.done", json!({"at": 0, "part": part})),
                (
                    "response.content_part.added",
                    json!({"at": 1, "part": {"type": "refusal", "refusal": ""}}),
                ),
                ("response.refusal.delta", json!({"at": 1, "words": "n\"o"})),
                (
                    "response.content_part.added",
                    json!({"at": 2, "part": part}),
                ),
                (
                    "response.output_text.done",
                    json!({"at": 2, "words": "two"}),
                ),
            ],
        );
        let text = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let refusal = json!({"type": "refusal", "refusal": "n\"o"});
        let place = |mut event: Value, at: u64| {
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
            place(
                json!({"type": "response.refusal.done", "refusal": "n\"o"}),
                1,
            ),
            place(
                json!({"type": "response.content_part.done", "part": refusal}),
                1,
            ),
            place(
                json!({"type": "response.content_part.done", "part": text("two")}),
                2,
            ),
            json!({"type": "response.output_item.done", "output_index": 3, "item": item}),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn thoughts_and_calls_end_as_they_do() {
        let names = |told: Vec<Value>| -> Vec<String> {
            told.iter()
                .map(|event| event["type"].as_str().unwrap().to_owned())
                .collect()
        };
        let thought = json!({"id": "rs_1", "type": "reasoning", "summary": []});
        let summary = (
            "response.reasoning_summary_part.added",
            json!({"at": 0, "part": {"type": "summary_text", "text": ""}}),
        );
        let ended = [
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
        ];
        assert_eq!(names(heard(&thought, &[summary])), ended);
        // Not every server tells of its parts.
        let said = ("response.reasoning_text.delta", json!({"words": "hm"}));
        assert_eq!(
            names(heard(&thought, &[said])),
            ["response.reasoning_text.done", "response.output_item.done"]
        );
        let call = json!({"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": ""});
        let told = heard(&call, &[]);
        assert_eq!(
            (&told[0]["type"], &told[0]["arguments"]),
            (&json!("response.function_call_arguments.done"), &json!(""))
        );
        let told = heard(
            &call,
            &[(
                "response.function_call_arguments.delta",
                json!({"words": "{"}),
            )],
        );
        assert_eq!(
            (&told[0]["arguments"], &told[1]["item"]["arguments"]),
            (&json!("{"), &json!("{"))
        );
    }
}
