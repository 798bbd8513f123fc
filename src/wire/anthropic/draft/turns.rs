//! Writes the conversation: separate system text, alternating turns, blocks in the order that this
//! wire requires.
//!
//! Invariants: neighbouring turns of one role are merged; tool results come first in a user turn,
//! past thinking comes first in an assistant turn; empty texts, which the API rejects, are left
//! out.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::json_object;
use crate::model::chat::{
    CacheMark, Message, Part, PastCall, PastReasoning, Role, Source, ToolResult,
};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// A conversation in the shape of this wire.
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<MarkedBlock<'a>>,
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
    first: Vec<MarkedBlock<'a>>,
    rest: Vec<MarkedBlock<'a>>,
    /// True if the last block was added to `first`.
    in_first: bool,
}

impl<'a> Content<'a> {
    fn push_first(&mut self, block: Option<Block<'a>>) {
        if let Some(block) = block {
            self.in_first = true;
            self.first.push(block.into());
        }
    }

    fn push_rest(&mut self, block: Option<Block<'a>>) {
        if let Some(block) = block {
            self.in_first = false;
            self.rest.push(block.into());
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
        content: Vec<MarkedBlock<'a>>,
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
    /// The input of a custom tool: free text, wrapped because the API accepts objects only.
    Free {
        input: &'a str,
    },
    Empty {},
}

/// Writes these messages as a conversation.
pub(super) fn conversation(messages: &[Message]) -> Result<Conversation<'_>, Fault> {
    let mut conversation = Conversation {
        system: Vec::new(),
        turns: Vec::new(),
    };
    for (at, message) in messages.iter().enumerate() {
        if message.role == Role::System {
            // Later instructions are appended to the first ones: only the newest models accept
            // them between turns.
            write_system(message, at, &mut conversation.system)?;
        } else {
            write_turn(message, at, &mut conversation.turns)?;
        }
    }
    // The API rejects empty turns.
    conversation
        .turns
        .retain(|turn| !turn.content.first.is_empty() || !turn.content.rest.is_empty());
    if conversation.turns.is_empty() {
        return Err(Fault::invalid(
            "messages",
            "messages: the anthropic wire needs at least one message besides system messages",
        ));
    }
    Ok(conversation)
}

fn write_system<'a>(
    message: &'a Message,
    at: usize,
    blocks: &mut Vec<MarkedBlock<'a>>,
) -> Result<(), Fault> {
    for part in &message.parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => blocks.push(Block::Text { text }.into()),
            Part::CacheMark(it) => mark_last(blocks, it),
            _ => {
                return Err(invalid(
                    at,
                    "the anthropic wire supports only text in system messages",
                ));
            }
        }
    }
    Ok(())
}

fn write_turn<'a>(message: &'a Message, at: usize, turns: &mut Vec<Turn<'a>>) -> Result<(), Fault> {
    let role = if message.role == Role::Assistant {
        "assistant"
    } else {
        "user"
    };
    // Messages of one role in a row form one turn.
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
            Part::Reasoning(past) => content.push_first(thinking(past)),
            Part::ToolResult(result) => content.push_first(Some(tool_result(result, at)?)),
            Part::ToolCall(call) => content.push_rest(Some(tool_use(call, at)?)),
            // The mark belongs to the block written last, in whichever of the two lists it is.
            Part::CacheMark(it) => mark_last(
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
                    "the anthropic wire supports images and files only in user and tool messages",
                ));
            }
            _ => content.push_rest(content_block(part, at)?),
        }
    }
    Ok(())
}

/// Writes a part that is allowed in a turn as well as in a tool result.
fn content_block(part: &Part, at: usize) -> Result<Option<Block<'_>>, Fault> {
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
            "the anthropic wire does not support audio; send a transcript or choose another model",
        )),
        Part::Reasoning(_) | Part::ToolCall(_) | Part::ToolResult(_) | Part::CacheMark(_) => {
            Err(invalid(
                at,
                "the anthropic wire supports only text, images and files in tool results",
            ))
        }
    }
}

/// Writes past thinking, if this wire signed it: every wire rejects the signatures of others.
fn thinking(past: &PastReasoning) -> Option<Block<'_>> {
    // A signature on text belongs to text, not to thinking.
    if past.wire != Some(WireId::Anthropic) || past.on_text {
        return None;
    }
    // Unsigned thinking is left out: the API requires the signature.
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
        // A call without arguments has an empty text, where the API requires an object.
        "" => Input::Empty {},
        json => Input::Object(
            json_object(json)
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
    let mut content: Vec<MarkedBlock<'_>> = Vec::new();
    for part in &result.parts {
        match part {
            Part::CacheMark(it) => mark_last(&mut content, it),
            part => content.extend(content_block(part, at)?.map(MarkedBlock::from)),
        }
    }
    Ok(Block::ToolResult {
        tool_use_id: call_id(&result.id),
        content,
        is_error: result.is_error,
    })
}

/// Encodes an id in the characters that this wire accepts; other providers use more of them
/// (`functions.f:0`).
fn call_id(id: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(allowed) {
        return Cow::Borrowed(id);
    }
    // The character's code keeps different ids different; calls and results use the same encoding.
    Cow::Owned(
        id.chars()
            .map(|c| {
                if allowed(c) {
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
            media_type: essence(media_type),
            data: base64,
        }),
        Source::FileId(_) => Err(unknown_file_id(at)),
    }
}

fn document<'a>(source: &'a Source, title: Option<&'a str>, at: usize) -> Result<Block<'a>, Fault> {
    let source = match source {
        Source::Url(url) => Media::Url { url },
        Source::FileId(_) => return Err(unknown_file_id(at)),
        Source::Data { media_type, base64 } => match essence(media_type) {
            // A document block accepts no images; they have a block of their own.
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
            // The API accepts plain text only, and as text instead of base64.
            media_type if is_text(&media_type) => Media::Text {
                media_type: "text/plain",
                data: decode_text(base64, at)?,
            },
            other => {
                return Err(invalid(
                    at,
                    &format!("the anthropic wire supports PDF, text and image files, not {other}"),
                ));
            }
        },
    };
    Ok(Block::Document {
        source,
        title: title.filter(|title| !title.is_empty()),
    })
}

/// Returns a media type in lower case and without its parameters.
fn essence(media_type: &str) -> Cow<'_, str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(essence.to_ascii_lowercase())
    } else {
        Cow::Borrowed(essence)
    }
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        // Formats that are text despite their media type.
        || matches!(
            media_type,
            "application/json" | "application/xml" | "application/yaml"
        )
}

fn decode_text(base64: &str, at: usize) -> Result<String, Fault> {
    let bytes = STANDARD
        .decode(base64.trim())
        .map_err(|_| invalid(at, "the data of a file is not valid base64"))?;
    String::from_utf8(bytes).map_err(|_| invalid(at, "the text of a file is not valid UTF-8"))
}

fn unknown_file_id(at: usize) -> Fault {
    invalid(
        at,
        "only the provider that stored a file knows its file id; send the data or a URL instead",
    )
}

fn invalid(at: usize, what: &str) -> Fault {
    Fault::invalid("messages", format!("messages[{at}]: {what}"))
}
