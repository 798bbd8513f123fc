//! The turns of a conversation.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::spelling::{Call, Content, Piece, Turn};
use super::{Manner, parts, past};
use crate::model::chat::{Chat, Message, Part, Role, ToolResult};
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Spelling};

/// Tools may be called, or have been.
pub(super) fn have_tools(chat: &Chat) -> bool {
    !chat.tools.is_empty()
        || chat
            .messages
            .iter()
            .flat_map(|message| &message.parts)
            .any(|part| matches!(part, Part::ToolCall(_)))
}

/// All turns.
pub(super) fn messages<'a>(
    messages: &'a [Message],
    manner: Manner<'_>,
) -> Result<Vec<Turn<'a>>, Fault> {
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        match message.role {
            Role::System => turns.push(Turn {
                content: Some(parts::content(&message.parts, manner)?),
                ..turn("system", message, manner)
            }),
            Role::Assistant => turns.push(assistant(message, manner)?),
            Role::User | Role::Tool => said_to_model(message, manner, &mut turns)?,
        }
    }
    Ok(turns)
}

/// The results of tools, each a turn of its own; then, in one, what else was said and what results
/// cannot hold here.
fn said_to_model<'a>(
    message: &'a Message,
    manner: Manner<'_>,
    turns: &mut Vec<Turn<'a>>,
) -> Result<(), Fault> {
    let mut rest = Vec::new();
    let mut results = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolResult(_) if manner.quirks.no_tools => return Err(toolless()),
            Part::ToolResult(result) => results.push(tool_result(result, manner, &mut rest)?),
            Part::CacheMark(mark) if rest.is_empty() && manner.quirks.cache_marks => {
                results
                    .last_mut()
                    .into_iter()
                    .for_each(|pieces: &mut (_, _)| parts::mark(&mut pieces.1, mark));
            }
            part => parts::add(part, manner, &mut rest)?,
        }
    }
    let is_result = !results.is_empty();
    turns.extend(results.into_iter().map(|(id, pieces)| Turn {
        role: "tool",
        content: Some(Content::of(pieces)),
        tool_call_id: Some(id),
        ..Turn::default()
    }));
    if !rest.is_empty() || !is_result {
        turns.push(Turn {
            content: Some(Content::of(rest)),
            ..turn("user", message, manner)
        });
    }
    Ok(())
}

/// The id of the call, and the result's text: results hold no more, pictures and files follow in
/// the person's turn.
type Answered<'a> = (Cow<'a, str>, Vec<Piece<'a>>);

fn tool_result<'a>(
    result: &'a ToolResult,
    manner: Manner<'_>,
    rest: &mut Vec<Piece<'a>>,
) -> Result<Answered<'a>, Fault> {
    let mut words = Vec::new();
    for part in &result.parts {
        let pieces = if matches!(part, Part::Text(_) | Part::CacheMark(_)) {
            &mut words
        } else {
            &mut *rest
        };
        parts::add(part, manner, pieces)?;
    }
    Ok((id(&result.id, manner), words))
}

fn assistant<'a>(message: &'a Message, manner: Manner<'_>) -> Result<Turn<'a>, Fault> {
    let mut pieces = Vec::new();
    let mut refusal = None;
    let mut tool_calls = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolCall(_) if manner.quirks.no_tools => return Err(toolless()),
            Part::ToolCall(call) => tool_calls.push(Call::of(call, id(&call.id, manner))),
            Part::Refusal(text) if !manner.quirks.no_refusals => refusal = Some(text.as_str()),
            part => parts::add(part, manner, &mut pieces)?,
        }
    }
    let content = if pieces.is_empty() && (refusal.is_some() || !tool_calls.is_empty()) {
        None
    } else {
        Some(Content::of(pieces))
    };
    let past = past::reasoning(&message.parts, manner);
    Ok(Turn {
        content,
        refusal,
        past,
        tool_calls,
        ..turn("assistant", message, manner)
    })
}

fn turn<'a>(role: &'static str, message: &'a Message, manner: Manner<'_>) -> Turn<'a> {
    Turn {
        role,
        name: manner
            .quirks
            .lacks
            .unless(Hints::NAMES, message.name.as_deref()),
        ..Turn::default()
    }
}

fn toolless() -> Fault {
    Fault::invalid(
        "messages",
        "this target calls no tools, and the conversation has calls of some: choose another model",
    )
}

/// Mistral's ids have nine letters and digits.
const MISTRAL_ID: usize = 9;

/// The id of a call as the target takes it: the same for the call and for its result.
fn id<'a>(id: &'a str, manner: Manner<'_>) -> Cow<'a, str> {
    let fits = id.len() == MISTRAL_ID && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if manner.quirks.spelling != Spelling::Mistral || fits {
        return id.into();
    }
    // What is shorter or longer is named by its digest, in the 32 first of 36 signs.
    let digest = Sha256::digest(id.as_bytes());
    digest
        .iter()
        .take(MISTRAL_ID)
        .map(|byte| char::from_digit(u32::from(byte % 32), 36).unwrap_or('0'))
        .collect::<String>()
        .into()
}
