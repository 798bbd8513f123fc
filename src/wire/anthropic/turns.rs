//! Writes the conversation: separate system text, alternating turns, blocks in the order that this
//! wire requires.
//!
//! Invariants: neighbouring turns of one role are merged; tool results come first in a user turn,
//! past thinking comes first in an assistant turn; empty texts, which the API rejects, are left
//! out.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::accepts::Accepts;
use crate::model::chat::{CacheMark, Chat, Part, PastReasoning, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::kit::media::{self, Media};
use crate::wire::kit::past_calls::{arguments, call_id};
use crate::wire::kit::refusals;
use crate::wire::kit::turns::{self, Ordered, Placed, role_name};

/// A conversation in the shape of this wire.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<MarkedBlock<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// One turn of the conversation.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    role: &'static str,
    content: Ordered<MarkedBlock<'a>>,
}

/// A block with its cache mark: the prompt may be cached up to a marked block.
#[derive(Serialize)]
pub(super) struct MarkedBlock<'a> {
    #[serde(flatten)]
    block: Block<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl<'a>>,
}

impl<'a> From<Block<'a>> for MarkedBlock<'a> {
    fn from(block: Block<'a>) -> Self {
        Self {
            block,
            cache_control: None,
        }
    }
}

/// Marks the last of these blocks; thinking blocks do not accept a mark.
fn mark_last<'a>(blocks: &mut [MarkedBlock<'a>], mark: &'a CacheMark) {
    if let Some(last) = blocks.last_mut().filter(|last| {
        !matches!(
            last.block,
            Block::Thinking { .. } | Block::RedactedThinking { .. }
        )
    }) {
        last.cache_control = Some(CacheControl::from_mark(mark));
    }
}

/// The cache mark of this wire.
#[derive(Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub(super) struct CacheControl<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl<'a> CacheControl<'a> {
    pub(super) fn from_mark(mark: &'a CacheMark) -> Self {
        // Marks in OpenAI's shape may have other lifetimes; the API accepts these two only.
        Self {
            ttl: mark
                .ttl
                .as_deref()
                .filter(|ttl| matches!(*ttl, "5m" | "1h")),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<MarkedBlock<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Source<'a> {
    Base64 {
        media_type: Cow<'a, str>,
        data: &'a str,
    },
    Url {
        url: &'a str,
    },
    Text {
        media_type: &'static str,
        data: String,
    },
}

/// Writes the conversation of a chat.
pub(super) fn write<'a>(chat: &'a Chat, accepts: &Accepts) -> Result<Conversation<'a>, Fault> {
    let conversation = turns::conversation(chat, WireId::Anthropic, accepts)?;
    let mut written = Conversation {
        // Later instructions are appended to the first ones: only the newest models accept them
        // between turns.
        system: write_system(&conversation.instructions),
        turns: Vec::with_capacity(conversation.turns.len()),
    };
    for turn in conversation.turns {
        let mut content = Ordered::default();
        for placed in turn.parts {
            write_part(placed, turn.role, accepts, &mut content)?;
        }
        // The API rejects empty turns.
        if !content.is_empty() {
            let role = role_name(turn.role);
            written.turns.push(Turn { role, content });
        }
    }
    if written.turns.is_empty() {
        return Err(refusals::no_messages());
    }
    Ok(written)
}

fn write_system<'a>(instructions: &[Placed<'a>]) -> Vec<MarkedBlock<'a>> {
    let mut blocks = Vec::with_capacity(instructions.len());
    for placed in instructions {
        match placed.part {
            Part::Text(text) => blocks.push(Block::Text { text }.into()),
            Part::CacheMark(mark) => mark_last(&mut blocks, mark),
            _ => {}
        }
    }
    blocks
}

fn write_part<'a>(
    placed: Placed<'a>,
    role: Role,
    accepts: &Accepts,
    content: &mut Ordered<MarkedBlock<'a>>,
) -> Result<(), Fault> {
    match placed.part {
        Part::Reasoning(past) if role == Role::Assistant => {
            if let Some(block) = thinking(past) {
                content.push_first(block.into());
            }
        }
        Part::ToolResult(result) => {
            content.push_first(tool_result(result, placed, accepts)?.into());
        }
        Part::ToolCall(call) if role == Role::Assistant => {
            let block = Block::ToolUse {
                id: call_id(&call.id, accepts.call_ids),
                name: &call.name,
                input: arguments(call, placed.position)?,
            };
            content.push(block.into());
        }
        Part::CacheMark(mark) => mark_last(content.last_list(), mark),
        _ => content.push(content_block(placed, accepts)?.into()),
    }
    Ok(())
}

/// Writes a part that is allowed in a turn as well as in a tool result.
fn content_block<'a>(placed: Placed<'a>, accepts: &Accepts) -> Result<Block<'a>, Fault> {
    let part = placed.part;
    if let Part::Text(text) | Part::Refusal(text) = part {
        return Ok(Block::Text { text });
    }
    let (source, title) = match media::read(part, &accepts.media, placed.position)? {
        Media::Image(data, _) => {
            let (media_type, data) = (data.essence(), data.base64);
            let source = Source::Base64 { media_type, data };
            return Ok(Block::Image { source });
        }
        Media::ImageLink(url, _) => {
            let source = Source::Url { url };
            return Ok(Block::Image { source });
        }
        Media::File(data, title) => {
            let (media_type, data) = (data.essence(), data.base64);
            (Source::Base64 { media_type, data }, title)
        }
        Media::FileLink(url, title) => (Source::Url { url }, title),
        Media::Text(data, title) => {
            // The API accepts plain text only, and as text instead of base64.
            let media_type = "text/plain";
            (Source::Text { media_type, data }, title)
        }
        Media::ImageId | Media::FileId(..) | Media::Audio(..) => {
            return Err(placed.position.misplaced(part));
        }
    };
    Ok(Block::Document { source, title })
}

/// Writes past thinking. Unsigned thinking is left out: the API requires the signature.
fn thinking(past: &PastReasoning) -> Option<Block<'_>> {
    // A signature on text belongs to text, not to thinking.
    if past.on_text {
        return None;
    }
    match (&past.redacted, &past.signature) {
        (Some(data), _) => Some(Block::RedactedThinking { data }),
        (None, Some(signature)) => Some(Block::Thinking {
            thinking: &past.text,
            signature,
        }),
        (None, None) => None,
    }
}

fn tool_result<'a>(
    result: &'a ToolResult,
    placed: Placed<'a>,
    accepts: &Accepts,
) -> Result<Block<'a>, Fault> {
    let mut content: Vec<MarkedBlock<'_>> = Vec::new();
    for placed in placed.parts_of(result) {
        match placed.part {
            Part::CacheMark(mark) => mark_last(&mut content, mark),
            Part::Text(text) if text.is_empty() => {}
            _ => content.push(content_block(placed, accepts)?.into()),
        }
    }
    Ok(Block::ToolResult {
        tool_use_id: call_id(&result.id, accepts.call_ids),
        content,
        is_error: result.is_error,
    })
}
