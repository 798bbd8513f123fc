//! A chat → a Converse request.
//!
//! What the target cannot do is a 400 that names it. Left out without a word are wishes whose
//! absence changes no meaning: seed, penalties, log probabilities, verbosity, image detail, labels,
//! names of participants, the name of a prompt's cache, a `top_k` and a reasoning budget for models
//! that are known to have no such thing, cache marks for models that cache nothing. So is the wish
//! for one tool call at a time: the API has no switch for it, and answers with several calls are
//! answers that clients of every dialect must expect.

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
use crate::wire::written::trace;
use crate::wire::{Draft, Mode};

/// What is encoded in the path: models may be resource names, with colons and slashes.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let path = path(target.upstream_model(), mode)?;
    Ok(Draft {
        path,
        headers: trace(ask),
        body: written(ask.chat()?, Family::of(target.upstream_model()))?,
    })
}

fn path(model: &str, mode: Mode) -> Result<String, Fault> {
    // Such a segment is taken for a step in the path, however it is encoded.
    if matches!(model, "" | "." | "..") {
        return Err(Fault::invalid(
            "model",
            format!("model: `{model}` is no model of the bedrock wire"),
        ));
    }
    let operation = match mode {
        Mode::Stream => "converse-stream",
        Mode::Whole => "converse",
    };
    Ok(format!(
        "/model/{}/{operation}",
        utf8_percent_encode(model, IN_PATH)
    ))
}

fn written(chat: &Chat, family: Family) -> Result<Bytes, Fault> {
    refuse_unsupported(chat)?;
    let conversation = turns::of(chat, family)?;
    let body = Body {
        system: conversation.system,
        messages: conversation.turns,
        inference_config: options::inference(chat, family),
        tool_config: tools::config(chat, family)?,
        additional_model_request_fields: options::additional(chat, family),
        output_config: options::output(chat, family)?,
        request_metadata: options::metadata(chat),
        service_tier: options::tier(chat),
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
    let refused = |field: &str| {
        Fault::invalid(
            field,
            format!("{field}: the bedrock wire has nothing like it; leave it out"),
        )
    };
    if let Some(field) = chat.unsupported.first() {
        return Err(refused(field));
    }
    if chat.choices.is_some_and(|n| n > 1) {
        return Err(Fault::invalid(
            "n",
            "n: the bedrock wire gives one choice; send n = 1 or choose another model",
        ));
    }
    if chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'))
    {
        return Err(refused("logit_bias"));
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
    inference_config: Option<options::Inference<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<tools::Config<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_model_request_fields: Option<options::Additional<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<options::Output<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_metadata: Option<options::Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<options::Tier<'a>>,
}

#[cfg(test)]
mod tests;
