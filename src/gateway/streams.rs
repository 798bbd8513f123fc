//! Existing streams: read, resume, list, cancel and forget.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::call::Call;
use super::follow::follow;
use super::query::Query;
use super::reply::Reply;
use super::view::reader_view;
use super::{headers, live, options, status, stop};
use crate::dialect;
use crate::hub::{Hub, Reader, Stream, StreamState, digest};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, EventId, Position, StreamId};
use crate::model::wire::DialectId;

/// Maximum number of streams in one page of a list.
const MAX_PAGE: usize = 100;

/// `GET /v1/streams/{id}`: the stream from the beginning or from a position, or its status.
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let stream = call.find(id)?;
    let query = call.query();
    if !(call.wants_events() || query.get("stream") == Some("true")) {
        return Ok(status_response(&stream, StatusCode::OK, true));
    }
    let dialect = query
        .get("dialect")
        .map_or(Ok(call.dialect), parse_dialect)?;
    let after = position_asked_for(call, &query, &stream, dialect)?;
    let resumed = after.is_some();
    let reader = Reader::attach(&stream, after)?;
    if resumed && has_no_more(&reader, dialect) {
        reader.leave();
        // 204 makes `EventSource` stop reconnecting.
        let mut response = headers::no_content();
        headers::add_stream_headers(&mut response, &stream);
        return Ok(response);
    }
    Ok(follow(call, reader, dialect, true))
}

/// Returns the position after which a read begins; `None` for the beginning.
fn position_asked_for(
    call: &Call<'_>,
    query: &Query<'_>,
    stream: &Stream,
    dialect: DialectId,
) -> Result<Option<Position>, Fault> {
    let after = match options::last_event_id(&call.head.headers)? {
        // The header wins: `EventSource` reconnects to the same URL, whose `after` is then out of
        // date.
        Some(id) => Some(id),
        None => query
            .get("after")
            .filter(|id| !id.is_empty())
            .map(options::parse_event_id)
            .transpose()?,
    };
    after.map(|id| position(stream, dialect, &id)).transpose()
}

/// Resumes a stream for a POST with `Last-Event-ID`, if it is the request that the stream began
/// with.
pub(super) fn resume_post(
    call: &Call<'_>,
    last: &EventId,
    body: &Bytes,
) -> Result<Response<Reply>, Fault> {
    let stream = call.find(last.stream.as_str())?;
    if *stream.digest() != digest(call.codec().profile().path, body) {
        let message = "the `Last-Event-ID` belongs to a stream that began with another request: send the same path and body, or omit the header";
        return Err(Fault::new(Code::IdempotencyConflict, message));
    }
    let reader = Reader::attach(&stream, Some(position(&stream, call.dialect, last)?))?;
    Ok(follow(call, reader, call.dialect, true))
}

/// `POST /v1/streams/{id}/cancel`.
pub(super) async fn cancel(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    let stopped = stop::stop_by_name(&call.gateway.hub, &call.caller.id, id).await?;
    let code = stop::status(stopped.confirmed);
    Ok(match stopped.stream {
        Some(stream) => status_response(&stream, code, true),
        None => headers::json(code, status::pending_json(id)),
    })
}

/// Cancels a stream of any caller by its server-made id, for the operator. The response omits the
/// content of the stream, which belongs to its caller.
///
/// # Errors
/// 404 if no stream has this id.
pub(super) async fn operator_cancel(hub: &Hub, id: &str) -> Result<Response<Reply>, Fault> {
    // A name is unique only within its caller, so the operator needs the server-made id.
    let found = StreamId::parse(id).and_then(|id| hub.by_id(&hub.owner_of(&id)?, &id));
    let stream = found.ok_or_else(|| Hub::not_found(id))?;
    if stream.is_running() {
        tracing::info!(
            stream = stream.id().as_str(),
            "the operator cancels a stream"
        );
    }
    let code = stop::status(stop::stop(&stream).await);
    Ok(status_response(&stream, code, false))
}

