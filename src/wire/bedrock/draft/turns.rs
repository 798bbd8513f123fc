//! The conversation: system text apart, turns that alternate, blocks in the order this wire wants.
//!
//! Invariants: neighbouring turns of one role are one turn; tool results stand before all else in a
//! user's turn, past reasoning before all else in the model's; blank texts, which the API refuses,
//! are left out; a turn with a document has a text beside it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::family::Family;
use super::media::{self, Document, Media, Names};
use crate::model::chat::{
    CacheMark, Chat, Message, Part, PastCall, PastReasoning, Role, ToolResult,
};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The longest id of a tool call, bytes.
const CALL_ID_BOUND: usize = 64;

/// What stands for the answer of a tool that said nothing: the API wants words.
const NOTHING_SAID: &str = "(empty)";

/// A conversation as this wire has it.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Block<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// A turn.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    role: &'static str,
    content: Content<'a>,
}

/// Its blocks: what must stand first, and the rest.
#[derive(Default)]
struct Content<'a> {
    first: Vec<Block<'a>>,
    rest: Vec<Block<'a>>,
    /// Which of the two took the last block.
    in_first: bool,
}

impl<'a> Content<'a> {
    fn first(&mut self, block: Option<Block<'a>>) {
        self.in_first = true;
        self.first.extend(block);
    }

