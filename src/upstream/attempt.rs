//! One attempt: draft → sign → send → head → first content.
//!
//! Invariant: a cancel is heard wherever there is something to wait for; what the provider has been
//! asked by then comes with the ending, where its account wants the usage all the same.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, timeout_at};

use super::Ending;
use super::answer::{Answer, Received};
use super::client::Clients;
use super::clock::Running;
use super::closing::Accounting;
use super::finishing::Unfinished;
use super::live::Live;
use super::open::{Opening, unless_cancelled};
use super::recorder::Secrets;
use super::replay;
use super::sent::{Sent, Signed};
use super::sign::sign;
use super::whole::Whole;
use crate::hub::{Stream, UpstreamState};
use crate::model::ask::Ask;
use crate::model::entry::Entry;
use crate::model::fault::{Code, Fault};
use crate::model::target::{Target, Via};
use crate::model::wire::WireId;
use crate::route::Candidate;
use crate::wire::refusal::retry_after;
use crate::wire::{self, Draft, Mode, quota};

/// What stands for the model in a base URL.
const MODEL_PLACE: &str = "{model}";
/// Frames held before the first content, at the most.
const HELD_FRAMES: usize = 64;
/// Bytes of them, at the most.
const HELD_BYTES: usize = 256 * 1024;

/// What a target is to be sent, made from the request as it came: whatever was tried before changes
/// nothing of it.
pub(super) struct PreparedRequest {
    draft: Option<Draft>,
}

impl PreparedRequest {
    /// The request in the target's words.
    ///
    /// # Errors
    /// A 400 where they have none for it.
    pub(super) fn of(ask: &Ask, target: &Target) -> Result<Self, Fault> {
        let Via::Http { wire, .. } = &target.provider.via else {
            return Ok(Self { draft: None });
        };
        let mode = if is_whole(ask, *wire) {
            Mode::Whole
        } else {
            Mode::Stream
        };
        Ok(Self {
            draft: Some(wire::of(*wire).draft(ask, target, mode)?),
        })
    }
}

/// The answer comes as one body: nothing of it is seen before all of it is there.
pub(super) fn is_whole(ask: &Ask, wire: WireId) -> bool {
    !ask.stream && ask.dialect.wire() == Some(wire)
}

/// Asks one target once.
pub(super) async fn attempt(
    open: &Opening<'_>,
    candidate: &Candidate,
    prepared: PreparedRequest,
    release: Instant,
    accounting: &mut Accounting,
) -> Result<Box<Live>, Ending> {
    let target = &candidate.target;
    let answer = match (&target.provider.via, prepared.draft) {
        (
            Via::Http {
                wire,
                base_url,
                query,
            },
            Some(draft),
        ) => {
            let sent = prepare(
                open,
                target,
                *wire,
                Place {
                    base_url,
                    query: query.as_deref(),
                },
                draft,
            )
            .await?;
            begin(open, target, accounting);
            head(open, sent).await?
        }
        (Via::Replay(replay), _) => {
            begin(open, target, accounting);
            replay::answer(replay, open.context(target)).await?
        }
        (Via::Http { .. }, None) => {
            return Err(Fault::new(Code::InternalError, "a target was asked for nothing").into());
        }
    };
    // A `retry-after` is the provider's better word.
    if let Some(reset) = quota::full_for(&answer.headers, SystemTime::now())
        && retry_after(&answer.headers).is_none()
    {
        candidate.health.fill(reset);
    }
    match answer.receive(accounting) {
        Received::Stream(live) => hold(&open.stream, live, release, accounting).await,
        Received::Whole(whole) => read(&open.stream, whole, accounting).await,
        Received::Refused(refused) => Err(refused.refusal().await.into()),
    }
}

fn begin(open: &Opening<'_>, target: &Target, accounting: &mut Accounting) {
    accounting.begin_attempt(target);
    open.stream.step_tried(accounting.step);
    open.stream.set_upstream(UpstreamState::Open);
}

/// Where a target is.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) base_url: &'a str,
    pub(super) query: Option<&'a str>,
}

