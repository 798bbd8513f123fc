//! Writes the conversation: separate system text, alternating turns, blocks in the order that this
//! wire requires.
//!
//! Invariants: neighbouring turns of one role are merged; tool results come first in a user turn,
//! past reasoning comes first in an assistant turn; blank texts, which the API rejects, are left
//! out; a user turn with a document also contains a text.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::family::Family;
use super::media::{self, Document, DocumentNames, Media};
use crate::model::chat::{
    CacheMark, Chat, Message, Part, PastCall, PastReasoning, Role, ToolResult,
};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Maximum length of a tool call id, bytes.
const MAX_CALL_ID_LEN: usize = 64;

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
    content: Content<'a>,
}

/// The blocks of a turn: those that must come first, and the rest.
#[derive(Default)]
struct Content<'a> {
    first: Vec<Block<'a>>,
    rest: Vec<Block<'a>>,
    /// True if the last block was added to `first`.
    in_first: bool,
}

impl<'a> Content<'a> {
    fn push_first(&mut self, block: Option<Block<'a>>) {
        self.in_first = true;
        self.first.extend(block);
    }

    fn push_rest(&mut self, block: Option<Block<'a>>) {
        self.in_first = false;
        self.rest.extend(block);
    }

    fn mark(&mut self, point: CachePoint<'a>) {
        mark(
            if self.in_first {
                &mut self.first
            } else {
                &mut self.rest
            },
            point,
        );
    }

    fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    /// Adds a document's name as text if the turn has no other text: the API requires one beside
    /// it.
    fn add_document_text(&mut self) {
        let name = self.rest.iter().find_map(|block| {
            if let Block::Document(it) = block {
                Some(it.name.clone())
            } else {
                None
            }
        });
        if let Some(name) = name.filter(|_| {
            !self
                .rest
                .iter()
                .any(|block| matches!(block, Block::Text(_)))
        }) {
            self.rest.push(Block::Text(name.into()));
        }
    }
}

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // The two lists only keep the order of mixed parts; the API receives one list.
        let mut list = to.serialize_seq(Some(self.first.len() + self.rest.len()))?;
        self.first
            .iter()
            .chain(&self.rest)
            .try_for_each(|block| list.serialize_element(block))?;
        list.end()
    }
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
        input: Input<'a>,
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

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Input<'a> {
    Object(&'a RawValue),
    /// The input of a custom tool: free text, wrapped because the API accepts objects only.
    Free {
        input: &'a str,
    },
    Empty {},
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

/// Adds a mark after the last block, unless that is a mark itself or reasoning, which accepts none.
fn mark<'a>(blocks: &mut Vec<Block<'a>>, point: CachePoint<'a>) {
    if blocks
        .last()
        .is_some_and(|last| !matches!(last, Block::CachePoint(_) | Block::ReasoningContent(_)))
    {
        blocks.push(Block::CachePoint(point));
    }
}

/// Writes the conversation of a chat.
pub(super) fn conversation(chat: &Chat, family: Family) -> Result<Conversation<'_>, Fault> {
    let mut writer = Writer {
        family,
        names: DocumentNames::default(),
        system: Vec::new(),
        turns: Vec::new(),
    };
    for (at, message) in chat.messages.iter().enumerate() {
        let written = if message.role == Role::System {
            writer.system_message(message)
        } else {
            writer.message(message)
        };
        written.map_err(|what| Fault::invalid("messages", format!("messages[{at}]: {what}")))?;
    }
    let Writer {
        system, mut turns, ..
    } = writer;
    // Texts that were left out may leave a turn empty.
    turns.retain(|turn| !turn.content.is_empty());
    let Some(last) = turns.last_mut() else {
        return Err(Fault::invalid(
            "messages",
            "messages: the bedrock wire needs at least one message besides system messages",
        ));
    };
    // The mark of a whole request covers everything up to its end.
    if let Some(mark) = chat
        .cache
        .as_ref()
        .filter(|_| family.supports_cache_marks())
    {
        last.content.mark(CachePoint::from_mark(mark, family));
    }
    turns
        .iter_mut()
        // Assistant turns contain no documents.
        .filter(|turn| turn.role == "user")
        .for_each(|turn| turn.content.add_document_text());
    Ok(Conversation { system, turns })
}

/// Writes messages as blocks. Errors are messages without their position in the request.
struct Writer<'a> {
    family: Family,
    names: DocumentNames,
    system: Vec<Block<'a>>,
    turns: Vec<Turn<'a>>,
}

