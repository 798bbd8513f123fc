//! Decodes a stream of chat completion chunks into events.
//!
//! Invariants: the state is bounded (choices, calls, one payload's sources); choices finish at the
//! end of the stream, because servers may repeat and change finish reasons until then.

mod calls;
mod citations;
mod delta;
mod usage;
mod whole;

use bytestring::ByteString;
use serde::de::IgnoredAny;
use smallvec::SmallVec;

use self::citations::Sources;
use self::delta::{has_content, write_delta};
use self::usage::read_usage;
use super::refusal;
use super::shape::{self, Choice, Chunk, Delta};
use crate::codec::lenient::{Maybe, replace_lone_surrogates};
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Events, Reason};
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::kit::calls::CallPieces;
use crate::wire::kit::ending;
use crate::wire::kit::gate::{self, Gate};
use crate::wire::kit::sink::{self, Sink};
use crate::wire::{Decode, DecodeError, Decoded};

pub(super) use self::whole::read_whole;

/// Maximum number of choices of an answer (OpenAI allows `n` up to 128).
const MAX_CHOICES: u64 = 128;

/// The decoder of one stream.
#[derive(Default)]
pub(super) struct Decoder {
    gate: Gate,
    /// Seed of the ids that are made for calls without one.
    seed: ByteString,
    /// The choices in the order in which they began.
    choices: SmallVec<[ChoiceState; 1]>,
    usage: Option<Usage>,
    sources: Sources,
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
        if self.gate.is_over(out) {
            return Ok(());
        }
        let text = frame.data.trim_ascii();
        if frame.kind == FrameKind::Stray {
            out.marker = true;
            refusal::find_stray(text).map_or(Ok(()), |fault| Err(DecodeError::upstream(fault)))
        } else if text == "[DONE]" {
            out.marker = true;
            self.complete(out)
        } else if text.starts_with('{') {
            self.read_event(frame, out)
        } else {
            read_other(frame, text, out)
        }
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        // Some servers close without `[DONE]`: finish reasons on all choices are enough.
        let all_ended =
            !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some());
        if all_ended {
            self.complete(out)?;
        }
        self.gate.finish()
    }
}

