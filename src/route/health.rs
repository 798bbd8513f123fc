//! The health of one target: whether it may be asked now, how soon it answers, and how many
//! requests it has in progress.
//!
//! Invariants: every admitted request is recorded exactly once: as answered, as failed, or as
//! neither when its [`Permit`] is dropped; no lock is held across an await; a kept failure never
//! contains an upstream's own words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::breaker::{ASKED_TO_WAIT, Admitted, Breaker, redacted_fault};
use super::latency::Latency;
use super::lessons::Lessons;
use super::rules::Rules;
use crate::model::fault::{Code, Fault, Side};
use crate::model::route_trace::SkipReason;

/// The health of one target.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
    in_progress: AtomicU32,
    rules: Rules,
    /// The lessons of its refusals.
    pub lessons: Lessons,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    latency: Latency,
    pause: Option<Pause>,
}

/// A time during which the target is not asked because its provider asked clients to wait.
#[derive(Debug)]
struct Pause {
    until: Instant,
    why: SkipReason,
    fault: Box<Fault>,
}

/// Why a target is not asked now.
#[derive(Debug)]
pub struct Skip {
    /// The reason.
    pub why: SkipReason,
    /// The failure that caused it, with the time that is left.
    pub fault: Box<Fault>,
}

impl Health {
    /// Creates the health of a target that is not known yet.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let state = State {
            breaker: Breaker::new(rules, Instant::now()),
            latency: Latency::default(),
            pause: None,
        };
        Self {
            state: Mutex::new(state),
            in_progress: AtomicU32::new(0),
            rules,
            lessons: Lessons::default(),
        }
    }

    /// Admits a request, or returns why not.
    ///
    /// # Errors
    /// While its breaker is open or its provider has asked clients to wait.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Skip> {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some(pause) = state.pause.as_ref().filter(|pause| now < pause.until) {
            let fault = Box::new(Fault {
                retry_after: Some(pause.until - now),
                ..(*pause.fault).clone()
            });
            return Err(Skip {
                why: pause.why,
                fault,
            });
        }
        state.pause = None;
        let pass = state.breaker.admit(now).map_err(|refused| {
            let fault = Box::new(Fault {
                retry_after: Some(refused.left),
                ..*refused.fault
            });
            Skip {
                why: SkipReason::Breaker,
                fault,
            }
        })?;
        drop(state);
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        Ok(Permit {
            health: self.clone(),
            pass: Some(pass),
            began: now,
        })
    }

    /// Pauses the target because its provider's headers report that nothing remains until the
    /// reset.
    pub fn pause_until_reset(&self, reset: Duration) {
        let fault = Fault::new(
            Code::RateLimited,
            "the upstream's rate limit is reached: try again later",
        )
        .with_limit("provider");
        self.pause(
            reset.min(self.rules.longest_full_pause),
            SkipReason::Full,
            Fault {
                // The next target is asked, as after a failure.
                retryable: true,
                side: Side::Upstream,
                ..fault
            },
        );
    }

    /// Returns the number of requests in progress, running streams included.
    #[must_use]
    pub fn in_progress(&self) -> u32 {
        self.in_progress.load(Ordering::Relaxed)
    }

    /// Returns true if neither its breaker nor a pause keeps it from being asked.
    #[must_use]
    pub fn is_available(&self) -> bool {
        let state = self.state.lock();
        state.breaker.is_closed()
            && state
                .pause
                .as_ref()
                .is_none_or(|pause| pause.until <= Instant::now())
    }

    /// Returns the expected time to its first token, seconds; `None` if nothing is known.
    pub(super) fn expected_seconds(&self, now: Instant) -> Option<f64> {
        self.state.lock().latency.expected_seconds(now)
    }

    fn pause(&self, time: Duration, why: SkipReason, fault: Fault) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        // A shorter pause must not end a longer one early.
        if !time.is_zero() && state.pause.as_ref().is_none_or(|pause| pause.until < until) {
            state.pause = Some(Pause {
                until,
                why,
                fault: Box::new(fault),
            });
        }
    }

    fn record_failure(&self, pass: Admitted, began: Instant, fault: &Fault) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.latency.observe_failure(now, now - began);
        // A rate limit that states when it ends is not a breakdown: the pause is enough.
        if fault.code == Code::RateLimited && fault.retry_after.is_some() {
            state.breaker.abandon(now, pass);
        } else {
            state.breaker.fail(now, pass, fault);
        }
    }
}

/// Returns true if a failure counts against the target: neither the request nor we were at fault.
fn counts(fault: &Fault) -> bool {
    let cut_here =
        matches!(fault.code, Code::RateLimited | Code::BudgetExceeded) && fault.side == Side::Ours;
    !fault.ends_route() && fault.code != Code::InternalError && !cut_here
}

/// The right to ask a target once; the request is in progress until it is dropped.
#[derive(Debug)]
pub struct Permit {
    health: Arc<Health>,
    /// Present until an outcome is recorded.
    pass: Option<Admitted>,
    began: Instant,
}

impl Permit {
    /// Records an answer and, if there was content, the time to the first content.
    pub fn record_answer(&mut self, first_content: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.health.state.lock();
        if let Some(pass) = self.pass.take() {
            state.breaker.succeed(now, pass);
        }
        if let Some(took) = first_content {
            state.latency.observe(now, took);
        }
    }

