//! What is kept of a response for later ones: its input as items, and its output as the next turn's
//! input.
//!
//! Invariants: kept turns are sent again, never named to a provider: what goes out has no ids by
//! which it would look for them, but for reasoning, which comes back whole or not at all.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use serde_json::value::RawValue;

use super::parse;
use super::pieces::put_list;
use crate::codec::json::{Fields, put_json};
use crate::dialect::object::Object;
use crate::model::ask::{Ask, Asked};
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;

/// The input of a request as a JSON array of items.
///
/// # Errors
/// A 400 when it is no such thing.
pub(super) fn items(top: &Object<'_>) -> Result<ByteString, Fault> {
    let Some(input) = top.raw("input") else {
        return Ok("[]".into());
    };
    let mut buf = BytesMut::with_capacity(input.get().len() + 64);
    if input.get().starts_with('"') {
        buf.put_slice(b"[{\"type\":\"message\",\"role\":\"user\",\"content\":");
        put_json(&mut buf, input.get());
        buf.put_slice(b"}]");
    } else {
        put_json(&mut buf, input.get());
    }
    ByteString::try_from(buf.freeze()).map_err(|_| top.refuse("input", "valid UTF-8"))
}

/// The request that goes on from a response with this input and this output: all of it is sent
/// again. At most `most` bytes.
///
/// # Errors
/// A 413 when all turns together are too large; a 400 where this is no request.
pub fn go_on(ask: Ask, input: &str, output: &str, most: usize) -> Result<Ask, Fault> {
    let own = items(&Object::body(&ask.body)?)?;
    let all = join([input, output, &own]);
    let body = Fields::of(&ask.body)
        .map_err(|_| Fault::invalid("input", "`input` must be valid JSON"))?
        .with(&[("input", &all)]);
    let body = Object::body(&body)?.fields.without("previous_response_id");
    if body.len() > most {
        let message = format!(
            "the turns that this goes on from are together larger than {most} bytes (`server.max_body`)"
        );
        return Err(Fault::new(Code::BodyTooLarge, message).with_param("previous_response_id"));
    }
    again(ask, body)
}

/// The request anew, with another body; what it asked of us stands.
pub(super) fn again(ask: Ask, body: Bytes) -> Result<Ask, Fault> {
    let Some(asked) = ask.asked else {
        return Ok(ask);
    };
    let mut again = parse::read(&body)?;
    let input = again
        .asked
        .as_ref()
        .map(|again| again.input.clone())
        .unwrap_or_default();
    again.asked = Some(Arc::new(Asked {
        input,
        ..(*asked).clone()
    }));
    again.headers = ask.headers;
    again.model = ask.model;
    again.body = body;
    Ok(again)
}

/// JSON arrays as one.
fn join<'a>(arrays: impl IntoIterator<Item = &'a str>) -> String {
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

/// The output of a response object as input of a later turn.
#[must_use]
pub fn output_of(object: &[u8]) -> String {
    let fields = Fields::of(object).ok();
    let output = fields.as_ref().and_then(|fields| fields.get("output"));
    let items: Vec<&RawValue> = output
        .and_then(|output| serde_json::from_str(output.get()).ok())
        .unwrap_or_default();
    let mut buf = BytesMut::new();
    let back: Vec<Bytes> = items
        .into_iter()
        .filter_map(|item| back(item.get().as_bytes()))
        .collect();
    put_list(&mut buf, back.iter().map(|item| &**item));
    String::from_utf8(buf.to_vec()).unwrap_or_else(|_| "[]".to_owned())
}

/// An item as it goes back. Reasoning that nobody can read again, and calls that were cut off, stay
/// behind.
pub(super) fn back(item: &[u8]) -> Option<Bytes> {
    let fields = Fields::of(item).ok()?;
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
            let nameless = fields.without("id");
            Some(Fields::of(&nameless).ok()?.without("status"))
        }
        _ => Some(Bytes::copy_from_slice(item)),
    }
}

/// The kept input, each item with its id: its own, or one made from the stream's.
#[must_use]
pub fn numbered(input: &str, stream: &StreamId) -> Vec<(String, Bytes)> {
    let items: Vec<&RawValue> = serde_json::from_str(input).unwrap_or_default();
    let item = |(at, item): (usize, &RawValue)| {
        let fields = Fields::of(item.get().as_bytes()).ok()?;
        let own = fields
            .get("id")
            .and_then(|id| serde_json::from_str::<String>(id.get()).ok());
        let made = || (format!("item_{stream}_{at}"), false);
        let (id, has) = own.map_or_else(made, |id| (id, true));
        let quoted = serde_json::Value::from(id.as_str()).to_string();
        let kind = fields
            .get("type")
            .is_none()
            .then_some(("type", "\"message\""));
        let named = (!has).then_some(("id", &*quoted));
        let changes: Vec<(&str, &str)> = kind.into_iter().chain(named).collect();
        Some((id, fields.with(&changes)))
    };
    items.into_iter().enumerate().filter_map(item).collect()
}

/// The provider's own body under an id of ours: that of a response in the background, which the
/// client has been told.
#[must_use]
pub fn renamed(body: &[u8], stream: &StreamId) -> Bytes {
    let id = format!("\"resp_{stream}\"");
    match Fields::of(body) {
        Ok(fields) => fields.with(&[("id", &id), ("background", "true")]),
        Err(_) => Bytes::copy_from_slice(body),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const OUTPUT: &str = r#"{"id":"r","output":[{"id":"rs_1","type":"reasoning","summary":[]},
        {"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"E"},{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[]},
        {"id":"fc_1","type":"function_call","status":"incomplete","call_id":"c"},{"id":"ws_1","type":"web_search_call","status":"completed"}]}"#;

    #[test]
    fn turns_are_sent_again_without_names() {
        let output = output_of(OUTPUT.as_bytes());
        assert_eq!(
            output,
            r#"[{"id":"rs_2","type":"reasoning","summary":[],"encrypted_content":"E"},{"type":"message","role":"assistant","content":[]},{"id":"ws_1","type":"web_search_call","status":"completed"}]"#
        );
        let body =
            r#"{"model":"m","previous_response_id":"resp_x","input":"and?","background":true}"#;
        let ask = parse::ask(&HeaderMap::new(), Bytes::from_static(body.as_bytes())).unwrap();
        let on = go_on(ask, r#"[ {"role":"user","content":"a"} ]"#, "[]", 1000).unwrap();
        assert_eq!(
            &on.body[..],
            br#"{"model":"m","input":[{"role":"user","content":"a"},{"type":"message","role":"user","content":"and?"}]}"#
        );
        let asked = on.asked.unwrap();
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
            go_on(
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
    fn items_have_ids() {
        let stream = StreamId::parse("abcdefghijklmnopqrstuvwxyz").unwrap();
        let items = numbered(
            r#"[{"role":"user","content":"a"},{"type":"function_call","id":"fc_1"}]"#,
            &stream,
        );
        assert_eq!(items[0].0, "item_abcdefghijklmnopqrstuvwxyz_0");
        assert_eq!(&items[0].1[..], br#"{"role":"user","content":"a","type":"message","id":"item_abcdefghijklmnopqrstuvwxyz_0"}"#);
        assert_eq!(&*items[1].1, br#"{"type":"function_call","id":"fc_1"}"#);
    }
}
