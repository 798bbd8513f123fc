//! References to items: OpenAI's clients send the id of an item that the API has stored instead of
//! the item.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use super::pieces::put_list;
use super::stored::{as_input, with_body};
use crate::codec::json::Fields;
use crate::dialect::object::Object;
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
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

/// Returns the request with references replaced by the known items. References to unknown items
/// stay as they are. The input is at most `max_bytes` bytes.
///
/// # Errors
/// A 413 if it is larger with the items; a 400 if the request is not valid.
pub fn resolve_references(ask: Ask, known: &ItemsById, max_bytes: usize) -> Result<Ask, Fault> {
    let (mut list, mut bytes) = (Vec::new(), 0);
    for item in input_items(&ask.body)? {
        let reference = Fields::parse(item.get().as_bytes())
            .ok()
            .and_then(|item| referenced_id(&item));
        let item = match reference.and_then(|id| known.get(&id)) {
            Some(item) => as_input(item),
            // An unknown reference may belong to the provider: leave it to the provider.
            None => Some(Bytes::copy_from_slice(item.get().as_bytes())),
        };
        // One id may be referenced many times: check the size before the copies are joined.
        bytes += item.as_ref().map_or(0, Bytes::len);
        if bytes > max_bytes {
            let message = format!(
                "with the items that it references, the input is larger than {max_bytes} bytes (`server.max_body`)"
            );
            return Err(Fault::new(Code::BodyTooLarge, message).with_param("input"));
        }
        list.extend(item);
    }
    let mut input = BytesMut::with_capacity(bytes + list.len() + 2);
    put_list(&mut input, list.iter().map(|item| &**item));
    let input = std::str::from_utf8(&input)
        .map_err(|_| Fault::invalid("input", "`input` must be valid UTF-8"))?;
    let body = Object::from_body(&ask.body)?
        .fields
        .with(&[("input", input)]);
    with_body(ask, body)
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

fn input_items(body: &[u8]) -> Result<Vec<&RawValue>, Fault> {
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
    use http::HeaderMap;

    use super::super::parse;
    use super::*;

    const STREAM: &str = "abcdefghijklmnopqrstuvwxyz";

    fn ask(input: &str) -> Ask {
        let body = format!(r#"{{"model":"m","input":{input},"background":true}}"#);
        parse::ask(&HeaderMap::new(), body.into()).unwrap()
    }

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

    #[test]
    fn known_items_replace_their_references() {
        let input = r#"[{"role":"user","content":"a"},{"type":"item_reference","id":"rs_1"},{"id":"fc_1"},{"id":"rs_2"},{"type":"item_reference","id":"theirs"}]"#;
        let ask = ask(input);
        let paths = referenced_items(&ask).unwrap();
        assert_eq!(
            (paths.len(), &*paths[0].0, &*paths[0].1),
            (4, "input[1]", "rs_1")
        );
        let object = br#"{"output":[{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"E"},{"id":"rs_2","type":"reasoning","summary":[]},
            {"id":"fc_1","type":"function_call","status":"completed","call_id":"c"}]}"#;
        let known = output_items_by_id(object);
        let resolved = resolve_references(ask, &known, 1000).unwrap();
        assert_eq!(
            std::str::from_utf8(&resolved.body).unwrap(),
            r#"{"model":"m","input":[{"role":"user","content":"a"},{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"E"},{"type":"function_call","call_id":"c"},{"type":"item_reference","id":"theirs"}]}"#
        );
        assert_eq!(resolved.references[0].path, "input[3]");
        let asked = resolved.head.responses.as_ref().unwrap();
        assert!(asked.background && asked.input.contains("function_call"));
    }

    #[test]
    fn inputs_that_grow_too_large_are_rejected() {
        let known = ItemsById::from([(
            "rs_1".to_owned(),
            Bytes::from(format!(r#"{{"type":"x","a":"{}"}}"#, "b".repeat(100))),
        )]);
        let twice =
            r#"[{"type":"item_reference","id":"rs_1"},{"type":"item_reference","id":"rs_1"}]"#;
        assert!(resolve_references(ask(twice), &known, 300).is_ok());
        assert_eq!(
            resolve_references(ask(twice), &known, 200)
                .unwrap_err()
                .code,
            Code::BodyTooLarge
        );
    }
}
