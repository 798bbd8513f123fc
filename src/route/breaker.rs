//! The circuit breaker of one target: closed, it admits requests; open, it refuses them for a
//! while; then it admits one request at a time as a probe, whose outcome decides.
//!
//! Invariants: pure — the caller passes the time; only failures of the target itself are recorded
//! here; a request admitted before the breaker opened changes nothing when it fails afterwards.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::jittered;
use super::rules::Rules;
use super::window::Window;
use crate::model::fault::{Fault, Side};

/// The breaker of one target.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    state: State,
    /// Consecutive failures.
    failures: u32,
    outcomes: Window<2>,
    /// Number of times it has opened without a long quiet time in between.
    times_opened: u32,
    /// Time at which it was last closed.
    closed_at: Option<Instant>,
    /// Number of probes so far.
    probes: u32,
}

#[derive(Debug)]
enum State {
    Closed,
    Open {
        until: Instant,
        /// Start of the running probe, and its number.
        probe: Option<(Instant, u32)>,
        /// The failure that opened it.
        fault: Box<Fault>,
    },
}

/// A request that was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// Admitted while the breaker was closed.
    Plain,
    /// Admitted as a probe with this number.
    Probe(u32),
}

/// A refusal by an open breaker.
#[derive(Debug)]
pub(super) struct OpenRefusal {
    /// Time until a request may be admitted.
    pub(super) left: Duration,
    /// The failure that opened it.
    pub(super) fault: Box<Fault>,
}

/// Wait reported while a probe is running.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// Indices of the counted outcomes.
const SUCCESSES: usize = 0;
const FAILURES: usize = 1;

impl Breaker {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            state: State::Closed,
            failures: 0,
            outcomes: Window::new(rules.window, now),
            times_opened: 0,
            closed_at: None,
            probes: 0,
        }
    }

    /// Returns true if it is closed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Admits a request, or refuses it.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admitted, OpenRefusal> {
        let State::Open {
            until,
            probe,
            fault,
        } = &mut self.state
        else {
            return Ok(Admitted::Plain);
        };
        // A probe that takes too long gives its place up, so that a hanging request does not keep
        // others from probing.
        let waits_until = probe.map_or(*until, |(began, _)| {
            (began + self.rules.probe_time).max(*until)
        });
        if now < waits_until {
            let left = if probe.is_some() {
                PROBE_WAIT
            } else {
                waits_until - now
            };
            return Err(OpenRefusal {
                left,
                fault: fault.clone(),
            });
        }
        self.probes = self.probes.wrapping_add(1);
        *probe = Some((now, self.probes));
        Ok(Admitted::Probe(self.probes))
    }

    /// Records an answer.
    pub(super) fn succeed(&mut self, now: Instant, pass: Admitted) {
        self.outcomes.add(now, SUCCESSES);
        self.failures = 0;
        if matches!(pass, Admitted::Probe(_)) && !self.is_closed() {
            self.state = State::Closed;
            self.closed_at = Some(now);
            self.outcomes.clear(now);
        }
    }

    /// Records a failure before the answer.
    pub(super) fn fail(&mut self, now: Instant, pass: Admitted, fault: &Fault) {
        self.outcomes.add(now, FAILURES);
        match (&self.state, pass) {
            (State::Closed, _) => self.count_failure(now, fault),
            (
                State::Open {
                    probe: Some((_, running)),
                    ..
                },
                Admitted::Probe(number),
            ) if *running == number => self.open(now, fault),
            // It began before the breaker opened, or another probe is running by now: it tells
            // nothing new.
            (State::Open { .. }, _) => {}
        }
    }

    /// Records a failure after the answer began.
    pub(super) fn fail_midway(&mut self, now: Instant, fault: &Fault) {
        self.outcomes.add(now, FAILURES);
        if self.is_closed() {
            self.count_failure(now, fault);
        }
    }

    /// Records that an admitted request ended without telling anything about the target.
    pub(super) fn abandon(&mut self, now: Instant, pass: Admitted) {
        if let (State::Open { until, probe, .. }, Admitted::Probe(number)) = (&mut self.state, pass)
            && probe.is_some_and(|(_, running)| running == number)
        {
            *probe = None;
            // The next request may probe at once.
            *until = (*until).min(now);
        }
    }

    fn count_failure(&mut self, now: Instant, fault: &Fault) {
        self.failures = self.failures.saturating_add(1);
        let [successes, failed_count] = self.outcomes.counts(now);
        let all = u64::from(successes) + u64::from(failed_count);
        let too_many = all >= u64::from(self.rules.min_outcomes)
            && u64::from(failed_count) * 100 >= all * u64::from(self.rules.failure_percent);
        if self.failures >= self.rules.consecutive_failures || too_many {
            self.open(now, fault);
        }
    }

    fn open(&mut self, now: Instant, fault: &Fault) {
        if self
            .closed_at
            .is_some_and(|at| now.saturating_duration_since(at) >= self.rules.longest_open)
        {
            self.times_opened = 0;
        }
        let span = self
            .rules
            .shortest_open
            .saturating_mul(1 << self.times_opened.min(16))
            .min(self.rules.longest_open);
        self.times_opened = self.times_opened.saturating_add(1);
        self.failures = 0;
        self.state = State::Open {
            // With jitter, so that instances do not probe together.
            until: now + jittered(span),
            probe: None,
            fault: Box::new(redacted_fault(fault, FAILED)),
        };
    }
}

