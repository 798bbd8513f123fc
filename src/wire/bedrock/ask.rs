//! Writes a chat as a Converse request.
//!
//! A request for something that the target does not support is rejected with a 400 that names it.
//! Options whose absence does not change the meaning are left out silently: seed, penalties, log
//! probabilities, verbosity, image detail, labels, names of participants, prompt cache keys,
//! `top_k` and reasoning budgets for models that are known not to support them, cache marks for
//! models that do not cache. The same holds for the request for one tool call at a time: the API
//! has no switch for it, and clients of every dialect must expect answers with several calls.

pub(super) mod family;
mod options;
mod tools;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_with::skip_serializing_none;

use self::family::Family;
use super::turns;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::wire::kit::refusals;
use crate::wire::kit::request::{self, TRACEPARENT};
use crate::wire::{Draft, Mode};

/// Characters escaped in the path. Models may be resource names, which contain colons and slashes.
const PATH_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    Ok(Draft {
        path: path(target.upstream_model(), mode)?,
        headers: request::forwarded_headers(ask, &[TRACEPARENT]),
        body: request::to_json(&body(ask.chat()?, target)?)?,
    })
}

fn path(model: &str, mode: Mode) -> Result<String, Fault> {
    // URL parsers resolve these path segments even when they are percent-encoded.
    if matches!(model, "" | "." | "..") {
        let what = format!("`{model}` is not a valid model id");
        return Err(refusals::invalid("model", &what));
    }
    let operation = match mode {
        Mode::Stream => "converse-stream",
        Mode::Whole => "converse",
    };
    Ok(format!(
        "/model/{}/{operation}",
        utf8_percent_encode(model, PATH_ESCAPES)
    ))
}

fn body<'a>(chat: &'a Chat, target: &Target) -> Result<Body<'a>, Fault> {
    let accepts = target.accepts();
    let family = Family::from_model(target.upstream_model());
    request::check_options(chat, accepts)?;
    let conversation = turns::write(chat, accepts, family)?;
    // The model is named in the path, not in the body.
    Ok(Body {
        system: conversation.system,
        messages: conversation.turns,
        inference_config: options::inference_config(chat, family),
        tool_config: tools::tool_config(chat, accepts, family)?,
        additional_model_request_fields: options::additional_fields(chat, family),
        output_config: options::output_config(chat, accepts, family)?,
        request_metadata: options::request_metadata(chat, accepts),
        service_tier: options::service_tier(chat),
    })
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<turns::Block<'a>>,
    messages: Vec<turns::Turn<'a>>,
    inference_config: Option<options::InferenceConfig<'a>>,
    tool_config: Option<tools::ToolConfig<'a>>,
    additional_model_request_fields: Option<options::AdditionalFields<'a>>,
    output_config: Option<options::OutputConfig<'a>>,
    request_metadata: Option<options::RequestMetadata<'a>>,
    service_tier: Option<options::ServiceTier<'a>>,
}

#[cfg(test)]
mod tests;
