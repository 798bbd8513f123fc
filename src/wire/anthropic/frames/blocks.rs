//! Decodes content blocks, both streamed and complete ones.
//!
//! Invariants: a call that was started is ended exactly once; a block or delta without a normalized
//! form is carried unchanged, never dropped. The number of open blocks is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::super::shape::{Block, Delta, RawDelta, Tagged};
use super::citations::write_citation;
use crate::codec::lenient::Text;
use crate::model::wire::WireId;
use crate::wire::DecodeError;
use crate::wire::kit::blocks::OpenBlocks;
use crate::wire::kit::calls::{Calls, NewCall};
use crate::wire::kit::sink::{self, Sink};

/// The state of the content blocks of one answer.
pub(super) struct Blocks {
    calls: Calls,
    /// Blocks that have started and not stopped, by index.
    open: OpenBlocks<u32, OpenBlock>,
}

/// A block that has started and not stopped.
struct OpenBlock {
    kind: Kind,
    /// Input or signature that came complete with the block's start, until a delta replaces it.
    complete: Option<ByteString>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text, or a block that is complete at its start.
    Plain,
    Thinking,
    /// A tool call, with its number.
    Tool(u16),
    /// A block without a normalized form.
    Other,
}

impl Blocks {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            calls: Calls::new(seed),
            open: OpenBlocks::new(WireId::Anthropic),
        }
    }

    /// True once the answer contains a tool call.
    pub(super) fn has_calls(&self) -> bool {
        self.calls.any()
    }

    /// Starts a block. A block still open at the same index is stopped first: some servers give
    /// every block the index 0.
    pub(super) fn start(
        &mut self,
        index: u32,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        self.stop(index, sink);
        self.open.check_room()?;
        let (kind, complete) = self.read_start(json, sink)?;
        self.open.insert(index, OpenBlock { kind, complete })
    }

    /// Decodes a complete block.
    pub(super) fn whole_block(
        &mut self,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // Complete blocks are never open together, so one index serves them all.
        self.start(0, json, sink)?;
        self.stop(0, sink);
        Ok(())
    }

    /// Stops the block at `index`, if it is open.
    pub(super) fn stop(&mut self, index: u32, sink: &mut Sink<'_>) {
        if let Some(open) = self.open.remove(&index) {
            open.stop(sink);
        }
    }

    /// Stops all open blocks.
    pub(super) fn stop_all(&mut self, sink: &mut Sink<'_>) {
        self.open.drain().for_each(|open| open.stop(sink));
    }

    /// Decodes a delta of the block at `index`.
    pub(super) fn delta(
        &mut self,
        index: u32,
        delta: &Delta<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let open = self.open.get_mut(&index);
        // A delta whose block never started is still read, by its own type.
        let kind = open.as_ref().map_or(Kind::Plain, |open| open.kind);
        let frame = sink.frame;
        let piece = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.slice_of(frame));
        let written = match (delta.kind.as_ref().map_or("", Text::as_str), kind) {
            // The start of this block was carried raw; so are its pieces.
            (_, Kind::Other) => None,
            ("text_delta", _) => piece(&delta.text).map(|it| sink.text(it)),
            ("thinking_delta", _) => piece(&delta.thinking).map(|it| sink.reasoning(it)),
            ("signature_delta", _) => piece(&delta.signature).map(|it| {
                replace_complete(open, &it);
                sink.signature(Some(it).filter(|it| !it.is_empty()), None);
            }),
            // The API often begins a tool's input with an empty piece.
            ("input_json_delta", Kind::Tool(call)) => piece(&delta.partial_json).map(|it| {
                replace_complete(open, &it);
                sink.arguments(call, it);
            }),
            ("citations_delta", _) => delta.citation.map(|it| write_citation(it, sink)),
            _ => None,
        };
        written.map_or_else(|| unknown_delta(sink), Ok)
    }

    /// Decodes the start of a block; returns its kind, and its input or signature if complete.
    fn read_start(
        &mut self,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(Kind, Option<ByteString>), DecodeError> {
        let tagged: Tagged<'_> = sink.read(json, "a content block")?;
        let tag = tagged.kind.as_ref().map_or("", Text::as_str);
        // Results of server tools, and types newer than this code.
        if !matches!(tag, "text" | "thinking" | "redacted_thinking" | "tool_use") {
            sink.raw(json);
            return Ok((Kind::Other, None));
        }
        let block: Block<'_> = sink.read(json, "a content block")?;
        match (tag, &block.data, sink.slice(block.name.as_ref())) {
            ("text", ..) => text_block(&block, sink),
            ("thinking", ..) => return Ok((Kind::Thinking, thinking_block(&block, sink))),
            // Redacted thinking is complete at its start; no deltas follow.
            ("redacted_thinking", Some(data), _) => {
                sink.signature(None, Some(data.slice_of(sink.frame)));
            }
            ("tool_use", _, Some(name)) => {
                let id = sink.slice(block.id.as_ref());
                let number = self.calls.start(NewCall::function(id, name), sink)?;
                let complete = block.input.and_then(|it| complete_input(it, sink.frame));
                return Ok((Kind::Tool(number), complete));
            }
            // Also a call without a name, which cannot be run by a client.
            _ => {
                sink.raw(json);
                return Ok((Kind::Other, None));
            }
        }
        Ok((Kind::Plain, None))
    }
}

impl OpenBlock {
    fn stop(self, sink: &mut Sink<'_>) {
        // A complete input or signature is sent at the stop: until then deltas may replace it.
        match (self.kind, self.complete) {
            (Kind::Tool(number), complete) => {
                sink.arguments(number, complete.unwrap_or_default());
                sink.end_call(number);
            }
            // The signature covers the thinking before it, so it comes last.
            (Kind::Thinking, complete) => sink.signature(complete, None),
            _ => {}
        }
    }
}

/// Forgets the input or signature that the start gave complete: deltas repeat it, and only one of
/// the two is sent.
fn replace_complete(open: Option<&mut OpenBlock>, piece: &ByteString) {
    if let Some(open) = open
        && !piece.is_empty()
    {
        open.complete = None;
    }
}

/// Carries a delta without a normalized form unchanged: types newer than this code, and the input
/// of server tools.
pub(super) fn unknown_delta(sink: &mut Sink<'_>) -> Result<(), DecodeError> {
    let frame: RawDelta<'_> = sink::read(WireId::Anthropic, sink.frame, "a delta")?;
    frame.delta.into_iter().for_each(|delta| sink.raw(delta));
    Ok(())
}

fn text_block(block: &Block<'_>, sink: &mut Sink<'_>) {
    sink.text(sink.slice(block.text.as_ref()).unwrap_or_default());
    for json in &block.citations.0 {
        write_citation(json, sink);
    }
}

/// Emits the thinking in a block's start and returns its signature, if any, which has to follow the
/// thinking that is still to come.
fn thinking_block(block: &Block<'_>, sink: &mut Sink<'_>) -> Option<ByteString> {
    sink.reasoning(sink.slice(block.thinking.as_ref()).unwrap_or_default());
    sink.slice(block.signature.as_ref())
}

/// Returns the complete input in the start of a call. `{}` is the placeholder of an input that
/// streams, so it counts as none.
fn complete_input(input: &RawValue, frame: &ByteString) -> Option<ByteString> {
    let inside = input
        .get()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let empty = inside.is_some_and(|inside| inside.trim().is_empty());
    (!empty).then(|| frame.slice_ref(input.get()))
}
