//! Request bodies, bounded in size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use crate::model::fault::{Code, Fault};

/// Maximum pause within a body.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Maximum time for a whole body: a client that sends byte by byte holds its connection and its
/// claims no longer than this.
const MAX_DURATION: Duration = Duration::from_secs(300);
/// Maximum initial capacity for a body, bytes: enough for nearly every chat.
const INITIAL_CAPACITY: usize = 64 * 1024;

/// Reads a whole body.
///
/// # Errors
/// 413 if it is larger than `max` bytes; 408 if it pauses for 30 s or takes longer than 5 minutes;
/// 400 if the connection breaks.
pub(super) async fn collect(
    mut body: impl Body<Data = Bytes> + Unpin,
    max: usize,
) -> Result<Bytes, Fault> {
    let announced = body.size_hint().lower();
    if announced > max as u64 {
        return Err(too_large(max));
    }
    // An announced length costs the client nothing, so it must not reserve memory here.
    let mut all = BytesMut::with_capacity(
        usize::try_from(announced)
            .unwrap_or(0)
            .min(INITIAL_CAPACITY),
    );
    let deadline = Instant::now() + MAX_DURATION;
    while let Some(frame) = timeout_at(deadline.min(Instant::now() + MAX_PAUSE), body.frame())
        .await
        .map_err(|_| too_slow())?
    {
        let Ok(data) = frame
            .map_err(|_| {
                Fault::new(
                    Code::InvalidRequest,
                    "the request body is incomplete: the connection broke; send the request again",
                )
            })?
            // Frames other than data are trailers, which are ignored.
            .into_data()
        else {
            continue;
        };
        if all.len() + data.len() > max {
            return Err(too_large(max));
        }
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Rejects bodies whose content type is not JSON. A page of another site can send every other type
/// without a preflight request.
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

fn too_large(max: usize) -> Fault {
    Fault::new(
        Code::BodyTooLarge,
        format!("the request body is larger than {max} bytes (`server.max_body`)"),
    )
}

fn too_slow() -> Fault {
    Fault::new(
        Code::RequestTimeout,
        format!(
            "the request body paused for {MAX_PAUSE:?} or was not complete after {MAX_DURATION:?}; send it faster"
        ),
    )
}
