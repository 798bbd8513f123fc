//! Writes a request for this wire: the client's own body if it has this shape, else a body written
//! from the neutral chat.
//!
//! Sluicegate keeps the history itself: a written request asks the provider to store nothing, and
//! to return reasoning encrypted so that it can be sent back. Unsupported options are a 400 that
//! names the field. Options whose absence changes no meaning are left out silently: seed,
//! penalties, logit bias, `top_k`, cache marks, labels, participants' names, a tool result's error
//! flag (the text of the result reports the error), reasoning of other wires, and reasoning of this
//! wire that is not followed by another item, which the API rejects.

mod options;
mod tools;

pub(super) use options::rejects_summaries;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use super::turns;
use crate::codec::json::Fields;
use crate::model::ask::Ask;
use crate::model::chat::{Chat, Format};
use crate::model::fault::{Code, Fault};
use crate::model::learned::Learned;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::{Draft, Mode};

/// Client headers that are forwarded.
const FORWARDED_HEADERS: [&str; 2] = ["openai-beta", "traceparent"];

/// Writes the request for `target`.
///
/// # Errors
/// A 400 that names a field which this wire does not support.
pub(super) fn draft(
    ask: &Ask,
    target: &Target,
    learned: &Learned,
    mode: Mode,
) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::OpenaiResponses) {
        forward_body(&ask.body, target, mode)?
    } else {
        write_body(ask.chat()?, target, learned, mode)?
    };
    Ok(Draft {
        path: "/responses".to_owned(),
        headers: forwarded_headers(&ask.headers),
        body,
    })
}

fn forwarded_headers(headers: &[(HeaderName, HeaderValue)]) -> Vec<(HeaderName, HeaderValue)> {
    headers
        .iter()
        .filter(|(name, _)| FORWARDED_HEADERS.contains(&name.as_str()))
        .cloned()
        .collect()
}

/// Returns the client's body with `model` set, and `stream` set if its value does not fit the mode.
fn forward_body(body: &[u8], target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let fields = Fields::parse(body).map_err(|error| {
        Fault::invalid("body", format!("the body is not a JSON object: {error}"))
    })?;
    let model = serde_json::Value::from(&**target.upstream_model()).to_string();
    let mut changes = vec![("model", model.as_str())];
    let current = fields.get("stream").map_or("", RawValue::get);
    match mode {
        Mode::Stream if current != "true" => changes.push(("stream", "true")),
        Mode::Whole if current == "true" => changes.push(("stream", "false")),
        Mode::Stream | Mode::Whole => {}
    }
    Ok(fields.with(&changes))
}

/// Writes the body from the neutral chat.
fn write_body(chat: &Chat, target: &Target, learned: &Learned, mode: Mode) -> Result<Bytes, Fault> {
    reject_unsupported(chat)?;
    // For `json_object` the API requires the word JSON in the input; it does not search the
    // instructions.
    let in_place = matches!(chat.format, Some(Format::Json));
    let conversation = turns::write(&chat.messages, in_place)?;
    let declared = tools::declare_tools(chat)?;
    let body = Body {
        model: target.upstream_model(),
        instructions: conversation.instructions,
        input: conversation.input,
        tool_choice: tools::tool_choice(chat, &declared),
        parallel_tool_calls: chat.parallel_tools.filter(|_| !declared.is_empty()),
        tools: declared,
        // A smaller maximum would be rejected.
        max_output_tokens: chat
            .max_tokens
            .map(|max| max.max(options::MIN_OUTPUT_TOKENS)),
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_logprobs: chat.top_logprobs,
        reasoning: options::reasoning(chat, learned),
        text: options::text(chat)?,
        include: options::include(chat, target),
        // The API stores responses by default.
        store: false,
        metadata: chat.metadata.as_deref(),
        service_tier: chat.service_tier.as_deref(),
        prompt_cache_key: chat.cache_key.as_deref(),
        safety_identifier: chat.user.as_deref(),
        stream: mode == Mode::Stream,
    };
    let write_error = |error| {
        Fault::new(
            Code::InternalError,
            format!("the request cannot be written as JSON: {error}"),
        )
    };
    serde_json::to_vec(&body)
        .map(Bytes::from)
        .map_err(write_error)
}

fn reject_unsupported(chat: &Chat) -> Result<(), Fault> {
    let several = chat.choices.is_some_and(|n| n > 1).then_some("n");
    // The API has neither `n` nor `stop`.
    let stop = (!chat.stop.is_empty()).then_some("stop");
    match chat.unsupported.first().copied().or(several).or(stop) {
        None => Ok(()),
        Some("n") => Err(Fault::invalid(
            "n",
            "n: the openai-responses wire returns a single choice; \
             send n = 1 or choose another model",
        )),
        Some(field) => {
            let message = format!(
                "{field}: the openai-responses wire does not support it; \
                 leave it out or choose another model"
            );
            Err(Fault::invalid(field, message))
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions: Option<Cow<'a, str>>,
    input: Vec<turns::Item<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<tools::Declared<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<tools::Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<options::Reasoning<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<options::Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    include: Vec<&'static str>,
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_identifier: Option<&'a str>,
    stream: bool,
}

#[cfg(test)]
mod tests;
