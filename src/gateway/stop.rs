//! Stops streams. Every request that cancels a generation ends up in [`stop`].

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::hub::{Cause, Hub, Stream};
use crate::model::fault::Fault;
use crate::model::ids::CallerId;

/// Maximum time that a cancel waits for the upstream request to be dropped, before it answers 202.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// Cancels a stream and waits until its upstream request is dropped. Returns false if that is not
/// confirmed in time.
pub(super) async fn stop(stream: &Stream) -> bool {
    stop_until(stream, Instant::now() + CANCEL_TIMEOUT).await
}

/// Stops a stream and removes it, so that no look-up finds it any more.
pub(super) async fn forget(hub: &Hub, stream: &Arc<Stream>) {
    hub.forget(stream);
    // The stream is already removed from the hub, so a confirmation that comes too late changes
    // nothing for clients.
    let _confirmed = stop(stream).await;
}

/// The result of a stop by name.
pub(super) struct Stopped {
    /// The stream; `None` if the request that brings the name is still being read.
    pub(super) stream: Option<Arc<Stream>>,
    /// True if the upstream request was dropped in time.
    pub(super) confirmed: bool,
}

/// Stops the caller's stream with that id or name, also if its request is still being read.
///
/// # Errors
/// 404 if there is no such stream.
pub(super) async fn stop_by_name(
    hub: &Hub,
    owner: &CallerId,
    name: &str,
) -> Result<Stopped, Fault> {
    // The timeout also covers a request that is still being read, whose stream does not exist yet.
    let deadline = Instant::now() + CANCEL_TIMEOUT;
    let Ok(found) = timeout_at(deadline, hub.cancel(owner, name)).await else {
        return Ok(Stopped {
            stream: hub.find(owner, name).ok(),
            confirmed: false,
        });
    };
    let stream = found?;
    let confirmed = stop_until(&stream, deadline).await;
    Ok(Stopped {
        stream: Some(stream),
        confirmed,
    })
}

/// Returns the status that reports whether a stop is confirmed.
pub(super) const fn status(confirmed: bool) -> StatusCode {
    if confirmed {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

async fn stop_until(stream: &Stream, deadline: Instant) -> bool {
    stream.cancel(Cause::Client);
    timeout_at(deadline, stream.ended()).await.is_ok()
}
