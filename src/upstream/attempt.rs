//! One attempt: draft → sign → send → head → first content.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use http::{HeaderMap, HeaderValue, header};
use tokio::time::{Instant, timeout_at};

use super::Ending;
use super::clock::{Clock, Running};
use super::closing::Tally;
use super::live::{self, Live};
use super::open::Opening;
use super::replay::Player;
use super::sign::sign;
use super::transport::Body;
use crate::hub::UpstreamState;
use crate::model::entry::{Entry, Payload};
use crate::model::fault::{Code, Fault};
use crate::model::target::{Target, Via};
use crate::model::wire::Wire;
use crate::provider::refusal::request_id;
use crate::provider::{self, DecodeError, Decoded, Mode, Provider};

/// Frames held before the first content, at the most.
const HELD_FRAMES: usize = 64;
/// Bytes of them, at the most.
const HELD_BYTES: usize = 256 * 1024;
/// A refusal's body that is read, at the most: enough for any message.
const REFUSAL_BYTES: usize = 64 * 1024;
/// A whole answer that is read, at the most.
const WHOLE_BYTES: usize = 64 * 1024 * 1024;
/// Asks one target once.
pub(super) async fn attempt(open: &Opening<'_>, target: &Target, release: Instant, tally: &mut Tally) -> Result<Box<Live>, Ending> {
    match &target.account.via {
        Via::Replay(replay) => {
            tally.begin_attempt(target.to_string());
            open.stream.set_upstream(UpstreamState::Open);
            let (recording, player) = Player::open(replay, &target.model).await?;
            let mut live = begin(open, target, recording, "text/event-stream", Body::Replay(player), None);
            hold(&mut live, release, tally).await?;
            Ok(live)
        }
        Via::Http { wire, base_url } => {
            let wire = provider::of(*wire);
            let whole = !open.ask.stream && open.ask.tongue.wire() == Some(wire.wire());
            let mode = if whole { Mode::Whole } else { Mode::Stream };
            let mut running = if whole { Running::whole(target.account.clocks) } else { Running::start(target.account.clocks) };
            let response = send(open, target, wire, base_url, mode, &running, tally).await?;
            running.head();
            if whole {
                read_whole(open, target, wire, response, running, tally).await
            } else {
                stream(open, target, wire, response, running, release, tally).await
            }
        }
    }
}

/// Sends the request and waits for a good head.
async fn send(
    open: &Opening<'_>,
    target: &Target,
    wire: &dyn Provider,
    base_url: &str,
    mode: Mode,
    running: &Running,
    tally: &mut Tally,
) -> Result<reqwest::Response, Ending> {
    let draft = wire.draft(open.ask, target, mode)?;
    let mut headers = HeaderMap::with_capacity(draft.headers.len() + 4);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(draft.headers);
    sign(&mut headers, &target.account, wire.auth())?;
    let client = open.clients.of(&target.account)?;
    let request = client.post(format!("{base_url}{}", draft.path)).headers(headers).body(draft.body);
    tally.begin_attempt(target.to_string());
    open.stream.set_upstream(UpstreamState::Open);
    let (at, clock) = running.next();
    let response = timeout_at(at, request.send()).await.map_err(|_| clock.ran_out(&running.clocks))?;
    let response = response.map_err(|error| unreachable_fault(&error, running))?;
    if response.status().is_success() { Ok(response) } else { Err(refusal(wire, response, running).await.into()) }
}

/// The request did not get through.
fn unreachable_fault(error: &reqwest::Error, running: &Running) -> Fault {
    if error.is_timeout() {
        return Clock::Connect.ran_out(&running.clocks);
    }
    let what = if error.is_connect() { "could not be reached" } else { "broke the connection before it answered" };
    Fault::new(Code::UpstreamError, format!("the upstream {what}"))
}

async fn refusal(wire: &dyn Provider, response: reqwest::Response, running: &Running) -> Fault {
    let (status, headers) = (response.status(), response.headers().clone());
    let body = http::Response::from(response).into_body();
    // A refusal whose body breaks off or does not come is a refusal all the same.
    let text = timeout_at(running.next().0, collect(Body::Http(body), REFUSAL_BYTES)).await.ok().and_then(Result::ok).unwrap_or_default();
    wire.refusal(status, &headers, &text)
}

