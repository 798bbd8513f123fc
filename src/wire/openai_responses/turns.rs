//! Writes the conversation: leading instructions separately, then one item for each message, call
//! and tool result.
//!
//! Invariants: calls and their results keep their order and have the same id; reasoning precedes
//! the items that followed from it, and only reasoning that this wire made is sent.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::chat::{Message, Part, PastCall, PastReasoning, Role, Source, ToolResult};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Maximum length of a call id that the API accepts, bytes.
const MAX_CALL_ID: usize = 64;

/// Image detail if the request has none: the API's own default. Compatible servers require the
/// field.
const DEFAULT_DETAIL: &str = "auto";

/// A conversation in the form of this wire.
pub(super) struct Conversation<'a> {
    pub(super) instructions: Option<Cow<'a, str>>,
    pub(super) input: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Item<'a> {
    Message {
        role: &'static str,
        content: Content<'a>,
    },
    FunctionCall {
        call_id: Cow<'a, str>,
        name: &'a str,
        arguments: &'a str,
    },
    CustomToolCall {
        call_id: Cow<'a, str>,
        name: &'a str,
        input: &'a str,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Content<'a>,
    },
    CustomToolCallOutput {
        call_id: Cow<'a, str>,
        output: Content<'a>,
    },
    Reasoning {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        summary: [&'static str; 0],
        encrypted_content: &'a str,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(&'a str),
    Pieces(Vec<Piece<'a>>),
}

impl<'a> Content<'a> {
    /// Returns the pieces, as a plain string if they are a single text or none: in a list of
    /// pieces, compatible servers require fields of a past message that are not kept.
    fn from_pieces(pieces: Vec<Piece<'a>>) -> Self {
        match pieces[..] {
            [] => Self::Text(""),
            [Piece::InputText { text } | Piece::OutputText { text }] => Self::Text(text),
            _ => Self::Pieces(pieces),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Piece<'a> {
    InputText {
        text: &'a str,
    },
    OutputText {
        text: &'a str,
    },
    Refusal {
        refusal: &'a str,
    },
    InputImage {
        #[serde(flatten)]
        source: Image<'a>,
        detail: &'a str,
    },
    InputFile(File<'a>),
    InputAudio {
        input_audio: Audio<'a>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Image<'a> {
    ImageUrl(Cow<'a, str>),
    FileId(&'a str),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum File<'a> {
    Data {
        filename: &'a str,
        file_data: String,
    },
    Url {
        file_url: &'a str,
    },
    Id {
        file_id: &'a str,
    },
}

#[derive(Serialize)]
pub(super) struct Audio<'a> {
    data: &'a str,
    format: &'a str,
}

/// Converts messages to a conversation. `in_place` leaves all instructions in the input.
///
/// # Errors
/// A 400 that names a message which this wire does not support.
pub(super) fn write(messages: &[Message], in_place: bool) -> Result<Conversation<'_>, Fault> {
    let leading = messages
        .iter()
        .take_while(|message| is_instruction(message))
        .count();
    // The API rejects a request without input.
    let leading = if in_place || leading == messages.len() {
        0
    } else {
        leading
    };
    let custom = custom_calls(messages);
    let mut input = Vec::with_capacity(messages.len());
    for (at, message) in messages.iter().enumerate().skip(leading) {
        match message.role {
            Role::System => input.push(Item::Message {
                // Later instructions keep their position in the conversation.
                role: "developer",
                content: Content::from_pieces(pieces(&message.parts, at)?),
            }),
            Role::Assistant => input.extend(assistant(message, at)?),
            Role::User | Role::Tool => push_user_items(message, at, &custom, &mut input)?,
        }
    }
    Ok(Conversation {
        instructions: instructions(messages.iter().take(leading)),
        input,
    })
}

fn is_instruction(message: &Message) -> bool {
    message.role == Role::System
        && message
            .parts
            .iter()
            .all(|part| matches!(part, Part::Text(_) | Part::CacheMark(_)))
}

fn instructions<'a>(messages: impl Iterator<Item = &'a Message>) -> Option<Cow<'a, str>> {
    let texts = messages
        .flat_map(|message| &message.parts)
        .filter_map(|part| match part {
            Part::Text(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        });
    let texts: Vec<&str> = texts.collect();
    match texts[..] {
        [] => None,
        [text] => Some(Cow::Borrowed(text)),
        _ => Some(Cow::Owned(texts.join("\n\n"))),
    }
}

/// Returns the ids of custom tools' calls. Their results are items of another type.
fn custom_calls(messages: &[Message]) -> BTreeSet<&str> {
    let parts = messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| {
            if let Part::ToolCall(call) = part {
                call.custom.then_some(call.id.as_str())
            } else {
                None
            }
        })
        .collect()
}

/// Returns the text, reasoning and calls of the model, in order.
fn assistant(message: &Message, at: usize) -> Result<Vec<Item<'_>>, Fault> {
    let mut items = Vec::new();
    let mut pieces = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => pieces.push(Piece::OutputText { text }),
            Part::Refusal(refusal) => pieces.push(Piece::Refusal { refusal }),
            Part::CacheMark(_) => {}
            Part::Reasoning(past) => {
                items.extend(take_message(&mut pieces));
                items.extend(reasoning(past));
            }
            Part::ToolCall(call) => {
                items.extend(take_message(&mut pieces));
                items.push(call_item(call));
            }
            Part::Image { .. } | Part::File { .. } | Part::Audio { .. } | Part::ToolResult(_) => {
                return Err(invalid(
                    at,
                    "the openai-responses wire supports images, files and audio \
                     in user and tool messages only",
                ));
            }
        }
    }
    items.extend(take_message(&mut pieces));
    // The API rejects reasoning that is not followed by another item.
    let followed = items
        .iter()
        .rposition(|item| !matches!(item, Item::Reasoning { .. }))
        .map_or(0, |last| last + 1);
    items.truncate(followed);
    Ok(items)
}

/// Takes the collected pieces as one message of the model, if there are any.
fn take_message<'a>(pieces: &mut Vec<Piece<'a>>) -> Option<Item<'a>> {
    (!pieces.is_empty()).then(|| Item::Message {
        role: "assistant",
        content: Content::from_pieces(std::mem::take(pieces)),
    })
}

