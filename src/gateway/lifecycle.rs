//! The lifecycle of the process (serving, draining, stopped), and the count of live work.
//!
//! Invariants: the phase never goes back; every counted piece of work is subtracted when its guard
//! is dropped, on every path.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// The phase of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// All requests are served.
    Serving,
    /// No new generation begins; running ones continue, and cancel, status and resume are served.
    Draining,
    /// Streams that still run are ended now, with their terminal events, and no connection is
    /// accepted.
    Stopped,
}

/// The current phase and the count of live work, shared by all rooms that need them.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    /// True once the phase is no longer `Serving`: a flag that is cheap enough to read for every
    /// token.
    ending: AtomicBool,
    live: AtomicUsize,
    idle: Notify,
}

/// The guard of one piece of live work: a running stream, a request being answered, a reader being
/// served.
#[derive(Debug)]
pub struct Work(Arc<Lifecycle>);

impl Lifecycle {
    /// Creates the lifecycle of a serving process.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Serving),
            ending: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            idle: Notify::new(),
        })
    }

    /// Returns the current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Returns true once the phase is no longer [`Phase::Serving`].
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Advances to a phase. Does nothing if this phase or a later one is already reached.
    pub fn advance(&self, to: Phase) {
        if to > Phase::Serving {
            // Set before the phase: a task that the new phase wakes must already see the flag.
            self.ending.store(true, Ordering::Release);
        }
        // Waiters are woken only by a real change.
        self.phase.send_if_modified(|phase| {
            let advanced = *phase < to;
            *phase = (*phase).max(to);
            advanced
        });
    }

    /// Waits until this phase or a later one is reached.
    pub async fn reached(&self, phase: Phase) {
        let mut phases = self.phase.subscribe();
        phases
            .wait_for(|now| *now >= phase)
            .await
            .expect("the sender lives as long as the borrow of self");
    }

    /// Counts one piece of work until the guard is dropped.
    #[must_use]
    pub fn work(self: &Arc<Self>) -> Work {
        self.live.fetch_add(1, Ordering::AcqRel);
        Work(Arc::clone(self))
    }

    /// Returns the number of live pieces of work.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Waits until no work is live.
    pub async fn idle(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            // Register before the count is read, so that an end in between is not missed.
            idle.as_mut().enable();
            if self.live() == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Only the guard that brings the count to zero wakes the waiters.
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_phase_never_goes_back() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.reached(Phase::Serving).now_or_never().is_some());
        assert!(lifecycle.reached(Phase::Draining).now_or_never().is_none());
        lifecycle.advance(Phase::Stopped);
        lifecycle.advance(Phase::Draining);
        assert_eq!(lifecycle.phase(), Phase::Stopped);
        assert!(lifecycle.reached(Phase::Draining).now_or_never().is_some());
    }

    #[tokio::test]
    async fn idle_resolves_when_the_last_guard_is_dropped() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.idle().now_or_never().is_some());
        let (first, second) = (lifecycle.work(), lifecycle.work());
        let mut idle = std::pin::pin!(lifecycle.idle());
        assert!(idle.as_mut().now_or_never().is_none());
        drop(first);
        assert!(idle.as_mut().now_or_never().is_none());
        drop(second);
        assert!(idle.as_mut().now_or_never().is_some());
        assert_eq!(lifecycle.live(), 0);
    }
}
