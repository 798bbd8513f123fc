//! `reasoning_details[]`: signatures and encrypted blocks on their way out and back.
//!
//! The words of reasoning go out as `reasoning_content` alone. Each signature or encrypted block is
//! one item, with an `index` of its own so that clients which join items by it keep them apart:
//! `{"type":"reasoning.text","signature":…,"format":…,"index":0,"range":[0,12]}` or
//! `{"type":"reasoning.encrypted","data":…,"format":…,"index":1,"range":[12,12]}`. `format` names
//! who made it. `range` are the UTF-8 bytes of `reasoning_content` that the item signs; with
//! `"on_text":true`, of `content`. So any number of blocks in one turn come back as they were.
//! Items of other gateways, which carry their own `text`, are understood; a range that does not fit
//! the words brought with it makes its signature void.

mod back;

use bytes::{BufMut as _, BytesMut};

use crate::codec::json::{put_str, put_u64};
use crate::model::event::Signature;
use crate::model::wire::WireId;

pub(super) use back::brought_back;

/// The word for who made a signature, as OpenRouter's clients know it.
const FORMATS: [(WireId, &str); 7] = [
    (WireId::OpenaiChat, "openai-chat"),
    (WireId::OpenaiResponses, "openai-responses-v1"),
    (WireId::Anthropic, "anthropic-claude-v1"),
    (WireId::Gemini, "google-gemini-v1"),
    (WireId::Bedrock, "amazon-bedrock-v1"),
    (WireId::Ollama, "ollama"),
    (WireId::Cohere, "cohere-v2"),
];

/// The wire that made what has this format.
fn wire_of(format: &str) -> Option<WireId> {
    FORMATS
        .iter()
        .find(|(_, name)| *name == format)
        .map(|(wire, _)| *wire)
}

fn format_of(wire: WireId) -> &'static str {
    FORMATS
        .iter()
        .find(|(of, _)| *of == wire)
        .map_or("unknown", |(_, name)| name)
}

/// Where the blocks of reasoning and text of one choice begin and end. Knows lengths alone.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    reasoning: Block,
    text: Block,
    open: Open,
    /// Items so far.
    items: u64,
}

/// The latest block: bytes from the start of the choice's reasoning, or text.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Block {
    start: u64,
    end: u64,
}

/// What the next delta would go on with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Reasoning,
    Text,
}

impl Blocks {
    /// Reasoning of so many bytes has come.
    pub(super) fn reasoning(&mut self, bytes: usize) {
        self.reasoning.grow(bytes, self.open == Open::Reasoning);
        self.open = Open::Reasoning;
    }

    /// Text of so many bytes has come.
    pub(super) fn text(&mut self, bytes: usize) {
        self.text.grow(bytes, self.open == Open::Text);
        self.open = Open::Text;
    }

    /// Something has come that ends a block.
    pub(super) fn other(&mut self) {
        self.open = Open::Nothing;
    }

    /// Writes the item of a signature.
    pub(super) fn put_item(&mut self, buf: &mut BytesMut, signature: &Signature) {
        self.open = Open::Nothing;
        let block = if signature.on_text {
            self.text.sign()
        } else {
            self.reasoning.sign()
        };
        let range = if signature.redacted.is_some() {
            Block {
                start: block.end,
                ..block
            }
        } else {
            block
        };
        buf.put_slice(if signature.redacted.is_some() {
            b"{\"type\":\"reasoning.encrypted\""
        } else {
            b"{\"type\":\"reasoning.text\""
        });
        for (name, value) in [
            ("data", &signature.redacted),
            ("signature", &signature.signature),
        ] {
            if let Some(value) = value {
                buf.put_slice(b",\"");
                buf.put_slice(name.as_bytes());
                buf.put_slice(b"\":");
                put_str(buf, value);
            }
        }
        buf.put_slice(b",\"format\":");
        put_str(buf, format_of(signature.wire));
        buf.put_slice(b",\"index\":");
        put_u64(buf, self.items);
        self.items += 1;
        buf.put_slice(b",\"range\":[");
        put_u64(buf, range.start);
        buf.put_u8(b',');
        put_u64(buf, range.end);
        buf.put_slice(if signature.on_text {
            b"],\"on_text\":true}"
        } else {
            b"]}"
        });
    }
}

impl Block {
    fn grow(&mut self, bytes: usize, open: bool) {
        if !open {
            self.start = self.end;
        }
        self.end += bytes as u64;
    }

    /// The block, which is signed only once.
    fn sign(&mut self) -> Self {
        let block = *self;
        self.start = self.end;
        block
    }
}