/// Returns past reasoning. It is sent back encrypted and only to the wire that made it: the model
/// cannot continue from the text alone.
fn reasoning(past: &PastReasoning) -> Option<Item<'_>> {
    let ours = past.wire == Some(WireId::OpenaiResponses) && !past.on_text;
    let encrypted_content = past.redacted.as_deref().filter(|_| ours)?;
    Some(Item::Reasoning {
        id: past.signature.as_deref(),
        summary: [],
        encrypted_content,
    })
}

/// Returns the item of a past call.
fn call_item(call: &PastCall) -> Item<'_> {
    let (call_id, name, arguments) = (
        call_id(&call.id),
        call.name.as_str(),
        call.arguments.as_str(),
    );
    if call.custom {
        return Item::CustomToolCall {
            call_id,
            name,
            input: arguments,
        };
    }
    Item::FunctionCall {
        call_id,
        name,
        // Models leave the arguments of a function without parameters empty.
        arguments: if arguments.trim().is_empty() {
            "{}"
        } else {
            arguments
        },
    }
}

/// Adds each tool result as an item, then all other parts as one message.
fn push_user_items<'a>(
    message: &'a Message,
    at: usize,
    custom: &BTreeSet<&str>,
    input: &mut Vec<Item<'a>>,
) -> Result<(), Fault> {
    let mut rest = Vec::new();
    let mut has_results = false;
    for part in &message.parts {
        match part {
            Part::ToolResult(result) => {
                has_results = true;
                input.push(result_item(
                    result,
                    at,
                    custom.contains(result.id.as_str()),
                )?);
            }
            part => rest.extend(piece(part, at)?),
        }
    }
    // A user message without content is still a turn; one with results only is not.
    if !rest.is_empty() || !has_results {
        input.push(Item::Message {
            role: "user",
            content: Content::from_pieces(rest),
        });
    }
    Ok(())
}