    fn rest(&mut self, block: Option<Block<'a>>) {
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

    /// Gives a document that stands alone the text it needs beside it: its name.
    fn accompany(&mut self) {
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
        let mut list = to.serialize_seq(Some(self.first.len() + self.rest.len()))?;
        self.first
            .iter()
            .chain(&self.rest)
            .try_for_each(|block| list.serialize_element(block))?;
        list.end()
    }
}

/// A block.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Block<'a> {
    Text(Cow<'a, str>),
    Image(Media<'a>),
    Document(Document<'a>),
    Video(Media<'a>),
    Audio(Media<'a>),
    ReasoningContent(Thought<'a>),
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
pub(super) enum Thought<'a> {
    ReasoningText { text: &'a str, signature: &'a str },
    RedactedContent(&'a str),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Input<'a> {
    Object(&'a RawValue),
    /// What a custom tool was given: free text, which is no object.
    Free {
        input: &'a str,
    },
    Nothing {},
}

/// What this wire calls a cache mark.
#[derive(Serialize)]
#[serde(tag = "type", rename = "default")]
pub(super) struct CachePoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl<'a> CachePoint<'a> {
    pub(super) fn of(mark: &'a CacheMark, family: Family) -> Self {
        // OpenAI's marks know other spans than these two, Amazon's models but one.
        Self {
            ttl: mark
                .ttl
                .as_deref()
                .filter(|ttl| family.may_be_claude() && matches!(*ttl, "5m" | "1h")),
        }
    }
}

/// Marks what stands before, if there is anything that can be; reasoning takes no mark.
fn mark<'a>(blocks: &mut Vec<Block<'a>>, point: CachePoint<'a>) {
    if blocks
        .last()
        .is_some_and(|last| !matches!(last, Block::CachePoint(_) | Block::ReasoningContent(_)))
    {
        blocks.push(Block::CachePoint(point));
    }
}

/// The conversation of a chat.
pub(super) fn of(chat: &Chat, family: Family) -> Result<Conversation<'_>, Fault> {
    let mut scribe = Scribe {
        family,
        names: Names::default(),
        system: Vec::new(),
        turns: Vec::new(),
    };
    for (at, message) in chat.messages.iter().enumerate() {
        let written = if message.role == Role::System {
            scribe.instructions(message)
        } else {
            scribe.message(message)
        };
        written.map_err(|what| Fault::invalid("messages", format!("messages[{at}]: {what}")))?;
    }
    let Scribe {
        system, mut turns, ..
    } = scribe;
    turns.retain(|turn| !turn.content.is_empty());
    let Some(last) = turns.last_mut() else {
        return Err(Fault::invalid(
            "messages",
            "messages: the bedrock wire needs a message that is not a system message",
        ));
    };
    if let Some(wish) = chat.cache.as_ref().filter(|_| family.caches()) {
        last.content.mark(CachePoint::of(wish, family));
    }
    turns
        .iter_mut()
        .filter(|turn| turn.role == "user")
        .for_each(|turn| turn.content.accompany());
    Ok(Conversation { system, turns })
}

/// Writes messages down; what cannot be said is told in words.
struct Scribe<'a> {
    family: Family,
    names: Names,
    system: Vec<Block<'a>>,
    turns: Vec<Turn<'a>>,
}

impl<'a> Scribe<'a> {
    /// Later instructions join the first ones, in order: only few models take them between turns.
    fn instructions(&mut self, message: &'a Message) -> Result<(), String> {
        for part in &message.parts {
            match part {
                Part::Text(text) => self.system.extend(words(text)),
                Part::CacheMark(it) if self.family.caches() => {
                    mark(&mut self.system, CachePoint::of(it, self.family));
                }
                Part::CacheMark(_) => {}
                _ => return Err("system messages hold text only".to_owned()),
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
        let mut content = match self.turns.pop_if(|turn| turn.role == role) {
            Some(turn) => turn.content,
            None => Content::default(),
        };
        for part in &message.parts {
            match part {
                Part::Reasoning(past) => content.first(thought(past)),
                Part::ToolResult(result) => self.result(result, &mut content)?,
                Part::ToolCall(call) => content.rest(Some(tool_use(call)?)),
                Part::CacheMark(it) if self.family.caches() => {
                    content.mark(CachePoint::of(it, self.family));
                }
                Part::Image { .. } | Part::File { .. } | Part::Audio { .. }
                    if role == "assistant" =>
                {
                    return Err(
                        "the bedrock wire takes images, files and audio in user messages only"
                            .to_owned(),
                    );
                }
                part => content.rest(self.said(part)?),
            }
        }
        self.turns.push(Turn { role, content });
        Ok(())
    }

    /// A tool's answer. A mark inside of it stands behind it here.
    fn result(&mut self, result: &'a ToolResult, to: &mut Content<'a>) -> Result<(), String> {
        let mut content = Vec::with_capacity(result.parts.len());
        for part in &result.parts {
            match self.said(part)? {
                Some(Block::Audio(_)) => {
                    return Err("the bedrock wire takes no audio from a tool".to_owned());
                }
                block => content.extend(block),
            }
        }
        if content.is_empty() {
            content.push(Block::Text(NOTHING_SAID.into()));
        }
        let status = result.is_error.then_some("error");
        to.first(Some(Block::ToolResult {
            tool_use_id: call_id(&result.id),
            content,
            status,
        }));
        let marked = result.parts.iter().rev().find_map(|part| {
            if let Part::CacheMark(it) = part {
                Some(it)
            } else {
                None
            }
        });
        if let Some(it) = marked.filter(|_| self.family.caches()) {
            to.mark(CachePoint::of(it, self.family));
        }
        Ok(())
    }

    /// What may stand in a turn as well as in a tool's answer.
    fn said(&mut self, part: &'a Part) -> Result<Option<Block<'a>>, String> {
        match part {
            Part::Text(text) | Part::Refusal(text) => Ok(words(text)),
            Part::Image { source, .. } => media::image(source).map(Some),
            Part::File { source, filename } => {
                media::file(source, filename.as_deref(), &mut self.names).map(Some)
            }
            Part::Audio { data, format } => media::audio(data, format).map(Some),
            Part::CacheMark(_) => Ok(None),
            Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) => {
                Err("a tool's answer holds text, images and files only".to_owned())
            }
        }
    }
}

fn words(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text(Cow::Borrowed(text)))
}

/// Reasoning goes back only to the wire that signed it: any other would refuse it.
fn thought(past: &PastReasoning) -> Option<Block<'_>> {
    if past.wire != Some(WireId::Bedrock) || past.on_text {
        return None;
    }
    match (&past.redacted, &past.signature) {
        (Some(data), _) => Some(Block::ReasoningContent(Thought::RedactedContent(data))),
        (None, Some(signature)) => Some(Block::ReasoningContent(Thought::ReasoningText {
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
        "" => Input::Nothing {},
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

/// The id in the letters this wire takes, and as many of them; other providers use more
/// (`functions.f:0`).
fn call_id(id: &str) -> Cow<'_, str> {
    let taken = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let spelled: Cow<'_, str> = match id {
        _ if id.chars().all(taken) => id.into(),
        _ => id
            .chars()
            .map(|c| {
                if taken(c) {
                    c.to_string()
                } else {
                    format!("_{:x}", u32::from(c))
                }
            })
            .collect::<String>()
            .into(),
    };
    if (1..=CALL_ID_BOUND).contains(&spelled.len()) {
        return spelled;
    }
    let mut short = String::from("call_");
    for byte in Sha256::digest(id).iter().take(16) {
        let written = write!(short, "{byte:02x}");
        debug_assert!(written.is_ok(), "a string takes what is written to it");
    }
    short.into()
}
