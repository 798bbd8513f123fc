//! The edge: processes every request before the gateway, and every response before the client.
//!
//! The order, outermost first, with the reasons:
//! 1. request id and origin of the page: every later step needs them to respond;
//! 2. finish: id, CORS, `nosniff` and `no-store` on every response, including errors and panics;
//! 3. panic guard: a bug ends one request;
//! 4. `Host` and `Origin`: a foreign page can do nothing here, not even use up the limit of its
//!    visitor;
//! 5. preflights: answered without a key, and not counted;
//! 6. cap on connections, after doubled slashes are collapsed: a connection beyond the cap receives
//!    an error and can only cancel;
//! 7. door: requests and failed authentications per address; a cancel passes, because no limit
//!    rejects it;
//! 8. size of the head;
//! 9. gateway, or admin API.

mod admit;
mod finish;
pub mod outgoing;
pub mod panics;
mod request_id;

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytestring::ByteString;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;

use super::Shared;
use super::activity::{ActiveRequest, Activity};
use super::origin::Page;
use super::rules::Rules;
use crate::dialect;
use crate::gateway::lifecycle::Lifecycle;
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::gateway::{Gateway, RequestContext, dialect_of};
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;
use crate::telemetry::metrics::Format;
use finish::Finish;
use outgoing::Outgoing;

/// The handler of requests admitted on client listeners.
pub trait Handler: Send + Sync + 'static {
    /// Handles one request that the edge has admitted.
    fn handle(
        &self,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Reply>> + Send;

    /// Called for each request that the edge has rejected.
    fn refused(&self, fault: &Fault);

    /// Returns the metrics, for the admin listener.
    ///
    /// # Errors
    /// Returns a fault when they cannot be encoded.
    fn scrape(&self, format: Format) -> Result<String, Fault>;

    /// Cancels a stream of any owner for the operator; `id` is the server-made id. Returns a 404
    /// fault when there is none.
    fn stop(&self, id: &str) -> impl Future<Output = Result<Response<Reply>, Fault>> + Send;
}

impl Handler for Arc<Gateway> {
    fn handle(
        &self,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Reply>> + Send {
        Gateway::handle(self, context, request)
    }

    fn refused(&self, fault: &Fault) {
        self.count_refused(fault);
    }

    fn scrape(&self, format: Format) -> Result<String, Fault> {
        Gateway::scrape(self, format)
    }

    fn stop(&self, id: &str) -> impl Future<Output = Result<Response<Reply>, Fault>> + Send {
        self.operator_cancel(id)
    }
}

/// The kind of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    Clients,
    Admin,
}

/// The source of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionSource {
    pub(super) kind: ListenerKind,
    /// Address of the peer; loopback for Unix sockets.
    pub(super) peer: IpAddr,
    /// The listener is on a loopback address or a Unix socket.
    pub(super) loopback: bool,
    /// The listener is a Unix socket, for which `Host` has no meaning.
    pub(super) unix: bool,
    /// The connection exceeds the cap.
    pub(super) beyond_cap: bool,
}

/// The edge of one connection.
pub(super) struct Edge<H>(Arc<Inner<H>>);

struct Inner<H> {
    shared: Arc<Shared<H>>,
    source: ConnectionSource,
    activity: Arc<Activity>,
}

impl<H: Handler> Edge<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, source: ConnectionSource) -> Self {
        Self(Arc::new(Inner {
            shared,
            source,
            activity: Arc::new(Activity::new(true)),
        }))
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.0.activity
    }

    pub(super) fn lifecycle(&self) -> &Arc<Lifecycle> {
        &self.0.shared.lifecycle
    }
}

impl<H> Clone for Edge<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> tower::Service<Request<Incoming>> for Edge<H> {
    type Response = Response<Outgoing>;
    type Error = Infallible;
    /// Boxed, so that the memory of a request is freed at its response head and not held during a
    /// long response.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (inner, active_request) = (Arc::clone(&self.0), self.0.activity.start_request());
        Box::pin(async move { Ok(inner.answer(request, active_request).await) })
    }
}

/// The facts about a request that its responses depend on.
struct Facts {
    rules: Arc<Rules>,
    page: Page,
    request_id: ByteString,
    dialect: DialectId,
}

