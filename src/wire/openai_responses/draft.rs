//! A request for this wire: the client's own body where it has this shape, else one written from
//! the neutral chat.
//!
//! We keep the history ourselves: a written request asks that nothing be stored, and that reasoning
//! come encrypted so that it can be brought back. What the wire cannot do is a 400 that names it.
//! Left out without a word are wishes whose absence changes no meaning: seed, penalties, logit
//! bias, `top_k`, cache marks, labels and participants' names, whether a tool failed (its answer
//! says it), reasoning that another wire has made, and reasoning of this one that nothing follows,
//! which the API refuses.

mod options;
mod tools;
mod turns;

pub(super) use options::refuses_summaries;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::model::ask::Ask;
use crate::model::chat::{Chat, Format};
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::{Draft, Mode};

/// The headers that go along.
const PASSED_ON: [&str; 2] = ["openai-beta", "traceparent"];

/// The request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let same = ask.shape == Some(WireId::OpenaiResponses);
    let body = if same {
        passed_on(&ask.body, target, mode)?
    } else {
        written(ask.chat()?, target, mode)?
    };
    Ok(Draft {
        path: "/responses".to_owned(),
        headers: headers(&ask.headers),
        body,
    })
}

fn headers(came: &[(HeaderName, HeaderValue)]) -> Vec<(HeaderName, HeaderValue)> {
    came.iter()
        .filter(|(name, _)| PASSED_ON.contains(&name.as_str()))
        .cloned()
        .collect()
}

/// The body as it came, but for `model`, and `stream` where it says otherwise.
fn passed_on(body: &[u8], target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let fields = Fields::of(body).map_err(|error| {
        Fault::invalid("body", format!("the body is not a JSON object: {error}"))
    })?;
    let model = serde_json::Value::from(&**target.upstream_model()).to_string();
    let mut changes = vec![("model", model.as_str())];
    let asked = fields.get("stream").map_or("", RawValue::get);
    match mode {
        Mode::Stream if asked != "true" => changes.push(("stream", "true")),
        Mode::Whole if asked == "true" => changes.push(("stream", "false")),
        Mode::Stream | Mode::Whole => {}
    }
    Ok(fields.with(&changes))
}

fn written(chat: &Chat, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    refuse_unsupported(chat)?;
    // Who wants any JSON object must ask for JSON in the input itself: instructions do not count
    // there.
    let in_place = matches!(chat.format, Some(Format::Json));
    let conversation = turns::of(&chat.messages, in_place)?;
    let declared = tools::declared(chat)?;
    let body = Body {
        model: target.upstream_model(),
        instructions: conversation.instructions,
        input: conversation.input,
        tool_choice: tools::choice(chat, &declared),
        parallel_tool_calls: chat.parallel_tools.filter(|_| !declared.is_empty()),
        tools: declared,
        max_output_tokens: chat.max_tokens.map(|max| max.max(options::LEAST_OUTPUT)),
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_logprobs: chat.top_logprobs,
        reasoning: options::reasoning(chat, target),
        text: options::text(chat)?,
        include: options::include(chat, target),
        store: false,
        metadata: chat.metadata.as_deref(),
        service_tier: chat.service_tier.as_deref(),
        prompt_cache_key: chat.cache_key.as_deref(),
        safety_identifier: chat.user.as_deref(),
        stream: mode == Mode::Stream,
    };
    let unwritable = |error| {
        Fault::new(
            Code::InternalError,
            format!("the request cannot be written as JSON: {error}"),
        )
    };
    serde_json::to_vec(&body)
        .map(Bytes::from)
        .map_err(unwritable)
}

fn refuse_unsupported(chat: &Chat) -> Result<(), Fault> {
    let several = chat.choices.is_some_and(|n| n > 1).then_some("n");
    let stop = (!chat.stop.is_empty()).then_some("stop");
    match chat.unsupported.first().copied().or(several).or(stop) {
        None => Ok(()),
        Some("n") => Err(Fault::invalid(
            "n",
            "n: the openai-responses wire gives one choice; send n = 1 or choose another model",
        )),
        Some(field) => {
            let message = format!(
                "{field}: the openai-responses wire has nothing like it; leave it out or choose another model"
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
