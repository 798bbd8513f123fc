//! Decodes the content of an answer: blocks, tool plan, tool calls and citations, streamed or
//! complete.
//!
//! Invariants: a call that was started is ended exactly once; content without a normalized form is
//! carried unchanged. The state is bounded.

use serde_json::value::RawValue;

use super::super::shape::{Call, ContentBlock, Function, THINKING};
use super::citations::write_citation;
use crate::codec::json::is_non_empty;
use crate::codec::lenient::Text;
use crate::model::wire::WireId;
use crate::wire::DecodeError;
use crate::wire::kit::blocks::{MAX_OPEN_BLOCKS, OpenBlocks};
use crate::wire::kit::calls::{Calls, NewCall};
use crate::wire::kit::mark::MarkedReasoning;
use crate::wire::kit::sink::Sink;

/// The state of the content of one answer.
pub(super) struct ContentReader {
    calls: Calls,
    /// The numbers of open calls, by index.
    open: OpenBlocks<u32, u16>,
    /// Open content blocks without a normalized form, by index.
    unknown: OpenBlocks<u32, ()>,
    /// Text blocks: index, and number of characters of the answer before the block.
    texts: Vec<(u32, u32)>,
    /// Number of characters of the answer so far.
    characters: u32,
    reasoning: MarkedReasoning,
}

impl ContentReader {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            calls: Calls::new(seed),
            open: OpenBlocks::new(WireId::Cohere),
            unknown: OpenBlocks::new(WireId::Cohere),
            texts: Vec::new(),
            characters: 0,
            reasoning: MarkedReasoning::default(),
        }
    }

    /// True once the answer contains a tool call.
    pub(super) fn has_calls(&self) -> bool {
        self.calls.any()
    }

    /// Starts a content block, or decodes a complete one.
    pub(super) fn start_block(
        &mut self,
        index: u32,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let content: ContentBlock<'_> = sink.read(json, "a content block")?;
        match content.kind.as_ref().map(Text::as_str) {
            // Citations refer to text blocks by index. Past the bound they have no span.
            Some("text") | None if self.texts.len() < MAX_OPEN_BLOCKS => {
                self.texts.push((index, self.characters));
            }
            Some("text" | "thinking") | None => {}
            Some(_) => {
                self.end_block(index);
                self.unknown.insert(index, ())?;
            }
        }
        self.read_block(index, &content, json, sink);
        Ok(())
    }

    /// Decodes a delta of a content block.
    pub(super) fn block_delta(
        &mut self,
        index: u32,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let content: ContentBlock<'_> = sink.read(json, "a content block")?;
        self.read_block(index, &content, json, sink);
        Ok(())
    }

    fn read_block(
        &mut self,
        index: u32,
        content: &ContentBlock<'_>,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) {
        // The start of an unknown block was carried raw; so are its pieces.
        let is_unknown = self.unknown.get_mut(&index).is_some();
        if is_unknown || content.text.is_none() && content.thinking.is_none() {
            return self.raw(json, sink);
        }
        self.reasoning(THINKING, content.thinking.as_ref(), sink);
        self.text(content.text.as_ref(), sink);
    }

    /// Ends a content block.
    pub(super) fn end_block(&mut self, index: u32) {
        self.unknown.remove(&index);
    }

    /// Writes a piece of reasoning that this member contained.
    pub(super) fn reasoning(
        &mut self,
        member: &'static str,
        text: Option<&Text<'_>>,
        sink: &mut Sink<'_>,
    ) {
        if let Some(delta) = sink.slice(text) {
            self.reasoning.write(member, delta, sink);
        }
    }

    fn text(&mut self, text: Option<&Text<'_>>, sink: &mut Sink<'_>) {
        if let Some(delta) = sink.slice(text) {
            // Spans of citations count characters, not bytes.
            let characters = u32::try_from(delta.chars().count()).unwrap_or(u32::MAX);
            self.characters = self.characters.saturating_add(characters);
            self.reasoning.end(sink);
            sink.text(delta);
        }
    }

    /// Starts a tool call, or decodes a complete one.
    pub(super) fn start_call(
        &mut self,
        index: u32,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // Servers may reuse an index without ending its call.
        self.end_call(index, sink);
        let call: Call<'_> = sink.read(json, "a tool call")?;
        let function = call.function.as_ref();
        let Some(name) = sink.slice(function.and_then(|it| it.name.as_ref())) else {
            // A call without a name cannot be run by a client; it is carried raw.
            self.raw(json, sink);
            return Ok(());
        };
        self.open.check_room()?;
        self.reasoning.end(sink);
        let id = sink.slice(call.id.as_ref());
        let number = self.calls.start(NewCall::function(id, name), sink)?;
        self.open.insert(index, number)?;
        write_arguments(number, function, sink);
        Ok(())
    }

    /// Decodes a delta of a tool call's arguments.
    pub(super) fn call_delta(
        &mut self,
        index: u32,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // A piece of a call that never started is carried raw.
        let Some(number) = self.open.get_mut(&index) else {
            self.raw(json, sink);
            return Ok(());
        };
        let call: Call<'_> = sink.read(json, "a tool call")?;
        write_arguments(*number, call.function.as_ref(), sink);
        Ok(())
    }

    /// Ends the tool call at `index`, if it is open.
    pub(super) fn end_call(&mut self, index: u32, sink: &mut Sink<'_>) {
        if let Some(number) = self.open.remove(&index) {
            sink.end_call(number);
        }
    }

    /// Decodes the citation of a piece of text.
    pub(super) fn citation(&mut self, json: &RawValue, sink: &mut Sink<'_>) {
        self.reasoning.end(sink);
        write_citation(json, &self.texts, sink);
    }

    /// Carries content without a normalized form unchanged.
    pub(super) fn raw(&mut self, json: &RawValue, sink: &mut Sink<'_>) {
        // Empty values such as `null` carry nothing.
        if is_non_empty(json) {
            self.reasoning.end(sink);
            sink.raw(json);
        }
    }

    /// Carries the log probabilities of a text, which have no normalized form.
    pub(super) fn logprobs(&mut self, json: Option<&RawValue>, sink: &mut Sink<'_>) {
        if let Some(json) = json.filter(|json| is_non_empty(json)) {
            self.reasoning.end(sink);
            sink.raw_member("logprobs", json);
        }
    }

    /// Ends everything that is open.
    pub(super) fn end_all(&mut self, sink: &mut Sink<'_>) {
        self.reasoning.end(sink);
        self.open.drain().for_each(|number| sink.end_call(number));
    }
}

fn write_arguments(number: u16, function: Option<&Function<'_>>, sink: &mut Sink<'_>) {
    if let Some(delta) = sink.slice(function.and_then(|it| it.arguments.as_ref())) {
        sink.arguments(number, delta);
    }
}
