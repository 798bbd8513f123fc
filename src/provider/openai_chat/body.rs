//! A chat in no provider's words → the wire's body.
//!
//! Left out, as they change no meaning: reasoning brought back (no such server takes another's), `top_k`. What cannot be
//! said here is a 400 that names it.

mod parts;
mod spelling;

use bytes::Bytes;

use self::spelling::{Body, Call, Content, Function, Options, Piece, Spelled, Turn};
use crate::model::chat::{Chat, Format, Message, Part, Role, Tool, ToolChoice, ToolResult};
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::model::wire::Wire;
use crate::provider::Mode;

/// The body for a target.
pub(super) fn write(chat: &Chat, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    if let Some(field) = chat.unsupported.first() {
        return Err(Fault::invalid(*field, format!("`{field}` cannot be translated to {}: leave it out", Wire::OpenaiChat.name())));
    }
    let quirks = target.account.quirks;
    let stream = mode == Mode::Stream;
    let tools = chat.tools.iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    let body = Body {
        model: &target.model,
        messages: messages(&chat.messages)?,
        tool_choice: chat.tool_choice.as_ref().map(choice),
        parallel_tool_calls: chat.parallel_tools.filter(|_| !tools.is_empty()),
        tools,
        max_tokens: chat.max_tokens.filter(|_| quirks.max_tokens),
        max_completion_tokens: chat.max_tokens.filter(|_| !quirks.max_tokens),
        temperature: chat.temperature,
        top_p: chat.top_p,
        seed: chat.seed,
        presence_penalty: chat.presence_penalty,
        frequency_penalty: chat.frequency_penalty,
        stop: &chat.stop,
        n: chat.choices.filter(|choices| *choices > 1),
        response_format: chat.format.as_ref().map(format),
        reasoning_effort: chat.effort.as_deref().or_else(|| chat.reasoning_budget.map(effort)),
        verbosity: chat.verbosity.as_deref(),
        logprobs: chat.logprobs,
        top_logprobs: chat.top_logprobs,
        logit_bias: chat.logit_bias.as_deref(),
        user: chat.user.as_deref(),
        service_tier: chat.service_tier.as_deref(),
        metadata: chat.metadata.as_deref(),
        stream,
        stream_options: (stream && !quirks.no_stream_options).then_some(Options { include_usage: true }),
    };
    let json = serde_json::to_vec(&body).map_err(|error| Fault::invalid("body", format!("the request cannot be written: {error}")))?;
    Ok(json.into())
}

/// The effort nearest to a budget of reasoning tokens.
fn effort(budget: u64) -> &'static str {
    match budget {
        0 => "none",
        1..4096 => "low",
        4096..16384 => "medium",
        _ => "high",
    }
}

fn messages(messages: &[Message]) -> Result<Vec<Turn<'_>>, Fault> {
    let mut turns = Vec::with_capacity(messages.len());
    for message in messages {
        match message.role {
            Role::System => turns.push(Turn { content: Some(parts::content(&message.parts)?), ..turn("system", message) }),
            Role::Assistant => turns.push(assistant(message)?),
            Role::User | Role::Tool => said_to_model(message, &mut turns)?,
        }
    }
    Ok(turns)
}

/// The results of tools, each a turn of its own; then, in one, what else was said and what results cannot hold here.
fn said_to_model<'a>(message: &'a Message, turns: &mut Vec<Turn<'a>>) -> Result<(), Fault> {
    let mut rest = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolResult(result) => turns.push(tool_result(result, &mut rest)?),
            part => rest.extend(parts::piece(part)?),
        }
    }
    let is_result = message.parts.iter().any(|part| matches!(part, Part::ToolResult(_)));
    if !rest.is_empty() || !is_result {
        turns.push(Turn { content: Some(Content::of(rest)), ..turn("user", message) });
    }
    Ok(())
}

/// Results hold text only: pictures and files follow in the person's turn.
fn tool_result<'a>(result: &'a ToolResult, rest: &mut Vec<Piece<'a>>) -> Result<Turn<'a>, Fault> {
    let mut words = Vec::new();
    for part in &result.parts {
        let pieces = if matches!(part, Part::Text(_)) { &mut words } else { &mut *rest };
        pieces.extend(parts::piece(part)?);
    }
    Ok(Turn { role: "tool", content: Some(Content::of(words)), tool_call_id: Some(&result.id), ..Turn::default() })
}

fn assistant(message: &Message) -> Result<Turn<'_>, Fault> {
    let mut pieces = Vec::new();
    let mut refusal = None;
    let mut tool_calls = Vec::new();
    for part in &message.parts {
        match part {
            Part::ToolCall(call) => tool_calls.push(Call::of(call)),
            Part::Refusal(text) => refusal = Some(text.as_str()),
            part => pieces.extend(parts::piece(part)?),
        }
    }
    let content = if pieces.is_empty() && (refusal.is_some() || !tool_calls.is_empty()) { None } else { Some(Content::of(pieces)) };
    Ok(Turn { content, refusal, tool_calls, ..turn("assistant", message) })
}

fn turn<'a>(role: &'static str, message: &'a Message) -> Turn<'a> {
    Turn { role, name: message.name.as_deref(), ..Turn::default() }
}

fn tool(tool: &Tool) -> Result<Spelled<'_>, Fault> {
    match tool {
        Tool::Function { name, description, parameters, strict } => Ok(Spelled::function(Function {
            name,
            description: description.as_deref(),
            parameters: parameters.as_deref(),
            strict: *strict,
        })),
        Tool::Native { wire: Wire::OpenaiChat, json, .. } => Ok(Spelled::Raw(json)),
        Tool::Native { kind, .. } => {
            Err(Fault::invalid("tools", format!("a tool of type `{kind}` cannot be translated to {}", Wire::OpenaiChat.name())))
        }
    }
}

fn choice(choice: &ToolChoice) -> Spelled<'_> {
    match choice {
        ToolChoice::None => Spelled::Word("none"),
        ToolChoice::Auto => Spelled::Word("auto"),
        ToolChoice::Required => Spelled::Word("required"),
        ToolChoice::Named(name) => Spelled::function(Function::named(name)),
        ToolChoice::Allowed { names, required } => Spelled::allowed(names, *required),
    }
}

fn format(format: &Format) -> Spelled<'_> {
    match format {
        Format::Text => Spelled::Typed { kind: "text" },
        Format::Json => Spelled::Typed { kind: "json_object" },
        Format::Schema { name, description, schema, strict } => Spelled::schema(name, description.as_deref(), schema.as_deref(), *strict),
    }
}

#[cfg(test)]
mod tests;
