//! Decodes content blocks, both streamed and complete ones.
//!
//! Invariants: tool calls are numbered from 0 in order of appearance, independently of block
//! indexes; a call that was started is ended exactly once; content without a normalized form is
//! carried unchanged, never dropped. The number of open blocks is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::shape::{
    self, BlockDelta, CitationFields, Delta, RawDelta, Reasoning, Start, Text, ToolInput, ToolUse,
};
use crate::model::chat::derive_call_id;
use crate::model::event::{Citation, Event, Events, Raw, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// Maximum number of blocks open at once. The API sends blocks one after another; the room is for
/// servers that interleave them.
const MAX_OPEN_BLOCKS: usize = 256;

/// The state of the content blocks of one answer.
pub(super) struct Blocks {
    /// Prefix of the ids made here.
    seed: Box<str>,
    /// Number of tool calls so far.
    calls: u16,
    /// Blocks that have started and not stopped, by index; text and reasoning need no state.
    open: Vec<(u32, Kind)>,
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
            seed: seed.into(),
            calls: 0,
            open: Vec::new(),
        }
    }

    /// True once the answer contains a tool call.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Starts a block. A block still open at the same index is stopped first.
    pub(super) fn start(
        &mut self,
        index: u32,
        json: &RawValue,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        self.stop(index, out);
        // Without a bound, a faulty server could make the list grow for as long as it streams.
        if self.open.len() == MAX_OPEN_BLOCKS {
            return Err(shape::malformed(format!(
                "more than {MAX_OPEN_BLOCKS} content blocks are open at once"
            )));
        }
        let start: Start<'_> = shape::read(json.get(), "contentBlockStart")?;
        // Text and reasoning usually begin with their first delta; their start adds nothing.
        if start.text.is_some() || start.reasoning_content.is_some() || is_empty_object(json) {
            return Ok(());
        }
        let kind = match start.tool_use.filter(ToolUse::is_client_call) {
            Some(tool) => Kind::Tool(self.start_call(&tool, frame, out)?),
            // A call that a server runs, or another kind of block: not for the client to run.
            None => {
                out.push(raw_event(json, frame));
                Kind::Other
            }
        };
        self.open.push((index, kind));
        Ok(())
    }

    /// Decodes a delta of a block.
    pub(super) fn delta(
        &mut self,
        piece: &BlockDelta<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let index = piece.content_block_index.map_or(0, |index| index.0);
        let kind = self
            .open
            .iter()
            .find(|(at, _)| *at == index)
            .map(|(_, kind)| *kind);
        match (&piece.delta, kind) {
            // The start of this block was carried raw; so are its pieces.
            (_, Some(Kind::Other)) => return unknown_delta(frame, out),
            (
                Some(Delta {
                    text: Some(text), ..
                }),
                _,
            ) => out.extend(text_event(text, frame)),
            (
                Some(Delta {
                    tool_use: Some(ToolInput { input }),
                    ..
                }),
                Some(Kind::Tool(call)),
            ) => {
                // The API often begins a tool's input with an empty piece.
                let input = input.as_ref().filter(|input| !input.as_str().is_empty());
                out.extend(input.map(|input| arguments_event(call, input.slice_of(frame))));
            }
            (
                Some(Delta {
                    reasoning_content: Some(it),
                    ..
                }),
                _,
            ) => push_reasoning(it, frame, out),
            (
                Some(Delta {
                    citation: Some(json),
                    ..
                }),
                _,
            ) => out.push(citation_event(json, frame)),
            // Also the input of a tool whose block never started.
            (Some(_), _) => return unknown_delta(frame, out),
            (None, _) => return Err(shape::malformed("contentBlockDelta without its content")),
        }
        Ok(())
    }

    /// Stops the block at `index`, if it is open.
    pub(super) fn stop(&mut self, index: u32, out: &mut Events) {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == index) {
            out.extend(end_event(self.open.remove(at).1));
        }
    }

    /// Stops all open blocks.
    pub(super) fn stop_all(&mut self, out: &mut Events) {
        out.extend(self.open.drain(..).filter_map(|(_, kind)| end_event(kind)));
    }

    /// Decodes a complete tool call.
    pub(super) fn whole_call(
        &mut self,
        tool: &ToolUse<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        // A complete call has its input as JSON, a streamed one as pieces of text.
        let index = self.start_call(tool, frame, out)?;
        out.extend(
            tool.input
                .map(|input| arguments_event(index, frame.slice_ref(input.get()))),
        );
        out.extend(end_event(Kind::Tool(index)));
        Ok(())
    }

    /// Starts the next tool call and returns its number.
    fn start_call(
        &mut self,
        tool: &ToolUse<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<u16, DecodeError> {
        let index = self.calls;
        self.calls = index
            .checked_add(1)
            .ok_or_else(|| shape::malformed("more tool calls than can be counted"))?;
        // Clients match tool results to calls by id, so a missing one is made.
        let id = tool
            .tool_use_id
            .as_ref()
            .filter(|id| !id.as_str().is_empty());
        let id = id.map_or_else(
            || derive_call_id(&self.seed, 0, index),
            |id| id.slice_of(frame),
        );
        let name = tool
            .name
            .as_ref()
            .map(|name| name.slice_of(frame))
            .unwrap_or_default();
        out.push(Event::ToolCall(Box::new(ToolCall {
            choice: 0,
            index,
            id,
            name,
            signature: None,
            custom: false,
        })));
        Ok(index)
    }
}

