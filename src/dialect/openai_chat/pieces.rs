//! JSON that chunks and whole answers have in common.

use bytes::BytesMut;
use bytestring::ByteString;

use crate::codec::members::Members;
use crate::model::event::{Citation, Reason};
use crate::model::usage::Usage;

/// Returns the `finish_reason` of a reason; `None` for reasons that the API does not define.
pub(super) const fn finish_reason(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::Stop => Some("stop"),
        Reason::Length => Some("length"),
        Reason::ToolCalls => Some("tool_calls"),
        Reason::ContentFilter => Some("content_filter"),
        Reason::Cancelled | Reason::Error => None,
    }
}

/// Writes the members that every object of an answer begins with: id, object, time (Unix seconds)
/// and model.
pub(super) fn put_head(
    object: &mut Members<'_>,
    id: &str,
    kind: &'static str,
    created: u64,
    model: &str,
) {
    object.text("id", id);
    object.word("object", kind);
    object.number("created", created);
    object.text("model", model);
}

/// A tool call to write.
pub(super) struct Call<'a> {
    /// The number of the call; only chunks have it. Clients that concatenate the lists of chunks
    /// tell calls apart by it.
    pub(super) index: Option<u16>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    pub(super) signature: Option<&'a ByteString>,
    pub(super) custom: bool,
}

/// Writes a tool call.
pub(super) fn put_call(buf: &mut BytesMut, call: &Call<'_>) {
    let (kind, input) = if call.custom {
        ("custom", "input")
    } else {
        ("function", "arguments")
    };
    let mut object = Members::new(buf);
    object.number_if_some("index", call.index.map(u64::from));
    object.text("id", call.id);
    object.word("type", kind);
    let mut called = object.object(kind);
    called.text("name", call.name);
    called.text(input, call.arguments);
    called.end();
    // The member that Google's own endpoint with this API uses.
    if let Some(signature) = call.signature {
        let mut extra = object.object("extra_content");
        let mut google = extra.object("google");
        google.text("thought_signature", signature);
        google.end();
        extra.end();
    }
    object.end();
}

/// Writes a citation with a URL. Clients require the span, so an unknown span is 0 to 0. Only
/// chunks have an `index`, by which clients tell the elements of several lists apart.
pub(super) fn put_annotation(
    buf: &mut BytesMut,
    citation: &Citation,
    url: &str,
    index: Option<u64>,
) {
    let (start, end) = citation.span.unwrap_or_default();
    let mut annotation = Members::new(buf);
    annotation.number_if_some("index", index);
    annotation.word("type", "url_citation");
    let mut cited = annotation.object("url_citation");
    cited.number("start_index", start.into());
    cited.number("end_index", end.into());
    cited.text("url", url);
    cited.text("title", citation.title.as_deref().unwrap_or_default());
    cited.end();
    annotation.end();
}

/// Writes usage. The API requires the counts, so an unknown count is 0; an unknown detail is
/// omitted.
pub(super) fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    let mut object = Members::new(buf);
    object.number("prompt_tokens", usage.input.unwrap_or(0));
    object.number("completion_tokens", usage.output.unwrap_or(0));
    object.number("total_tokens", usage.total().unwrap_or(0));
    let cache = [
        ("cached_tokens", usage.cached_input),
        ("cache_write_tokens", usage.cache_write),
    ];
    put_details(&mut object, "prompt_tokens_details", &cache);
    let reasoning = [("reasoning_tokens", usage.reasoning)];
    put_details(&mut object, "completion_tokens_details", &reasoning);
    object.end();
}

/// Writes an object of counts; nothing if all are unknown.
fn put_details(usage: &mut Members<'_>, name: &str, counts: &[(&str, Option<u64>)]) {
    if counts.iter().all(|(_, count)| count.is_none()) {
        return;
    }
    let mut details = usage.object(name);
    for (name, count) in counts {
        details.number_if_some(name, *count);
    }
    details.end();
}
