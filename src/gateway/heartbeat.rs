//! Heartbeats: bytes sent on silent connections, which keep them open and detect dead ones.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that fires after every interval of silence.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    last_sent: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Heartbeat {
    pub(super) fn new(interval: Duration) -> Self {
        let last_sent = Instant::now();
        Self {
            interval,
            last_sent,
            timer: Box::pin(sleep_until(last_sent + interval)),
        }
    }

    /// Ends the silence, because bytes were sent. The timer is not reset here, so that a token
    /// costs no timer operation.
    pub(super) fn record_sent(&mut self) {
        self.last_sent = Instant::now();
    }

    /// Returns ready once the silence has lasted for the interval.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.last_sent + self.interval <= now;
            if due {
                self.last_sent = now;
            }
            // The timer may have been armed before the last bytes: then it only moves to the true
            // end of the interval.
            self.timer.as_mut().reset(self.last_sent + self.interval);
            if due {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_fires_only_after_silence() {
        let began = Instant::now();
        let mut heartbeat = Heartbeat::new(Duration::from_secs(15));
        let next =
            async |heartbeat: &mut Heartbeat| std::future::poll_fn(|cx| heartbeat.poll(cx)).await;
        next(&mut heartbeat).await;
        assert_eq!(began.elapsed().as_secs(), 15);
        next(&mut heartbeat).await;
        assert_eq!(began.elapsed().as_secs(), 30);
        tokio::time::advance(Duration::from_secs(10)).await;
        heartbeat.record_sent();
        next(&mut heartbeat).await;
        assert_eq!(began.elapsed().as_secs(), 55);
    }
}
