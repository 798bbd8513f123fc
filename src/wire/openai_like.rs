//! Shared parts of requests on the wires whose shape is close to OpenAI's (`ollama`, `cohere`):
//! bodies that are sent unchanged, options that neither supports, functions, images and files.
//!
//! Invariants: an option that a wire does not support is a 400 that names the field; no content of
//! a message is left out here.

mod functions;
mod media;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

pub(super) use functions::{Declared, arguments, declare_tools};
pub(super) use media::{Media, media};

use super::{Draft, Mode};
use crate::codec::json::Fields;
use crate::model::ask::Ask;
use crate::model::chat::{Chat, Format, Role};
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::model::wire::WireId;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Writes the request for `target`: the client's own body if it has the shape of this wire, else
/// the body that `write` makes from the chat.
pub(super) fn draft<'a, B: Serialize>(
    wire: WireId,
    path: &str,
    ask: &'a Ask,
    target: &Target,
    mode: Mode,
    write: impl FnOnce(&'a Chat) -> Result<B, Fault>,
) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(wire) {
        forward_body(&ask.body, target, mode)?
    } else {
        let chat = ask.chat()?;
        reject_unsupported(chat, wire)?;
        Bytes::from(serde_json::to_vec(&write(chat)?).map_err(|error| json_write_error(&error))?)
    };
    Ok(Draft {
        path: path.to_owned(),
        headers: trace_headers(ask),
        body,
    })
}

/// Returns the `traceparent` header, which is forwarded on every wire.
pub(super) fn trace_headers(ask: &Ask) -> Vec<(HeaderName, HeaderValue)> {
    ask.headers
        .iter()
        .filter(|(name, _)| *name == TRACEPARENT)
        .cloned()
        .collect()
}

/// Returns OpenAI's name of a role. The other parts of a message with a tool result are the user's.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Assistant => "assistant",
        Role::User | Role::Tool => "user",
    }
}

/// The JSON format requested for an answer.
#[derive(Clone, Copy)]
pub(super) enum JsonFormat<'a> {
    /// Any JSON object.
    Any,
    /// JSON that matches this schema.
    Schema(&'a RawValue),
}

/// Returns the JSON format requested for the answer, or `None` for text.
///
/// # Errors
/// A 400 if a schema is announced but missing.
pub(super) fn json_format(chat: &Chat) -> Result<Option<JsonFormat<'_>>, Fault> {
    match &chat.format {
        None | Some(Format::Text) => Ok(None),
        Some(Format::Json) => Ok(Some(JsonFormat::Any)),
        Some(Format::Schema {
            schema: Some(schema),
            ..
        }) => Ok(Some(JsonFormat::Schema(schema))),
        Some(Format::Schema { schema: None, .. }) => Err(Fault::invalid(
            "response_format",
            "response_format: a json_schema format needs its schema",
        )),
    }
}

/// Returns the client's body with `model` and `stream` set and everything else unchanged. `stream`
/// is always written, because the default differs between wires.
fn forward_body(body: &[u8], target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    let invalid = |error| {
        Fault::new(
            Code::InvalidRequest,
            format!("the body is not a JSON object: {error}"),
        )
    };
    let fields = Fields::parse(body).map_err(invalid)?;
    let model = serde_json::to_string(&**target.upstream_model())
        .map_err(|error| json_write_error(&error))?;
    let stream = if mode == Mode::Stream {
        "true"
    } else {
        "false"
    };
    Ok(fields.with(&[("model", &model), ("stream", stream)]))
}

fn json_write_error(error: &serde_json::Error) -> Fault {
    Fault::new(
        Code::InternalError,
        format!("the request cannot be written as JSON: {error}"),
    )
}

fn reject_unsupported(chat: &Chat, wire: WireId) -> Result<(), Fault> {
    // An empty object biases nothing.
    let biased = chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'))
        .then_some("logit_bias");
    if let Some(field) = chat.unsupported.first().copied().or(biased) {
        let message = format!(
            "{field}: the {} wire does not support it; leave it out or choose another model",
            wire.name()
        );
        return Err(Fault::invalid(field, message));
    }
    if chat.choices.is_some_and(|n| n > 1) {
        let message = format!(
            "n: the {} wire returns a single choice; send n = 1 or choose another model",
            wire.name()
        );
        return Err(Fault::invalid("n", message));
    }
    Ok(())
}

/// The position of a message in a request, for error messages.
#[derive(Clone, Copy)]
pub(super) struct MessagePosition {
    /// The wire of the request.
    pub(super) wire: WireId,
    /// The index of the message, from 0.
    pub(super) at: usize,
}

impl MessagePosition {
    /// Returns a 400 for content that the wire does not support. `what` follows the name of the
    /// wire in the message: "does not support audio".
    pub(super) fn unsupported(self, what: &str) -> Fault {
        self.invalid(&format!("the {} wire {what}", self.wire.name()))
    }

    /// Returns a 400 for content that is not valid.
    pub(super) fn invalid(self, what: &str) -> Fault {
        let field = format!("messages[{}]", self.at);
        Fault::invalid(&field, format!("{field}: {what}"))
    }
}

/// Returns the messages.
///
/// # Errors
/// A 400 if there are none.
pub(super) fn require_messages<T>(messages: Vec<T>, wire: WireId) -> Result<Vec<T>, Fault> {
    if messages.is_empty() {
        let message = format!(
            "messages: the {} wire needs at least one message with content",
            wire.name()
        );
        return Err(Fault::invalid("messages", message));
    }
    Ok(messages)
}
