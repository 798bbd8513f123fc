//! Decodes the delta of one choice in one payload into events.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::calls::{read_call, read_function_call};
use super::citations::write_citation;
use crate::codec::lenient::{Json, Text};
use crate::wire::DecodeError;
use crate::wire::kit::calls::CallPieces;
use crate::wire::kit::sink::{Sink, Source};
use crate::wire::openai_chat::shape::{Content, Delta, Part};

/// Writes the events of a delta. `plain` is set once the choice's reasoning has come as a string;
/// `reasoning_details` then only repeat it.
///
/// # Errors
/// When the tool calls exceed a bound.
pub(super) fn write_delta(
    mut delta: Delta<'_>,
    plain: &mut bool,
    calls: &mut CallPieces,
    sink: &mut Sink<'_>,
) -> Result<(), DecodeError> {
    // Reasoning goes first: in a delta that has both it precedes the text.
    write_reasoning(&mut delta, plain, sink);
    match delta.content {
        Content::None => {}
        Content::Text(text) => sink.text(text.share(sink.frame)),
        Content::Parts(parts) => parts.into_iter().for_each(|json| write_part(json, sink)),
    }
    if let Some(delta) = sink.share(delta.refusal) {
        sink.refusal(delta);
    }
    for source in delta.annotations.raw_list().unwrap_or_default() {
        write_citation(source, sink);
    }
    for (name, value) in delta.rest {
        if has_content(value.get()) {
            sink.raw_member(&name, value);
        }
    }
    if let Some(function) = delta.function_call {
        calls.add(read_function_call(function, sink), sink)?;
    }
    for call in delta.tool_calls.into_elements() {
        calls.add(read_call(call, sink), sink)?;
    }
    Ok(())
}

/// Writes the reasoning of a delta. Servers send the same text under several names, so only one of
/// them is read.
fn write_reasoning(delta: &mut Delta<'_>, plain: &mut bool, sink: &mut Sink<'_>) {
    let text = sink
        .share(std::mem::take(&mut delta.reasoning_content))
        .or_else(|| sink.share(std::mem::take(&mut delta.reasoning)));
    if let Some(text) = text {
        *plain = true;
        sink.reasoning(text);
    }
    for detail in delta.reasoning_details.raw_list().unwrap_or_default() {
        write_detail(detail, *plain, sink);
    }
}

fn write_detail(json: &RawValue, plain: bool, sink: &mut Sink<'_>) {
    let detail: Part<'_> = Json::new(json).read();
    let (signature, redacted) = (sink.share(detail.signature), sink.share(detail.data));
    let is_signed = signature.is_some() || redacted.is_some();
    // A detail of another shape is passed on rather than lost.
    if detail.text.0.is_none() && !is_signed {
        raw_item("reasoning_details", json, sink);
        return;
    }
    if let Some(text) = sink.share(detail.text).filter(|_| !plain) {
        sink.reasoning(text);
    }
    // An item with an id must go back unmodified, so the whole item becomes the signature. Its text
    // is already in the reasoning events.
    let must_be_whole = is_signed && detail.id.non_empty().is_some();
    let item = must_be_whole.then(|| without_text(json)).flatten();
    match (item, redacted) {
        (Some(item), Some(_)) => sink.signature(None, Some(item.into())),
        (Some(item), None) => sink.signature(Some(item.into()), None),
        (None, redacted) => sink.signature(signature, redacted),
    }
}

/// Returns an item of `reasoning_details` without its text.
fn without_text(json: &RawValue) -> Option<String> {
    let mut item: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json.get()).ok()?;
    for member in ["text", "summary"] {
        item.remove(member);
    }
    Some(serde_json::Value::Object(item).to_string())
}

/// Writes one piece of a `content` list.
fn write_part(json: &RawValue, sink: &mut Sink<'_>) {
    let part: Part<'_> = Json::new(json).read();
    match part.kind.0.as_ref().map(Text::as_str) {
        Some("text") => {
            if let Some(text) = sink.share(part.text) {
                sink.text(text);
            }
        }
        Some("thinking") => {
            write_thinking(part.thinking, sink);
            sink.signature(sink.share(part.signature), None);
        }
        // Mistral's references name their sources by number only.
        Some("reference") => sink.citation(json, Source::default()),
        _ => raw_item("content", json, sink),
    }
}

fn write_thinking(thinking: Content<'_>, sink: &mut Sink<'_>) {
    match thinking {
        Content::None => {}
        Content::Text(text) => sink.reasoning(text.share(sink.frame)),
        Content::Parts(parts) => {
            for json in parts {
                match Json::new(json).read::<Part<'_>>().text.0 {
                    Some(text) => sink.reasoning(text.share(sink.frame)),
                    None => raw_item("content", json, sink),
                }
            }
        }
    }
}

/// Writes an item of a member of the delta that has no normalized form, as `{name: [item]}`.
fn raw_item(name: &str, json: &RawValue, sink: &mut Sink<'_>) {
    sink.raw_data(format!("{{\"{name}\":[{}]}}", json.get()).into());
}

/// Returns false for empty lists, and for objects that are empty or have only `null` members.
pub(super) fn has_content(json: &str) -> bool {
    if json.starts_with('[') {
        return serde_json::from_str::<Vec<IgnoredAny>>(json).is_ok_and(|list| !list.is_empty());
    }
    let members = serde_json::from_str::<BTreeMap<String, Option<IgnoredAny>>>(json);
    members.is_ok_and(|members| members.values().any(Option::is_some))
}
