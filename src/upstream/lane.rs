//! Asks one target of a plan, with retries, until it has answered or is given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Ending;
use super::attempt::PreparedRequest;
use super::closing::Accounting;
use super::live::LiveAnswer;
use super::opening::{Opening, unless_cancelled};
use crate::hub::UpstreamState;
use crate::limits;
use crate::model::fault::{Code, Fault, Side};
use crate::model::route_trace::{SkipReason, TargetOutcome};
use crate::model::target::{Target, Via};
use crate::route::{Candidate, Permit, retry_wait};
use crate::wire;

/// Maximum wait before a retry of the same target; if it asks for more, the next target is asked.
const MAX_RETRY_WAIT: Duration = Duration::from_secs(2);

/// An answer that has started.
pub(super) struct Opened {
    pub(super) live: Box<LiveAnswer>,
    /// Permit of the target; held until the answer has ended.
    pub(super) permit: Permit,
}

/// A target being asked. Dropping it drops the request.
pub(super) struct TargetLane<'a> {
    /// Number of its step in the route trace.
    pub(super) step: usize,
    pub(super) began: Instant,
    pub(super) candidate: Arc<Candidate>,
    /// Reservation in the limits of its provider.
    pub(super) share: limits::ProviderPass,
    pub(super) run: Pin<Box<dyn Future<Output = FinishedLane> + Send + 'a>>,
}

/// The result of a lane.
pub(super) struct FinishedLane {
    pub(super) accounting: Accounting,
    pub(super) result: Result<Opened, NoAnswer>,
}

/// The reason why a target gave no answer.
pub(super) enum NoAnswer {
    /// The request failed.
    Failed(Box<Fault>),
    /// The wire of the target cannot express the request.
    Unfit(Box<Fault>),
    /// The stream was cancelled.
    Cancelled(Ending),
}

