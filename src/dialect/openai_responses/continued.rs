//! Requests with more input than their bodies have: earlier turns go before the input, and stored
//! items replace the references to them.
//!
//! Invariant: stored turns are sent again in full, never by reference.

use std::sync::Arc;

use bytes::Bytes;

use super::item_references::{ItemsById, input_items, referenced_id};
use super::parse;
use super::pieces::put_list;
use super::stored::{as_input, stored_input};
use crate::codec::json::{Fields, json_text};
use crate::dialect::object::Object;
use crate::model::ask::{Ask, ResponsesRequest};
use crate::model::fault::{Code, Fault};

/// Returns the request with the input and output of the previous response before its own input, at
/// most `max_bytes` bytes.
///
/// # Errors
/// A 413 if all turns together are too large; a 400 if the request is not valid.
pub fn continue_from(ask: Ask, input: &str, output: &str, max_bytes: usize) -> Result<Ask, Fault> {
    let own = stored_input(&Object::from_body(&ask.body)?)?;
    let all = join([input, output, &own]);
    let body = Fields::parse(&ask.body)
        .map_err(|_| Fault::invalid("input", "`input` must be valid JSON"))?
        .with(&[("input", &all)]);
    let body = Object::from_body(&body)?
        .fields
        // The turns are inserted, so the provider must not look for a response of ours.
        .without("previous_response_id");
    if body.len() > max_bytes {
        let message = format!(
            "the previous turns and this input are together larger than {max_bytes} bytes (`server.max_body`): start a new conversation"
        );
        return Err(Fault::new(Code::BodyTooLarge, message).with_param("previous_response_id"));
    }
    with_body(ask, body)
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
    let input = json_text(|buf| put_list(buf, list.iter().map(|item| &**item)));
    let body = Object::from_body(&ask.body)?
        .fields
        .with(&[("input", &input)]);
    with_body(ask, body)
}

/// Returns the request with another body. The options that Sluicegate itself handles (`background`,
/// `store`, …) stay those of the first body.
fn with_body(ask: Ask, body: Bytes) -> Result<Ask, Fault> {
    let Some(asked) = &ask.head.responses else {
        return Ok(ask);
    };
    let mut again = parse::read(&body)?;
    let head = Arc::make_mut(&mut again.head);
    let input = head.responses.take().map(|again| again.input);
    head.responses = Some(ResponsesRequest {
        input: input.unwrap_or_default(),
        ..asked.clone()
    });
    head.model = ask.head.model.clone();
    again.headers = ask.headers;
    again.body = body;
    Ok(again)
}

/// Joins JSON arrays into one.
fn join<'a>(arrays: impl IntoIterator<Item = &'a str>) -> String {
    // Joined as text: parsing and writing the items again could change them.
    let inside = |array: &'a str| {
        array
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .map_or("", str::trim)
    };
    let all: Vec<&str> = arrays
        .into_iter()
        .map(inside)
        .filter(|inside| !inside.is_empty())
        .collect();
    format!("[{}]", all.join(","))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::item_references::{output_items_by_id, referenced_items};
    use super::super::stored::output_as_input;
    use super::*;

    const OUTPUT: &str = r#"{"id":"r","output":[{"id":"rs_1","type":"reasoning","summary":[]},
        {"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"E"},{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[]},
        {"id":"fc_1","type":"function_call","status":"incomplete","call_id":"c"},{"id":"ws_1","type":"web_search_call","status":"completed"}]}"#;

    fn ask(input: &str) -> Ask {
        let body = format!(r#"{{"model":"m","input":{input},"background":true}}"#);
        parse::ask(&HeaderMap::new(), body.into()).unwrap()
    }

    #[test]
    fn stored_turns_are_sent_again_without_ids() {
        let output = output_as_input(OUTPUT.as_bytes());
        assert_eq!(
            output,
            r#"[{"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"E"},{"type":"message","role":"assistant","content":[]},{"id":"ws_1","type":"web_search_call","status":"completed"}]"#
        );
        let body =
            r#"{"model":"m","previous_response_id":"resp_x","input":"and?","background":true}"#;
        let ask = parse::ask(&HeaderMap::new(), Bytes::from_static(body.as_bytes())).unwrap();
        let on = continue_from(ask, r#"[ {"role":"user","content":"a"} ]"#, "[]", 1000).unwrap();
        assert_eq!(
            &on.body[..],
            br#"{"model":"m","input":[{"role":"user","content":"a"},{"type":"message","role":"user","content":"and?"}]}"#
        );
        let asked = on.head.responses.as_ref().unwrap();
        assert!(
            asked.background
                && asked.input.contains("and?")
                && asked.echo.contains(r#""previous_response_id":"resp_x""#)
        );
    }

    #[test]
    fn turns_that_are_too_large_are_refused() {
        let ask = parse::ask(
            &HeaderMap::new(),
            Bytes::from_static(br#"{"model":"m","previous_response_id":"r"}"#),
        )
        .unwrap();
        assert_eq!(
            continue_from(
                ask,
                r#"[{"role":"user","content":"aaaaaaaaaaaaaaaaaaaaaaaaaaa"}]"#,
                "[]",
                40
            )
            .unwrap_err()
            .code,
            Code::BodyTooLarge
        );
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