/// Begins to read a streamed answer, up to its first content.
async fn stream(
    open: &Opening<'_>,
    target: &Target,
    wire: &dyn Provider,
    response: reqwest::Response,
    running: Running,
    release: Instant,
    tally: &mut Tally,
) -> Result<Box<Live>, Ending> {
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    let id = request_id(response.headers()).map(ByteString::from);
    let body = Body::Http(http::Response::from(response).into_body());
    let mut live = begin(open, target, wire.wire(), &content_type, body, id);
    live.running = running;
    hold(&mut live, release, tally).await?;
    Ok(live)
}

fn begin(open: &Opening<'_>, target: &Target, wire: Wire, content_type: &str, body: Body, request_id: Option<ByteString>) -> Box<Live> {
    let provider = provider::of(wire);
    let mut running = Running::start(target.account.clocks);
    running.head();
    Box::new(Live {
        ask: open.ask.clone(),
        route: live::route(open.ask, &target.account.name, &target.model, wire, request_id),
        body,
        framing: provider.framing(content_type),
        decoder: provider.decoder(target, open.stream.id().as_str()),
        running,
        buf: BytesMut::new(),
        decoded: Decoded::default(),
        decided: false,
        done: false,
        failed: None,
        entries: Vec::new(),
    })
}

/// Reads until the first content (or the terminal marker), or until held frames are to be let go.
async fn hold(live: &mut Live, release: Instant, tally: &mut Tally) -> Result<(), Ending> {
    loop {
        let held = !live.entries.is_empty();
        let full = live.entries.len() >= HELD_FRAMES || live.entries.iter().map(Entry::stored_bytes).sum::<usize>() >= HELD_BYTES;
        if live.decided || full || held && Instant::now() >= release {
            tally.first_content = live.decided.then(std::time::Instant::now);
            return Ok(());
        }
        let (at, clock) = live.running.next();
        let until = if held { at.min(release) } else { at };
        match timeout_at(until, live.body.chunk()).await {
            Ok(Some(chunk)) => {
                let taken = live.take(&chunk?, tally);
                live.unless_decided(taken)?;
            }
            Ok(None) => {
                let ended = live.end(tally);
                live.unless_decided(ended)?;
            }
            Err(_) if held && until == release => {}
            Err(_) => return Err(clock.ran_out(&live.running.clocks).into()),
        }
    }
}

/// Reads an answer that is not streamed.
async fn read_whole(
    open: &Opening<'_>,
    target: &Target,
    wire: &dyn Provider,
    response: reqwest::Response,
    running: Running,
    tally: &mut Tally,
) -> Result<Box<Live>, Ending> {
    let id = request_id(response.headers()).map(ByteString::from);
    let body = Body::Http(http::Response::from(response).into_body());
    let (at, clock) = running.next();
    let text = timeout_at(at, collect(body, WHOLE_BYTES)).await.map_err(|_| clock.ran_out(&running.clocks))??;
    let (events, usage) = wire.whole(&text, open.stream.id().as_str()).map_err(|error| match error {
        DecodeError::Upstream(fault) => *fault,
        other => Fault::new(Code::UpstreamError, other.to_string()),
    })?;
    let data = ByteString::try_from(text).map_err(|_| Fault::new(Code::UpstreamError, "the upstream's answer is not UTF-8"))?;
    let mut live = begin(open, target, wire.wire(), "", Body::Http(reqwest::Body::default()), id);
    live.entries.push(Entry { raw: Some(Payload { name: ByteString::new(), data }), events });
    live.done = true;
    live.decided = true;
    tally.usage = usage;
    tally.count(&live.entries);
    tally.first_content = Some(std::time::Instant::now());
    Ok(live)
}

/// All of a body, if it is not too large.
async fn collect(mut body: Body, most: usize) -> Result<Bytes, Fault> {
    let mut all = BytesMut::new();
    while let Some(chunk) = body.chunk().await {
        let chunk = chunk?;
        if all.len() + chunk.len() > most {
            return Err(Fault::new(Code::UpstreamError, format!("the upstream's answer is larger than {most} bytes")));
        }
        all.extend_from_slice(&chunk);
    }
    Ok(all.freeze())
}
