//! Options of translated requests.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::accepts::Accepts;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Quirks, Vocabulary};
use crate::wire::kit::effort;
use crate::wire::kit::schema::{AnswerFormat, answer_format};

/// Options whose absence changes no meaning.
#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct HintFields<'a> {
    seed: Option<i64>,
    random_seed: Option<i64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    verbosity: Option<&'a str>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    logit_bias: Option<&'a RawValue>,
    user: Option<&'a str>,
    prompt_cache_key: Option<&'a str>,
    service_tier: Option<&'a str>,
    metadata: Option<&'a RawValue>,
}

/// Returns the hints that the target supports.
pub(super) fn hints<'a>(chat: &'a Chat, quirks: &Quirks) -> HintFields<'a> {
    let lacks = quirks.lacks;
    let mistral = quirks.vocabulary == Vocabulary::Mistral;
    let seed = lacks.unless(Hints::SEED, chat.seed);
    let user = chat.user.as_deref();
    HintFields {
        // Mistral names the field `random_seed` and rejects unknown fields.
        seed: seed.filter(|_| !mistral),
        random_seed: seed.filter(|_| mistral),
        presence_penalty: lacks.unless(Hints::PENALTIES, chat.presence_penalty),
        frequency_penalty: lacks.unless(Hints::PENALTIES, chat.frequency_penalty),
        verbosity: lacks.unless(Hints::VERBOSITY, chat.verbosity.as_deref()),
        logprobs: lacks.unless(Hints::LOGPROBS, chat.logprobs),
        top_logprobs: lacks.unless(Hints::LOGPROBS, chat.top_logprobs),
        logit_bias: lacks.unless(Hints::LOGIT_BIAS, chat.logit_bias.as_deref()),
        user: lacks
            .unless(Hints::USER, user)
            .filter(|user| quirks.accepts.user_id.fits(user)),
        prompt_cache_key: lacks.unless(Hints::CACHE_KEY, chat.cache_key.as_deref()),
        service_tier: lacks.unless(Hints::SERVICE_TIER, chat.service_tier.as_deref()),
        metadata: lacks.unless(Hints::METADATA, chat.metadata.as_deref()),
    }
}

/// Returns the `parallel_tool_calls` to send. `true` is the default everywhere, so it can be left
/// out for targets that reject the field; `false` is always sent.
pub(super) fn parallel(chat: &Chat, quirks: &Quirks) -> Option<bool> {
    let wanted = chat.parallel_tools;
    wanted.filter(|several| !*several || !quirks.lacks.has(Hints::PARALLEL))
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ResponseFormat<'a> {
    Text,
    JsonObject,
    JsonSchema { json_schema: JsonSchema<'a> },
}

#[skip_serializing_none]
#[derive(Serialize)]
pub(super) struct JsonSchema<'a> {
    name: &'a str,
    description: Option<&'a str>,
    schema: &'a RawValue,
    strict: Option<bool>,
}

/// Returns the format requested for the answer.
pub(super) fn response_format<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
) -> Result<Option<ResponseFormat<'a>>, Fault> {
    Ok(match answer_format(chat, accepts)? {
        None => chat.format.is_some().then_some(ResponseFormat::Text),
        Some(AnswerFormat::Json) => Some(ResponseFormat::JsonObject),
        Some(AnswerFormat::Schema(wanted)) => Some(ResponseFormat::JsonSchema {
            json_schema: JsonSchema {
                name: wanted.name,
                description: wanted.description,
                schema: wanted.schema,
                strict: wanted.strict,
            },
        }),
    })
}

/// The reasoning effort, in the field that the target reads.
#[skip_serializing_none]
#[derive(Serialize, Default)]
pub(super) struct Effort<'a> {
    reasoning_effort: Option<&'a str>,
    reasoning: Option<ReasoningOptions<'a>>,
    thinking: Option<Thinking>,
}

/// `reasoning`. Exactly one of the fields is set.
#[skip_serializing_none]
#[derive(Serialize)]
struct ReasoningOptions<'a> {
    effort: Option<&'a str>,
    max_tokens: Option<u64>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Thinking {
    Enabled,
    Disabled,
}

/// Returns the fields for the chat's effort or reasoning budget; all are empty if the target
/// supports none or the chat has neither.
pub(super) fn effort<'a>(chat: &'a Chat, quirks: &Quirks) -> Effort<'a> {
    let requested = effort::requested(chat);
    let Some(word) = quirks.lacks.unless(Hints::EFFORT, requested) else {
        return Effort::default();
    };
    let plain = |word| Effort {
        reasoning_effort: Some(word),
        ..Effort::default()
    };
    match quirks.vocabulary {
        Vocabulary::Openai => plain(word),
        Vocabulary::Mistral => plain(mistral_effort(word)),
        Vocabulary::Deepseek => deepseek_effort(word),
        Vocabulary::Openrouter => {
            // `reasoning` takes an effort or a budget, not both. The effort takes precedence.
            let max_tokens = chat.reasoning_budget.filter(|_| chat.effort.is_none());
            let effort = max_tokens.is_none().then_some(word);
            Effort {
                reasoning: Some(ReasoningOptions { effort, max_tokens }),
                ..Effort::default()
            }
        }
    }
}

/// Maps an effort to one of Mistral's two, `none` and `high`.
fn mistral_effort(word: &str) -> &str {
    match word {
        "minimal" => "none",
        "low" | "medium" | "xhigh" | "max" => "high",
        other => other,
    }
}

/// Maps an effort to `DeepSeek`'s fields: thinking on or off, with one of three efforts.
fn deepseek_effort(word: &str) -> Effort<'_> {
    let (thinking, effort) = match word {
        "none" => (Thinking::Disabled, None),
        "minimal" | "low" => (Thinking::Enabled, Some("low")),
        "medium" | "high" => (Thinking::Enabled, Some("high")),
        "xhigh" | "max" => (Thinking::Enabled, Some("max")),
        other => (Thinking::Enabled, Some(other)),
    };
    Effort {
        thinking: Some(thinking),
        reasoning_effort: effort,
        ..Effort::default()
    }
}
