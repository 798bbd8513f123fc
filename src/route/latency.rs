//! The time to the first token of a target: a moving average that fades while nothing new is
//! measured.

use std::time::Duration;

use tokio::time::Instant;

/// Minimum weight of a new time in the average.
const SHARE: f64 = 0.2;
/// Time in which half of the average fades, seconds: a target that was slow is tried again.
const HALF_LIFE: f64 = 30.0;
/// Minimum time that a failure counts as, seconds: a target that fails at once is not a fast one.
const FAILURE: f64 = 1.0;

/// The average of one target.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// The average in seconds, and when it was computed.
    average: Option<(f64, Instant)>,
}

impl Latency {
    /// Records the time to a first token.
    pub(super) fn observe(&mut self, now: Instant, took: Duration) {
        self.take(now, took.as_secs_f64());
    }

    /// Records that no first token came within this time. A shorter time than expected is ignored,
    /// as it says nothing.
    pub(super) fn observe_at_least(&mut self, now: Instant, took: Duration) {
        let took = took.as_secs_f64();
        if took > self.expected_seconds(now).unwrap_or(FAILURE) {
            self.take(now, took);
        }
    }

    /// Records a failure after this time.
    pub(super) fn observe_failure(&mut self, now: Instant, took: Duration) {
        // At least twice the average, so that each failure makes the target less likely to be
        // chosen.
        let worse = self
            .expected_seconds(now)
            .map_or(FAILURE, |average| average * 2.0);
        self.take(now, took.as_secs_f64().max(worse).max(FAILURE));
    }

    /// Returns the expected time, seconds; `None` if nothing is known.
    pub(super) fn expected_seconds(&self, now: Instant) -> Option<f64> {
        let (average, at) = self.average?;
        let age = now.saturating_duration_since(at).as_secs_f64();
        Some(average * (-age / HALF_LIFE).exp2())
    }

    fn take(&mut self, now: Instant, seconds: f64) {
        // A faded average weighs less than a recent one.
        let age = self.average.map_or(f64::INFINITY, |(_, at)| {
            now.saturating_duration_since(at).as_secs_f64()
        });
        let share = SHARE.max(1.0 - (-age / HALF_LIFE).exp2());
        let before = self.average.map_or(0.0, |(average, _)| average);
        self.average = Some((before + (seconds - before) * share, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_average_follows_the_measured_times() {
        let now = Instant::now();
        let mut latency = Latency::default();
        assert_eq!(latency.expected_seconds(now), None);
        latency.observe(now, MS(400));
        assert_eq!(latency.expected_seconds(now), Some(0.4));
        latency.observe(now, MS(900));
        assert!((latency.expected_seconds(now).unwrap() - 0.5).abs() < 1e-9);
        (0..40).for_each(|_| latency.observe(now, MS(900)));
        assert!((latency.expected_seconds(now).unwrap() - 0.9).abs() < 1e-3);
    }

    #[test]
    fn a_slow_average_fades() {
        let now = Instant::now();
        let mut latency = Latency::default();
        latency.observe(now, MS(8000));
        let later = now + Duration::from_secs(90);
        assert!(
            (latency.expected_seconds(later).unwrap() - 1.0).abs() < 1e-6,
            "three half-lives"
        );
        latency.observe(later, MS(400));
        assert!(
            latency.expected_seconds(later).unwrap() < 1.5,
            "and the new time weighs more"
        );
    }

    #[test]
    fn a_fast_failure_counts_as_slow() {
        let now = Instant::now();
        let mut latency = Latency::default();
        latency.observe_failure(now, MS(1));
        assert_eq!(latency.expected_seconds(now), Some(1.0));
        latency.observe_failure(now, MS(1));
        assert!(latency.expected_seconds(now).unwrap() > 1.1);
    }

    #[test]
    fn a_wait_shorter_than_expected_is_ignored() {
        let now = Instant::now();
        let mut latency = Latency::default();
        latency.observe_at_least(now, MS(900));
        assert_eq!(latency.expected_seconds(now), None);
        latency.observe(now, MS(400));
        latency.observe_at_least(now, MS(100));
        assert_eq!(latency.expected_seconds(now), Some(0.4));
        latency.observe_at_least(now, MS(5400));
        assert!((latency.expected_seconds(now).unwrap() - 1.4).abs() < 1e-9);
    }
}
