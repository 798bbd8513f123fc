//! The path of a generation request, from top to bottom.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;

use super::decide::{Decision, decide};
use super::heartbeat::Heartbeat;
use super::lifecycle::Phase;
use super::live::{self, Live};
use super::options::Options;
use super::refuse::refuse;
use super::reply::Reply;
use super::{
    Gateway, RequestContext, Snapshot, affinity, answer, body, budget_reservation, conversation,
    headers, responses, status,
};
use crate::auth::{Caller, TokenLimits};
use crate::codec::sse_writer::EventIds;
use crate::dialect;
use crate::hub::{Claim, ClaimOutcome, Digest, Reader, Stream, StreamSpec};
use crate::ledger::{Begun, BudgetReservation};
use crate::limits::limit_state::LimitStates;
use crate::limits::{Limit, Need, Pass, Subject};
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::printable::printable_name;
use crate::model::target::Via;
use crate::model::wire::DialectId;
use crate::route::Plan;
use crate::upstream::{self, Job};

impl Gateway {
    /// Answers a request for a generation: begins a new one, or joins the one that the same request
    /// has begun before.
    pub(super) async fn serve<B>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        dialect: DialectId,
        request: Request<B>,
    ) -> Result<Response<Reply>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, incoming) = request.into_parts();
        let caller = snapshot
            .auth
            .identify(&context.auth_request(&head.method, &head.headers))
            .await?;
        // Headers are checked before the claim is registered, so that a rejected request leaves no
        // claim.
        body::require_json(&head.headers)?;
        let options = Options::parse(&head.headers)?;
        // The claim is registered before the body is read, so that a cancel finds the stream under
        // its name at once.
        let claim = self.hub.claim(&caller.id, options.claims.clone());
        let body = body::collect(incoming, snapshot.settings.max_body).await?;
        // A resume never begins a generation: its claim is dropped unused.
        if let Some(last) = &options.last_event_id {
            return self.resume_post(snapshot, &caller, dialect, last, &body);
        }
        // An invalid body is rejected before it can take the claim.
        let codec = dialect::of(dialect);
        let mut ask = codec.parse(&head.headers, body.clone())?;
        ask.model =
            conversation::model_or_default(&ask.model, snapshot.settings.ui_model.as_ref())?;
        match claim.settle(codec.profile().path, &body).await? {
            // Joining takes nothing from any limit or budget.
            ClaimOutcome::Joined(stream) => {
                let reader = Reader::attach(&stream, None)?;
                self.reply(
                    snapshot,
                    context,
                    reader,
                    &ask,
                    &options,
                    LimitStates::default(),
                )
                .await
            }
            ClaimOutcome::New(claim, digest) => {
                // Only a new generation needs its history; a joined one was begun with it.
                let ask = Arc::new(self.with_history(snapshot, &caller, ask).await?);
                let (need, reserve) = (need(snapshot, &ask), |plan: &Plan| {
                    self.reserve_budget(snapshot, &caller, &ask, plan)
                });
                let (plan, pass, budget) = match self
                    .admit(snapshot, context, &caller, &ask, need, reserve)
                {
                    Ok(admitted) => admitted,
                    Err(refusal) => return Ok(self.refusal_response(&refusal, dialect, context)),
                };
                // Copied out before `begin` moves them into the task.
                let (limit_states, warnings) = (pass.limit_states, budget.warnings.clone());
                let reader = self.begin(
                    snapshot,
                    &caller,
                    claim,
                    digest,
                    &ask,
                    &options,
                    (plan, pass, budget),
                );
                let mut response = self
                    .reply(snapshot, context, reader, &ask, &options, limit_states)
                    .await?;
                budget_reservation::add_budget_warning(&warnings, &mut response);
                Ok(response)
            }
        }
    }

    /// Checks everything that can reject a new generation, before an upstream is asked.
    ///
    /// `reserve` runs before the limits take anything. Its reservation is released on drop if the
    /// limits reject the request.
    pub(super) fn admit<T>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        caller: &Caller,
        ask: &Ask,
        need: Need,
        reserve: impl FnOnce(&Plan) -> Result<T, Fault>,
    ) -> Result<(Plan, Pass, T), Box<Refusal>> {
        // While draining, requests may still join and resume streams: only new generations are
        // rejected.
        if self.lifecycle.phase() != Phase::Serving {
            let fault = Fault::new(
                Code::ShuttingDown,
                "this instance is shutting down: send the request again",
            )
            .with_retry_after(std::time::Duration::from_secs(1));
            return Err(fault.into());
        }
        let plan = snapshot.routes.plan(
            &ask.model,
            |model| caller.may_use(model),
            || affinity::key(&caller.id, ask),
        )?;
        if let Some(other) = ask.models.iter().find(|model| !caller.may_use(model)) {
            return Err(model_not_allowed(other).into());
        }
        self.check_references(caller, ask)?;
        // A target on another wire needs a translation of the body.
        let foreign = |via: &Via| matches!(via, Via::Http { wire, .. } if Some(*wire) != ask.shape);
        if plan.targets().all(|target| foreign(&target.provider.via)) {
            // Report an untranslatable request now, while it can still be a status. If some targets
            // take the body unchanged, the others are skipped later.
            ask.chat()?;
        }
        let reserved = reserve(&plan)?;
        let pass = take_limits(snapshot, context, caller, ask, &plan, need)?;
        Ok((plan, pass, reserved))
    }

    /// Counts a rejection and returns its response.
    pub(super) fn refusal_response(
        &self,
        refusal: &Refusal,
        dialect: DialectId,
        context: &RequestContext,
    ) -> Response<Reply> {
        self.count_refused(&refusal.fault);
        let mut response = refuse(&refusal.fault, dialect, &context.request_id);
        response.extensions_mut().insert(refusal.limit_states);
        response
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the end of the path needs everything that was determined on it"
    )]
    fn begin(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        claim: Claim,
        digest: Digest,
        ask: &Arc<Ask>,
        options: &Options,
        (plan, pass, budget): (Plan, Pass, BudgetReservation),
    ) -> Reader {
        let spec = StreamSpec {
            owner: caller.id.clone(),
            dialect: ask.dialect,
            model: ask.model.clone(),
            conversation: ask.conversation.clone(),
            responses: ask.responses.clone(),
            choices: ask.choices,
            input_estimate: ask.input_estimate,
            include_usage: ask.include_usage,
            streamed: ask.stream,
            payload_ids: dialect::of(ask.dialect).profile().payload_ids,
            digest,
            on_disconnect: options.on_disconnect(
                snapshot.hub.on_disconnect,
                ask.dialect,
                options.is_detached(ask.dialect) || is_background(ask),
            ),
            // A request can only shorten the retention.
            retention: options.retention.map_or(snapshot.hub.retention, |asked| {
                asked.min(snapshot.hub.retention)
            }),
            max_bytes: snapshot.hub.max_stream,
            max_readers: snapshot.hub.readers,
        };
        let (writer, reader) = self.hub.begin(claim, spec);
        let begun = Begun {
            stream: writer.stream().id(),
            dialect: ask.dialect.name(),
            model: &ask.model,
            input_estimate: ask.input_estimate,
        };
        let bill = Some(budget.begin(&begun));
        let job = Job {
            ask: ask.clone(),
            plan,
            writer,
            pass,
            bill,
            clients: snapshot.clients.clone(),
            recorder: snapshot.recorder.clone(),
            metrics: self.metrics.clone(),
            finishing: self.finishing.clone(),
            commit_after: snapshot.settings.commit_after,
        };
        let working = self.lifecycle.work();
        // The task outlives the client: the `on_disconnect` policy of the stream decides what
        // follows.
        self.tasks.spawn(async move {
            upstream::run(job).await;
            // Dropped only now: a drain waits until the generation has ended.
            let _done = working;
        });
        reader
    }

    /// Returns the answer to a request that began or joined a generation.
    async fn reply(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        reader: Reader,
        ask: &Ask,
        options: &Options,
        limit_states: LimitStates,
    ) -> Result<Response<Reply>, Fault> {
        let stream = reader.stream().clone();
        let mut response = if options.is_detached(ask.dialect) {
            reader.leave();
            Ok(accepted_response(&stream))
        } else if is_background(ask) && !ask.stream {
            reader.leave();
            responses::object_response(&stream)
        } else if ask.stream {
            self.stream(
                snapshot,
                reader,
                ask.dialect,
                options.event_ids || dialect::of(ask.dialect).profile().answers_at_once,
            )
            .await
        } else {
            answer::whole(reader, ask.dialect).await
        }
        .unwrap_or_else(|fault| refuse(&fault, ask.dialect, &context.request_id));
        // A failed generation has a stream too: its id and route help to diagnose the error.
        headers::add_stream_headers(&mut response, &stream);
        response.extensions_mut().insert(limit_states);
        Ok(response)
    }

    /// Returns a streamed answer, once its status is decided.
    async fn stream(
        &self,
        snapshot: &Snapshot,
        reader: Reader,
        dialect: DialectId,
        ids: bool,
    ) -> Result<Response<Reply>, Fault> {
        let profile = dialect::of(dialect).profile();
        let mut early = false;
        if !profile.answers_at_once {
            match decide(&reader, snapshot.settings.commit_after).await {
                Decision::Content => {}
                Decision::Early => early = true,
                Decision::Refused(fault) => return Err(*fault),
            }
        }
        let stream = reader.stream().clone();
        let mut live = self.live_stream(snapshot, reader, dialect, ids);
        // After `commit_after` without content, one heartbeat follows the head at once.
        live.heartbeat_due = early;
        let response = headers::event_stream(&stream, Reply::live(live));
        Ok(headers::mark_stream(response, profile))
    }

    /// Creates the stream of a reader in a dialect, from the reader's position on.
    pub(super) fn live_stream(
        &self,
        snapshot: &Snapshot,
        reader: Reader,
        dialect: DialectId,
        ids: bool,
    ) -> Live {
        let codec = dialect::of(dialect);
        let view = answer::reader_view(&reader, dialect);
        // Raw replies pass payloads on unchanged.
        let passed_on = view.raw && dialect.wire().is_some();
        let merge = !passed_on && codec.profile().mergeable;
        let ids = ids.then(|| EventIds {
            stream: reader.stream().id().as_str().to_owned().into(),
            dialect: dialect.name(),
        });
        let (encoder, out) = live::encoder_at(&reader, codec.encoder(view), ids);
        let mut live = Live::new(
            reader,
            encoder,
            out,
            codec,
            Heartbeat::new(snapshot.settings.heartbeat),
        );
        live.merge = merge;
        live
    }
}

