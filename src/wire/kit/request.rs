//! Parts of a request that every wire writes alike: the client's own body with changed members, the
//! body written from a chat, forwarded headers, and the options that a target may not have.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use super::refusals;
use crate::codec::json::Fields;
use crate::model::accepts::Accepts;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::wire::Mode;

/// The header that is forwarded on every wire.
pub(in crate::wire) const TRACEPARENT: &str = "traceparent";

/// The value of `stream` that a wire assumes if a request has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum StreamDefault {
    /// False: the member is written where it differs.
    Off,
    /// It differs between servers: the member is always written.
    Unknown,
}

/// Returns the members of the client's own body.
///
/// # Errors
/// A 400 if the body is not a JSON object.
pub(in crate::wire) fn own_fields(body: &[u8]) -> Result<Fields<'_>, Fault> {
    Fields::parse(body)
        .map_err(|error| Fault::invalid("body", format!("the body is not a JSON object: {error}")))
}

/// Returns the client's own body with `model`, with `stream` as the mode requires it, and with
/// further `changes`. Every other byte stays.
///
/// # Errors
/// A 400 if the body is not a JSON object.
pub(in crate::wire) fn own_body(
    fields: &Fields<'_>,
    target: &Target,
    mode: Mode,
    default: StreamDefault,
    changes: &[(&str, &str)],
) -> Bytes {
    // Clients send the public name of the model; the provider knows its own only.
    let model = serde_json::Value::from(&**target.upstream_model()).to_string();
    let mut all = vec![("model", model.as_str())];
    match mode {
        Mode::Stream => all.push(("stream", "true")),
        Mode::Whole if default == StreamDefault::Unknown || fields.get("stream").is_some() => {
            all.push(("stream", "false"));
        }
        Mode::Whole => {}
    }
    all.extend_from_slice(changes);
    fields.with(&all)
}

/// Writes a body as JSON.
///
/// # Errors
/// An internal error, which no body causes.
pub(in crate::wire) fn to_json(body: &impl Serialize) -> Result<Bytes, Fault> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| refusals::unwritable(&error))
}

/// Returns the client's headers with these names.
pub(in crate::wire) fn forwarded_headers(
    ask: &Ask,
    names: &[&str],
) -> Vec<(HeaderName, HeaderValue)> {
    ask.headers
        .iter()
        .filter(|(name, _)| names.contains(&name.as_str()))
        .cloned()
        .collect()
}

/// Refuses the options that change the answer and that the target does not have.
///
/// # Errors
/// A 400 that names the first of them.
pub(in crate::wire) fn check_options(chat: &Chat, accepts: &Accepts) -> Result<(), Fault> {
    if let Some(name) = chat.unsupported.first() {
        return Err(refusals::field(name));
    }
    // An empty object biases nothing.
    let biased = chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'));
    if biased && accepts.refuses_bias {
        return Err(refusals::field("logit_bias"));
    }
    // Fail instead of returning fewer choices than the client requested.
    if !accepts.choices && chat.choices.is_some_and(|n| n > 1) {
        return Err(refusals::choices());
    }
    match accepts.stops {
        Some(limit) if chat.stop.len() > limit => Err(refusals::stops(limit, chat.stop.len())),
        _ => Ok(()),
    }
}
