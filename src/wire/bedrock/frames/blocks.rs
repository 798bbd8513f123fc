//! Decodes content blocks, both streamed and complete ones.
//!
//! Invariants: a call that was started is ended exactly once; content without a normalized form is
//! carried unchanged, never dropped. The number of open blocks is bounded.

use serde_json::value::RawValue;

use super::super::shape::{BlockDelta, Delta, RawDelta, Reasoning, Start, ToolUse};
use super::citations::write_citation;
use crate::model::wire::WireId;
use crate::wire::DecodeError;
use crate::wire::kit::blocks::OpenBlocks;
use crate::wire::kit::calls::{Calls, NewCall};
use crate::wire::kit::sink::{self, Sink};

/// The state of the content blocks of one answer.
pub(super) struct Blocks {
    calls: Calls,
    /// Blocks that have started and not stopped, by index; text and reasoning need no state.
    open: OpenBlocks<u32, Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A tool call, with its number.
    Tool(u16),
    /// A block without a normalized form.
    Other,
}

impl Blocks {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            calls: Calls::new(seed),
            open: OpenBlocks::new(WireId::Bedrock),
        }
    }

    /// True once the answer contains a tool call.
    pub(super) fn has_calls(&self) -> bool {
        self.calls.any()
    }

    /// Starts a block. A block still open at the same index is stopped first.
    pub(super) fn start(
        &mut self,
        index: u32,
        json: &RawValue,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        self.stop(index, sink);
        self.open.check_room()?;
        let start: Start<'_> = sink.read(json, "contentBlockStart")?;
        // Text and reasoning usually begin with their first delta; their start adds nothing.
        if start.text.is_some() || start.reasoning_content.is_some() || is_empty_object(json) {
            return Ok(());
        }
        let kind = match start.tool_use.filter(ToolUse::is_client_call) {
            Some(tool) => Kind::Tool(self.start_call(&tool, sink)?),
            // A call that a server runs, or another kind of block: not for the client to run.
            None => {
                sink.raw(json);
                Kind::Other
            }
        };
        self.open.insert(index, kind)
    }

    /// Decodes a delta of a block.
    pub(super) fn delta(
        &mut self,
        piece: &BlockDelta<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        let index = piece.content_block_index.map_or(0, |index| index.0);
        let kind = self.open.get_mut(&index).copied();
        let Some(delta) = &piece.delta else {
            return match kind {
                Some(Kind::Other) => unknown_delta(sink),
                _ => Err(sink.malformed("contentBlockDelta without its content")),
            };
        };
        match (delta, kind) {
            // The start of this block was carried raw; so are its pieces.
            (_, Some(Kind::Other)) => return unknown_delta(sink),
            (
                Delta {
                    text: Some(text), ..
                },
                _,
            ) => sink.text(text.slice_of(sink.frame)),
            (
                Delta {
                    tool_use: Some(tool),
                    ..
                },
                Some(Kind::Tool(number)),
            ) => {
                // The API often begins a tool's input with an empty piece.
                let input = sink.slice(tool.input.as_ref()).unwrap_or_default();
                sink.arguments(number, input);
            }
            (
                Delta {
                    reasoning_content: Some(it),
                    ..
                },
                _,
            ) => write_reasoning(it, sink),
            (
                Delta {
                    citation: Some(json),
                    ..
                },
                _,
            ) => write_citation(json, sink),
            // Also the input of a tool whose block never started.
            _ => return unknown_delta(sink),
        }
        Ok(())
    }

    /// Stops the block at `index`, if it is open.
    pub(super) fn stop(&mut self, index: u32, sink: &mut Sink<'_>) {
        if let Some(kind) = self.open.remove(&index) {
            kind.stop(sink);
        }
    }

    /// Stops all open blocks.
    pub(super) fn stop_all(&mut self, sink: &mut Sink<'_>) {
        self.open.drain().for_each(|kind| kind.stop(sink));
    }

    /// Decodes a complete tool call.
    pub(super) fn whole_call(
        &mut self,
        tool: &ToolUse<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // A complete call has its input as JSON, a streamed one as pieces of text.
        let number = self.start_call(tool, sink)?;
        if let Some(input) = tool.input {
            sink.arguments(number, sink.frame.slice_ref(input.get()));
        }
        sink.end_call(number);
        Ok(())
    }

    /// Starts the next tool call and returns its number.
    fn start_call(&mut self, tool: &ToolUse<'_>, sink: &mut Sink<'_>) -> Result<u16, DecodeError> {
        let id = sink.slice(tool.tool_use_id.as_ref());
        let name = sink.slice(tool.name.as_ref()).unwrap_or_default();
        self.calls.start(NewCall::function(id, name), sink)
    }
}

impl Kind {
    fn stop(self, sink: &mut Sink<'_>) {
        if let Self::Tool(number) = self {
            sink.end_call(number);
        }
    }
}

/// Carries a delta without a normalized form unchanged.
fn unknown_delta(sink: &mut Sink<'_>) -> Result<(), DecodeError> {
    let frame: RawDelta<'_> = sink::read(WireId::Bedrock, sink.frame, "contentBlockDelta")?;
    if let Some(delta) = frame.delta.filter(|delta| !is_empty_object(delta)) {
        sink.raw(delta);
    }
    Ok(())
}

fn is_empty_object(json: &RawValue) -> bool {
    json.get()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .eq(*b"{}")
}

/// Writes reasoning, its signature, and encrypted reasoning.
pub(super) fn write_reasoning(it: &Reasoning<'_>, sink: &mut Sink<'_>) {
    sink.reasoning(sink.slice(it.text.as_ref()).unwrap_or_default());
    sink.signature(sink.slice(it.signature.as_ref()), None);
    sink.signature(None, sink.slice(it.redacted_content.as_ref()));
}
