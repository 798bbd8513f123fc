//! One target of a plan: asked, asked again as often as it may be, until it has answered or is
//! given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Ending;
use super::attempt::PreparedRequest;
use super::closing::Accounting;
use super::live::Live;
use super::open::{Opening, unless_cancelled};
use crate::hub::UpstreamState;
use crate::limits;
use crate::model::fault::{Code, Fault, Side};
use crate::model::route_trace::{TargetOutcome, Why};
use crate::model::target::{Target, Via};
use crate::route::{Candidate, Permit, wait_before};
use crate::wire;

/// A target that wants more time than this is not waited for: the next one is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// An answer that has begun.
pub(super) struct Opened {
    pub(super) live: Box<Live>,
    /// Its place at the target: kept until it has ended.
    pub(super) permit: Permit,
}

/// A target being asked. Dropped, its request is dropped with it.
pub(super) struct Lane<'a> {
    /// Its step in the trail.
    pub(super) step: usize,
    pub(super) began: Instant,
    pub(super) candidate: Arc<Candidate>,
    /// What it draws on of its provider's limits.
    pub(super) share: limits::Lane,
    pub(super) run: Pin<Box<dyn Future<Output = Finished> + Send + 'a>>,
}

/// How a lane came to its end.
pub(super) struct Finished {
    pub(super) accounting: Accounting,
    pub(super) result: Result<Opened, Setback>,
}

/// Why a target has given no answer.
pub(super) enum Setback {
    /// It has failed.
    Failed(Box<Fault>),
    /// The request cannot be said in its words.
    Unfit(Box<Fault>),
    /// Nobody wants an answer any more.
    Cancelled(Ending),
}

impl<'a> Lane<'a> {
    /// Begins to ask a target; nothing happens before it is polled.
    pub(super) fn new(
        open: &'a Opening<'a>,
        candidate: &Arc<Candidate>,
        rights: (Permit, limits::Lane),
        hedge: bool,
        mut accounting: Accounting,
    ) -> Self {
        let (permit, share) = rights;
        let step = open
            .stream
            .step(&candidate.target, hedge, TargetOutcome::Asked);
        let asked = candidate.clone();
        accounting.step = step;
        let run = Box::pin(async move {
            let result = open.ask_target(&asked, permit, &mut accounting).await;
            Finished { accounting, result }
        });
        Self {
            step,
            began: Instant::now(),
            candidate: candidate.clone(),
            share,
            run,
        }
    }
}

