//! Reasoning, the form of the answer, and what is to come with it.

use std::sync::atomic::Ordering;

use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::wire::openai_chat::nearest_effort as effort;

/// The smallest output maximum that the API takes.
pub(super) const LEAST_OUTPUT: u64 = 16;

/// What models begin with that do not reason, and refuse to be asked for encrypted reasoning.
const UNREASONING: [&str; 4] = ["gpt-3", "gpt-4", "gpt-5-chat", "chatgpt-"];

#[derive(Serialize)]
pub(super) struct Reasoning<'a> {
    effort: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

/// How hard to think; a budget is as much effort as comes nearest to it. Thoughts come as summaries
/// alone, and those only where they are asked for; which OpenAI refuses to organizations that it
/// has not verified.
pub(super) fn reasoning<'a>(chat: &'a Chat, target: &Target) -> Option<Reasoning<'a>> {
    let effort = chat
        .effort
        .as_deref()
        .or_else(|| chat.reasoning_budget.map(effort))?;
    let summary = effort != "none" && !target.provider.no_summaries.load(Ordering::Relaxed);
    Some(Reasoning {
        effort,
        summary: summary.then_some("auto"),
    })
}

/// True for the refusal of a summary.
pub(in crate::wire::openai_responses) fn refuses_summaries(refusal: &Fault) -> bool {
    let says = |words: &str| refusal.message.contains(words);
    let named = refusal.param.as_deref() == Some("reasoning.summary")
        || says("reasoning.summary")
        || says("reasoning summar");
    named && refusal.upstream_status.unwrap_or(refusal.status) == StatusCode::BAD_REQUEST
}

#[derive(Serialize)]
pub(super) struct Text<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Form<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Form<'a> {
    JsonObject,
    JsonSchema {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        schema: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

/// The form of the answer, and how talkative it is to be.
pub(super) fn text(chat: &Chat) -> Result<Option<Text<'_>>, Fault> {
    let format = match &chat.format {
        None | Some(Format::Text) => None,
        Some(Format::Json) => Some(Form::JsonObject),
        Some(Format::Schema {
            name,
            description,
            schema: Some(schema),
            strict,
        }) => Some(Form::JsonSchema {
            name,
            description: description.as_deref(),
            schema,
            strict: *strict,
        }),
        Some(Format::Schema { schema: None, .. }) => {
            return Err(Fault::invalid(
                "response_format",
                "response_format: a json_schema format needs its schema",
            ));
        }
    };
    let verbosity = chat.verbosity.as_deref();
    Ok((format.is_some() || verbosity.is_some()).then_some(Text { format, verbosity }))
}

/// What is to come besides the answer.
pub(super) fn include(chat: &Chat, target: &Target) -> Vec<&'static str> {
    let probable = chat.logprobs == Some(true) || chat.top_logprobs.is_some_and(|count| count > 0);
    let reasoning = may_reason(target).then_some("reasoning.encrypted_content");
    reasoning
        .into_iter()
        .chain(probable.then_some("message.output_text.logprobs"))
        .collect()
}

/// False for the models that are known not to reason, by the name a route or the provider has for
/// them.
fn may_reason(target: &Target) -> bool {
    [&target.model, target.upstream_model()]
        .into_iter()
        .all(|model| {
            let bare = model.rsplit('/').next().unwrap_or_default();
            let bare = bare.strip_prefix("openai.").unwrap_or(bare);
            !UNREASONING.iter().any(|start| bare.starts_with(start))
        })
}