impl<'a> Writer<'a> {
    /// Writes a system message. Later instructions are appended to the first ones: only few models
    /// accept them between turns.
    fn system_message(&mut self, message: &'a Message) -> Result<(), String> {
        for part in &message.parts {
            match part {
                Part::Text(text) => self.system.extend(text_block(text)),
                Part::CacheMark(it) if self.family.supports_cache_marks() => {
                    mark(&mut self.system, CachePoint::from_mark(it, self.family));
                }
                Part::CacheMark(_) => {}
                _ => {
                    return Err("the bedrock wire supports only text in system messages".to_owned());
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, message: &'a Message) -> Result<(), String> {
        let role = if message.role == Role::Assistant {
            "assistant"
        } else {
            "user"
        };
        // Messages of one role in a row form one turn.
        let mut content = match self.turns.pop_if(|turn| turn.role == role) {
            Some(turn) => turn.content,
            None => Content::default(),
        };
        for part in &message.parts {
            match part {
                Part::Reasoning(past) => content.push_first(reasoning(past)),
                Part::ToolResult(result) => self.tool_result(result, &mut content)?,
                Part::ToolCall(call) => content.push_rest(Some(tool_use(call)?)),
                Part::CacheMark(it) if self.family.supports_cache_marks() => {
                    content.mark(CachePoint::from_mark(it, self.family));
                }
                Part::Image { .. } | Part::File { .. } | Part::Audio { .. }
                    if role == "assistant" =>
                {
                    return Err(
                        "the bedrock wire supports images, files and audio only in user messages"
                            .to_owned(),
                    );
                }
                part => content.push_rest(self.content_block(part)?),
            }
        }
        self.turns.push(Turn { role, content });
        Ok(())
    }

    /// Writes a tool result. A cache mark inside the result is written after it.
    fn tool_result(&mut self, result: &'a ToolResult, to: &mut Content<'a>) -> Result<(), String> {
        let mut content = Vec::with_capacity(result.parts.len());
        for part in &result.parts {
            match self.content_block(part)? {
                Some(Block::Audio(_)) => {
                    return Err(
                        "the bedrock wire does not support audio in tool results".to_owned()
                    );
                }
                block => content.extend(block),
            }
        }
        if content.is_empty() {
            content.push(Block::Text(EMPTY_RESULT.into()));
        }
        let status = result.is_error.then_some("error");
        to.push_first(Some(Block::ToolResult {
            tool_use_id: call_id(&result.id),
            content,
            status,
        }));
        // The API accepts no marks inside a result, so its last one covers all of it.
        let mark = result.parts.iter().rev().find_map(|part| {
            if let Part::CacheMark(it) = part {
                Some(it)
            } else {
                None
            }
        });
        if let Some(it) = mark.filter(|_| self.family.supports_cache_marks()) {
            to.mark(CachePoint::from_mark(it, self.family));
        }
        Ok(())
    }

    /// Writes a part that is allowed in a turn as well as in a tool result.
    fn content_block(&mut self, part: &'a Part) -> Result<Option<Block<'a>>, String> {
        match part {
            Part::Text(text) | Part::Refusal(text) => Ok(text_block(text)),
            Part::Image { source, .. } => media::image(source).map(Some),
            Part::File { source, filename } => {
                media::file(source, filename.as_deref(), &mut self.names).map(Some)
            }
            Part::Audio { data, format } => media::audio(data, format).map(Some),
            Part::CacheMark(_) => Ok(None),
            Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => Err(
                "the bedrock wire supports only text, images and files in tool results".to_owned(),
            ),
        }
    }
}

fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(Cow::Borrowed(text)))
}

/// Writes past reasoning, if this wire signed it: every wire rejects the signatures of others.
fn reasoning(past: &PastReasoning) -> Option<Block<'_>> {
    // A signature on text belongs to text, not to reasoning.
    if past.wire != Some(WireId::Bedrock) || past.on_text {
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

fn tool_use(call: &PastCall) -> Result<Block<'_>, String> {
    let object = |json| {
        serde_json::from_str::<&RawValue>(json)
            .ok()
            .filter(|json| json.get().starts_with('{'))
    };
    let input = match call.arguments.trim() {
        _ if call.custom => Input::Free {
            input: &call.arguments,
        },
        // A call without arguments has an empty text, where the API requires an object.
        "" => Input::Empty {},
        json => {
            Input::Object(object(json).ok_or("the arguments of a tool call are not a JSON object")?)
        }
    };
    Ok(Block::ToolUse {
        tool_use_id: call_id(&call.id),
        name: &call.name,
        input,
    })
}

/// Encodes an id in the characters and the length that this wire accepts; other providers use more
/// (`functions.f:0`).
fn call_id(id: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let encoded: Cow<'_, str> = match id {
        _ if id.chars().all(allowed) => id.into(),
        _ => id
            .chars()
            .map(|c| {
                if allowed(c) {
                    c.to_string()
                } else {
                    format!("_{:x}", u32::from(c))
                }
            })
            .collect::<String>()
            .into(),
    };
    if (1..=MAX_CALL_ID_LEN).contains(&encoded.len()) {
        return encoded;
    }
    // A hash keeps different ids apart, and is the same for a call and its result.
    let mut short = String::from("call_");
    for byte in Sha256::digest(id).iter().take(16) {
        let written = write!(short, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a string cannot fail");
    }
    short.into()
}
