//! Encodes a message: the whole answer of a non-streaming request over another wire. Its content
//! equals the blocks of the stream.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde_json::value::RawValue;

use super::pieces::{
    put_head, put_redacted, put_text, put_thinking, put_tool_use, put_usage, stop_reason,
};
use super::raw;
use super::signatures::{self, Place};
use crate::codec::json::{Fields, json_text, put_json};
use crate::codec::members::Members;
use crate::dialect::View;
use crate::dialect::own_members::put_sluicegate;
use crate::model::event::{Raw, Reason, Signature};
use crate::model::fold::{Answer, Choice, Part};
use crate::model::opaque_signature::OpaqueSignature;
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The member that wraps input which is not a JSON object, as in the vendor's documentation.
const INVALID_JSON: &str = "INVALID_JSON";

/// Returns the answer as JSON, completed or cancelled.
pub(super) fn body(view: &View, answer: &Answer) -> Bytes {
    static NO_CHOICE: Choice = Choice {
        parts: Vec::new(),
        finish: None,
    };
    let choice = answer.choices.first().unwrap_or(&NO_CHOICE);
    let mut buf = BytesMut::with_capacity(1024);
    let mut message = Members::new(&mut buf);
    put_head(&mut message, view);
    // Only calls of Gemini are signed, so this is the wire to assume without a `route` event.
    let wire = answer
        .route
        .as_ref()
        .map_or(WireId::Gemini, |route| route.wire);
    let mut content = message.array("content");
    for block in &Blocks::of(choice, wire).0 {
        put_block(content.element(), block);
    }
    content.end();
    put_end(&mut message, choice, answer);
    message.end();
    buf.freeze()
}

/// Writes the members that a message ends with.
fn put_end(message: &mut Members<'_>, choice: &Choice, answer: &Answer) {
    let cancelled = answer.reason() == Some(Reason::Cancelled);
    let end = answer.end.as_ref();
    let end = end.map(|end| (end.reason, end.native.as_deref()));
    // A cancelled message reports the end of the stream, even if the choice had finished.
    let finish = choice.finish.as_ref().filter(|_| !cancelled);
    let finish = finish.map(|finish| (finish.reason, finish.native.as_deref()));
    let (reason, native) = finish.or(end).unwrap_or((Reason::Stop, None));
    let mut parts = choice.parts.iter();
    let refused = parts.any(|part| matches!(part, Part::Refusal(_)));
    message.word("stop_reason", stop_reason(reason, native, refused));
    message.null("stop_sequence");
    let usage = answer.last_usage().unwrap_or_default();
    // Clients require `input_tokens` in a message.
    let input = usage.input.or(Some(0));
    put_usage(message.value("usage"), &Usage { input, ..usage });
    put_sluicegate(message, cancelled.then_some("cancelled"), usage.estimated);
}

/// A content block under construction.
enum Block<'a> {
    Text {
        text: String,
        citations: Vec<&'a str>,
    },
    Refusal(String),
    Thinking {
        text: String,
        signature: Option<String>,
    },
    Redacted(String),
    Tool {
        id: &'a str,
        name: &'a str,
        input: String,
    },
    Raw {
        json: &'a str,
        input: String,
    },
}

fn put_block(buf: &mut BytesMut, block: &Block<'_>) {
    match block {
        Block::Text { text, citations } => put_text(buf, text, citations),
        Block::Refusal(text) => put_text(buf, text, &[]),
        Block::Thinking { text, signature } => {
            put_thinking(buf, text, signature.as_deref().unwrap_or_default());
        }
        Block::Redacted(data) => put_redacted(buf, data),
        Block::Tool { id, name, input } => put_tool_use(buf, id, name, input),
        Block::Raw { json, input } => match Fields::parse(json.as_bytes()) {
            // A server tool starts with an empty `input`, which its deltas fill.
            Ok(fields) if !input.is_empty() => {
                buf.put_slice(&fields.with(&[("input", &object(input))]));
            }
            _ => put_json(buf, json),
        },
    }
}

/// The blocks of a choice. Parts that this API does not support are skipped, and do not split a
/// block.
struct Blocks<'a>(Vec<Block<'a>>);