    /// Records a failure, before or after the target has answered.
    pub fn record_failure(&mut self, fault: &Fault) {
        // A limit of ours carries a time too, but is no pause of the provider.
        if let Some(after) = fault.retry_after.filter(|_| counts(fault)) {
            self.health.pause(
                after.min(self.health.rules.longest_pause),
                SkipReason::RetryAfter,
                redacted_fault(fault, ASKED_TO_WAIT),
            );
        }
        match self.pass.take() {
            Some(pass) if counts(fault) => self.health.record_failure(pass, self.began, fault),
            // The request was at fault: a target that rejects it is available again.
            Some(pass @ Admitted::Probe(_)) if fault.upstream_status.is_some() => {
                self.health
                    .state
                    .lock()
                    .breaker
                    .succeed(Instant::now(), pass);
            }
            Some(pass) => self
                .health
                .state
                .lock()
                .breaker
                .abandon(Instant::now(), pass),
            None if counts(fault) => self
                .health
                .state
                .lock()
                .breaker
                .fail_midway(Instant::now(), fault),
            None => {}
        }
    }

    /// Returns the time since it was admitted.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.health.in_progress.fetch_sub(1, Ordering::Relaxed);
        if let Some(pass) = self.pass.take() {
            let now = Instant::now();
            let mut state = self.health.state.lock();
            state.breaker.abandon(now, pass);
            // A request that was abandoned would have taken longer than this.
            state.latency.observe_at_least(now, now - self.began);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn fault_with(status: u16, code: Code, after: Option<u64>) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        let fault = Fault::new(code, "the upstream said: PROMPT");
        let side = Side::Upstream;
        Fault {
            upstream_status: Some(status),
            retry_after: after.map(Duration::from_secs),
            side,
            quotes_upstream: true,
            ..fault
        }
    }

    fn health() -> Arc<Health> {
        Arc::new(Health::new(Rules::default()))
    }

    fn fail(health: &Arc<Health>, fault: &Fault) {
        health.admit().unwrap().record_failure(fault);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_pauses_the_target() {
        for (fault, why) in [
            (fault_with(429, Code::RateLimited, Some(20)), 429),
            (fault_with(503, Code::Overloaded, Some(20)), 503),
        ] {
            let health = health();
            fail(&health, &fault);
            tokio::time::advance(Duration::from_secs(5)).await;
            let skip = health.admit().unwrap_err();
            assert_eq!(
                (skip.why, skip.fault.retry_after, skip.fault.status.as_u16()),
                (SkipReason::RetryAfter, Some(Duration::from_secs(15)), why)
            );
            assert!(!skip.fault.message.contains("PROMPT"));
            assert!(!health.is_available());
            tokio::time::advance(Duration::from_secs(15)).await;
            assert!(health.admit().is_ok() && health.is_available());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_from_headers_are_bounded() {
        let health = health();
        fail(
            &health,
            &fault_with(429, Code::RateLimited, Some(365 * 24 * 60 * 60)),
        );
        assert_eq!(
            health.admit().unwrap_err().fault.retry_after,
            Some(Rules::default().longest_pause)
        );
        let health = self::health();
        health.pause_until_reset(Duration::from_secs(365 * 24 * 60 * 60));
        let skip = health.admit().unwrap_err();
        assert_eq!(
            (skip.why, skip.fault.retry_after),
            (SkipReason::Full, Some(Rules::default().longest_full_pause))
        );
        assert_eq!(
            (
                skip.fault.client_code(),
                skip.fault.limit,
                skip.fault.status.as_u16()
            ),
            ("rate_limited", Some("provider"), 429)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_limit_with_retry_after_does_not_open_the_breaker() {
        let health = health();
        for _ in 0..20 {
            fail(&health, &fault_with(429, Code::RateLimited, Some(1)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(health.admit().is_ok());
        (0..5).for_each(|_| fail(&health, &fault_with(429, Code::RateLimited, None)));
        assert_eq!(
            health.admit().unwrap_err().why,
            SkipReason::Breaker,
            "a rate limit without a time opens it"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_requests_and_cancels_do_not_count_against_a_target() {
        let health = health();
        for status in [400, 413, 415, 422] {
            let status = StatusCode::from_u16(status).unwrap();
            let fault = Fault {
                status,
                ..fault_with(status.as_u16(), Code::InvalidRequest, Some(50))
            };
            (0..10).for_each(|_| fail(&health, &fault));
        }
        (0..10).for_each(|_| fail(&health, &Fault::new(Code::InternalError, "ours")));
        for code in [Code::RateLimited, Code::BudgetExceeded] {
            let cut = Fault {
                side: Side::Ours,
                ..fault_with(429, code, Some(50))
            };
            (0..10).for_each(|_| fail(&health, &cut));
        }
        (0..10).for_each(|_| drop(health.admit().unwrap()));
        assert!(health.is_available());
        for status in [401, 404, 500] {
            let health = self::health();
            (0..5).for_each(|_| fail(&health, &fault_with(status, Code::UpstreamError, None)));
            assert!(!health.is_available(), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_progress_are_counted_down_on_every_way_out() {
        let health = health();
        let (mut one, mut two, three) = (
            health.admit().unwrap(),
            health.admit().unwrap(),
            health.admit().unwrap(),
        );
        assert_eq!(health.in_progress(), 3);
        one.record_answer(Some(Duration::from_millis(300)));
        two.record_failure(&fault_with(500, Code::UpstreamError, None));
        assert_eq!(health.in_progress(), 3, "a running stream is in progress");
        drop((one, two, three));
        assert_eq!(health.in_progress(), 0);
    }
}
