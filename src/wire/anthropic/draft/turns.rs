//! The conversation: system text apart, turns that alternate, blocks in the order this wire wants.
//!
//! Invariants: neighbouring turns of one role are one turn; tool results stand before all else in a
//! user's turn, past thinking before all else in the model's; empty texts, which the API refuses,
//! are left out.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::object;
use crate::model::chat::{
    CacheMark, Message, Part, PastCall, PastReasoning, Role, Source, ToolResult,
};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// A conversation as this wire has it.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<Marked<'a>>,
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
    first: Vec<Marked<'a>>,
    rest: Vec<Marked<'a>>,
    /// Which of the two took the last block.
    in_first: bool,
}

impl<'a> Content<'a> {
    fn first(&mut self, block: Option<Block<'a>>) {
        if let Some(block) = block {
            self.in_first = true;
            self.first.push(block.into());
        }
    }

    fn rest(&mut self, block: Option<Block<'a>>) {
        if let Some(block) = block {
            self.in_first = false;
            self.rest.push(block.into());
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

/// A block, and whether the prompt may be cached up to it.
#[derive(Serialize)]
pub(super) struct Marked<'a> {
    #[serde(flatten)]
    block: Block<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Ephemeral<'a>>,
}

impl<'a> From<Block<'a>> for Marked<'a> {
    fn from(block: Block<'a>) -> Self {
        Self {
            block,
            cache_control: None,
        }
    }
}

/// Marks the last of these blocks; thinking takes no mark.
fn mark<'a>(blocks: &mut [Marked<'a>], mark: &'a CacheMark) {
    if let Some(last) = blocks.last_mut().filter(|last| {
        !matches!(
            last.block,
            Block::Thinking { .. } | Block::RedactedThinking { .. }
        )
    }) {
        last.cache_control = Some(Ephemeral::of(mark));
    }
}

/// What this wire calls a cache mark.
#[derive(Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub(super) struct Ephemeral<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'a str>,
}

impl<'a> Ephemeral<'a> {
    pub(super) fn of(mark: &'a CacheMark) -> Self {
        // OpenAI's marks know other spans than these two.
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
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: Media<'a>,
    },
    Document {
        source: Media<'a>,
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
        input: Input<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Marked<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Media<'a> {
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

/// The conversation that these messages are.
pub(super) fn of(messages: &[Message]) -> Result<Conversation<'_>, Fault> {
    let mut conversation = Conversation {
        system: Vec::new(),
        turns: Vec::new(),
    };
    for (at, message) in messages.iter().enumerate() {
        if message.role == Role::System {
            // Later instructions join the first ones, in order: only the newest models take them
            // between turns.
            system(message, at, &mut conversation.system)?;
        } else {
            turn(message, at, &mut conversation.turns)?;
        }
    }
    conversation
        .turns
        .retain(|turn| !turn.content.first.is_empty() || !turn.content.rest.is_empty());
    if conversation.turns.is_empty() {
        return Err(Fault::invalid(
            "messages",
            "messages: the anthropic wire needs a message that is not a system message",
        ));
    }
    Ok(conversation)
}

fn system<'a>(message: &'a Message, at: usize, blocks: &mut Vec<Marked<'a>>) -> Result<(), Fault> {
    for part in &message.parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => blocks.push(Block::Text { text }.into()),
            Part::CacheMark(it) => mark(blocks, it),
            _ => return Err(invalid(at, "system messages hold text only")),
        }
    }
    Ok(())
}

fn turn<'a>(message: &'a Message, at: usize, turns: &mut Vec<Turn<'a>>) -> Result<(), Fault> {
    let role = if message.role == Role::Assistant {
        "assistant"
    } else {
        "user"
    };
    if turns.last().is_none_or(|turn| turn.role != role) {
        turns.push(Turn {
            role,
            content: Content::default(),
        });
    }
    let Some(Turn { content, .. }) = turns.last_mut() else {
        return Ok(());
    };
    for part in &message.parts {
        match part {
            Part::Reasoning(past) => content.first(thinking(past)),
            Part::ToolResult(result) => content.first(Some(tool_result(result, at)?)),
            Part::ToolCall(call) => content.rest(Some(tool_use(call, at)?)),
            Part::CacheMark(it) => mark(
                if content.in_first {
                    &mut content.first
                } else {
                    &mut content.rest
                },
                it,
            ),
            Part::Image { .. } | Part::File { .. } if role == "assistant" => {
                return Err(invalid(
                    at,
                    "the anthropic wire takes images and files in user and tool messages only",
                ));
            }
            _ => content.rest(said(part, at)?),
        }
    }
    Ok(())
}

