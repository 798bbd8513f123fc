//! The breaker of one target: closed, it lets requests through; open, it refuses them for a while;
//! then one request at a time goes through as a probe, and what becomes of it decides.
//!
//! Invariants: pure — whoever asks brings the time; only failures that are the target's are told
//! here; what a failure before the opening comes to afterwards changes nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::jittered;
use super::rules::Rules;
use super::window::Window;
use crate::model::fault::{Fault, Side};

/// The breaker.
#[derive(Debug)]
pub(super) struct Breaker {
    rules: Rules,
    state: State,
    /// Failures behind one another.
    failures: u32,
    outcomes: Window<2>,
    /// How often it has opened, without a long quiet time between.
    opened: u32,
    /// When it was last closed.
    closed_at: Option<Instant>,
    /// Probes so far.
    probes: u32,
}

#[derive(Debug)]
enum State {
    Closed,
    Open {
        until: Instant,
        /// When a probe went out, and its number.
        probe: Option<(Instant, u32)>,
        /// What opened it.
        fault: Box<Fault>,
    },
}

/// A request that was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// While it was closed.
    Plain,
    /// As a probe, with its number.
    Probe(u32),
}

/// Why it does not let a request through.
#[derive(Debug)]
pub(super) struct Refused {
    /// Until it may.
    pub(super) left: Duration,
    /// What opened it.
    pub(super) fault: Box<Fault>,
}

/// What a probe that is under way leaves to wait for, at the least.
const SOON: Duration = Duration::from_secs(1);

/// The outcomes that are counted.
const GOOD: usize = 0;
const BAD: usize = 1;

impl Breaker {
    pub(super) fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            state: State::Closed,
            failures: 0,
            outcomes: Window::new(rules.window, now),
            opened: 0,
            closed_at: None,
            probes: 0,
        }
    }

    /// True where nothing is in anybody's way.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// May a request go through?
    pub(super) fn admit(&mut self, now: Instant) -> Result<Pass, Refused> {
        let State::Open {
            until,
            probe,
            fault,
        } = &mut self.state
        else {
            return Ok(Pass::Plain);
        };
        let waits_until = probe.map_or(*until, |(began, _)| (began + self.rules.probe).max(*until));
        if now < waits_until {
            let left = if probe.is_some() {
                SOON
            } else {
                waits_until - now
            };
            return Err(Refused {
                left,
                fault: fault.clone(),
            });
        }
        self.probes = self.probes.wrapping_add(1);
        *probe = Some((now, self.probes));
        Ok(Pass::Probe(self.probes))
    }

    /// It has answered.
    pub(super) fn succeed(&mut self, now: Instant, pass: Pass) {
        self.outcomes.add(now, GOOD);
        self.failures = 0;
        if matches!(pass, Pass::Probe(_)) && !self.is_closed() {
            self.state = State::Closed;
            self.closed_at = Some(now);
            self.outcomes.clear(now);
        }
    }

    /// It has failed before it answered.
    pub(super) fn fail(&mut self, now: Instant, pass: Pass, fault: &Fault) {
        self.outcomes.add(now, BAD);
        match (&self.state, pass) {
            (State::Closed, _) => self.failed(now, fault),
            (
                State::Open {
                    probe: Some((_, running)),
                    ..
                },
                Pass::Probe(number),
            ) if *running == number => self.open(now, fault),
            // It began before the opening, or others probe by now: nothing new.
            (State::Open { .. }, _) => {}
        }
    }

    /// It has failed after it had answered.
    pub(super) fn fail_midway(&mut self, now: Instant, fault: &Fault) {
        self.outcomes.add(now, BAD);
        if self.is_closed() {
            self.failed(now, fault);
        }
    }

    /// What was let through came to nothing that says anything of the target.
    pub(super) fn abandon(&mut self, now: Instant, pass: Pass) {
        if let (State::Open { until, probe, .. }, Pass::Probe(number)) = (&mut self.state, pass)
            && probe.is_some_and(|(_, running)| running == number)
        {
            *probe = None;
            *until = (*until).min(now);
        }
    }

    fn failed(&mut self, now: Instant, fault: &Fault) {
        self.failures = self.failures.saturating_add(1);
        let [good, bad] = self.outcomes.counts(now);
        let all = u64::from(good) + u64::from(bad);
        let too_many = all >= u64::from(self.rules.least)
            && u64::from(bad) * 100 >= all * u64::from(self.rules.percent);
        if self.failures >= self.rules.consecutive || too_many {
            self.open(now, fault);
        }
    }

    fn open(&mut self, now: Instant, fault: &Fault) {
        if self
            .closed_at
            .is_some_and(|at| now.saturating_duration_since(at) >= self.rules.longest)
        {
            self.opened = 0;
        }
        let span = self
            .rules
            .shortest
            .saturating_mul(1 << self.opened.min(16))
            .min(self.rules.longest);
        self.opened = self.opened.saturating_add(1);
        self.failures = 0;
        self.state = State::Open {
            until: now + jittered(span),
            probe: None,
            fault: Box::new(told_of(fault, FAILED)),
        };
    }
}

/// Why nobody is asked: by a breaker, …
const FAILED: &str = "the upstream has failed too often, last with";
/// … by an answer that said when to come back.
pub(super) const ASKED_TO_WAIT: &str = "the upstream wants to be left alone, as it said with";

