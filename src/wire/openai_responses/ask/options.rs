//! Writes the options for reasoning, the answer's format, and additional output.

use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;
use crate::model::learned::Learned;
use crate::model::target::Target;
use crate::wire::kit::effort::nearest as effort;

/// The smallest `max_output_tokens` that the API accepts.
pub(super) const MIN_OUTPUT_TOKENS: u64 = 16;

/// Name prefixes of models without reasoning. They reject requests for encrypted reasoning.
const NON_REASONING_MODELS: [&str; 4] = ["gpt-3", "gpt-4", "gpt-5-chat", "chatgpt-"];

#[derive(Serialize)]
pub(super) struct Reasoning<'a> {
    effort: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'static str>,
}

/// Returns the reasoning options. A budget becomes the effort that is closest to it. The API
/// returns reasoning only as summaries and only on request; OpenAI rejects that request from
/// organizations that it has not verified.
pub(super) fn reasoning<'a>(chat: &'a Chat, learned: &Learned) -> Option<Reasoning<'a>> {
    let effort = chat
        .effort
        .as_deref()
        .or_else(|| chat.reasoning_budget.map(effort))?;
    // Without reasoning there is nothing to summarize.
    let summary = effort != "none" && !learned.no_summaries;
    Some(Reasoning {
        effort,
        summary: summary.then_some("auto"),
    })
}

/// Returns true if an upstream rejected a request because it asked for reasoning summaries.
pub(in crate::wire::openai_responses) fn rejects_summaries(refusal: &Fault) -> bool {
    let mentions = |text: &str| refusal.message.contains(text);
    let is_about_summaries = refusal.param.as_deref() == Some("reasoning.summary")
        || mentions("reasoning.summary")
        || mentions("reasoning summar");
    is_about_summaries
        && refusal.upstream_status.unwrap_or(refusal.status) == StatusCode::BAD_REQUEST
}

#[derive(Serialize)]
pub(super) struct Text<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<AnswerFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AnswerFormat<'a> {
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

/// Returns the format and the verbosity of the answer.
///
/// # Errors
/// A 400 if a schema is announced but missing.
pub(super) fn text(chat: &Chat) -> Result<Option<Text<'_>>, Fault> {
    let format = match &chat.format {
        None | Some(Format::Text) => None,
        Some(Format::Json) => Some(AnswerFormat::JsonObject),
        Some(Format::Schema {
            name,
            description,
            schema: Some(schema),
            strict,
        }) => Some(AnswerFormat::JsonSchema {
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

/// Returns the additional output to request: encrypted reasoning and log probabilities.
pub(super) fn include(chat: &Chat, target: &Target) -> Vec<&'static str> {
    let logprobs = chat.logprobs == Some(true) || chat.top_logprobs.is_some_and(|count| count > 0);
    let reasoning = may_reason(target).then_some("reasoning.encrypted_content");
    reasoning
        .into_iter()
        .chain(logprobs.then_some("message.output_text.logprobs"))
        .collect()
}

/// Returns false for models that are known not to reason, by their name in routes or at the
/// provider.
fn may_reason(target: &Target) -> bool {
    [&target.model, target.upstream_model()]
        .into_iter()
        .all(|model| {
            let bare = model.rsplit('/').next().unwrap_or_default();
            // Bedrock names OpenAI's models `openai.…`.
            let bare = bare.strip_prefix("openai.").unwrap_or(bare);
            !NON_REASONING_MODELS
                .iter()
                .any(|prefix| bare.starts_with(prefix))
        })
}
