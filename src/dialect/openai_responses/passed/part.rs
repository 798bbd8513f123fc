//! A part of an item that was passed on: a text of a message, of a summary, or of a call.
//!
//! Invariant: a part, or the text of a part, that the provider has ended is not ended again.

use std::borrow::Cow;

use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::pieces::put_event;
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;

/// A part of an item, identified by its kind and index.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    pub(super) at: u64,
    pub(super) text: String,
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

impl Part {
    /// Creates a part without text.
    pub(super) fn new(kind: PartKind, at: u64) -> Self {
        Self {
            kind,
            at,
            text: String::new(),
            begun: false,
            text_ended: false,
            ended: false,
        }
    }

    /// Applies an event about the part.
    pub(super) fn update(&mut self, step: Step, text: Option<Cow<'_, str>>) {
        match step {
            Step::Begin => self.begun = true,
            Step::Delta => self.text.push_str(&text.unwrap_or_default()),
            Step::TextDone => {
                self.text_ended = true;
                // The complete text replaces the deltas; without it the deltas count.
                if let Some(text) = text {
                    self.text = text.into_owned();
                }
            }
            Step::End => self.ended = true,
        }
    }

    /// Writes the part as it stands in the item.
    pub(super) fn put(&self, buf: &mut BytesMut) {
        let kind = match self.kind {
            PartKind::Text => "output_text",
            PartKind::Refusal => "refusal",
            PartKind::Reasoning => "reasoning_text",
            PartKind::Summary => "summary_text",
            // They are members of the item itself.
            PartKind::Arguments | PartKind::Input => return buf.put_slice(b"null"),
        };
        let mut part = Members::new(buf);
        part.word("type", kind);
        part.text(self.kind.field(), &self.text);
        if self.kind == PartKind::Text {
            part.array("annotations").end();
            part.array("logprobs").end();
        }
        part.end();
    }

    /// Writes the `done` events that are missing: of the text, and of the part itself if its
    /// `added` event was passed on. `begin` writes the members of the item.
    pub(super) fn end(
        &self,
        number: &mut u64,
        out: &mut SseWriter,
        begin: impl Fn(&mut Members<'_>),
    ) {
        let begin = |event: &mut Members<'_>| {
            begin(event);
            if let Some(index) = self.kind.index() {
                event.number(index, self.at);
            }
        };
        let (text_done, part_done) = self.kind.end_events();
        if !self.text_ended {
            put_event(out, number, text_done, |event| {
                begin(event);
                event.text(self.kind.field(), &self.text);
                if self.kind == PartKind::Text {
                    event.array("logprobs").end();
                }
            });
        }
        if let Some(name) = part_done.filter(|_| self.begun && !self.ended) {
            put_event(out, number, name, |event| {
                begin(event);
                self.put(event.value("part"));
            });
        }
    }
}

impl PartKind {
    /// Returns the field that contains the complete text.
    pub(super) const fn field(self) -> &'static str {
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
pub(super) fn content_kind(part: &RawValue) -> Option<PartKind> {
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

/// Returns a JSON string as text; `None` for any other value.
pub(super) fn json_string(json: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(json.get())
        .ok()
        .map(|text| text.0)
}
