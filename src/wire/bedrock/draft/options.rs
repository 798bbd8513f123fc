//! Maxima, sampling, reasoning, the form of the answer, and what is said about the request.

use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;

/// The smallest thinking budget that Claude takes.
const MIN_BUDGET: u64 = 1024;

/// The longest value in a request's metadata, bytes.
const METADATA_BOUND: usize = 256;

/// What all models have in common.
#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inference<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
}

/// The maximum and the sampling. Temperatures end at 1, models that think by a budget take none,
/// and a `top_p` of 1 says nothing but keeps newer models from taking a temperature beside it.
pub(super) fn inference(chat: &Chat, family: Family) -> Option<Inference<'_>> {
    let thinks = matches!(thinking(chat, family), Some(Thinking::Enabled { .. }));
    let inference = Inference {
        max_tokens: chat.max_tokens,
        temperature: chat
            .temperature
            .filter(|_| !thinks)
            .map(|it| it.clamp(0.0, 1.0)),
        top_p: chat.top_p.filter(|it| !thinks && *it < 1.0),
        stop_sequences: &chat.stop,
    };
    (inference != Inference::default()).then_some(inference)
}

/// What each maker's models have of their own, by its own names.
#[derive(Serialize, Default, PartialEq)]
pub(super) struct Additional<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "inferenceConfig")]
    nova: Option<NovaInference>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "reasoningConfig")]
    nova_reasoning: Option<NovaReasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

pub(super) fn additional(chat: &Chat, family: Family) -> Option<Additional<'_>> {
    let mut fields = Additional {
        thinking: thinking(chat, family),
        ..Additional::default()
    };
    match family {
        Family::Claude | Family::Opaque
            if !matches!(fields.thinking, Some(Thinking::Enabled { .. })) =>
        {
            fields.top_k = chat.top_k;
        }
        Family::Claude | Family::Opaque | Family::Other => {}
        Family::Nova => fields.nova = chat.top_k.map(|top_k| NovaInference { top_k }),
        Family::Nova2 => {
            fields.nova = chat.top_k.map(|top_k| NovaInference { top_k });
            let effort = wanted_effort(chat).filter(|effort| *effort != "none");
            fields.nova_reasoning = effort.map(|effort| NovaReasoning {
                max_reasoning_effort: of_three(effort),
            });
        }
        Family::OpenWeights => fields.reasoning_effort = wanted_effort(chat).map(of_three),
        Family::Gpt => {
            fields.reasoning = wanted_effort(chat).map(|effort| GptReasoning {
                effort: low_at_least(effort),
            });
        }
    }
    (fields != Additional::default()).then_some(fields)
}

/// Claude's thinking with the budget asked for; without, where nobody wants any.
fn thinking(chat: &Chat, family: Family) -> Option<Thinking> {
    match (chat.reasoning_budget, chat.effort.as_deref()) {
        _ if !family.may_be_claude() => None,
        (Some(0), _) | (None, Some("none")) => Some(Thinking::Disabled),
        (Some(budget), _) => Some(Thinking::Enabled {
            budget_tokens: budget.max(MIN_BUDGET),
        }),
        (None, _) => None,
    }
}

/// The effort, else the one nearest to the budget.
fn wanted_effort(chat: &Chat) -> Option<&str> {
    chat.effort.as_deref().or_else(|| {
        chat.reasoning_budget.map(|budget| match budget {
            0 => "none",
            1..4096 => "low",
            4096..16384 => "medium",
            _ => "high",
        })
    })
}

/// The word for models that know no less than low.
fn low_at_least(effort: &str) -> &str {
    if effort == "minimal" { "low" } else { effort }
}

/// The word for models that know three.
fn of_three(effort: &str) -> &str {
    match effort {
        "none" | "minimal" => "low",
        "xhigh" | "max" => "high",
        word => word,
    }
}

/// Effort and form of the answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// JSON text in a JSON string.
    schema: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

pub(super) fn output(chat: &Chat, family: Family) -> Result<Option<Output<'_>>, Fault> {
    let unified = family.may_be_claude() || matches!(family, Family::Nova | Family::Other);
    let effort = chat
        .effort
        .as_deref()
        .filter(|effort| unified && *effort != "none")
        .map(low_at_least);
    let text_format = match &chat.format {
        None | Some(Format::Text) => None,
        Some(Format::Schema {
            name,
            description,
            schema: Some(schema),
            ..
        }) => Some(json_schema(name, description.as_deref(), schema)),
        Some(Format::Schema { schema: None, .. }) => {
            return Err(formless("a json_schema format needs its schema"));
        }
        Some(Format::Json) => {
            return Err(formless(
                "the bedrock wire gives JSON by a schema only; send a json_schema",
            ));
        }
    };
    Ok(
        (effort.is_some() || text_format.is_some()).then_some(Output {
            effort,
            text_format,
        }),
    )
}

fn json_schema<'a>(
    name: &'a str,
    description: Option<&'a str>,
    schema: &'a RawValue,
) -> TextFormat<'a> {
    TextFormat {
        structure: Structure {
            json_schema: JsonSchema {
                schema: schema.get(),
                name,
                description,
            },
        },
    }
}

fn formless(what: &str) -> Fault {
    Fault::invalid("response_format", format!("response_format: {what}"))
}

/// What the operator's own logs of AWS say of a request.
#[derive(Serialize)]
pub(super) struct Metadata<'a> {
    user: &'a str,
}

/// The end user, where the API takes such a value.
pub(super) fn metadata(chat: &Chat) -> Option<Metadata<'_>> {
    let taken = |c: char| c.is_ascii_alphanumeric() || " ._:/=+$@-".contains(c);
    let user = chat
        .user
        .as_deref()
        .filter(|user| !user.is_empty() && user.len() <= METADATA_BOUND && user.chars().all(taken));
    user.map(|user| Metadata { user })
}

/// How fast, and how dear.
#[derive(Serialize)]
pub(super) struct Tier<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

pub(super) fn tier(chat: &Chat) -> Option<Tier<'_>> {
    chat.service_tier
        .as_deref()
        .filter(|tier| matches!(*tier, "flex" | "priority"))
        .map(|kind| Tier { kind })
}
