//! What goes on on one connection, and by when something has to.
//!
//! Invariants: a connection without a request in hand always has a deadline, so a silent or a slow
//! client holds nothing for long; while a request is answered only the gateway's clocks count.
//! Nothing here keeps a timer: the connection asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// From the start of a connection to its first byte, TLS handshake included.
pub const FIRST_BYTE: Duration = Duration::from_secs(10);
/// From the first byte of an HTTP/1 request to the end of its head.
pub const HEAD: Duration = Duration::from_secs(15);
/// From one answer to the next request.
pub const IDLE: Duration = Duration::from_secs(75);

/// The state of one connection; shared by its bytes, its requests and the task that drives it.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    /// Bytes that arrive between requests begin a head (HTTP/1).
    heads: AtomicBool,
    /// Requests in hand.
    requests: AtomicU32,
    /// When the head that is being read began; milliseconds since the start, plus one; 0: there is
    /// none.
    head: AtomicU64,
    /// When the last request was done; the same form; 0: there was none.
    done: AtomicU64,
    begun: AtomicBool,
    ended: AtomicBool,
    last: AtomicBool,
}

/// What has to happen by then, or else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// A byte, or the rest of a head; else the connection is dropped.
    Hear(Instant),
    /// A new request; else the connection is closed as HTTP has it.
    Idle(Instant),
}

impl Deadline {
    /// The moment.
    #[must_use]
    pub const fn at(self) -> Instant {
        match self {
            Self::Hear(at) | Self::Idle(at) => at,
        }
    }
}

impl Activity {
    /// The activity of a new connection. `heads`: HTTP/1.
    #[must_use]
    pub fn new(heads: bool) -> Self {
        Self {
            start: Instant::now(),
            heads: AtomicBool::new(heads),
            requests: AtomicU32::new(0),
            head: AtomicU64::new(0),
            done: AtomicU64::new(0),
            begun: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            last: AtomicBool::new(false),
        }
    }

    /// From here on it is HTTP/2, where heads have no beginning that could be seen.
    pub fn is_http2(&self) {
        self.heads.store(false, Ordering::Relaxed);
    }

    /// Notes so many bytes from the peer; 0 is its end.
    pub fn received(&self, bytes: usize) {
        if bytes == 0 {
            self.ended.store(true, Ordering::Relaxed);
            return;
        }
        self.begun.store(true, Ordering::Relaxed);
        let begins_head =
            self.heads.load(Ordering::Relaxed) && self.requests.load(Ordering::Relaxed) == 0;
        if begins_head && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.stamp(), Ordering::Relaxed);
        }
    }

    /// A request is in hand until the guard is dropped.
    #[must_use]
    pub fn request(self: &Arc<Self>) -> InHand {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        InHand(Arc::clone(self))
    }

    /// No further request is to be taken from this connection.
    pub fn close_after_this(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    /// True when [`Self::close_after_this`] was said.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// The peer has closed its side.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// How long ago the last request was done, where there was one and none is in hand.
    #[must_use]
    pub fn quiet_for(&self) -> Option<Duration> {
        let done = self.moment(&self.done)?;
        (self.requests.load(Ordering::Relaxed) == 0).then(|| done.elapsed())
    }

    /// When the last request was done, or the connection began.
    #[must_use]
    pub fn done_at(&self) -> Instant {
        self.moment(&self.done).unwrap_or(self.start)
    }

    /// What has to happen by when; `None` while a request is in hand.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        if self.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if let Some(head) = self.moment(&self.head) {
            return Some(Deadline::Hear(head + HEAD));
        }
        if let Some(done) = self.moment(&self.done) {
            return Some(Deadline::Idle(done + IDLE));
        }
        let begun = self.begun.load(Ordering::Relaxed);
        Some(if begun {
            Deadline::Idle(self.start + IDLE)
        } else {
            Deadline::Hear(self.start + FIRST_BYTE)
        })
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    fn moment(&self, stamp: &AtomicU64) -> Option<Instant> {
        stamp
            .load(Ordering::Relaxed)
            .checked_sub(1)
            .map(|millis| self.start + Duration::from_millis(millis))
    }
}

/// A request of a connection, from its head to the last byte of its answer.
#[derive(Debug)]
pub struct InHand(Arc<Activity>);

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.done.store(self.0.stamp(), Ordering::Relaxed);
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_deadline() {
        let activity = Arc::new(Activity::new(true));
        let start = Instant::now();
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Hear(start + FIRST_BYTE))
        );
        tokio::time::advance(Duration::from_secs(3)).await;
        activity.received(1);
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.received(1);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Hear(start + Duration::from_secs(3) + HEAD)),
            "a dribble wins no time"
        );
        let request = activity.request();
        activity.received(100);
        assert_eq!(activity.deadline(), None);
        tokio::time::advance(Duration::from_secs(6)).await;
        drop(request);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Idle(start + Duration::from_secs(10) + IDLE))
        );
        activity.received(1);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Hear(start + Duration::from_secs(10) + HEAD))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn http2_has_no_heads_to_wait_for() {
        let activity = Arc::new(Activity::new(false));
        activity.received(24);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Idle(Instant::now() + IDLE))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_requests_the_last_counts() {
        let activity = Arc::new(Activity::new(false));
        let (first, second) = (activity.request(), activity.request());
        drop(first);
        assert_eq!((activity.deadline(), activity.quiet_for()), (None, None));
        drop(second);
        assert_eq!(activity.quiet_for(), Some(Duration::ZERO));
        activity.received(0);
        assert!(activity.is_ended());
    }
}
