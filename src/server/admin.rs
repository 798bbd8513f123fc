//! The admin listener: liveness, readiness, metrics, and cancelling any stream.
//!
//! Invariants: the paths for probes and scrapers are open; everything under `/api` needs the
//! `admin_token`, unless the request came over a loopback listener and no proxy forwarded it.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::edge::Handler;
use super::path;
use crate::auth;
use crate::dialect;
use crate::gateway::RequestContext;
use crate::gateway::lifecycle::{Lifecycle, Phase};
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::model::fault::{Code, Fault};
use crate::telemetry::metrics::Format;

/// Content type of responses to probes.
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The handler of the admin listener.
#[derive(Debug)]
pub(super) struct Admin {
    lifecycle: Arc<Lifecycle>,
}

impl Admin {
    pub(super) const fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self { lifecycle }
    }

    /// Handles one request that the edge has admitted. Streams and metrics are those of the client
    /// handler; `token` is the configured admin token.
    pub(super) async fn answer<H: Handler, B: Sync>(
        &self,
        clients: &H,
        token: Option<&SecretString>,
        context: &RequestContext,
        request: &Request<B>,
    ) -> Response<Reply> {
        let path = request.uri().path();
        let answered = if path::is_admin_api(path) {
            match authorize(token, context, request.headers()) {
                Ok(()) => api(clients, request.method(), path).await,
                Err(fault) => Err(fault),
            }
        } else {
            self.page(clients, request)
        };
        answered.unwrap_or_else(|fault| refuse(&fault, dialect::DEFAULT, &context.request_id))
    }

    fn page<H: Handler, B>(
        &self,
        clients: &H,
        request: &Request<B>,
    ) -> Result<Response<Reply>, Fault> {
        let path = request.uri().path();
        if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
            return Err(not_found());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(method_not_allowed(path, "GET", "GET, HEAD"));
        }
        let serving = self.lifecycle.phase() == Phase::Serving;
        Ok(match path {
            "/metrics" => metrics(clients, request.headers())?,
            "/readyz" if !serving => {
                text(StatusCode::SERVICE_UNAVAILABLE, PLAIN_TEXT, "draining\n")
            }
            "/readyz" => text(StatusCode::OK, PLAIN_TEXT, "ready\n"),
            // `/healthz`: a draining process is still alive.
            _ => text(StatusCode::OK, PLAIN_TEXT, "ok\n"),
        })
    }
}

async fn api<H: Handler>(
    clients: &H,
    method: &Method,
    path: &str,
) -> Result<Response<Reply>, Fault> {
    let id = path::operator_cancel(path).ok_or_else(not_found)?;
    if *method != Method::POST {
        return Err(method_not_allowed(path, "POST", "POST"));
    }
    clients.stop(id).await
}

/// Authorizes the operator: by the token, or because the request comes from this machine.
fn authorize(
    token: Option<&SecretString>,
    context: &RequestContext,
    headers: &HeaderMap,
) -> Result<(), Fault> {
    if context.loopback && !context.forwarded {
        return Ok(());
    }
    // Compare digests of equal length in constant time: neither length nor content leaks through
    // timing.
    let digest = |secret: &[u8]| Sha256::digest(secret);
    match (token, auth::header_secret(headers)) {
        (Some(token), Some(sent))
            if bool::from(digest(token.expose_secret().as_bytes()).ct_eq(&digest(sent))) =>
        {
            Ok(())
        }
        _ => Err(Fault::new(
            Code::Unauthenticated,
            "the admin API requires a token: send `server.admin_token` as `Authorization: Bearer \
             <token>`",
        )),
    }
}

fn not_found() -> Fault {
    let message = "no such path; the admin listener serves /healthz, /readyz, /metrics and POST \
        /api/streams/{id}/cancel";
    Fault::new(Code::NotFound, message)
}

fn method_not_allowed(path: &str, method: &str, allow: &'static str) -> Fault {
    let mut fault = Fault::new(
        Code::MethodNotAllowed,
        format!("{path} accepts only {method}"),
    );
    fault.allow = Some(allow);
    fault
}

/// Returns the metrics in the format that the scraper accepts.
fn metrics<H: Handler>(clients: &H, headers: &HeaderMap) -> Result<Response<Reply>, Fault> {
    let accepts = |value: &HeaderValue| {
        value
            .to_str()
            .is_ok_and(|it| Format::from_accept(it) == Format::OpenMetrics)
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
