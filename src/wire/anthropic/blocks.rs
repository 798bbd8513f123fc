//! Content blocks: what each kind means, whether it streams or comes whole.
//!
//! Invariants: tool calls are numbered from 0 in order of appearance, whatever place their block
//! has; a call that was begun is ended once; what has no normalized form is carried as the block or
//! delta it came as, never dropped. Few blocks are open at once, and their number is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::shape::{self, Block, Delta, Odd, Source, Tagged, Text};
use crate::model::chat::made_call_id;
use crate::model::event::{Citation, Event, Events, Raw, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The most blocks that may be open at once. The API has them one after another; this is room for
/// servers that do not.
const MAX_OPEN: usize = 256;

/// The blocks of one answer.
pub(super) struct Blocks {
    /// What made ids begin with.
    seed: Box<str>,
    /// Tool calls so far.
    calls: u16,
    open: Vec<Open>,
}

/// A block that has begun and not ended.
struct Open {
    /// Its place in the content.
    index: u32,
    kind: Kind,
    /// What the block's beginning gave whole (input, signature), until a delta replaces it.
    whole: Option<ByteString>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Text, or what is complete with its beginning.
    Plain,
    Thinking,
    /// A tool call, by its number.
    Tool(u16),
    /// Something with no normalized form.
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

    /// True once a tool was called.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// A block begins. One still open at the same place is ended: some servers number every block
    /// 0.
    pub(super) fn begin(
        &mut self,
        index: u32,
        json: &RawValue,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        self.end(index, out);
        if self.open.len() == MAX_OPEN {
            return Err(shape::malformed(format!(
                "more than {MAX_OPEN} content blocks are open at once"
            )));
        }
        let (kind, whole) = self.opening(json, frame, out)?;
        self.open.push(Open { index, kind, whole });
        Ok(())
    }

    /// A block that comes whole.
    pub(super) fn whole(
        &mut self,
        json: &RawValue,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        self.begin(0, json, frame, out)?;
        self.end(0, out);
        Ok(())
    }

    /// A block has ended.
    pub(super) fn end(&mut self, index: u32, out: &mut Events) {
        if let Some(at) = self.open.iter().position(|open| open.index == index) {
            self.open.remove(at).end(out);
        }
    }

    /// All blocks have ended.
    pub(super) fn end_all(&mut self, out: &mut Events) {
        self.open.drain(..).for_each(|open| open.end(out));
    }

    /// A piece of a block.
    pub(super) fn delta(
        &mut self,
        index: u32,
        delta: &Delta<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let open = self.open.iter_mut().find(|open| open.index == index);
        let kind = open.as_ref().map_or(Kind::Plain, |open| open.kind);
        let tag = delta.kind.as_ref().map_or("", Text::as_str);
        let event = match (tag, delta, kind) {
            (.., Kind::Other) => return odd_delta(frame, out),
            (
                "text_delta",
                Delta {
                    text: Some(text), ..
                },
                _,
            ) => Event::Text {
                choice: 0,
                delta: text.of(frame),
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
                delta: text.of(frame),
            },
            (
                "signature_delta",
                Delta {
                    signature: Some(it),
                    ..
                },
                _,
            ) => signature(it.of(frame)),
            (
                "input_json_delta",
                Delta {
                    partial_json: Some(json),
                    ..
                },
                Kind::Tool(call),
            ) => arguments(call, json.of(frame)),
            (
                "citations_delta",
                Delta {
                    citation: Some(json),
                    ..
                },
                _,
            ) => citation(json, frame),
            _ => return odd_delta(frame, out),
        };
        if is_empty(&event) {
            return Ok(());
        }
        if let Some(open) = open
            && matches!(event, Event::ToolArguments { .. } | Event::Signature(_))
        {
            open.whole = None;
        }
        out.push(event);
        Ok(())
    }

    /// What the beginning of a block says.
    fn opening(
        &mut self,
        json: &RawValue,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(Kind, Option<ByteString>), DecodeError> {
        let tagged: Tagged<'_> = shape::read(json.get(), "a content block")?;
        let tag = tagged.kind.as_ref().map_or("", Text::as_str);
        if !matches!(tag, "text" | "thinking" | "redacted_thinking" | "tool_use") {
            out.push(raw(json, frame));
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
            ) => out.push(redacted(data.of(frame))),
            (
                "tool_use",
                Block {
                    name: Some(name), ..
                },
            ) if !name.as_str().is_empty() => {
                let call = self.call(&block, name.of(frame), frame, out)?;
                return Ok((
                    Kind::Tool(call),
                    block.input.and_then(|input| whole_input(input, frame)),
                ));
            }
            _ => {
                out.push(raw(json, frame));
                return Ok((Kind::Other, None));
            }
        }
        Ok((Kind::Plain, None))
    }

    /// The next tool call. Its number.
    fn call(
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
        let id = block.id.as_ref().filter(|id| !id.as_str().is_empty());
        let id = id.map_or_else(|| made_call_id(&self.seed, 0, index), |id| id.of(frame));
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

impl Open {
    fn end(self, out: &mut Events) {
        match (self.kind, self.whole) {
            (Kind::Tool(index), whole) => {
                out.extend(whole.map(|input| arguments(index, input)));
                out.push(Event::ToolCallEnd { choice: 0, index });
            }
            (Kind::Thinking, Some(whole)) => out.push(signature(whole)),
            _ => {}
        }
    }
}

/// What a delta that is not understood carries, as it came: kinds newer than this, and the input of
/// server tools.
pub(super) fn odd_delta(frame: &ByteString, out: &mut Events) -> Result<(), DecodeError> {
    let odd: Odd<'_> = shape::read(frame, "a delta")?;
    out.extend(odd.delta.map(|delta| raw(delta, frame)));
    Ok(())
}

fn text_block(block: &Block<'_>, frame: &ByteString, out: &mut Events) {
    let text = block.text.as_ref().map(|text| Event::Text {
        choice: 0,
        delta: text.of(frame),
    });
    out.extend(text.filter(|event| !is_empty(event)));
    out.extend(
        block
            .citations
            .iter()
            .flatten()
            .map(|json| citation(json, frame)),
    );
}

/// The thinking that came with the beginning. Its signature, if any, belongs behind what is still
/// to come.
fn thinking_block(block: &Block<'_>, frame: &ByteString, out: &mut Events) -> Option<ByteString> {
    let text = block.thinking.as_ref().map(|text| Event::Reasoning {
        choice: 0,
        delta: text.of(frame),
    });
    out.extend(text.filter(|event| !is_empty(event)));
    block
        .signature
        .as_ref()
        .filter(|it| !it.as_str().is_empty())
        .map(|it| it.of(frame))
}

/// The input that came with the beginning of a call. `{}` is what stands there while the input
/// streams.
fn whole_input(input: &RawValue, frame: &ByteString) -> Option<ByteString> {
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

fn arguments(index: u16, delta: ByteString) -> Event {
    Event::ToolArguments {
        choice: 0,
        index,
        delta,
    }
}

fn signature(signature: ByteString) -> Event {
    signed(Some(signature), None)
}

fn redacted(data: ByteString) -> Event {
    signed(None, Some(data))
}

fn signed(signature: Option<ByteString>, redacted: Option<ByteString>) -> Event {
    Event::Signature(Box::new(Signature {
        choice: 0,
        signature,
        redacted,
        wire: WireId::Anthropic,
        on_text: false,
    }))
}

fn raw(json: &RawValue, frame: &ByteString) -> Event {
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Anthropic,
        data: frame.slice_ref(json.get()),
    }))
}

/// A citation. One that cannot be read is still carried whole. Its places are places in the source,
/// not in the answer.
fn citation(json: &RawValue, frame: &ByteString) -> Event {
    let of = |text: Option<Text<'_>>| {
        text.map(|text| text.of(frame))
            .filter(|text| !text.is_empty())
    };
    let data = frame.slice_ref(json.get());
    let source = serde_json::from_str::<Source<'_>>(json.get()).ok();
    let (mut url, mut title, mut quote) = (None, None, None);
    if let Some(source) = source {
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
