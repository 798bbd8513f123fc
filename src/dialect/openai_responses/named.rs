//! Items that an input names instead of repeating them: OpenAI's clients do so with what the API
//! has kept for them.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;

use super::kept::{again, back};
use super::pieces::put_list;
use crate::codec::json::Fields;
use crate::dialect::object::Object;
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;

/// Items by their ids.
pub type Items = HashMap<String, Bytes>;

/// The id that an item names, if it does: `{"type": "item_reference", "id": …}`, whose type may be
/// left out.
pub(super) fn id_of(item: &Fields<'_>) -> Option<String> {
    let text = |name: &str| {
        item.get(name)
            .and_then(|value| serde_json::from_str::<String>(value.get()).ok())
    };
    let names = match text("type") {
        Some(kind) => kind == "item_reference",
        None => item.get("role").is_none(),
    };
    text("id").filter(|_| names)
}

/// The stream that an id of ours belongs to: that of an item of its output or of its input.
#[must_use]
pub fn home_of(id: &str) -> Option<StreamId> {
    let (_, rest) = id.split_once('_')?;
    let (stream, place) = rest.split_once('_')?;
    StreamId::parse(stream).filter(|_| place.parse::<usize>().is_ok())
}

/// The ids that an input names, each with the path of its item.
///
/// # Errors
/// A 400 where the input is no list of items.
pub fn named(ask: &Ask) -> Result<Vec<(String, String)>, Fault> {
    let items = items(&ask.body)?;
    let id = |item: &RawValue| {
        Fields::of(item.get().as_bytes())
            .ok()
            .and_then(|item| id_of(&item))
    };
    Ok(items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| Some((format!("input[{at}]"), id(item)?)))
        .collect())
}

/// The request with the items that its input names in their places; those that are not known here
/// stay as they are. At most `most` bytes.
///
/// # Errors
/// A 413 when it is too large with them; a 400 where this is no request.
pub fn spelled_out(ask: Ask, known: &Items, most: usize) -> Result<Ask, Fault> {
    let (mut list, mut bytes) = (Vec::new(), 0);
    for item in items(&ask.body)? {
        let named = Fields::of(item.get().as_bytes())
            .ok()
            .and_then(|item| id_of(&item));
        let item = match named.and_then(|id| known.get(&id)) {
            Some(item) => back(item),
            None => Some(Bytes::copy_from_slice(item.get().as_bytes())),
        };
        bytes += item.as_ref().map_or(0, Bytes::len);
        if bytes > most {
            let message = format!(
                "the input is larger than {most} bytes (`server.max_body`) with the items that it names"
            );
            return Err(Fault::new(Code::BodyTooLarge, message).with_param("input"));
        }
        list.extend(item);
    }
    let mut input = BytesMut::with_capacity(bytes + list.len() + 2);
    put_list(&mut input, list.iter().map(|item| &**item));
    let input = std::str::from_utf8(&input)
        .map_err(|_| Fault::invalid("input", "`input` must be valid UTF-8"))?;
    let body = Object::body(&ask.body)?.fields.with(&[("input", input)]);
    again(ask, body)
}

/// The items of an output, by their ids.
#[must_use]
pub fn output_by_id(object: &[u8]) -> Items {
    let fields = Fields::of(object).ok();
    let output = fields.as_ref().and_then(|fields| fields.get("output"));
    let items: Vec<&RawValue> = output
        .and_then(|output| serde_json::from_str(output.get()).ok())
        .unwrap_or_default();
    let with_id = |item: &RawValue| {
        let fields = Fields::of(item.get().as_bytes()).ok()?;
        let id = serde_json::from_str(fields.get("id")?.get()).ok()?;
        Some((id, Bytes::copy_from_slice(item.get().as_bytes())))
    };
    items.into_iter().filter_map(with_id).collect()
}

fn items(body: &[u8]) -> Result<Vec<&RawValue>, Fault> {
    let top = Object::body(body)?;
    match top.raw("input") {
        Some(input) if input.get().starts_with('[') => {
            Ok(top.read("input", "an array of items")?.unwrap_or_default())
        }
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
    fn a_reference_is_one_however_it_is_spelled() {
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
                id_of(&Fields::of(item.as_bytes()).unwrap()).as_deref(),
                id,
                "{item}"
            );
        }
    }

    #[test]
    fn our_ids_tell_their_stream() {
        for kind in ["rs", "msg", "fc", "ctc", "item"] {
            assert_eq!(
                home_of(&format!("{kind}_{STREAM}_12")).unwrap().as_str(),
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
            assert!(home_of(id).is_none(), "{id}");
        }
    }

    #[test]
    fn what_is_known_stands_in_place_of_its_name() {
        let input = r#"[{"role":"user","content":"a"},{"type":"item_reference","id":"rs_1"},{"id":"fc_1"},{"id":"rs_2"},{"type":"item_reference","id":"theirs"}]"#;
        let ask = ask(input);
        let paths = named(&ask).unwrap();
        assert_eq!(
            (paths.len(), &*paths[0].0, &*paths[0].1),
            (4, "input[1]", "rs_1")
        );
        let object = br#"{"output":[{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"E"},{"id":"rs_2","type":"reasoning","summary":[]},
            {"id":"fc_1","type":"function_call","status":"completed","call_id":"c"}]}"#;
        let known = output_by_id(object);
        let spelled = spelled_out(ask, &known, 1000).unwrap();
        assert_eq!(
            std::str::from_utf8(&spelled.body).unwrap(),
            r#"{"model":"m","input":[{"role":"user","content":"a"},{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"E"},{"type":"function_call","call_id":"c"},{"type":"item_reference","id":"theirs"}]}"#
        );
        assert_eq!(spelled.references[0].path, "input[3]");
        let asked = spelled.asked.unwrap();
        assert!(asked.background && asked.input.contains("function_call"));
    }

    #[test]
    fn what_is_too_large_with_them_is_refused() {
        let known = Items::from([(
            "rs_1".to_owned(),
            Bytes::from(format!(r#"{{"type":"x","a":"{}"}}"#, "b".repeat(100))),
        )]);
        let twice =
            r#"[{"type":"item_reference","id":"rs_1"},{"type":"item_reference","id":"rs_1"}]"#;
        assert!(spelled_out(ask(twice), &known, 300).is_ok());
        assert_eq!(
            spelled_out(ask(twice), &known, 200).unwrap_err().code,
            Code::BodyTooLarge
        );
    }
}
