//! Existing streams: read, resume, list, cancel and forget.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::query::Query;
use super::reply::Reply;
use super::{
    Gateway, RequestContext, Snapshot, head_only, headers, live, options, status, wants_events,
};
use crate::auth::Caller;
use crate::dialect;
use crate::hub::{Cause, Hub, Reader, Stream, StreamState, digest};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, EventId, Position, StreamId};
use crate::model::wire::DialectId;

/// Maximum time that a cancel waits for the upstream request to be dropped, before it answers 202.
pub(super) const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of streams in one page of a list.
const MAX_PAGE: usize = 100;

impl Gateway {
    /// `GET /v1/streams/{id}`: the stream from the beginning or from a position, or its status.
    pub(super) fn read<B>(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        id: &str,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let stream = self.hub.find(&caller.id, id)?;
        let query = Query::parse(request.uri());
        if !(wants_events(request) || query.get("stream") == Some("true")) {
            return Ok(self.status_response(&stream, StatusCode::OK));
        }
        let dialect = query
            .get("dialect")
            .map_or(Ok(DialectId::Events), parse_dialect)?;
        let after = match options::last_event_id(request.headers())? {
            // The header wins: `EventSource` reconnects to the same URL, whose `after` is then out
            // of date.
            Some(id) => Some(id),
            None => query
                .get("after")
                .filter(|id| !id.is_empty())
                .map(options::parse_event_id)
                .transpose()?,
        };
        let after = after
            .map(|id| position(&stream, dialect, &id))
            .transpose()?;
        let resumed = after.is_some();
        let reader = Reader::attach(&stream, after)?;
        if resumed && has_no_more(&reader, dialect) {
            reader.leave();
            // 204 makes `EventSource` stop reconnecting.
            let mut response = Response::new(Reply::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            headers::add_stream_headers(&mut response, &stream);
            return Ok(response);
        }
        if head_only(request) {
            reader.leave();
            return Ok(headers::event_stream(&stream, Reply::empty()));
        }
        Ok(headers::event_stream(
            &stream,
            Reply::live(self.live_stream(snapshot, reader, dialect, true)),
        ))
    }

    /// Resumes a stream for a POST with `Last-Event-ID`, if it is the request that the stream began
    /// with.
    pub(super) fn resume_post(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        dialect: DialectId,
        last: &EventId,
        body: &Bytes,
    ) -> Result<Response<Reply>, Fault> {
        let stream = self.hub.find(&caller.id, last.stream.as_str())?;
        if *stream.digest() != digest(dialect::of(dialect).profile().path, body) {
            let message = "the `Last-Event-ID` belongs to a stream that began with another request: send the same path and body, or omit the header";
            return Err(Fault::new(Code::IdempotencyConflict, message));
        }
        let reader = Reader::attach(&stream, Some(position(&stream, dialect, last)?))?;
        Ok(headers::event_stream(
            &stream,
            Reply::live(self.live_stream(snapshot, reader, dialect, true)),
        ))
    }

    /// `POST /v1/streams/{id}/cancel`.
    pub(super) async fn cancel(&self, caller: &Caller, id: &str) -> Result<Response<Reply>, Fault> {
        // The timeout also covers a request that is still being read, whose stream does not exist
        // yet.
        let stopped = timeout(CANCEL_TIMEOUT, async {
            let stream = self.hub.cancel(&caller.id, id).await?;
            stream.ended().await;
            Ok::<Arc<Stream>, Fault>(stream)
        });
        match stopped.await {
            Ok(stopped) => stopped.map(|stream| self.status_response(&stream, StatusCode::OK)),
            Err(_) => match self.hub.find(&caller.id, id) {
                Ok(stream) => Ok(self.status_response(&stream, StatusCode::ACCEPTED)),
                Err(_) => Ok(headers::json(
                    StatusCode::ACCEPTED,
                    status::pending_json(id),
                )),
            },
        }
    }

    /// Cancels a stream of any caller by its server-made id, for the operator. The response omits
    /// the content of the stream, which belongs to its caller.
    ///
    /// # Errors
    /// 404 if no stream has this id.
    pub async fn operator_cancel(&self, id: &str) -> Result<Response<Reply>, Fault> {
        // A name is unique only within its caller, so the operator needs the server-made id.
        let found =
            StreamId::parse(id).and_then(|id| self.hub.by_id(&self.hub.owner_of(&id)?, &id));
        let stream = found.ok_or_else(|| Hub::not_found(id))?;
        if stream.is_running() {
            tracing::info!(
                stream = stream.id().as_str(),
                "the operator cancels a stream"
            );
        }
        stream.cancel(Cause::Client);
        let confirmed = timeout(CANCEL_TIMEOUT, stream.ended()).await.is_ok();
        let mut response = headers::json(
            if confirmed {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            },
            status::stream_json(&stream, false),
        );
        headers::add_stream_headers(&mut response, &stream);
        Ok(response)
    }

    /// `DELETE /v1/streams/{id}`.
    pub(super) async fn forget(&self, caller: &Caller, id: &str) -> Result<Response<Reply>, Fault> {
        let stream = self.hub.find(&caller.id, id)?;
        self.hub.forget(&stream);
        // The stream is already removed from the hub, so a confirmation that comes too late changes
        // nothing for clients.
        let _confirmed = timeout(CANCEL_TIMEOUT, stream.ended()).await;
        let mut response = Response::new(Reply::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// `GET /v1/streams`.
    pub(super) fn list<B>(
        &self,
        context: &RequestContext,
        caller: &Caller,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        if caller.id == CallerId::Anonymous && (!context.loopback || context.forwarded) {
            let message = "without keys all clients are one caller, so streams are listed only over loopback: list them on this machine, or configure keys";
            return Err(Fault::new(Code::NotFound, message));
        }
        let query = Query::parse(request.uri());
        let limit = query.page_limit(20, MAX_PAGE)?;
        let wanted = query.get("status").map(parse_state).transpose()?;
        let mut all = self.hub.list(&caller.id);
        if let Some(after) = query.get("after") {
            let at = StreamId::parse(after)
                .and_then(|id| all.iter().position(|stream| *stream.id() == id));
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

    fn status_response(&self, stream: &Stream, code: StatusCode) -> Response<Reply> {
        let mut response = headers::json(code, status::stream_json(stream, true));
        headers::add_stream_headers(&mut response, stream);
        response
    }
}

/// Returns true if the stream has ended and this reader would receive nothing more.
fn has_no_more(reader: &Reader, dialect: DialectId) -> bool {
    if reader.stream().is_running() {
        return false;
    }
    let encoder = dialect::of(dialect).encoder(super::answer::reader_view(reader, dialect));
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
