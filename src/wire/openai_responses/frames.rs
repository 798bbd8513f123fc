//! Decodes the events of a Responses stream.
//!
//! Invariants: only a terminal event of the response completes the stream, and the only `Finish`
//! comes with it; an error in any event ends the stream. Progress events are ignored; text, calls
//! and items of unknown kinds are carried unchanged.

mod items;
mod sink;
mod usage;
mod whole;

pub(super) use whole::read_whole;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::items::{Items, PartPosition, TextKind};
use self::sink::EventSink;
use self::usage::read_usage;
use super::refusal;
use super::shape::{Event as WireEvent, Incomplete, Json, Response, invalid_json};
use crate::codec::json::Fields;
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Event, Finish, Reason};
use crate::model::fault::Fault;
use crate::wire::{Decode, DecodeError, Decoded};

/// Fields of events that are not content.
const METADATA_FIELDS: [&str; 9] = [
    "type",
    "item_id",
    "output_index",
    "content_index",
    "summary_index",
    "sequence_number",
    "response_id",
    "event_id",
    "obfuscation",
];

/// The decoder of one stream.
pub(super) struct Decoder {
    items: Items,
    done: bool,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let is_object = frame.data.trim_ascii_start().starts_with('{');
        if self.done || frame.kind == FrameKind::Stray || !is_object {
            // Some routers end every stream with the `[DONE]` of chat completions.
            out.marker = true;
            return if self.done { Ok(()) } else { other_text(frame) };
        }
        match serde_json::from_str(&frame.data) {
            Ok(event) => self.event(&event, frame, out),
            // A cut last event is no error by itself: `finish` reports the missing end.
            Err(_) if frame.kind == FrameKind::Unterminated => {
                out.marker = true;
                Ok(())
            }
            Err(error) => Err(invalid_json(&error)),
        }
    }

    fn finish(&mut self, _: &mut Decoded) -> Result<(), DecodeError> {
        if self.done {
            Ok(())
        } else {
            Err(DecodeError::CutShort)
        }
    }
}

impl Decoder {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            items: Items::new(seed),
            done: false,
        }
    }

    fn event(
        &mut self,
        event: &WireEvent<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        // Some servers leave out `type` and name the event in the SSE field only.
        let event_type = event.kind.text();
        let kind = event_type.as_deref().unwrap_or(&frame.name);
        let Some(name) = kind.strip_prefix("response.") else {
            return other_event(kind, event, frame, out);
        };
        let sink = &mut event_sink(frame, out);
        match name {
            "output_text.delta" => {
                self.add_text(TextKind::Text, event, event.delta, sink)?;
                // Log probabilities have no normalized form: they are carried beside their text.
                if event.logprobs.is_non_empty() {
                    sink.probabilities(event.logprobs);
                }
            }
            "refusal.delta" => self.add_text(TextKind::Refusal, event, event.delta, sink)?,
            "reasoning_summary_text.delta" => {
                self.add_text(TextKind::Summary, event, event.delta, sink)?;
            }
            "reasoning_text.delta" => {
                self.add_text(TextKind::Reasoning, event, event.delta, sink)?;
            }
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.items
                    .add_arguments(output_index(event), event.delta, sink);
            }
            "completed" | "incomplete" | "failed" | "cancelled" | "done" => {
                self.end(name, event.response, frame, out)?;
            }
            name => self.rare_event(name, event, sink)?,
        }
        Ok(())
    }

    /// Decodes the events that come once per item or part. (Deltas come by the hundred.)
    fn rare_event(
        &mut self,
        name: &str,
        event: &WireEvent<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        let at = output_index(event);
        match name {
            "output_item.added" => self.items.begin(at, event.item, sink)?,
            "output_item.done" => self.items.end(at, event.item, sink)?,
            "output_text.done" => self.add_whole_text(TextKind::Text, event, event.text, sink)?,
            "refusal.done" => self.add_whole_text(TextKind::Refusal, event, event.refusal, sink)?,
            "reasoning_summary_text.done" => {
                self.add_whole_text(TextKind::Summary, event, event.text, sink)?;
            }
            "reasoning_text.done" => {
                self.add_whole_text(TextKind::Reasoning, event, event.text, sink)?;
            }
            "function_call_arguments.done" => {
                self.items.add_whole_arguments(at, event.arguments, sink);
            }
            "custom_tool_call_input.done" => self.items.add_whole_arguments(at, event.input, sink),
            "output_text.annotation.added" => {
                self.items
                    .add_citation(position(TextKind::Text, event), event.annotation, sink);
            }
            // Their content arrives in deltas or with the end of the item.
            "content_part.added"
            | "content_part.done"
            | "reasoning_part.added"
            | "reasoning_part.done" => {}
            "reasoning_summary_part.added" | "reasoning_summary_part.done" => {}
            "error" => return Err(upstream(refusal::read_payload(sink.data))),
            _ if self.is_content(name, event, sink.data) => sink.raw_frame(),
            _ => {}
        }
        Ok(())
    }

    /// Returns true if an event of an unknown kind contains content that no other event repeats.
    fn is_content(&self, name: &str, event: &WireEvent<'_>, data: &str) -> bool {
        // Items that are emitted whole contain the content of their own events.
        let comes_with_item = event
            .output_index
            .number()
            .is_some_and(|index| self.items.is_emitted_whole(index));
        let is_content = |(name, value): &(Cow<'_, str>, &RawValue)| {
            !METADATA_FIELDS.contains(&&**name) && Json::new(value).is_non_empty()
        };
        let has_content = || {
            Fields::parse(data.as_bytes()).is_ok_and(|fields| fields.list.iter().any(is_content))
        };
        // Each partial image is a new version, also of an item that is emitted whole at its end.
        name.ends_with(".partial_image")
            // Progress events repeat the whole response, whose content other events contain.
            || !comes_with_item && event.response.raw().is_empty() && has_content()
    }

    fn add_text(
        &mut self,
        text_kind: TextKind,
        event: &WireEvent<'_>,
        text: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        self.items
            .add_text(position(text_kind, event), text_kind, text, sink)
    }

    fn add_whole_text(
        &mut self,
        text_kind: TextKind,
        event: &WireEvent<'_>,
        text: Json<'_>,
        sink: &mut EventSink<'_>,
    ) -> Result<(), DecodeError> {
        self.items
            .add_whole_text(position(text_kind, event), text_kind, text, sink)
    }

    fn end(
        &mut self,
        name: &str,
        response: Json<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let ended: Response<'_> = response.read();
        // Read before a failure is returned: failed responses have usage too.
        out.usage = read_usage(ended.usage);
        // Some servers send `response.done`, or a status that differs from the event's name.
        let status = ended.status.text();
        let status = status
            .as_deref()
            // A status that is not terminal, such as `in_progress`, contradicts the event.
            .filter(|status| is_terminal(status))
            .unwrap_or(name);
        if status == "failed" {
            return Err(upstream(refusal::read_payload(response.raw())));
        }
        complete(&mut self.items, status, &ended, &mut event_sink(frame, out))?;
        out.done = true;
        self.done = true;
        Ok(())
    }
}

