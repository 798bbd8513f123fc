//! Frames → events: one stream of chat completion chunks.
//!
//! Invariants: state is bounded (choices, calls, one payload's sources); after a failure nothing is
//! decoded; a choice finishes at the end of the stream, as finish reasons may be repeated and
//! change until then.

use bytestring::ByteString;
use smallvec::SmallVec;

use super::calls::Calls;
use super::shape::{Choice, Chunk, Delta};
use super::sources::Sources;
use super::speech::{Speech, is_news};
use super::{malformed, usage};
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Event, Finish, Reason};
use crate::model::fault::Fault;
use crate::model::usage::Usage;
use crate::wire::{Decode, DecodeError, Decoded, openai_error, utf16};

/// The most choices an answer may have (`n` is at most 128).
const MAX_CHOICES: u64 = 128;

/// The state of decoding one stream.
#[derive(Default)]
pub(super) struct Decoder {
    seed: String,
    /// In the order they began.
    choices: SmallVec<[Begun; 1]>,
    usage: Option<Usage>,
    sources: Sources,
    failed: Option<DecodeError>,
    done: bool,
}

/// A choice that has begun.
#[derive(Default)]
struct Begun {
    number: u16,
    calls: Calls,
    /// Its reasoning comes as a string: the details beside it repeat it.
    plain: bool,
    /// The newest finish reason.
    finish: Option<ByteString>,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.done {
            out.marker = true;
            return Ok(());
        }
        let decoded = if frame.kind == FrameKind::Stray {
            stray(&frame.data, out)
        } else {
            self.event(frame, out)
        };
        decoded.inspect_err(|failed| self.failed = Some(failed.clone()))
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.done {
            return Ok(());
        }
        let complete =
            !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some());
        if complete {
            self.end(out)
        } else {
            Err(DecodeError::CutShort)
        }
    }
}

impl Decoder {
    /// A decoder whose made ids come from this seed.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.to_owned(),
            ..Self::default()
        }
    }

    fn event(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let text = frame.data.trim_ascii();
        if text == "[DONE]" {
            out.marker = true;
            return self.end(out);
        }
        if !text.starts_with('{') {
            return other(frame, text, out);
        }
        let read = self.chunk(&frame.data, out);
        match read {
            Err(DecodeError::Malformed { .. }) if frame.kind == FrameKind::Unended => {
                // It was cut: whether the answer was complete without it, the end tells.
                out.marker = true;
                Ok(())
            }
            Ok(()) if frame.name == "error" => Err(upstream(openai_error::of_text(text))),
            read => read,
        }
    }

    /// Decodes one payload.
    pub(super) fn chunk(
        &mut self,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        match serde_json::from_str(data) {
            Ok(chunk) => self.take(chunk, data, out),
            Err(error) => {
                let repaired = utf16::replaced(data).ok_or_else(|| broken(&error))?;
                let chunk = serde_json::from_str(&repaired).map_err(|error| broken(&error))?;
                self.take(chunk, &repaired, out)
            }
        }
    }

    fn take(
        &mut self,
        chunk: Chunk<'_>,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        self.count(&chunk.x_groq.usage, out);
        self.count(&chunk.usage, out);
        let suspect =
            chunk.error.is_some() || chunk.x_groq.error.is_some() || chunk.choices.is_none();
        if suspect && let Some(fault) = openai_error::of_payload(data) {
            out.unspoken = chunk.error.is_none();
            return Err(upstream(fault));
        }
        self.sources.see(&chunk, data);
        let lists = chunk.citations.is_some() || chunk.search_results.is_some();
        let more = lists || chunk.rest.iter().any(|(_, value)| is_news(value.get()));
        let alone = !more && usage::normalized(&chunk.usage).is_some();
        out.usage_only = alone
            && chunk
                .choices
                .as_ref()
                .is_some_and(|choices| choices.0.is_empty());
        for choice in chunk.choices.unwrap_or_default().0 {
            self.choice(choice, data, out)?;
        }
        Ok(())
    }

    fn choice(
        &mut self,
        choice: Choice<'_>,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        self.count(&choice.usage, out);
        let number = choice.index.0.unwrap_or(0);
        let number = u16::try_from(number)
            .ok()
            .filter(|_| number < MAX_CHOICES)
            .ok_or_else(|| malformed("a choice with an index past 127"))?;
        let at = self.begin(number);
        let Some(begun) = self.choices.get_mut(at) else {
            return Ok(());
        };
        let mut delta = match (choice.delta, choice.message) {
            (Some(delta), _) => delta,
            (None, Some(message)) => {
                serde_json::from_str(message.get()).map_err(|error| broken(&error))?
            }
            (None, None) => Delta {
                content: choice.text.into(),
                ..Delta::default()
            },
        };
        let mut speech = Speech {
            data,
            choice: number,
            out: &mut out.events,
        };
        speech.delta(&mut delta, &mut begun.plain);
        if let Some(function) = delta.function_call {
            begun.calls.add_legacy(function, &self.seed, &mut speech)?;
        }
        for call in delta.tool_calls.0 {
            begun.calls.add(call, &self.seed, &mut speech)?;
        }
        if let Some(word) = choice.finish_reason.said() {
            begun.finish = Some(speech.piece(word));
        }
        Ok(())
    }

    /// The place of a choice, which begins where it has not.
    fn begin(&mut self, number: u16) -> usize {
        self.choices
            .iter()
            .position(|choice| choice.number == number)
            .unwrap_or_else(|| {
                self.choices.push(Begun {
                    number,
                    ..Begun::default()
                });
                self.choices.len() - 1
            })
    }

    fn count(&mut self, wire: &super::shape::Usage<'_>, out: &mut Decoded) {
        let usage = usage::normalized(wire);
        if usage.is_some() && usage != self.usage {
            self.usage = usage;
            out.usage = usage;
        }
    }

    /// The answer is complete: its choices finish.
    pub(super) fn end(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        if self.choices.is_empty() {
            self.begin(0);
        }
        let failed = self
            .choices
            .iter()
            .filter_map(|choice| choice.finish.as_deref())
            .find(|word| reason(word) == Reason::Error);
        if let Some(word) = failed {
            return Err(upstream(openai_error::of_finish(word)));
        }
        self.choices.sort_by_key(|choice| choice.number);
        let first = self.choices.first().map_or(0, |choice| choice.number);
        self.sources.tell(first, &mut out.events);
        for choice in &mut self.choices {
            let (reason, native) = (
                reason(choice.finish.as_deref().unwrap_or("stop")),
                choice.finish.take(),
            );
            choice.calls.close(&mut Speech {
                data: &ByteString::new(),
                choice: choice.number,
                out: &mut out.events,
            });
            out.events.push(Event::Finish(Box::new(Finish {
                choice: choice.number,
                reason,
                native,
            })));
        }
        self.done = true;
        out.done = true;
        Ok(())
    }

    /// True once a choice has begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.choices.is_empty()
    }

    /// The usage known so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

