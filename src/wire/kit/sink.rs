//! Writes the events of one choice in one frame.
//!
//! Invariants: texts are slices of the frame wherever it contains them unescaped; an empty piece of
//! text writes no event.

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::lenient::Text;
use crate::model::event::{Citation, Event, Events, Raw, Signature};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// Writes the events of one choice in one frame.
pub(in crate::wire) struct Sink<'o> {
    wire: WireId,
    choice: u16,
    /// The payload that texts are slices of.
    pub(in crate::wire) frame: &'o ByteString,
    out: &'o mut Events,
}

/// The normalized fields of a citation; all are optional.
#[derive(Default)]
pub(in crate::wire) struct Source {
    pub(in crate::wire) url: Option<ByteString>,
    pub(in crate::wire) title: Option<ByteString>,
    pub(in crate::wire) quote: Option<ByteString>,
    /// The cited characters of the answer.
    pub(in crate::wire) span: Option<(u32, u32)>,
}

impl<'o> Sink<'o> {
    /// Returns a sink for choice 0.
    pub(in crate::wire) fn new(wire: WireId, frame: &'o ByteString, out: &'o mut Events) -> Self {
        Self {
            wire,
            choice: 0,
            frame,
            out,
        }
    }

    /// Returns the sink for another choice.
    pub(in crate::wire) fn with_choice(self, choice: u16) -> Self {
        Self { choice, ..self }
    }

    /// Returns the number of the choice.
    pub(in crate::wire) fn choice(&self) -> u16 {
        self.choice
    }

    /// Writes an event.
    pub(in crate::wire) fn push(&mut self, event: Event) {
        self.out.push(event);
    }

    /// Writes a piece of the answer's text.
    pub(in crate::wire) fn text(&mut self, delta: ByteString) {
        if !delta.is_empty() {
            let choice = self.choice;
            self.push(Event::Text { choice, delta });
        }
    }

    /// Writes a piece of reasoning.
    pub(in crate::wire) fn reasoning(&mut self, delta: ByteString) {
        if !delta.is_empty() {
            let choice = self.choice;
            self.push(Event::Reasoning { choice, delta });
        }
    }

    /// Writes a piece of a refusal.
    pub(in crate::wire) fn refusal(&mut self, delta: ByteString) {
        if !delta.is_empty() {
            let choice = self.choice;
            self.push(Event::Refusal { choice, delta });
        }
    }

    /// Writes the signature of the reasoning before it, or a block of encrypted reasoning, or both.
    /// Writes nothing if there is neither.
    pub(in crate::wire) fn signature(
        &mut self,
        signature: Option<ByteString>,
        redacted: Option<ByteString>,
    ) {
        if signature.is_some() || redacted.is_some() {
            self.push(Event::Signature(Box::new(Signature {
                choice: self.choice,
                signature,
                redacted,
                wire: self.wire,
                on_text: false,
            })));
        }
    }

    /// Writes the signature of the text before it, if there is one.
    pub(in crate::wire) fn text_signature(&mut self, signature: Option<ByteString>) {
        if signature.is_some() {
            self.push(Event::Signature(Box::new(Signature {
                choice: self.choice,
                signature,
                redacted: None,
                wire: self.wire,
                on_text: true,
            })));
        }
    }

    /// Writes a piece of the arguments of a call; see [`super::calls::Calls::start`].
    pub(in crate::wire) fn arguments(&mut self, call: u16, delta: ByteString) {
        if !delta.is_empty() {
            self.push(Event::ToolArguments {
                choice: self.choice,
                index: call,
                delta,
            });
        }
    }

    /// Writes the end of a call.
    pub(in crate::wire) fn end_call(&mut self, call: u16) {
        self.push(Event::ToolCallEnd {
            choice: self.choice,
            index: call,
        });
    }

    /// Writes a citation with the provider's JSON of it.
    pub(in crate::wire) fn citation(&mut self, json: &RawValue, source: Source) {
        self.push(Event::Citation(Box::new(Citation {
            choice: self.choice,
            url: source.url,
            title: source.title,
            quote: source.quote,
            span: source.span,
            data: self.frame.slice_ref(json.get()),
        })));
    }

    /// Writes JSON of the frame that has no normalized form, unchanged.
    pub(in crate::wire) fn raw(&mut self, json: &RawValue) {
        self.raw_data(self.frame.slice_ref(json.get()));
    }

    /// Writes a member that has no normalized form, as `{name: value}`.
    pub(in crate::wire) fn raw_member(&mut self, name: &str, value: &RawValue) {
        let name = serde_json::Value::from(name);
        self.raw_data(format!("{{{name}:{}}}", value.get()).into());
    }

    /// Writes JSON that has no normalized form.
    pub(in crate::wire) fn raw_data(&mut self, data: ByteString) {
        self.push(Event::Raw(Box::new(Raw {
            choice: self.choice,
            wire: self.wire,
            data,
        })));
    }

    /// Returns a text as a slice of the frame, if it is present and not empty.
    pub(in crate::wire) fn slice(&self, text: Option<&Text<'_>>) -> Option<ByteString> {
        text.filter(|text| !text.is_empty())
            .map(|text| text.slice_of(self.frame))
    }

    /// The same for a text that is not needed afterwards, without a copy of escaped text.
    pub(in crate::wire) fn share<'t>(
        &self,
        text: impl Into<Option<Text<'t>>>,
    ) -> Option<ByteString> {
        text.into()
            .filter(|text| !text.is_empty())
            .map(|text| text.share(self.frame))
    }

    /// Parses a part of the frame. `part` names it in an error.
    ///
    /// # Errors
    /// When the JSON has another shape.
    pub(in crate::wire) fn read<'a, T: Deserialize<'a>>(
        &self,
        json: &'a RawValue,
        part: &str,
    ) -> Result<T, DecodeError> {
        read(self.wire, json.get(), part)
    }

    /// Returns an error for a frame that is not valid for the wire. `what` must not contain content
    /// of the frame.
    pub(in crate::wire) fn malformed(&self, what: impl Into<String>) -> DecodeError {
        DecodeError::malformed(self.wire, what)
    }
}

/// Parses JSON of this wire. `part` names it in an error.
///
/// # Errors
/// When the JSON has another shape.
pub(in crate::wire) fn read<'a, T: Deserialize<'a>>(
    wire: WireId,
    json: &'a str,
    part: &str,
) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| DecodeError::unreadable(wire, part, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_contain_no_content() {
        let read = read::<Vec<u32>>(WireId::Cohere, r#"["a secret"]"#, "a frame");
        let error = read.unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(error.contains("a frame does not have"), "{error}");
        assert!(error.contains("line 1 column"), "{error}");
    }
}
