//! Request options: sampling, output format, thinking and service tier.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use super::models::reject_levels;
use crate::model::accepts::Accepts;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::wire::kit::refusals;
use crate::wire::kit::schema::{AnswerFormat, answer_format};

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GenerationConfig<'a> {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    seed: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    candidate_count: Option<u16>,
    response_logprobs: Option<bool>,
    logprobs: Option<u32>,
    response_mime_type: Option<&'static str>,
    response_json_schema: Option<&'a RawValue>,
    thinking_config: Option<Thinking>,
}

/// The `thinkingConfig`. Level and budget exclude each other.
#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Thinking {
    include_thoughts: Option<bool>,
    thinking_level: Option<&'static str>,
    thinking_budget: Option<u64>,
}

/// Returns the options of the answer.
///
/// # Errors
/// A 400 for an effort or a format that the target does not have.
pub(super) fn generation_config<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
    model: &str,
) -> Result<GenerationConfig<'a>, Fault> {
    let format = answer_format(chat, accepts)?;
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
        response_mime_type: format.map(|_| "application/json"),
        response_json_schema: match format {
            Some(AnswerFormat::Schema(wanted)) => Some(wanted.schema),
            Some(AnswerFormat::Json) | None => None,
        },
        thinking_config: thinking(chat, model)?,
    })
}

/// Returns the thinking configuration for the chat's budget or effort. A budget is more precise
/// than an effort and takes precedence.
fn thinking(chat: &Chat, model: &str) -> Result<Option<Thinking>, Fault> {
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
        _ => return Err(refusals::effort()),
    };
    if reject_levels(model) {
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

/// Returns the service tier. It is a hint, and other dialects' tiers (`auto`, `default`) do not
/// exist here.
pub(super) fn service_tier(chat: &Chat) -> Option<&str> {
    let tier = chat.service_tier.as_deref();
    tier.filter(|tier| matches!(*tier, "flex" | "priority"))
}
