//! Reads cancelled upstream answers to their end for the true usage, for providers whose
//! `on_cancel` is `finish`.
//!
//! Invariants:
//! - Readers, journal and pass do not wait for it.
//! - It is bounded in time ([`MAX_DURATION`] and the clocks of the provider) and in number
//!   ([`MAX_ANSWERS`]); beyond that, an upstream is closed at once, as without this option.
//! - Nothing that is read is journaled, and no other target is asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Ending;
use super::closing::Accounting;
use super::unfinished::Unfinished;
use crate::hub::{Cause, Stream, UpstreamState};
use crate::model::usage::Usage;

/// Maximum time for which an answer is read on; most answers are complete by then.
const MAX_DURATION: Duration = Duration::from_secs(120);
/// Maximum number of answers read on at a time in this process: each holds a connection that no
/// client waits for.
const MAX_ANSWERS: usize = 256;

/// Slots for answers that are read on.
#[derive(Debug)]
pub struct Finishing {
    slots: Arc<Semaphore>,
    stopped: CancellationToken,
}

impl Default for Finishing {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(MAX_ANSWERS)),
            stopped: CancellationToken::new(),
        }
    }
}

impl Finishing {
    /// Closes all of them, because this instance is about to stop.
    pub fn stop(&self) {
        self.stopped.cancel();
    }

    /// Returns the answer to read on after this ending. Returns `None` when there is none or no
    /// slot is free; the upstream is then closed at once.
    pub(super) fn admit(
        &self,
        ending: &mut Ending,
        stream: &Arc<Stream>,
    ) -> Option<UnfinishedRead> {
        let Ending::Cancelled(cause, rest) = ending else {
            return None;
        };
        let unfinished = rest
            .take()
            // A process that stops does not wait for usage figures.
            .filter(|_| *cause != Cause::Shutdown && !self.stopped.is_cancelled())?;
        // Never wait for a slot: the end of the stream is due now.
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            tracing::warn!(
                stream = stream.id().as_str(),
                most = MAX_ANSWERS,
                "the cancelled answer is not read to its end: too many are being read already; \
                 its usage is estimated"
            );
            return None;
        };
        stream.set_upstream(UpstreamState::Finishing);
        Some(UnfinishedRead {
            unfinished,
            stream: stream.clone(),
            stopped: self.stopped.clone(),
            _slot: slot,
        })
    }
}

/// The remaining part of a cancelled answer.
pub(super) struct UnfinishedRead {
    unfinished: Unfinished,
    stream: Arc<Stream>,
    stopped: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl UnfinishedRead {
    /// Reads to the end, within the time limit. Then writes the usage to the status of the stream
    /// and returns it.
    pub(super) async fn finish(self, accounting: &mut Accounting) -> Option<Usage> {
        let Self {
            unfinished,
            stream,
            stopped,
            _slot,
        } = self;
        let guard = CloseGuard(&stream);
        let complete = tokio::select! {
            // A stop wins over an answer that completes at the same time: the process does not
            // wait.
            biased;
            () = stopped.cancelled() => false,
            read = timeout(MAX_DURATION, unfinished.read(accounting)) => read.unwrap_or(false),
        };
        let used = accounting.used(complete);
        guard.0.set_final_usage(used);
        used
    }
}

/// Marks the upstream as closed when dropped, on every path.
struct CloseGuard<'a>(&'a Stream);

impl Drop for CloseGuard<'_> {
    fn drop(&mut self) {
        self.0.set_upstream(UpstreamState::Closed);
    }
}
