//! Decides the status of a streaming answer: at the first content, at a failure, or at
//! `commit_after`.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;

use crate::hub::Reader;
use crate::model::event::Event;
use crate::model::fault::Fault;

/// The head that a streaming answer gets.
#[derive(Debug)]
pub(super) enum Decision {
    /// 200; the content so far follows.
    Content,
    /// 200 with a heartbeat at once, because neither content nor a failure came in time.
    Early,
    /// The status of the failure.
    Refused(Box<Fault>),
}

/// Waits until the status can be decided.
pub(super) async fn decide(reader: &Reader, commit_after: Duration) -> Decision {
    // `poll_found` looks ahead without consuming: the reader still begins at its own position.
    let found = timeout(commit_after, poll_fn(|cx| reader.poll_found(cx, verdict))).await;
    match found {
        Err(_) => Decision::Early,
        Ok(Some(Some(fault))) => Decision::Refused(fault),
        Ok(_) => Decision::Content,
    }
}

/// Returns the decision that an event causes: 200 if a target answered or the stream was cancelled,
/// otherwise the fault; `None` if the event decides nothing.
#[expect(
    clippy::option_option,
    reason = "the outer option: decided or not; the inner: rejected or not"
)]
fn verdict(event: &Event) -> Option<Option<Box<Fault>>> {
    match event {
        // `route` is journaled when the answer of a target is committed. An `end` without an error
        // before it is a cancel, which ends cleanly with 200.
        Event::Route(_) | Event::End(_) => Some(None),
        Event::Error(failure) => Some(Some(Box::new(failure.fault.clone()))),
        _ => None,
    }
}