impl<'a> TargetLane<'a> {
    /// Creates the lane of a target. Nothing happens before it is polled.
    pub(super) fn new(
        opening: &'a Opening<'a>,
        candidate: &Arc<Candidate>,
        rights: (Permit, limits::ProviderPass),
        hedge: bool,
        mut accounting: Accounting,
    ) -> Self {
        let (permit, share) = rights;
        let step = opening
            .stream
            .add_trace_step(&candidate.target, hedge, TargetOutcome::Asked);
        let asked = candidate.clone();
        accounting.step = step;
        let run = Box::pin(async move {
            let result = opening.ask_target(&asked, permit, &mut accounting).await;
            FinishedLane { accounting, result }
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
    /// Asks one target, with as many retries as the plan, the retry budget of the route and the
    /// target allow.
    async fn ask_target(
        &self,
        candidate: &Arc<Candidate>,
        mut permit: Permit,
        accounting: &mut Accounting,
    ) -> Result<Opened, NoAnswer> {
        let (mut retries, mut learned) = (0, false);
        loop {
            // Drafted again for each attempt: what was learned from a rejection changes the draft.
            let prepared = PreparedRequest::new(self.ask, candidate)
                .map_err(|fault| NoAnswer::Unfit(Box::new(fault)))?;
            let began = Instant::now();
            let mut fault = match self.attempt(candidate, prepared, accounting).await {
                Ok(live) => return Ok(self.report_opened(live, permit, began)),
                Err(Ending::Failed(fault, _)) => fault,
                Err(cancelled) => return Err(NoAnswer::Cancelled(cancelled)),
            };
            permit.record_failure(&fault);
            // The other target may still be open.
            if !self.is_hedged() {
                self.stream.set_upstream(UpstreamState::Closed);
            }
            self.log_failure(&candidate.target, &fault);
            // At most once per target. Not counted as a retry and not delayed: the target itself is
            // healthy.
            if !learned && self.learn(candidate, &fault) {
                learned = true;
            } else if let Some(wait) = self.retry_delay(retries, &fault) {
                let waited = unless_cancelled(&self.stream, tokio::time::sleep(wait)).await;
                waited.map_err(|cause| NoAnswer::Cancelled(cause.into()))?;
                retries += 1;
            } else {
                // Our retries are used up: tell SDKs not to add their own.
                fault.no_client_retry = fault.no_client_retry || retries > 0;
                return Err(NoAnswer::Failed(fault));
            }
            // Other requests may have opened the breaker meanwhile.
            permit = match candidate.health.admit() {
                Ok(permit) => permit,
                Err(_) => return Err(NoAnswer::Failed(fault)),
            };
        }
    }

    /// Records the lesson of a refusal. Returns true when the target rejected an optional parameter
    /// that we had added. The request is then sent again without it.
    fn learn(&self, candidate: &Candidate, fault: &Fault) -> bool {
        let provider = &candidate.target.provider;
        let Via::Http { wire, .. } = &provider.via else {
            return false;
        };
        // A request in the same shape is passed on unchanged: it contains nothing that we added.
        if self.ask.shape == Some(*wire) {
            return false;
        }
        let Some(lesson) = wire::for_id(*wire).lesson(fault) else {
            return false;
        };
        candidate.health.lessons.add(lesson);
        let (stream, provider) = (self.stream.id().as_str(), &*provider.name);
        tracing::info!(
            stream,
            provider,
            "the provider does not support an optional parameter that we added: it is left out \
             from now on"
        );
        true
    }

    /// Returns the delay before a retry of this target, or `None` if there is no retry. There is
    /// none while a second target is being asked.
    fn retry_delay(&self, retries: u32, fault: &Fault) -> Option<Duration> {
        if !fault.retryable || retries >= self.plan.retries || self.is_hedged() {
            return None;
        }
        let wait = retry_wait(retries, fault.retry_after);
        // `may_retry` takes from the retry budget, so it is checked last.
        (wait <= MAX_RETRY_WAIT && self.plan.stats.may_retry()).then_some(wait)
    }

    /// Reports an answer as started: its first content has come, or its held frames are released.
    fn report_opened(&self, live: Box<LiveAnswer>, mut permit: Permit, began: Instant) -> Opened {
        // The duration of a complete answer is no measure for the time to the first token of a
        // streamed one.
        let streamed = !(live.done && live.route.raw && !self.ask.head.stream);
        let took = Some(began.elapsed()).filter(|_| live.decided && streamed);
        permit.record_answer(took);
        if let Some(took) = took {
            self.plan.observe(took);
        }
        Opened { live, permit }
    }

    /// Logs a failed attempt. The error text of an upstream is left out because it may repeat the
    /// prompt.
    fn log_failure(&self, target: &Target, fault: &Fault) {
        let (stream, provider, model) = (
            self.stream.id().as_str(),
            &*target.provider.name,
            &*target.model,
        );
        // An error, because only the operator can fix it. A fault on our side was logged when the
        // credential could not be fetched.
        if fault.code == Code::UpstreamAuth && fault.side == Side::Upstream {
            tracing::error!(
                stream,
                provider,
                model,
                "the provider rejects our credential: check its `api_key` and the permissions of \
                 the key"
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
            message = loggable_message(fault),
            "attempt failed"
        );
    }
}

/// Returns the part of a fault that may be logged: our own text, never the upstream's.
fn loggable_message(fault: &Fault) -> &str {
    if fault.quotes_upstream {
        "the upstream's error text is sent to the client only"
    } else {
        &fault.message
    }
}

impl NoAnswer {
    /// Returns its outcome in the route trace.
    pub(super) fn outcome(&self) -> TargetOutcome {
        match self {
            Self::Failed(fault) => TargetOutcome::Failed(fault.code.as_str()),
            Self::Unfit(_) => TargetOutcome::Skipped(SkipReason::Unfit),
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
    fn upstream_error_text_is_never_logged() {
        for status in [400, 429, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let text = Some("cannot read 'PROMPT'".to_owned());
            let fault = refusal::fault(status, &HeaderMap::new(), text, None, None, None);
            assert!(
                fault.message.contains("PROMPT") && !loggable_message(&fault).contains("PROMPT"),
                "{status}"
            );
            let without_text = refusal::fault(status, &HeaderMap::new(), None, None, None, None);
            assert_eq!(loggable_message(&without_text), without_text.message);
        }
    }
}
