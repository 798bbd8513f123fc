//! `reasoning_details[]`: signatures and encrypted blocks, written to clients and read back from
//! them.
//!
//! The text of reasoning is written to `reasoning_content` only. Each signature or encrypted block
//! is one item, with an `index` of its own so that clients which merge items by index keep them
//! apart: `{"type":"reasoning.text","signature":…,"format":…,"index":0,"range":[0,12]}` or
//! `{"type":"reasoning.encrypted","data":…,"format":…,"index":1,"range":[12,12]}`. `format` names
//! the wire that made the item. `range` is the range of UTF-8 bytes of `reasoning_content` that the
//! item signs; with `"on_text":true`, of `content`. So any number of blocks in one turn are
//! restored unchanged. Items of other gateways, which carry their own `text`, are read as well. If
//! a range does not fit the text sent with it, its signature is dropped.

mod past;

use bytes::BytesMut;

use crate::codec::json::put_u64;
use crate::codec::members::Members;
use crate::dialect::object::Object;
use crate::model::event::Signature;
use crate::model::fault::Fault;
use crate::model::wire::WireId;

pub(super) use past::past_parts;

/// The `format` of each wire, as clients of OpenRouter know it.
const FORMATS: [(WireId, &str); 7] = [
    (WireId::OpenaiChat, "openai-chat"),
    (WireId::OpenaiResponses, "openai-responses-v1"),
    (WireId::Anthropic, "anthropic-claude-v1"),
    (WireId::Gemini, "google-gemini-v1"),
    (WireId::Bedrock, "amazon-bedrock-v1"),
    (WireId::Ollama, "ollama"),
    (WireId::Cohere, "cohere-v2"),
];

/// Returns the wire with this format.
fn wire_of(format: &str) -> Option<WireId> {
    FORMATS
        .iter()
        .find(|(_, name)| *name == format)
        .map(|(wire, _)| *wire)
}

fn format_of(wire: WireId) -> &'static str {
    FORMATS
        .iter()
        .find(|(made_by, _)| *made_by == wire)
        .map_or("unknown", |(_, name)| name)
}

/// Reads `extra_content.google.thought_signature` of a tool call or message.
///
/// # Errors
/// A 400 when the value is not a string.
pub(super) fn google_signature(object: &Object<'_>) -> Result<Option<String>, Fault> {
    let Some(extra) = object.object("extra_content")? else {
        return Ok(None);
    };
    let Some(google) = extra.object("google")? else {
        return Ok(None);
    };
    google.string("thought_signature")
}

/// The bounds of the blocks of reasoning and text of one choice. Depends on lengths only.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    reasoning: Block,
    text: Block,
    open: Open,
    /// Number of items written so far.
    items: u64,
}

/// The latest block: a range of bytes of the choice's reasoning, or of its text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Block {
    start: u64,
    end: u64,
}

/// The block that the next delta would continue.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Reasoning,
    Text,
}

impl Blocks {
    /// Records a delta of reasoning with this many bytes.
    pub(super) fn reasoning(&mut self, bytes: usize) {
        self.reasoning.grow(bytes, self.open == Open::Reasoning);
        self.open = Open::Reasoning;
    }

    /// Records a delta of text with this many bytes.
    pub(super) fn text(&mut self, bytes: usize) {
        self.text.grow(bytes, self.open == Open::Text);
        self.open = Open::Text;
    }

    /// Records content that ends a block.
    pub(super) fn other(&mut self) {
        self.open = Open::Nothing;
    }

    /// Writes the item of a signature or of an encrypted block.
    pub(super) fn put_item(&mut self, buf: &mut BytesMut, signature: &Signature) {
        let range = self.end_block(signature);
        let mut item = Members::new(buf);
        let is_encrypted = signature.redacted.is_some();
        item.word(
            "type",
            if is_encrypted {
                "reasoning.encrypted"
            } else {
                "reasoning.text"
            },
        );
        item.text_if_some("data", signature.redacted.as_deref());
        item.text_if_some("signature", signature.signature.as_deref());
        item.word("format", format_of(signature.wire));
        item.number("index", self.items);
        // Every item has its own index, because clients that merge items do it by index.
        self.items += 1;
        let mut bounds = item.array("range");
        put_u64(bounds.element(), range.start);
        put_u64(bounds.element(), range.end);
        bounds.end();
        if signature.on_text {
            item.flag("on_text", true);
        }
        item.end();
    }

    /// Ends the block that the signature belongs to, and returns the range that it signs.
    fn end_block(&mut self, signature: &Signature) -> Block {
        // What follows a signature belongs to another block.
        self.open = Open::Nothing;
        let mut block = if signature.on_text {
            self.text.sign()
        } else {
            self.reasoning.sign()
        };
        // An encrypted block contains its own text, so it signs no bytes and only marks a place.
        if signature.redacted.is_some() {
            block.start = block.end;
        }
        block
    }
}

impl Block {
    fn grow(&mut self, bytes: usize, open: bool) {
        // A block that does not continue starts where the last one ended.
        if !open {
            self.start = self.end;
        }
        self.end += bytes as u64;
    }

    /// Returns the block, and starts a new one: a block is signed once.
    fn sign(&mut self) -> Self {
        let block = *self;
        self.start = self.end;
        block
    }
}
