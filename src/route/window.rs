//! Counts over a sliding time window.

use std::time::Duration;

use tokio::time::Instant;

/// `N` counts over at least half of a span and at most all of it: those of the current half and of
/// the half before.
#[derive(Debug)]
pub(super) struct Window<const N: usize> {
    half: Duration,
    began: Instant,
    running: [u32; N],
    before: [u32; N],
}

impl<const N: usize> Window<N> {
    pub(super) fn new(span: Duration, now: Instant) -> Self {
        Self {
            half: span / 2,
            began: now,
            running: [0; N],
            before: [0; N],
        }
    }

    /// Adds one to the count `which`.
    pub(super) fn add(&mut self, now: Instant, which: usize) {
        self.advance(now);
        if let Some(count) = self.running.get_mut(which) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns the counts.
    pub(super) fn counts(&mut self, now: Instant) -> [u32; N] {
        self.advance(now);
        let mut sums = self.running;
        for (sum, before) in sums.iter_mut().zip(self.before) {
            *sum = sum.saturating_add(before);
        }
        sums
    }

    /// Resets the counts.
    pub(super) fn clear(&mut self, now: Instant) {
        *self = Self::new(self.half * 2, now);
    }

    fn advance(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age < self.half {
            return;
        }
        let recent = age < self.half * 2;
        self.before = if recent { self.running } else { [0; N] };
        self.running = [0; N];
        // Not `now`: the halves keep their length, however seldom the window is used.
        self.began = if recent { self.began + self.half } else { now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_counts_are_dropped() {
        let begin = Instant::now();
        let at = |expected_seconds: u64| begin + Duration::from_secs(expected_seconds);
        let mut window = Window::<2>::new(Duration::from_secs(10), begin);
        window.add(at(0), 0);
        window.add(at(4), 1);
        assert_eq!(window.counts(at(4)), [1, 1]);
        window.add(at(6), 1);
        assert_eq!(window.counts(at(9)), [1, 2]);
        assert_eq!(window.counts(at(10)), [0, 1], "the first half is gone");
        assert_eq!(window.counts(at(60)), [0, 0]);
        window.add(at(61), 0);
        window.clear(at(61));
        assert_eq!(window.counts(at(61)), [0, 0]);
    }
}
