//! Decodes content blocks, both streamed and complete ones.
//!
//! Invariants: tool calls are numbered from 0 in order of appearance, independently of block
//! indexes; a call that was started is ended exactly once; a block or delta without a normalized
//! form is carried unchanged, never dropped. The number of open blocks is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::shape::{self, Block, CitationFields, Delta, RawDelta, Tagged, Text};
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
    open: Vec<OpenBlock>,
}

/// A block that has started and not stopped.
struct OpenBlock {
    /// The block's index in the content.
    index: u32,
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
            seed: seed.into(),
            calls: 0,
            open: Vec::new(),
        }
    }

    /// True once the answer contains a tool call.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// Starts a block. A block still open at the same index is stopped first: some servers give
    /// every block the index 0.
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
        let (kind, complete) = self.read_start(json, frame, out)?;
        self.open.push(OpenBlock {
            index,
            kind,
            complete,
        });
        Ok(())
    }

    /// Decodes a complete block.
    pub(super) fn whole_block(
        &mut self,
        json: &RawValue,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        // Complete blocks are never open together, so one index serves them all.
        self.start(0, json, frame, out)?;
        self.stop(0, out);
        Ok(())
    }

    /// Stops the block at `index`, if it is open.
    pub(super) fn stop(&mut self, index: u32, out: &mut Events) {
        if let Some(at) = self.open.iter().position(|open| open.index == index) {
            self.open.remove(at).stop(out);
        }
    }

    /// Stops all open blocks.
    pub(super) fn stop_all(&mut self, out: &mut Events) {
        self.open.drain(..).for_each(|open| open.stop(out));
    }

    /// Decodes a delta of the block at `index`.
    pub(super) fn delta(
        &mut self,
        index: u32,
        delta: &Delta<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let open = self.open.iter_mut().find(|open| open.index == index);
        // A delta whose block never started is still read, by its own type.
        let kind = open.as_ref().map_or(Kind::Plain, |open| open.kind);
        let tag = delta.kind.as_ref().map_or("", Text::as_str);
        let event = match (tag, delta, kind) {
            // The start of this block was carried raw; so are its pieces.
            (.., Kind::Other) => return unknown_delta(frame, out),
            (
                "text_delta",
                Delta {
                    text: Some(text), ..
                },
                _,
            ) => Event::Text {
                choice: 0,
                delta: text.slice_of(frame),
            },
            (
                "thinking_delta",
                Delta {
                    thinking: Some(text),
                    ..
                },
                _,
            ) => Event::Reasoning {
                choice: 0,
                delta: text.slice_of(frame),
            },
            (
                "signature_delta",
                Delta {
                    signature: Some(it),
                    ..
                },
                _,
            ) => signature_event(it.slice_of(frame)),
            (
                "input_json_delta",
                Delta {
                    partial_json: Some(json),
                    ..
                },
                Kind::Tool(call),
            ) => arguments_event(call, json.slice_of(frame)),
            (
                "citations_delta",
                Delta {
                    citation: Some(json),
                    ..
                },
                _,
            ) => citation_event(json, frame),
            _ => return unknown_delta(frame, out),
        };
        // The API often begins a tool's input with an empty piece.
        if is_empty(&event) {
            return Ok(());
        }
        // Deltas repeat what the start may have given complete: only one of the two is sent.
        if let Some(open) = open
            && matches!(event, Event::ToolArguments { .. } | Event::Signature(_))
        {
            open.complete = None;
        }
        out.push(event);
        Ok(())
    }

    /// Decodes the start of a block; returns its kind, and its input or signature if complete.
    fn read_start(
        &mut self,
        json: &RawValue,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(Kind, Option<ByteString>), DecodeError> {
        let tagged: Tagged<'_> = shape::read(json.get(), "a content block")?;
        let tag = tagged.kind.as_ref().map_or("", Text::as_str);
        // Results of server tools, and types newer than this code.
        if !matches!(tag, "text" | "thinking" | "redacted_thinking" | "tool_use") {
            out.push(raw_event(json, frame));
            return Ok((Kind::Other, None));
        }
        let block: Block<'_> = shape::read(json.get(), "a content block")?;
        match (tag, &block) {
            ("text", _) => text_block(&block, frame, out),
            ("thinking", _) => return Ok((Kind::Thinking, thinking_block(&block, frame, out))),
            (
                "redacted_thinking",
                Block {
                    data: Some(data), ..
                },
                // Redacted thinking is complete at its start; no deltas follow.
            ) => out.push(redacted_event(data.slice_of(frame))),
            (
                "tool_use",
                Block {
                    name: Some(name), ..
                },
                // A call without a name cannot be run by a client; it is carried raw.
            ) if !name.as_str().is_empty() => {
                let call = self.start_call(&block, name.slice_of(frame), frame, out)?;
                return Ok((
                    Kind::Tool(call),
                    block.input.and_then(|input| complete_input(input, frame)),
                ));
            }
            _ => {
                out.push(raw_event(json, frame));
                return Ok((Kind::Other, None));
            }
        }
        Ok((Kind::Plain, None))
    }

    /// Starts the next tool call and returns its number.
    fn start_call(
        &mut self,
        block: &Block<'_>,
        name: ByteString,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<u16, DecodeError> {
        let index = self.calls;
        self.calls = index
            .checked_add(1)
            .ok_or_else(|| shape::malformed("more tool calls than can be counted"))?;
        // Clients match tool results to calls by id, so a missing one is made.
        let id = block.id.as_ref().filter(|id| !id.as_str().is_empty());
        let id = id.map_or_else(
            || derive_call_id(&self.seed, 0, index),
            |id| id.slice_of(frame),
        );
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

impl OpenBlock {
    fn stop(self, out: &mut Events) {
        // A complete input or signature is sent at the stop: until then deltas may replace it.
        match (self.kind, self.complete) {
            (Kind::Tool(index), complete) => {
                out.extend(complete.map(|input| arguments_event(index, input)));
                out.push(Event::ToolCallEnd { choice: 0, index });
            }
            // The signature covers the thinking before it, so it comes last.
            (Kind::Thinking, Some(complete)) => out.push(signature_event(complete)),
            _ => {}
        }
    }
}

/// Carries a delta without a normalized form unchanged: types newer than this code, and the input
/// of server tools.
pub(super) fn unknown_delta(frame: &ByteString, out: &mut Events) -> Result<(), DecodeError> {
    let frame_delta: RawDelta<'_> = shape::read(frame, "a delta")?;
    out.extend(frame_delta.delta.map(|delta| raw_event(delta, frame)));
    Ok(())
}

fn text_block(block: &Block<'_>, frame: &ByteString, out: &mut Events) {
    let text = block.text.as_ref().map(|text| Event::Text {
        choice: 0,
        delta: text.slice_of(frame),
    });
    out.extend(text.filter(|event| !is_empty(event)));
    out.extend(
        block
            .citations
            .0
            .iter()
            .map(|json| citation_event(json, frame)),
    );
}

/// Emits the thinking in a block's start and returns its signature, if any, which has to follow the
/// thinking that is still to come.
fn thinking_block(block: &Block<'_>, frame: &ByteString, out: &mut Events) -> Option<ByteString> {
    let text = block.thinking.as_ref().map(|text| Event::Reasoning {
        choice: 0,
        delta: text.slice_of(frame),
    });
    out.extend(text.filter(|event| !is_empty(event)));
    block
        .signature
        .as_ref()
        .filter(|it| !it.as_str().is_empty())
        .map(|it| it.slice_of(frame))
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

fn is_empty(event: &Event) -> bool {
    match event {
        Event::Text { delta, .. }
        | Event::Reasoning { delta, .. }
        | Event::ToolArguments { delta, .. } => delta.is_empty(),
        Event::Signature(it) => it.signature.as_ref().is_some_and(|it| it.is_empty()),
        _ => false,
    }
}

fn arguments_event(index: u16, delta: ByteString) -> Event {
    Event::ToolArguments {
        choice: 0,
        index,
        delta,
    }
}

fn signature_event(signature: ByteString) -> Event {
    signature_or_redacted(Some(signature), None)
}

fn redacted_event(data: ByteString) -> Event {
    signature_or_redacted(None, Some(data))
}

fn signature_or_redacted(signature: Option<ByteString>, redacted: Option<ByteString>) -> Event {
    Event::Signature(Box::new(Signature {
        choice: 0,
        signature,
        redacted,
        wire: WireId::Anthropic,
        on_text: false,
    }))
}

fn raw_event(json: &RawValue, frame: &ByteString) -> Event {
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Anthropic,
        data: frame.slice_ref(json.get()),
    }))
}

/// Returns the event of a citation. A citation that cannot be read is still carried unchanged. It
/// has no span: its positions are positions in the source, not in the answer.
fn citation_event(json: &RawValue, frame: &ByteString) -> Event {
    let of = |text: Option<Text<'_>>| {
        text.map(|text| text.slice_of(frame))
            .filter(|text| !text.is_empty())
    };
    let data = frame.slice_ref(json.get());
    let source = serde_json::from_str::<CitationFields<'_>>(json.get()).ok();
    let (mut url, mut title, mut quote) = (None, None, None);
    if let Some(source) = source {
        // `source` may be any name of a source; only a link is a URL.
        let link = of(source.source).filter(|source| source.starts_with("http"));
        url = of(source.url).or(link);
        title = of(source.title).or_else(|| of(source.document_title));
        quote = of(source.cited_text);
    }
    Event::Citation(Box::new(Citation {
        choice: 0,
        url,
        title,
        quote,
        span: None,
        data,
    }))
}
