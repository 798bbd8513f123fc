//! The end of the process, in order.
//!
//! First no new generation begins (`/readyz` says so, the gateway refuses them) while everything
//! else is served; when no stream runs and no reader is served, or time is up, the process stops:
//! what still runs is ended with its terminal events, listeners close, idle connections are closed,
//! and those that are busy get a moment to send what they have.

use std::time::Duration;

use tokio::time::timeout;

use crate::gateway::lifecycle::{Lifecycle, Phase};

/// How draining ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Nothing was going on any more.
    Quiet,
    /// Time was up; so many streams and requests were cut short.
    CutShort(usize),
}

/// Drains the process for at most that long, then stops it. A second signal calls
/// [`Lifecycle::advance`] with [`Phase::Stopped`], which ends this at once.
pub async fn drain(lifecycle: &Lifecycle, limit: Duration) -> Drained {
    lifecycle.advance(Phase::Draining);
    let quiet = tokio::select! {
        biased;
        quiet = timeout(limit, lifecycle.quiet()) => quiet.is_ok(),
        () = lifecycle.reached(Phase::Stopped) => false,
    };
    let live = lifecycle.live();
    lifecycle.advance(Phase::Stopped);
    if quiet {
        Drained::Quiet
    } else {
        Drained::CutShort(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_nothing_is_going_on() {
        let lifecycle = Lifecycle::new();
        let work = lifecycle.work();
        let mut draining = std::pin::pin!(drain(&lifecycle, LIMIT));
        assert!(timeout(LIMIT / 2, &mut draining).await.is_err());
        assert_eq!(lifecycle.phase(), Phase::Draining);
        drop(work);
        assert_eq!(draining.await, Drained::Quiet);
        assert_eq!(lifecycle.phase(), Phase::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_time_is_up() {
        let lifecycle = Lifecycle::new();
        let _work = lifecycle.work();
        let start = tokio::time::Instant::now();
        assert_eq!(drain(&lifecycle, LIMIT).await, Drained::CutShort(1));
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_it_at_once() {
        let lifecycle = Lifecycle::new();
        let _work = lifecycle.work();
        let start = tokio::time::Instant::now();
        let (drained, ()) = tokio::join!(drain(&lifecycle, LIMIT), async {
            lifecycle.advance(Phase::Stopped);
        });
        assert_eq!(
            (drained, start.elapsed()),
            (Drained::CutShort(1), Duration::ZERO)
        );
    }
}
