//! Decodes the parts of one choice into events.
//!
//! Invariants: calls are numbered from 0 and have a name; the arguments of a call are emitted
//! complete, as JSON text; at most one call is open at a time.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::super::malformed;
use super::super::shape::{Candidate, FunctionCall, Part};
use super::arguments::PartialArguments;
use super::citations::Sources;
use super::ending;
use crate::codec::lenient::Text;
use crate::model::chat::derive_call_id;
use crate::model::event::{Event, Events, Finish, Raw, Reason, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The state of one choice.
#[derive(Default)]
pub(super) struct Choice {
    /// True once a candidate of this index has come.
    pub(super) begun: bool,
    /// Number of function calls so far.
    calls: u16,
    /// The call whose arguments are still arriving.
    open: Option<OpenCall>,
    /// The provider's newest finish reason.
    pub(super) finish: Option<ByteString>,
    sources: Sources,
}

/// A call whose arguments are not complete.
struct OpenCall {
    index: u16,
    /// The arguments, if they arrived as one object.
    whole: Option<ByteString>,
    /// The arguments, if they arrived in pieces.
    pieces: PartialArguments,
}

/// Collects the events of one choice in one frame.
pub(super) struct Sink<'a> {
    pub(super) frame: &'a ByteString,
    pub(super) choice: u16,
    pub(super) events: &'a mut Events,
}

impl Sink<'_> {
    /// Emits a value that has no normalized form.
    pub(super) fn raw(&mut self, value: &RawValue) {
        let data = self.frame.slice_ref(value.get());
        self.events.push(Event::Raw(Box::new(Raw {
            choice: self.choice,
            wire: WireId::Gemini,
            data,
        })));
    }
}

impl Choice {
    /// Decodes the next delta of this choice. `raw` holds its parts as unparsed JSON if any of them
    /// has no normalized form, else it is empty.
    ///
    /// # Errors
    /// When the parts of a function call do not fit together.
    pub(super) fn add(
        &mut self,
        candidate: Candidate<'_>,
        raw: &[&RawValue],
        seed: &str,
        out: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        for (at, part) in candidate
            .content
            .map(|it| it.parts.0)
            .unwrap_or_default()
            .into_iter()
            .enumerate()
        {
            self.part(part, raw.get(at).copied(), seed, out)?;
        }
        // Text comes first, because the spans of sources refer to the text up to this frame.
        candidate
            .citation_metadata
            .iter()
            .for_each(|it| self.sources.citation_metadata(it, out));
        candidate
            .grounding_metadata
            .iter()
            .for_each(|it| self.sources.grounding_metadata(it, out));
        candidate
            .url_context_metadata
            .iter()
            .for_each(|it| self.sources.raw_once(it, out));
        // Each chunk has log probabilities of its own tokens, so they are never repetitions.
        candidate.logprobs_result.iter().for_each(|it| out.raw(it));
        // Every chunk may carry a finish reason; the last one counts.
        if let Some(reason) = candidate.finish_reason.filter(|it| !it.is_empty()) {
            self.finish = Some(reason.share(out.frame));
        }
        Ok(())
    }

    fn part(
        &mut self,
        part: Part<'_>,
        raw: Option<&RawValue>,
        seed: &str,
        out: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // A signature on such a part stays inside its raw JSON.
        if part.is_raw() {
            raw.into_iter().for_each(|value| out.raw(value));
            return Ok(());
        }
        let signature = part
            .signature
            .filter(|it| !it.is_empty())
            .map(|it| it.share(out.frame));
        if let Some(call) = part.call {
            return self.call(call, signature, seed, out);
        }
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            let delta = text.share(out.frame);
            if part.thought {
                out.events.push(Event::Reasoning {
                    choice: out.choice,
                    delta,
                });
            } else {
                self.sources.push_text(&delta);
                out.events.push(Event::Text {
                    choice: out.choice,
                    delta,
                });
            }
        }
        // A signature may also come on a part with empty text, so it does not depend on the text.
        push_signature(signature, !part.thought, out);
        Ok(())
    }

    /// Decodes a complete call, the beginning of one, or a further piece of the open one. `{}`
    /// closes the open call and is ignored if none is open.
    fn call(
        &mut self,
        call: FunctionCall<'_>,
        signature: Option<ByteString>,
        seed: &str,
        out: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        if let Some(name) = call.name.filter(|name| !name.is_empty()) {
            // A new name begins a new call, so the open one is complete.
            self.close_call(out);
            self.open_call(name.share(out.frame), call.id, signature, seed, out)?;
        } else {
            // The call has been emitted already, so a late signature becomes an event of its own.
            push_signature(signature, false, out);
        }
        let Some(open) = &mut self.open else {
            let empty = call.args.is_none() && call.partial_args.0.is_empty();
            return if empty {
                Ok(())
            } else {
                Err(malformed("arguments without a function call"))
            };
        };
        if let Some(args) = call.args {
            open.whole = Some(out.frame.slice_ref(args.get()));
        }
        for piece in &call.partial_args.0 {
            open.pieces.add(piece).map_err(malformed)?;
        }
        if !call.will_continue.0 {
            self.close_call(out);
        }
        Ok(())
    }

    fn open_call(
        &mut self,
        name: ByteString,
        id: Option<Text<'_>>,
        signature: Option<ByteString>,
        seed: &str,
        out: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let (choice, index) = (out.choice, self.calls);
        self.calls = index
            .checked_add(1)
            .ok_or_else(|| malformed("a choice has more than 65535 function calls"))?;
        let id = id.filter(|id| !id.is_empty()).map_or_else(
            || derive_call_id(seed, choice, index),
            |id| id.share(out.frame),
        );
        out.events.push(Event::ToolCall(Box::new(ToolCall {
            choice,
            index,
            id,
            name,
            signature,
            custom: false,
        })));
        self.open = Some(OpenCall {
            index,
            whole: None,
            pieces: PartialArguments::default(),
        });
        Ok(())
    }

    /// Emits the arguments and the end of the open call, if there is one.
    pub(super) fn close_call(&mut self, out: &mut Sink<'_>) {
        let Some(OpenCall {
            index,
            whole,
            pieces,
        }) = self.open.take()
        else {
            return;
        };
        let delta = match whole {
            // A slice of the frame: the model's own spacing and number forms are kept.
            Some(whole) if pieces.is_empty() => whole,
            _ => pieces.into_json().into(),
        };
        out.events.push(Event::ToolArguments {
            choice: out.choice,
            index,
            delta,
        });
        out.events.push(Event::ToolCallEnd {
            choice: out.choice,
            index,
        });
    }

    /// Returns the finish of this choice. `blocked` is the provider's reason for blocking the
    /// prompt; it applies if the choice has no finish reason of its own.
    pub(super) fn finish_event(&self, number: u16, blocked: Option<&ByteString>) -> Finish {
        match (&self.finish, blocked) {
            (Some(native), _) => Finish {
                choice: number,
                reason: ending::reason(native, self.calls > 0),
                native: Some(native.clone()),
            },
            // Without a finish reason only a blocked prompt gets here; see `Decoder::finish`.
            (None, native) => Finish {
                choice: number,
                reason: Reason::ContentFilter,
                native: native.cloned(),
            },
        }
    }
}

fn push_signature(signature: Option<ByteString>, on_text: bool, out: &mut Sink<'_>) {
    if signature.is_some() {
        let signature = Signature {
            choice: out.choice,
            signature,
            redacted: None,
            wire: WireId::Gemini,
            on_text,
        };
        out.events.push(Event::Signature(Box::new(signature)));
    }
}
