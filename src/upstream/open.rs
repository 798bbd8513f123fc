//! The targets of a plan in their order, until one of them gives its first content: one after the
//! other, and where the route says so a second one beside a first that takes too long.
//!
//! Invariants: never more than two targets are asked at a time, never the same one twice; of two
//! the first with a first content wins, and the other's request is dropped at that moment; whoever
//! cancels has all of them dropped; a target that is not to be asked now counts as failed.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::AttemptContext;
use super::attempt::{PreparedRequest, is_whole};
use super::client::Clients;
use super::closing::Accounting;
use super::lane::{Finished, Lane, Opened, Setback};
use super::live::Live;
use super::recorder::{Recorder, Secrets};
use super::verdict::Verdict;
use super::{Ending, attempt};
use crate::hub::{Cause, Stream};
use crate::limits::{self, Pass};
use crate::model::ask::Ask;
use crate::model::route_trace::{TargetOutcome, Why};
use crate::model::target::{Target, Via};
use crate::route::{Candidate, Plan};

/// What is needed to open an answer.
pub(super) struct Opening<'a> {
    pub(super) ask: &'a Arc<Ask>,
    pub(super) plan: &'a Plan,
    pub(super) clients: &'a Clients,
    pub(super) recorder: &'a Recorder,
    pub(super) stream: Arc<Stream>,
    /// When what is held before the first content is let go.
    release: Instant,
    /// How many targets are asked at this moment.
    pub(super) lanes: AtomicU8,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        ask: &'a Arc<Ask>,
        plan: &'a Plan,
        clients: &'a Clients,
        recorder: &'a Recorder,
        stream: Arc<Stream>,
        commit_after: Duration,
    ) -> Self {
        Self {
            ask,
            plan,
            clients,
            recorder,
            stream,
            release: Instant::now() + commit_after,
            lanes: AtomicU8::new(0),
        }
    }

    /// The first answer that has content.
    ///
    /// # Errors
    /// How the generation ends without one: cancelled, or with the last target's failure.
    pub(super) async fn open(
        &self,
        accounting: &mut Accounting,
        pass: &mut Pass,
    ) -> Result<Opened, Ending> {
        self.plan.stats.begin();
        let mut race = Race::new(self);
        let mut alarm = pin!(sleep_until(Instant::now()));
        let mut hedge = self.plan.hedge_wait();
        loop {
            if race.is_idle() {
                if !race.begin(accounting, pass, false) {
                    return Err(Ending::Failed(
                        std::mem::take(&mut race.verdict).fault(),
                        None,
                    ));
                }
                // One request is hedged once at the most, and where its first target answers in
                // pieces.
                hedge = hedge.filter(|_| race.streams());
                alarm
                    .as_mut()
                    .reset(Instant::now() + hedge.unwrap_or_default());
            }
            match poll_fn(|cx| race.poll(hedge.is_some(), alarm.as_mut(), cx)).await {
                Woke::Alarm => {
                    hedge = None;
                    if race.left.is_empty() || !self.plan.stats.may_hedge() {
                        continue;
                    }
                    race.begin(accounting, pass, true);
                }
                Woke::Finished(finished, share) => {
                    if let Some(opened) = race.end(*finished, share, accounting, pass) {
                        return opened;
                    }
                }
            }
        }
    }

    /// Asks a target once, unless the stream is cancelled by now. Cancelled while it is asked, the
    /// attempt says what is left of its request; where it does not, all of it is dropped.
    pub(super) async fn attempt(
        &self,
        candidate: &Candidate,
        prepared: PreparedRequest,
        accounting: &mut Accounting,
    ) -> Result<Box<Live>, Ending> {
        if let Some(cause) = self.stream.cancelled() {
            return Err(cause.into());
        }
        let mut attempt = pin!(attempt::attempt(
            self,
            candidate,
            prepared,
            self.release,
            accounting
        ));
        poll_fn(|cx| {
            let cancelled = self.stream.poll_cancelled(cx);
            match (attempt.as_mut().poll(cx), cancelled) {
                (Poll::Pending, Poll::Ready(cause)) => Poll::Ready(Err(cause.into())),
                (polled, _) => polled,
            }
        })
        .await
    }

    /// What a request to this target is about.
    pub(super) fn context(&self, target: &Target) -> AttemptContext {
        AttemptContext {
            ask: self.ask.clone(),
            stream: self.stream.clone(),
            target: target.clone(),
            recorder: self.recorder.clone(),
            secrets: Secrets::default(),
        }
    }
}

/// How far the plan was gone through. Dropped, it drops what is under way, and says so in the
/// trail.
struct Race<'a> {
    open: &'a Opening<'a>,
    /// Those not looked at yet.
    left: std::collections::VecDeque<&'a Arc<Candidate>>,
    lanes: [Option<Lane<'a>>; 2],
    verdict: Verdict,
    /// What became of those that are still under way when it is dropped.
    outcome: TargetOutcome,
}

/// What a course woke for.
enum Woke {
    /// The first target takes too long.
    Alarm,
    Finished(Box<Finished>, limits::Lane),
}

