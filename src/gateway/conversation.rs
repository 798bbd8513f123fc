//! Conversations by the client's own id: what `useChat` asks of its server beside new answers.

use bytes::Bytes;
use bytestring::ByteString;
use http::{Request, Response, StatusCode};
use http_body::Body;
use serde::Deserialize;
use tokio::time::timeout;

use super::reply::Reply;
use super::streams::CONFIRM;
use super::{Gateway, Snapshot, body, head_only, headers};
use crate::auth::Caller;
use crate::hub::{Reader, Stream};
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// The largest body of a `stop`, bytes.
const STOP_BODY: usize = 4096;
/// The shortest id of a conversation that tells it from everybody else's: all who share a key share
/// its conversations, so that an id has to be as good as a secret.
const SAFE_ID: usize = 16;

#[derive(Deserialize, Default)]
struct Stop {
    stream: Option<String>,
}

impl Gateway {
    /// `GET /v1/ui/chat/{chat}/stream`: the newest answer from its start; 204 where there is none,
    /// or where somebody has had its end.
    pub(super) fn resume<B>(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        chat: &str,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        self.count_read(caller)?;
        let newest = Some(chat)
            .filter(|chat| chat.len() >= SAFE_ID)
            .and_then(|chat| self.hub.conversation(&caller.id, chat));
        let Some(stream) = newest.filter(|stream| !stream.end_read()) else {
            return Ok(nothing());
        };
        let reader = Reader::attach(&stream, None)?;
        if head_only(request) {
            reader.leave();
            return Ok(headers::ui(headers::event_stream(&stream, Reply::empty())));
        }
        Ok(headers::ui(headers::event_stream(
            &stream,
            Reply::live(self.live(snapshot, reader, DialectId::Ui, true)),
        )))
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
        if chat.len() < SAFE_ID {
            let message = format!(
                "the id of a chat that can be stopped by it has {SAFE_ID} characters or more: stop its stream by the stream's id"
            );
            return Err(Fault::invalid("chat", message));
        }
        let stop = stop_of(&body::collect(request.into_body(), STOP_BODY).await?)?;
        let stream = self.hub.conversation(&caller.id, chat);
        // A stop that comes late never stops a newer answer.
        let named = |stream: &Stream| {
            stop.stream
                .as_deref()
                .is_none_or(|id| id == stream.id().as_str() || Some(id) == stream.name())
        };
        let Some(stream) = stream.filter(|stream| named(stream) && stream.is_running()) else {
            return Ok(stopped(false, StatusCode::OK));
        };
        stream.cancel(crate::hub::Cause::Client);
        let confirmed = timeout(CONFIRM, stream.ended()).await.is_ok();
        Ok(stopped(
            true,
            if confirmed {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            },
        ))
    }
}

fn nothing() -> Response<Reply> {
    let mut response = Response::new(Reply::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn stopped(stopped: bool, status: StatusCode) -> Response<Reply> {
    headers::json(
        status,
        if stopped {
            "{\"stopped\":true}"
        } else {
            "{\"stopped\":false}"
        },
    )
}

/// What a stop says; nothing where its body is empty.
fn stop_of(body: &Bytes) -> Result<Stop, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Stop::default());
    }
    serde_json::from_slice(body).map_err(|_| {
        Fault::new(
            Code::InvalidRequest,
            "the body of a stop is empty, or {\"stream\": \"<id>\"}",
        )
        .with_param("stream")
    })
}

/// The model that is asked where the client named none.
pub(super) fn model(
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
