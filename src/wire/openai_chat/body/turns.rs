//! Writes the turns of a conversation as this wire's messages.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::request::{Call, Content, Piece, Turn};
use super::{Context, parts, past};
use crate::model::chat::{Chat, Message, Part, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Vocabulary};

/// Returns true if the chat offers tools or contains tool calls.
pub(super) fn have_tools(chat: &Chat) -> bool {
    !chat.tools.is_empty()
        || chat
            .messages
            .iter()
            .flat_map(|message| &message.parts)
            .any(|part| matches!(part, Part::ToolCall(_)))
}

/// Returns all messages of a conversation.
pub(super) fn messages<'a>(
    messages: &'a [Message],
    context: Context<'_>,
) -> Result<Vec<Turn<'a>>, Fault> {
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        match message.role {
            Role::System => turns.push(Turn {
                content: Some(parts::content(&message.parts, context)?),
                ..turn("system", message, context)
            }),
            Role::Assistant => turns.push(assistant(message, context)?),
            Role::User | Role::Tool => push_user_turns(message, context, &mut turns)?,
        }
    }
    Ok(turns)
}

/// Appends the tool results of a message, each as a turn of its own; then, in one user turn, the
/// other parts of the message and the media that results cannot contain on this wire.
fn push_user_turns<'a>(
    message: &'a Message,
    context: Context<'_>,
    turns: &mut Vec<Turn<'a>>,
) -> Result<(), Fault> {
    let mut rest = Vec::new();
    let mut results = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolResult(_) if !context.quirks.accepts.tools => return Err(tools_unsupported()),
            Part::ToolResult(result) => results.push(tool_result(result, context, &mut rest)?),
            // A mark before any other part belongs to the last result.
            Part::CacheMark(mark) if rest.is_empty() && context.quirks.cache_marks => {
                results
                    .last_mut()
                    .into_iter()
                    .for_each(|pieces: &mut (_, _)| parts::mark_last_text(&mut pieces.1, mark));
            }
            part => parts::add(part, context, &mut rest)?,
        }
    }
    let has_results = !results.is_empty();
    turns.extend(results.into_iter().map(|(id, pieces)| Turn {
        role: "tool",
        content: Some(Content::from_pieces(pieces)),
        tool_call_id: Some(id),
        ..Turn::default()
    }));
    // A message that has only results needs no user turn.
    if !rest.is_empty() || !has_results {
        turns.push(Turn {
            content: Some(Content::from_pieces(rest)),
            ..turn("user", message, context)
        });
    }
    Ok(())
}

/// The call id and the text of a tool result. Results contain only text on this wire; images and
/// files follow in the user turn.
type ResultText<'a> = (Cow<'a, str>, Vec<Piece<'a>>);

fn tool_result<'a>(
    result: &'a ToolResult,
    context: Context<'_>,
    rest: &mut Vec<Piece<'a>>,
) -> Result<ResultText<'a>, Fault> {
    let mut text = Vec::new();
    for part in &result.parts {
        let pieces = if matches!(part, Part::Text(_) | Part::CacheMark(_)) {
            &mut text
        } else {
            &mut *rest
        };
        parts::add(part, context, pieces)?;
    }
    Ok((call_id(&result.id, context), text))
}

fn assistant<'a>(message: &'a Message, context: Context<'_>) -> Result<Turn<'a>, Fault> {
    let mut pieces = Vec::new();
    let mut refusal = None;
    let mut tool_calls = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolCall(_) if !context.quirks.accepts.tools => return Err(tools_unsupported()),
            Part::ToolCall(call) => {
                tool_calls.push(Call::from_past(call, call_id(&call.id, context)));
            }
            // Without a field for refusals the text goes into the content.
            Part::Refusal(text) if !context.quirks.no_refusals => refusal = Some(text.as_str()),
            part => parts::add(part, context, &mut pieces)?,
        }
    }
    let content = if pieces.is_empty() && (refusal.is_some() || !tool_calls.is_empty()) {
        None
    } else {
        Some(Content::from_pieces(pieces))
    };
    let past = past::reasoning(&message.parts, context);
    Ok(Turn {
        content,
        refusal,
        past,
        tool_calls,
        ..turn("assistant", message, context)
    })
}

fn turn<'a>(role: &'static str, message: &'a Message, context: Context<'_>) -> Turn<'a> {
    Turn {
        role,
        name: context
            .quirks
            .lacks
            .unless(Hints::NAMES, message.name.as_deref()),
        ..Turn::default()
    }
}

fn tools_unsupported() -> Fault {
    Fault::invalid(
        "messages",
        "this target does not support tools, but the conversation contains tool calls: choose \
         another model",
    )
}

/// Length of Mistral's tool call ids, which consist of ASCII letters and digits.
const MISTRAL_ID_LEN: usize = 9;

/// Returns the id of a call in the form that the target accepts. The mapping is deterministic, so a
/// call and its result keep the same id.
fn call_id<'a>(id: &'a str, context: Context<'_>) -> Cow<'a, str> {
    let fits = id.len() == MISTRAL_ID_LEN && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if context.quirks.vocabulary != Vocabulary::Mistral || fits {
        return id.into();
    }
    // Replace an id of another form by its digest, written in 32 of the 36 digits and letters.
    let digest = Sha256::digest(id.as_bytes());
    digest
        .iter()
        .take(MISTRAL_ID_LEN)
        .map(|byte| char::from_digit(u32::from(byte % 32), 36).unwrap_or('0'))
        .collect::<String>()
        .into()
}