impl<'a> Race<'a> {
    fn new(open: &'a Opening<'a>) -> Self {
        Self {
            open,
            left: open.plan.candidates().collect(),
            lanes: [None, None],
            verdict: Verdict::default(),
            outcome: TargetOutcome::Cancelled,
        }
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(Option::is_none)
    }

    /// The target that is asked streams its answer.
    fn streams(&self) -> bool {
        let whole = |lane: &Lane<'_>| matches!(lane.candidate.target.provider.via, Via::Http { wire, .. } if is_whole(self.open.ask, wire));
        !self.lanes.iter().flatten().any(whole)
    }

    /// Begins to ask the next target that can be asked; false where there is none.
    fn begin(&mut self, accounting: &Accounting, pass: &mut Pass, hedge: bool) -> bool {
        while !self.verdict.is_over()
            && let Some(candidate) = self.left.pop_front()
        {
            let same = |lane: &Lane<'_>| Arc::ptr_eq(&lane.candidate.health, &candidate.health);
            if self.lanes.iter().flatten().any(same) {
                continue;
            }
            let admitted = candidate
                .health
                .admit()
                .map_err(|skip| (skip.why, skip.fault))
                .and_then(|permit| {
                    let share = pass
                        .lane(&candidate.target.provider.name)
                        .map_err(|full| (Why::Limit, full))?;
                    Ok((permit, share))
                });
            match (
                admitted,
                self.lanes.iter_mut().find(|place| place.is_none()),
            ) {
                (Ok(rights), Some(place)) => {
                    pass.asked();
                    *place = Some(Lane::new(
                        self.open,
                        candidate,
                        rights,
                        hedge,
                        accounting.fork(),
                    ));
                    self.open.lanes.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                (Ok(_), None) => return false,
                (Err((why, fault)), _) => {
                    self.open
                        .stream
                        .step(&candidate.target, hedge, TargetOutcome::Skipped(why));
                    self.verdict.skipped(fault);
                }
            }
        }
        false
    }

    /// Takes in how asking a target ended; `None` where the next one is to be asked.
    fn end(
        &mut self,
        finished: Finished,
        mut share: limits::Lane,
        accounting: &mut Accounting,
        pass: &mut Pass,
    ) -> Option<Result<Opened, Ending>> {
        let asked = finished.accounting.target.is_some();
        accounting.adopt(finished.accounting);
        match finished.result {
            Ok(opened) => {
                pass.keep(share);
                return Some(Ok(opened));
            }
            Err(Setback::Cancelled(ending)) => {
                pass.keep(share);
                return Some(Err(ending));
            }
            Err(Setback::Failed(fault)) => {
                if asked {
                    share.asked();
                }
                self.verdict.failed(fault);
            }
            Err(Setback::Unfit(fault)) => self.verdict.unfit(fault),
        }
        None
    }

    fn poll(&mut self, hedges: bool, alarm: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Woke> {
        for place in &mut self.lanes {
            let Some(lane) = place else { continue };
            if let Poll::Ready(finished) = lane.run.as_mut().poll(cx) {
                let outcome = finished
                    .result
                    .as_ref()
                    .map_or_else(Setback::outcome, |_| TargetOutcome::Answered);
                self.open
                    .stream
                    .step_over(lane.step, outcome, lane.began.elapsed());
                self.open.lanes.fetch_sub(1, Ordering::Relaxed);
                if outcome == TargetOutcome::Answered {
                    self.outcome = TargetOutcome::Lost;
                }
                if let Some(lane) = place.take() {
                    return Poll::Ready(Woke::Finished(Box::new(finished), lane.share));
                }
            }
        }
        if hedges && alarm.poll(cx).is_ready() {
            Poll::Ready(Woke::Alarm)
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Race<'_> {
    fn drop(&mut self) {
        // Who has lost would have taken longer: without it the slowest would never be seen.
        let slow = self.outcome == TargetOutcome::Lost && self.streams();
        for mut lane in self.lanes.iter_mut().filter_map(Option::take) {
            // Its provider has the request, if not always all of it; what it used is not known, and
            // charged to nobody.
            lane.share.asked();
            self.open
                .stream
                .step_over(lane.step, self.outcome, lane.began.elapsed());
            if slow {
                self.open.plan.observe(lane.began.elapsed());
            }
        }
    }
}

/// Does something unless the stream is cancelled first; then what was begun is dropped.
pub(super) async fn unless_cancelled<T>(
    stream: &Stream,
    doing: impl Future<Output = T>,
) -> Result<T, Cause> {
    let mut doing = pin!(doing);
    poll_fn(|cx| match stream.poll_cancelled(cx) {
        Poll::Ready(cause) => Poll::Ready(Err(cause)),
        Poll::Pending => doing.as_mut().poll(cx).map(Ok),
    })
    .await
}

impl From<Cause> for Ending {
    fn from(cause: Cause) -> Self {
        Self::Cancelled(cause, None)
    }
}