/// What may stand in a turn as well as in a tool's answer.
fn said(part: &Part, at: usize) -> Result<Option<Block<'_>>, Fault> {
    match part {
        Part::Text(text) | Part::Refusal(text) => {
            Ok((!text.is_empty()).then_some(Block::Text { text }))
        }
        Part::Image { source, .. } => Ok(Some(Block::Image {
            source: image(source, at)?,
        })),
        Part::File { source, filename } => document(source, filename.as_deref(), at).map(Some),
        Part::Audio { .. } => Err(invalid(
            at,
            "the anthropic wire takes no audio; send a transcript or choose another model",
        )),
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::CacheMark(_) => Err(
            invalid(at, "a tool's answer holds text, images and files only"),
        ),
    }
}

/// Thinking goes back only to the wire that signed it: any other would refuse it.
fn thinking(past: &PastReasoning) -> Option<Block<'_>> {
    if past.wire != Some(WireId::Anthropic) || past.on_text {
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

fn tool_use(call: &PastCall, at: usize) -> Result<Block<'_>, Fault> {
    let input = match call.arguments.trim() {
        _ if call.custom => Input::Free {
            input: &call.arguments,
        },
        "" => Input::Nothing {},
        json => Input::Object(
            object(json)
                .ok_or_else(|| invalid(at, "the arguments of a tool call are not a JSON object"))?,
        ),
    };
    Ok(Block::ToolUse {
        id: call_id(&call.id),
        name: &call.name,
        input,
    })
}

fn tool_result(result: &ToolResult, at: usize) -> Result<Block<'_>, Fault> {
    let mut content: Vec<Marked<'_>> = Vec::new();
    for part in &result.parts {
        match part {
            Part::CacheMark(it) => mark(&mut content, it),
            part => content.extend(said(part, at)?.map(Marked::from)),
        }
    }
    Ok(Block::ToolResult {
        tool_use_id: call_id(&result.id),
        content,
        is_error: result.is_error,
    })
}

/// The id in the letters this wire takes; other providers use more of them (`functions.f:0`).
fn call_id(id: &str) -> Cow<'_, str> {
    let taken = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(taken) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(
        id.chars()
            .map(|c| {
                if taken(c) {
                    c.to_string()
                } else {
                    format!("_{:x}", u32::from(c))
                }
            })
            .collect(),
    )
}

fn image(source: &Source, at: usize) -> Result<Media<'_>, Fault> {
    match source {
        Source::Url(url) => Ok(Media::Url { url }),
        Source::Data { media_type, base64 } => Ok(Media::Base64 {
            media_type: plain(media_type),
            data: base64,
        }),
        Source::FileId(_) => Err(foreign_file(at)),
    }
}

fn document<'a>(source: &'a Source, title: Option<&'a str>, at: usize) -> Result<Block<'a>, Fault> {
    let source = match source {
        Source::Url(url) => Media::Url { url },
        Source::FileId(_) => return Err(foreign_file(at)),
        Source::Data { media_type, base64 } => match plain(media_type) {
            media_type if media_type.starts_with("image/") => {
                return Ok(Block::Image {
                    source: Media::Base64 {
                        media_type,
                        data: base64,
                    },
                });
            }
            media_type if media_type == "application/pdf" => Media::Base64 {
                media_type,
                data: base64,
            },
            media_type if is_text(&media_type) => Media::Text {
                media_type: "text/plain",
                data: text(base64, at)?,
            },
            other => {
                return Err(invalid(
                    at,
                    &format!("the anthropic wire takes PDF, text and images, not {other}"),
                ));
            }
        },
    };
    Ok(Block::Document {
        source,
        title: title.filter(|title| !title.is_empty()),
    })
}

/// A media type without its parameters.
fn plain(media_type: &str) -> Cow<'_, str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(essence.to_ascii_lowercase())
    } else {
        Cow::Borrowed(essence)
    }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || matches!(
            media_type,
            "application/json" | "application/xml" | "application/yaml"
        )
}

fn text(base64: &str, at: usize) -> Result<String, Fault> {
    let bytes = STANDARD
        .decode(base64.trim())
        .map_err(|_| invalid(at, "a file is not valid base64"))?;
    String::from_utf8(bytes).map_err(|_| invalid(at, "a text file is not UTF-8"))
}

fn foreign_file(at: usize) -> Fault {
    invalid(
        at,
        "a file id is known to the provider that stored it only; send the bytes or a link",
    )
}

fn invalid(at: usize, what: &str) -> Fault {
    Fault::invalid("messages", format!("messages[{at}]: {what}"))
}
