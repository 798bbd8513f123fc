//! What the events of a stream come to, as the whole answer of the same dialect has it: a second
//! writing of what each vendor's own client does with them.

mod chat;
mod events;
mod messages;
mod responses;
mod ui;

use serde_json::{Map, Value};

use crate::rig::Speech;
use crate::rig::sse::Event;

/// The whole answer; of a failure its code and its words.
pub fn fold(speech: Speech, events: &[Event]) -> Result<Value, Value> {
    let folded = match speech {
        Speech::Chat => chat::fold(events),
        Speech::Responses => responses::fold(events).map(responses::without_cuts),
        Speech::Messages => messages::fold(events),
        Speech::Events => events::fold(events),
        Speech::Ui => ui::fold(events),
    };
    folded.map_err(|error| failure(&error))
}

/// A whole answer, or a refusal, in the same form.
pub fn whole(speech: Speech, status: u16, body: Value) -> Result<Value, Value> {
    match speech {
        _ if status >= 400 => Err(failure(&body["error"])),
        Speech::Events => events::of_status(&body).map_err(|error| failure(&error)),
        Speech::Responses => Ok(responses::without_cuts(body)),
        _ => Ok(body),
    }
}

/// Code and words of an error: what else stands in it goes by where it stands.
fn failure(error: &Value) -> Value {
    members(error, &["code", "message"])
}

/// Adds a piece to a member that is text.
fn grow(value: &mut Value, member: &str, piece: &Value) {
    if let Some(piece) = piece.as_str() {
        let text = value[member].as_str().unwrap_or_default().to_owned() + piece;
        value[member] = text.into();
    }
}

/// Adds the elements of a list to a member that is one.
fn extend(value: &mut Value, member: &str, more: &Value) {
    let more = more.as_array().cloned().unwrap_or_default();
    if !more.is_empty() {
        match value[member].as_array_mut() {
            Some(list) => list.extend(more),
            None => value[member] = more.into(),
        }
    }
}

/// Sets those members that `from` has.
fn keep(value: &mut Value, from: &Value, members: &[&str]) {
    for member in members {
        if !from[*member].is_null() {
            value[*member] = from[*member].clone();
        }
    }
}

/// An object of these members of another; null where it has them not.
fn members(from: &Value, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), from[*name].clone()))
        .collect::<Map<_, _>>()
        .into()
}