impl Place<'_> {
    /// The URL of a request: the model put where the base has room for it, the account's query
    /// behind the draft's own.
    pub(super) fn url(self, model: &str, path: &str) -> String {
        let mut url = if self.base_url.contains(MODEL_PLACE) {
            let model = utf8_percent_encode(model, NON_ALPHANUMERIC).to_string();
            self.base_url.replace(MODEL_PLACE, &model)
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

/// Makes the request ready.
async fn prepare(
    open: &Opening<'_>,
    target: &Target,
    wire: WireId,
    place: Place<'_>,
    draft: Draft,
) -> Result<Box<Sent>, Ending> {
    let (whole, wire, provider) = (is_whole(open.ask, wire), wire::of(wire), &target.provider);
    let running = if whole {
        Running::whole(provider.clocks)
    } else {
        Running::start(provider.clocks)
    };
    let signed = signed(open.clients, target, place, draft, &running).await?;
    let mut context = open.context(target);
    if provider.record.is_some() {
        context.secrets = Secrets::of(provider, signed.request.headers());
    }
    Ok(Box::new(Sent::new(context, wire, whole, running, signed)))
}

/// The request of a draft, with the account's credential on it.
pub(super) async fn signed(
    clients: &Clients,
    target: &Target,
    place: Place<'_>,
    draft: Draft,
    running: &Running,
) -> Result<Signed, Fault> {
    let provider = &target.provider;
    let mut headers = HeaderMap::with_capacity(draft.headers.len() + 4);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.extend(draft.headers);
    let client = clients.of(provider)?;
    let request = client
        .post(place.url(target.upstream_model(), &draft.path))
        .headers(headers)
        .body(draft.body.clone());
    let no_address = |_| {
        Fault::new(
            Code::InternalError,
            format!("the address of provider `{}` is no URL", provider.name),
        )
    };
    let mut request = request.build().map_err(no_address)?;
    let (at, clock) = running.next();
    let shown = timeout_at(at, clients.credential(provider))
        .await
        .map_err(|_| clock.ran_out(&running.clocks))??;
    sign(&mut request, provider, &shown, SystemTime::now())?;
    Ok(Signed {
        client,
        request,
        body: draft.body,
        shown,
    })
}

/// Sends the request and waits for the head of its answer.
async fn head(open: &Opening<'_>, mut sent: Box<Sent>) -> Result<Answer, Ending> {
    match unless_cancelled(&open.stream, sent.head()).await {
        Ok(answer) => Ok(answer?),
        Err(cause) => Err(Ending::Cancelled(
            cause,
            sent.is_to_finish().then_some(Unfinished::Sent(sent)),
        )),
    }
}

/// Reads until the first content (or the terminal marker), or until held frames are to be let go.
async fn hold(
    stream: &Stream,
    mut live: Box<Live>,
    release: Instant,
    accounting: &mut Accounting,
) -> Result<Box<Live>, Ending> {
    loop {
        let held = !live.entries.is_empty();
        let full = live.entries.len() >= HELD_FRAMES
            || live.entries.iter().map(Entry::stored_bytes).sum::<usize>() >= HELD_BYTES;
        if live.decided || full || held && Instant::now() >= release {
            accounting.first_content = live.decided.then(std::time::Instant::now);
            return Ok(live);
        }
        let (at, clock) = live.running.next();
        let until = if held { at.min(release) } else { at };
        match unless_cancelled(stream, timeout_at(until, live.body.chunk())).await {
            Ok(Ok(Some(chunk))) => {
                let taken = live.take(&chunk?, accounting);
                live.unless_decided(taken)?;
            }
            Ok(Ok(None)) => {
                let ended = live.end(accounting);
                live.unless_decided(ended)?;
            }
            Ok(Err(_)) if held && until == release => {}
            Ok(Err(_)) => return Err(clock.ran_out(&live.running.clocks).into()),
            Err(cause) => return Err(live.stopped(cause.into())),
        }
    }
}

/// Reads an answer that is not streamed.
async fn read(
    stream: &Stream,
    mut whole: Box<Whole>,
    accounting: &mut Accounting,
) -> Result<Box<Live>, Ending> {
    match unless_cancelled(stream, whole.read()).await {
        Ok(read) => {
            read?;
            Ok(whole.decode(accounting)?)
        }
        Err(cause) => Err(whole.stopped(cause)),
    }
}
