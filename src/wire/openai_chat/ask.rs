//! Writes the requests of this wire: the client's own body where it has this shape, else a body
//! written from the neutral chat, according to the target's quirks.
//!
//! A request for something that the target does not support is rejected with a 400 that names it.
//! Options whose absence does not change the meaning are left out silently where the target does
//! not have them: seed, penalties, log probabilities, logit bias, end user, names of participants,
//! labels, service tier, cache key, verbosity, effort, `top_k`, image detail, cache marks.

mod options;
mod strip;
mod tools;

use bytes::Bytes;
use serde::Serialize;
use serde_with::skip_serializing_none;

use super::turns;
use crate::codec::json::Fields;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::refusals;
use crate::wire::kit::request::{self, StreamDefault, TRACEPARENT};
use crate::wire::kit::tools::offer;
use crate::wire::{Draft, Mode};

/// The client's headers that are forwarded.
const FORWARDED_HEADERS: [&str; 2] = ["openai-beta", TRACEPARENT];

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::OpenaiChat) {
        own_body(&ask.body, target, mode)?
    } else {
        request::to_json(&body(ask.chat()?, target, mode)?)?
    };
    Ok(Draft {
        path: "/chat/completions".to_owned(),
        headers: request::forwarded_headers(ask, &FORWARDED_HEADERS),
        body,
    })
}

/// Returns the client's body, unchanged except for `model`, the members that mode and metering
/// require, and the reasoning of other wires that this gateway added.
fn own_body(body: &[u8], target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let fields = request::own_fields(body)?;
    let messages = strip::without_foreign_reasoning(&fields);
    let mut changes: Vec<(&str, &str)> = Vec::new();
    if let Some(messages) = &messages {
        changes.push(("messages", messages));
    }
    let write = |changes: &[(&str, &str)]| {
        request::own_body(&fields, target, mode, StreamDefault::Off, changes)
    };
    if mode == Mode::Whole {
        return Ok(write(&changes));
    }
    if target.provider.quirks.no_stream_options {
        let body = write(&changes);
        // This target sends usage unasked, or rejects the option.
        return match fields.get("stream_options") {
            Some(_) => Ok(request::own_fields(&body)?.without("stream_options")),
            None => Ok(body),
        };
    }
    let options = stream_options(&fields)?;
    if let Some(options) = &options {
        changes.push(("stream_options", options));
    }
    Ok(write(&changes))
}

/// Returns the client's `stream_options` with `include_usage` set, or `None` if it is set already.
fn stream_options(fields: &Fields<'_>) -> Result<Option<String>, Fault> {
    let sent = fields.get("stream_options");
    let Some(options) = sent.filter(|value| value.get() != "null") else {
        return Ok(Some(r#"{"include_usage":true}"#.to_owned()));
    };
    let members = Fields::parse(options.get().as_bytes());
    let members = members.map_err(|_| refusals::stream_options())?;
    let wanted = members.get("include_usage");
    if wanted.is_some_and(|value| value.get() == "true") {
        return Ok(None);
    }
    let members = members.with(&[("include_usage", "true")]);
    Ok(Some(String::from_utf8_lossy(&members).into_owned()))
}

#[skip_serializing_none]
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<turns::Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<tools::Declaration<'a>>,
    tool_choice: Option<tools::ToolChoice<'a>>,
    parallel_tool_calls: Option<bool>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    n: Option<u16>,
    response_format: Option<options::ResponseFormat<'a>>,
    #[serde(flatten)]
    effort: options::Effort<'a>,
    #[serde(flatten)]
    hints: options::HintFields<'a>,
    cache_control: Option<turns::CacheControl<'a>>,
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

fn body<'a>(chat: &'a Chat, target: &'a Target, mode: Mode) -> Result<Body<'a>, Fault> {
    let (quirks, accepts) = (&target.provider.quirks, target.accepts());
    request::check_options(chat, accepts)?;
    let offer = offer(chat, accepts)?;
    let stream = mode == Mode::Stream;
    Ok(Body {
        model: target.upstream_model(),
        messages: turns::write(chat, target)?,
        tools: tools::declarations(&offer, quirks)?,
        tool_choice: offer
            .choice
            .map(|choice| tools::tool_choice(choice, quirks.vocabulary)),
        // The switch applies to tool calls only, so it is left out without tools.
        parallel_tool_calls: options::parallel(chat, quirks).filter(|_| !offer.tools.is_empty()),
        // Reasoning models reject `max_tokens`, and some compatible servers know only that name.
        max_tokens: chat.max_tokens.filter(|_| quirks.max_tokens),
        max_completion_tokens: chat.max_tokens.filter(|_| !quirks.max_tokens),
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: chat.top_k.filter(|_| quirks.top_k),
        stop: &chat.stop,
        n: chat.choices.filter(|choices| *choices > 1),
        response_format: options::response_format(chat, accepts)?,
        effort: options::effort(chat, quirks),
        hints: options::hints(chat, quirks),
        cache_control: turns::CacheControl::from_mark(chat.cache.as_ref(), quirks),
        stream,
        // Without this option OpenAI sends no usage in a stream, and metering needs it.
        stream_options: (stream && !quirks.no_stream_options).then_some(StreamOptions {
            include_usage: true,
        }),
    })
}

#[cfg(test)]
mod tests;
