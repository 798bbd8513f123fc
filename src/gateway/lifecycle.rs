//! The life of the process: serving, draining, stopped; and how much is still being done.
//!
//! Invariants: the phase only ever goes forward; work that is counted is given back when its guard
//! is dropped, on every way out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, watch};

/// How far the process is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    Serving,
    /// No new generation begins; running ones go on, and cancel, status and resume are served.
    Draining,
    /// Streams that still run are ended now, with their terminal events, and no connection is
    /// accepted any more.
    Stopped,
}

/// The phase of the moment, and the work that is going on. Shared by all rooms that have to know.
#[derive(Debug)]
pub struct Lifecycle {
    phase: watch::Sender<Phase>,
    /// It is no longer `Serving`: the same news, cheap enough to be looked at for every token.
    ending: AtomicBool,
    live: AtomicUsize,
    quiet: Notify,
}

/// One piece of live work: a stream that runs, a request that is answered, a reader that is served.
#[derive(Debug)]
pub struct Work(Arc<Lifecycle>);

impl Lifecycle {
    /// A process that serves.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            phase: watch::Sender::new(Phase::Serving),
            ending: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            quiet: Notify::new(),
        })
    }

    /// The phase of the moment.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// True from the first step away from [`Phase::Serving`] on.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Moves on to that phase; does nothing where that one or a later one is reached already.
    pub fn advance(&self, to: Phase) {
        if to > Phase::Serving {
            self.ending.store(true, Ordering::Release);
        }
        self.phase.send_if_modified(|phase| {
            let moves = *phase < to;
            *phase = (*phase).max(to);
            moves
        });
    }

    /// Waits until that phase, or a later one, is reached.
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

    /// Pieces of work that are going on.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }

    /// Waits for a moment in which no work is going on.
    pub async fn quiet(&self) {
        loop {
            let mut quiet = std::pin::pin!(self.quiet.notified());
            // Registered before the look at the count, so that an end in between is not missed.
            quiet.as_mut().enable();
            if self.live() == 0 {
                return;
            }
            quiet.await;
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_phase_only_goes_forward() {
        let life = Lifecycle::new();
        assert!(life.reached(Phase::Serving).now_or_never().is_some());
        assert!(life.reached(Phase::Draining).now_or_never().is_none());
        life.advance(Phase::Stopped);
        life.advance(Phase::Draining);
        assert_eq!(life.phase(), Phase::Stopped);
        assert!(life.reached(Phase::Draining).now_or_never().is_some());
    }

    #[tokio::test]
    async fn quiet_is_when_the_last_guard_is_gone() {
        let life = Lifecycle::new();
        assert!(life.quiet().now_or_never().is_some());
        let (first, second) = (life.work(), life.work());
        let mut quiet = std::pin::pin!(life.quiet());
        assert!(quiet.as_mut().now_or_never().is_none());
        drop(first);
        assert!(quiet.as_mut().now_or_never().is_none());
        drop(second);
        assert!(quiet.as_mut().now_or_never().is_some());
        assert_eq!(life.live(), 0);
    }
}