/// Reasons in messages for a pause: an open breaker, …
const FAILED: &str = "the upstream has failed too often, most recently with";
/// … or an answer that asked clients to wait.
pub(super) const ASKED_TO_WAIT: &str = "the provider asked clients to wait (Retry-After) with";

/// Returns the failure as it is reported to other callers than the one that met it: without the
/// upstream's own words.
pub(super) fn redacted_fault(fault: &Fault, why: &str) -> Fault {
    let what = fault.upstream_status.map_or_else(
        || format!("`{}`", fault.code.as_str()),
        |status| format!("status {}", status.as_u16()),
    );
    let message = format!("{why} {what}: it is not asked for now, try again later");
    // A code that tells a client about its own request is meant for that client only.
    let native_code = fault
        .native_code
        .clone()
        .filter(|_| fault.side != Side::Client);
    Fault {
        message,
        native_code,
        quotes_upstream: false,
        param: None,
        native_type: None,
        upstream_request_id: None,
        retryable: true,
        ..fault.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Code;

    fn fault() -> Fault {
        Fault {
            quotes_upstream: true,
            ..Fault::new(
                Code::UpstreamError,
                "the upstream failed: cannot read 'PROMPT'",
            )
        }
    }

    struct Scenario {
        breaker: Breaker,
        now: Instant,
    }

    impl Scenario {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                breaker: Breaker::new(Rules::default(), now),
                now,
            }
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }

        fn fail(&mut self) {
            let pass = self.breaker.admit(self.now).unwrap();
            self.breaker.fail(self.now, pass, &fault());
        }

        fn succeed(&mut self) {
            let pass = self.breaker.admit(self.now).unwrap();
            self.breaker.succeed(self.now, pass);
        }

        fn open(&mut self) {
            while self.breaker.is_closed() {
                self.fail();
            }
        }

        fn left(&mut self) -> Duration {
            self.breaker.admit(self.now).unwrap_err().left
        }
    }

    #[test]
    fn consecutive_failures_open_the_breaker() {
        let mut scenario = Scenario::new();
        (0..4).for_each(|_| scenario.fail());
        scenario.succeed();
        (0..4).for_each(|_| scenario.fail());
        assert!(
            scenario.breaker.is_closed(),
            "an answer in between resets the count"
        );
        scenario.fail();
        assert!(!scenario.breaker.is_closed());
        let refused = scenario.breaker.admit(scenario.now).unwrap_err();
        assert!(
            (Duration::from_millis(1500)..=Duration::from_secs(2)).contains(&refused.left),
            "{:?}",
            refused.left
        );
        assert_eq!(refused.fault.code, Code::UpstreamError);
        assert!(
            !refused.fault.message.contains("PROMPT") && !refused.fault.quotes_upstream,
            "{}",
            refused.fault.message
        );
    }

    #[test]
    fn a_share_of_failures_opens_the_breaker_if_there_are_enough_outcomes() {
        let mut scenario = Scenario::new();
        for _ in 0..4 {
            scenario.fail();
            scenario.succeed();
        }
        assert!(scenario.breaker.is_closed(), "8 outcomes are too few");
        scenario.succeed();
        scenario.fail();
        assert!(!scenario.breaker.is_closed(), "5 of 10");
        let mut scenario = Scenario::new();
        for _ in 0..4 {
            scenario.fail();
            scenario.succeed();
        }
        scenario.pass(60);
        scenario.succeed();
        scenario.fail();
        assert!(scenario.breaker.is_closed(), "old outcomes do not count");
    }

    #[test]
    fn failures_after_the_answer_count_too() {
        let mut scenario = Scenario::new();
        for n in 0..5 {
            assert!(scenario.breaker.is_closed(), "{n}");
            scenario.succeed();
            scenario.breaker.fail_midway(scenario.now, &fault());
        }
        assert!(
            !scenario.breaker.is_closed(),
            "5 answers that broke off: 5 of 10 outcomes"
        );
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let mut scenario = Scenario::new();
        scenario.open();
        scenario.pass(3);
        let probe = scenario.breaker.admit(scenario.now).unwrap();
        assert!(matches!(probe, Admitted::Probe(_)));
        for _ in 0..50 {
            assert_eq!(scenario.left(), PROBE_WAIT);
        }
        scenario.breaker.succeed(scenario.now, probe);
        assert_eq!(
            scenario.breaker.admit(scenario.now).unwrap(),
            Admitted::Plain
        );
    }

    #[test]
    fn a_failed_probe_doubles_the_open_time_up_to_a_minute() {
        let mut scenario = Scenario::new();
        scenario.open();
        for most in [4, 8, 16, 32, 60, 60] {
            let left = scenario.left();
            scenario.now += left;
            scenario.fail();
            let left = scenario.left();
            assert!(
                left <= Duration::from_secs(most) && left >= Duration::from_secs(most) * 3 / 4,
                "{left:?} of {most}"
            );
        }
        let left = scenario.left();
        scenario.now += left;
        scenario.succeed();
        scenario.pass(61);
        scenario.open();
        assert!(
            scenario.left() <= Duration::from_secs(2),
            "after a quiet time it starts with the shortest open time"
        );
    }

    #[test]
    fn a_cancelled_or_slow_probe_lets_another_one_go() {
        let mut scenario = Scenario::new();
        scenario.open();
        scenario.pass(3);
        let first = scenario.breaker.admit(scenario.now).unwrap();
        scenario.breaker.abandon(scenario.now, first);
        let second = scenario.breaker.admit(scenario.now).unwrap();
        assert_ne!(
            first, second,
            "a cancelled probe says nothing about the target"
        );
        scenario.pass(9);
        assert_eq!(scenario.left(), PROBE_WAIT);
        scenario.pass(1);
        let third = scenario.breaker.admit(scenario.now).unwrap();
        scenario.breaker.abandon(scenario.now, second);
        assert_eq!(
            scenario.left(),
            PROBE_WAIT,
            "a probe that was replaced does not free the place of another"
        );
        scenario.breaker.succeed(scenario.now, third);
        assert!(scenario.breaker.is_closed());
    }

    #[test]
    fn failures_of_requests_from_before_the_opening_change_nothing() {
        let mut scenario = Scenario::new();
        let early: Vec<_> = (0..50)
            .map(|_| scenario.breaker.admit(scenario.now).unwrap())
            .collect();
        for pass in &early[..5] {
            scenario.breaker.fail(scenario.now, *pass, &fault());
        }
        let left = scenario.left();
        for pass in &early[5..] {
            scenario.breaker.fail(scenario.now, *pass, &fault());
            scenario.breaker.fail_midway(scenario.now, &fault());
        }
        assert_eq!(scenario.left(), left);
    }

    #[test]
    fn with_forgiving_rules_the_breaker_never_opens() {
        let mut breaker = Breaker::new(Rules::forgiving(), Instant::now());
        for _ in 0..1000 {
            breaker.fail(Instant::now(), Admitted::Plain, &fault());
        }
        assert!(breaker.is_closed());
    }
}
