//! Decodes the content of an answer: blocks, tool plan, tool calls and citations, streamed or
//! complete.
//!
//! Invariants: tool calls are numbered from 0 in order of appearance, independently of their
//! indexes; a call that was started is ended exactly once; content without a normalized form is
//! carried unchanged. The state is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::citation;
use super::shape::{self, Call, ContentBlock};
use crate::codec::json::is_non_empty;
use crate::codec::lenient::Text;
use crate::model::chat::derive_call_id;
use crate::model::event::{Event, Events, Raw, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The member that contains thinking. This wire has no signatures; this name or [`TOOL_PLAN`]
/// serves as the signature of reasoning and states in which member to send it back.
pub(super) const THINKING: &str = "thinking";

/// The member that contains the model's plan before tool calls.
pub(super) const TOOL_PLAN: &str = "tool_plan";

/// Maximum number of blocks, and of calls, open at once. The API sends them one after another.
const MAX_OPEN_ITEMS: usize = 256;

/// The state of the content of one answer.
pub(super) struct ContentReader {
    /// Prefix of the ids made here.
    seed: Box<str>,
    /// Number of tool calls so far.
    calls: u16,
    /// Calls that have started and not ended: index and number.
    open: Vec<(u32, u16)>,
    /// Indexes of open content blocks without a normalized form.
    unknown: Vec<u32>,
    /// Text blocks: index, and number of characters of the answer before the block.
    texts: Vec<(u32, u32)>,
    /// Number of characters of the answer so far.
    characters: u32,
    /// The member of the reasoning that is in progress.
    reasoning: Option<&'static str>,
}

impl ContentReader {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            calls: 0,
            open: Vec::new(),
            unknown: Vec::new(),
            texts: Vec::new(),
            characters: 0,
            reasoning: None,
        }
    }

    /// True once the answer contains a tool call.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Starts a content block, or decodes a complete one.
    pub(super) fn start_block(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let content: ContentBlock<'_> = shape::read(json.get(), "a content block")?;
        match content.kind.as_ref().map(Text::as_str) {
            // Citations refer to text blocks by index. Past the bound they have no span.
            Some("text") | None if self.texts.len() < MAX_OPEN_ITEMS => {
                self.texts.push((index, self.characters));
            }
            Some("text" | "thinking") | None => {}
            Some(_) if self.unknown.len() == MAX_OPEN_ITEMS => return Err(too_many()),
            Some(_) => self.unknown.push(index),
        }
        self.read_block(index, content, json, data, out);
        Ok(())
    }

    /// Decodes a delta of a content block.
    pub(super) fn block_delta(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let content: ContentBlock<'_> = shape::read(json.get(), "a content block")?;
        self.read_block(index, content, json, data, out);
        Ok(())
    }

    fn read_block(
        &mut self,
        index: u32,
        content: ContentBlock<'_>,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) {
        match content {
            // The start of this block was carried raw; so are its pieces.
            _ if self.unknown.contains(&index) => self.push_raw(json, data, out),
            ContentBlock {
                text: None,
                thinking: None,
                ..
            } => self.push_raw(json, data, out),
            ContentBlock { text, thinking, .. } => {
                thinking
                    .iter()
                    .for_each(|text| self.push_reasoning(THINKING, text, data, out));
                text.iter().for_each(|text| self.push_text(text, data, out));
            }
        }
    }

    /// Ends a content block.
    pub(super) fn end_block(&mut self, index: u32) {
        self.unknown.retain(|open| *open != index);
    }

    /// Emits a piece of reasoning that this member contained.
    pub(super) fn push_reasoning(
        &mut self,
        member: &'static str,
        text: &Text<'_>,
        data: &ByteString,
        out: &mut Events,
    ) {
        if text.is_empty() {
            return;
        }
        // Thinking and plan go back in different members, so each has a signature of its own.
        if self.reasoning.is_some_and(|open| open != member) {
            self.end_reasoning(out);
        }
        self.reasoning = Some(member);
        out.push(Event::Reasoning {
            choice: 0,
            delta: text.slice_of(data),
        });
    }

    fn push_text(&mut self, text: &Text<'_>, data: &ByteString, out: &mut Events) {
        if !text.is_empty() {
            // Spans of citations count characters, not bytes.
            let characters = u32::try_from(text.as_str().chars().count()).unwrap_or(u32::MAX);
            self.characters = self.characters.saturating_add(characters);
            self.push(
                Event::Text {
                    choice: 0,
                    delta: text.slice_of(data),
                },
                out,
            );
        }
    }

    /// Starts a tool call, or decodes a complete one. A call still open at the same index is ended
    /// first.
    pub(super) fn start_call(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        // Servers may reuse an index without ending its call.
        self.end_call(index, out);
        let call: Call<'_> = shape::read(json.get(), "a tool call")?;
        let function = call.function.as_ref();
        let Some(name) = function
            .and_then(|it| it.name.as_ref())
            .filter(|name| !name.is_empty())
        else {
            // A call without a name cannot be run by a client; it is carried raw.
            self.push_raw(json, data, out);
            return Ok(());
        };
        if self.open.len() == MAX_OPEN_ITEMS {
            return Err(too_many());
        }
        let number = self.calls;
        self.calls = number.checked_add(1).ok_or_else(too_many)?;
        self.open.push((index, number));
        // Clients match tool results to calls by id, so a missing one is made.
        let id = call.id.as_ref().filter(|id| !id.is_empty()).map_or_else(
            || derive_call_id(&self.seed, 0, number),
            |id| id.slice_of(data),
        );
        let call = ToolCall {
            choice: 0,
            index: number,
            id,
            name: name.slice_of(data),
            signature: None,
            custom: false,
        };
        self.push(Event::ToolCall(Box::new(call)), out);
        out.extend(arguments_event(
            number,
            function.and_then(|it| it.arguments.as_ref()),
            data,
        ));
        Ok(())
    }

    /// Decodes a delta of a tool call's arguments.
    pub(super) fn call_delta(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        // A piece of a call that never started is carried raw.
        let Some((_, number)) = self.open.iter().find(|(open, _)| *open == index) else {
            self.push_raw(json, data, out);
            return Ok(());
        };
        let call: Call<'_> = shape::read(json.get(), "a tool call")?;
        out.extend(arguments_event(
            *number,
            call.function.as_ref().and_then(|it| it.arguments.as_ref()),
            data,
        ));
        Ok(())
    }

    /// Ends the tool call at `index`, if it is open.
    pub(super) fn end_call(&mut self, index: u32, out: &mut Events) {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == index) {
            let (_, number) = self.open.remove(at);
            out.push(Event::ToolCallEnd {
                choice: 0,
                index: number,
            });
        }
    }

    /// Decodes the citation of a piece of text.
    pub(super) fn push_citation(&mut self, json: &RawValue, data: &ByteString, out: &mut Events) {
        self.end_reasoning(out);
        citation::read(json, data, &self.texts, out);
    }

    /// Carries content without a normalized form unchanged.
    pub(super) fn push_raw(&mut self, json: &RawValue, data: &ByteString, out: &mut Events) {
        // Empty values such as `null` carry nothing.
        if is_non_empty(json) {
            self.push(raw_event(data.slice_ref(json.get())), out);
        }
    }

    /// Carries a member without a normalized form, together with its name.
    pub(super) fn push_member(&mut self, name: &str, json: &RawValue, out: &mut Events) {
        self.push(
            raw_event(format!("{{\"{name}\":{}}}", json.get()).into()),
            out,
        );
    }

    /// Ends everything that is open.
    pub(super) fn end_all(&mut self, out: &mut Events) {
        self.end_reasoning(out);
        out.extend(
            self.open
                .drain(..)
                .map(|(_, index)| Event::ToolCallEnd { choice: 0, index }),
        );
    }

    /// Emits an event that is not reasoning.
    fn push(&mut self, event: Event, out: &mut Events) {
        self.end_reasoning(out);
        out.push(event);
    }

    /// Ends reasoning, which any other content does: emits the signature that states the wire and
    /// the member of the reasoning.
    fn end_reasoning(&mut self, out: &mut Events) {
        if let Some(member) = self.reasoning.take() {
            let signature = Some(ByteString::from_static(member));
            out.push(Event::Signature(Box::new(Signature {
                choice: 0,
                signature,
                redacted: None,
                wire: WireId::Cohere,
                on_text: false,
            })));
        }
    }
}

fn arguments_event(index: u16, piece: Option<&Text<'_>>, data: &ByteString) -> Option<Event> {
    let piece = piece.filter(|piece| !piece.is_empty())?;
    Some(Event::ToolArguments {
        choice: 0,
        index,
        delta: piece.slice_of(data),
    })
}

fn raw_event(data: ByteString) -> Event {
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Cohere,
        data,
    }))
}

fn too_many() -> DecodeError {
    DecodeError::malformed(WireId::Cohere, "too many content blocks or tool calls")
}
