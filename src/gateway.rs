//! The path of a request: who, what, may they — then a stream, and the answer that follows its
//! journal.
//!
//! Invariants: one [`Snapshot`] for a request, so that a reload never changes it half-way; every
//! stream is looked up under the caller that asks; an answer's status is decided once; nothing of a
//! request is logged here.

mod affinity;
mod answer;
mod body;
mod budget_reservation;
mod conversation;
mod count;
mod decide;
mod headers;
mod heartbeat;
pub mod lifecycle;
mod live;
mod models;
mod options;
pub mod pages;
mod past;
mod query;
pub mod refuse;
pub mod reply;
mod responses;
mod routes;
mod serve;
mod status;
mod streams;
mod tickets;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body;
use tokio_util::task::TaskTracker;

use crate::auth::{Asking, Auth, Caller};
use crate::hub::{self, Hub};
use crate::ledger::{Budgets, Ledger};
use crate::limits::LimitTable;
use crate::model::fault::{Code, Fault};
use crate::model::money::Money;
use crate::route::Routes;
use crate::telemetry::metrics::{Format, Levels, Metrics};
use crate::upstream::{Clients, Finishing, Recorder};
use lifecycle::Lifecycle;
use refuse::refuse;
use reply::Reply;
use routes::Endpoint;
use tickets::Right;

pub use routes::spoken;

/// The times of a reply, and what is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How long the status of a streaming answer may stay open.
    pub commit_after: Duration,
    /// Silence after which a connection is kept alive.
    pub heartbeat: Duration,
    /// The largest request body, bytes.
    pub max_body: usize,
    /// The page at `/`.
    pub playground: bool,
    /// The model of the dialect `ui` where the client names none (`ui.model`).
    pub ui_model: Option<ByteString>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            commit_after: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            max_body: 20 << 20,
            playground: true,
            ui_model: None,
        }
    }
}

/// What the edge knows of a request before anybody has read it.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// The request's id: the client's own where it is well-formed, else a new one.
    pub request_id: ByteString,
    /// The client's address, behind trusted proxies; the loopback address on Unix sockets.
    pub client: IpAddr,
    /// The listener is a loopback one.
    pub loopback: bool,
    /// A proxy has forwarded it.
    pub forwarded: bool,
    /// It comes from a page of the listener's own, or of an origin that is allowed by name.
    pub trusted_page: bool,
}

impl RequestContext {
    /// What of its request tells who asks.
    fn asking<'a>(&self, method: &'a Method, headers: &'a HeaderMap) -> Asking<'a> {
        Asking {
            method,
            headers,
            trusted_page: self.trusted_page,
        }
    }
}

/// The configuration of the moment, ready for use.
#[derive(Debug)]
pub struct Snapshot {
    /// Replies.
    pub settings: Settings,
    /// Journals.
    pub hub: hub::Settings,
    /// Callers.
    pub auth: Auth,
    /// Limits.
    pub limits: Arc<LimitTable>,
    /// What may be spent.
    pub budgets: Budgets,
    /// Models.
    pub routes: Routes,
    /// HTTP clients.
    pub clients: Arc<Clients>,
    /// Recordings.
    pub recorder: Recorder,
}

/// Everything behind the edge. Built once; reads the house of the moment for each request.
#[derive(Debug)]
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    hub: Hub,
    ledger: Arc<Ledger>,
    finishing: Arc<Finishing>,
    lifecycle: Arc<Lifecycle>,
    metrics: Metrics,
    tasks: TaskTracker,
    /// Unix seconds: when models came into being, as far as clients are told.
    began: u64,
}

/// What is going on at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Streams that run.
    pub running: usize,
    /// Readers attached.
    pub readers: usize,
    /// Slots of concurrency that are taken, over all limits.
    pub permits: usize,
    /// Tokens that are reserved for what runs, or taken for it and not settled, over all limits.
    pub reserved: u64,
    /// Money that is reserved for what runs, over all budgets.
    pub reserved_money: Money,
}

impl Gateway {
    /// A gateway with this house, which counts by these metrics.
    #[must_use]
    pub fn new(
        snapshot: Snapshot,
        ledger: Arc<Ledger>,
        lifecycle: Arc<Lifecycle>,
        metrics: Metrics,
    ) -> Self {
        let hub = Hub::new(snapshot.hub.memory);
        let began = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (snapshot, finishing, tasks) = (
            ArcSwap::from_pointee(snapshot),
            Arc::default(),
            TaskTracker::new(),
        );
        Self {
            snapshot,
            hub,
            ledger,
            finishing,
            lifecycle,
            metrics,
            tasks,
            began,
        }
    }

    /// Changes the house, for requests from now on. Streams and the fills of limits stay.
    pub fn replace(&self, snapshot: Snapshot) {
        self.hub.set_memory(snapshot.hub.memory);
        self.snapshot.store(Arc::new(snapshot));
    }

    /// The house of the moment.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The streams.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// What was spent.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Ends every running stream, and closes every upstream that is read on, as this instance is
    /// about to stop.
    pub fn shut_down(&self) {
        self.hub.shut_down();
        self.finishing.stop();
    }

