//! Asks the targets of a plan in their order until one gives its first content: one after the
//! other, and, where the route hedges, a second one beside a first that takes too long.
//!
//! Invariants:
//! - At most two targets are asked at a time, and never the same one twice.
//! - Of two, the first to give content wins, and the other request is dropped at that moment.
//! - A cancel drops both.
//! - A target that must not be asked now counts as failed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

use super::Ending;
use super::attempt::is_whole;
use super::closing::Accounting;
use super::lane::{FinishedLane, NoAnswer, Opened, TargetLane};
use super::opening::Opening;
use super::verdict::Verdict;
use crate::limits::{self, Pass};
use crate::model::fault::Fault;
use crate::model::route_trace::{SkipReason, TargetOutcome};
use crate::model::target::Via;
use crate::route::{Candidate, Permit};

impl Opening<'_> {
    /// Returns the first answer that has content.
    ///
    /// # Errors
    /// Returns the ending of the generation when there is none: cancelled, or failed with the fault
    /// of the last target.
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
                if !race.start_next(accounting, pass, false) {
                    return Err(Ending::Failed(
                        std::mem::take(&mut race.verdict).fault(),
                        None,
                    ));
                }
                // A request is hedged at most once, and only when its first target streams: an
                // answer in one body always takes long.
                hedge = hedge.filter(|_| race.streams());
                alarm
                    .as_mut()
                    .reset(Instant::now() + hedge.unwrap_or_default());
            }
            match poll_fn(|cx| race.poll(hedge.is_some(), alarm.as_mut(), cx)).await {
                RaceEvent::Alarm => {
                    hedge = None;
                    // Check for a remaining target first: `may_hedge` takes from the hedge budget.
                    if race.left.is_empty() || !self.plan.stats.may_hedge() {
                        continue;
                    }
                    // If no further target can be asked, the race goes on with the first one.
                    race.start_next(accounting, pass, true);
                }
                RaceEvent::Finished(finished, share) => {
                    if let Some(opened) = race.record(*finished, share, accounting, pass) {
                        return opened;
                    }
                }
            }
        }
    }
}

/// The progress through the plan. Dropping it drops the requests in progress and records their
/// outcome in the route trace.
struct Race<'a> {
    opening: &'a Opening<'a>,
    /// Targets not yet considered.
    left: std::collections::VecDeque<&'a Arc<Candidate>>,
    lanes: [Option<TargetLane<'a>>; 2],
    verdict: Verdict,
    /// The outcome recorded for requests still in progress when this is dropped.
    outcome: TargetOutcome,
}

/// An event that advances the race.
enum RaceEvent {
    /// The first target is slower than the hedge delay.
    Alarm,
    Finished(Box<FinishedLane>, limits::ProviderPass),
}

impl<'a> Race<'a> {
    fn new(opening: &'a Opening<'a>) -> Self {
        Self {
            opening,
            left: opening.plan.candidates().collect(),
            lanes: [None, None],
            verdict: Verdict::default(),
            outcome: TargetOutcome::Cancelled,
        }
    }

    fn is_idle(&self) -> bool {
        self.lanes.iter().all(Option::is_none)
    }

