//! What an account lacks to be full: GCRA, in its form as a leaky bucket of what is missing.
//!
//! Invariants: exact integers, so that what is given back is what was taken, also after other
//! figures came into force; what is missing may be more than the account holds (debt), and is never
//! negative.

use std::num::NonZeroU32;
use std::time::Duration;

/// The nanoseconds of a minute: a unit is counted as so many parts, of which as many come back in a
/// nanosecond as units in a minute.
const PARTS: u128 = 60_000_000_000;

/// The fill of one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fill {
    missing: u128,
}

impl Fill {
    /// Time has passed, nanoseconds.
    pub(super) const fn recover(&mut self, elapsed: u64, per_minute: NonZeroU32) {
        self.missing = self
            .missing
            .saturating_sub(elapsed as u128 * per_minute.get() as u128);
    }

    /// Takes units, whether or not they are there.
    pub(super) const fn take(&mut self, units: u64) {
        self.missing = self.missing.saturating_add(units as u128 * PARTS);
    }

    /// Gives units back.
    pub(super) const fn give(&mut self, units: u64) {
        self.missing = self.missing.saturating_sub(units as u128 * PARTS);
    }

    /// It is full.
    pub(super) const fn is_full(self) -> bool {
        self.missing == 0
    }

    /// More was taken than it holds.
    pub(super) fn is_in_debt(self, holds: NonZeroU32) -> bool {
        self.missing > reservations(holds)
    }

    /// How long until that many units are there, if it holds `holds` of them; at the least until it
    /// is out of debt.
    pub(super) fn wait(self, units: u64, holds: NonZeroU32, per_minute: NonZeroU32) -> Duration {
        duration(
            (self.missing + u128::from(units) * PARTS).saturating_sub(reservations(holds)),
            per_minute,
        )
    }

    /// How long until it is full.
    pub(super) fn reset(self, per_minute: NonZeroU32) -> Duration {
        duration(self.missing, per_minute)
    }

    /// What is there, in parts: to compare accounts by.
    pub(super) fn room(self, holds: NonZeroU32) -> u128 {
        reservations(holds).saturating_sub(self.missing)
    }

    /// The whole units that are there.
    pub(super) fn remaining(self, holds: NonZeroU32) -> u32 {
        u32::try_from(self.room(holds) / PARTS).unwrap_or(u32::MAX)
    }
}

fn reservations(units: NonZeroU32) -> u128 {
    u128::from(units.get()) * PARTS
}

/// The time in which so many parts come back, rounded up: who waits that long is not too early.
fn duration(reservations: u128, per_minute: NonZeroU32) -> Duration {
    Duration::from_nanos(
        u64::try_from(reservations.div_ceil(u128::from(per_minute.get()))).unwrap_or(u64::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: NonZeroU32 = NonZeroU32::new(7).unwrap();
    const MANY: NonZeroU32 = NonZeroU32::MAX;

    #[test]
    fn whoever_waits_as_long_as_told_is_let_in_and_not_a_nanosecond_earlier() {
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
    fn debt_delays_and_what_is_given_back_ends_it() {
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
        assert!(fill.is_full(), "there is nothing beyond full");
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
