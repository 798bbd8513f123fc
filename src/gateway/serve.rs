//! The path of a generation, top to bottom.

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
use crate::auth::{Caller, Figures};
use crate::codec::sse_writer::Ids;
use crate::dialect;
use crate::hub::{Claim, Digest, Reader, Settled, Stream, StreamSpec};
use crate::ledger::{Begun, BudgetReservation};
use crate::limits::limit_state::LimitStates;
use crate::limits::{Limit, Need, Pass, Who};
use crate::model::ask::Ask;
use crate::model::fault::{Code, Fault};
use crate::model::target::Via;
use crate::model::wire::DialectId;
use crate::route::Plan;
use crate::upstream::{self, Job};

impl Gateway {
    /// A new generation, or one that the same request has begun before.
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
            .identify(&context.asking(&head.method, &head.headers))
            .await?;
        body::require_json(&head.headers)?;
        let options = Options::of(&head.headers)?;
        let claim = self.hub.claim(&caller.id, options.claims.clone());
        let body = body::collect(incoming, snapshot.settings.max_body).await?;
        if let Some(last) = &options.last_event_id {
            return self.repost(snapshot, &caller, dialect, last, &body);
        }
        let mut ask = dialect::of(dialect).parse(&head.headers, body.clone())?;
        ask.model = conversation::model(&ask.model, snapshot.settings.ui_model.as_ref())?;
        match claim.settle(path(dialect), &body).await? {
            Settled::Joined(stream) => {
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
            Settled::New(claim, digest) => {
                let ask = Arc::new(self.with_past(snapshot, &caller, ask).await?);
                let (need, afford) = (need(snapshot, &ask), |plan: &Plan| {
                    self.afford(snapshot, &caller, &ask, plan)
                });
                let (plan, pass, hold) = match self
                    .admit(snapshot, context, &caller, &ask, need, afford)
                {
                    Ok(admitted) => admitted,
                    Err(refused) => return Ok(self.refused_response(&refused, dialect, context)),
                };
                let (limit_states, warnings) = (pass.limit_states, hold.warnings.clone());
                let reader = self.begin(
                    snapshot,
                    &caller,
                    claim,
                    digest,
                    &ask,
                    &options,
                    (plan, pass, hold),
                );
                let mut response = self
                    .reply(snapshot, context, reader, &ask, &options, limit_states)
                    .await?;
                budget_reservation::warn(&warnings, &mut response);
                Ok(response)
            }
        }
    }

    /// All that may refuse a new generation, before an upstream is asked. What `afford` reserves
    /// comes before limits take anything, and is given back where they refuse.
    pub(super) fn admit<T>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        caller: &Caller,
        ask: &Ask,
        need: Need,
        afford: impl FnOnce(&Plan) -> Result<T, Fault>,
    ) -> Result<(Plan, Pass, T), Box<Refusal>> {
        if self.lifecycle.phase() != Phase::Serving {
            let fault = Fault::new(
                Code::ShuttingDown,
                "this instance is about to stop: ask again",
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
            return Err(not_allowed(other).into());
        }
        self.may_refer(caller, ask)?;
        let foreign = |via: &Via| matches!(via, Via::Http { wire, .. } if Some(*wire) != ask.shape);
        if plan.targets().all(|target| foreign(&target.provider.via)) {
            // Said now, while it can still be a status. Where some take it as it came, the others
            // are passed over.
            ask.chat()?;
        }
        let held = afford(&plan)?;
        let pass = limited(snapshot, context, caller, ask, &plan, need)?;
        Ok((plan, pass, held))
    }

    /// What a client is told whose generation is refused.
    pub(super) fn refused_response(
        &self,
        refused: &Refusal,
        dialect: DialectId,
        context: &RequestContext,
    ) -> Response<Reply> {
        self.count_refused(&refused.fault);
        let mut response = refuse(&refused.fault, dialect, &context.request_id);
        response.extensions_mut().insert(refused.limit_states);
        response
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the end of the path: all that was found out on it"
    )]
    fn begin(
        &self,
        snapshot: &Snapshot,
        caller: &Caller,
        claim: Claim,
        digest: Digest,
        ask: &Arc<Ask>,
        options: &Options,
        (plan, pass, hold): (Plan, Pass, BudgetReservation),
    ) -> Reader {
        let spec = StreamSpec {
            owner: caller.id.clone(),
            dialect: ask.dialect,
            model: ask.model.clone(),
            conversation: ask.conversation.clone(),
            asked: ask.asked.clone(),
            choices: ask.choices,
            input_estimate: ask.input_estimate,
            include_usage: ask.include_usage,
            streamed: ask.stream,
            digest,
            on_disconnect: options.on_disconnect(
                snapshot.hub.on_disconnect,
                ask.dialect,
                options.detached(ask.dialect) || in_background(ask),
            ),
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
        let bill = Some(hold.begin(&begun));
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
        // It outlives the client: what happens then is the stream's own policy.
        self.tasks.spawn(async move {
            upstream::run(job).await;
            let _done = working;
        });
        reader
    }

    /// The answer to a request for a generation, whether it began it or joined it.
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
        let mut response = if options.detached(ask.dialect) {
            reader.leave();
            Ok(accepted(&stream))
        } else if in_background(ask) && !ask.stream {
            reader.leave();
            responses::object_response(&stream)
        } else if ask.stream {
            self.stream(
                snapshot,
                reader,
                ask.dialect,
                options.event_ids || ask.dialect.answers_at_once(),
            )
            .await
        } else {
            answer::whole(reader, ask.dialect).await
        }
        .unwrap_or_else(|fault| refuse(&fault, ask.dialect, &context.request_id));
        headers::name_stream(&mut response, &stream);
        response.extensions_mut().insert(limit_states);
        Ok(response)
    }

    /// A streamed answer: its head when the status is decided.
    async fn stream(
        &self,
        snapshot: &Snapshot,
        reader: Reader,
        dialect: DialectId,
        ids: bool,
    ) -> Result<Response<Reply>, Fault> {
        let mut early = false;
        if !dialect.answers_at_once() {
            match decide(&reader, snapshot.settings.commit_after).await {
                Decision::Content => {}
                Decision::Early => early = true,
                Decision::Refused(fault) => return Err(*fault),
            }
        }
        let stream = reader.stream().clone();
        let mut live = self.live(snapshot, reader, dialect, ids);
        live.beat_now = early;
        let response = headers::event_stream(&stream, Reply::live(live));
        Ok(if dialect == DialectId::Ui {
            headers::ui(response)
        } else {
            response
        })
    }

    /// A reader's stream in a dialect, from the reader's place on.
    pub(super) fn live(
        &self,
        snapshot: &Snapshot,
        reader: Reader,
        dialect: DialectId,
        ids: bool,
    ) -> Live {
        let speaker = dialect::of(dialect);
        let view = answer::view(&reader, dialect);
        // The events of a response are numbered, the same for all.
        let merge =
            !(view.raw && dialect.wire().is_some()) && dialect != DialectId::OpenaiResponses;
        let ids = ids.then(|| Ids {
            stream: reader.stream().id().as_str().to_owned().into(),
            dialect: dialect.name(),
        });
        let (encoder, out) = live::caught_up(&reader, speaker.encoder(view), ids);
        let mut live = Live::new(
            reader,
            encoder,
            out,
            speaker,
            Heartbeat::new(snapshot.settings.heartbeat),
        );
        live.merge = merge;
        live
    }
}

