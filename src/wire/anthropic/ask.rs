//! Writes the requests of this wire: the client's own body where it has this shape, else a body
//! written from the neutral chat.
//!
//! A request for something that the target does not support is rejected with a 400 that names it.
//! Options whose absence does not change the meaning are left out silently: seed, penalties,
//! logprobs, logit bias, verbosity, service tier, image detail, labels, names of participants.

mod options;
mod strip;
mod tools;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_with::skip_serializing_none;

use super::turns;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::request::{self, StreamDefault, TRACEPARENT};
use crate::wire::kit::tools::offer;
use crate::wire::{Draft, Mode};

const VERSION: &str = "anthropic-version";
const BETA: &str = "anthropic-beta";

/// API version of translated requests. Unlike later versions it accepts sampling parameters.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::Anthropic) {
        own_body(ask, target, mode)?
    } else {
        translated_body(ask.chat()?, target, mode)?
    };
    Ok(Draft {
        path: "/messages".to_owned(),
        headers: headers(ask),
        body,
    })
}

fn headers(ask: &Ask) -> Vec<(HeaderName, HeaderValue)> {
    // Version and betas describe the client's own body, not one that is written here.
    let forwarded: &[&str] = if ask.shape == Some(WireId::Anthropic) {
        &[VERSION, BETA, TRACEPARENT]
    } else {
        &[TRACEPARENT]
    };
    let mut headers = request::forwarded_headers(ask, forwarded);
    // The API rejects requests without a version.
    if !headers.iter().any(|(name, _)| name.as_str() == VERSION) {
        headers.push((HeaderName::from_static(VERSION), DEFAULT_VERSION));
    }
    headers
}

/// Writes the request that counts the tokens of a body of this shape; `None` for other shapes.
pub(super) fn count(ask: &Ask, target: &Target) -> Option<Result<Draft, Fault>> {
    let body =
        (ask.shape == Some(WireId::Anthropic)).then(|| own_body(ask, target, Mode::Whole))?;
    Some(body.map(|body| Draft {
        path: "/messages/count_tokens".to_owned(),
        headers: headers(ask),
        body,
    }))
}

/// Returns the client's body, unchanged except for `model`, `stream` where `mode` differs, and
/// thinking that other wires made.
fn own_body(ask: &Ask, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let stripped = strip::without_foreign_thinking(&ask.body);
    let fields = request::own_fields(stripped.as_ref().unwrap_or(&ask.body))?;
    Ok(request::own_body(
        &fields,
        target,
        mode,
        StreamDefault::Off,
        &[],
    ))
}

fn translated_body(chat: &Chat, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let accepts = target.accepts();
    request::check_options(chat, accepts)?;
    let thinking = options::thinking(chat);
    let conversation = turns::write(chat, accepts)?;
    let offer = offer(chat, accepts)?;
    request::to_json(&Body {
        model: target.upstream_model(),
        // This wire requires a limit: where the client sets none, the provider's configured limit
        // is sent.
        max_tokens: options::max_tokens(chat, target.provider.max_output),
        system: conversation.system,
        messages: conversation.turns,
        tools: tools::declarations(&offer, accepts)?,
        tool_choice: tools::tool_choice(&offer, chat.parallel_tools),
        stop_sequences: &chat.stop,
        sampling: options::sampling(chat, &thinking),
        thinking,
        output_config: options::output(chat, accepts)?,
        metadata: chat.user.as_deref().map(|user_id| Metadata { user_id }),
        cache_control: chat.cache.as_ref().map(turns::CacheControl::from_mark),
        stream: mode == Mode::Stream,
    })
}

#[skip_serializing_none]
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<turns::MarkedBlock<'a>>,
    messages: Vec<turns::Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<tools::Declaration<'a>>,
    tool_choice: Option<tools::Choice<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(flatten)]
    sampling: options::Sampling,
    thinking: Option<options::Thinking>,
    output_config: Option<options::Output<'a>>,
    metadata: Option<Metadata<'a>>,
    cache_control: Option<turns::CacheControl<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[cfg(test)]
mod tests;