impl Options {
    /// Returns true if the client does not wait for the answer (`Prefer: respond-async`).
    fn is_detached(&self, dialect: DialectId) -> bool {
        self.respond_async && dialect::of(dialect).profile().detachable
    }
}

/// Returns true if the answer was requested as a background response.
fn is_background(ask: &Ask) -> bool {
    ask.responses.as_ref().is_some_and(|asked| asked.background)
}

/// Returns the limits that a JWT contains.
pub(super) const fn token_limits(limits: &TokenLimits) -> Limit {
    let TokenLimits {
        requests_per_minute,
        tokens_per_minute,
        concurrent_streams,
        burst,
    } = *limits;
    Limit {
        requests_per_minute,
        tokens_per_minute,
        concurrent_streams,
        burst,
    }
}

/// Returns the tokens to reserve for a request.
fn need(snapshot: &Snapshot, ask: &Ask) -> Need {
    Need {
        input: ask.input_estimate,
        output: ask.expected_output(snapshot.limits.reserve_output()),
    }
}

/// Takes the request from all limits in one step.
///
/// # Errors
/// The limit that rejects the request.
fn take_limits(
    snapshot: &Snapshot,
    context: &RequestContext,
    caller: &Caller,
    ask: &Ask,
    plan: &Plan,
    need: Need,
) -> Result<Pass, Box<Refusal>> {
    let subject = Subject {
        client: context.client,
        caller: &caller.id,
        key: caller.key(),
        team: caller.team(),
        // The verified user of a JWT takes precedence over the one that the body names.
        user: caller.user().or(ask.user.as_ref()).map(|user| &**user),
        model: &ask.model,
        own: caller.limits().map(token_limits),
    };
    let providers = plan.targets().map(|target| &target.provider.name);
    let admitted = snapshot.limits.admit(&subject, providers, need);
    admitted.map_err(|refused| {
        Box::new(Refusal {
            fault: refused.fault,
            limit_states: refused.limit_states,
        })
    })
}

/// Returns the error for a fallback model in the body that the key may not use: the upstream could
/// pick it instead of `model`.
fn model_not_allowed(model: &str) -> Fault {
    // The name is repeated in the error: no control characters, and a bounded length.
    let printable = printable_name(model);
    Fault::new(
        Code::ModelNotAllowed,
        format!("this key may not use the model `{printable}`"),
    )
    .with_param("models")
}

/// The rejection of a new generation, with the limit states for the response headers.
pub(super) struct Refusal {
    fault: Fault,
    limit_states: LimitStates,
}

impl From<Fault> for Box<Refusal> {
    fn from(fault: Fault) -> Self {
        Box::new(Refusal {
            fault,
            limit_states: LimitStates::default(),
        })
    }
}

/// Returns 202 with the status and the location of the running stream.
fn accepted_response(stream: &Stream) -> Response<Reply> {
    let mut response = headers::json(StatusCode::ACCEPTED, status::stream_json(stream, true));
    if let Ok(place) = HeaderValue::try_from(format!("/v1/streams/{}", stream.id())) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response.headers_mut().insert(
        "preference-applied",
        HeaderValue::from_static("respond-async"),
    );
    response
}
