//! JSON that chunks and whole answers have in common.

use bytes::{BufMut as _, BytesMut};
use bytestring::ByteString;

use crate::codec::json::{put_str, put_u64};
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
pub(super) fn put_head(buf: &mut BytesMut, id: &str, object: &str, created: u64, model: &str) {
    buf.put_slice(b"{\"id\":");
    put_str(buf, id);
    buf.put_slice(b",\"object\":");
    put_str(buf, object);
    buf.put_slice(b",\"created\":");
    put_u64(buf, created);
    buf.put_slice(b",\"model\":");
    put_str(buf, model);
    buf.put_slice(b",\"choices\":[");
}

/// A tool call to write.
pub(super) struct Call<'a> {
    /// The number of the call; only chunks have it.
    pub(super) index: Option<u16>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    pub(super) signature: Option<&'a ByteString>,
    pub(super) custom: bool,
}

/// Writes a tool call.
pub(super) fn put_call(buf: &mut BytesMut, call: &Call<'_>) {
    buf.put_u8(b'{');
    put_index(buf, call.index.map(u64::from));
    buf.put_slice(b"\"id\":");
    put_str(buf, call.id);
    buf.put_slice(if call.custom {
        b",\"type\":\"custom\",\"custom\":{\"name\":"
    } else {
        b",\"type\":\"function\",\"function\":{\"name\":"
    });
    put_str(buf, call.name);
    buf.put_slice(if call.custom {
        b",\"input\":"
    } else {
        b",\"arguments\":"
    });
    put_str(buf, call.arguments);
    buf.put_u8(b'}');
    // The member that Google's own endpoint with this API uses.
    if let Some(signature) = call.signature {
        buf.put_slice(b",\"extra_content\":{\"google\":{\"thought_signature\":");
        put_str(buf, signature);
        buf.put_slice(b"}}");
    }
    buf.put_u8(b'}');
}

/// Writes the member by which clients that concatenate the lists of chunks tell elements apart.
fn put_index(buf: &mut BytesMut, index: Option<u64>) {
    if let Some(index) = index {
        buf.put_slice(b"\"index\":");
        put_u64(buf, index);
        buf.put_u8(b',');
    }
}

/// Writes a citation with a URL. Clients require the span, so an unknown span is 0 to 0.
pub(super) fn put_annotation(
    buf: &mut BytesMut,
    citation: &Citation,
    url: &str,
    index: Option<u64>,
) {
    let (start, end) = citation.span.unwrap_or_default();
    buf.put_u8(b'{');
    put_index(buf, index);
    buf.put_slice(b"\"type\":\"url_citation\",\"url_citation\":{\"start_index\":");
    put_u64(buf, start.into());
    buf.put_slice(b",\"end_index\":");
    put_u64(buf, end.into());
    buf.put_slice(b",\"url\":");
    put_str(buf, url);
    buf.put_slice(b",\"title\":");
    put_str(buf, citation.title.as_deref().unwrap_or_default());
    buf.put_slice(b"}}");
}

/// Writes usage. The API requires the counts, so an unknown count is 0; an unknown detail is
/// omitted.
pub(super) fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    buf.put_slice(b"{\"prompt_tokens\":");
    put_u64(buf, usage.input.unwrap_or(0));
    buf.put_slice(b",\"completion_tokens\":");
    put_u64(buf, usage.output.unwrap_or(0));
    buf.put_slice(b",\"total_tokens\":");
    put_u64(buf, usage.total().unwrap_or(0));
    put_details(
        buf,
        "prompt_tokens_details",
        &[
            ("cached_tokens", usage.cached_input),
            ("cache_write_tokens", usage.cache_write),
        ],
    );
    put_details(
        buf,
        "completion_tokens_details",
        &[("reasoning_tokens", usage.reasoning)],
    );
    buf.put_u8(b'}');
}

fn put_details(buf: &mut BytesMut, name: &str, counts: &[(&str, Option<u64>)]) {
    let mut known = counts
        .iter()
        .filter_map(|(name, count)| Some((name, (*count)?)));
    // Without a known count, the object is omitted as well.
    let Some(first) = known.next() else { return };
    buf.put_u8(b',');
    put_str(buf, name);
    buf.put_slice(b":{");
    for (i, (name, count)) in std::iter::once(first).chain(known).enumerate() {
        if i > 0 {
            buf.put_u8(b',');
        }
        put_str(buf, name);
        buf.put_u8(b':');
        put_u64(buf, count);
    }
    buf.put_u8(b'}');
}

/// Writes our own member, `sluicegate`; nothing if it would be empty.
pub(in crate::dialect) fn put_sluicegate(
    buf: &mut BytesMut,
    reason: Option<&str>,
    estimated: bool,
) {
    if reason.is_none() && !estimated {
        return;
    }
    buf.put_slice(b",\"sluicegate\":{");
    if let Some(reason) = reason {
        buf.put_slice(b"\"reason\":");
        put_str(buf, reason);
    }
    if estimated {
        buf.put_slice(if reason.is_some() {
            b",\"estimated\":true"
        } else {
            b"\"estimated\":true"
        });
    }
    buf.put_u8(b'}');
}
