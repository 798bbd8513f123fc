//! Runs one attempt: draft → sign → send → head → first content.
//!
//! Invariant: a cancel takes effect at every await. If the provider already has the request and
//! `on_cancel` is `finish`, the unfinished request is returned with the ending.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::Ending;
use super::answer::Answer;
use super::client::Clients;
use super::clock::RunningClocks;
use super::closing::Accounting;
use super::live::LiveAnswer;
use super::opening::{Opening, unless_cancelled};
use super::received::Received;
use super::recorder::Secrets;
use super::replay;
use super::sent::{SentRequest, SignedRequest};
use super::sign::sign;
use super::unfinished::Unfinished;
use super::whole::WholeAnswer;
use crate::hub::{Stream, UpstreamState};
use crate::model::ask::Ask;
use crate::model::entry::Entry;
use crate::model::fault::{Code, Fault};
use crate::model::target::{Target, Via};
use crate::model::wire::WireId;
use crate::route::Candidate;
use crate::wire::refusal::quota;
use crate::wire::refusal::retry_after;
use crate::wire::{self, Draft, Mode};

/// Placeholder for the model name in a base URL.
const MODEL_PLACEHOLDER: &str = "{model}";
/// Maximum number of frames held before the first content.
const MAX_HELD_FRAMES: usize = 64;
/// Maximum size of the held frames, bytes.
const MAX_HELD_BYTES: usize = 256 * 1024;

/// A request ready to send to one target. It is made from the client request and from what the
/// target's refusals have taught; nothing else of earlier attempts changes it.
pub(super) struct PreparedRequest {
    draft: Option<Draft>,
}

impl PreparedRequest {
    /// Drafts the request for the wire of the target.
    ///
    /// # Errors
    /// Returns a 400 fault when the wire of the target cannot express the request.
    pub(super) fn new(ask: &Ask, candidate: &Candidate) -> Result<Self, Fault> {
        let target = &candidate.target;
        let Via::Http { wire, .. } = &target.provider.via else {
            return Ok(Self { draft: None });
        };
        let mode = if is_whole(ask, *wire) {
            Mode::Whole
        } else {
            Mode::Stream
        };
        let learned = candidate.health.lessons.learned();
        Ok(Self {
            draft: Some(wire::for_id(*wire).draft(ask, target, &learned, mode)?),
        })
    }
}

/// Returns true when the provider is asked for one body instead of a stream: the client wants no
/// stream, and its dialect is the same as the wire.
pub(super) fn is_whole(ask: &Ask, wire: WireId) -> bool {
    !ask.head.stream && ask.head.dialect.wire() == Some(wire)
}

impl Opening<'_> {
    /// Asks a target once, unless the stream has been cancelled.
    ///
    /// A cancel during the attempt ends it. The attempt may return its unfinished request with the
    /// ending; otherwise the request is dropped.
    pub(super) async fn attempt(
        &self,
        candidate: &Candidate,
        prepared: PreparedRequest,
        accounting: &mut Accounting,
    ) -> Result<Box<LiveAnswer>, Ending> {
        // A stream cancelled between two attempts starts no further one.
        if let Some(cause) = self.stream.cancelled() {
            return Err(cause.into());
        }
        let mut attempt = pin!(ask_once(self, candidate, prepared, accounting));
        poll_fn(|cx| {
            let cancelled = self.stream.poll_cancelled(cx);
            // Poll the attempt even when the stream is cancelled: it observes the cancel itself and
            // can hand over an unfinished request to be read on. Drop it only if it stays pending.
            match (attempt.as_mut().poll(cx), cancelled) {
                (Poll::Pending, Poll::Ready(cause)) => Poll::Ready(Err(cause.into())),
                (polled, _) => polled,
            }
        })
        .await
    }
}

