//! The amount an account lacks to be full: GCRA in the form of a leaky bucket of what is missing.
//!
//! Invariants: the arithmetic is exact, so that what is given back equals what was taken, even
//! after the figures have changed; the missing amount may exceed what the account holds (debt) and
//! is never negative.

use std::num::NonZeroU32;
use std::time::Duration;

/// Parts of one unit: the nanoseconds of a minute. In each nanosecond as many parts come back as
/// the limit has units per minute.
const PARTS_PER_UNIT: u128 = 60_000_000_000;

/// The fill of one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fill {
    missing: u128,
}

impl Fill {
    /// Gives back what `elapsed` nanoseconds restore.
    pub(super) const fn recover(&mut self, elapsed: u64, per_minute: NonZeroU32) {
        self.missing = self
            .missing
            .saturating_sub(elapsed as u128 * per_minute.get() as u128);
    }

    /// Takes units, even if they are not there.
    pub(super) const fn take(&mut self, units: u64) {
        self.missing = self.missing.saturating_add(units as u128 * PARTS_PER_UNIT);
    }

    /// Gives units back.
    pub(super) const fn give(&mut self, units: u64) {
        // Never beyond full: time may have restored the units in the meantime.
        self.missing = self.missing.saturating_sub(units as u128 * PARTS_PER_UNIT);
    }

    /// Returns true if nothing is missing.
    pub(super) const fn is_full(self) -> bool {
        self.missing == 0
    }

    /// Returns true if more is missing than the account holds.
    pub(super) fn is_in_debt(self, holds: NonZeroU32) -> bool {
        self.missing > parts(holds)
    }

    /// Returns the time until that many units are available, in an account that holds `holds`; for
    /// 0 units, the time until it is out of debt.
    pub(super) fn wait(self, units: u64, holds: NonZeroU32, per_minute: NonZeroU32) -> Duration {
        duration(
            (self.missing + u128::from(units) * PARTS_PER_UNIT).saturating_sub(parts(holds)),
            per_minute,
        )
    }

    /// Returns the time until it is full.
    pub(super) fn reset(self, per_minute: NonZeroU32) -> Duration {
        duration(self.missing, per_minute)
    }

    /// Returns the available amount in parts, to compare accounts by.
    pub(super) fn room(self, holds: NonZeroU32) -> u128 {
        parts(holds).saturating_sub(self.missing)
    }

    /// Returns the number of whole units available.
    pub(super) fn remaining(self, holds: NonZeroU32) -> u32 {
        u32::try_from(self.room(holds) / PARTS_PER_UNIT).unwrap_or(u32::MAX)
    }
}

fn parts(units: NonZeroU32) -> u128 {
    u128::from(units.get()) * PARTS_PER_UNIT
}

/// Returns the time in which that many parts come back, rounded up: a client that waits that long
/// is never too early.
fn duration(parts: u128, per_minute: NonZeroU32) -> Duration {
    Duration::from_nanos(
        u64::try_from(parts.div_ceil(u128::from(per_minute.get()))).unwrap_or(u64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: NonZeroU32 = NonZeroU32::new(7).unwrap();
    const MANY: NonZeroU32 = NonZeroU32::MAX;

    #[test]
    fn the_reported_wait_is_exact_to_the_nanosecond() {
        for per_minute in [SEVEN, MANY] {
            let mut fill = Fill::default();
            fill.take(u64::from(per_minute.get()));
            let wait = u64::try_from(fill.wait(1, per_minute, per_minute).as_nanos()).unwrap();
            let mut early = fill;
            early.recover(wait - 1, per_minute);
            assert_ne!(
                (
                    early.remaining(per_minute),
                    early.wait(1, per_minute, per_minute)
                ),
                (1, Duration::ZERO)
            );
            fill.recover(wait, per_minute);
            assert_eq!(
                (
                    fill.remaining(per_minute) >= 1,
                    fill.wait(1, per_minute, per_minute)
                ),
                (true, Duration::ZERO)
            );
        }
    }

    #[test]
    fn units_given_back_reduce_debt() {
        let mut fill = Fill::default();
        fill.take(21);
        assert!(fill.is_in_debt(SEVEN));
        assert_eq!(
            (fill.remaining(SEVEN), fill.wait(0, SEVEN, SEVEN)),
            (0, Duration::from_secs(120))
        );
        assert_eq!(fill.reset(SEVEN), Duration::from_secs(180));
        fill.give(20);
        assert_eq!((fill.remaining(SEVEN), fill.is_in_debt(SEVEN)), (6, false));
        fill.give(20);
        assert!(fill.is_full(), "a fill never exceeds full");
    }

    #[test]
    fn no_figure_overflows() {
        let mut fill = Fill::default();
        (0..4).for_each(|_| fill.take(u64::MAX));
        assert!(
            fill.is_in_debt(MANY)
                && fill.wait(u64::MAX, MANY, SEVEN) == Duration::from_nanos(u64::MAX)
        );
        fill.recover(u64::MAX, MANY);
    }
}
