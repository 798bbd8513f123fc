//! Stored parts of a response for later requests: its input as items, and its output as input of
//! the next turn.
//!
//! Invariant: stored turns are sent again in full, never by reference. Items that are sent have no
//! ids by which a provider would look for them, except reasoning, which is sent completely or not
//! at all.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use serde_json::value::RawValue;

use super::pieces::put_list;
use crate::codec::json::{Fields, json_text, put_json, put_str};
use crate::codec::members::Elements;
use crate::dialect::object::Object;
use crate::model::fault::Fault;
use crate::model::ids::StreamId;

/// Returns the input of a request as a JSON array of items.
///
/// # Errors
/// A 400 if it is not valid.
pub(super) fn stored_input(top: &Object<'_>) -> Result<ByteString, Fault> {
    let Some(input) = top.raw("input") else {
        return Ok("[]".into());
    };
    let mut buf = BytesMut::with_capacity(input.get().len() + 64);
    if input.get().starts_with('"') {
        let mut items = Elements::new(&mut buf);
        let mut message = items.object();
        message.word("type", "message");
        message.word("role", "user");
        message.json("content", input.get());
        message.end();
        items.end();
    } else {
        put_json(&mut buf, input.get());
    }
    ByteString::try_from(buf.freeze()).map_err(|_| top.invalid("input", "valid UTF-8"))
}

/// Returns the output of a response object as input items of a later turn (a JSON array).
#[must_use]
pub fn output_as_input(object: &[u8]) -> String {
    let fields = Fields::parse(object).ok();
    let output = fields.as_ref().and_then(|fields| fields.get("output"));
    let items: Vec<&RawValue> = output
        .and_then(|output| serde_json::from_str(output.get()).ok())
        .unwrap_or_default();
    let inputs: Vec<Bytes> = items
        .into_iter()
        .filter_map(|item| as_input(item.get().as_bytes()))
        .collect();
    json_text(|buf| put_list(buf, inputs.iter().map(|item| &**item)))
}

/// Returns an output item as an input item; `None` for reasoning without `encrypted_content`, which
/// no provider can read again, and for calls that were cut off.
pub(super) fn as_input(item: &[u8]) -> Option<Bytes> {
    let fields = Fields::parse(item).ok()?;
    let text = |name: &str| {
        fields
            .get(name)
            .and_then(|value| serde_json::from_str::<String>(value.get()).ok())
    };
    match text("type").as_deref() {
        Some("reasoning") => text("encrypted_content").map(|_| Bytes::copy_from_slice(item)),
        Some("function_call" | "custom_tool_call")
            if text("status").as_deref() == Some("incomplete") =>
        {
            None
        }
        Some("message" | "function_call" | "custom_tool_call") => {
            // An id would make the provider look the item up in its own storage.
            let without_id = fields.without("id");
            Some(Fields::parse(&without_id).ok()?.without("status"))
        }
        // Items of tools that the provider runs exist only on this wire, and are sent back
        // unchanged.
        _ => Some(Bytes::copy_from_slice(item)),
    }
}

/// Returns the items of a stored input, each with its id: its own, or one made from the stream's
/// id.
#[must_use]
pub fn items_with_ids(input: &str, stream: &StreamId) -> Vec<(String, Bytes)> {
    let items: Vec<&RawValue> = serde_json::from_str(input).unwrap_or_default();
    let item = |(at, item): (usize, &RawValue)| {
        let fields = Fields::parse(item.get().as_bytes()).ok()?;
        let own = fields
            .get("id")
            .and_then(|id| serde_json::from_str::<String>(id.get()).ok());
        let made = || (format!("item_{stream}_{at}"), false);
        let (id, has) = own.map_or_else(made, |id| (id, true));
        let quoted = json_text(|buf| put_str(buf, &id));
        let type_member = fields
            .get("type")
            .is_none()
            .then_some(("type", "\"message\""));
        let id_member = (!has).then_some(("id", &*quoted));
        let changes: Vec<(&str, &str)> = type_member.into_iter().chain(id_member).collect();
        Some((id, fields.with(&changes)))
    };
    items.into_iter().enumerate().filter_map(item).collect()
}

/// Returns the provider's own body with an id of ours and `background: true`: the client of a
/// background response has received our id.
#[must_use]
pub fn with_response_id(body: &[u8], stream: &StreamId) -> Bytes {
    let id = format!("\"resp_{stream}\"");
    match Fields::parse(body) {
        Ok(fields) => fields.with(&[("id", &id), ("background", "true")]),
        Err(_) => Bytes::copy_from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_of_the_input_has_an_id() {
        let stream = StreamId::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
        let items = items_with_ids(
            r#"[{"role":"user","content":"a"},{"type":"function_call","id":"fc_1"}]"#,
            &stream,
        );
        assert_eq!(items[0].0, "item_abcdefghijklmnopqrstuvwxyz_0");
        assert_eq!(&items[0].1[..], br#"{"role":"user","content":"a","type":"message","id":"item_abcdefghijklmnopqrstuvwxyz_0"}"#);
        assert_eq!(&*items[1].1, br#"{"type":"function_call","id":"fc_1"}"#);
    }
}
