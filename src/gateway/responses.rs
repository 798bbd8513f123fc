//! Responses that are there, as OpenAI's clients ask for them: read, followed from a number,
//! stopped and forgotten.
//!
//! Invariants: all of it is a stream's journal, read again; a response is its caller's alone, and
//! another's is as if it never was.

use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use http::{Request, Response, StatusCode, Uri};
use tokio::time::timeout;

use super::query::Query;
use super::reply::Reply;
use super::streams::CONFIRM;
use super::{Gateway, Snapshot, answer, head_only, headers};
use crate::auth::Caller;
use crate::dialect::openai_responses::{ResponseView, numbered, renamed};
use crate::hub::{Reader, State, Stream};
use crate::model::fault::{Code, Fault};
use crate::model::ids::{Position, Seq};
use crate::model::wire::DialectId;

/// The most items in one page of an input.
const PAGE: usize = 100;

impl Gateway {
    /// `GET /v1/responses/{id}`: the response as it is, or its events behind a number.
    pub(super) fn read_response<B>(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        id: &str,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let stream = self.response(caller, id)?;
        let query = Query::of(request.uri());
        if query.get("stream") != Some("true") {
            return object_response(&stream);
        }
        if !stream.spec().streamed && stream.dialect() == DialectId::OpenaiResponses {
            return Err(Fault::invalid(
                "stream",
                "this response was not begun as a stream: read it without `stream`",
            ));
        }
        let after = query.get("starting_after").map(number).transpose()?;
        let after = after.map(|after| position(&stream, after)).transpose()?;
        let reader = Reader::attach(&stream, after)?;
        if head_only(request) {
            reader.leave();
            return Ok(headers::event_stream(&stream, Reply::empty()));
        }
        let live = self.live(snapshot, reader, DialectId::OpenaiResponses, false);
        Ok(headers::event_stream(&stream, Reply::live(live)))
    }

    /// `POST /v1/responses/{id}/cancel`, whether or not it runs in the background.
    pub(super) async fn cancel_response(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Response<Reply>, Fault> {
        let stopped = timeout(CONFIRM, async {
            let stream = self.hub.cancel(&caller.id, id).await?;
            stream.ended().await;
            Ok::<Arc<Stream>, Fault>(stream)
        });
        match stopped.await {
            Ok(stopped) => object_response(&stopped?),
            Err(_) => object_response(&self.response(caller, id)?),
        }
    }

    /// `DELETE /v1/responses/{id}`.
    pub(super) async fn forget_response(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<Response<Reply>, Fault> {
        let stream = self.response(caller, id)?;
        self.hub.forget(&stream);
        // Whether or not the upstream's side is closed within the time, nobody finds the stream any
        // more.
        let _confirmed = timeout(CONFIRM, stream.ended()).await;
        let told = serde_json::json!({"id": id, "object": "response", "deleted": true});
        Ok(headers::json(StatusCode::OK, told.to_string()))
    }

    /// `GET /v1/responses/{id}/input_items`: what it was an answer to, newest first unless asked
    /// otherwise.
    pub(super) fn input_items(
        &self,
        caller: &Caller,
        id: &str,
        uri: &Uri,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let stream = self.response(caller, id)?;
        let query = Query::of(uri);
        let limit = query.get("limit").map_or(Ok(20), limit)?;
        let kept = stream
            .spec()
            .asked
            .as_ref()
            .filter(|asked| asked.store)
            .ok_or_else(|| nothing_kept(id))?;
        let mut items = numbered(&kept.input, stream.id());
        match query.get("order") {
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
        Ok(headers::json(StatusCode::OK, page(&items, more)))
    }

    fn response(&self, caller: &Caller, id: &str) -> Result<Arc<Stream>, Fault> {
        self.hub.find(&caller.id, id)
    }
}

/// 200 with the response as it is.
pub(super) fn object_response(stream: &Arc<Stream>) -> Result<Response<Reply>, Fault> {
    let mut response = headers::json(StatusCode::OK, object(stream)?);
    headers::name_stream(&mut response, stream);
    Ok(response)
}

/// The response as it is (JSON): the provider's own body where that was passed on.
pub(super) fn object(stream: &Arc<Stream>) -> Result<Bytes, Fault> {
    let view = answer::view_of(stream, DialectId::OpenaiResponses);
    let own_body = stream.dialect() == DialectId::OpenaiResponses && !stream.spec().streamed;
    let mut response_view = ResponseView::new(view);
    let mut body = None;
    Reader::show_all(stream, |_, entry| {
        body = entry
            .raw
            .as_ref()
            .filter(|_| own_body)
            .map(|raw| raw.data.clone())
            .or(body.take());
        response_view.take(entry);
    })?;
    match body.filter(|_| stream.status(false).state == State::Completed) {
        Some(body) => Ok(own(stream, body)),
        None => Ok(response_view.object()),
    }
}

/// The provider's own body; in the background under the id that the client was told.
fn own(stream: &Stream, body: ByteString) -> Bytes {
    let background = stream
        .spec()
        .asked
        .as_ref()
        .is_some_and(|asked| asked.background);
    let body = body.into_bytes();
    if background {
        renamed(&body, stream.id())
    } else {
        body
    }
}

/// Where the event of that number is.
fn position(stream: &Arc<Stream>, after: u64) -> Result<Position, Fault> {
    let mut response_view = ResponseView::new(answer::view_of(stream, DialectId::OpenaiResponses));
    let mut found = None;
    Reader::show_all(stream, |seq, entry| {
        let before = response_view.next_number();
        response_view.take(entry);
        if found.is_none() && after < response_view.next_number() {
            found = Some(place(
                seq,
                after.saturating_sub(before),
                response_view.next_number() - after.max(before),
            ));
        }
    })?;
    found.ok_or_else(|| {
        Fault::new(Code::BadEventId, "`starting_after` is ahead of the response: send the last `sequence_number` that was received")
    })
}

/// The place behind event `part` of an entry, which has `left` events from that one on.
fn place(seq: Seq, part: u64, left: u64) -> Position {
    Position {
        seq,
        part: if left <= 1 {
            None
        } else {
            u32::try_from(part).ok()
        },
    }
}

fn number(text: &str) -> Result<u64, Fault> {
    text.parse().map_err(|_| {
        Fault::invalid(
            "starting_after",
            "`starting_after` takes a `sequence_number`",
        )
    })
}

fn limit(text: &str) -> Result<usize, Fault> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=PAGE).contains(number));
    number
        .ok_or_else(|| Fault::invalid("limit", format!("`limit` takes a number from 1 to {PAGE}")))
}

fn page(items: &[(String, Bytes)], more: bool) -> Bytes {
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

fn nothing_kept(id: &str) -> Fault {
    Fault::new(
        Code::StreamNotFound,
        format!(
            "nothing is kept of the input of `{}`: it was not to be stored",
            shown(id)
        ),
    )
}

pub(super) fn shown(id: &str) -> String {
    id.chars()
        .filter(char::is_ascii_graphic)
        .take(100)
        .collect()
}