/// `DELETE /v1/streams/{id}`.
pub(super) async fn forget(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    stop::forget(&call.gateway.hub, &call.find(id)?).await;
    Ok(headers::no_content())
}

/// `GET /v1/streams`.
pub(super) fn list(call: &Call<'_>) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let owner = &call.caller.id;
    if *owner == CallerId::Anonymous && (!call.context.loopback || call.context.forwarded) {
        let message = "without keys all clients are one caller, so streams are listed only over loopback: list them on this machine, or configure keys";
        return Err(Fault::new(Code::NotFound, message));
    }
    let query = call.query();
    let limit = query.page_limit(20, MAX_PAGE)?;
    let wanted = query.get("status").map(parse_state).transpose()?;
    let mut all = call.gateway.hub.list(owner);
    if let Some(after) = query.get("after") {
        let at =
            StreamId::parse(after).and_then(|id| all.iter().position(|stream| *stream.id() == id));
        let at = at.ok_or_else(|| {
            Fault::invalid("after", "`after` takes the id of one of your streams")
        })?;
        all.drain(..=at);
    }
    let mut rows = all
        .iter()
        .filter(|stream| wanted.is_none_or(|wanted| stream.status(false).state == wanted));
    let page: Vec<&Arc<Stream>> = rows.by_ref().take(limit).collect();
    // One row past the page decides `has_more`.
    let more = rows.next().is_some();
    Ok(headers::json(
        StatusCode::OK,
        status::list_json(&page, more),
    ))
}

/// Returns a response with the status of a stream, with or without its content.
pub(super) fn status_response(
    stream: &Stream,
    code: StatusCode,
    with_content: bool,
) -> Response<Reply> {
    let mut response = headers::json(code, status::stream_json(stream, with_content));
    headers::add_stream_headers(&mut response, stream);
    response
}

/// Returns true if the stream has ended and this reader would receive nothing more.
fn has_no_more(reader: &Reader, dialect: DialectId) -> bool {
    if reader.stream().is_running() {
        return false;
    }
    let encoder = dialect::of(dialect).encoder(reader_view(reader, dialect));
    let (mut encoder, mut out) = live::encoder_at(reader, encoder, None);
    let mut wrote = false;
    reader.peek(|seen, entry| {
        out.begin_entry(0, seen);
        encoder.write_entry(entry, &mut out);
        out.end_entry();
        // Trailing entries may encode to nothing in this dialect.
        wrote = !out.is_empty();
        !wrote
    });
    !wrote
}

fn parse_dialect(name: &str) -> Result<DialectId, Fault> {
    let known = || {
        DialectId::ALL
            .map(|dialect| format!("`{}`", dialect.name()))
            .join(", ")
    };
    DialectId::from_name(name)
        .ok_or_else(|| Fault::invalid("dialect", format!("`dialect` takes {}", known())))
}

/// Returns the position of an event id in this stream.
fn position(stream: &Stream, dialect: DialectId, id: &EventId) -> Result<Position, Fault> {
    let bad = |message: &str| Err(Fault::new(Code::BadEventId, message));
    if id.stream != *stream.id() {
        return bad("the event id belongs to another stream");
    }
    if id
        .dialect
        .as_deref()
        .is_some_and(|issuer| issuer != dialect.name())
    {
        return bad(
            "this event id lies inside an entry, and is valid only in the dialect that issued it: send an earlier id, or request that dialect",
        );
    }
    Ok(id.position)
}

fn parse_state(name: &str) -> Result<StreamState, Fault> {
    const ALL: [StreamState; 5] = [
        StreamState::Running,
        StreamState::Cancelling,
        StreamState::Completed,
        StreamState::Cancelled,
        StreamState::Failed,
    ];
    let found = ALL.into_iter().find(|state| state.name() == name);
    found.ok_or_else(|| {
        Fault::invalid(
            "status",
            format!("`status` takes {}", ALL.map(StreamState::name).join(", ")),
        )
    })
}
