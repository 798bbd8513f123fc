//! What requests have in common on the wires that are close to OpenAI's shape (`ollama`, `cohere`):
//! the body that goes out as it came, what none of them can do, functions, pictures and files.
//!
//! Invariants: what a wire cannot do is a 400 that names the field; nothing that a message holds is
//! left out here.

mod functions;
mod media;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

pub(super) use functions::{Declared, arguments, declared};
pub(super) use media::{Media, media};

use super::{Draft, Mode};
use crate::codec::json::Fields;
use crate::model::ask::Ask;
use crate::model::chat::{Chat, Format, Role};
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::model::wire::WireId;

const TRACE: HeaderName = HeaderName::from_static("traceparent");

/// The request for `target`: the client's own body where it has this wire's shape, else what
/// `write` makes of the chat.
pub(super) fn draft<'a, B: Serialize>(
    wire: WireId,
    path: &str,
    ask: &'a Ask,
    target: &Target,
    mode: Mode,
    write: impl FnOnce(&'a Chat) -> Result<B, Fault>,
) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(wire) {
        passed_on(&ask.body, target, mode)?
    } else {
        let chat = ask.chat()?;
        refuse_unsupported(chat, wire)?;
        Bytes::from(serde_json::to_vec(&write(chat)?).map_err(|error| unwritable(&error))?)
    };
    Ok(Draft {
        path: path.to_owned(),
        headers: trace(ask),
        body,
    })
}

/// The header that goes along to every wire.
pub(super) fn trace(ask: &Ask) -> Vec<(HeaderName, HeaderValue)> {
    ask.headers
        .iter()
        .filter(|(name, _)| *name == TRACE)
        .cloned()
        .collect()
}

/// Who speaks, in OpenAI's words. What a message with a tool's answer says besides is the person's.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    }
}

/// The form of an answer that is JSON.
#[derive(Clone, Copy)]
pub(super) enum JsonForm<'a> {
    /// Any object.
    Any,
    /// By this schema.
    Schema(&'a RawValue),
}

/// The form that the answer is to have, where it is to be JSON.
pub(super) fn json_form(chat: &Chat) -> Result<Option<JsonForm<'_>>, Fault> {
    match &chat.format {
        None | Some(Format::Text) => Ok(None),
        Some(Format::Json) => Ok(Some(JsonForm::Any)),
        Some(Format::Schema {
            schema: Some(schema),
            ..
        }) => Ok(Some(JsonForm::Schema(schema))),
        Some(Format::Schema { schema: None, .. }) => Err(Fault::invalid(
            "response_format",
            "response_format: a json_schema format needs its schema",
        )),
    }
}

/// The body as it came, but for `model` and `stream`: whether an answer streams unasked is
/// different on every wire.
fn passed_on(body: &[u8], target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let invalid = |error| {
        Fault::new(
            Code::InvalidRequest,
            format!("the body is not a JSON object: {error}"),
        )
    };
    let fields = Fields::of(body).map_err(invalid)?;
    let model =
        serde_json::to_string(&**target.upstream_model()).map_err(|error| unwritable(&error))?;
    let stream = if mode == Mode::Stream {
        "true"
    } else {
        "false"
    };
    Ok(fields.with(&[("model", &model), ("stream", stream)]))
}

fn unwritable(error: &serde_json::Error) -> Fault {
    Fault::new(
        Code::InternalError,
        format!("the request cannot be written as JSON: {error}"),
    )
}

fn refuse_unsupported(chat: &Chat, wire: WireId) -> Result<(), Fault> {
    let biased = chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'))
        .then_some("logit_bias");
    if let Some(field) = chat.unsupported.first().copied().or(biased) {
        let message = format!(
            "{field}: the {} wire has nothing like it; leave it out or choose another model",
            wire.name()
        );
        return Err(Fault::invalid(field, message));
    }
    if chat.choices.is_some_and(|n| n > 1) {
        let message = format!(
            "n: the {} wire gives one choice; send n = 1 or choose another model",
            wire.name()
        );
        return Err(Fault::invalid("n", message));
    }
    Ok(())
}

/// Where in a request something stands, for what must be said of it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The wire that is written for.
    pub(super) wire: WireId,
    /// The message, by its number.
    pub(super) at: usize,
}

impl Place {
    /// What stands here cannot be sent. `what` goes behind the wire's name: "takes no audio".
    pub(super) fn untaken(self, what: &str) -> Fault {
        self.refuse(&format!("the {} wire {what}", self.wire.name()))
    }

    /// What stands here makes no sense.
    pub(super) fn refuse(self, what: &str) -> Fault {
        let field = format!("messages[{}]", self.at);
        Fault::invalid(&field, format!("{field}: {what}"))
    }
}

/// The conversation, which must say something.
pub(super) fn filled<T>(messages: Vec<T>, wire: WireId) -> Result<Vec<T>, Fault> {
    if messages.is_empty() {
        let message = format!(
            "messages: the {} wire needs at least one message with content",
            wire.name()
        );
        return Err(Fault::invalid("messages", message));
    }
    Ok(messages)
}
