//! Decodes a stream of chat completion chunks into events.
//!
//! Invariants: the state is bounded (choices, calls, one payload's sources); nothing is decoded
//! after a failure; choices finish at the end of the stream, because servers may repeat and change
//! finish reasons until then.

use bytestring::ByteString;
use smallvec::SmallVec;

use super::calls::{read_call, read_function_call};
use super::delta::{ChoiceWriter, has_content};
use super::shape::{Choice, Chunk, Delta};
use super::sources::Sources;
use super::{malformed, usage};
use crate::codec::lenient::{Maybe, replace_lone_surrogates};
use crate::codec::{Frame, FrameKind};
use crate::model::event::Reason;
use crate::model::fault::Fault;
use crate::model::usage::Usage;
use crate::wire::kit::calls::CallPieces;
use crate::wire::kit::ending;
use crate::wire::{Decode, DecodeError, Decoded, openai_error};

/// Maximum number of choices of an answer (OpenAI allows `n` up to 128).
const MAX_CHOICES: u64 = 128;

/// The state of decoding one stream.
#[derive(Default)]
pub(super) struct Decoder {
    /// Seed of the ids that are generated for calls without one.
    seed: ByteString,
    /// The choices in the order in which they began.
    choices: SmallVec<[ChoiceState; 1]>,
    usage: Option<Usage>,
    sources: Sources,
    /// The failure after which nothing is decoded.
    failure: Option<DecodeError>,
    done: bool,
}

/// The state of a choice that has begun.
struct ChoiceState {
    number: u16,
    calls: CallPieces,
    /// True once reasoning has come as a string: `reasoning_details` then only repeat it.
    plain_reasoning: bool,
    /// The newest finish reason.
    finish: Option<ByteString>,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
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
        // A server may send `[DONE]` after an error, so the failure must outlast this frame.
        decoded.inspect_err(|failure| self.failure = Some(failure.clone()))
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.done {
            return Ok(());
        }
        // Some servers close without `[DONE]`: finish reasons on all choices are enough.
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
    /// Creates a decoder that generates missing call ids from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
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
            return non_object(frame, text, out);
        }
        let read = self.chunk(&frame.data, out);
        match read {
            Err(DecodeError::Malformed { .. }) if frame.kind == FrameKind::Unterminated => {
                // The body ended inside this event. Skip it: `finish` decides whether the answer is
                // complete without it.
                out.marker = true;
                Ok(())
            }
            // The event's name marks an error even if its payload has no known error form.
            Ok(()) if frame.name == "error" => Err(upstream(openai_error::from_text(text))),
            read => read,
        }
    }

    /// Decodes one payload, a JSON object.
    pub(super) fn chunk(
        &mut self,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        match serde_json::from_str(data) {
            Ok(chunk) => self.apply(chunk, data, out),
            Err(error) => {
                // The cause may be half a surrogate pair, which JSON allows and Rust strings do
                // not.
                let repaired = replace_lone_surrogates(data).ok_or_else(|| unreadable(&error))?;
                let chunk = serde_json::from_str(&repaired).map_err(|error| unreadable(&error))?;
                self.apply(chunk, &repaired, out)
            }
        }
    }

    fn apply(
        &mut self,
        chunk: Chunk<'_>,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        self.record_usage(&chunk.x_groq.usage, out);
        self.record_usage(&chunk.usage, out);
        // Only such payloads can be errors; the others are not parsed a second time.
        let may_be_error =
            chunk.error.is_some() || chunk.x_groq.error.is_some() || chunk.choices.is_none();
        if may_be_error && let Some(fault) = openai_error::from_payload(data) {
            // Clients look for `error` at the top level of a payload only.
            out.nonstandard_error = chunk.error.is_none();
            return Err(upstream(fault));
        }
        self.sources.record(&chunk, data);
        let has_sources = chunk.citations.is_some() || chunk.search_results.is_some();
        let has_more = has_sources || chunk.rest.iter().any(|(_, value)| has_content(value.get()));
        let has_only_usage = !has_more && usage::normalized(&chunk.usage).is_some();
        out.usage_only = has_only_usage && chunk.choices.as_ref().is_some_and(Maybe::is_empty);
        for choice in chunk.choices.unwrap_or_default().into_elements() {
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
        // Moonshot sends its usage inside the last chunk's choice.
        self.record_usage(&choice.usage, out);
        let number = choice.index.0.unwrap_or(0);
        let number = u16::try_from(number)
            .ok()
            .filter(|_| number < MAX_CHOICES)
            .ok_or_else(|| malformed("a choice index above 127"))?;
        let at = self.begin(number);
        let Some(state) = self.choices.get_mut(at) else {
            return Ok(());
        };
        // Perplexity puts the accumulated `message` beside each `delta`: read it only without one.
        let mut delta = match (choice.delta, choice.message) {
            (Some(delta), _) => delta,
            (None, Some(message)) => {
                serde_json::from_str(message.get()).map_err(|error| unreadable(&error))?
            }
            (None, None) => Delta {
                content: choice.text.into(),
                ..Delta::default()
            },
        };
        let mut writer = ChoiceWriter {
            data,
            choice: number,
            out: &mut out.events,
        };
        writer.delta(&mut delta, &mut state.plain_reasoning);
        if let Some(function) = delta.function_call {
            let piece = read_function_call(function, &writer);
            state.calls.add(piece, &mut writer.sink())?;
        }
        for call in delta.tool_calls.into_elements() {
            let piece = read_call(call, &writer);
            state.calls.add(piece, &mut writer.sink())?;
        }
        if let Some(reason) = choice.finish_reason.non_empty() {
            state.finish = Some(writer.slice(reason));
        }
        Ok(())
    }

    /// Returns the position of a choice, and begins the choice if it has not begun.
    fn begin(&mut self, number: u16) -> usize {
        self.choices
            .iter()
            .position(|choice| choice.number == number)
            .unwrap_or_else(|| {
                self.choices.push(ChoiceState {
                    number,
                    calls: CallPieces::new(self.seed.clone()),
                    plain_reasoning: false,
                    finish: None,
                });
                self.choices.len() - 1
            })
    }

    /// Records a usage object, if it reports counts other than the known ones.
    fn record_usage(&mut self, wire: &super::shape::Usage<'_>, out: &mut Decoded) {
        let usage = usage::normalized(wire);
        if usage.is_some() && usage != self.usage {
            self.usage = usage;
            out.usage = usage;
        }
    }

    /// Completes the answer and finishes its choices.
    ///
    /// # Errors
    /// When the finish reason of a choice reports a failure.
    pub(super) fn end(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        // Clients expect a choice that ends, even in a stream that had none.
        if self.choices.is_empty() {
            self.begin(0);
        }
        let failed = self
            .choices
            .iter()
            .filter_map(|choice| choice.finish.as_deref())
            .find(|word| reason(word) == Reason::Error);
        if let Some(word) = failed {
            return Err(upstream(openai_error::from_finish_reason(word)));
        }
        // Servers may begin choices in any order.
        self.choices.sort_by_key(|choice| choice.number);
        let first = self.choices.first().map_or(0, |choice| choice.number);
        self.sources.emit(first, &mut out.events);
        for choice in &mut self.choices {
            // `[DONE]` without a finish reason is an ordinary end: the server calls the answer
            // complete.
            let native = choice.finish.take();
            let reason = native.as_deref().map_or(Reason::Stop, reason);
            let mut writer = ChoiceWriter {
                data: &ByteString::new(),
                choice: choice.number,
                out: &mut out.events,
            };
            choice.calls.end_all(&mut writer.sink());
            out.events
                .push(ending::finish(choice.number, Some(reason), native, false));
        }
        self.done = true;
        out.done = true;
        Ok(())
    }

    /// Returns true once a choice has begun.
    pub(super) fn has_begun(&self) -> bool {
        !self.choices.is_empty()
    }

    /// Returns the usage known so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.usage
    }
}

