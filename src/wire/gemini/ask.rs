//! Writes a chat as a `generateContent` request.

mod body;
mod count;

use std::fmt::Write as _;

use bytes::Bytes;

use self::body::{Body, Function, FunctionCalling, GenerationConfig, Thinking, Tool, ToolConfig};
use super::turns;
use crate::model::ask::Ask;
use crate::model::chat::{self, Chat, Format, ToolChoice};
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::request::{TRACEPARENT, forwarded_headers};
use crate::wire::{Draft, Mode};

pub(super) use self::body::{Args, Blob, Content, FunctionCall, FunctionResponse, Part, Response};
pub(super) use self::count::{count, read_count};

/// Maximum number of stop sequences that Gemini accepts.
const MAX_STOP_SEQUENCES: usize = 5;

/// Returns the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::Gemini) {
        // The model is in the path, so the body needs no change.
        ask.body.clone()
    } else {
        encode(ask.chat()?, target.upstream_model())?
    };
    Ok(Draft {
        path: path(target.upstream_model(), mode),
        headers: forwarded_headers(ask, &[TRACEPARENT]),
        body,
    })
}

/// Returns the path of a request for `model`. A name without a collection is put under `models/`;
/// `tunedModels/` is the other collection.
pub(super) fn path(model: &str, mode: Mode) -> String {
    let (folder, name) = match model.split_once('/') {
        Some((folder @ ("models" | "tunedModels"), name)) => (folder, name),
        _ => ("models", model),
    };
    let mut path = format!("/{folder}/");
    // The name may come from the client: percent-encode every byte that could end or leave its
    // path segment.
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let written = write!(path, "%{byte:02X}");
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
    }
    path.push_str(match mode {
        Mode::Stream => ":streamGenerateContent?alt=sse",
        Mode::Whole => ":generateContent",
    });
    path
}

fn encode(chat: &Chat, model: &str) -> Result<Bytes, Fault> {
    to_json(&body(chat, model)?)
}

/// Returns the request body in this wire's form.
pub(super) fn body<'a>(chat: &'a Chat, model: &str) -> Result<Body<'a>, Fault> {
    reject_unsupported(chat)?;
    let (system_instruction, contents) = turns::contents(chat, model)?;
    Ok(Body {
        system_instruction,
        contents,
        tools: tools(&chat.tools)?,
        tool_config: chat
            .tool_choice
            .as_ref()
            .filter(|_| !chat.tools.is_empty())
            .map(tool_config),
        generation_config: generation_config(chat, model)?,
        service_tier: chat
            .service_tier
            .as_deref()
            // Other dialects' tiers (`auto`, `default`) do not exist here; the tier is a hint.
            .filter(|tier| matches!(*tier, "flex" | "priority")),
    })
}

/// Encodes the request body as JSON.
pub(super) fn to_json(body: &Body<'_>) -> Result<Bytes, Fault> {
    let json = serde_json::to_vec(body).map_err(|_| {
        Fault::new(
            Code::InternalError,
            "the request for gemini cannot be written as JSON",
        )
    })?;
    Ok(json.into())
}

fn reject_unsupported(chat: &Chat) -> Result<(), Fault> {
    if let Some(field) = chat.unsupported.first() {
        return Err(Fault::invalid(
            *field,
            format!("{field} is not supported by this model's provider (gemini); leave it out"),
        ));
    }
    // An empty object biases nothing, so it is accepted and left out.
    let biased = chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'));
    if biased {
        return Err(Fault::invalid(
            "logit_bias",
            "logit_bias is not supported by this model's provider (gemini); leave it out",
        ));
    }
    Ok(())
}

fn tools(tools: &[chat::Tool]) -> Result<Vec<Tool<'_>>, Fault> {
    let (mut functions, mut all) = (Vec::new(), Vec::new());
    for (at, tool) in tools.iter().enumerate() {
        match tool {
            chat::Tool::Function {
                name,
                description,
                parameters,
                ..
            } => {
                // `parameters` would take only a subset of OpenAPI; this member takes JSON Schema.
                let parameters_json_schema = parameters.as_deref();
                functions.push(Function {
                    name,
                    description: description.as_deref(),
                    parameters_json_schema,
                });
            }
            chat::Tool::Native {
                wire: WireId::Gemini,
                json,
                ..
            } => all.push(Tool::Native(json)),
            chat::Tool::Native { kind, .. } => {
                let message = format!(
                    "tools[{at}]: this model's provider (gemini) does not support tools of type \
                     {kind:?}; use functions"
                );
                return Err(Fault::invalid(format!("tools[{at}].type"), message));
            }
        }
    }
    if !functions.is_empty() {
        all.insert(0, Tool::Functions(functions));
    }
    Ok(all)
}

