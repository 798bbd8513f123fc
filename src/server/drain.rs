//! Drains and stops the process.
//!
//! First, new generations are rejected (`/readyz` answers 503), and everything else is served. When
//! no stream runs and no reader is served, or the time is up, the process stops: running streams
//! are ended with their terminal events, listeners and idle connections are closed, and busy
//! connections get a short time to send what they have.

use std::time::Duration;

use tokio::time::timeout;

use crate::gateway::lifecycle::{Lifecycle, Phase};

/// The result of draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// All work had finished.
    Idle,
    /// The time was up or a second signal came: this many streams and requests were cut short.
    CutShort(usize),
}

/// Drains the process for at most `limit`, then stops it. On a second signal the caller invokes
/// [`Lifecycle::advance`] with [`Phase::Stopped`], which ends this at once.
pub async fn drain(lifecycle: &Lifecycle, limit: Duration) -> Drained {
    lifecycle.advance(Phase::Draining);
    let idle = tokio::select! {
        biased;
        idle = timeout(limit, lifecycle.idle()) => idle.is_ok(),
        () = lifecycle.reached(Phase::Stopped) => false,
    };
    // Count before the stop, which ends them.
    let live = lifecycle.live();
    lifecycle.advance(Phase::Stopped);
    if idle {
        Drained::Idle
    } else {
        Drained::CutShort(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_all_work_is_done() {
        let lifecycle = Lifecycle::new();
        let work = lifecycle.work();
        let mut draining = std::pin::pin!(drain(&lifecycle, LIMIT));
        assert!(timeout(LIMIT / 2, &mut draining).await.is_err());
        assert_eq!(lifecycle.phase(), Phase::Draining);
        drop(work);
        assert_eq!(draining.await, Drained::Idle);
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
