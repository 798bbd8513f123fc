//! References to items: OpenAI's clients send the id of an item that the API has stored instead of
//! the item.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::dialect::object::Object;
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::ids::StreamId;

/// Items (JSON) by their ids.
pub type ItemsById = HashMap<String, Bytes>;

/// Returns the id that an item refers to, if its type is `item_reference` or missing.
///
/// A message may omit its type as well, so an item with a `role` is no reference.
pub(super) fn referenced_id(item: &Fields<'_>) -> Option<String> {
    let text = |name: &str| {
        item.get(name)
            .and_then(|value| serde_json::from_str::<String>(value.get()).ok())
    };
    let is_reference = match text("type") {
        Some(kind) => kind == "item_reference",
        None => item.get("role").is_none(),
    };
    text("id").filter(|_| is_reference)
}

/// Returns the stream that an item id of ours belongs to, for items of an output or of an input
/// (`msg_<stream>_3`, `item_<stream>_0`).
#[must_use]
pub fn stream_id_in(id: &str) -> Option<StreamId> {
    let (_, rest) = id.split_once('_')?;
    let (stream, place) = rest.split_once('_')?;
    StreamId::parse(stream).filter(|_| place.parse::<usize>().is_ok())
}

/// Returns the ids that an input refers to, each after the path of its item.
///
/// # Errors
/// A 400 if the input is not a list of items.
pub fn referenced_items(ask: &Ask) -> Result<Vec<(String, String)>, Fault> {
    let items = input_items(&ask.body)?;
    let id = |item: &RawValue| {
        Fields::parse(item.get().as_bytes())
            .ok()
            .and_then(|item| referenced_id(&item))
    };
    Ok(items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| Some((format!("input[{at}]"), id(item)?)))
        .collect())
}

/// Returns the items of the output of a response object by their ids.
#[must_use]
pub fn output_items_by_id(object: &[u8]) -> ItemsById {
    let fields = Fields::parse(object).ok();
    let output = fields.as_ref().and_then(|fields| fields.get("output"));
    let items: Vec<&RawValue> = output
        .and_then(|output| serde_json::from_str(output.get()).ok())
        .unwrap_or_default();
    let with_id = |item: &RawValue| {
        let fields = Fields::parse(item.get().as_bytes()).ok()?;
        let id = serde_json::from_str(fields.get("id")?.get()).ok()?;
        Some((id, Bytes::copy_from_slice(item.get().as_bytes())))
    };
    items.into_iter().filter_map(with_id).collect()
}

/// Returns the items of the input of a body; none if it is a string.
///
/// # Errors
/// A 400 if it is not a list of items.
pub(super) fn input_items(body: &[u8]) -> Result<Vec<&RawValue>, Fault> {
    let top = Object::from_body(body)?;
    match top.raw("input") {
        Some(input) if input.get().starts_with('[') => {
            Ok(top.read("input", "an array of items")?.unwrap_or_default())
        }
        // An input that is a string refers to nothing.
        _ => Ok(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn references_are_recognized_in_all_forms() {
        for (item, id) in [
            (r#"{"type":"item_reference","id":"rs_1"}"#, Some("rs_1")),
            (
                r#"{"type":"item\u005freference","id":"rs_1"}"#,
                Some("rs_1"),
            ),
            (r#"{"type":null,"id":"rs_1"}"#, Some("rs_1")),
            (r#"{"id":"rs_1"}"#, Some("rs_1")),
            (r#"{"id":"msg_1","role":"assistant","content":[]}"#, None),
            (r#"{"type":"message","id":"msg_1"}"#, None),
            (r#"{"type":"item_reference"}"#, None),
        ] {
            assert_eq!(
                referenced_id(&Fields::parse(item.as_bytes()).unwrap()).as_deref(),
                id,
                "{item}"
            );
        }
    }

    #[test]
    fn ids_of_ours_contain_their_stream() {
        for kind in ["rs", "msg", "fc", "ctc", "item"] {
            assert_eq!(
                stream_id_in(&format!("{kind}_{STREAM}_12"))
                    .unwrap()
                    .as_str(),
                STREAM
            );
        }
        for id in [
            "rs_68af0c2d",
            "",
            "_",
            &format!("rs_{STREAM}"),
            &format!("rs_{STREAM}_x"),
            &format!("{STREAM}_1"),
        ] {
            assert!(stream_id_in(id).is_none(), "{id}");
        }
    }
}
