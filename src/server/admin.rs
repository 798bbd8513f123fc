//! The operator's listener: is the process alive, is it ready, what has it counted.

use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::edge::Handler;
use crate::gateway::lifecycle::{Lifecycle, Phase};
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::model::fault::{Code, Fault};
use crate::model::wire::Tongue;
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

    /// Answers one request that the edge has let in; the figures are those of the client listeners' handler.
    pub(super) fn answer<H: Handler, B>(&self, clients: &H, request_id: &str, request: &Request<B>) -> Response<Reply> {
        let answered = self.page(clients, request);
        answered.unwrap_or_else(|fault| refuse(&fault, Tongue::OpenaiChat, request_id))
    }

    fn page<H: Handler, B>(&self, clients: &H, request: &Request<B>) -> Result<Response<Reply>, Fault> {
        let path = request.uri().path();
        if !matches!(path, "/healthz" | "/readyz" | "/metrics") {
            return Err(Fault::new(Code::NotFound, "no such path here; the admin listener has /healthz, /readyz and /metrics"));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut fault = Fault::new(Code::MethodNotAllowed, format!("{path} takes GET"));
            fault.allow = Some("GET, HEAD");
            return Err(fault);
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

/// In the format that the scraper asks for.
fn metrics<H: Handler>(clients: &H, headers: &HeaderMap) -> Result<Response<Reply>, Fault> {
    let accepts = |value: &HeaderValue| value.to_str().is_ok_and(|it| Format::accepted(it) == Format::OpenMetrics);
    let format = if headers.get_all(ACCEPT).iter().any(accepts) { Format::OpenMetrics } else { Format::Text };
    let mut response = text(StatusCode::OK, format.content_type(), clients.scrape(format)?);
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT));
    Ok(response)
}

fn text(status: StatusCode, content_type: &'static str, body: impl Into<bytes::Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
