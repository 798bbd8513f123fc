//! The Responses API on existing responses: read, follow from an event number, cancel and delete.
//!
//! Invariants: every answer is produced from the journal of a stream; a response belongs to its
//! caller, and another caller's response is answered as if it did not exist.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use http::{Response, StatusCode};

use super::call::Call;
use super::follow::follow;
use super::reply::Reply;
use super::view::stream_view;
use super::{headers, stop};
use crate::dialect::openai_responses::{ResponseView, items_with_ids, with_response_id};
use crate::hub::{Hub, Reader, Stream, StreamState};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{Position, Seq};
use crate::model::printable::printable_id;
use crate::model::wire::DialectId;

/// Maximum number of items in one page of an input.
const MAX_PAGE: usize = 100;

/// `GET /v1/responses/{id}`: the current response object, or its events after a number.
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let stream = call.find(id)?;
    let query = call.query();
    if query.get("stream") != Some("true") {
        return object_response(&stream);
    }
    // A non-streaming answer passed on from the same wire is journaled as one body: it has no
    // numbered events.
    if is_one_body(&stream) {
        return Err(Fault::invalid(
            "stream",
            "this response was not created with `stream: true`: read it without `stream`",
        ));
    }
    let after = query.get("starting_after").map(parse_number).transpose()?;
    let after = after
        .map(|after| position_of_number(&stream, after))
        .transpose()?;
    let reader = Reader::attach(&stream, after)?;
    // No event ids: responses are resumed by `starting_after`.
    Ok(follow(call, reader, call.dialect, false))
}

/// `POST /v1/responses/{id}/cancel`. It also cancels responses that do not run in the background.
pub(super) async fn cancel(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    let stopped = stop::stop_by_name(&call.gateway.hub, &call.caller.id, id).await?;
    object_response(&stopped.stream.ok_or_else(|| Hub::not_found(id))?)
}

/// `DELETE /v1/responses/{id}`.
pub(super) async fn forget(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    stop::forget(&call.gateway.hub, &call.find(id)?).await;
    let deleted = serde_json::json!({"id": id, "object": "response", "deleted": true});
    Ok(headers::json(StatusCode::OK, deleted.to_string()))
}

/// `GET /v1/responses/{id}/input_items`: the items of the input, newest first unless the request
/// sets the order.
pub(super) fn list_input_items(call: &Call<'_>, id: &str) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let stream = call.find(id)?;
    let query = call.query();
    let limit = query.page_limit(20, MAX_PAGE)?;
    let request = stream
        .head()
        .responses
        .as_ref()
        .filter(|request| request.store)
        .ok_or_else(|| input_not_stored(id))?;
    let mut items = items_with_ids(&request.input, stream.id());
    match query.get("order") {
        // Newest first is the default of this API.
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(_) => return Err(Fault::invalid("order", "`order` takes `asc` or `desc`")),
    }
    if let Some(after) = query.get("after") {
        let at = items.iter().position(|(id, _)| id == after);
        let at = at.ok_or_else(|| {
            Fault::invalid("after", "`after` takes the id of an item of this input")
        })?;
        items.drain(..=at);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    Ok(headers::json(StatusCode::OK, page_json(&items, more)))
}

/// Returns 200 with the current response object.
pub(super) fn object_response(stream: &Arc<Stream>) -> Result<Response<Reply>, Fault> {
    let mut response = headers::json(StatusCode::OK, response_json(stream)?);
    headers::add_stream_headers(&mut response, stream);
    Ok(response)
}

/// Returns the current response object (JSON): the provider's own body if that was passed on.
pub(super) fn response_json(stream: &Arc<Stream>) -> Result<Bytes, Fault> {
    let view = stream_view(stream, DialectId::OpenaiResponses);
    let own_body = is_one_body(stream);
    let mut response_view = ResponseView::new(view);
    let mut body = None;
    Reader::visit_all(stream, |_, entry| {
        body = entry
            .raw
            .as_ref()
            .filter(|_| own_body)
            .map(|raw| raw.data.clone())
            .or(body.take());
        response_view.read(entry);
    })?;
    // A body that was passed on cannot report a cancel or a failure of ours.
    match body.filter(|_| stream.status(false).state == StreamState::Completed) {
        Some(body) => Ok(provider_body(stream, body)),
        None => Ok(response_view.object()),
    }
}

/// Returns true if the journal may hold one whole body instead of events: the stream was begun as a
/// response, without `stream: true`.
fn is_one_body(stream: &Stream) -> bool {
    stream.head().responses.is_some() && !stream.head().stream
}

/// Returns the provider's own body. A background response keeps the id that the client received
/// when the response was created.
fn provider_body(stream: &Stream, body: ByteString) -> Bytes {
    let background = stream
        .head()
        .responses
        .as_ref()
        .is_some_and(|request| request.background);
    let body = body.into_bytes();
    if background {
        with_response_id(&body, stream.id())
    } else {
        body
    }
}

/// Returns the position of the event with this number.
fn position_of_number(stream: &Arc<Stream>, after: u64) -> Result<Position, Fault> {
    let mut response_view = ResponseView::new(stream_view(stream, DialectId::OpenaiResponses));
    let mut found = None;
    Reader::visit_all(stream, |seq, entry| {
        // An entry may hold several events, or none: the entry that contains the number is the
        // first whose numbers end after it.
        let before = response_view.next_number();
        response_view.read(entry);
        if found.is_none() && after < response_view.next_number() {
            found = Some(position_after(
                seq,
                after.saturating_sub(before),
                response_view.next_number() - after.max(before),
            ));
        }
    })?;
    found.ok_or_else(|| {
        Fault::new(Code::BadEventId, "`starting_after` is ahead of the response: send the last `sequence_number` that you received")
    })
}

/// Returns the position after event `part` of an entry; `left` is the number of events from that
/// one to the end of the entry.
fn position_after(seq: Seq, part: u64, left: u64) -> Position {
    Position {
        seq,
        part: if left <= 1 {
            None
        } else {
            u32::try_from(part).ok()
        },
    }
}

fn parse_number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| {
        Fault::invalid(
            "starting_after",
            "`starting_after` takes a `sequence_number`",
        )
    })
}

fn page_json(items: &[(String, Bytes)], more: bool) -> Bytes {
    let id = |item: Option<&(String, Bytes)>| serde_json::json!(item.map(|(id, _)| id)).to_string();
    let mut buf = BytesMut::with_capacity(1024);
    buf.put_slice(b"{\"object\":\"list\",\"data\":[");
    for (i, (_, item)) in items.iter().enumerate() {
        buf.put_slice(if i > 0 { b"," } else { b"" });
        buf.put_slice(item);
    }
    let rest = format!(
        "],\"first_id\":{},\"last_id\":{},\"has_more\":{more}}}",
        id(items.first()),
        id(items.last())
    );
    buf.put_slice(rest.as_bytes());
    buf.freeze()
}

fn input_not_stored(id: &str) -> Fault {
    Fault::new(
        Code::StreamNotFound,
        format!(
            "the input of `{}` is not stored: the response was created with `store: false`",
            printable_id(id, 100)
        ),
    )
}
