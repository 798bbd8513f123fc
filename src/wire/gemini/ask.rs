//! Writes the requests of this wire: the client's own body where it has this shape, else a body
//! written from the neutral chat.
//!
//! A request for something that the target does not support is rejected with a 400 that names it.
//! Options whose absence does not change the meaning are left out silently: parallel tool calls,
//! verbosity, end users, labels, names of participants, image detail, file names, `strict`, cache
//! marks.

mod count;
mod models;
mod options;
mod tools;

use serde::Serialize;
use serde_with::skip_serializing_none;

use super::turns;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::request::{self, TRACEPARENT};
use crate::wire::kit::tools::offer;
use crate::wire::{Draft, Mode};

pub(super) use self::count::{count, read_token_count};

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::Gemini) {
        // The model and the mode are in the path, so the body needs no change.
        ask.body.clone()
    } else {
        request::to_json(&body(ask.chat()?, target)?)?
    };
    let method = match mode {
        Mode::Stream => "streamGenerateContent?alt=sse",
        Mode::Whole => "generateContent",
    };
    Ok(Draft {
        path: models::path(target.upstream_model(), method),
        headers: request::forwarded_headers(ask, &[TRACEPARENT]),
        body,
    })
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    system_instruction: Option<turns::Content<'a>>,
    contents: Vec<turns::Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<tools::Declaration<'a>>,
    tool_config: Option<tools::ToolConfig<'a>>,
    generation_config: options::GenerationConfig<'a>,
    service_tier: Option<&'a str>,
}

fn body<'a>(chat: &'a Chat, target: &'a Target) -> Result<Body<'a>, Fault> {
    let (accepts, model) = (target.accepts(), target.upstream_model());
    request::check_options(chat, accepts)?;
    let mut conversation = turns::write(chat, accepts)?;
    if models::require_signatures(model) {
        conversation.sign_foreign_calls();
    }
    let offer = offer(chat, accepts)?;
    Ok(Body {
        system_instruction: conversation.system,
        contents: conversation.contents,
        tools: tools::declarations(&offer, accepts)?,
        tool_config: offer.choice.map(tools::tool_config),
        generation_config: options::generation_config(chat, accepts, model)?,
        service_tier: options::service_tier(chat),
    })
}

#[cfg(test)]
mod tests;
