//! Maxima, sampling, thinking and the form of the answer.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;

/// The smallest budget the API takes.
const MIN_BUDGET: u64 = 1024;

#[derive(Serialize, Debug, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Thinking {
    Enabled { budget_tokens: u64 },
    Disabled,
}

/// Thinking with the budget asked for; without, where nobody wants any.
pub(super) fn thinking(chat: &Chat) -> Option<Thinking> {
    match (chat.reasoning_budget, chat.effort.as_deref()) {
        (Some(0), _) | (None, Some("none")) => Some(Thinking::Disabled),
        (Some(budget), _) => Some(Thinking::Enabled {
            budget_tokens: budget.max(MIN_BUDGET),
        }),
        (None, _) => None,
    }
}

/// The maximum, which this wire demands; `reserve` where the client named none, then on top of a
/// thinking budget, which counts into it.
pub(super) fn max_tokens(chat: &Chat, reserve: u64) -> u64 {
    chat.max_tokens.unwrap_or_else(|| match thinking(chat) {
        Some(Thinking::Enabled { budget_tokens }) => reserve.saturating_add(budget_tokens),
        _ => reserve,
    })
}

#[derive(Serialize, Default)]
pub(super) struct Sampling {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
}

/// The sampling wishes this wire can follow: its temperatures end at 1, models that think take
/// none, and a `top_p` of 1 says nothing but keeps newer models from taking a temperature beside
/// it.
pub(super) fn sampling(chat: &Chat, thinking: &Option<Thinking>) -> Sampling {
    if matches!(thinking, Some(Thinking::Enabled { .. })) {
        return Sampling::default();
    }
    Sampling {
        temperature: chat.temperature.map(|it| it.clamp(0.0, 1.0)),
        top_p: chat.top_p.filter(|it| *it < 1.0),
        top_k: chat.top_k,
    }
}

#[derive(Serialize)]
pub(super) struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<JsonSchema<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct JsonSchema<'a> {
    schema: &'a RawValue,
}

/// Effort and form of the answer.
pub(super) fn output(chat: &Chat) -> Result<Option<Output<'_>>, Fault> {
    let effort = match chat.effort.as_deref() {
        Some("none") => None,
        Some("minimal") => Some("low"),
        other => other,
    };
    let format = match &chat.format {
        None | Some(Format::Text) => None,
        Some(Format::Schema {
            schema: Some(schema),
            ..
        }) => Some(JsonSchema { schema }),
        Some(Format::Schema { schema: None, .. }) => {
            return Err(formless("a json_schema format needs its schema"));
        }
        Some(Format::Json) => {
            return Err(formless(
                "the anthropic wire gives JSON by a schema only; send a json_schema",
            ));
        }
    };
    Ok((effort.is_some() || format.is_some()).then_some(Output { effort, format }))
}

fn formless(what: &str) -> Fault {
    Fault::invalid("response_format", format!("response_format: {what}"))
}
