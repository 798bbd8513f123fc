//! Chats by the client's own id: the resume and stop requests of `useChat`.

use bytes::Bytes;
use bytestring::ByteString;
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde::Deserialize;
use tokio::time::timeout;

use super::reply::Reply;
use super::streams::CANCEL_TIMEOUT;
use super::{Gateway, Snapshot, body, head_only, headers};
use crate::auth::Caller;
use crate::dialect;
use crate::hub::{Reader, Stream};
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// Maximum size of the body of a stop request, bytes.
const MAX_STOP_BODY: usize = 4096;
/// Minimum length of a chat id that can be resumed or stopped, bytes. All clients that share a key
/// share its chats, so the id must be as hard to guess as a secret.
const MIN_SAFE_ID: usize = 16;

#[derive(Deserialize, Default)]
struct Stop {
    stream: Option<String>,
}

impl Gateway {
    /// `GET /v1/ui/chat/{chat}/stream`: replays the newest answer from its start. 204 if there is
    /// none, or if a reader has already received its end.
    pub(super) fn resume<B>(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        chat: &str,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let newest = Some(chat)
            .filter(|chat| chat.len() >= MIN_SAFE_ID)
            .and_then(|chat| self.hub.conversation(&caller.id, chat));
        // 204 tells `useChat` that there is nothing to resume, so it keeps the answer that it
        // displays.
        let Some(stream) = newest.filter(|stream| !stream.was_read_to_end()) else {
            return Ok(no_content());
        };
        let reader = Reader::attach(&stream, None)?;
        let profile = dialect::of(DialectId::Ui).profile();
        if head_only(request) {
            reader.leave();
            return Ok(headers::mark_stream(
                headers::event_stream(&stream, Reply::empty()),
                profile,
            ));
        }
        let live = self.live_stream(snapshot, reader, DialectId::Ui, true);
        let response = headers::event_stream(&stream, Reply::live(live));
        Ok(headers::mark_stream(response, profile))
    }

    /// `POST /v1/ui/chat/{chat}/stop`: stops the newest answer, or the one that the body names.
    pub(super) async fn stop<B>(
        &self,
        caller: &Caller,
        chat: &str,
        request: Request<B>,
    ) -> Result<Response<Reply>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if chat.len() < MIN_SAFE_ID {
            let message = format!(
                "a chat can be stopped by its id only if the id has at least {MIN_SAFE_ID} characters: stop the stream by its own id (POST /v1/streams/{{id}}/cancel)"
            );
            return Err(Fault::invalid("chat", message));
        }
        let stop = parse_stop(&body::collect(request.into_body(), MAX_STOP_BODY).await?)?;
        // The newest stream of the chat; an older one is stopped by its own id.
        let stream = self.hub.conversation(&caller.id, chat);
        // A late stop names the answer it means, so that it never stops a newer one.
        let is_meant = |stream: &Stream| {
            stop.stream
                .as_deref()
                // A page may know the stream only by the name that it chose.
                .is_none_or(|id| id == stream.id().as_str() || Some(id) == stream.name())
        };
        let Some(stream) = stream.filter(|stream| is_meant(stream) && stream.is_running()) else {
            return Ok(stop_response(false, StatusCode::OK));
        };
        stream.cancel(crate::hub::Cause::Client);
        let confirmed = timeout(CANCEL_TIMEOUT, stream.ended()).await.is_ok();
        Ok(stop_response(
            true,
            if confirmed {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            },
        ))
    }
}

fn no_content() -> Response<Reply> {
    let mut response = Response::new(Reply::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn stop_response(stopped: bool, status: StatusCode) -> Response<Reply> {
    headers::json(
        status,
        if stopped {
            "{\"stopped\":true}"
        } else {
            "{\"stopped\":false}"
        },
    )
}

/// Parses the body of a stop request, which may be empty.
fn parse_stop(body: &Bytes) -> Result<Stop, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Stop::default());
    }
    serde_json::from_slice(body).map_err(|_| {
        Fault::new(
            Code::InvalidRequest,
            "the body of a stop request must be empty or {\"stream\": \"<id>\"}",
        )
        .with_param("stream")
    })
}

/// Returns the requested model, or the configured one if the request names none.
pub(super) fn model_or_default(
    asked: &ByteString,
    configured: Option<&ByteString>,
) -> Result<ByteString, Fault> {
    if !asked.is_empty() {
        return Ok(asked.clone());
    }
    let missing = || {
        Fault::invalid(
            "model",
            "`model` is missing: send it in the body, or set `ui.model` in the configuration",
        )
    };
    configured.cloned().ok_or_else(missing)
}