    /// What is going on.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let (running, readers) = self.hub.counts();
        let held = self.snapshot.load().limits.held();
        Gauges {
            running,
            readers,
            permits: held.slots,
            reserved: held.reserved,
            reserved_money: self.ledger.reserved(),
        }
    }

    /// What has been counted, and what is going on, as scrapers read it.
    ///
    /// # Errors
    /// A bug of ours, where it cannot be written.
    pub fn scrape(&self, format: Format) -> Result<String, Fault> {
        let Gauges {
            running,
            readers,
            permits,
            reserved: reserved_tokens,
            reserved_money: reserved_cost,
        } = self.gauges();
        let now = Levels {
            running,
            readers,
            permits,
            reserved_tokens,
            reserved_cost,
        };
        self.metrics
            .written(&now, format)
            .map_err(|_| Fault::new(Code::InternalError, "the metrics cannot be written"))
    }

    /// Counts a request that is refused, here or at the edge.
    pub fn count_refused(&self, fault: &Fault) {
        self.metrics.refused(fault);
    }

    /// Answers one request that the edge has let in, wherever its body comes from.
    pub async fn handle<B>(&self, context: RequestContext, request: Request<B>) -> Response<Reply>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let snapshot = self.snapshot.load_full();
        let endpoint = routes::find(request.method(), request.uri().path());
        let dialect = spoken(&request);
        let dialect = endpoint
            .as_ref()
            .map_or(dialect, |endpoint| endpoint.dialect(dialect));
        let answered = match endpoint {
            Ok(endpoint) => self.answer(&snapshot, &context, endpoint, request).await,
            Err(fault) => Err(fault),
        };
        answered.unwrap_or_else(|fault| {
            self.count_refused(&fault);
            refuse(&fault, dialect, &context.request_id)
        })
    }

    async fn answer<B>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        endpoint: Endpoint,
        request: Request<B>,
    ) -> Result<Response<Reply>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match endpoint {
            Endpoint::Playground if snapshot.settings.playground => Ok(pages::playground()),
            Endpoint::Playground => Err(Fault::new(
                Code::NotFound,
                "the playground is switched off (`server.playground`)",
            )),
            Endpoint::Client => Ok(pages::client(request.headers())),
            Endpoint::Generate(dialect) => self.serve(snapshot, context, dialect, request).await,
            Endpoint::Count => self.count(snapshot, context, request).await,
            Endpoint::Models => self.models(
                snapshot,
                &self.identify(snapshot, context, &request).await?,
                spoken(&request),
                request.uri(),
            ),
            Endpoint::Model(name) => self.model(
                snapshot,
                &self.identify(snapshot, context, &request).await?,
                &name,
                spoken(&request),
            ),
            Endpoint::List => self.list(
                context,
                &self.identify(snapshot, context, &request).await?,
                &request,
            ),
            Endpoint::Read(id) => self.read(
                snapshot,
                &self
                    .holder(snapshot, context, &request, &id, Right::Read)
                    .await?,
                &id,
                &request,
            ),
            Endpoint::Cancel(id) => {
                self.cancel(
                    &self
                        .holder(snapshot, context, &request, &id, Right::Cancel)
                        .await?,
                    &id,
                )
                .await
            }
            Endpoint::Ticket(id) => {
                self.ticket(
                    snapshot,
                    &self.identify(snapshot, context, &request).await?,
                    &id,
                    request,
                )
                .await
            }
            Endpoint::ReadResponse(id) => self.read_response(
                snapshot,
                &self.identify(snapshot, context, &request).await?,
                &id,
                &request,
            ),
            Endpoint::CancelResponse(id) => {
                self.cancel_response(&self.identify(snapshot, context, &request).await?, &id)
                    .await
            }
            Endpoint::ForgetResponse(id) => {
                self.forget_response(&self.identify(snapshot, context, &request).await?, &id)
                    .await
            }
            Endpoint::InputItems(id) => self.input_items(
                &self.identify(snapshot, context, &request).await?,
                &id,
                request.uri(),
            ),
            Endpoint::ResumeChat(chat) => self.resume(
                snapshot,
                &self.identify(snapshot, context, &request).await?,
                &chat,
                &request,
            ),
            Endpoint::StopChat(chat) => {
                self.stop(
                    &self.identify(snapshot, context, &request).await?,
                    &chat,
                    request,
                )
                .await
            }
            Endpoint::Forget(id) => {
                self.forget(&self.identify(snapshot, context, &request).await?, &id)
                    .await
            }
        }
    }

    /// Counts a read, as soon as it is known whose it is.
    fn count_read(&self, caller: &Caller) -> Result<(), Fault> {
        let own = caller.limits().map(serve::of_token);
        self.snapshot
            .load()
            .limits
            .read(&caller.id, caller.key(), own)
            .map_err(|fault| *fault)
    }

    async fn identify<B>(
        &self,
        snapshot: &Snapshot,
        context: &RequestContext,
        request: &Request<B>,
    ) -> Result<Caller, Fault> {
        snapshot
            .auth
            .identify(&context.asking(request.method(), request.headers()))
            .await
    }
}

/// True where the client wants the head alone.
fn head_only<B>(request: &Request<B>) -> bool {
    request.method() == Method::HEAD
}

/// True where the client reads event streams.
fn wants_events<B>(request: &Request<B>) -> bool {
    let accepts = |value: &http::HeaderValue| {
        value
            .to_str()
            .is_ok_and(|text| text.contains("text/event-stream"))
    };
    request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .any(accepts)
}
