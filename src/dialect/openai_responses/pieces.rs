//! JSON that a stream and a whole answer have in common: ids, items, usage, the response object.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::codec::json::{put_json, put_str, put_u64};
use crate::dialect::View;
use crate::dialect::openai_chat::put_sluicegate;
use crate::model::event::Citation;
use crate::model::fault::{Code, Fault};
use crate::model::ids::StreamId;
use crate::model::usage::Usage;

/// Settings in a response object whose request is unknown: the defaults.
const NO_ECHO: &str = r#","background":false,"instructions":null,"max_output_tokens":null,"metadata":{},"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"store":true,"temperature":null,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_p":null,"truncation":"disabled""#;

/// The status of a response.
#[derive(Debug, Clone)]
pub(super) enum Status {
    /// No target has answered yet, and the client does not wait.
    Queued,
    /// More events may follow.
    InProgress,
    /// It is complete.
    Completed,
    /// It ended early, for this reason of the API.
    Incomplete(&'static str),
    /// It was cancelled.
    Cancelled,
    /// It failed: code, message, and the limit that caused it.
    Failed(String, String, Option<&'static str>),
}

impl Status {
    /// Returns the `status` of the response object.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Failed(..) => "failed",
        }
    }

    /// Returns the name of the event that reports the status.
    pub(super) const fn event(&self) -> &'static str {
        match self {
            Self::Queued => "response.queued",
            Self::InProgress => "response.in_progress",
            Self::Completed => "response.completed",
            Self::Incomplete(_) | Self::Cancelled => "response.incomplete",
            Self::Failed(..) => "response.failed",
        }
    }

    /// Creates the status for a failure. For an internal error, the message contains only the
    /// stream.
    pub(super) fn failed(fault: &Fault, stream: &StreamId) -> Self {
        // Internal errors may contain details of this process.
        let bug = fault.code == Code::InternalError;
        let message = if bug {
            format!("internal error in stream {stream}")
        } else {
            fault.message.clone()
        };
        Self::Failed(fault.client_code().to_owned(), message, fault.limit)
    }
}

/// Writes an id: `msg_<stream>_3`.
pub(super) fn put_id(buf: &mut BytesMut, kind: &str, stream: &StreamId, place: usize) {
    buf.put_u8(b'"');
    buf.put_slice(kind.as_bytes());
    buf.put_u8(b'_');
    buf.put_slice(stream.as_str().as_bytes());
    buf.put_u8(b'_');
    put_u64(buf, place as u64);
    buf.put_u8(b'"');
}

/// Writes a member that is a string, with the comma before it.
pub(super) fn put_text_member(buf: &mut BytesMut, name: &str, text: &str) {
    put_name(buf, name);
    put_str(buf, text);
}

/// Writes a member's name, with the comma before it.
pub(super) fn put_name(buf: &mut BytesMut, name: &str) {
    buf.put_slice(b",\"");
    buf.put_slice(name.as_bytes());
    buf.put_slice(b"\":");
}

/// Writes an array of JSON values.
pub(super) fn put_list<'a>(buf: &mut BytesMut, list: impl IntoIterator<Item = &'a [u8]>) {
    buf.put_u8(b'[');
    for (i, item) in list.into_iter().enumerate() {
        if i > 0 {
            buf.put_u8(b',');
        }
        buf.put_slice(item);
    }
    buf.put_u8(b']');
}

/// Writes a response object. `output` is a JSON array.
pub(super) fn put_response(
    buf: &mut BytesMut,
    view: &View,
    status: &Status,
    output: &[u8],
    usage: Option<&Usage>,
) {
    buf.put_slice(b"{\"id\":\"resp_");
    buf.put_slice(view.start.stream.as_str().as_bytes());
    buf.put_slice(b"\",\"object\":\"response\",\"created_at\":");
    put_u64(buf, view.start.created);
    put_text_member(buf, "status", status.name());
    put_name(buf, "error");
    put_error(buf, status);
    put_name(buf, "incomplete_details");
    match status {
        Status::Incomplete(reason) => {
            buf.put_slice(b"{\"reason\":");
            put_str(buf, reason);
            buf.put_u8(b'}');
        }
        _ => buf.put_slice(b"null"),
    }
    put_text_member(buf, "model", &view.start.head.model);
    put_name(buf, "output");
    buf.put_slice(output);
    let echo = view
        .start
        .head
        .responses
        .as_ref()
        .map_or(NO_ECHO, |asked| &asked.echo);
    buf.put_slice(echo.as_bytes());
    put_name(buf, "usage");
    match usage {
        Some(usage) => put_usage(buf, usage),
        None => buf.put_slice(b"null"),
    }
    let cancelled = matches!(status, Status::Cancelled).then_some("cancelled");
    put_sluicegate(buf, cancelled, usage.is_some_and(|usage| usage.estimated));
    buf.put_u8(b'}');
}

fn put_error(buf: &mut BytesMut, status: &Status) {
    let Status::Failed(code, message, limit) = status else {
        buf.put_slice(b"null");
        return;
    };
    buf.put_slice(b"{\"code\":");
    put_str(buf, code);
    put_text_member(buf, "message", message);
    // Not part of the API: names the limit, as our error bodies do.
    if let Some(limit) = limit {
        put_text_member(buf, "limit", limit);
    }
    buf.put_u8(b'}');
}

/// Writes usage. Clients require all of these numbers, so unknown ones are written as 0.
pub(super) fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    buf.put_slice(b"{\"input_tokens\":");
    put_u64(buf, usage.input.unwrap_or(0));
    buf.put_slice(b",\"input_tokens_details\":{\"cached_tokens\":");
    put_u64(buf, usage.cached_input.unwrap_or(0));
    if let Some(written) = usage.cache_write {
        put_name(buf, "cache_write_tokens");
        put_u64(buf, written);
    }
    buf.put_slice(b"},\"output_tokens\":");
    put_u64(buf, usage.output.unwrap_or(0));
    buf.put_slice(b",\"output_tokens_details\":{\"reasoning_tokens\":");
    put_u64(buf, usage.reasoning.unwrap_or(0));
    buf.put_slice(b"},\"total_tokens\":");
    put_u64(buf, usage.total().unwrap_or(0));
    buf.put_u8(b'}');
}

/// Returns a citation as an annotation: the provider's own on this API's wire, otherwise a URL
/// citation; `None` without a URL.
///
/// `before` is the number of characters of text before the part: the indexes of an annotation count
/// from the start of its part.
pub(super) fn annotation(citation: &Citation, own: bool, before: u32) -> Option<Bytes> {
    let mut buf = BytesMut::new();
    // The own wire's annotations are passed on unchanged, with all their members.
    if own {
        put_json(&mut buf, &citation.data);
        return Some(buf.freeze());
    }
    let url = citation.url.as_deref()?;
    let (start, end) = citation.span.unwrap_or((before, before));
    buf.put_slice(b"{\"type\":\"url_citation\",\"start_index\":");
    put_u64(&mut buf, start.saturating_sub(before).into());
    put_name(&mut buf, "end_index");
    put_u64(&mut buf, end.saturating_sub(before).into());
    put_text_member(&mut buf, "url", url);
    put_text_member(
        &mut buf,
        "title",
        citation.title.as_deref().unwrap_or_default(),
    );
    buf.put_u8(b'}');
    Some(buf.freeze())
}
