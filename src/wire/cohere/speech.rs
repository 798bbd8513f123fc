//! What the model says, in blocks that stream or come whole.
//!
//! Invariants: tool calls are numbered from 0 in order of appearance, whatever place they have; a
//! call that was begun is ended once; what has no normalized form is carried as it came. What is
//! remembered is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::citation;
use super::shape::{self, Call, Content};
use crate::codec::json::says_something;
use crate::codec::text::Text;
use crate::model::chat::made_call_id;
use crate::model::event::{Event, Events, Raw, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The member that thinking comes in, and goes back in: with [`PLAN`] what stands for the signature
/// this wire has not.
pub(super) const THINKING: &str = "thinking";

/// The member that the words before tool calls come in.
pub(super) const PLAN: &str = "tool_plan";

/// The most blocks and calls that may be open at once. The API has them one after another.
const MAX_OPEN: usize = 256;

/// What was said so far.
pub(super) struct Speech {
    /// What made ids begin with.
    seed: Box<str>,
    /// Tool calls so far.
    calls: u16,
    /// Calls that have begun and not ended: place and number.
    open: Vec<(u32, u16)>,
    /// Open content blocks of a kind with no normalized form.
    odd: Vec<u32>,
    /// Blocks of text: place, and the characters of the answer before it.
    texts: Vec<(u32, u32)>,
    /// Characters of the answer so far.
    characters: u32,
    /// The member that reasoning is coming in.
    reasoning: Option<&'static str>,
}

impl Speech {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            calls: 0,
            open: Vec::new(),
            odd: Vec::new(),
            texts: Vec::new(),
            characters: 0,
            reasoning: None,
        }
    }

    /// True once a tool was called.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// A content block begins, or comes whole.
    pub(super) fn begin_content(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let content: Content<'_> = shape::read(json.get(), "a content block")?;
        match content.kind.as_ref().map(Text::as_str) {
            Some("text") | None if self.texts.len() < MAX_OPEN => {
                self.texts.push((index, self.characters));
            }
            Some("text" | "thinking") | None => {}
            Some(_) if self.odd.len() == MAX_OPEN => return Err(too_many()),
            Some(_) => self.odd.push(index),
        }
        self.said(index, content, json, data, out);
        Ok(())
    }

    /// A piece of a content block.
    pub(super) fn content(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let content: Content<'_> = shape::read(json.get(), "a content block")?;
        self.said(index, content, json, data, out);
        Ok(())
    }

    fn said(
        &mut self,
        index: u32,
        content: Content<'_>,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) {
        match content {
            _ if self.odd.contains(&index) => self.raw(json, data, out),
            Content {
                text: None,
                thinking: None,
                ..
            } => self.raw(json, data, out),
            Content { text, thinking, .. } => {
                thinking
                    .iter()
                    .for_each(|words| self.reason(THINKING, words, data, out));
                text.iter().for_each(|text| self.text(text, data, out));
            }
        }
    }

    /// A content block has ended.
    pub(super) fn end_content(&mut self, index: u32) {
        self.odd.retain(|open| *open != index);
    }

    /// Words of reasoning, in this member.
    pub(super) fn reason(
        &mut self,
        member: &'static str,
        words: &Text<'_>,
        data: &ByteString,
        out: &mut Events,
    ) {
        if words.is_empty() {
            return;
        }
        if self.reasoning.is_some_and(|open| open != member) {
            self.end_reasoning(out);
        }
        self.reasoning = Some(member);
        out.push(Event::Reasoning {
            choice: 0,
            delta: words.of(data),
        });
    }

    fn text(&mut self, text: &Text<'_>, data: &ByteString, out: &mut Events) {
        if !text.is_empty() {
            let characters = u32::try_from(text.as_str().chars().count()).unwrap_or(u32::MAX);
            self.characters = self.characters.saturating_add(characters);
            self.push(
                Event::Text {
                    choice: 0,
                    delta: text.of(data),
                },
                out,
            );
        }
    }

    /// A tool call begins, or comes whole. One still open at the same place is ended.
    pub(super) fn begin_call(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        self.end_call(index, out);
        let call: Call<'_> = shape::read(json.get(), "a tool call")?;
        let function = call.function.as_ref();
        let Some(name) = function
            .and_then(|it| it.name.as_ref())
            .filter(|name| !name.is_empty())
        else {
            self.raw(json, data, out);
            return Ok(());
        };
        if self.open.len() == MAX_OPEN {
            return Err(too_many());
        }
        let number = self.calls;
        self.calls = number.checked_add(1).ok_or_else(too_many)?;
        self.open.push((index, number));
        let id = call
            .id
            .as_ref()
            .filter(|id| !id.is_empty())
            .map_or_else(|| made_call_id(&self.seed, 0, number), |id| id.of(data));
        let call = ToolCall {
            choice: 0,
            index: number,
            id,
            name: name.of(data),
            signature: None,
            custom: false,
        };
        self.push(Event::ToolCall(Box::new(call)), out);
        out.extend(arguments(
            number,
            function.and_then(|it| it.arguments.as_ref()),
            data,
        ));
        Ok(())
    }

    /// A piece of a tool call's arguments.
    pub(super) fn call(
        &mut self,
        index: u32,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let Some((_, number)) = self.open.iter().find(|(open, _)| *open == index) else {
            self.raw(json, data, out);
            return Ok(());
        };
        let call: Call<'_> = shape::read(json.get(), "a tool call")?;
        out.extend(arguments(
            *number,
            call.function.as_ref().and_then(|it| it.arguments.as_ref()),
            data,
        ));
        Ok(())
    }

    /// A tool call has ended.
    pub(super) fn end_call(&mut self, index: u32, out: &mut Events) {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == index) {
            let (_, number) = self.open.remove(at);
            out.push(Event::ToolCallEnd {
                choice: 0,
                index: number,
            });
        }
    }

    /// Sources of a piece of text, which is told by its place in a block.
    pub(super) fn citation(&mut self, json: &RawValue, data: &ByteString, out: &mut Events) {
        self.end_reasoning(out);
        citation::read(json, data, &self.texts, out);
    }

    /// Something with no normalized form.
    pub(super) fn raw(&mut self, json: &RawValue, data: &ByteString, out: &mut Events) {
        if says_something(json) {
            self.push(raw(data.slice_ref(json.get())), out);
        }
    }

    /// What has no form of its own and a name that must be told with it.
    pub(super) fn named(&mut self, name: &str, json: &RawValue, out: &mut Events) {
        self.push(raw(format!("{{\"{name}\":{}}}", json.get()).into()), out);
    }

    /// Everything that was begun has ended.
    pub(super) fn end_all(&mut self, out: &mut Events) {
        self.end_reasoning(out);
        out.extend(
            self.open
                .drain(..)
                .map(|(_, index)| Event::ToolCallEnd { choice: 0, index }),
        );
    }

    fn push(&mut self, event: Event, out: &mut Events) {
        self.end_reasoning(out);
        out.push(event);
    }

    /// What is said behind reasoning ends it: then comes the mark that says who reasoned, and in
    /// which member.
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

fn arguments(index: u16, piece: Option<&Text<'_>>, data: &ByteString) -> Option<Event> {
    let piece = piece.filter(|piece| !piece.is_empty())?;
    Some(Event::ToolArguments {
        choice: 0,
        index,
        delta: piece.of(data),
    })
}

fn raw(data: ByteString) -> Event {
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Cohere,
        data,
    }))
}

fn too_many() -> DecodeError {
    DecodeError::malformed(
        WireId::Cohere,
        "more blocks or tool calls than can be kept apart",
    )
}
