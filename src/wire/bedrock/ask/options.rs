//! Request options: output limit, sampling, reasoning, output format, metadata and service tier.

use serde::Serialize;
use serde_with::skip_serializing_none;

use super::family::Family;
use crate::model::accepts::Accepts;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::wire::kit::effort;
use crate::wire::kit::schema::{AnswerFormat, AnswerSchema, answer_format};

/// Smallest thinking budget that Claude accepts, tokens.
const MIN_BUDGET: u64 = 1024;

/// `inferenceConfig`: the options that all models have in common.
#[skip_serializing_none]
#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct InferenceConfig<'a> {
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

/// Returns the output limit and the sampling options. Temperatures end at 1, and models that think
/// with a budget accept none. A `top_p` of 1 has no effect, but newer models reject it beside a
/// temperature.
pub(super) fn inference_config(chat: &Chat, family: Family) -> Option<InferenceConfig<'_>> {
    // Models that think accept no sampling options.
    let thinks = matches!(thinking(chat, family), Some(Thinking::Enabled { .. }));
    let inference = InferenceConfig {
        max_tokens: chat.max_tokens,
        temperature: chat
            .temperature
            .filter(|_| !thinks)
            .map(|it| it.clamp(0.0, 1.0)),
        top_p: chat.top_p.filter(|it| !thinks && *it < 1.0),
        stop_sequences: &chat.stop,
    };
    (inference != InferenceConfig::default()).then_some(inference)
}

/// `additionalModelRequestFields`: the options of each vendor's models, in the vendor's own fields.
#[skip_serializing_none]
#[derive(Serialize, Default, PartialEq)]
pub(super) struct AdditionalFields<'a> {
    thinking: Option<Thinking>,
    top_k: Option<u64>,
    #[serde(rename = "inferenceConfig")]
    nova: Option<NovaInference>,
    #[serde(rename = "reasoningConfig")]
    nova_reasoning: Option<NovaReasoning<'a>>,
    reasoning_effort: Option<&'a str>,
    reasoning: Option<GptReasoning<'a>>,
}

#[derive(Serialize, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Thinking {
    Enabled { budget_tokens: u64 },
    Disabled,
}

#[derive(Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct NovaInference {
    top_k: u64,
}

#[derive(Serialize, PartialEq)]
#[serde(tag = "type", rename = "enabled", rename_all = "camelCase")]
struct NovaReasoning<'a> {
    max_reasoning_effort: &'a str,
}

#[derive(Serialize, PartialEq)]
struct GptReasoning<'a> {
    effort: &'a str,
}

/// Returns the vendor's own options for sampling and reasoning.
pub(super) fn additional_fields(chat: &Chat, family: Family) -> Option<AdditionalFields<'_>> {
    let mut fields = AdditionalFields {
        thinking: thinking(chat, family),
        ..AdditionalFields::default()
    };
    match family {
        // Claude rejects `top_k` together with a thinking budget.
        Family::Claude | Family::Opaque
            if !matches!(fields.thinking, Some(Thinking::Enabled { .. })) =>
        {
            fields.top_k = chat.top_k;
        }
        Family::Claude | Family::Opaque | Family::Other => {}
        Family::Nova => fields.nova = chat.top_k.map(|top_k| NovaInference { top_k }),
        Family::Nova2 => {
            fields.nova = chat.top_k.map(|top_k| NovaInference { top_k });
            let effort = effort::requested(chat).filter(|effort| *effort != "none");
            fields.nova_reasoning = effort.map(|effort| NovaReasoning {
                max_reasoning_effort: three_level_effort(effort),
            });
        }
        Family::OpenWeights => {
            fields.reasoning_effort = effort::requested(chat).map(three_level_effort);
        }
        Family::Gpt => {
            fields.reasoning = effort::requested(chat).map(|effort| GptReasoning {
                effort: effort_from_low(effort),
            });
        }
    }
    (fields != AdditionalFields::default()).then_some(fields)
}

/// Returns Claude's thinking option: enabled with the requested budget, disabled if the client
/// wants no thinking, else absent.
fn thinking(chat: &Chat, family: Family) -> Option<Thinking> {
    match (chat.reasoning_budget, chat.effort.as_deref()) {
        // Only Claude has this option; a model with an opaque id may be Claude.
        _ if !family.may_be_claude() => None,
        (Some(0), _) | (None, Some("none")) => Some(Thinking::Disabled),
        // A budget is a hint: one below the minimum is raised, not rejected.
        (Some(budget), _) => Some(Thinking::Enabled {
            budget_tokens: budget.max(MIN_BUDGET),
        }),
        (None, _) => None,
    }
}

/// Returns the effort for models whose lowest effort is low.
fn effort_from_low(effort: &str) -> &str {
    if effort == "minimal" { "low" } else { effort }
}

/// Returns the effort for models that have low, medium and high.
fn three_level_effort(effort: &str) -> &str {
    match effort {
        "none" | "minimal" => "low",
        "xhigh" | "max" => "high",
        word => word,
    }
}

/// `outputConfig`: effort and output format.
#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputConfig<'a> {
    effort: Option<&'a str>,
    text_format: Option<TextFormat<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct TextFormat<'a> {
    structure: Structure<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Structure<'a> {
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    /// The schema as JSON text inside a JSON string.
    schema: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

/// Returns effort and output format.
///
/// # Errors
/// A 400 when JSON is requested without a schema.
pub(super) fn output_config<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
    family: Family,
) -> Result<Option<OutputConfig<'a>>, Fault> {
    // The other families have an effort of their own, in `additionalModelRequestFields`.
    let unified = family.may_be_claude() || matches!(family, Family::Nova | Family::Other);
    let effort = chat
        .effort
        .as_deref()
        .filter(|effort| unified && *effort != "none")
        .map(effort_from_low);
    let text_format = match answer_format(chat, accepts)? {
        Some(AnswerFormat::Schema(wanted)) => Some(TextFormat::from(wanted)),
        Some(AnswerFormat::Json) | None => None,
    };
    Ok(
        (effort.is_some() || text_format.is_some()).then_some(OutputConfig {
            effort,
            text_format,
        }),
    )
}

impl<'a> From<AnswerSchema<'a>> for TextFormat<'a> {
    fn from(wanted: AnswerSchema<'a>) -> Self {
        let json_schema = JsonSchema {
            schema: wanted.schema.get(),
            name: wanted.name,
            description: wanted.description,
        };
        let structure = Structure { json_schema };
        Self { structure }
    }
}

/// `requestMetadata`, which AWS writes to the operator's invocation logs.
#[derive(Serialize)]
pub(super) struct RequestMetadata<'a> {
    user: &'a str,
}

/// Returns the end user, if the value has the characters and the length that the API accepts.
pub(super) fn request_metadata<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
) -> Option<RequestMetadata<'a>> {
    // The value only labels the request, so one that AWS would reject is left out.
    let user = chat.user.as_deref();
    user.filter(|user| accepts.user_id.fits(user))
        .map(|user| RequestMetadata { user })
}

/// `serviceTier`: latency and price class.
#[derive(Serialize)]
pub(super) struct ServiceTier<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

/// Returns the service tier, if AWS has one of that name.
pub(super) fn service_tier(chat: &Chat) -> Option<ServiceTier<'_>> {
    chat.service_tier
        .as_deref()
        // A tier is a hint: those of other providers are left out.
        .filter(|tier| matches!(*tier, "flex" | "priority"))
        .map(|kind| ServiceTier { kind })
}
