//! The path of a generation request, from top to bottom.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;

use super::admit::admit;
use super::budget_reservation::{add_budget_warning, budget_warning, reserve_budget};
use super::call::Call;
use super::decide::{Decision, decide};
use super::follow::live_stream;
use super::history::with_history;
use super::options::Options;
use super::refuse::refuse;
use super::reply::Reply;
use super::responses::object_response;
use super::streams::{resume_post, status_response};
use super::{answer, body, headers};
use crate::dialect;
use crate::hub::{Claim, ClaimOutcome, Digest, Reader, Stream, StreamSpec};
use crate::limits::limit_state::LimitStates;
use crate::limits::{Need, Refusal};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::wire::DialectId;
use crate::route::Plan;
use crate::upstream::{self, Admission, Job};

/// Answers a request for a generation: begins a new one, or joins the one that the same request has
/// begun before.
pub(super) async fn serve<B>(call: &Call<'_>, incoming: B) -> Result<Response<Reply>, Box<Refusal>>
where
    B: Body<Data = Bytes> + Unpin,
{
    // Headers are checked before the claim is registered, so that a rejected request leaves no
    // claim.
    body::require_json(&call.head.headers)?;
    let options = Options::parse(&call.head.headers)?;
    // The claim is registered before the body is read, so that a cancel finds the stream under its
    // name at once.
    let claim = call
        .gateway
        .hub
        .claim(&call.caller.id, options.claims.clone());
    let body = body::collect(incoming, call.snapshot.settings.max_body).await?;
    // A resume never begins a generation: its claim is dropped unused.
    if let Some(last) = &options.last_event_id {
        return Ok(resume_post(call, last, &body)?);
    }
    // An invalid body is rejected before it can take the claim.
    let ask = parse(call, &body)?;
    match claim.settle(call.codec().profile().path, &body).await? {
        ClaimOutcome::Joined(stream) => join(call, &stream, &ask, &options).await,
        ClaimOutcome::New(claim, digest) => generate(call, claim, digest, ask, &options).await,
    }
}

fn parse(call: &Call<'_>, body: &Bytes) -> Result<Ask, Fault> {
    let mut ask = call.codec().parse(&call.head.headers, body.clone())?;
    let default = call.snapshot.settings.ui_model.as_ref();
    let head = Arc::make_mut(&mut ask.head);
    head.model = model_or_default(&head.model, default)?;
    Ok(ask)
}

/// Answers with the stream that the same request has begun before. It takes nothing from any limit
/// or budget.
async fn join(
    call: &Call<'_>,
    stream: &Arc<Stream>,
    ask: &Ask,
    options: &Options,
) -> Result<Response<Reply>, Box<Refusal>> {
    let reader = Reader::attach(stream, None)?;
    Ok(reply(call, reader, ask, options, LimitStates::default()).await)
}

/// Begins a new generation and answers with it.
async fn generate(
    call: &Call<'_>,
    claim: Claim,
    digest: Digest,
    ask: Ask,
    options: &Options,
) -> Result<Response<Reply>, Box<Refusal>> {
    // Only a new generation needs its history; a joined one was begun with it.
    let ask = Arc::new(with_history(call, ask).await?);
    let reserve = |plan: &Plan| reserve_budget(call, &ask, plan).map(Some);
    let (plan, admission) = admit(call, &ask, need(call, &ask), reserve)?;
    // Copied out before `begin` moves them into the task.
    let (limit_states, warning) = (admission.limit_states(), budget_warning(&admission));
    let spec = stream_spec(call, &ask, options, digest);
    let reader = begin(call, claim, spec, &ask, (plan, admission));
    let mut response = reply(call, reader, &ask, options, limit_states).await;
    add_budget_warning(warning, &mut response);
    Ok(response)
}

/// Returns the tokens to reserve for a request.
fn need(call: &Call<'_>, ask: &Ask) -> Need {
    Need {
        input: ask.head.input_estimate,
        output: ask
            .head
            .expected_output(call.snapshot.limits.reserve_output()),
    }
}

fn stream_spec(call: &Call<'_>, ask: &Ask, options: &Options, digest: Digest) -> StreamSpec {
    let settings = &call.snapshot.hub;
    let profile = dialect::of(ask.head.dialect).profile();
    StreamSpec {
        owner: call.caller.id.clone(),
        head: ask.head.clone(),
        payload_ids: profile.payload_ids,
        digest,
        on_disconnect: options.on_disconnect(
            settings.on_disconnect,
            ask.head.dialect,
            options.is_detached(ask.head.dialect) || is_background(ask),
        ),
        // A request can only shorten the retention.
        retention: options
            .retention
            .map_or(settings.retention, |asked| asked.min(settings.retention)),
        max_bytes: settings.max_stream,
        max_readers: settings.readers,
    }
}

/// Begins the stream and the task that generates it.
fn begin(
    call: &Call<'_>,
    claim: Claim,
    spec: StreamSpec,
    ask: &Arc<Ask>,
    (plan, mut admission): (Plan, Admission),
) -> Reader {
    let (gateway, snapshot) = (call.gateway, call.snapshot);
    let (writer, reader) = gateway.hub.begin(claim, spec);
    admission.begin(writer.stream().id(), &ask.head);
    let job = Job {
        ask: ask.clone(),
        plan,
        writer,
        admission,
        clients: snapshot.clients.clone(),
        recorder: snapshot.recorder.clone(),
        metrics: gateway.metrics.clone(),
        finishing: gateway.finishing.clone(),
        commit_after: snapshot.settings.commit_after,
    };
    let working = gateway.lifecycle.work();
    // The task outlives the client: the `on_disconnect` policy of the stream decides what follows.
    gateway.tasks.spawn(async move {
        upstream::run(job).await;
        // Dropped only now: a drain waits until the generation has ended.
        let _done = working;
    });
    reader
}

/// Returns the answer to a request that began or joined a generation.
async fn reply(
    call: &Call<'_>,
    reader: Reader,
    ask: &Ask,
    options: &Options,
    limit_states: LimitStates,
) -> Response<Reply> {
    let stream = reader.stream().clone();
    let mut response = if options.is_detached(ask.head.dialect) {
        reader.leave();
        Ok(accepted_response(&stream))
    } else if is_background(ask) && !ask.head.stream {
        reader.leave();
        object_response(&stream)
    } else if ask.head.stream {
        stream_events(call, reader, options.event_ids).await
    } else {
        answer::whole(reader, ask.head.dialect).await
    }
    .unwrap_or_else(|fault| refuse(&fault, ask.head.dialect, &call.context.request_id));
    // A failed generation has a stream too: its id and route help to diagnose the error.
    headers::add_stream_headers(&mut response, &stream);
    response.extensions_mut().insert(limit_states);
    response
}

/// Returns a streamed answer, once its status is decided.
async fn stream_events(
    call: &Call<'_>,
    reader: Reader,
    ids: bool,
) -> Result<Response<Reply>, Fault> {
    let profile = call.codec().profile();
    let mut early = false;
    if !profile.answers_at_once {
        match decide(&reader, call.snapshot.settings.commit_after).await {
            Decision::Content => {}
            Decision::Early => early = true,
            Decision::Refused(fault) => return Err(*fault),
        }
    }
    let stream = reader.stream().clone();
    let ids = ids || profile.ids_by_default;
    let mut live = live_stream(call, reader, call.dialect, ids);
    // After `commit_after` without content, one heartbeat follows the head at once.
    live.heartbeat_due = early;
    let response = headers::event_stream(&stream, Reply::live(live));
    Ok(headers::mark_stream(response, profile))
}

impl Options {
    /// Returns true if the client does not wait for the answer (`Prefer: respond-async`).
    fn is_detached(&self, dialect: DialectId) -> bool {
        self.respond_async && dialect::of(dialect).profile().detachable
    }
}

/// Returns true if the answer was requested as a background response.
fn is_background(ask: &Ask) -> bool {
    ask.head
        .responses
        .as_ref()
        .is_some_and(|asked| asked.background)
}

/// Returns 202 with the status and the location of the running stream.
fn accepted_response(stream: &Stream) -> Response<Reply> {
    let mut response = status_response(stream, StatusCode::ACCEPTED, true);
    if let Ok(place) = HeaderValue::try_from(format!("/v1/streams/{}", stream.id())) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response.headers_mut().insert(
        "preference-applied",
        HeaderValue::from_static("respond-async"),
    );
    response
}

/// Returns the requested model, or the configured one if the request names none.
fn model_or_default(
    asked: &ByteString,
    configured: Option<&ByteString>,
) -> Result<ByteString, Fault> {
    if !asked.is_empty() {
        return Ok(asked.clone());
    }
    let missing = || {
        Fault::invalid(
            "model",
            "`model` is missing: send it in the body, or set `ui.model` in the configuration",
        )
    };
    configured.cloned().ok_or_else(missing)
}
