//! What parts and chunks are made of.

use bytes::{BufMut as _, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::json::{put_json, put_opt_u64, put_str};
use crate::codec::members::Members;
use crate::dialect::cost::put_cost;
use crate::model::event::{Raw, Reason, Signature, Start};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The name under which what is ours stands in `providerMetadata`.
pub(super) const OWN: &str = "sluicegate";

/// The id of the assistant's message: its own, or that of the message it is a further step of.
pub(super) fn message_id(start: &Start) -> String {
    let further = start
        .thread
        .as_ref()
        .and_then(|thread| thread.message.as_ref());
    further.map_or_else(|| format!("msg_{}", start.stream), ToString::to_string)
}

/// `stream` and `model`; at the end also why it ended, and what was used.
pub(super) fn put_metadata(
    buf: &mut BytesMut,
    start: &Start,
    end: Option<(Reason, Option<&Usage>)>,
) {
    let mut metadata = Members::of(buf);
    metadata.text("stream", start.stream.as_str());
    metadata.text("model", &start.model);
    if let Some((reason, usage)) = end {
        metadata.text("reason", reason.name());
        if let Some(usage) = usage {
            put_usage(metadata.value("usage"), usage);
        }
    }
    metadata.end();
}

/// By the AI SDK's names, with three of ours.
fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    let mut object = Members::of(buf);
    for (name, count) in [
        ("inputTokens", usage.input),
        ("outputTokens", usage.output),
        ("totalTokens", usage.total()),
        ("reasoningTokens", usage.reasoning),
        ("cachedInputTokens", usage.cached_input),
        ("cacheWriteTokens", usage.cache_write),
    ] {
        put_opt_u64(object.value(name), count);
    }
    object
        .value("estimated")
        .put_slice(if usage.estimated { b"true" } else { b"false" });
    put_cost(object.value("cost"), usage.cost);
    object.end();
}

/// The word for why an answer ended.
pub(super) const fn finish_word(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => "stop",
        Reason::Length => "length",
        Reason::ToolCalls => "tool-calls",
        Reason::ContentFilter => "content-filter",
        Reason::Error => "error",
        Reason::Cancelled => "other",
    }
}

/// What the provider wants back with a part.
pub(super) fn put_signature(buf: &mut BytesMut, signature: &Signature) {
    let own = [
        ("signature", signature.signature.as_deref()),
        ("redacted", signature.redacted.as_deref()),
    ];
    put_own(buf, Some(signature.wire), &own);
}

/// `{"sluicegate":{…}}` with these members.
pub(super) fn put_own(buf: &mut BytesMut, wire: Option<WireId>, members: &[(&str, Option<&str>)]) {
    let mut metadata = Members::of(buf);
    let mut own = Members::of(metadata.value(OWN));
    if let Some(wire) = wire {
        own.text("wire", wire.name());
    }
    for (name, value) in members {
        if let Some(value) = value {
            own.text(name, value);
        }
    }
    own.end();
    metadata.end();
}

/// Bytes of a media type that a provider's content holds, as Gemini sends images.
#[derive(Deserialize)]
pub(super) struct Media {
    #[serde(rename = "inlineData")]
    inline: Inline,
}

#[derive(Deserialize)]
struct Inline {
    #[serde(rename = "mimeType")]
    kind: String,
    data: String,
}

impl Media {
    /// The media that content with no normalized form is, if it is any.
    pub(super) fn of(raw: &Raw) -> Option<Self> {
        serde_json::from_str(&raw.data).ok()
    }

    /// Writes the members of a `file`.
    pub(super) fn put(&self, file: &mut Members<'_>) {
        file.text("mediaType", &self.inline.kind);
        file.text(
            "url",
            &format!("data:{};base64,{}", self.inline.kind, self.inline.data),
        );
    }
}

/// Writes the members of a `data-raw`.
pub(super) fn put_raw(part: &mut Members<'_>, raw: &Raw) {
    let mut data = Members::of(part.value("data"));
    data.text("wire", raw.wire.name());
    put_json(data.value("data"), &raw.data);
    data.end();
}

/// The arguments of a call as JSON; nothing where they are none. No arguments are an empty object.
pub(super) fn input(arguments: &str) -> Option<&str> {
    // JSON's own white space, and no other: what else may lie around it makes it no JSON.
    let arguments = arguments.trim_matches([' ', '\t', '\n', '\r']);
    if arguments.is_empty() {
        return Some("{}");
    }
    serde_json::from_str::<&RawValue>(arguments)
        .is_ok()
        .then_some(arguments)
}

/// The input of a call: its JSON, or, where it is none (a custom tool, or arguments that were cut
/// off), its text.
pub(super) fn put_input(buf: &mut BytesMut, arguments: &str, custom: bool) {
    match input(arguments).filter(|_| !custom) {
        Some(json) => put_json(buf, json),
        None => put_str(buf, arguments),
    }
}