/// Emits the output that has not been streamed, and the `Finish`, of a response that ended without
/// failure.
fn complete(
    items: &mut Items,
    status: &str,
    response: &Response<'_>,
    sink: &mut EventSink<'_>,
) -> Result<(), DecodeError> {
    items.complete(response.output, sink)?;
    let incomplete: Incomplete<'_> = response.incomplete_details.read();
    let incomplete_reason = incomplete
        .reason
        .piece(sink.data)
        .filter(|_| status == "incomplete");
    let reason = match (status, incomplete_reason.as_deref()) {
        ("incomplete", Some("content_filter")) => Reason::ContentFilter,
        ("incomplete", Some("max_messages" | "steered")) => Reason::Stop,
        ("incomplete", _) => Reason::Length,
        ("cancelled", _) => Reason::Cancelled,
        // The API reports `completed` for an answer with calls as well.
        _ if items.has_calls() => Reason::ToolCalls,
        _ => Reason::Stop,
    };
    let native = incomplete_reason.or_else(|| Some(status.into()));
    sink.out.push(Event::Finish(Box::new(Finish {
        choice: 0,
        reason,
        native,
    })));
    Ok(())
}

fn event_sink<'o>(frame: &'o Frame, out: &'o mut Decoded) -> EventSink<'o> {
    EventSink {
        data: &frame.data,
        out: &mut out.events,
    }
}

fn is_terminal(status: &str) -> bool {
    matches!(status, "completed" | "incomplete" | "failed" | "cancelled")
}

fn output_index(event: &WireEvent<'_>) -> u64 {
    event.output_index.number().unwrap_or_default()
}

fn position(text_kind: TextKind, event: &WireEvent<'_>) -> PartPosition {
    // The API numbers summaries separately from content parts.
    let index = if text_kind == TextKind::Summary {
        event.summary_index
    } else {
        event.content_index
    };
    PartPosition {
        item: output_index(event),
        part: index.number().unwrap_or_default(),
    }
}

/// Handles an event that is not of the response: an error in any shape, or a keep-alive.
fn other_event(
    kind: &str,
    event: &WireEvent<'_>,
    frame: &Frame,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    if kind == "error" || event.error.is_non_empty() {
        return Err(upstream(refusal::read_payload(&frame.data)));
    }
    // An object without a type can still be an error in another shape.
    if kind.is_empty() {
        return refusal::find_payload(&frame.data).map_or(Ok(()), |fault| Err(upstream(fault)));
    }
    // Content of an unknown family of events must not be lost.
    if event.delta.is_non_empty() {
        event_sink(frame, out).raw_frame();
    }
    Ok(())
}

/// Handles a payload that is not an object: a marker, or an error as plain text, which a failing
/// server writes directly into the body.
fn other_text(frame: &Frame) -> Result<(), DecodeError> {
    let text = frame.data.trim_ascii();
    if frame.name == "error" {
        return Err(upstream(refusal::read_text(text)));
    }
    // llama.cpp writes errors as an SSE field of its own: `error: {…}`.
    if let Some(error) = text.lines().find_map(|line| line.strip_prefix("error:")) {
        return Err(upstream(refusal::read_text(error.trim_ascii())));
    }
    let json = text.find(['{', '[']).and_then(|at| text.get(at..));
    json.and_then(refusal::find_payload)
        .map_or(Ok(()), |fault| Err(upstream(fault)))
}

/// Wraps a fault that the upstream reported.
fn upstream(fault: Fault) -> DecodeError {
    DecodeError::Upstream(Box::new(fault))
}

#[cfg(test)]
mod tests;
