//! Writes the conversation: separate system text, alternating turns, blocks in the order that this
//! wire requires.
//!
//! Invariants: neighbouring turns of one role are merged; tool results come first in a user turn,
//! past reasoning comes first in an assistant turn; blank texts, which the API rejects, are left
//! out; a user turn with a document also contains a text.

mod media;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use self::media::{Document, DocumentNames, Media};
use super::ask::family::Family;
use crate::model::accepts::Accepts;
use crate::model::chat::{CacheMark, Chat, Part, PastReasoning, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::kit::past_calls::{arguments, call_id};
use crate::wire::kit::refusals;
use crate::wire::kit::turns::{Ordered, Placed, conversation, role_name};

/// Text of an empty tool result: the API requires content.
const EMPTY_RESULT: &str = "(empty)";

/// A conversation in the shape of this wire.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// One turn of the conversation.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    role: &'static str,
    content: Ordered<Block<'a>>,
}

/// A content block.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Media<'a>),
    Document(Document<'a>),
    Video(Media<'a>),
    Audio(Media<'a>),
    ReasoningContent(Reasoning<'a>),
    ToolUse {
        tool_use_id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Vec<Block<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<&'static str>,
    },
    CachePoint(CachePoint<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reasoning<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

/// The cache mark of this wire.
#[derive(Serialize)]
#[serde(tag = "type", rename = "default")]
pub(super) struct CachePoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl<'a> CachePoint<'a> {
    pub(super) fn from_mark(mark: &'a CacheMark, family: Family) -> Self {
        // Marks in OpenAI's shape may have other lifetimes than these two, and Amazon's models
        // support their default lifetime only.
        Self {
            ttl: mark
                .ttl
                .as_deref()
                .filter(|ttl| family.may_be_claude() && matches!(*ttl, "5m" | "1h")),
        }
    }
}

/// Writes the conversation of a chat.
pub(super) fn write<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
    family: Family,
) -> Result<Conversation<'a>, Fault> {
    let mut writer = Writer {
        accepts,
        family,
        names: DocumentNames::default(),
    };
    let planned = conversation(chat, WireId::Bedrock, accepts)?;
    let system = writer.system(&planned.instructions);
    let mut turns = Vec::with_capacity(planned.turns.len());
    for turn in planned.turns {
        let mut content = Ordered::default();
        for placed in turn.parts {
            writer.part(placed, turn.role, &mut content)?;
        }
        if content.is_empty() {
            continue;
        }
        let role = role_name(turn.role);
        turns.push(Turn { role, content });
    }
    let Some(last) = turns.last_mut() else {
        return Err(refusals::no_messages());
    };
    // The mark of a whole request covers everything up to its end.
    if let Some(it) = &chat.cache {
        writer.mark(it, last.content.last_list());
    }
    for turn in turns.iter_mut().filter(|turn| turn.role == "user") {
        add_document_text(turn.content.rest());
    }
    Ok(Conversation { system, turns })
}

/// Adds a document's name as text if the turn has no other text: the API requires one beside it.
fn add_document_text(blocks: &mut Vec<Block<'_>>) {
    let has_text = blocks.iter().any(|block| matches!(block, Block::Text(_)));
    let name = blocks.iter().find_map(|block| match block {
        Block::Document(it) if !has_text => Some(it.name.clone()),
        _ => None,
    });
    blocks.extend(name.map(|name| Block::Text(name.into())));
}

/// Writes the parts of messages as blocks.
struct Writer<'c> {
    accepts: &'c Accepts,
    family: Family,
    names: DocumentNames,
}

impl Writer<'_> {
    /// Writes the instructions. Later ones are appended to the first: only few models accept them
    /// between turns.
    fn system<'a>(&self, instructions: &[Placed<'a>]) -> Vec<Block<'a>> {
        let mut blocks = Vec::with_capacity(instructions.len());
        for placed in instructions {
            match placed.part {
                Part::Text(text) => blocks.push(Block::Text(text.into())),
                Part::CacheMark(it) => self.mark(it, &mut blocks),
                _ => {}
            }
        }
        blocks
    }

    fn part<'a>(
        &mut self,
        placed: Placed<'a>,
        role: Role,
        content: &mut Ordered<Block<'a>>,
    ) -> Result<(), Fault> {
        match placed.part {
            Part::Reasoning(past) if role == Role::Assistant => {
                if let Some(block) = reasoning(past) {
                    content.push_first(block);
                }
            }
            Part::ToolResult(result) => self.tool_result(result, placed, content)?,
            Part::ToolCall(call) if role == Role::Assistant => content.push(Block::ToolUse {
                tool_use_id: call_id(&call.id, self.accepts.call_ids),
                name: &call.name,
                input: arguments(call, placed.position)?,
            }),
            Part::CacheMark(it) => self.mark(it, content.last_list()),
            _ => content.push(self.content_block(placed)?),
        }
        Ok(())
    }

    /// Writes a tool result. A cache mark inside the result is written after it.
    fn tool_result<'a>(
        &mut self,
        result: &'a ToolResult,
        placed: Placed<'a>,
        to: &mut Ordered<Block<'a>>,
    ) -> Result<(), Fault> {
        let mut content = Vec::with_capacity(result.parts.len());
        // The API accepts no marks inside a result, so its last one covers all of it.
        let mut mark = None;
        for placed in placed.parts_of(result) {
            match placed.part {
                Part::CacheMark(it) => mark = Some(it),
                Part::Text(text) if !self.accepts.texts.takes(text) => {}
                _ => content.push(self.content_block(placed)?),
            }
        }
        if content.is_empty() {
            content.push(Block::Text(EMPTY_RESULT.into()));
        }
        to.push_first(Block::ToolResult {
            tool_use_id: call_id(&result.id, self.accepts.call_ids),
            content,
            status: result.is_error.then_some("error"),
        });
        if let Some(it) = mark {
            self.mark(it, to.last_list());
        }
        Ok(())
    }

    /// Writes a part that is allowed in a turn as well as in a tool result.
    fn content_block<'a>(&mut self, placed: Placed<'a>) -> Result<Block<'a>, Fault> {
        match placed.part {
            Part::Text(text) | Part::Refusal(text) => Ok(Block::Text(text.into())),
            _ => media::block(placed, self.accepts, &mut self.names),
        }
    }

    /// Adds a mark after the last block, if the model caches. Reasoning and other marks accept none
    /// after them.
    fn mark<'a>(&self, mark: &'a CacheMark, blocks: &mut Vec<Block<'a>>) {
        let markable = blocks
            .last()
            .is_some_and(|last| !matches!(last, Block::CachePoint(_) | Block::ReasoningContent(_)));
        if markable && self.family.supports_cache_marks() {
            blocks.push(Block::CachePoint(CachePoint::from_mark(mark, self.family)));
        }
    }
}

/// Writes past reasoning. Unsigned reasoning is left out: the API requires the signature.
fn reasoning(past: &PastReasoning) -> Option<Block<'_>> {
    // A signature on text belongs to text, not to reasoning.
    if past.on_text {
        return None;
    }
    match (&past.redacted, &past.signature) {
        (Some(data), _) => Some(Block::ReasoningContent(Reasoning::RedactedContent(data))),
        (None, Some(signature)) => Some(Block::ReasoningContent(Reasoning::ReasoningText {
            text: &past.text,
            signature,
        })),
        (None, None) => None,
    }
}
