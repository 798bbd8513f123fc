//! How soon a target gives its first token: a moving average, which fades where nothing new is
//! known.

use std::time::Duration;

use tokio::time::Instant;

/// How much of the average a new time is.
const SHARE: f64 = 0.2;
/// In this time without news half of an average is forgotten: a target that was slow is tried
/// again.
const HALF_LIFE: f64 = 30.0;
/// What a failure counts as, at the least: a target that fails at once is not a fast one.
const FAILURE: f64 = 1.0;

/// The average of one target.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Seconds, and as of when.
    average: Option<(f64, Instant)>,
}

impl Latency {
    /// The first token came after this time.
    pub(super) fn observe(&mut self, now: Instant, took: Duration) {
        self.take(now, took.as_secs_f64());
    }

    /// None came in this time, and nobody waits any more: it would have taken longer.
    pub(super) fn observe_at_least(&mut self, now: Instant, took: Duration) {
        let took = took.as_secs_f64();
        if took > self.seconds(now).unwrap_or(FAILURE) {
            self.take(now, took);
        }
    }

    /// It failed after this time.
    pub(super) fn observe_failure(&mut self, now: Instant, took: Duration) {
        let worse = self.seconds(now).map_or(FAILURE, |average| average * 2.0);
        self.take(now, took.as_secs_f64().max(worse).max(FAILURE));
    }

    /// What is to be expected; `None` where nothing is known.
    pub(super) fn seconds(&self, now: Instant) -> Option<f64> {
        let (average, at) = self.average?;
        let age = now.saturating_duration_since(at).as_secs_f64();
        Some(average * (-age / HALF_LIFE).exp2())
    }

    fn take(&mut self, now: Instant, seconds: f64) {
        // An average that has faded weighs less than one of a moment ago.
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
    fn it_moves_with_what_is_seen() {
        let now = Instant::now();
        let mut latency = Latency::default();
        assert_eq!(latency.seconds(now), None);
        latency.observe(now, MS(400));
        assert_eq!(latency.seconds(now), Some(0.4));
        latency.observe(now, MS(900));
        assert!((latency.seconds(now).unwrap() - 0.5).abs() < 1e-9);
        (0..40).for_each(|_| latency.observe(now, MS(900)));
        assert!((latency.seconds(now).unwrap() - 0.9).abs() < 1e-3);
    }

    #[test]
    fn what_was_slow_is_forgotten() {
        let now = Instant::now();
        let mut latency = Latency::default();
        latency.observe(now, MS(8000));
        let later = now + Duration::from_secs(90);
        assert!(
            (latency.seconds(later).unwrap() - 1.0).abs() < 1e-6,
            "three half-lives"
        );
        latency.observe(later, MS(400));
        assert!(
            latency.seconds(later).unwrap() < 1.5,
            "and the new weighs more"
        );
    }

    #[test]
    fn failing_fast_is_not_fast() {
        let now = Instant::now();
        let mut latency = Latency::default();
        latency.observe_failure(now, MS(1));
        assert_eq!(latency.seconds(now), Some(1.0));
        latency.observe_failure(now, MS(1));
        assert!(latency.seconds(now).unwrap() > 1.1);
    }

    #[test]
    fn giving_up_early_says_nothing() {
        let now = Instant::now();
        let mut latency = Latency::default();
        latency.observe_at_least(now, MS(900));
        assert_eq!(latency.seconds(now), None);
        latency.observe(now, MS(400));
        latency.observe_at_least(now, MS(100));
        assert_eq!(latency.seconds(now), Some(0.4));
        latency.observe_at_least(now, MS(5400));
        assert!((latency.seconds(now).unwrap() - 1.4).abs() < 1e-9);
    }
}