/// Decodes a payload that is not an object: a marker, an error as plain text, or a list that may
/// contain an error.
fn non_object(frame: &Frame, text: &str, out: &mut Decoded) -> Result<(), DecodeError> {
    let is_list = text.starts_with('[');
    let error = if is_list {
        openai_error::from_payload(text)
    } else {
        None
    };
    if let Some(fault) = error {
        return Err(upstream(fault));
    }
    out.marker = !is_list || serde_json::from_str::<serde::de::IgnoredAny>(text).is_err();
    if frame.name == "error" {
        Err(upstream(openai_error::from_text(text)))
    } else {
        Ok(())
    }
}

/// Decodes lines outside of events: a bare error object, or an error after `error:` (older
/// llama.cpp).
fn stray(text: &str, out: &mut Decoded) -> Result<(), DecodeError> {
    out.marker = true;
    if let Some(error) = text.lines().find_map(|line| line.strip_prefix("error:")) {
        return Err(upstream(openai_error::from_text(error.trim_ascii())));
    }
    let object = text.find(['{', '[']).and_then(|at| text.get(at..));
    object
        .and_then(openai_error::from_payload)
        .map_or(Ok(()), |fault| Err(upstream(fault)))
}

/// Maps a finish reason. An unknown one is an ordinary end.
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

/// Returns the error for a payload that cannot be read. It gives the position only, because the
/// parser's own message may quote content.
fn unreadable(error: &serde_json::Error) -> DecodeError {
    malformed(&format!(
        "invalid JSON at line {} column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests;
