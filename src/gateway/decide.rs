//! When the status of a streaming answer is decided: at the first content, at a failure, or at
//! `commit_after`.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;

use crate::hub::Reader;
use crate::model::event::Event;
use crate::model::fault::Fault;

/// How the head of a streaming answer is to be.
#[derive(Debug)]
pub(super) enum Decision {
    /// 200, and what has come follows.
    Content,
    /// 200 with a heartbeat at once: nothing has come in time.
    Early,
    /// The failure's own status.
    Refused(Box<Fault>),
}

/// Waits for the decision.
pub(super) async fn decide(reader: &Reader, commit_after: Duration) -> Decision {
    let found = timeout(commit_after, poll_fn(|cx| reader.poll_found(cx, verdict))).await;
    match found {
        Err(_) => Decision::Early,
        Ok(Some(Some(fault))) => Decision::Refused(fault),
        Ok(_) => Decision::Content,
    }
}

/// What an event says of the head: somebody answers, or it failed, or it was cancelled.
#[expect(
    clippy::option_option,
    reason = "decided or not; and if so, refused or not"
)]
fn verdict(event: &Event) -> Option<Option<Box<Fault>>> {
    match event {
        Event::Route(_) | Event::End(_) => Some(None),
        Event::Error(failure) => Some(Some(Box::new(failure.fault.clone()))),
        _ => None,
    }
}
