//! The state shared by all attempts to open one answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::AttemptContext;
use super::client::Clients;
use super::recorder::{Recorder, Secrets};
use crate::hub::{Cause, Stream};
use crate::model::ask::Ask;
use crate::model::target::Target;
use crate::route::Plan;

/// The state shared by all attempts to open an answer.
pub(super) struct Opening<'a> {
    pub(super) ask: &'a Arc<Ask>,
    pub(super) plan: &'a Plan,
    pub(super) clients: &'a Clients,
    pub(super) recorder: &'a Recorder,
    pub(super) stream: Arc<Stream>,
    /// Time at which held frames are released.
    pub(super) release: Instant,
    /// Number of targets being asked right now: 0, 1 or 2.
    pub(super) lanes: AtomicU8,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        ask: &'a Arc<Ask>,
        plan: &'a Plan,
        clients: &'a Clients,
        recorder: &'a Recorder,
        stream: Arc<Stream>,
        commit_after: Duration,
    ) -> Self {
        Self {
            ask,
            plan,
            clients,
            recorder,
            stream,
            release: Instant::now() + commit_after,
            lanes: AtomicU8::new(0),
        }
    }

    /// Returns the context of a request to this target.
    pub(super) fn context(&self, target: &Target) -> AttemptContext {
        AttemptContext {
            ask: self.ask.clone(),
            stream: self.stream.clone(),
            target: target.clone(),
            recorder: self.recorder.clone(),
            secrets: Secrets::default(),
        }
    }

    /// Returns true while two targets are being asked.
    pub(super) fn is_hedged(&self) -> bool {
        self.lanes.load(Ordering::Relaxed) > 1
    }
}

/// Runs `doing` until it completes or the stream is cancelled. On a cancel, `doing` is dropped.
pub(super) async fn unless_cancelled<T>(
    stream: &Stream,
    doing: impl Future<Output = T>,
) -> Result<T, Cause> {
    let mut doing = pin!(doing);
    poll_fn(|cx| match stream.poll_cancelled(cx) {
        Poll::Ready(cause) => Poll::Ready(Err(cause)),
        Poll::Pending => doing.as_mut().poll(cx).map(Ok),
    })
    .await
}
