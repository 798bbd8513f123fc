//! What is known of one target: whether it may be asked now, how soon it answers, how much it has
//! in hand.
//!
//! Invariants: every request that was let through is told of once — answered, failed, or neither
//! where its [`Permit`] is dropped; no lock is held across an await; what is kept of a failure is
//! never an upstream's own words.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::breaker::{ASKED_TO_WAIT, Breaker, Pass, told_of};
use super::latency::Latency;
use super::rules::Rules;
use crate::model::fault::{Code, Fault, Side};
use crate::model::route_trace::Why;

/// What is known of a target.
#[derive(Debug)]
pub struct Health {
    state: Mutex<State>,
    in_hand: AtomicU32,
    rules: Rules,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    latency: Latency,
    pause: Option<Pause>,
}

/// A time in which it is not asked, by its provider's own word.
#[derive(Debug)]
struct Pause {
    until: Instant,
    why: Why,
    fault: Box<Fault>,
}

/// Why a target is not asked now.
#[derive(Debug)]
pub struct Skip {
    /// What stands against it.
    pub why: Why,
    /// The failure it stands for, with the time that is left.
    pub fault: Box<Fault>,
}

impl Health {
    /// Nothing is known.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        let state = State {
            breaker: Breaker::new(rules, Instant::now()),
            latency: Latency::default(),
            pause: None,
        };
        Self {
            state: Mutex::new(state),
            in_hand: AtomicU32::new(0),
            rules,
        }
    }

    /// Lets a request through, or says why not.
    ///
    /// # Errors
    /// While its breaker is open, or its provider has said when to come back.
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
                why: Why::Breaker,
                fault,
            }
        })?;
        drop(state);
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        Ok(Permit {
            health: self.clone(),
            pass: Some(pass),
            began: now,
        })
    }

    /// The account's own headers say that nothing remains until then.
    pub fn fill(&self, reset: Duration) {
        let fault = Fault::new(
            Code::RateLimited,
            "the upstream's rate limit is reached: try again later",
        )
        .with_limit("provider");
        self.pause(
            reset.min(self.rules.longest_full),
            Why::Full,
            Fault {
                retryable: true,
                side: Side::Upstream,
                ..fault
            },
        );
    }

    /// Requests that it has in hand, streams that run included.
    #[must_use]
    pub fn in_hand(&self) -> u32 {
        self.in_hand.load(Ordering::Relaxed)
    }

    /// True where nothing keeps it from being asked.
    #[must_use]
    pub fn is_at_peace(&self) -> bool {
        let state = self.state.lock();
        state.breaker.is_closed()
            && state
                .pause
                .as_ref()
                .is_none_or(|pause| pause.until <= Instant::now())
    }

    /// How soon it is expected to answer, seconds; `None` where nothing is known.
    pub(super) fn seconds(&self, now: Instant) -> Option<f64> {
        self.state.lock().latency.seconds(now)
    }

    fn pause(&self, time: Duration, why: Why, fault: Fault) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        if !time.is_zero() && state.pause.as_ref().is_none_or(|pause| pause.until < until) {
            state.pause = Some(Pause {
                until,
                why,
                fault: Box::new(fault),
            });
        }
    }

    fn failed(&self, pass: Pass, began: Instant, fault: &Fault) {
        let now = Instant::now();
        let mut state = self.state.lock();
        state.latency.observe_failure(now, now - began);
        // A limit that says when it ends is no breakdown.
        if fault.code == Code::RateLimited && fault.retry_after.is_some() {
            state.breaker.abandon(now, pass);
        } else {
            state.breaker.fail(now, pass, fault);
        }
    }
}

/// True where a failure says something of the target: neither the request was at fault, nor we.
fn counts(fault: &Fault) -> bool {
    let cut_here =
        matches!(fault.code, Code::RateLimited | Code::BudgetExceeded) && fault.side == Side::Ours;
    !fault.ends_route() && fault.code != Code::InternalError && !cut_here
}

/// The right to ask a target once; in hand until it is dropped.
#[derive(Debug)]
pub struct Permit {
    health: Arc<Health>,
    /// Until something was told.
    pass: Option<Pass>,
    began: Instant,
}

impl Permit {
    /// It has answered; `first_content` came after this time, where it has.
    pub fn answered(&mut self, first_content: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.health.state.lock();
        if let Some(pass) = self.pass.take() {
            state.breaker.succeed(now, pass);
        }
        if let Some(took) = first_content {
            state.latency.observe(now, took);
        }
    }