fn end_event(kind: Kind) -> Option<Event> {
    match kind {
        Kind::Tool(index) => Some(Event::ToolCallEnd { choice: 0, index }),
        Kind::Other => None,
    }
}

/// Carries a delta without a normalized form unchanged.
fn unknown_delta(frame: &ByteString, out: &mut Events) -> Result<(), DecodeError> {
    let frame_delta: RawDelta<'_> = shape::read(frame, "contentBlockDelta")?;
    out.extend(
        frame_delta
            .delta
            .filter(|delta| !is_empty_object(delta))
            .map(|delta| raw_event(delta, frame)),
    );
    Ok(())
}

fn is_empty_object(json: &RawValue) -> bool {
    json.get()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .eq(*b"{}")
}

/// Returns the event of a piece of text, unless it is empty.
pub(super) fn text_event(text: &Text<'_>, frame: &ByteString) -> Option<Event> {
    (!text.as_str().is_empty()).then(|| Event::Text {
        choice: 0,
        delta: text.slice_of(frame),
    })
}

/// Emits reasoning and its signature.
pub(super) fn push_reasoning(it: &Reasoning<'_>, frame: &ByteString, out: &mut Events) {
    let of = |text: &Option<Text<'_>>| {
        text.as_ref()
            .filter(|text| !text.as_str().is_empty())
            .map(|text| text.slice_of(frame))
    };
    out.extend(of(&it.text).map(|delta| Event::Reasoning { choice: 0, delta }));
    out.extend(of(&it.signature).map(|signature| signature_or_redacted(Some(signature), None)));
    out.extend(
        of(&it.redacted_content).map(|redacted| signature_or_redacted(None, Some(redacted))),
    );
}

fn signature_or_redacted(signature: Option<ByteString>, redacted: Option<ByteString>) -> Event {
    Event::Signature(Box::new(Signature {
        choice: 0,
        signature,
        redacted,
        wire: WireId::Bedrock,
        on_text: false,
    }))
}

fn arguments_event(index: u16, delta: ByteString) -> Event {
    Event::ToolArguments {
        choice: 0,
        index,
        delta,
    }
}

/// Returns the event of content without a normalized form.
pub(super) fn raw_event(json: &RawValue, frame: &ByteString) -> Event {
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Bedrock,
        data: frame.slice_ref(json.get()),
    }))
}

/// Returns the event of a citation. One in an unknown shape is still carried unchanged.
pub(super) fn citation_event(json: &RawValue, frame: &ByteString) -> Event {
    let of = |text: &Text<'_>| Some(text.slice_of(frame)).filter(|text| !text.is_empty());
    let mut citation = Citation {
        choice: 0,
        url: None,
        title: None,
        quote: None,
        span: None,
        data: frame.slice_ref(json.get()),
    };
    if let Ok(source) = serde_json::from_str::<CitationFields<'_>>(json.get()) {
        let web = source
            .location
            .and_then(|location| location.web)
            .and_then(|web| web.url);
        // `source` may be any name of a source; only a link is a URL.
        let link = source.source.filter(|source| {
            source.as_str().starts_with("https://") || source.as_str().starts_with("http://")
        });
        let texts: Vec<Text<'_>> = source
            .source_content
            .0
            .into_iter()
            .filter_map(|quote| quote.text)
            .collect();
        citation.url = web.or(link).as_ref().and_then(of);
        citation.title = source.title.as_ref().and_then(of);
        // A single text stays a slice of the frame; several have to be copied.
        citation.quote = match texts.as_slice() {
            [single] => of(single),
            several => Some(several.iter().map(Text::as_str).collect::<String>())
                .filter(|text| !text.is_empty())
                .map(Into::into),
        };
    }
    Event::Citation(Box::new(citation))
}