/// Returns the item of a tool result.
fn result_item(result: &ToolResult, at: usize, custom: bool) -> Result<Item<'_>, Fault> {
    if result
        .parts
        .iter()
        .any(|part| matches!(part, Part::Audio { .. }))
    {
        return Err(invalid(
            at,
            "a tool result supports text, images and files only",
        ));
    }
    let (call_id, output) = (
        call_id(&result.id),
        Content::from_pieces(pieces(&result.parts, at)?),
    );
    Ok(if custom {
        Item::CustomToolCallOutput { call_id, output }
    } else {
        Item::FunctionCallOutput { call_id, output }
    })
}

fn pieces(parts: &[Part], at: usize) -> Result<Vec<Piece<'_>>, Fault> {
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        pieces.extend(piece(part, at)?);
    }
    Ok(pieces)
}

/// Converts a part of the model's input. Returns `None` for parts that are left out.
fn piece(part: &Part, at: usize) -> Result<Option<Piece<'_>>, Fault> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Ok(Some(Piece::InputText { text })),
        Part::Image { source, detail } => {
            let detail = detail.as_deref().unwrap_or(DEFAULT_DETAIL);
            Ok(Some(Piece::InputImage {
                source: image(source),
                detail,
            }))
        }
        Part::File { source, filename } => Ok(Some(file(source, filename.as_deref()))),
        Part::Audio { data, format } => Ok(Some(Piece::InputAudio {
            input_audio: Audio { data, format },
        })),
        Part::CacheMark(_) => Ok(None),
        Part::Reasoning(_) | Part::ToolCall(_) => Err(invalid(
            at,
            "only assistant messages may contain reasoning and tool calls",
        )),
        Part::ToolResult(_) => Err(invalid(at, "only tool messages may contain tool results")),
    }
}

fn image(source: &Source) -> Image<'_> {
    match source {
        Source::Url(url) => Image::ImageUrl(Cow::Borrowed(url)),
        Source::Data { media_type, base64 } => {
            Image::ImageUrl(Cow::Owned(data_uri(media_type, base64)))
        }
        Source::FileId(id) => Image::FileId(id),
    }
}

/// Converts a file. The API requires a name with its data, and does not accept images as files.
fn file<'a>(source: &'a Source, filename: Option<&'a str>) -> Piece<'a> {
    match source {
        Source::Url(url) => Piece::InputFile(File::Url { file_url: url }),
        Source::FileId(id) => Piece::InputFile(File::Id { file_id: id }),
        Source::Data { media_type, .. } if media_type.starts_with("image/") => Piece::InputImage {
            source: image(source),
            detail: DEFAULT_DETAIL,
        },
        Source::Data { media_type, base64 } => {
            let default_name = if media_type.starts_with("application/pdf") {
                "file.pdf"
            } else {
                "file"
            };
            let filename = filename
                .filter(|name| !name.is_empty())
                .unwrap_or(default_name);
            Piece::InputFile(File::Data {
                filename,
                file_data: data_uri(media_type, base64),
            })
        }
    }
}

fn data_uri(media_type: &str, base64: &str) -> String {
    format!("data:{media_type};base64,{base64}")
}

/// Returns a call id that this wire accepts. An id that is too long or has other characters is
/// replaced by its digest, which is the same for the call and its result, and in every later turn.
fn call_id(id: &str) -> Cow<'_, str> {
    let plain = id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && !id.is_empty() && id.len() <= MAX_CALL_ID {
        return Cow::Borrowed(id);
    }
    let digest = Sha256::digest(id);
    // 32 digits after the prefix stay within `MAX_CALL_ID`.
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    Cow::Owned(format!("call_{}", digits.collect::<String>()))
}

fn invalid(at: usize, what: &str) -> Fault {
    Fault::invalid("messages", format!("messages[{at}]: {what}"))
}
