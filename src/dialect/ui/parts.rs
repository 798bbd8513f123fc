//! JSON that chunks and the parts of a whole message have in common.

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::json::{put_json, put_str};
use crate::codec::members::Members;
use crate::dialect::own_members::put_cost;
use crate::model::event::{Raw, Reason, Signature, Start};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

/// The member of `providerMetadata` that contains our own data.
pub(super) const OWN_METADATA: &str = "sluicegate";

/// Returns the id of the assistant's message: one made from the stream's id, or that of the message
/// it continues.
pub(super) fn message_id(start: &Start) -> String {
    let further = start
        .head
        .conversation
        .as_ref()
        .and_then(|thread| thread.message.as_ref());
    further.map_or_else(|| format!("msg_{}", start.stream), ToString::to_string)
}

/// Writes the message metadata: `stream` and `model`; at the end also the reason and the usage.
pub(super) fn put_metadata(
    buf: &mut BytesMut,
    start: &Start,
    end: Option<(Reason, Option<&Usage>)>,
) {
    let mut metadata = Members::new(buf);
    metadata.text("stream", start.stream.as_str());
    metadata.text("model", &start.head.model);
    if let Some((reason, usage)) = end {
        metadata.text("reason", reason.name());
        if let Some(usage) = usage {
            put_usage(metadata.value("usage"), usage);
        }
    }
    metadata.end();
}

/// Writes usage under the names of the AI SDK, with three members of our own.
fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    let mut object = Members::new(buf);
    for (name, count) in [
        ("inputTokens", usage.input),
        ("outputTokens", usage.output),
        ("totalTokens", usage.total()),
        ("reasoningTokens", usage.reasoning),
        ("cachedInputTokens", usage.cached_input),
        ("cacheWriteTokens", usage.cache_write),
    ] {
        object.number_or_null(name, count);
    }
    object.flag("estimated", usage.estimated);
    put_cost(&mut object, usage.cost);
    object.end();
}

/// Returns the finish reason under the name of the AI SDK.
pub(super) const fn finish_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Stop => "stop",
        Reason::Length => "length",
        Reason::ToolCalls => "tool-calls",
        Reason::ContentFilter => "content-filter",
        Reason::Error => "error",
        Reason::Cancelled => "other",
    }
}

/// Writes a signature, which the provider needs back with the part.
pub(super) fn put_signature(buf: &mut BytesMut, signature: &Signature) {
    let own = [
        ("signature", signature.signature.as_deref()),
        ("redacted", signature.redacted.as_deref()),
    ];
    put_own_metadata(buf, Some(signature.wire), &own);
}

/// Writes `{"sluicegate":{…}}` with these members.
pub(super) fn put_own_metadata(
    buf: &mut BytesMut,
    wire: Option<WireId>,
    members: &[(&str, Option<&str>)],
) {
    let mut metadata = Members::new(buf);
    let mut own = metadata.object(OWN_METADATA);
    if let Some(wire) = wire {
        own.text("wire", wire.name());
    }
    for (name, value) in members {
        own.text_if_some(name, *value);
    }
    own.end();
    metadata.end();
}

/// Inline data with a media type in a provider's raw content, as Gemini sends images.
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
    /// Parses raw content as inline media; `None` if it has another form.
    pub(super) fn parse(raw: &Raw) -> Option<Self> {
        serde_json::from_str(&raw.data).ok()
    }

    /// Writes the members of a `file` part.
    pub(super) fn put(&self, file: &mut Members<'_>) {
        file.text("mediaType", &self.inline.kind);
        file.text(
            "url",
            &format!("data:{};base64,{}", self.inline.kind, self.inline.data),
        );
    }
}

/// Writes the members of a `data-raw` part.
pub(super) fn put_raw(part: &mut Members<'_>, raw: &Raw) {
    let mut data = part.object("data");
    data.text("wire", raw.wire.name());
    data.json("data", &raw.data);
    data.end();
}

/// Returns the arguments of a call as JSON: `{}` if they are empty, `None` if they are not valid
/// JSON.
pub(super) fn json_input(arguments: &str) -> Option<&str> {
    // Only JSON's own white space is removed: with any other around it the arguments are not valid
    // JSON.
    let arguments = arguments.trim_matches([' ', '\t', '\n', '\r']);
    if arguments.is_empty() {
        return Some("{}");
    }
    serde_json::from_str::<&RawValue>(arguments)
        .is_ok()
        .then_some(arguments)
}

/// Writes the input of a call: its JSON, or its text if it is not JSON (the input of a custom tool,
/// or arguments that were cut off).
pub(super) fn put_input(buf: &mut BytesMut, arguments: &str, custom: bool) {
    match json_input(arguments).filter(|_| !custom) {
        Some(json) => put_json(buf, json),
        None => put_str(buf, arguments),
    }
}
