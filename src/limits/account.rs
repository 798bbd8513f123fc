//! One limit's fill: GCRA for rates, a count for what runs at a time.

use std::time::Duration;

use tokio::time::Instant;

use super::standing::Standing;
use super::{Applied, Limit, Wait};

const MINUTE: Duration = Duration::from_secs(60);

/// The fill of one limit. Its figures come with each call, so that a reload changes them and keeps the fill.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// When the limit will be full again (GCRA's theoretical arrival time).
    full_at: Option<Instant>,
    running: usize,
}

impl Account {
    /// Whether one more request may come.
    pub(super) fn look(&self, limit: &Limit, now: Instant) -> Result<(), Wait> {
        if limit.concurrent_streams.is_some_and(|most| self.running >= most.get() as usize) {
            return Err(Wait::Slot);
        }
        let Some((interval, burst)) = rate(limit) else { return Ok(()) };
        let missing = (self.missing(now) + interval).saturating_sub(interval * burst);
        if missing.is_zero() { Ok(()) } else { Err(Wait::For(missing)) }
    }

    /// Takes one request, and a slot.
    pub(super) fn take(&mut self, limit: &Limit, now: Instant) {
        self.running += 1;
        if let Some((interval, _)) = rate(limit) {
            self.full_at = Some(now + self.missing(now) + interval);
        }
    }

    /// Gives a slot back.
    pub(super) fn release(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn standing(&self, it: &Applied, now: Instant) -> Option<Standing> {
        let (interval, burst) = rate(&it.limit)?;
        let left = (interval * burst).saturating_sub(self.missing(now));
        let remaining = u32::try_from(left.as_nanos() / interval.as_nanos().max(1)).unwrap_or(u32::MAX);
        let per_minute = it.limit.requests_per_minute?.get();
        Some(Standing { limit: it.scope.name(), per_minute, remaining, reset: self.missing(now) })
    }

    /// What is missing to full, as time.
    fn missing(&self, now: Instant) -> Duration {
        self.full_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// The time one request is worth, and how many may come at once.
fn rate(limit: &Limit) -> Option<(Duration, u32)> {
    let per_minute = limit.requests_per_minute?;
    Some((MINUTE / per_minute.get(), limit.burst.unwrap_or(per_minute).get()))
}
