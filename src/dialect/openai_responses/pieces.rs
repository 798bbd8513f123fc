//! JSON that a stream and a whole answer have in common: ids, events, usage, the response object.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::codec::json::{put_json, put_u64};
use crate::codec::members::{Elements, Members};
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_sluicegate;
use crate::dialect::{View, client_message};
use crate::model::event::Citation;
use crate::model::fault::Fault;
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

    /// Returns the reason that the API does not define.
    pub(super) fn own_reason(&self) -> Option<&'static str> {
        matches!(self, Self::Cancelled).then_some("cancelled")
    }

    /// Returns true if no further event follows.
    pub(super) const fn is_final(&self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }

    /// Creates the status for a failure. An internal error reports only the stream.
    pub(super) fn failed(fault: &Fault, stream: &StreamId) -> Self {
        let message = client_message(fault, format_args!("stream {stream}"));
        let code = fault.client_code().to_owned();
        Self::Failed(code, message.into_owned(), fault.limit)
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

/// Writes one event with the next number.
pub(super) fn put_event(
    out: &mut SseWriter,
    number: &mut u64,
    name: &str,
    members: impl FnOnce(&mut Members<'_>),
) {
    let mut event = Members::new(out.event(name));
    event.word("type", name);
    event.number("sequence_number", *number);
    members(&mut event);
    event.end();
    *number = number.saturating_add(1);
}

/// Writes an array of JSON values.
pub(super) fn put_list<'a>(buf: &mut BytesMut, list: impl IntoIterator<Item = &'a [u8]>) {
    let mut elements = Elements::new(buf);
    list.into_iter().for_each(|it| elements.written(it));
    elements.end();
}

/// Writes a response object. `output` is a JSON array.
pub(super) fn put_response(
    buf: &mut BytesMut,
    view: &View,
    status: &Status,
    output: &[u8],
    usage: Option<&Usage>,
) {
    let (start, head) = (&view.start, &view.start.head);
    let mut response = Members::new(buf);
    let id = response.value("id");
    id.put_slice(b"\"resp_");
    id.put_slice(start.stream.as_str().as_bytes());
    id.put_u8(b'"');
    response.word("object", "response");
    response.number("created_at", start.created);
    response.word("status", status.name());
    put_error(response.value("error"), status);
    put_incomplete_details(response.value("incomplete_details"), status);
    response.text("model", &head.model);
    response.written("output", output);
    let asked = head.responses.as_ref();
    response.more(asked.map_or(NO_ECHO, |asked| &asked.echo));
    match usage {
        Some(usage) => put_usage(response.value("usage"), usage),
        None => response.null("usage"),
    }
    let is_estimated = usage.is_some_and(|usage| usage.estimated);
    put_sluicegate(&mut response, status.own_reason(), is_estimated);
    response.end();
}

/// Writes the error of a failed response, or null.
pub(super) fn put_error(buf: &mut BytesMut, status: &Status) {
    let Status::Failed(code, message, limit) = status else {
        buf.put_slice(b"null");
        return;
    };
    let mut error = Members::new(buf);
    error.text("code", code);
    error.text("message", message);
    // Not part of the API: names the limit, as our error bodies do.
    error.text_if_some("limit", *limit);
    error.end();
}

/// Writes the reason of an incomplete response, or null.
pub(super) fn put_incomplete_details(buf: &mut BytesMut, status: &Status) {
    let Status::Incomplete(reason) = status else {
        buf.put_slice(b"null");
        return;
    };
    let mut details = Members::new(buf);
    details.word("reason", reason);
    details.end();
}

/// Writes usage. Clients require all of these numbers, so unknown ones are written as 0.
pub(super) fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    let mut object = Members::new(buf);
    object.number("input_tokens", usage.input.unwrap_or(0));
    let mut details = object.object("input_tokens_details");
    details.number("cached_tokens", usage.cached_input.unwrap_or(0));
    details.number_if_some("cache_write_tokens", usage.cache_write);
    details.end();
    object.number("output_tokens", usage.output.unwrap_or(0));
    let mut details = object.object("output_tokens_details");
    details.number("reasoning_tokens", usage.reasoning.unwrap_or(0));
    details.end();
    object.number("total_tokens", usage.total().unwrap_or(0));
    object.end();
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
    let mut annotation = Members::new(&mut buf);
    annotation.word("type", "url_citation");
    annotation.number("start_index", start.saturating_sub(before).into());
    annotation.number("end_index", end.saturating_sub(before).into());
    annotation.text("url", url);
    annotation.text("title", citation.title.as_deref().unwrap_or_default());
    annotation.end();
    Some(buf.freeze())
}
