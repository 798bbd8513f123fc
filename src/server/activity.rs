//! Tracks the activity of one connection and computes its deadline.
//!
//! Invariants: a connection without a request in progress always has a deadline, so a silent or
//! slow client does not hold resources for long; while a request is answered, only the clocks of
//! the gateway apply. Nothing here holds a timer: the connection asks for the deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Maximum time from the start of a connection to its first byte, including the TLS handshake.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time from the first byte of an HTTP/1 request to the end of its head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum time from a response to the next request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The state of one connection, shared by its byte stream, its requests and the task that drives
/// it.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    /// Bytes that arrive between requests start a head (HTTP/1).
    heads: AtomicBool,
    /// Number of requests in progress.
    requests: AtomicU32,
    /// Start of the head being read: milliseconds since `start`, plus one; 0 if there is none.
    head: AtomicU64,
    /// End of the last request, in the same form; 0 if there was none.
    done: AtomicU64,
    has_bytes: AtomicBool,
    peer_closed: AtomicBool,
    last: AtomicBool,
}

/// The event that must happen before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// A byte or the rest of a head must arrive; otherwise the connection is dropped.
    Receive(Instant),
    /// A new request must arrive; otherwise the connection is closed in the regular way.
    Idle(Instant),
}

impl Deadline {
    /// Returns the time.
    #[must_use]
    pub const fn at(self) -> Instant {
        match self {
            Self::Receive(at) | Self::Idle(at) => at,
        }
    }
}

impl Activity {
    /// Creates the activity of a new connection; `heads` is true for HTTP/1.
    #[must_use]
    pub fn new(heads: bool) -> Self {
        Self {
            start: Instant::now(),
            heads: AtomicBool::new(heads),
            requests: AtomicU32::new(0),
            head: AtomicU64::new(0),
            done: AtomicU64::new(0),
            has_bytes: AtomicBool::new(false),
            peer_closed: AtomicBool::new(false),
            last: AtomicBool::new(false),
        }
    }

    /// Switches to HTTP/2, where the start of a head cannot be observed.
    pub fn set_http2(&self) {
        self.heads.store(false, Ordering::Relaxed);
    }

    /// Records bytes from the peer; 0 is the end of its stream.
    pub fn received(&self, bytes: usize) {
        if bytes == 0 {
            self.peer_closed.store(true, Ordering::Relaxed);
            return;
        }
        self.has_bytes.store(true, Ordering::Relaxed);
        let begins_head =
            self.heads.load(Ordering::Relaxed) && self.requests.load(Ordering::Relaxed) == 0;
        if begins_head && self.head.load(Ordering::Relaxed) == 0 {
            self.head.store(self.stamp(), Ordering::Relaxed);
        }
    }

    /// Counts a request as in progress until the guard is dropped.
    #[must_use]
    pub fn start_request(self: &Arc<Self>) -> ActiveRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.head.store(0, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    /// Marks the connection to be closed after the requests in progress.
    pub fn close_after_this(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    /// Returns true after a call of [`Self::close_after_this`].
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Returns true when the peer has closed its side.
    #[must_use]
    pub fn is_peer_closed(&self) -> bool {
        self.peer_closed.load(Ordering::Relaxed)
    }

    /// Returns the time since the last request ended; `None` if there was none or one is in
    /// progress.
    #[must_use]
    pub fn idle_for(&self) -> Option<Duration> {
        let done = self.instant(&self.done)?;
        (self.requests.load(Ordering::Relaxed) == 0).then(|| done.elapsed())
    }

    /// Returns the time at which the last request ended, or the start of the connection.
    #[must_use]
    pub fn done_at(&self) -> Instant {
        self.instant(&self.done).unwrap_or(self.start)
    }

    /// Returns the current deadline; `None` while a request is in progress.
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        if self.requests.load(Ordering::Relaxed) > 0 {
            return None;
        }
        if let Some(head) = self.instant(&self.head) {
            return Some(Deadline::Receive(head + HEAD_TIMEOUT));
        }
        if let Some(done) = self.instant(&self.done) {
            return Some(Deadline::Idle(done + IDLE_TIMEOUT));
        }
        let has_bytes = self.has_bytes.load(Ordering::Relaxed);
        Some(if has_bytes {
            Deadline::Idle(self.start + IDLE_TIMEOUT)
        } else {
            Deadline::Receive(self.start + FIRST_BYTE_TIMEOUT)
        })
    }

    fn stamp(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1)
    }

    fn instant(&self, stamp: &AtomicU64) -> Option<Instant> {
        stamp
            .load(Ordering::Relaxed)
            .checked_sub(1)
            .map(|millis| self.start + Duration::from_millis(millis))
    }
}

/// A request in progress, from its head to the last byte of its response.
#[derive(Debug)]
pub struct ActiveRequest(Arc<Activity>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        // Before the count is decremented: with no request in progress, `deadline` must see the new
        // time.
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
            Some(Deadline::Receive(start + FIRST_BYTE_TIMEOUT))
        );
        tokio::time::advance(Duration::from_secs(3)).await;
        activity.received(1);
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.received(1);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Receive(
                start + Duration::from_secs(3) + HEAD_TIMEOUT
            )),
            "further bytes of a head do not extend the deadline"
        );
        let request = activity.start_request();
        activity.received(100);
        assert_eq!(activity.deadline(), None);
        tokio::time::advance(Duration::from_secs(6)).await;
        drop(request);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Idle(
                start + Duration::from_secs(10) + IDLE_TIMEOUT
            ))
        );
        activity.received(1);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Receive(
                start + Duration::from_secs(10) + HEAD_TIMEOUT
            ))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn http2_has_no_heads_to_wait_for() {
        let activity = Arc::new(Activity::new(false));
        activity.received(24);
        assert_eq!(
            activity.deadline(),
            Some(Deadline::Idle(Instant::now() + IDLE_TIMEOUT))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_of_several_requests_counts() {
        let activity = Arc::new(Activity::new(false));
        let (first, second) = (activity.start_request(), activity.start_request());
        drop(first);
        assert_eq!((activity.deadline(), activity.idle_for()), (None, None));
        drop(second);
        assert_eq!(activity.idle_for(), Some(Duration::ZERO));
        activity.received(0);
        assert!(activity.is_peer_closed());
    }
}
