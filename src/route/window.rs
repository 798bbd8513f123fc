//! Counts over the latest stretch of time.

use std::time::Duration;

use tokio::time::Instant;

/// `N` counts over between half and all of a span: those of its running half, and those of the half
/// before.
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

    /// Counts one.
    pub(super) fn add(&mut self, now: Instant, which: usize) {
        self.turn(now);
        if let Some(count) = self.running.get_mut(which) {
            *count = count.saturating_add(1);
        }
    }

    /// The counts now.
    pub(super) fn counts(&mut self, now: Instant) -> [u32; N] {
        self.turn(now);
        let mut sums = self.running;
        for (sum, before) in sums.iter_mut().zip(self.before) {
            *sum = sum.saturating_add(before);
        }
        sums
    }

    /// Begins anew.
    pub(super) fn clear(&mut self, now: Instant) {
        *self = Self::new(self.half * 2, now);
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.began);
        if age < self.half {
            return;
        }
        let recent = age < self.half * 2;
        self.before = if recent { self.running } else { [0; N] };
        self.running = [0; N];
        self.began = if recent { self.began + self.half } else { now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_forgotten() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
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