impl Opening<'_> {
    /// One target, asked again as often as the plan, the route's budget and the target itself
    /// allow.
    async fn ask_target(
        &self,
        candidate: &Arc<Candidate>,
        mut permit: Permit,
        accounting: &mut Accounting,
    ) -> Result<Opened, Setback> {
        let (mut retries, mut learned) = (0, false);
        loop {
            let prepared = PreparedRequest::of(self.ask, &candidate.target)
                .map_err(|fault| Setback::Unfit(Box::new(fault)))?;
            let began = Instant::now();
            let mut fault = match self.attempt(candidate, prepared, accounting).await {
                Ok(live) => return Ok(self.opened(live, permit, began)),
                Err(Ending::Failed(fault, _)) => fault,
                Err(cancelled) => return Err(Setback::Cancelled(cancelled)),
            };
            permit.failed(&fault);
            if !self.is_hedged() {
                self.stream.set_upstream(UpstreamState::Closed);
            }
            self.note(&candidate.target, &fault);
            if !learned && self.learn(&candidate.target, &fault) {
                learned = true;
            } else if let Some(wait) = self.retry_wait(retries, &fault) {
                let waited = unless_cancelled(&self.stream, tokio::time::sleep(wait)).await;
                waited.map_err(|cause| Setback::Cancelled(cause.into()))?;
                retries += 1;
            } else {
                fault.final_here = fault.final_here || retries > 0;
                return Err(Setback::Failed(fault));
            }
            // Others may have found out meanwhile that it is not to be asked.
            permit = match candidate.health.admit() {
                Ok(permit) => permit,
                Err(_) => return Err(Setback::Failed(fault)),
            };
        }
    }

    /// True where the request was refused for a wish of ours that can be left out: it is asked
    /// again without.
    fn learn(&self, target: &Target, fault: &Fault) -> bool {
        let Via::Http { wire, .. } = &target.provider.via else {
            return false;
        };
        let learned = self.ask.shape != Some(*wire) && wire::of(*wire).learn(fault, target);
        if learned {
            let (stream, provider) = (self.stream.id().as_str(), &*target.provider.name);
            tracing::info!(
                stream,
                provider,
                "the provider refuses what we wished for besides: it is asked again without, from now on"
            );
        }
        learned
    }

    /// The wait before the same target is asked again, if it is: not where another one is asked
    /// already.
    fn retry_wait(&self, retries: u32, fault: &Fault) -> Option<Duration> {
        if !fault.retryable || retries >= self.plan.retries || self.is_hedged() {
            return None;
        }
        let wait = wait_before(retries, fault.retry_after);
        (wait <= PATIENCE && self.plan.stats.may_retry()).then_some(wait)
    }

    /// An answer has begun: by its first content, or as what was held of it is let go.
    fn opened(&self, live: Box<Live>, mut permit: Permit, began: Instant) -> Opened {
        // How long a whole answer takes says nothing of the first token of a streamed one.
        let streamed = !(live.done && live.route.raw && !self.ask.stream);
        let took = Some(began.elapsed()).filter(|_| live.decided && streamed);
        permit.answered(took);
        if let Some(took) = took {
            self.plan.observe(took);
        }
        Opened { live, permit }
    }

    /// Two targets are asked at this moment.
    fn is_hedged(&self) -> bool {
        self.lanes.load(Ordering::Relaxed) > 1
    }

    /// The operator's word of a failed attempt. An upstream's own words may repeat the prompt: they
    /// are left out.
    fn note(&self, target: &Target, fault: &Fault) {
        let (stream, provider, model) = (
            self.stream.id().as_str(),
            &*target.provider.name,
            &*target.model,
        );
        if fault.code == Code::UpstreamAuth && fault.side == Side::Upstream {
            tracing::error!(
                stream,
                provider,
                model,
                "the provider refuses our credential: check its api_key, or whose rights it has"
            );
            return;
        }
        let (code, status, request) = (
            fault.code.as_str(),
            fault.status.as_u16(),
            fault.upstream_request_id.as_deref(),
        );
        tracing::warn!(
            stream,
            provider,
            model,
            code,
            status,
            upstream_request_id = request,
            message = loggable(fault),
            "attempt failed"
        );
    }
}

/// What a log may say of a fault: our own words.
fn loggable(fault: &Fault) -> &str {
    if fault.quotes {
        "the upstream said why, to the client alone"
    } else {
        &fault.message
    }
}

impl Setback {
    /// What it is called in the trail.
    pub(super) fn outcome(&self) -> TargetOutcome {
        match self {
            Self::Failed(fault) => TargetOutcome::Failed(fault.code.as_str()),
            Self::Unfit(_) => TargetOutcome::Skipped(Why::Unfit),
            Self::Cancelled(_) => TargetOutcome::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::wire::refusal;

    #[test]
    fn what_an_upstream_said_is_in_no_log() {
        for status in [400, 429, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let said = Some("cannot read 'PROMPT'".to_owned());
            let fault = refusal::fault(status, &HeaderMap::new(), said, None, None, None);
            assert!(
                fault.message.contains("PROMPT") && !loggable(&fault).contains("PROMPT"),
                "{status}"
            );
            let silent = refusal::fault(status, &HeaderMap::new(), None, None, None, None);
            assert_eq!(loggable(&silent), silent.message);
        }
    }
}
