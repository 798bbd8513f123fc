//! The path of a request: authenticate the caller, admit the request, begin or find a stream, and
//! answer by following its journal.
//!
//! Invariants: one request uses one [`Snapshot`], so a reload never changes the configuration
//! halfway; every stream is looked up under the caller that requests it; the status of an answer is
//! decided once; nothing about a request is logged in this file.

mod admit;
mod affinity;
mod answer;
mod body;
mod budget_reservation;
mod call;
mod conversation;
mod count;
mod decide;
mod dispatch;
mod follow;
mod headers;
mod heartbeat;
mod history;
pub mod lifecycle;
mod live;
mod models;
mod options;
pub mod pages;
mod query;
pub mod refuse;
pub mod reply;
mod responses;
mod routes;
mod serve;
mod status;
mod stop;
mod streams;
mod tickets;
mod view;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use bytestring::ByteString;
use http::{Request, Response};
use http_body::Body;
use tokio_util::task::TaskTracker;

use crate::auth::Auth;
use crate::hub::{self, Hub};
use crate::ledger::{Budgets, Ledger};
use crate::limits::LimitTable;
use crate::model::fault::{Code, Fault};
use crate::model::money::Money;
use crate::route::Routes;
use crate::telemetry::metrics::{Format, Gauges, Metrics};
use crate::upstream::{Clients, Finishing, Recorder};
use lifecycle::Lifecycle;
use refuse::refuse;
use reply::Reply;

pub use routes::{METHODS, dialect_of, is_cancel};

/// Timing of replies, and bounds on requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Maximum time before a streaming answer sends its status.
    pub commit_after: Duration,
    /// Interval of silence after which a heartbeat is sent.
    pub heartbeat: Duration,
    /// Maximum size of a request body, bytes.
    pub max_body: usize,
    /// True if the playground is served at `/` (`server.playground`).
    pub playground: bool,
    /// Model for requests of the dialect `ui` that name none (`ui.model`).
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

/// Facts about a request that the edge knows before the request is read.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Id of the request: the one the client sent if it is well-formed, otherwise a new one.
    pub request_id: ByteString,
    /// Address of the client, as trusted proxies report it; the loopback address on Unix sockets.
    pub client: IpAddr,
    /// True if the listener is bound to a loopback address.
    pub loopback: bool,
    /// True if a proxy forwarded the request.
    pub forwarded: bool,
    /// True if the request comes from a page of the listener's own origin, or of an origin that is
    /// allowed by name.
    pub trusted_page: bool,
}

/// The current configuration, built and ready for use.
#[derive(Debug)]
pub struct Snapshot {
    /// Settings of requests and replies.
    pub settings: Settings,
    /// Settings of streams and their journals.
    pub hub: hub::Settings,
    /// Authentication of callers.
    pub auth: Auth,
    /// Limits on requests, tokens and concurrency.
    pub limits: Arc<LimitTable>,
    /// Budgets of money.
    pub budgets: Budgets,
    /// Models and their routes.
    pub routes: Routes,
    /// HTTP clients for the upstreams.
    pub clients: Arc<Clients>,
    /// Recorder of upstream responses.
    pub recorder: Recorder,
}

/// Serves the requests that the edge accepts. It is built once, and loads the current [`Snapshot`]
/// for each request.
#[derive(Debug)]
pub struct Gateway {
    snapshot: ArcSwap<Snapshot>,
    hub: Hub,
    ledger: Arc<Ledger>,
    finishing: Arc<Finishing>,
    lifecycle: Arc<Lifecycle>,
    metrics: Metrics,
    tasks: TaskTracker,
    /// Start of this process, Unix seconds: sent to clients as the creation time of all models.
    started: u64,
}

/// The current load of this instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CurrentLoad {
    /// Number of running streams.
    pub running: usize,
    /// Number of attached readers.
    pub readers: usize,
    /// Number of concurrency slots in use, over all limits.
    pub permits: usize,
    /// Tokens reserved or used by running generations and not settled yet, over all limits.
    pub reserved: u64,
    /// Money reserved for running generations, over all budgets.
    pub reserved_money: Money,
}

impl Gateway {
    /// Creates a gateway that serves this snapshot and records into these metrics.
    #[must_use]
    pub fn new(
        snapshot: Snapshot,
        ledger: Arc<Ledger>,
        lifecycle: Arc<Lifecycle>,
        metrics: Metrics,
    ) -> Self {
        // The hub is no part of the snapshot: streams survive a reload.
        let hub = Hub::new(snapshot.hub.memory);
        let started = SystemTime::now()
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
            started,
        }
    }

    /// Replaces the snapshot for requests from now on. Streams and the state of limits stay.
    pub fn replace(&self, snapshot: Snapshot) {
        // Settings of running streams stay; only the bound on memory applies at once.
        self.hub.set_memory(snapshot.hub.memory);
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Returns the current snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Returns the hub, which holds all streams.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Returns the ledger of spending.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Ends every running stream and closes every upstream that is still read for its usage,
    /// because this instance is about to stop.
    pub fn shut_down(&self) {
        self.hub.shut_down();
        // Upstreams that are read on for their usage belong to no running stream.
        self.finishing.stop();
    }

    /// Returns the current load.
    #[must_use]
    pub fn current_load(&self) -> CurrentLoad {
        let (running, readers) = self.hub.counts();
        let held = self.snapshot.load().limits.held();
        CurrentLoad {
            running,
            readers,
            permits: held.slots,
            reserved: held.reserved,
            reserved_money: self.ledger.reserved(),
        }
    }

    /// Returns all metrics and the current load as text for scrapers.
    ///
    /// # Errors
    /// `internal_error` if the metrics cannot be encoded.
    pub fn scrape(&self, format: Format) -> Result<String, Fault> {
        let CurrentLoad {
            running,
            readers,
            permits,
            reserved: reserved_tokens,
            reserved_money: reserved_cost,
        } = self.current_load();
        let now = Gauges {
            running,
            readers,
            permits,
            reserved_tokens,
            reserved_cost,
        };
        self.metrics
            .encode(&now, format)
            .map_err(|_| Fault::new(Code::InternalError, "the metrics could not be encoded"))
    }

    /// Counts a rejected request, rejected here or at the edge.
    pub fn count_refused(&self, fault: &Fault) {
        self.metrics.record_refusal(fault);
    }

    /// Answers one request that the edge has accepted.
    pub async fn handle<B>(&self, context: RequestContext, request: Request<B>) -> Response<Reply>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        // Loaded once: a reload must not change the configuration halfway through a request.
        let snapshot = self.snapshot.load_full();
        let (head, body) = request.into_parts();
        let dialect = dialect_of(&head.uri, &head.headers);
        let answered = dispatch::answer(self, &snapshot, &context, dialect, &head, body).await;
        answered.unwrap_or_else(|refusal| {
            self.count_refused(&refusal.fault);
            let mut response = refuse(&refusal.fault, dialect, &context.request_id);
            response.extensions_mut().insert(refusal.limit_states);
            response
        })
    }

    /// Cancels a stream of any caller by its server-made id, for the operator. The response omits
    /// the content of the stream, which belongs to its caller.
    ///
    /// # Errors
    /// 404 if no stream has this id.
    pub async fn operator_cancel(&self, id: &str) -> Result<Response<Reply>, Fault> {
        streams::operator_cancel(&self.hub, id).await
    }
}
