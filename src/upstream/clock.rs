//! The upstream clocks: each has its own error.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::fault::{Code, Fault};
use crate::model::target::Clocks;

/// A clock that can run out.
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

    const fn of(self, clocks: &Clocks) -> Duration {
        match self {
            Self::Connect => clocks.connect,
            Self::Headers => clocks.headers,
            Self::FirstToken => clocks.first_token,
            Self::Idle => clocks.idle,
            Self::Total => clocks.total,
        }
    }

    /// The failure when it ran out.
    pub(super) fn ran_out(self, clocks: &Clocks) -> Fault {
        let message = format!(
            "the upstream's `{}` clock ran out after {:?}",
            self.name(),
            self.of(clocks)
        );
        Fault::new(Code::UpstreamTimeout, message)
    }
}

/// Bytes that come within this time of each other may come in a flood; most models' tokens are
/// further apart.
const HURRY: Duration = Duration::from_millis(2);

/// The clocks of one attempt, running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) clocks: Clocks,
    began: Instant,
    head: Option<Instant>,
    last_byte: Instant,
    content: bool,
    /// The answer is not streamed: only `connect` and `total` run.
    whole: bool,
    hurried: bool,
}

impl Running {
    pub(super) fn start(clocks: Clocks) -> Self {
        let now = Instant::now();
        Self {
            clocks,
            began: now,
            head: None,
            last_byte: now,
            content: false,
            whole: false,
            hurried: false,
        }
    }

    /// Those of an answer that comes as one body.
    pub(super) fn whole(clocks: Clocks) -> Self {
        Self {
            whole: true,
            ..Self::start(clocks)
        }
    }

    /// The response head has come.
    pub(super) fn head(&mut self) {
        self.last_byte = Instant::now();
        self.head = Some(self.last_byte);
    }

    /// Bytes have come.
    pub(super) fn byte(&mut self) {
        let now = Instant::now();
        self.hurried = now.saturating_duration_since(self.last_byte) < HURRY;
        self.last_byte = now;
    }

    /// True where the latest bytes came right behind those before them: more are likely on their
    /// way.
    pub(super) fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Content has come.
    pub(super) fn content(&mut self) {
        self.content = true;
    }

    /// The clock that runs out next, and when.
    pub(super) fn next(&self) -> (Instant, Clock) {
        let total = (self.began + self.clocks.total, Clock::Total);
        if self.whole {
            return total;
        }
        let Some(head) = self.head else {
            return earlier(total, (self.began + self.clocks.headers, Clock::Headers));
        };
        let next = earlier(total, (self.last_byte + self.clocks.idle, Clock::Idle));
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
    async fn each_stretch_of_an_answer_has_its_clock() {
        let clocks = Clocks::default();
        let mut running = Running::start(clocks);
        assert_eq!(
            running.next(),
            (running.began + clocks.headers, Clock::Headers)
        );
        running.head();
        assert_eq!(running.next().1, Clock::Idle);
        tokio::time::advance(clocks.first_token - Duration::from_secs(1)).await;
        running.byte();
        assert_eq!(
            running.next().1,
            Clock::FirstToken,
            "bytes feed `idle`, and only content ends `first_token`"
        );
        running.content();
        assert_eq!(running.next().1, Clock::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_one_body_has_no_clock_but_the_total_one() {
        let mut running = Running::whole(Clocks::default());
        assert_eq!(
            running.next(),
            (running.began + running.clocks.total, Clock::Total)
        );
        running.head();
        assert_eq!(running.next().1, Clock::Total);
    }
}