/// What is kept of a failure, to be told to others than the one who met it: never an upstream's own
/// words.
pub(super) fn told_of(fault: &Fault, why: &str) -> Fault {
    let what = fault.upstream_status.map_or_else(
        || format!("`{}`", fault.code.as_str()),
        |status| format!("status {}", status.as_u16()),
    );
    let message = format!("{why} {what}: it is not asked for a while");
    // The words of a refusal that tells a client of its own request are that client's.
    let native_code = fault
        .native_code
        .clone()
        .filter(|_| fault.side != Side::Client);
    Fault {
        message,
        native_code,
        quotes: false,
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
            quotes: true,
            ..Fault::new(
                Code::UpstreamError,
                "the upstream failed: cannot read 'PROMPT'",
            )
        }
    }

    struct Scene {
        breaker: Breaker,
        now: Instant,
    }

    impl Scene {
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
    fn failures_behind_one_another_open_it() {
        let mut scene = Scene::new();
        (0..4).for_each(|_| scene.fail());
        scene.succeed();
        (0..4).for_each(|_| scene.fail());
        assert!(
            scene.breaker.is_closed(),
            "an answer between them begins the count anew"
        );
        scene.fail();
        assert!(!scene.breaker.is_closed());
        let refused = scene.breaker.admit(scene.now).unwrap_err();
        assert!(
            (Duration::from_millis(1500)..=Duration::from_secs(2)).contains(&refused.left),
            "{:?}",
            refused.left
        );
        assert_eq!(refused.fault.code, Code::UpstreamError);
        assert!(
            !refused.fault.message.contains("PROMPT") && !refused.fault.quotes,
            "{}",
            refused.fault.message
        );
    }

    #[test]
    fn a_share_of_failures_opens_it_where_there_are_enough() {
        let mut scene = Scene::new();
        for _ in 0..4 {
            scene.fail();
            scene.succeed();
        }
        assert!(scene.breaker.is_closed(), "8 outcomes are too few");
        scene.succeed();
        scene.fail();
        assert!(!scene.breaker.is_closed(), "5 of 10");
        let mut scene = Scene::new();
        for _ in 0..4 {
            scene.fail();
            scene.succeed();
        }
        scene.pass(60);
        scene.succeed();
        scene.fail();
        assert!(scene.breaker.is_closed(), "what is old does not count");
    }

    #[test]
    fn breaking_off_counts_too() {
        let mut scene = Scene::new();
        for n in 0..5 {
            assert!(scene.breaker.is_closed(), "{n}");
            scene.succeed();
            scene.breaker.fail_midway(scene.now, &fault());
        }
        assert!(
            !scene.breaker.is_closed(),
            "5 answers, all of which broke off: 5 of 10 outcomes"
        );
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let mut scene = Scene::new();
        scene.open();
        scene.pass(3);
        let probe = scene.breaker.admit(scene.now).unwrap();
        assert!(matches!(probe, Pass::Probe(_)));
        for _ in 0..50 {
            assert_eq!(scene.left(), SOON);
        }
        scene.breaker.succeed(scene.now, probe);
        assert_eq!(scene.breaker.admit(scene.now).unwrap(), Pass::Plain);
    }

    #[test]
    fn a_failed_probe_opens_it_for_longer_up_to_a_minute() {
        let mut scene = Scene::new();
        scene.open();
        for most in [4, 8, 16, 32, 60, 60] {
            let left = scene.left();
            scene.now += left;
            scene.fail();
            let left = scene.left();
            assert!(
                left <= Duration::from_secs(most) && left >= Duration::from_secs(most) * 3 / 4,
                "{left:?} of {most}"
            );
        }
        let left = scene.left();
        scene.now += left;
        scene.succeed();
        scene.pass(61);
        scene.open();
        assert!(
            scene.left() <= Duration::from_secs(2),
            "after a quiet time it begins again"
        );
    }

    #[test]
    fn a_probe_that_is_cancelled_or_takes_long_leaves_its_place() {
        let mut scene = Scene::new();
        scene.open();
        scene.pass(3);
        let first = scene.breaker.admit(scene.now).unwrap();
        scene.breaker.abandon(scene.now, first);
        let second = scene.breaker.admit(scene.now).unwrap();
        assert_ne!(first, second, "cancelled, it says nothing of the target");
        scene.pass(9);
        assert_eq!(scene.left(), SOON);
        scene.pass(1);
        let third = scene.breaker.admit(scene.now).unwrap();
        scene.breaker.abandon(scene.now, second);
        assert_eq!(
            scene.left(),
            SOON,
            "one that is no longer waited for frees nobody's place"
        );
        scene.breaker.succeed(scene.now, third);
        assert!(scene.breaker.is_closed());
    }

    #[test]
    fn failures_of_requests_that_began_before_the_opening_change_nothing() {
        let mut scene = Scene::new();
        let early: Vec<_> = (0..50)
            .map(|_| scene.breaker.admit(scene.now).unwrap())
            .collect();
        for pass in &early[..5] {
            scene.breaker.fail(scene.now, *pass, &fault());
        }
        let left = scene.left();
        for pass in &early[5..] {
            scene.breaker.fail(scene.now, *pass, &fault());
            scene.breaker.fail_midway(scene.now, &fault());
        }
        assert_eq!(scene.left(), left);
    }

    #[test]
    fn without_rules_it_never_opens() {
        let mut breaker = Breaker::new(Rules::forgiving(), Instant::now());
        for _ in 0..1000 {
            breaker.fail(Instant::now(), Pass::Plain, &fault());
        }
        assert!(breaker.is_closed());
    }
}