/// Asks one target once and returns its answer at the first content.
async fn ask_once(
    opening: &Opening<'_>,
    candidate: &Candidate,
    prepared: PreparedRequest,
    accounting: &mut Accounting,
) -> Result<Box<LiveAnswer>, Ending> {
    let answer = request_answer(opening, &candidate.target, prepared, accounting).await?;
    // An explicit `retry-after` is more precise than the rate-limit headers and is handled with the
    // fault.
    if let Some(reset) = quota::exhausted_for(&answer.headers, SystemTime::now())
        && retry_after(&answer.headers).is_none()
    {
        candidate.health.pause_until_reset(reset);
    }
    match answer.receive(accounting) {
        Received::Stream(live) => {
            hold_until_content(&opening.stream, live, opening.release, accounting).await
        }
        Received::Whole(whole) => receive_whole(&opening.stream, whole, accounting).await,
        Received::Refused(refused) => Err(refused.refusal().await.into()),
    }
}

/// Returns the answer of a target once its head has arrived.
async fn request_answer(
    opening: &Opening<'_>,
    target: &Target,
    prepared: PreparedRequest,
    accounting: &mut Accounting,
) -> Result<Answer, Ending> {
    let (wire, address) = match &target.provider.via {
        Via::Http {
            wire,
            base_url,
            query,
        } => (
            *wire,
            UpstreamAddress {
                base_url,
                query: query.as_deref(),
            },
        ),
        Via::Replay(replay) => {
            begin_attempt(opening, target, accounting);
            return Ok(replay::answer(replay, opening.context(target)).await?);
        }
    };
    let draft = prepared.draft.ok_or_else(|| {
        Fault::new(
            Code::InternalError,
            "no request was drafted for an HTTP target",
        )
    })?;
    let sent = prepare(opening, target, wire, address, draft).await?;
    // Only now: a request that could not be prepared is no attempt.
    begin_attempt(opening, target, accounting);
    receive_head(opening, sent).await
}

fn begin_attempt(opening: &Opening<'_>, target: &Target, accounting: &mut Accounting) {
    accounting.begin_attempt(target);
    opening.stream.count_trace_attempt(accounting.step);
    opening.stream.set_upstream(UpstreamState::Open);
}

/// The address of a target.
#[derive(Clone, Copy)]
pub(super) struct UpstreamAddress<'a> {
    pub(super) base_url: &'a str,
    pub(super) query: Option<&'a str>,
}

impl UpstreamAddress<'_> {
    /// Returns the URL of a request. The model replaces `{model}` in the base URL, and the query of
    /// the provider follows the query of the draft.
    pub(super) fn url(self, model: &str, path: &str) -> String {
        let mut url = if self.base_url.contains(MODEL_PLACEHOLDER) {
            // The model is one path segment, so a `/` in its name must be escaped.
            let model = utf8_percent_encode(model, NON_ALPHANUMERIC).to_string();
            self.base_url.replace(MODEL_PLACEHOLDER, &model)
        } else {
            self.base_url.to_owned()
        };
        url.push_str(path);
        if let Some(query) = self.query {
            url.push(if path.contains('?') { '&' } else { '?' });
            url.push_str(query);
        }
        url
    }
}

/// Builds and signs the request.
async fn prepare(
    opening: &Opening<'_>,
    target: &Target,
    wire: WireId,
    address: UpstreamAddress<'_>,
    draft: Draft,
) -> Result<Box<SentRequest>, Ending> {
    let (whole, wire, provider) = (
        is_whole(opening.ask, wire),
        wire::for_id(wire),
        &target.provider,
    );
    let running = if whole {
        RunningClocks::for_whole_answer(provider.clocks)
    } else {
        RunningClocks::start(provider.clocks)
    };
    let signed = sign_draft(opening.clients, target, address, draft, &running).await?;
    let mut context = opening.context(target);
    if provider.record.is_some() {
        // Only recordings need the list of secrets.
        context.secrets = Secrets::for_request(provider, signed.request.headers());
    }
    Ok(Box::new(SentRequest::new(
        context, wire, whole, running, signed,
    )))
}

