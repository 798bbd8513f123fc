//! The clock of the accounts: nanoseconds since the limits were created.

use tokio::time::Instant;

/// A monotonic clock.
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
    /// Returns the nanoseconds since the clock was created: enough for five hundred years.
    pub(super) fn now(self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
