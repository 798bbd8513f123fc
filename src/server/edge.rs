//! What happens to every request before the gateway sees it, and to every response before the
//! client does.
//!
//! The order, outermost first, and why:
//! 1. the request's id, and whose page asks: all that follows needs them to answer;
//! 2. the finish: id, CORS, `nosniff`, `no-store` on whatever comes back, refusals and panics
//!    included;
//! 3. the panic guard: a bug ends one request;
//! 4. `Host` and `Origin`: a foreign page does nothing here, not even use up its visitor's limit;
//! 5. preflights: answered without a key, and not counted;
//! 6. the cap on connections: those beyond it are told so, and may do nothing but cancel;
//! 7. the door: requests and failed authentications of one address; a cancel passes, as no limit
//!    refuses it;
//! 8. the size of the head; doubled slashes;
//! 9. the gateway, or the admin page.

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
use super::activity::{Activity, InHand};
use super::origin::Page;
use super::rules::Rules;
use crate::gateway::lifecycle::Lifecycle;
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::gateway::{Gateway, RequestContext, spoken};
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;
use crate::telemetry::metrics::Format;
use admit::Admitted;
use finish::Finish;
use outgoing::Outgoing;

/// What stands behind the edge of the client listeners.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request that the edge has let in.
    fn handle(
        &self,
        context: RequestContext,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Reply>> + Send;

    /// Hears of a request that the edge has refused.
    fn refused(&self, fault: &Fault);

    /// Its metrics, for the admin listener.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn scrape(&self, format: Format) -> Result<String, Fault>;

    /// Stops the stream of that server-made id for the operator, whoever's it is; 404 where there
    /// is none.
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

/// Which side of the house a listener leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Clients,
    Admin,
}

/// Where a connection came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) side: Side,
    /// The peer's address; loopback for Unix sockets.
    pub(super) peer: IpAddr,
    /// The listener is a loopback address or a Unix socket.
    pub(super) loopback: bool,
    /// The listener is a Unix socket, where `Host` says nothing.
    pub(super) unix: bool,
    /// The connection is one too many.
    pub(super) beyond_cap: bool,
}

/// The edge as one connection sees it.
pub(super) struct Edge<H>(Arc<Inner<H>>);

struct Inner<H> {
    shared: Arc<Shared<H>>,
    from: Origin,
    activity: Arc<Activity>,
}

impl<H: Handler> Edge<H> {
    pub(super) fn new(shared: Arc<Shared<H>>, from: Origin) -> Self {
        Self(Arc::new(Inner {
            shared,
            from,
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
    /// Boxed, so that what a request needs is given back at its response head, and a long answer
    /// does not hold it.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (inner, in_hand) = (Arc::clone(&self.0), self.0.activity.request());
        Box::pin(async move { Ok(inner.answer(request, in_hand).await) })
    }
}

impl<H: Handler> Inner<H> {
    async fn answer(&self, request: Request<Incoming>, in_hand: InHand) -> Response<Outgoing> {
        let work = (self.from.side == Side::Clients).then(|| self.shared.lifecycle.work());
        let rules = self.shared.rules.load_full();
        let request_id = request_id::of(request.headers());
        let page = Page::of(&request, &rules.origins);
        let dialect = self.dialect(&request);
        let mut finish = Finish::new(&request, &page, &request_id, dialect, self.from.beyond_cap);
        let answered =
            AssertUnwindSafe(self.guarded(&rules, &page, &request_id, &mut finish, request))
                .catch_unwind()
                .await;
        let response = answered.unwrap_or_else(|_| {
            tracing::error!(%request_id, "a request ended in a panic; this is a bug");
            let fault = Fault::new(Code::InternalError, "internal error");
            self.count_refused(&fault);
            refuse(&fault, dialect, &request_id)
        });
        if finish.is_last(response.status()) {
            self.activity.close_after_this();
        }
        finish.apply(response, |reply| {
            Outgoing::new(reply, request_id.clone(), in_hand, work)
        })
    }

    /// The dialect in which a request is refused.
    fn dialect(&self, request: &Request<Incoming>) -> DialectId {
        match self.from.side {
            Side::Clients => spoken(request),
            Side::Admin => DialectId::OpenaiChat,
        }
    }

    /// Everything that a bug may break.
    async fn guarded(
        &self,
        rules: &Rules,
        page: &Page,
        request_id: &ByteString,
        finish: &mut Finish,
        request: Request<Incoming>,
    ) -> Response<Reply> {
        let client = rules.client(self.from.peer, request.headers());
        let dialect = self.dialect(&request);
        let admitted = match self.admit(rules, page, client, request) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                refusal
                    .fault()
                    .into_iter()
                    .for_each(|fault| self.count_refused(fault));
                return refusal.into_response(dialect, request_id, finish);
            }
        };
        let Admitted {
            request,
            limit_state,
            forwarded,
        } = admitted;
        finish.limit_state(limit_state);
        let context = RequestContext {
            request_id: request_id.clone(),
            client,
            loopback: self.from.loopback,
            forwarded,
            trusted_page: page.is_trusted(),
        };
        let response = match self.from.side {
            Side::Clients => self.shared.clients.handle(context, request).await,
            Side::Admin => {
                self.shared
                    .admin
                    .answer(
                        &self.shared.clients,
                        rules.admin_token.as_ref(),
                        &context,
                        &request,
                    )
                    .await
            }
        };
        self.count_failure(client, response, dialect, request_id)
    }

    /// The operator's own requests are not counted.
    fn count_refused(&self, fault: &Fault) {
        if self.from.side == Side::Clients {
            self.shared.clients.refused(fault);
        }
    }

    /// Every 401 counts as a failed authentication. Only a cancel gets here from an address that
    /// had too many of them: with valid rights it is served, without it is told what everybody
    /// there is told.
    fn count_failure(
        &self,
        client: IpAddr,
        response: Response<Reply>,
        dialect: DialectId,
        request_id: &str,
    ) -> Response<Reply> {
        if response.status() != http::StatusCode::UNAUTHORIZED {
            return response;
        }
        let blocked = self.shared.door.blocked(client);
        self.shared.door.failed_authentication(client);
        match blocked {
            Some(after) => refuse(&admit::too_many_failures(after), dialect, request_id),
            None => response,
        }
    }
}
