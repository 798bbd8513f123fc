//! Streams that are there: read, resumed, listed, stopped, forgotten.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::time::timeout;

use super::query::Query;
use super::reply::Reply;
use super::{
    Gateway, RequestContext, Snapshot, head_only, headers, live, options, serve, status,
    wants_events,
};
use crate::auth::Caller;
use crate::dialect;
use crate::hub::{Cause, Hub, Reader, State, Stream, digest};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, EventId, Position, StreamId};
use crate::model::wire::DialectId;

/// How long a cancel waits for the upstream request to be dropped.
pub(super) const CONFIRM: Duration = Duration::from_secs(2);
/// The most streams in one page of a list.
const PAGE: usize = 100;

impl Gateway {
    /// `GET /v1/streams/{id}`: the stream from the beginning or a position, or its status.
    pub(super) fn read<B>(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        id: &str,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let stream = self.hub.find(&caller.id, id)?;
        let query = Query::of(request.uri());
        if !(wants_events(request) || query.get("stream") == Some("true")) {
            return Ok(self.status_response(&stream, StatusCode::OK));
        }
        let dialect = query
            .get("dialect")
            .map_or(Ok(DialectId::Events), dialect_named)?;
        let after = match options::last_event_id(request.headers())? {
            Some(id) => Some(id),
            None => query
                .get("after")
                .filter(|id| !id.is_empty())
                .map(options::event_id)
                .transpose()?,
        };
        let after = after
            .map(|id| position(&stream, dialect, &id))
            .transpose()?;
        let resumed = after.is_some();
        let reader = Reader::attach(&stream, after)?;
        if resumed && is_over(&reader, dialect) {
            reader.leave();
            let mut response = Response::new(Reply::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            headers::name_stream(&mut response, &stream);
            return Ok(response);
        }
        if head_only(request) {
            reader.leave();
            return Ok(headers::event_stream(&stream, Reply::empty()));
        }
        Ok(headers::event_stream(
            &stream,
            Reply::live(self.live(snapshot, reader, dialect, true)),
        ))
    }

    /// A POST that names the last event it has: it goes on there, if it is the request that the
    /// stream began with.
    pub(super) fn repost(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        dialect: DialectId,
        last: &EventId,
        body: &Bytes,
    ) -> Result<Response<Reply>, Fault> {
        let stream = self.hub.find(&caller.id, last.stream.as_str())?;
        if *stream.digest() != digest(serve::path(dialect), body) {
            let message = "the `Last-Event-ID` is of a stream that began with another request: send the same body, or leave the header out";
            return Err(Fault::new(Code::IdempotencyConflict, message));
        }
        let reader = Reader::attach(&stream, Some(position(&stream, dialect, last)?))?;
        Ok(headers::event_stream(
            &stream,
            Reply::live(self.live(snapshot, reader, dialect, true)),
        ))
    }

    /// `POST /v1/streams/{id}/cancel`.
    pub(super) async fn cancel(&self, caller: &Caller, id: &str) -> Result<Response<Reply>, Fault> {
        let stopped = timeout(CONFIRM, async {
            let stream = self.hub.cancel(&caller.id, id).await?;
            stream.ended().await;
            Ok::<Arc<Stream>, Fault>(stream)
        });
        match stopped.await {
            Ok(stopped) => stopped.map(|stream| self.status_response(&stream, StatusCode::OK)),
            Err(_) => match self.hub.find(&caller.id, id) {
                Ok(stream) => Ok(self.status_response(&stream, StatusCode::ACCEPTED)),
                Err(_) => Ok(headers::json(StatusCode::ACCEPTED, status::pending(id))),
            },
        }
    }

    /// The operator's cancel: of anybody's stream, by its server-made id. What the stream said is
    /// its caller's, and not told.
    ///
    /// # Errors
    /// 404 where there is no stream of that id.
    pub async fn operator_cancel(&self, id: &str) -> Result<Response<Reply>, Fault> {
        let found =
            StreamId::parse(id).and_then(|id| self.hub.by_id(&self.hub.owner_of(&id)?, &id));
        let stream = found.ok_or_else(|| Hub::not_found(id))?;
        if stream.is_running() {
            tracing::info!(stream = stream.id().as_str(), "the operator stops it");
        }
        stream.cancel(Cause::Client);
        let confirmed = timeout(CONFIRM, stream.ended()).await.is_ok();
        let mut response = headers::json(
            if confirmed {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            },
            status::of(&stream, false),
        );
        headers::name_stream(&mut response, &stream);
        Ok(response)
    }

    /// `DELETE /v1/streams/{id}`.
    pub(super) async fn forget(&self, caller: &Caller, id: &str) -> Result<Response<Reply>, Fault> {
        let stream = self.hub.find(&caller.id, id)?;
        self.hub.forget(&stream);
        // Whether or not the upstream's side is closed within the time, nobody finds the stream any
        // more.
        let _confirmed = timeout(CONFIRM, stream.ended()).await;
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
            let message =
                "without keys everybody is one caller: streams are listed to this machine alone";
            return Err(Fault::new(Code::NotFound, message));
        }
        let query = Query::of(request.uri());
        let limit = query.get("limit").map_or(Ok(20), limit)?;
        let wanted = query.get("status").map(state_named).transpose()?;
        let mut all = self.hub.list(&caller.id);
        if let Some(after) = query.get("after") {
            let at = StreamId::parse(after)
                .and_then(|id| all.iter().position(|stream| *stream.id() == id));
            let at = at.ok_or_else(|| {
                Fault::invalid("after", "`after` takes the id of a stream of yours")
            })?;
            all.drain(..=at);
        }
        let mut rows = all
            .iter()
            .filter(|stream| wanted.is_none_or(|wanted| stream.status(false).state == wanted));
        let page: Vec<&Arc<Stream>> = rows.by_ref().take(limit).collect();
        let more = rows.next().is_some();
        Ok(headers::json(StatusCode::OK, status::list(&page, more)))
    }

