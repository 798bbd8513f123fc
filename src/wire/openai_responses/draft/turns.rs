//! The conversation: leading instructions apart, then one item for each thing that was said, called
//! or answered.
//!
//! Invariants: calls and their answers stand in the order they came, under the same id; reasoning
//! stands before what followed from it, and only that which this wire has made.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::chat::{Message, Part, PastCall, PastReasoning, Role, Source, ToolResult};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The longest id of a call that the API takes, in bytes.
const MAX_CALL_ID: usize = 64;

/// How closely to look where nobody has said it: the API's own default, which compatible servers
/// demand.
const UNSAID_DETAIL: &str = "auto";

/// A conversation as this wire has it.
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
    /// The pieces, as a string where they are one text or none: compatible servers want more of a
    /// past message in pieces than anybody has kept of it.
    fn of(pieces: Vec<Piece<'a>>) -> Self {
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
        input_audio: Sound<'a>,
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
pub(super) struct Sound<'a> {
    data: &'a str,
    format: &'a str,
}

/// The conversation that these messages are. `in_place` leaves all instructions in the input.
pub(super) fn of(messages: &[Message], in_place: bool) -> Result<Conversation<'_>, Fault> {
    let leading = messages
        .iter()
        .take_while(|message| is_instruction(message))
        .count();
    // A request must have some input.
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
                role: "developer",
                content: Content::of(pieces(&message.parts, at)?),
            }),
            Role::Assistant => input.extend(assistant(message, at)?),
            Role::User | Role::Tool => said_to_model(message, at, &custom, &mut input)?,
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

/// The ids of calls of custom tools: their answers are items of another kind.
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

/// What the model said, thought and called, in order.
fn assistant(message: &Message, at: usize) -> Result<Vec<Item<'_>>, Fault> {
    let mut items = Vec::new();
    let mut said = Vec::new();
    for part in &message.parts {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => said.push(Piece::OutputText { text }),
            Part::Refusal(refusal) => said.push(Piece::Refusal { refusal }),
            Part::CacheMark(_) => {}
            Part::Reasoning(past) => {
                items.extend(utterance(&mut said));
                items.extend(reasoning(past));
            }
            Part::ToolCall(call) => {
                items.extend(utterance(&mut said));
                items.push(called(call));
            }
            Part::Image { .. } | Part::File { .. } | Part::Audio { .. } | Part::ToolResult(_) => {
                return Err(invalid(
                    at,
                    "the openai-responses wire takes images, files and audio in user and tool messages only",
                ));
            }
        }
    }
    items.extend(utterance(&mut said));
    let followed = items
        .iter()
        .rposition(|item| !matches!(item, Item::Reasoning { .. }))
        .map_or(0, |last| last + 1);
    items.truncate(followed);
    Ok(items)
}

fn utterance<'a>(said: &mut Vec<Piece<'a>>) -> Option<Item<'a>> {
    (!said.is_empty()).then(|| Item::Message {
        role: "assistant",
        content: Content::of(std::mem::take(said)),
    })
}

/// Reasoning goes back encrypted, and only to the wire that made it: its words alone are nothing to
/// go on with.
fn reasoning(past: &PastReasoning) -> Option<Item<'_>> {
    let ours = past.wire == Some(WireId::OpenaiResponses) && !past.on_text;
    let encrypted_content = past.redacted.as_deref().filter(|_| ours)?;
    Some(Item::Reasoning {
        id: past.signature.as_deref(),
        summary: [],
        encrypted_content,
    })
}

fn called(call: &PastCall) -> Item<'_> {
    let (call_id, name, words) = (
        call_id(&call.id),
        call.name.as_str(),
        call.arguments.as_str(),
    );
    if call.custom {
        return Item::CustomToolCall {
            call_id,
            name,
            input: words,
        };
    }
    Item::FunctionCall {
        call_id,
        name,
        arguments: if words.trim().is_empty() { "{}" } else { words },
    }
}

/// The answers of tools, each an item of its own; then, in one, what else was said.
fn said_to_model<'a>(
    message: &'a Message,
    at: usize,
    custom: &BTreeSet<&str>,
    input: &mut Vec<Item<'a>>,
) -> Result<(), Fault> {
    let mut rest = Vec::new();
    let mut answers = false;
    for part in &message.parts {
        match part {
            Part::ToolResult(result) => {
                answers = true;
                input.push(answer(result, at, custom.contains(result.id.as_str()))?);
            }
            part => rest.extend(piece(part, at)?),
        }
    }
    if !rest.is_empty() || !answers {
        input.push(Item::Message {
            role: "user",
            content: Content::of(rest),
        });
    }
    Ok(())
}

fn answer(result: &ToolResult, at: usize, custom: bool) -> Result<Item<'_>, Fault> {
    if result
        .parts
        .iter()
        .any(|part| matches!(part, Part::Audio { .. }))
    {
        return Err(invalid(
            at,
            "a tool's answer holds text, images and files only",
        ));
    }
    let (call_id, output) = (call_id(&result.id), Content::of(pieces(&result.parts, at)?));
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

/// A piece of what the model is told.
fn piece(part: &Part, at: usize) -> Result<Option<Piece<'_>>, Fault> {
    match part {
        Part::Text(text) | Part::Refusal(text) => Ok(Some(Piece::InputText { text })),
        Part::Image { source, detail } => {
            let detail = detail.as_deref().unwrap_or(UNSAID_DETAIL);
            Ok(Some(Piece::InputImage {
                source: image(source),
                detail,
            }))
        }
        Part::File { source, filename } => Ok(Some(file(source, filename.as_deref()))),
        Part::Audio { data, format } => Ok(Some(Piece::InputAudio {
            input_audio: Sound { data, format },
        })),
        Part::CacheMark(_) => Ok(None),
        Part::Reasoning(_) | Part::ToolCall(_) => Err(invalid(
            at,
            "reasoning and tool calls stand in turns of the model only",
        )),
        Part::ToolResult(_) => Err(invalid(at, "a tool's answer stands in a tool message only")),
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

/// A document. The API wants a name with its bytes; a picture is none to it.
fn file<'a>(source: &'a Source, filename: Option<&'a str>) -> Piece<'a> {
    match source {
        Source::Url(url) => Piece::InputFile(File::Url { file_url: url }),
        Source::FileId(id) => Piece::InputFile(File::Id { file_id: id }),
        Source::Data { media_type, .. } if media_type.starts_with("image/") => Piece::InputImage {
            source: image(source),
            detail: UNSAID_DETAIL,
        },
        Source::Data { media_type, base64 } => {
            let unnamed = if media_type.starts_with("application/pdf") {
                "file.pdf"
            } else {
                "file"
            };
            let filename = filename.filter(|name| !name.is_empty()).unwrap_or(unnamed);
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

/// The id of a call, as this wire takes it. One that is too long, or in other letters, is replaced
/// by a digest of it: the same for the call and its answer, in this turn and in every later one.
fn call_id(id: &str) -> Cow<'_, str> {
    let plain = id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && !id.is_empty() && id.len() <= MAX_CALL_ID {
        return Cow::Borrowed(id);
    }
    let digest = Sha256::digest(id);
    let digits = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    Cow::Owned(format!("call_{}", digits.collect::<String>()))
}

fn invalid(at: usize, what: &str) -> Fault {
    Fault::invalid("messages", format!("messages[{at}]: {what}"))
}
