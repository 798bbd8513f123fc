//! The upstream clocks. Each has its own error.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::fault::{Code, Fault};
use crate::model::target::Clocks;

/// A clock that can expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Connect,
    Headers,
    FirstToken,
    Idle,
    Total,
}

impl Clock {
    const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Headers => "headers",
            Self::FirstToken => "first_token",
            Self::Idle => "idle",
            Self::Total => "total",
        }
    }

    const fn limit(self, clocks: &Clocks) -> Duration {
        match self {
            Self::Connect => clocks.connect,
            Self::Headers => clocks.headers,
            Self::FirstToken => clocks.first_token,
            Self::Idle => clocks.idle,
            Self::Total => clocks.total,
        }
    }

    /// Returns the fault of this clock when it has expired.
    pub(super) fn timeout_fault(self, clocks: &Clocks) -> Fault {
        let message = format!(
            "the upstream's `{}` clock ran out after {:?}",
            self.name(),
            self.limit(clocks)
        );
        Fault::new(Code::UpstreamTimeout, message)
    }
}

/// Maximum gap between two reads that belong to one burst; the tokens of most models are further
/// apart.
const BURST_GAP: Duration = Duration::from_millis(2);

/// The running clocks of one attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunningClocks {
    pub(super) clocks: Clocks,
    began: Instant,
    head: Option<Instant>,
    last_byte: Instant,
    content: bool,
    /// The answer is one body: only `connect` and `total` run.
    whole: bool,
    burst: bool,
}

impl RunningClocks {
    /// Starts the clocks of a streamed answer.
    pub(super) fn start(clocks: Clocks) -> Self {
        let now = Instant::now();
        Self {
            clocks,
            began: now,
            head: None,
            last_byte: now,
            content: false,
            whole: false,
            burst: false,
        }
    }

    /// Starts the clocks of an answer that comes as one body.
    pub(super) fn for_whole_answer(clocks: Clocks) -> Self {
        Self {
            whole: true,
            ..Self::start(clocks)
        }
    }

    /// Records that the response head has arrived.
    pub(super) fn head_received(&mut self) {
        self.last_byte = Instant::now();
        self.head = Some(self.last_byte);
    }

    /// Records that bytes have arrived.
    pub(super) fn bytes_received(&mut self) {
        let now = Instant::now();
        self.burst = now.saturating_duration_since(self.last_byte) < BURST_GAP;
        self.last_byte = now;
    }

    /// Returns true when the latest bytes came within [`BURST_GAP`] of the previous ones: more are
    /// probably on their way.
    pub(super) fn is_burst(&self) -> bool {
        self.burst
    }

    /// Records that content has arrived.
    pub(super) fn content_received(&mut self) {
        self.content = true;
    }

    /// Returns the clock that expires next, and when.
    pub(super) fn next_expiry(&self) -> (Instant, Clock) {
        let total = (self.began + self.clocks.total, Clock::Total);
        // Nothing can be observed between head and end of such an answer.
        if self.whole {
            return total;
        }
        // `connect` is enforced by the HTTP client; its expiry arrives as a send error.
        let Some(head) = self.head else {
            return earlier(total, (self.began + self.clocks.headers, Clock::Headers));
        };
        let next = earlier(total, (self.last_byte + self.clocks.idle, Clock::Idle));
        // `first_token` counts from the head until the first content; `idle` restarts with every
        // byte.
        if self.content {
            next
        } else {
            earlier(next, (head + self.clocks.first_token, Clock::FirstToken))
        }
    }
}

fn earlier(one: (Instant, Clock), other: (Instant, Clock)) -> (Instant, Clock) {
    if other.0 < one.0 { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_phase_of_an_answer_has_its_clock() {
        let clocks = Clocks::default();
        let mut running = RunningClocks::start(clocks);
        assert_eq!(
            running.next_expiry(),
            (running.began + clocks.headers, Clock::Headers)
        );
        running.head_received();
        assert_eq!(running.next_expiry().1, Clock::Idle);
        tokio::time::advance(clocks.first_token - Duration::from_secs(1)).await;
        running.bytes_received();
        assert_eq!(
            running.next_expiry().1,
            Clock::FirstToken,
            "bytes feed `idle`, and only content ends `first_token`"
        );
        running.content_received();
        assert_eq!(running.next_expiry().1, Clock::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_one_body_has_only_the_total_clock() {
        let mut running = RunningClocks::for_whole_answer(Clocks::default());
        assert_eq!(
            running.next_expiry(),
            (running.began + running.clocks.total, Clock::Total)
        );
        running.head_received();
        assert_eq!(running.next_expiry().1, Clock::Total);
    }
}
