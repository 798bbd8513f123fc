//! The time that accounts reckon with: nanoseconds since the limits came into being.

use tokio::time::Instant;

/// A clock that only goes forward.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    began: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Clock {
    /// The nanoseconds since it began: enough for five hundred years.
    pub(super) fn now(self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
