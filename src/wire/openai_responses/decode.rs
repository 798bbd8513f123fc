//! The events of a Responses stream.
//!
//! Invariants: a terminal event of the response alone completes it, and the one `Finish` comes with
//! it; an error ends it wherever it stands. Progress is read over; words, calls and items that are
//! not known here are carried.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::items::{Items, Place, Voice};
use super::shape::{Event as Wired, Incomplete, Json, Response, broken};
use super::speech::Speech;
use super::usage;
use crate::codec::json::Fields;
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Event, Finish, Reason};
use crate::model::fault::Fault;
use crate::wire::{Decode, DecodeError, Decoded, openai_error};

/// What events say besides their content.
const BOOKKEEPING: [&str; 9] = [
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

/// The state of one stream.
pub(super) struct Decoder {
    items: Items,
    done: bool,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let is_object = frame.data.trim_ascii_start().starts_with('{');
        if self.done || frame.kind == FrameKind::Stray || !is_object {
            // Routers end with the marker of another wire.
            out.marker = true;
            return if self.done { Ok(()) } else { stray(frame) };
        }
        match serde_json::from_str(&frame.data) {
            Ok(event) => self.event(&event, frame, out),
            Err(_) if frame.kind == FrameKind::Unended => {
                out.marker = true;
                Ok(())
            }
            Err(error) => Err(broken(&error)),
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
        event: &Wired<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let named = event.kind.text();
        let kind = named.as_deref().unwrap_or(&frame.name);
        let Some(name) = kind.strip_prefix("response.") else {
            return other(kind, event, frame, out);
        };
        let speech = &mut speech(frame, out);
        match name {
            "output_text.delta" => {
                self.say(Voice::Text, event, event.delta, speech)?;
                if event.logprobs.is_said() {
                    speech.probabilities(event.logprobs);
                }
            }
            "refusal.delta" => self.say(Voice::Refusal, event, event.delta, speech)?,
            "reasoning_summary_text.delta" => {
                self.say(Voice::Summary, event, event.delta, speech)?;
            }
            "reasoning_text.delta" => self.say(Voice::Thought, event, event.delta, speech)?,
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.items.argue(place(event), event.delta, speech);
            }
            "completed" | "incomplete" | "failed" | "cancelled" | "done" => {
                self.end(name, event.response, frame, out)?;
            }
            name => self.rest(name, event, speech)?,
        }
        Ok(())
    }

    /// The events that do not come by the hundred.
    fn rest(
        &mut self,
        name: &str,
        event: &Wired<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let at = place(event);
        match name {
            "output_item.added" => self.items.begin(at, event.item, speech)?,
            "output_item.done" => self.items.end(at, event.item, speech)?,
            "output_text.done" => self.say_whole(Voice::Text, event, event.text, speech)?,
            "refusal.done" => self.say_whole(Voice::Refusal, event, event.refusal, speech)?,
            "reasoning_summary_text.done" => {
                self.say_whole(Voice::Summary, event, event.text, speech)?;
            }
            "reasoning_text.done" => self.say_whole(Voice::Thought, event, event.text, speech)?,
            "function_call_arguments.done" => self.items.argue_whole(at, event.arguments, speech),
            "custom_tool_call_input.done" => self.items.argue_whole(at, event.input, speech),
            "output_text.annotation.added" => {
                self.items
                    .cite(part(Voice::Text, event), event.annotation, speech);
            }
            // What these hold comes in pieces, or with the item's end.
            "content_part.added"
            | "content_part.done"
            | "reasoning_part.added"
            | "reasoning_part.done" => {}
            "reasoning_summary_part.added" | "reasoning_summary_part.done" => {}
            "error" => return Err(upstream(openai_error::of_object(speech.data))),
            _ if self.is_content(name, event, speech.data) => speech.raw_frame(),
            _ => {}
        }
        Ok(())
    }

    /// Whether an event of a kind that is not known holds content that no other event will.
    fn is_content(&self, name: &str, event: &Wired<'_>, data: &str) -> bool {
        let whole_later = event
            .output_index
            .number()
            .is_some_and(|place| self.items.is_told_whole(place));
        let is_news = |(name, value): &(Cow<'_, str>, &RawValue)| {
            !BOOKKEEPING.contains(&&**name) && Json::of(value).is_said()
        };
        let news =
            || Fields::of(data.as_bytes()).is_ok_and(|fields| fields.list.iter().any(is_news));
        name.ends_with(".partial_image")
            || !whole_later && event.response.raw().is_empty() && news()
    }

    fn say(
        &mut self,
        voice: Voice,
        event: &Wired<'_>,
        words: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        self.items.say(part(voice, event), voice, words, speech)
    }

    fn say_whole(
        &mut self,
        voice: Voice,
        event: &Wired<'_>,
        words: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        self.items
            .say_whole(part(voice, event), voice, words, speech)
    }

    fn end(
        &mut self,
        name: &str,
        response: Json<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let ended: Response<'_> = response.read();
        out.usage = usage::normalized(ended.usage);
        let status = ended.status.text();
        let status = status
            .as_deref()
            .filter(|status| is_terminal(status))
            .unwrap_or(name);
        if status == "failed" {
            return Err(upstream(openai_error::of_object(response.raw())));
        }
        complete(&mut self.items, status, &ended, &mut speech(frame, out))?;
        out.done = true;
        self.done = true;
        Ok(())
    }
}

