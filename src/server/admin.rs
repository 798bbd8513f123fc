//! The operator's listener: is the process alive, is it ready, what has it counted; and stopping
//! anybody's stream.
//!
//! Invariants: what probes and scrapers ask is open; everything under `/api` needs the
//! `admin_token`, unless it was asked on a loopback listener and no proxy forwarded it.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::edge::Handler;
use super::path;
use crate::auth;
use crate::gateway::RequestContext;
use crate::gateway::lifecycle::{Lifecycle, Phase};
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;
use crate::telemetry::metrics::Format;

/// What a probe is told is plain text.
const PLAIN: &str = "text/plain; charset=utf-8";

/// What stands behind the edge of the admin listener.
#[derive(Debug)]
pub(super) struct Admin {
    lifecycle: Arc<Lifecycle>,
}

impl Admin {
    pub(super) const fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self { lifecycle }
    }

    /// Answers one request that the edge has let in; streams and figures are those of the client
    /// listeners' handler, `token` is what the operator shows.
    pub(super) async fn answer<H: Handler, B: Sync>(
        &self,
        clients: &H,
        token: Option<&SecretString>,
        context: &RequestContext,
        request: &Request<B>,
    ) -> Response<Reply> {
        let path = request.uri().path();
        let answered = if path.starts_with("/api/") {
            match permit(token, context, request.headers()) {
                Ok(()) => api(clients, request.method(), path).await,
                Err(fault) => Err(fault),
            }
        } else {
            self.page(clients, request)
        };
        answered.unwrap_or_else(|fault| refuse(&fault, DialectId::OpenaiChat, &context.request_id))
    }

    fn page<H: Handler, B>(
        &self,
        clients: &H,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        let path = request.uri().path();
        if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
            return Err(nothing_there());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(takes(path, "GET", "GET, HEAD"));
        }
        let serving = self.lifecycle.phase() == Phase::Serving;
        Ok(match path {
            "/metrics" => metrics(clients, request.headers())?,
            "/readyz" if !serving => text(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "draining\n"),
            "/readyz" => text(StatusCode::OK, PLAIN, "ready\n"),
            _ => text(StatusCode::OK, PLAIN, "ok\n"),
        })
    }
}

async fn api<H: Handler>(
    clients: &H,
    method: &Method,
    path: &str,
) -> Result<Response<Reply>, Fault> {
    let id = path::operator_cancel(path).ok_or_else(nothing_there)?;
    if *method != Method::POST {
        return Err(takes(path, "POST", "POST"));
    }
    clients.stop(id).await
}

/// Lets the operator in: by the token, or because it is this machine itself that asks.
fn permit(
    token: Option<&SecretString>,
    context: &RequestContext,
    headers: &HeaderMap,
) -> Result<(), Fault> {
    if context.loopback && !context.forwarded {
        return Ok(());
    }
    let digest = |secret: &[u8]| Sha256::digest(secret);
    match (token, auth::secret_in(headers)) {
        (Some(token), Some(shown))
            if bool::from(digest(token.expose_secret().as_bytes()).ct_eq(&digest(shown))) =>
        {
            Ok(())
        }
        _ => Err(Fault::new(
            Code::Unauthenticated,
            "this is the operator's: send `server.admin_token` as `Authorization: Bearer <token>`",
        )),
    }
}

fn nothing_there() -> Fault {
    let message = "no such path here; the admin listener has /healthz, /readyz, /metrics and POST /api/streams/{id}/cancel";
    Fault::new(Code::NotFound, message)
}

fn takes(path: &str, method: &str, allow: &'static str) -> Fault {
    let mut fault = Fault::new(Code::MethodNotAllowed, format!("{path} takes {method}"));
    fault.allow = Some(allow);
    fault
}

/// In the format that the scraper asks for.
fn metrics<H: Handler>(clients: &H, headers: &HeaderMap) -> Result<Response<Reply>, Fault> {
    let accepts = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|it| Format::accepted(it) == Format::OpenMetrics)
    };
    let format = if headers.get_all(ACCEPT).iter().any(accepts) {
        Format::OpenMetrics
    } else {
        Format::Text
    };
    let mut response = text(
        StatusCode::OK,
        format.content_type(),
        clients.scrape(format)?,
    );
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_name(ACCEPT));
    Ok(response)
}

fn text(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<bytes::Bytes>,
) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
