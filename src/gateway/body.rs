//! Request bodies: bounded in size and in patience.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::model::fault::{Code, Fault};

/// How long a body may pause.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long all of a body may take: a drip of bytes holds a connection and its names no longer.
const DEADLINE: Duration = Duration::from_secs(300);
/// Room made for a body before any of it has come, bytes: enough for nearly every chat.
const ROOM: usize = 64 * 1024;

/// All of a body.
///
/// # Errors
/// 413 past `most` bytes; 408 when it pauses for 30 s or takes 5 minutes; 400 when the connection
/// breaks.
pub(super) async fn collect(
    mut body: impl Body<Data = Bytes> + Unpin,
    most: usize,
) -> Result<Bytes, Fault> {
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(too_large(most));
    }
    // What is announced is not yet there: room for more is made as it comes.
    let mut all = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0).min(ROOM));
    let deadline = Instant::now() + DEADLINE;
    while let Some(frame) = timeout_at(deadline.min(Instant::now() + PATIENCE), body.frame())
        .await
        .map_err(|_| too_slow())?
    {
        let Ok(data) = frame
            .map_err(|_| Fault::new(Code::InvalidRequest, "the request body broke off"))?
            .into_data()
        else {
            continue;
        };
        if all.len() + data.len() > most {
            return Err(too_large(most));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Refuses what is not announced as JSON: a page of another site can send anything else without
/// being asked first.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), Fault> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Fault::new(
        Code::UnsupportedMediaType,
        "send the body as JSON, with `content-type: application/json`",
    ))
}

fn too_large(most: usize) -> Fault {
    Fault::new(
        Code::BodyTooLarge,
        format!("the request body is larger than {most} bytes (`server.max_body`)"),
    )
}

fn too_slow() -> Fault {
    Fault::new(
        Code::RequestTimeout,
        format!(
            "the request body paused for {PATIENCE:?}, or was not there after {DEADLINE:?}; send it faster"
        ),
    )
}
