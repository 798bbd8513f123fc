//! Request options: output limit, sampling, thinking and output format.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::accepts::Accepts;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::wire::kit::schema::{AnswerFormat, answer_format};

/// Smallest thinking budget that the API accepts, tokens.
const MIN_BUDGET: u64 = 1024;

#[derive(Serialize, Debug, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Thinking {
    Enabled { budget_tokens: u64 },
    Disabled,
}

/// Returns the thinking option: enabled with the requested budget, disabled if the client wants no
/// thinking, else absent.
pub(super) fn thinking(chat: &Chat) -> Option<Thinking> {
    match (chat.reasoning_budget, chat.effort.as_deref()) {
        (Some(0), _) | (None, Some("none")) => Some(Thinking::Disabled),
        // A budget is a hint: one below the minimum is raised, not rejected.
        (Some(budget), _) => Some(Thinking::Enabled {
            budget_tokens: budget.max(MIN_BUDGET),
        }),
        // An effort without a budget is sent in `output_config`.
        (None, _) => None,
    }
}

/// Returns `max_tokens`, which this wire requires. Without a limit from the client it is
/// `default_limit` plus the thinking budget, which counts towards the limit.
pub(super) fn max_tokens(chat: &Chat, default_limit: u64) -> u64 {
    chat.max_tokens.unwrap_or_else(|| match thinking(chat) {
        Some(Thinking::Enabled { budget_tokens }) => default_limit.saturating_add(budget_tokens),
        _ => default_limit,
    })
}

#[skip_serializing_none]
#[derive(Serialize, Default)]
pub(super) struct Sampling {
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
}

/// Returns the sampling options that this wire supports. Temperatures end at 1, and models that
/// think accept none. A `top_p` of 1 has no effect, but newer models reject it beside a
/// temperature.
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

#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct Output<'a> {
    effort: Option<&'a str>,
    format: Option<JsonSchema<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct JsonSchema<'a> {
    schema: &'a RawValue,
}

/// Returns effort and output format.
pub(super) fn output<'a>(chat: &'a Chat, accepts: &Accepts) -> Result<Option<Output<'a>>, Fault> {
    let effort = match chat.effort.as_deref() {
        // Thinking is disabled by the option `thinking` instead.
        Some("none") => None,
        // The lowest effort of this API is `low`.
        Some("minimal") => Some("low"),
        other => other,
    };
    let format = match answer_format(chat, accepts)? {
        Some(AnswerFormat::Schema(wanted)) => Some(JsonSchema {
            schema: wanted.schema,
        }),
        Some(AnswerFormat::Json) | None => None,
    };
    Ok((effort.is_some() || format.is_some()).then_some(Output { effort, format }))
}