    /// Returns true when every target being asked streams its answer.
    fn streams(&self) -> bool {
        let whole = |lane: &TargetLane<'_>| {
            matches!(
                lane.candidate.target.provider.via,
                Via::Http { wire, .. } if is_whole(self.opening.ask, wire)
            )
        };
        !self.lanes.iter().flatten().any(whole)
    }

    /// Starts the next target that can be asked; returns false when there is none.
    fn start_next(&mut self, accounting: &Accounting, pass: &mut Pass, hedge: bool) -> bool {
        while !self.verdict.is_over()
            && let Some(candidate) = self.left.pop_front()
        {
            // A plan may name a target twice; two parallel requests to one target are never useful.
            let same =
                |lane: &TargetLane<'_>| Arc::ptr_eq(&lane.candidate.health, &candidate.health);
            if self.lanes.iter().flatten().any(same) {
                continue;
            }
            match (
                admit(candidate, pass),
                self.lanes.iter_mut().find(|slot| slot.is_none()),
            ) {
                (Ok(rights), Some(slot)) => {
                    // From here on the prompt is charged, whatever the upstream does.
                    pass.mark_asked();
                    *slot = Some(TargetLane::new(
                        self.opening,
                        candidate,
                        rights,
                        hedge,
                        // Each lane counts for itself; `record` adopts the figures of a lane that
                        // ends.
                        accounting.fork(),
                    ));
                    self.opening.lanes.fetch_add(1, Ordering::Relaxed);
                    return true;
                }
                (Ok(_), None) => return false,
                (Err((why, fault)), _) => {
                    self.opening.stream.add_trace_step(
                        &candidate.target,
                        hedge,
                        TargetOutcome::Skipped(why),
                    );
                    self.verdict.skipped(fault);
                }
            }
        }
        false
    }

    /// Records the result of one target. Returns `None` when the next one should be asked.
    fn record(
        &mut self,
        finished: FinishedLane,
        mut share: limits::ProviderPass,
        accounting: &mut Accounting,
        pass: &mut Pass,
    ) -> Option<Result<Opened, Ending>> {
        let asked = finished.accounting.target.is_some();
        accounting.adopt(finished.accounting);
        match finished.result {
            Ok(opened) => {
                // The winner is settled with the pass, like every other limit.
                pass.keep(share);
                return Some(Ok(opened));
            }
            Err(NoAnswer::Cancelled(ending)) => {
                // The usage until the cancel is charged to the limits of the provider too.
                pass.keep(share);
                return Some(Err(ending));
            }
            Err(NoAnswer::Failed(fault)) => {
                // A failure before the request was sent, such as a missing credential, takes
                // nothing from the limits of the provider.
                if asked {
                    share.mark_asked();
                }
                self.verdict.failed(fault);
            }
            Err(NoAnswer::Unfit(fault)) => self.verdict.unfit(fault),
        }
        None
    }

    fn poll(
        &mut self,
        hedges: bool,
        alarm: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<RaceEvent> {
        // In the order of their start: if both have answered, the earlier one wins.
        for slot in &mut self.lanes {
            let Some(lane) = slot else { continue };
            if let Poll::Ready(finished) = lane.run.as_mut().poll(cx) {
                let outcome = finished
                    .result
                    .as_ref()
                    .map_or_else(NoAnswer::outcome, |_| TargetOutcome::Answered);
                self.opening
                    .stream
                    .finish_trace_step(lane.step, outcome, lane.began.elapsed());
                self.opening.lanes.fetch_sub(1, Ordering::Relaxed);
                // A request still in progress has lost the race, rather than been cancelled.
                if outcome == TargetOutcome::Answered {
                    self.outcome = TargetOutcome::Lost;
                }
                if let Some(lane) = slot.take() {
                    return Poll::Ready(RaceEvent::Finished(Box::new(finished), lane.share));
                }
            }
        }
        // After the lanes: an answer that arrives together with the alarm needs no second request.
        if hedges && alarm.poll(cx).is_ready() {
            Poll::Ready(RaceEvent::Alarm)
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Race<'_> {
    fn drop(&mut self) {
        // Record the elapsed time of the loser as a lower bound: without it, the p95 would never
        // include the slowest targets.
        let slow = self.outcome == TargetOutcome::Lost && self.streams();
        for mut lane in self.lanes.iter_mut().filter_map(Option::take) {
            // The provider has the request, or part of it, so it counts against the request limit.
            // Its usage is unknown and charged to nobody.
            lane.share.mark_asked();
            self.opening
                .stream
                .finish_trace_step(lane.step, self.outcome, lane.began.elapsed());
            if slow {
                self.opening.plan.observe(lane.began.elapsed());
            }
        }
    }
}

/// Admits a request to a target: its health first, then the limits of its provider.
fn admit(
    candidate: &Arc<Candidate>,
    pass: &mut Pass,
) -> Result<(Permit, limits::ProviderPass), (SkipReason, Box<Fault>)> {
    // The breaker first: a target it blocks must not take from the limits of its provider.
    let permit = candidate
        .health
        .admit()
        .map_err(|skip| (skip.why, skip.fault))?;
    let share = pass
        .provider_pass(&candidate.target.provider.name)
        .map_err(|full| (SkipReason::Limit, full))?;
    Ok((permit, share))
}