impl<'a> Blocks<'a> {
    fn of(choice: &'a Choice, wire: WireId) -> Self {
        let mut blocks = Self(Vec::new());
        choice.parts.iter().for_each(|part| blocks.add(part, wire));
        blocks
    }

    fn add(&mut self, part: &'a Part, wire: WireId) {
        match part {
            Part::Text(more) => self.text().0.push_str(more),
            Part::Refusal(more) => match self.0.last_mut() {
                Some(Block::Refusal(text)) => text.push_str(more),
                _ => self.0.push(Block::Refusal(more.clone())),
            },
            Part::Reasoning(more) => self.reasoning(more),
            Part::Signature(it) => self.signature(it),
            Part::ToolCall { .. } => self.call(part, wire),
            Part::Citation(it) if wire == WireId::Anthropic => self.text().1.push(&it.data),
            // The API rejects citations of others when a client sends them back.
            Part::Citation(_) => {}
            Part::Raw(it) => self.raw(it),
        }
    }

    fn reasoning(&mut self, more: &str) {
        // A signed block is complete; more reasoning is a block of its own, as in the stream.
        if let Some(Block::Thinking {
            text,
            signature: None,
        }) = self.0.last_mut()
        {
            text.push_str(more);
            return;
        }
        self.0.push(Block::Thinking {
            text: more.to_owned(),
            signature: None,
        });
    }

    fn call(&mut self, part: &'a Part, wire: WireId) {
        let Part::ToolCall {
            id,
            name,
            arguments,
            signature,
            custom,
            ..
        } = part
        else {
            return;
        };
        // A tool call has no member for a signature, so a block of its own carries it.
        if let Some(signature) = signature {
            let signature = OpaqueSignature::for_call(id, signature, wire);
            self.0.push(Block::Redacted(signature.encode()));
        }
        let input = if *custom {
            custom_input(arguments)
        } else {
            object(arguments)
        };
        self.0.push(Block::Tool { id, name, input });
    }

    /// Returns the last block with its citations; starts a text block if the last one is no text.
    fn text(&mut self) -> (&mut String, &mut Vec<&'a str>) {
        if !matches!(self.0.last(), Some(Block::Text { .. })) {
            self.0.push(Block::Text {
                text: String::new(),
                citations: Vec::new(),
            });
        }
        match self.0.last_mut() {
            Some(Block::Text { text, citations }) => (text, citations),
            _ => unreachable!("a text block was put there"),
        }
    }

    fn signature(&mut self, it: &Signature) {
        let open = match self.0.last_mut() {
            Some(Block::Thinking { signature, .. }) if signature.is_none() => Some(signature),
            _ => None,
        };
        match (signatures::place(it, open.is_some()), open) {
            (Some(Place::Thinking(text)), Some(signature)) => *signature = Some(text.into_owned()),
            (Some(Place::Thinking(text)), None) => self.0.push(Block::Thinking {
                text: String::new(),
                signature: Some(text.into_owned()),
            }),
            (Some(Place::Redacted(data)), _) => self.0.push(Block::Redacted(data.into_owned())),
            (None, _) => {}
        }
    }

    /// Adds content of the own wire. Of the deltas of a block, only those of its input can be
    /// joined.
    fn raw(&mut self, it: &'a Raw) {
        match (raw::kind(it), self.0.last_mut()) {
            (raw::Kind::Block, _) => self.0.push(Block::Raw {
                json: &it.data,
                input: String::new(),
            }),
            (raw::Kind::Delta, Some(Block::Raw { input, .. })) => input.push_str(&raw::input(it)),
            _ => {}
        }
    }
}

/// Returns the input of a call: its arguments if they are a JSON object.
fn object(arguments: &str) -> String {
    match arguments.trim() {
        // A call without arguments is valid, but `input` must be an object.
        "" | "null" => "{}".to_owned(),
        json if json.starts_with('{') && serde_json::from_str::<&RawValue>(json).is_ok() => {
            json.to_owned()
        }
        _ => member(INVALID_JSON, arguments),
    }
}

/// Returns the input of a custom tool call: an object with the free text, as in the stream.
fn custom_input(text: &str) -> String {
    member("input", text)
}

fn member(name: &str, text: &str) -> String {
    json_text(|buf| {
        let mut object = Members::new(buf);
        object.text(name, text);
        object.end();
    })
}