fn tool_config(choice: &ToolChoice) -> ToolConfig<'_> {
    let (mode, allowed_function_names) = match choice {
        ToolChoice::None => ("NONE", Vec::new()),
        ToolChoice::Auto => ("AUTO", Vec::new()),
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Named(name) => ("ANY", vec![name.as_str()]),
        // AUTO does not accept names; VALIDATED is AUTO with names.
        ToolChoice::Allowed { names, required } => (
            if *required { "ANY" } else { "VALIDATED" },
            names.iter().map(String::as_str).collect(),
        ),
    };
    ToolConfig {
        function_calling_config: FunctionCalling {
            mode,
            allowed_function_names,
        },
    }
}

fn generation_config<'a>(chat: &'a Chat, model: &str) -> Result<GenerationConfig<'a>, Fault> {
    if chat.stop.len() > MAX_STOP_SEQUENCES {
        let message = format!(
            "stop: this model's provider (gemini) accepts at most {MAX_STOP_SEQUENCES} sequences, \
             not {}; send fewer",
            chat.stop.len()
        );
        return Err(Fault::invalid("stop", message));
    }
    let (response_mime_type, response_json_schema) = match &chat.format {
        None | Some(Format::Text) => (None, None),
        Some(Format::Json) => (Some("application/json"), None),
        Some(Format::Schema { schema, .. }) => (Some("application/json"), schema.as_deref()),
    };
    Ok(GenerationConfig {
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: chat.top_k,
        max_output_tokens: chat.max_tokens,
        stop_sequences: &chat.stop,
        seed: chat.seed,
        presence_penalty: chat.presence_penalty,
        frequency_penalty: chat.frequency_penalty,
        candidate_count: chat.choices.filter(|count| *count > 1),
        response_logprobs: chat.logprobs.filter(|wanted| *wanted),
        logprobs: chat.top_logprobs.filter(|_| chat.logprobs == Some(true)),
        response_mime_type,
        response_json_schema,
        thinking_config: thinking_config(chat, model)?,
    })
}

/// Returns the thinking configuration for the chat's budget or effort. A budget is more precise
/// than an effort and takes precedence.
fn thinking_config(chat: &Chat, model: &str) -> Result<Option<Thinking>, Fault> {
    if let Some(budget) = chat.reasoning_budget {
        return Ok(Some(with_budget(budget)));
    }
    let Some(effort) = chat.effort.as_deref() else {
        return Ok(None);
    };
    let (level, budget) = match effort {
        // There is no level for "off": only a budget of 0 turns thinking off.
        "none" => return Ok(Some(with_budget(0))),
        "minimal" => ("MINIMAL", 1024),
        "low" => ("LOW", 1024),
        "medium" => ("MEDIUM", 8192),
        "high" | "xhigh" | "max" => ("HIGH", 24576),
        _ => {
            let message =
                "reasoning_effort: expected none, minimal, low, medium, high, xhigh or max";
            return Err(Fault::invalid("reasoning_effort", message));
        }
    };
    if is_before_gemini_3(model) {
        return Ok(Some(with_budget(budget)));
    }
    Ok(Some(Thinking {
        include_thoughts: Some(true),
        thinking_level: Some(level),
        thinking_budget: None,
    }))
}

fn with_budget(budget: u64) -> Thinking {
    Thinking {
        // With thinking off, thoughts must not be requested.
        include_thoughts: (budget > 0).then_some(true),
        thinking_level: None,
        thinking_budget: Some(budget),
    }
}

/// Returns true for models that reject function calls without a signature: Gemini 3 and later.
pub(super) fn requires_signatures(model: &str) -> bool {
    base_name(model).starts_with("gemini-") && !is_before_gemini_3(model)
}

/// Returns true for models that reject thinking levels: those before Gemini 3.
fn is_before_gemini_3(model: &str) -> bool {
    let name = base_name(model);
    name.starts_with("gemini-1") || name.starts_with("gemini-2")
}

fn base_name(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

#[cfg(test)]
mod tests;
