//! Writes a chat as a Converse request.
//!
//! A request for something that the target does not support is rejected with a 400 that names it.
//! Options whose absence does not change the meaning are left out silently: seed, penalties, log
//! probabilities, verbosity, image detail, labels, names of participants, prompt cache keys,
//! `top_k` and reasoning budgets for models that are known not to support them, cache marks for
//! models that do not cache. The same holds for the request for one tool call at a time: the API
//! has no switch for it, and clients of every dialect must expect answers with several calls.

mod family;
mod media;
mod options;
mod tools;
mod turns;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use self::family::Family;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::wire::kit::request::{TRACEPARENT, forwarded_headers};
use crate::wire::{Draft, Mode};

/// Characters escaped in the path. Models may be resource names, which contain colons and slashes.
const PATH_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let path = path(target.upstream_model(), mode)?;
    Ok(Draft {
        path,
        headers: forwarded_headers(ask, &[TRACEPARENT]),
        body: body(ask.chat()?, Family::from_model(target.upstream_model()))?,
    })
}

fn path(model: &str, mode: Mode) -> Result<String, Fault> {
    // URL parsers resolve these path segments even when they are percent-encoded.
    if matches!(model, "" | "." | "..") {
        return Err(Fault::invalid(
            "model",
            format!("model: `{model}` is not a valid model id for the bedrock wire"),
        ));
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

fn body(chat: &Chat, family: Family) -> Result<Bytes, Fault> {
    refuse_unsupported(chat)?;
    let conversation = turns::conversation(chat, family)?;
    // The model is named in the path, not in the body.
    let body = Body {
        system: conversation.system,
        messages: conversation.turns,
        inference_config: options::inference_config(chat, family),
        tool_config: tools::tool_config(chat, family)?,
        additional_model_request_fields: options::additional_fields(chat, family),
        output_config: options::output_config(chat, family)?,
        request_metadata: options::request_metadata(chat),
        service_tier: options::service_tier(chat),
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
    let unsupported = |field: &str| {
        Fault::invalid(
            field,
            format!(
                "{field}: the bedrock wire does not support it; leave it out or choose another model"
            ),
        )
    };
    // These fields have no counterpart here, and dropping them would change the answer.
    if let Some(field) = chat.unsupported.first() {
        return Err(unsupported(field));
    }
    if chat.choices.is_some_and(|n| n > 1) {
        return Err(Fault::invalid(
            "n",
            "n: the bedrock wire returns one choice only; send n = 1 or choose another model",
        ));
    }
    // An empty bias changes nothing; only one with an entry is rejected.
    if chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'))
    {
        return Err(unsupported("logit_bias"));
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<turns::Block<'a>>,
    messages: Vec<turns::Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inference_config: Option<options::InferenceConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<tools::ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<options::AdditionalFields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<options::OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_metadata: Option<options::RequestMetadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<options::ServiceTier<'a>>,
}

#[cfg(test)]
mod tests;
