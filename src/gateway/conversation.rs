//! Chats by the client's own id: the resume and stop requests of `useChat`.

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::Body;
use serde::Deserialize;

use super::call::Call;
use super::follow::follow;
use super::reply::Reply;
use super::{body, headers, stop};
use crate::hub::{Reader, Stream};
use crate::model::fault::{Code, Fault};

/// Maximum size of the body of a stop request, bytes.
const MAX_STOP_BODY: usize = 4096;
/// Minimum length of a chat id that can be resumed or stopped, bytes. All clients that share a key
/// share its chats, so the id must be as hard to guess as a secret.
const MIN_SAFE_ID: usize = 16;

/// The body of a stop request.
#[derive(Deserialize, Default)]
struct StopRequest {
    stream: Option<String>,
}

impl StopRequest {
    /// A late stop names the answer it means, so that it never stops a newer one.
    fn means(&self, stream: &Stream) -> bool {
        self.stream
            .as_deref()
            // A page may know the stream only by the name that it chose.
            .is_none_or(|id| id == stream.id().as_str() || Some(id) == stream.name())
    }
}

/// `GET /v1/ui/chat/{chat}/stream`: replays the newest answer from its start. 204 if there is
/// none, or if a reader has already received its end.
pub(super) fn resume(call: &Call<'_>, chat: &str) -> Result<Response<Reply>, Fault> {
    call.count_read()?;
    let newest = Some(chat)
        .filter(|chat| chat.len() >= MIN_SAFE_ID)
        .and_then(|chat| call.gateway.hub.conversation(&call.caller.id, chat));
    // 204 tells `useChat` that there is nothing to resume, so it keeps the answer that it
    // displays.
    let Some(stream) = newest.filter(|stream| !stream.was_read_to_end()) else {
        return Ok(headers::no_content());
    };
    let reader = Reader::attach(&stream, None)?;
    let response = follow(call, reader, call.dialect, true);
    Ok(headers::mark_stream(response, call.codec().profile()))
}

/// `POST /v1/ui/chat/{chat}/stop`: stops the newest answer, or the one that the body names.
pub(super) async fn stop<B>(
    call: &Call<'_>,
    chat: &str,
    incoming: B,
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
    let request = parse_stop(&body::collect(incoming, MAX_STOP_BODY).await?)?;
    // The newest stream of the chat; an older one is stopped by its own id.
    let newest = call.gateway.hub.conversation(&call.caller.id, chat);
    let meant = newest.filter(|stream| request.means(stream) && stream.is_running());
    let Some(stream) = meant else {
        return Ok(stop_response(false, StatusCode::OK));
    };
    let confirmed = stop::stop(&stream).await;
    Ok(stop_response(true, stop::status(confirmed)))
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
fn parse_stop(body: &Bytes) -> Result<StopRequest, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(StopRequest::default());
    }
    serde_json::from_slice(body).map_err(|_| {
        Fault::new(
            Code::InvalidRequest,
            "the body of a stop request must be empty or {\"stream\": \"<id>\"}",
        )
        .with_param("stream")
    })
}