    fn status_response(&self, stream: &Stream, code: StatusCode) -> Response<Reply> {
        let mut response = headers::json(code, status::of(stream, true));
        headers::name_stream(&mut response, stream);
        response
    }
}

/// True where the stream has ended and nothing more would be sent to this reader.
fn is_over(reader: &Reader, dialect: DialectId) -> bool {
    if reader.stream().is_running() {
        return false;
    }
    let encoder = dialect::of(dialect).encoder(super::answer::view(reader, dialect));
    let (mut encoder, mut out) = live::caught_up(reader, encoder, None);
    let mut said = false;
    reader.peek(|seen, entry| {
        out.begin_entry(0, seen);
        encoder.entry(entry, &mut out);
        out.end_entry();
        said = !out.is_empty();
        !said
    });
    !said
}

fn dialect_named(name: &str) -> Result<DialectId, Fault> {
    let known = || {
        DialectId::ALL
            .map(|dialect| format!("`{}`", dialect.name()))
            .join(", ")
    };
    DialectId::named(name)
        .ok_or_else(|| Fault::invalid("dialect", format!("`dialect` takes {}", known())))
}

/// Where in this stream an event id is.
fn position(stream: &Stream, dialect: DialectId, id: &EventId) -> Result<Position, Fault> {
    let bad = |message: &str| Err(Fault::new(Code::BadEventId, message));
    if id.stream != *stream.id() {
        return bad("the event id is of another stream");
    }
    if id
        .dialect
        .as_deref()
        .is_some_and(|issuer| issuer != dialect.name())
    {
        return bad(
            "this event id lies inside an entry, and is valid only in the dialect that issued it: send an earlier one, or ask in that dialect",
        );
    }
    Ok(id.position)
}

fn limit(text: &str) -> Result<usize, Fault> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=PAGE).contains(number));
    number
        .ok_or_else(|| Fault::invalid("limit", format!("`limit` takes a number from 1 to {PAGE}")))
}

fn state_named(name: &str) -> Result<State, Fault> {
    const ALL: [State; 5] = [
        State::Running,
        State::Cancelling,
        State::Completed,
        State::Cancelled,
        State::Failed,
    ];
    let found = ALL.into_iter().find(|state| state.name() == name);
    found.ok_or_else(|| {
        Fault::invalid(
            "status",
            format!("`status` takes {}", ALL.map(State::name).join(", ")),
        )
    })
}