impl Options {
    /// The client does not wait: it was told where to look.
    fn detached(&self, dialect: DialectId) -> bool {
        self.respond_async && dialect == DialectId::Events
    }
}

/// The client has asked for an answer that runs whether or not anybody reads it.
fn in_background(ask: &Ask) -> bool {
    ask.asked.as_ref().is_some_and(|asked| asked.background)
}

/// The figures that a token brings.
pub(super) const fn of_token(figures: &Figures) -> Limit {
    let Figures {
        requests_per_minute,
        tokens_per_minute,
        concurrent_streams,
        burst,
    } = *figures;
    Limit {
        requests_per_minute,
        tokens_per_minute,
        concurrent_streams,
        burst,
    }
}

/// The tokens that are reserved for it.
fn need(snapshot: &Snapshot, ask: &Ask) -> Need {
    Need {
        input: ask.input_estimate,
        output: ask.expected_output(snapshot.limits.reserve_output()),
    }
}

/// What the limits say to it.
fn limited(
    snapshot: &Snapshot,
    context: &RequestContext,
    caller: &Caller,
    ask: &Ask,
    plan: &Plan,
    need: Need,
) -> Result<Pass, Box<Refusal>> {
    let who = Who {
        client: context.client,
        caller: &caller.id,
        key: caller.key(),
        team: caller.team(),
        user: caller.user().or(ask.user.as_ref()).map(|user| &**user),
        model: &ask.model,
        own: caller.limits().map(of_token),
    };
    let providers = plan.targets().map(|target| &target.provider.name);
    let admitted = snapshot.limits.admit(&who, providers, need);
    admitted.map_err(|refused| {
        Box::new(Refusal {
            fault: refused.fault,
            limit_states: refused.limit_states,
        })
    })
}

/// A model that the body names beside its own, so that the upstream may take it instead.
fn not_allowed(model: &str) -> Fault {
    let shown: String = model
        .chars()
        .filter(|c| !c.is_control())
        .take(100)
        .collect();
    Fault::new(
        Code::ModelNotAllowed,
        format!("this key may not use the model `{shown}`"),
    )
    .with_param("models")
}

/// Why a new generation is refused.
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

/// 202: the stream runs, and this is where it is.
fn accepted(stream: &Stream) -> Response<Reply> {
    let mut response = headers::json(StatusCode::ACCEPTED, status::of(stream, true));
    if let Ok(place) = HeaderValue::try_from(format!("/v1/streams/{}", stream.id())) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response.headers_mut().insert(
        "preference-applied",
        HeaderValue::from_static("respond-async"),
    );
    response
}

/// The path that a digest is made over: the same for all spellings of it.
pub(super) const fn path(dialect: DialectId) -> &'static str {
    match dialect {
        DialectId::OpenaiChat => "/v1/chat/completions",
        DialectId::OpenaiResponses => "/v1/responses",
        DialectId::Anthropic => "/v1/messages",
        DialectId::Events => "/v1/streams",
        DialectId::Ui => "/v1/ui/chat",
    }
}
