//! Folds the events of a stream into the whole answer of the same dialect: an independent
//! implementation of each vendor's own client.

mod chat;
mod events;
mod messages;
mod responses;
mod ui;

use serde_json::{Map, Value};

use crate::rig::Dialect;
use crate::rig::sse::Event;

/// Returns the whole answer, or code and message of a failure.
pub fn fold(dialect: Dialect, events: &[Event]) -> Result<Value, Value> {
    let folded = match dialect {
        Dialect::Chat => chat::fold(events),
        Dialect::Responses => responses::fold(events).map(responses::without_item_status),
        Dialect::Messages => messages::fold(events),
        Dialect::Events => events::fold(events),
        Dialect::Ui => ui::fold(events),
    };
    folded.map_err(|error| failure(&error))
}

/// Returns a whole answer, or a refusal, in the same form.
pub fn whole(dialect: Dialect, status: u16, body: Value) -> Result<Value, Value> {
    match dialect {
        _ if status >= 400 => Err(failure(&body["error"])),
        Dialect::Events => events::from_status(&body).map_err(|error| failure(&error)),
        Dialect::Responses => Ok(responses::without_item_status(body)),
        _ => Ok(body),
    }
}

/// Code and message of an error: its other members depend on where it appears.
fn failure(error: &Value) -> Value {
    members(error, &["code", "message"])
}

/// Appends a piece to a text member.
fn grow(value: &mut Value, member: &str, piece: &Value) {
    if let Some(piece) = piece.as_str() {
        let text = value[member].as_str().unwrap_or_default().to_owned() + piece;
        value[member] = text.into();
    }
}

/// Appends elements to a list member.
fn append(value: &mut Value, member: &str, more: &Value) {
    let more = more.as_array().cloned().unwrap_or_default();
    if !more.is_empty() {
        match value[member].as_array_mut() {
            Some(list) => list.extend(more),
            None => value[member] = more.into(),
        }
    }
}

/// Copies the members that `from` has.
fn copy(value: &mut Value, from: &Value, members: &[&str]) {
    for member in members {
        if !from[*member].is_null() {
            value[*member] = from[*member].clone();
        }
    }
}

/// Returns an object of these members of another; missing ones are null.
fn members(from: &Value, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), from[*name].clone()))
        .collect::<Map<_, _>>()
        .into()
}