/// Builds the HTTP request of a draft and adds the headers and the credential of the provider.
pub(super) async fn sign_draft(
    clients: &Clients,
    target: &Target,
    address: UpstreamAddress<'_>,
    draft: Draft,
    running: &RunningClocks,
) -> Result<SignedRequest, Fault> {
    let provider = &target.provider;
    let mut headers = HeaderMap::with_capacity(draft.headers.len() + 4);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.extend(draft.headers);
    let client = clients.client(provider)?;
    let request = client
        .post(address.url(target.upstream_model(), &draft.path))
        .headers(headers)
        // A clone of `Bytes` shares the buffer.
        .body(draft.body.clone());
    let invalid_url = |_| {
        Fault::new(
            Code::InternalError,
            format!(
                "`base_url` of provider `{}` is not a valid URL",
                provider.name
            ),
        )
    };
    let mut request = request.build().map_err(invalid_url)?;
    // A token endpoint can be slow: fetching the credential counts against the clocks of the
    // attempt.
    let (at, clock) = running.next_expiry();
    let credential = timeout_at(at, clients.credential(provider))
        .await
        .map_err(|_| clock.timeout_fault(&running.clocks))??;
    sign(&mut request, provider, &credential, SystemTime::now())?;
    Ok(SignedRequest {
        client,
        request,
        body: draft.body,
        credential,
    })
}

/// Sends the request and waits for the response head.
async fn receive_head(opening: &Opening<'_>, mut sent: Box<SentRequest>) -> Result<Answer, Ending> {
    match unless_cancelled(&opening.stream, sent.head()).await {
        Ok(answer) => Ok(answer?),
        Err(cause) => Err(Ending::Cancelled(
            cause,
            // If nothing was written, the provider has not seen the request: drop it.
            sent.is_to_finish().then_some(Unfinished::Sent(sent)),
        )),
    }
}

/// Reads until the first content or the terminal marker, so that an error before it can still lead
/// to another target or to an error status. Held frames are released early when `release` is
/// reached or they exceed a bound.
async fn hold_until_content(
    stream: &Stream,
    mut live: Box<LiveAnswer>,
    release: Instant,
    accounting: &mut Accounting,
) -> Result<Box<LiveAnswer>, Ending> {
    loop {
        let held = !live.entries.is_empty();
        let full = live.entries.len() >= MAX_HELD_FRAMES
            || live.entries.iter().map(Entry::stored_bytes).sum::<usize>() >= MAX_HELD_BYTES;
        if live.decided || full || held && Instant::now() >= release {
            // Frames released by time or size are not content.
            accounting.first_content = live.decided.then(std::time::Instant::now);
            return Ok(live);
        }
        let (at, clock) = live.running.next_expiry();
        // Held frames must not wait for more bytes past the release time.
        let until = if held { at.min(release) } else { at };
        match unless_cancelled(stream, timeout_at(until, live.body.chunk())).await {
            Ok(Ok(Some(chunk))) => {
                let taken = live.receive(&chunk?, accounting);
                live.defer_if_decided(taken)?;
            }
            Ok(Ok(None)) => {
                let ended = live.end(accounting);
                live.defer_if_decided(ended)?;
            }
            // No upstream clock: the next turn releases the held frames.
            Ok(Err(_)) if held && until == release => {}
            Ok(Err(_)) => return Err(clock.timeout_fault(&live.running.clocks).into()),
            Err(cause) => return Err(live.stopped(cause.into())),
        }
    }
}

/// Reads an answer that comes as one body.
async fn receive_whole(
    stream: &Stream,
    mut whole: Box<WholeAnswer>,
    accounting: &mut Accounting,
) -> Result<Box<LiveAnswer>, Ending> {
    match unless_cancelled(stream, whole.read()).await {
        Ok(read) => {
            read?;
            Ok(whole.decode(accounting)?)
        }
        Err(cause) => Err(whole.stopped(cause)),
    }
}
