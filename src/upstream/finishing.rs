//! After a cancel: where the account says `on_cancel = "finish"`, the upstream is read on for its
//! true usage.
//!
//! Invariants: readers, journal and pass are not waited with; bounded in time ([`LONGEST`], and by
//! the account's own clocks) and in number ([`MOST`]), past which an upstream is closed at once as
//! everywhere else; nothing that is read is journaled, and no other target is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Ending;
use super::answer::Received;
use super::closing::Accounting;
use super::live::Live;
use super::sent::Sent;
use super::whole::Whole;
use crate::hub::{Cause, Stream, UpstreamState};
use crate::model::usage::Usage;

/// How long an upstream is read on: most answers are complete by then.
const LONGEST: Duration = Duration::from_secs(120);
/// How many are, at a time, in this process: each holds a connection that nobody waits for.
const MOST: usize = 256;

/// The places of upstreams that are read on.
#[derive(Debug)]
pub struct Finishing {
    places: Arc<Semaphore>,
    stopped: CancellationToken,
}

impl Default for Finishing {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            stopped: CancellationToken::new(),
        }
    }
}

impl Finishing {
    /// Closes them all, as this instance is about to stop.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// What is to be read on after this ending, if there is a place for it; else the upstream is
    /// closed now.
    pub(super) fn admit(&self, ending: &mut Ending, stream: &Arc<Stream>) -> Option<Rest> {
        let Ending::Cancelled(cause, rest) = ending else {
            return None;
        };
        let what = rest
            .take()
            .filter(|_| *cause != Cause::Shutdown && !self.stopped.is_cancelled())?;
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            tracing::warn!(
                stream = stream.id().as_str(),
                most = MOST,
                "not read to its end after the cancel: too many are"
            );
            return None;
        };
        stream.set_upstream(UpstreamState::Finishing);
        Some(Rest {
            what,
            stream: stream.clone(),
            stopped: self.stopped.clone(),
            _place: place,
        })
    }
}

/// How far an upstream had answered when it was cancelled.
pub(super) enum Unfinished {
    /// No head has come.
    Sent(Box<Sent>),
    /// It streams.
    Stream(Box<Live>),
    /// It comes as one body.
    Whole(Box<Whole>),
}

/// What is left to read of a cancelled answer.
pub(super) struct Rest {
    what: Unfinished,
    stream: Arc<Stream>,
    stopped: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Rest {
    /// Reads to the end, as far as it comes in time; what was used then stands in the stream's
    /// status.
    pub(super) async fn finish(self, accounting: &mut Accounting) -> Option<Usage> {
        let Self {
            what,
            stream,
            stopped,
            _place,
        } = self;
        let closing = Closing(&stream);
        let complete = tokio::select! {
            biased;
            () = stopped.cancelled() => false,
            read = timeout(LONGEST, what.read(accounting)) => read.unwrap_or(false),
        };
        let used = accounting.used(complete);
        closing.0.settle(used);
        used
    }
}

/// The upstream's side is over, however that came.
struct Closing<'a>(&'a Stream);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.set_upstream(UpstreamState::Closed);
    }
}

impl Unfinished {
    /// True once it is complete.
    async fn read(self, accounting: &mut Accounting) -> bool {
        match self {
            Self::Sent(mut sent) => match sent.head().await {
                Ok(answer) => match answer.receive(accounting) {
                    Received::Stream(live) => read_stream(live, accounting).await,
                    Received::Whole(whole) => read_whole(whole, accounting).await,
                    Received::Refused(_) => false,
                },
                Err(_) => false,
            },
            Self::Stream(live) => read_stream(live, accounting).await,
            Self::Whole(whole) => read_whole(whole, accounting).await,
        }
    }
}

async fn read_stream(mut live: Box<Live>, accounting: &mut Accounting) -> bool {
    while !live.done {
        let taken = match timeout_at(live.running.next().0, live.body.chunk()).await {
            Ok(Some(Ok(chunk))) => live.take(&chunk, accounting),
            Ok(None) => live.end(accounting),
            Ok(Some(Err(_))) | Err(_) => return false,
        };
        live.entries.clear();
        if taken.is_err() {
            return false;
        }
    }
    live.retire();
    true
}

async fn read_whole(mut whole: Box<Whole>, accounting: &mut Accounting) -> bool {
    whole.read().await.is_ok() && whole.decode(accounting).is_ok()
}