impl<H: Handler> Inner<H> {
    async fn answer(
        &self,
        request: Request<Incoming>,
        active_request: ActiveRequest,
    ) -> Response<Outgoing> {
        // Held until the response body ends: draining waits for it. Admin requests must not delay
        // the end.
        let work =
            (self.source.kind == ListenerKind::Clients).then(|| self.shared.lifecycle.work());
        // Loaded once, so that a reload in between cannot mix two sets of rules.
        let rules = self.shared.rules.load_full();
        let facts = Facts {
            page: Page::from_request(&request, &rules.origins),
            request_id: request_id::from_headers(request.headers()),
            dialect: self.dialect(&request),
            rules,
        };
        let mut finish = Finish::new(
            &request,
            &facts.page,
            &facts.request_id,
            facts.dialect,
            self.source.beyond_cap,
        );
        let answered =
            // Unwind safe: after a panic, only values that were complete before the call are used,
            // and `finish`, which holds plain settings.
            AssertUnwindSafe(self.guarded(&facts, &mut finish, request))
                .catch_unwind()
                .await;
        let response = answered.unwrap_or_else(|_| self.panic_response(&facts));
        if finish.closes_connection(response.status()) {
            // Starts a graceful shutdown: in HTTP/2 no header ends the connection.
            self.activity.close_after_this();
        }
        finish.apply(response, |reply| {
            Outgoing::new(reply, facts.request_id, active_request, work)
        })
    }

    /// Returns the dialect for errors of this request.
    fn dialect(&self, request: &Request<Incoming>) -> DialectId {
        match self.source.kind {
            ListenerKind::Clients => dialect_of(request.uri(), request.headers()),
            ListenerKind::Admin => dialect::DEFAULT,
        }
    }

    fn panic_response(&self, facts: &Facts) -> Response<Reply> {
        let request_id = &facts.request_id;
        tracing::error!(%request_id, "a request ended in a panic: please report this bug");
        let fault = Fault::new(Code::InternalError, "internal error");
        self.count_refused(&fault);
        refuse(&fault, facts.dialect, request_id)
    }

    /// The part of a request that is guarded against panics.
    async fn guarded(
        &self,
        facts: &Facts,
        finish: &mut Finish,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        let client = facts.rules.client(self.source.peer, request.headers());
        let admitted = match self.admit(&facts.rules, &facts.page, client, request) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                refusal
                    .fault()
                    .into_iter()
                    .for_each(|fault| self.count_refused(fault));
                return refusal.into_response(facts.dialect, &facts.request_id, finish);
            }
        };
        finish.set_limit_state(admitted.limit_state);
        let context = RequestContext {
            request_id: facts.request_id.clone(),
            client,
            loopback: self.source.loopback,
            forwarded: admitted.forwarded,
            trusted_page: facts.page.is_trusted(),
        };
        let response = self.handle(&facts.rules, context, admitted.request).await;
        self.count_failure(client, response, facts)
    }

    async fn handle(
        &self,
        rules: &Rules,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        let Shared { clients, admin, .. } = &*self.shared;
        match self.source.kind {
            ListenerKind::Clients => clients.handle(context, request).await,
            ListenerKind::Admin => {
                let token = rules.admin_token.as_ref();
                admin.answer(clients, token, &context, &request).await
            }
        }
    }

    /// Requests on the admin listener are not counted.
    fn count_refused(&self, fault: &Fault) {
        if self.source.kind == ListenerKind::Clients {
            self.shared.clients.refused(fault);
        }
    }

    /// Counts every 401 as a failed authentication.
    ///
    /// Of a blocked address only cancels get here. With valid rights a cancel is served; without,
    /// it receives the same error as any other request from that address.
    fn count_failure(
        &self,
        client: IpAddr,
        response: Response<Reply>,
        facts: &Facts,
    ) -> Response<Reply> {
        if response.status() != http::StatusCode::UNAUTHORIZED {
            return response;
        }
        // Checked before this failure is counted: the request that reaches the limit still gets its
        // own 401.
        let blocked = self.shared.door.blocked(client);
        self.shared.door.failed_authentication(client);
        match blocked {
            Some(after) => {
                let fault = admit::too_many_failures(after);
                refuse(&fault, facts.dialect, &facts.request_id)
            }
            None => response,
        }
    }
}