    /// It has failed, before or after it had answered.
    pub fn failed(&mut self, fault: &Fault) {
        if let Some(after) = fault.retry_after.filter(|_| counts(fault)) {
            self.health.pause(
                after.min(self.health.rules.longest_pause),
                Why::RetryAfter,
                told_of(fault, ASKED_TO_WAIT),
            );
        }
        match self.pass.take() {
            Some(pass) if counts(fault) => self.health.failed(pass, self.began, fault),
            // The request was at fault: a target that says so is there again.
            Some(pass @ Pass::Probe(_)) if fault.upstream_status.is_some() => {
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

    /// How long ago it was let through.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.health.in_hand.fetch_sub(1, Ordering::Relaxed);
        if let Some(pass) = self.pass.take() {
            let now = Instant::now();
            let mut state = self.health.state.lock();
            state.breaker.abandon(now, pass);
            state.latency.observe_at_least(now, now - self.began);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn of(status: u16, code: Code, after: Option<u64>) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        let fault = Fault::new(code, "the upstream said: PROMPT");
        let side = Side::Upstream;
        Fault {
            upstream_status: Some(status),
            retry_after: after.map(Duration::from_secs),
            side,
            quotes: true,
            ..fault
        }
    }

    fn health() -> Arc<Health> {
        Arc::new(Health::new(Rules::default()))
    }

    fn fail(health: &Arc<Health>, fault: &Fault) {
        health.admit().unwrap().failed(fault);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_is_kept_to() {
        for (fault, why) in [
            (of(429, Code::RateLimited, Some(20)), 429),
            (of(503, Code::Overloaded, Some(20)), 503),
        ] {
            let health = health();
            fail(&health, &fault);
            tokio::time::advance(Duration::from_secs(5)).await;
            let skip = health.admit().unwrap_err();
            assert_eq!(
                (skip.why, skip.fault.retry_after, skip.fault.status.as_u16()),
                (Why::RetryAfter, Some(Duration::from_secs(15)), why)
            );
            assert!(!skip.fault.message.contains("PROMPT"));
            assert!(!health.is_at_peace());
            tokio::time::advance(Duration::from_secs(15)).await;
            assert!(health.admit().is_ok() && health.is_at_peace());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_header_blocks_a_target_for_long() {
        let health = health();
        fail(
            &health,
            &of(429, Code::RateLimited, Some(365 * 24 * 60 * 60)),
        );
        assert_eq!(
            health.admit().unwrap_err().fault.retry_after,
            Some(Rules::default().longest_pause)
        );
        let health = self::health();
        health.fill(Duration::from_secs(365 * 24 * 60 * 60));
        let skip = health.admit().unwrap_err();
        assert_eq!(
            (skip.why, skip.fault.retry_after),
            (Why::Full, Some(Rules::default().longest_full))
        );
        assert_eq!(
            (
                skip.fault.told_code(),
                skip.fault.limit,
                skip.fault.status.as_u16()
            ),
            ("rate_limited", Some("provider"), 429)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_says_when_it_ends_is_no_breakdown() {
        let health = health();
        for _ in 0..20 {
            fail(&health, &of(429, Code::RateLimited, Some(1)));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(health.admit().is_ok());
        (0..5).for_each(|_| fail(&health, &of(429, Code::RateLimited, None)));
        assert_eq!(
            health.admit().unwrap_err().why,
            Why::Breaker,
            "one that does not say is"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_requests_and_cancels_say_nothing_of_a_target() {
        let health = health();
        for status in [400, 413, 415, 422] {
            let status = StatusCode::from_u16(status).unwrap();
            let fault = Fault {
                status,
                ..of(status.as_u16(), Code::InvalidRequest, Some(50))
            };
            (0..10).for_each(|_| fail(&health, &fault));
        }
        (0..10).for_each(|_| fail(&health, &Fault::new(Code::InternalError, "ours")));
        for code in [Code::RateLimited, Code::BudgetExceeded] {
            let cut = Fault {
                side: Side::Ours,
                ..of(429, code, Some(50))
            };
            (0..10).for_each(|_| fail(&health, &cut));
        }
        (0..10).for_each(|_| drop(health.admit().unwrap()));
        assert!(health.is_at_peace());
        for status in [401, 404, 500] {
            let health = self::health();
            (0..5).for_each(|_| fail(&health, &of(status, Code::UpstreamError, None)));
            assert!(!health.is_at_peace(), "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_in_hand_is_given_back_on_every_way() {
        let health = health();
        let (mut one, mut two, three) = (
            health.admit().unwrap(),
            health.admit().unwrap(),
            health.admit().unwrap(),
        );
        assert_eq!(health.in_hand(), 3);
        one.answered(Some(Duration::from_millis(300)));
        two.failed(&of(500, Code::UpstreamError, None));
        assert_eq!(health.in_hand(), 3, "a stream that runs is in hand");
        drop((one, two, three));
        assert_eq!(health.in_hand(), 0);
    }
}
