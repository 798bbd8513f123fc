//! Decodes the parts of one choice into events.
//!
//! Invariants: the arguments of a call are emitted complete, as JSON text; at most one call is open
//! at a time.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::super::shape::{Candidate, FunctionCall, Part};
use super::arguments::PartialArguments;
use super::citations::Sources;
use super::ending;
use crate::wire::DecodeError;
use crate::wire::kit::calls::{Calls, NewCall};
use crate::wire::kit::sink::Sink;

/// The state of one choice.
pub(super) struct ContentReader {
    calls: Calls,
    /// The call whose arguments are still arriving.
    open: Option<OpenCall>,
    /// The provider's newest finish reason.
    native: Option<ByteString>,
    sources: Sources,
}

/// A call whose arguments are not complete.
struct OpenCall {
    number: u16,
    /// The arguments, if they arrived as one object.
    whole: Option<ByteString>,
    /// The arguments, if they arrived in pieces.
    pieces: PartialArguments,
}

impl ContentReader {
    /// Returns the state of a choice that has no content yet.
    pub(super) fn new(seed: ByteString) -> Self {
        Self {
            calls: Calls::new(seed),
            open: None,
            native: None,
            sources: Sources::default(),
        }
    }

    /// Returns the provider's finish reason.
    pub(super) fn native(&self) -> Option<&str> {
        self.native.as_deref()
    }

    /// Decodes the next delta of this choice. `raw` holds its parts as unparsed JSON if any of them
    /// has no normalized form, else it is empty.
    ///
    /// # Errors
    /// When the parts of a function call do not fit together.
    pub(super) fn read(
        &mut self,
        candidate: Candidate<'_>,
        raw: &[&RawValue],
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let parts = candidate.content.map(|it| it.parts.0).unwrap_or_default();
        for (at, part) in parts.into_iter().enumerate() {
            self.read_part(part, raw.get(at).copied(), sink)?;
        }
        // Text comes first, because the spans of sources refer to the text up to this frame.
        if let Some(metadata) = candidate.citation_metadata {
            self.sources.write_citations(metadata, sink);
        }
        if let Some(metadata) = candidate.grounding_metadata {
            self.sources.write_grounding(metadata, sink);
        }
        if let Some(metadata) = candidate.url_context_metadata {
            self.sources.write_raw(metadata, sink);
        }
        // Each chunk has log probabilities of its own tokens, so they are never repetitions.
        if let Some(logprobs) = candidate.logprobs_result {
            sink.raw(logprobs);
        }
        // Every chunk may carry a finish reason; the last one counts.
        if let Some(reason) = candidate.finish_reason.filter(|it| !it.is_empty()) {
            self.native = Some(reason.share(sink.frame));
        }
        Ok(())
    }

    fn read_part(
        &mut self,
        part: Part<'_>,
        raw: Option<&RawValue>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // A signature on such a part stays inside its raw JSON.
        if part.is_raw() {
            raw.into_iter().for_each(|value| sink.raw(value));
            return Ok(());
        }
        let signature = sink.share(part.signature);
        if let Some(call) = part.call {
            return self.read_call(call, signature, sink);
        }
        let delta = sink.share(part.text).unwrap_or_default();
        // A signature may also come on a part with empty text, so it does not depend on the text.
        if part.thought {
            sink.reasoning(delta);
            sink.signature(signature, None);
        } else {
            self.sources.push_text(&delta);
            sink.text(delta);
            sink.text_signature(signature);
        }
        Ok(())
    }

    /// Decodes a complete call, the beginning of one, or a further piece of the open one. `{}` ends
    /// the open call and is ignored if none is open.
    fn read_call(
        &mut self,
        call: FunctionCall<'_>,
        signature: Option<ByteString>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        if let Some(name) = sink.share(call.name) {
            // A new name begins a new call, so the open one is complete.
            self.end_call(sink);
            let mut start = NewCall::function(sink.share(call.id), name);
            start.signature = signature;
            self.open = Some(OpenCall {
                number: self.calls.start(start, sink)?,
                whole: None,
                pieces: PartialArguments::default(),
            });
        } else {
            // The call has been emitted already, so a late signature becomes an event of its own.
            sink.signature(signature, None);
        }
        let Some(open) = &mut self.open else {
            let empty = call.args.is_none() && call.partial_args.0.is_empty();
            return if empty {
                Ok(())
            } else {
                Err(sink.malformed("arguments without a function call"))
            };
        };
        if let Some(args) = call.args {
            open.whole = Some(sink.frame.slice_ref(args.get()));
        }
        for piece in &call.partial_args.0 {
            open.pieces
                .add(piece)
                .map_err(|what| sink.malformed(what))?;
        }
        if !call.will_continue.0 {
            self.end_call(sink);
        }
        Ok(())
    }

    /// Writes the arguments and the end of the open call, if there is one.
    pub(super) fn end_call(&mut self, sink: &mut Sink<'_>) {
        let Some(open) = self.open.take() else {
            return;
        };
        let delta = match open.whole {
            // A slice of the frame: the model's own spacing and number forms are kept.
            Some(whole) if open.pieces.is_empty() => whole,
            _ => open.pieces.into_json().into(),
        };
        sink.arguments(open.number, delta);
        sink.end_call(open.number);
    }

    /// Writes the finish of this choice. `blocked` is the provider's reason for blocking the prompt;
    /// it applies if the choice has no finish reason of its own.
    pub(super) fn finish(&self, blocked: Option<&ByteString>, sink: &mut Sink<'_>) {
        let native = self.native.as_ref();
        sink.push(ending::finish(
            sink.choice(),
            native,
            blocked,
            self.calls.any(),
        ));
    }
}