/// A payload that is no object: a marker, an error without form, or a list that may hold an error.
fn other(frame: &Frame, text: &str, out: &mut Decoded) -> Result<(), DecodeError> {
    let is_list = text.starts_with('[');
    let error = if is_list {
        openai_error::of_payload(text)
    } else {
        None
    };
    if let Some(fault) = error {
        return Err(upstream(fault));
    }
    out.marker = !is_list || serde_json::from_str::<serde::de::IgnoredAny>(text).is_err();
    if frame.name == "error" {
        Err(upstream(openai_error::of_text(text)))
    } else {
        Ok(())
    }
}

/// Lines outside of all events: a bare error object, or one behind `error:`.
fn stray(text: &str, out: &mut Decoded) -> Result<(), DecodeError> {
    out.marker = true;
    if let Some(error) = text.lines().find_map(|line| line.strip_prefix("error:")) {
        return Err(upstream(openai_error::of_text(error.trim_ascii())));
    }
    let object = text.find(['{', '[']).and_then(|at| text.get(at..));
    object
        .and_then(openai_error::of_payload)
        .map_or(Ok(()), |fault| Err(upstream(fault)))
}

/// What a finish reason means; unknown ones are an ordinary end.
fn reason(word: &str) -> Reason {
    match word.to_ascii_lowercase().as_str() {
        "length" | "max_tokens" | "model_length" | "max_output_tokens" => Reason::Length,
        "tool_calls" | "tool_call" | "function_call" | "tool_use" => Reason::ToolCalls,
        "content_filter" | "safety" | "recitation" | "sensitive" | "refusal" => {
            Reason::ContentFilter
        }
        "error" | "insufficient_system_resource" | "network_error" => Reason::Error,
        "abort" | "cancelled" => Reason::Cancelled,
        _ => Reason::Stop,
    }
}

fn upstream(fault: Fault) -> DecodeError {
    DecodeError::Upstream(Box::new(fault))
}

/// Says where a payload cannot be read, and nothing of what it holds.
fn broken(error: &serde_json::Error) -> DecodeError {
    malformed(&format!(
        "the JSON breaks at line {} column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests;
