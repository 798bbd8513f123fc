//! Content blocks: what each kind means, in pieces or whole.
//!
//! Invariants: tool calls are numbered from 0 in order of appearance, whatever place their block
//! has; a call that was begun is ended once; what has no normalized form is carried as it came,
//! never dropped. Few blocks are open at once, and their number is bounded.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::shape::{self, Delta, Input, Odd, Piece, Reasoning, Source, Start, Text, ToolUse};
use crate::model::chat::made_call_id;
use crate::model::event::{Citation, Event, Events, Raw, Signature, ToolCall};
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// The most blocks that may be open at once. The API has them one after another; this is room for
/// more.
const MAX_OPEN: usize = 256;

/// The blocks of one answer.
pub(super) struct Blocks {
    /// What made ids begin with.
    seed: Box<str>,
    /// Tool calls so far.
    calls: u16,
    /// Blocks that have begun and not ended; text and reasoning need not be kept.
    open: Vec<(u32, Kind)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
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

    /// A block begins. One still open at the same place is ended.
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
        let start: Start<'_> = shape::read(json.get(), "contentBlockStart")?;
        if start.text.is_some() || start.reasoning_content.is_some() || is_empty_object(json) {
            return Ok(());
        }
        let kind = match start.tool_use.filter(ToolUse::is_clients) {
            Some(tool) => Kind::Tool(self.call(&tool, frame, out)?),
            None => {
                out.push(raw(json, frame));
                Kind::Other
            }
        };
        self.open.push((index, kind));
        Ok(())
    }

    /// A piece of a block.
    pub(super) fn piece(
        &mut self,
        piece: &Piece<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let index = piece.content_block_index.unwrap_or_default();
        let kind = self
            .open
            .iter()
            .find(|(at, _)| *at == index)
            .map(|(_, kind)| *kind);
        match (&piece.delta, kind) {
            (_, Some(Kind::Other)) => return odd(frame, out),
            (
                Some(Delta {
                    text: Some(text), ..
                }),
                _,
            ) => out.extend(said(text, frame)),
            (
                Some(Delta {
                    tool_use: Some(Input { input }),
                    ..
                }),
                Some(Kind::Tool(call)),
            ) => {
                let input = input.as_ref().filter(|input| !input.as_str().is_empty());
                out.extend(input.map(|input| arguments(call, input.of(frame))));
            }
            (
                Some(Delta {
                    reasoning_content: Some(it),
                    ..
                }),
                _,
            ) => reasoning(it, frame, out),
            (
                Some(Delta {
                    citation: Some(json),
                    ..
                }),
                _,
            ) => out.push(citation(json, frame)),
            (Some(_), _) => return odd(frame, out),
            (None, _) => return Err(shape::malformed("contentBlockDelta without its content")),
        }
        Ok(())
    }

    /// A block has ended.
    pub(super) fn end(&mut self, index: u32, out: &mut Events) {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == index) {
            out.extend(ended(self.open.remove(at).1));
        }
    }

    /// All blocks have ended.
    pub(super) fn end_all(&mut self, out: &mut Events) {
        out.extend(self.open.drain(..).filter_map(|(_, kind)| ended(kind)));
    }

    /// A call that comes whole.
    pub(super) fn whole_call(
        &mut self,
        tool: &ToolUse<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let index = self.call(tool, frame, out)?;
        out.extend(
            tool.input
                .map(|input| arguments(index, frame.slice_ref(input.get()))),
        );
        out.extend(ended(Kind::Tool(index)));
        Ok(())
    }

    /// The next tool call. Its number.
    fn call(
        &mut self,
        tool: &ToolUse<'_>,
        frame: &ByteString,
        out: &mut Events,
    ) -> Result<u16, DecodeError> {
        let index = self.calls;
        self.calls = index
            .checked_add(1)
            .ok_or_else(|| shape::malformed("more tool calls than can be counted"))?;
        let id = tool
            .tool_use_id
            .as_ref()
            .filter(|id| !id.as_str().is_empty());
        let id = id.map_or_else(|| made_call_id(&self.seed, 0, index), |id| id.of(frame));
        let name = tool
            .name
            .as_ref()
            .map(|name| name.of(frame))
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

fn ended(kind: Kind) -> Option<Event> {
    match kind {
        Kind::Tool(index) => Some(Event::ToolCallEnd { choice: 0, index }),
        Kind::Other => None,
    }
}

/// A delta that is not understood, as it came.
fn odd(frame: &ByteString, out: &mut Events) -> Result<(), DecodeError> {
    let odd: Odd<'_> = shape::read(frame, "contentBlockDelta")?;
    out.extend(
        odd.delta
            .filter(|delta| !is_empty_object(delta))
            .map(|delta| raw(delta, frame)),
    );
    Ok(())
}

fn is_empty_object(json: &RawValue) -> bool {
    json.get()
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .eq(*b"{}")
}

/// A piece of text, if there is any.
pub(super) fn said(text: &Text<'_>, frame: &ByteString) -> Option<Event> {
    (!text.as_str().is_empty()).then(|| Event::Text {
        choice: 0,
        delta: text.of(frame),
    })
}

/// Reasoning, and what signs it.
pub(super) fn reasoning(it: &Reasoning<'_>, frame: &ByteString, out: &mut Events) {
    let of = |text: &Option<Text<'_>>| {
        text.as_ref()
            .filter(|text| !text.as_str().is_empty())
            .map(|text| text.of(frame))
    };
    out.extend(of(&it.text).map(|delta| Event::Reasoning { choice: 0, delta }));
    out.extend(of(&it.signature).map(|signature| signed(Some(signature), None)));
    out.extend(of(&it.redacted_content).map(|redacted| signed(None, Some(redacted))));
}

fn signed(signature: Option<ByteString>, redacted: Option<ByteString>) -> Event {
    Event::Signature(Box::new(Signature {
        choice: 0,
        signature,
        redacted,
        wire: WireId::Bedrock,
        on_text: false,
    }))
}

fn arguments(index: u16, delta: ByteString) -> Event {
    Event::ToolArguments {
        choice: 0,
        index,
        delta,
    }
}

/// Content with no normalized form.
pub(super) fn raw(json: &RawValue, frame: &ByteString) -> Event {
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Bedrock,
        data: frame.slice_ref(json.get()),
    }))
}

/// A citation. One in a shape that is newer than this is carried all the same.
pub(super) fn citation(json: &RawValue, frame: &ByteString) -> Event {
    let of = |text: &Text<'_>| Some(text.of(frame)).filter(|text| !text.is_empty());
    let mut citation = Citation {
        choice: 0,
        url: None,
        title: None,
        quote: None,
        span: None,
        data: frame.slice_ref(json.get()),
    };
    if let Ok(source) = serde_json::from_str::<Source<'_>>(json.get()) {
        let web = source
            .location
            .and_then(|location| location.web)
            .and_then(|web| web.url);
        let link = source.source.filter(|source| {
            source.as_str().starts_with("https://") || source.as_str().starts_with("http://")
        });
        let words: Vec<Text<'_>> = source
            .source_content
            .into_iter()
            .flatten()
            .filter_map(|quote| quote.text)
            .collect();
        citation.url = web.or(link).as_ref().and_then(of);
        citation.title = source.title.as_ref().and_then(of);
        citation.quote = match words.as_slice() {
            [single] => of(single),
            several => Some(several.iter().map(Text::as_str).collect::<String>())
                .filter(|words| !words.is_empty())
                .map(Into::into),
        };
    }
    Event::Citation(Box::new(citation))
}
