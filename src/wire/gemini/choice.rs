//! One choice of an answer: its parts → events.
//!
//! Invariants: calls are numbered from 0 and named; the arguments of a call are told whole, as JSON
//! text, and only one call is open at a time.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::arguments::Pieces;
use super::citation::Sources;
use super::schema::{Candidate, FunctionCall, Part, Text};
use super::{finish, malformed};
use crate::model::chat::made_call_id;
use crate::model::event::{Event, Events, Finish, Raw, Reason, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The state of one choice.
#[derive(Default)]
pub(super) struct Choice {
    pub(super) begun: bool,
    calls: u16,
    open: Option<OpenCall>,
    /// The provider's word for why it ended, so far.
    pub(super) finish: Option<ByteString>,
    sources: Sources,
}

/// A call whose arguments are not complete.
struct OpenCall {
    index: u16,
    whole: Option<ByteString>,
    pieces: Pieces,
}

/// Where the events of one frame go.
pub(super) struct Sink<'a> {
    pub(super) frame: &'a ByteString,
    pub(super) choice: u16,
    pub(super) events: &'a mut Events,
}

impl Sink<'_> {
    /// A value that has no normalized form.
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
    /// A piece of this choice; `raw` are its parts as they came, where any has no normalized form.
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
        candidate
            .citation_metadata
            .iter()
            .for_each(|it| self.sources.cited(it, out));
        candidate
            .grounding_metadata
            .iter()
            .for_each(|it| self.sources.grounded(it, out));
        candidate
            .url_context_metadata
            .iter()
            .for_each(|it| self.sources.once(it, out));
        candidate.logprobs_result.iter().for_each(|it| out.raw(it));
        if let Some(word) = candidate.finish_reason.filter(|word| !word.0.is_empty()) {
            self.finish = Some(word.share(out.frame));
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
        if part.is_raw() {
            raw.into_iter().for_each(|value| out.raw(value));
            return Ok(());
        }
        let signature = part
            .signature
            .filter(|it| !it.0.is_empty())
            .map(|it| it.share(out.frame));
        if let Some(call) = part.call {
            return self.call(call, signature, seed, out);
        }
        if let Some(text) = part.text.filter(|text| !text.0.is_empty()) {
            let delta = text.share(out.frame);
            if part.thought {
                out.events.push(Event::Reasoning {
                    choice: out.choice,
                    delta,
                });
            } else {
                self.sources.text(&delta);
                out.events.push(Event::Text {
                    choice: out.choice,
                    delta,
                });
            }
        }
        sign(signature, !part.thought, out);
        Ok(())
    }

    /// A whole call, the beginning of one, or a further piece of the open one. `{}` closes it, and
    /// means nothing where none is open.
    fn call(
        &mut self,
        call: FunctionCall<'_>,
        signature: Option<ByteString>,
        seed: &str,
        out: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        if let Some(name) = call.name.filter(|name| !name.0.is_empty()) {
            self.close_call(out);
            self.open_call(name.share(out.frame), call.id, signature, seed, out)?;
        } else {
            sign(signature, false, out);
        }
        let Some(open) = &mut self.open else {
            let empty = call.args.is_none() && call.partial_args.0.is_empty();
            return if empty {
                Ok(())
            } else {
                Err(malformed("arguments belong to no function call"))
            };
        };
        if let Some(args) = call.args {
            open.whole = Some(out.frame.slice_ref(args.get()));
        }
        for piece in &call.partial_args.0 {
            open.pieces.add(piece).map_err(malformed)?;
        }
        if call.will_continue != Some(true) {
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
        let id = id.filter(|id| !id.0.is_empty()).map_or_else(
            || made_call_id(seed, choice, index),
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
            pieces: Pieces::default(),
        });
        Ok(())
    }

    /// Gives the arguments of the open call, if there is one, and its end.
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
            Some(whole) if pieces.is_empty() => whole,
            _ => pieces.json().into(),
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

    /// How it ended; `blocked` says why the prompt was not answered.
    pub(super) fn ending(&self, number: u16, blocked: Option<&ByteString>) -> Finish {
        match (&self.finish, blocked) {
            (Some(native), _) => Finish {
                choice: number,
                reason: finish::reason(native, self.calls > 0),
                native: Some(native.clone()),
            },
            (None, native) => Finish {
                choice: number,
                reason: Reason::ContentFilter,
                native: native.cloned(),
            },
        }
    }
}

fn sign(signature: Option<ByteString>, on_text: bool, out: &mut Sink<'_>) {
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
