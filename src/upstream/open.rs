//! Attempts in the order of the plan, until one of them gives its first content.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Errand;
use super::client::Clients;
use super::closing::Tally;
use super::live::Live;
use super::recorder::{Recorder, Secrets};
use super::{Ending, attempt};
use crate::hub::{Cause, Stream, UpstreamState};
use crate::limits::Pass;
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault, Side};
use crate::model::target::{Target, Via};
use crate::provider;
use crate::route::Plan;

/// The first wait before the same target is asked again; it doubles.
const BACKOFF: Duration = Duration::from_millis(200);
/// A target that wants more time than this is not waited for: the next one is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is needed to open an answer.
pub(super) struct Opening<'a> {
    pub(super) ask: &'a Arc<Ask>,
    pub(super) plan: &'a Plan,
    pub(super) clients: &'a Clients,
    pub(super) recorder: &'a Recorder,
    pub(super) stream: Arc<Stream>,
    pub(super) commit_after: Duration,
}

impl Opening<'_> {
    /// The first answer that has content.
    ///
    /// # Errors
    /// How the generation ends without one: cancelled, or with the last target's failure.
    pub(super) async fn open(&self, tally: &mut Tally, pass: &mut Pass) -> Result<Box<Live>, Ending> {
        let release = Instant::now() + self.commit_after;
        let mut failure: Option<Box<Fault>> = None;
        for target in self.plan.targets() {
            let mut lane = match pass.lane(&target.account.name) {
                Ok(lane) => lane,
                Err(full) => {
                    failure = Some(later(failure, full));
                    continue;
                }
            };
            let before = tally.attempts;
            pass.asked();
            match self.try_target(target, release, tally).await {
                Err(Ending::Failed(fault, _)) => {
                    if tally.attempts > before {
                        lane.asked();
                    }
                    let over = fault.ends_route();
                    failure = Some(later(failure, fault));
                    if over {
                        break;
                    }
                }
                other => {
                    pass.keep(lane);
                    return other;
                }
            }
        }
        let none = || Box::new(Fault::new(Code::InternalError, "the route has no target"));
        Err(Ending::Failed(failure.unwrap_or_else(none), None))
    }

    /// One target, asked again as often as the plan says.
    async fn try_target(&self, target: &Target, release: Instant, tally: &mut Tally) -> Result<Box<Live>, Ending> {
        let mut retries = 0;
        let mut learned = false;
        loop {
            let result = self.attempt(target, release, tally).await;
            let Err(Ending::Failed(mut fault, _)) = result else { return result };
            self.stream.set_upstream(UpstreamState::Closed);
            self.note(target, &fault);
            if !learned && self.learn(target, &fault) {
                learned = true;
                continue;
            }
            let wait = wait_before(retries, fault.retry_after);
            if !fault.retryable || retries >= self.plan.retries || wait > PATIENCE {
                fault.final_here = fault.final_here || retries > 0;
                return Err(Ending::Failed(fault, None));
            }
            unless_cancelled(&self.stream, tokio::time::sleep(wait)).await?;
            retries += 1;
        }
    }

    /// True where the request was refused for a wish of ours that can be left out: it is asked again without.
    fn learn(&self, target: &Target, fault: &Fault) -> bool {
        let Via::Http { wire, .. } = &target.account.via else { return false };
        let learned = self.ask.shape != Some(*wire) && provider::of(*wire).learn(fault, target);
        if learned {
            let (stream, provider) = (self.stream.id().as_str(), &*target.account.name);
            tracing::info!(stream, provider, "the provider refuses what we wished for besides: it is asked again without, from now on");
        }
        learned
    }

    /// The operator's word of a failed attempt. An upstream's own words may repeat the prompt: they are left out.
    fn note(&self, target: &Target, fault: &Fault) {
        let (stream, provider, model) = (self.stream.id().as_str(), &*target.account.name, &*target.model);
        if fault.code == Code::UpstreamAuth && fault.side == Side::Upstream {
            tracing::error!(stream, provider, model, "the provider refuses our credential: check its api_key, or whose rights it has");
            return;
        }
        let (code, status, request) = (fault.code.as_str(), fault.status.as_u16(), fault.upstream_request_id.as_deref());
        tracing::warn!(stream, provider, model, code, status, upstream_request_id = request, message = loggable(fault), "attempt failed");
    }

    /// Asks a target once, unless the stream is cancelled by now. Cancelled while it is asked, the attempt says what is
    /// left of its request; where it does not, all of it is dropped.
    async fn attempt(&self, target: &Target, release: Instant, tally: &mut Tally) -> Result<Box<Live>, Ending> {
        if let Some(cause) = self.stream.cancelled() {
            return Err(cause.into());
        }
        let mut attempt = pin!(attempt::attempt(self, target, release, tally));
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
    pub(super) fn errand(&self, target: &Target) -> Errand {
        Errand {
            ask: self.ask.clone(),
            stream: self.stream.clone(),
            target: target.clone(),
            recorder: self.recorder.clone(),
            secrets: Secrets::default(),
        }
    }
}

/// Does something unless the stream is cancelled first; then what was begun is dropped.
pub(super) async fn unless_cancelled<T>(stream: &Stream, doing: impl Future<Output = T>) -> Result<T, Cause> {
    let mut doing = pin!(doing);
    poll_fn(|cx| match stream.poll_cancelled(cx) {
        Poll::Ready(cause) => Poll::Ready(Err(cause)),
        Poll::Pending => doing.as_mut().poll(cx).map(Ok),
    })
    .await
}

/// The wait before another try: what the provider asks for, else exponential with jitter.
fn wait_before(retries: u32, asked: Option<Duration>) -> Duration {
    let most = BACKOFF.saturating_mul(1 << retries.min(8));
    // Without randomness every wait is the longest: later, but not wrong.
    let jitter = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
    asked.unwrap_or_else(|| most.mul_f64(0.5 + jitter / 2.0))
}

/// Of two failures the later one, with the longer of their waits.
fn later(before: Option<Box<Fault>>, mut now: Box<Fault>) -> Box<Fault> {
    if now.retryable {
        now.retry_after = now.retry_after.max(before.and_then(|fault| fault.retry_after));
    }
    now
}

/// What a log may say of a fault: our own words.
fn loggable(fault: &Fault) -> &str {
    if fault.quotes { "the upstream said why, to the client alone" } else { &fault.message }
}

impl From<Cause> for Ending {
    fn from(cause: Cause) -> Self {
        Self::Cancelled(cause, None)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::provider::refusal;

    #[test]
    fn what_an_upstream_said_is_in_no_log() {
        for status in [400, 429, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let said = Some("cannot read 'PROMPT'".to_owned());
            let fault = refusal::fault(status, &HeaderMap::new(), said, None, None, None);
            assert!(fault.message.contains("PROMPT") && !loggable(&fault).contains("PROMPT"), "{status}");
            let silent = refusal::fault(status, &HeaderMap::new(), None, None, None, None);
            assert_eq!(loggable(&silent), silent.message);
        }
    }
}