impl Decoder {
    /// Returns a decoder. Ids that the provider does not send are made from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            ..Self::default()
        }
    }

    fn read_event(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        match self.read_chunk(&frame.data, out) {
            Err(DecodeError::Malformed { .. }) if gate::skip_cut(frame, out) => Ok(()),
            // The event's name marks an error even if its payload has no known error form.
            Ok(()) if frame.name == "error" => {
                Err(DecodeError::upstream(refusal::read_payload(&frame.data)))
            }
            read => read,
        }
    }

    /// Decodes one payload, a JSON object.
    fn read_chunk(&mut self, data: &ByteString, out: &mut Decoded) -> Result<(), DecodeError> {
        if let Ok(chunk) = serde_json::from_str(data) {
            return self.apply(chunk, data, out);
        }
        // The cause may be half a surrogate pair, which JSON allows and Rust strings do not.
        let repaired = replace_lone_surrogates(data);
        let data = repaired.as_ref().unwrap_or(data);
        let chunk = sink::read(WireId::OpenaiChat, data, "a frame")?;
        self.apply(chunk, data, out)
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
        if may_be_error && let Some(fault) = refusal::find_payload(data) {
            // Clients look for `error` at the top level of a payload only.
            out.nonstandard_error = chunk.error.is_none();
            return Err(DecodeError::upstream(fault));
        }
        self.sources.record(&chunk, data);
        out.usage_only = has_only_usage(&chunk);
        for choice in chunk.choices.unwrap_or_default().into_elements() {
            self.read_choice(choice, data, out)?;
        }
        Ok(())
    }

    fn read_choice(
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
            .ok_or_else(|| {
                DecodeError::malformed(WireId::OpenaiChat, "a choice index above 127")
            })?;
        let at = self.begin(number);
        let Some(state) = self.choices.get_mut(at) else {
            return Ok(());
        };
        let sink = &mut sink_of(number, data, &mut out.events);
        // Perplexity puts the accumulated `message` beside each `delta`: read it only without one.
        let delta = match (choice.delta, choice.message) {
            (Some(delta), _) => delta,
            (None, Some(message)) => sink.read(message, "a message")?,
            (None, None) => Delta {
                content: choice.text.into(),
                ..Delta::default()
            },
        };
        write_delta(delta, &mut state.plain_reasoning, &mut state.calls, sink)?;
        if let Some(reason) = sink.share(choice.finish_reason) {
            state.finish = Some(reason);
        }
        Ok(())
    }

    /// Returns the position of a choice, and begins the choice if it has not begun.
    fn begin(&mut self, number: u16) -> usize {
        let mut begun = self.choices.iter();
        begun
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
    fn record_usage(&mut self, usage: &shape::Usage<'_>, out: &mut Decoded) {
        let usage = read_usage(usage);
        if usage.is_some() && usage != self.usage {
            self.usage = usage;
            out.usage = usage;
        }
    }

    /// Completes the answer and finishes its choices.
    ///
    /// # Errors
    /// When the finish reason of a choice reports a failure.
    fn complete(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        // Clients expect a choice that ends, even in a stream that had none.
        if self.choices.is_empty() {
            self.begin(0);
        }
        let mut reasons = self
            .choices
            .iter()
            .filter_map(|choice| choice.finish.as_deref());
        if let Some(failure) = reasons.find(|word| read_reason(word) == Reason::Error) {
            let fault = refusal::read_finish_reason(failure);
            return Err(DecodeError::upstream(fault));
        }
        // Servers may begin choices in any order.
        self.choices.sort_by_key(|choice| choice.number);
        let first = self.choices.first().map_or(0, |choice| choice.number);
        self.sources.write(first, &mut out.events);
        let no_frame = ByteString::new();
        for choice in &mut self.choices {
            // `[DONE]` without a finish reason is an ordinary end: the server calls the answer
            // complete.
            let native = choice.finish.take();
            let reason = native.as_deref().map_or(Reason::Stop, read_reason);
            let sink = &mut sink_of(choice.number, &no_frame, &mut out.events);
            choice.calls.end_all(sink);
            sink.push(ending::finish(choice.number, Some(reason), native, false));
        }
        self.gate.complete(out);
        Ok(())
    }
}

fn sink_of<'o>(choice: u16, data: &'o ByteString, out: &'o mut Events) -> Sink<'o> {
    Sink::new(WireId::OpenaiChat, data, out).with_choice(choice)
}

/// Returns true for a payload that reports usage and contains nothing else.
fn has_only_usage(chunk: &Chunk<'_>) -> bool {
    let has_sources = chunk.citations.is_some() || chunk.search_results.is_some();
    let has_more = has_sources || chunk.rest.iter().any(|(_, value)| has_content(value.get()));
    let no_choices = chunk.choices.as_ref().is_some_and(Maybe::is_empty);
    no_choices && !has_more && read_usage(&chunk.usage).is_some()
}

/// Reads a payload that is not an object: a marker, an error as plain text, or a list that may
/// contain an error.
fn read_other(frame: &Frame, text: &str, out: &mut Decoded) -> Result<(), DecodeError> {
    let is_list = text.starts_with('[');
    if is_list && let Some(fault) = refusal::find_payload(text) {
        return Err(DecodeError::upstream(fault));
    }
    out.marker = !is_list || serde_json::from_str::<IgnoredAny>(text).is_err();
    if frame.name == "error" {
        return Err(DecodeError::upstream(refusal::read_payload(text)));
    }
    Ok(())
}

/// Reads a finish reason. An unknown one is an ordinary end.
fn read_reason(word: &str) -> Reason {
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

#[cfg(test)]
mod tests;
