//! Keeps silent connections alive, and finds out which are dead.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Beats after every stretch of silence.
#[derive(Debug)]
pub(super) struct Heartbeat {
    every: Duration,
    last: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Heartbeat {
    pub(super) fn new(every: Duration) -> Self {
        let last = Instant::now();
        Self {
            every,
            last,
            alarm: Box::pin(sleep_until(last + every)),
        }
    }

    /// Something was sent: the silence is over. The alarm stays where it is, so that a token costs
    /// no timer.
    pub(super) fn sent(&mut self) {
        self.last = Instant::now();
    }

    /// Ready when the silence has lasted long enough.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = self.last + self.every <= now;
            if due {
                self.last = now;
            }
            self.alarm.as_mut().reset(self.last + self.every);
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
    async fn it_beats_after_silence_and_only_then() {
        let began = Instant::now();
        let mut beat = Heartbeat::new(Duration::from_secs(15));
        let next = async |beat: &mut Heartbeat| std::future::poll_fn(|cx| beat.poll(cx)).await;
        next(&mut beat).await;
        assert_eq!(began.elapsed().as_secs(), 15);
        next(&mut beat).await;
        assert_eq!(began.elapsed().as_secs(), 30);
        tokio::time::advance(Duration::from_secs(10)).await;
        beat.sent();
        next(&mut beat).await;
        assert_eq!(began.elapsed().as_secs(), 55);
    }
}