/// Tells what is left of a response that has ended well, or early, and its `Finish`.
pub(super) fn complete(
    items: &mut Items,
    status: &str,
    response: &Response<'_>,
    speech: &mut Speech<'_>,
) -> Result<(), DecodeError> {
    items.complete(response.output, speech)?;
    let incomplete: Incomplete<'_> = response.incomplete_details.read();
    let why = incomplete
        .reason
        .piece(speech.data)
        .filter(|_| status == "incomplete");
    let reason = match (status, why.as_deref()) {
        ("incomplete", Some("content_filter")) => Reason::ContentFilter,
        ("incomplete", Some("max_messages" | "steered")) => Reason::Stop,
        ("incomplete", _) => Reason::Length,
        ("cancelled", _) => Reason::Cancelled,
        _ if items.has_calls() => Reason::ToolCalls,
        _ => Reason::Stop,
    };
    let native = why.or_else(|| Some(status.into()));
    speech.out.push(Event::Finish(Box::new(Finish {
        choice: 0,
        reason,
        native,
    })));
    Ok(())
}

fn speech<'o>(frame: &'o Frame, out: &'o mut Decoded) -> Speech<'o> {
    Speech {
        data: &frame.data,
        out: &mut out.events,
    }
}

fn is_terminal(status: &str) -> bool {
    matches!(status, "completed" | "incomplete" | "failed" | "cancelled")
}

fn place(event: &Wired<'_>) -> u64 {
    event.output_index.number().unwrap_or_default()
}

fn part(voice: Voice, event: &Wired<'_>) -> Place {
    let index = if voice == Voice::Summary {
        event.summary_index
    } else {
        event.content_index
    };
    Place {
        item: place(event),
        part: index.number().unwrap_or_default(),
    }
}

/// What is no event of the response: an error, in whatever shape, or something like a sign of life.
fn other(
    kind: &str,
    event: &Wired<'_>,
    frame: &Frame,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    if kind == "error" || event.error.is_said() {
        return Err(upstream(openai_error::of_object(&frame.data)));
    }
    if kind.is_empty() {
        return openai_error::of_payload(&frame.data).map_or(Ok(()), |fault| Err(upstream(fault)));
    }
    if event.delta.is_said() {
        speech(frame, out).raw_frame();
    }
    Ok(())
}

/// What is no object: a marker, or an error without form; a failing server writes it bare into the
/// body.
fn stray(frame: &Frame) -> Result<(), DecodeError> {
    let text = frame.data.trim_ascii();
    if frame.name == "error" {
        return Err(upstream(openai_error::of_text(text)));
    }
    if let Some(error) = text.lines().find_map(|line| line.strip_prefix("error:")) {
        return Err(upstream(openai_error::of_text(error.trim_ascii())));
    }
    let json = text.find(['{', '[']).and_then(|at| text.get(at..));
    json.and_then(openai_error::of_payload)
        .map_or(Ok(()), |fault| Err(upstream(fault)))
}

/// An error of the upstream's own.
pub(super) fn upstream(fault: Fault) -> DecodeError {
    DecodeError::Upstream(Box::new(fault))
}

#[cfg(test)]
mod tests;
