//! The operator's listener: is the process alive, is it ready.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::edge::Handler;
use crate::gateway::Visit;
use crate::gateway::lifecycle::{Lifecycle, Phase};
use crate::gateway::refuse::refuse;
use crate::gateway::reply::Reply;
use crate::model::fault::{Code, Fault};
use crate::model::wire::Tongue;

/// What stands behind the edge of the admin listener.
#[derive(Debug)]
pub(super) struct Admin {
    lifecycle: Arc<Lifecycle>,
}

impl Admin {
    pub(super) const fn new(lifecycle: Arc<Lifecycle>) -> Self {
        Self { lifecycle }
    }

    fn answer(&self, method: &Method, path: &str) -> Result<Response<Reply>, Fault> {
        let (status, sentence) = match path {
            "/healthz" => (StatusCode::OK, "ok\n"),
            "/readyz" if self.lifecycle.phase() == Phase::Serving => (StatusCode::OK, "ready\n"),
            "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
            _ => return Err(Fault::new(Code::NotFound, "no such path here; the admin listener has /healthz and /readyz")),
        };
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut fault = Fault::new(Code::MethodNotAllowed, format!("{path} takes GET"));
            fault.allow = Some("GET, HEAD");
            return Err(fault);
        }
        let mut response = Response::new(Reply::whole(sentence));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        Ok(response)
    }
}

impl Handler for Admin {
    async fn handle(&self, visit: Visit, request: Request<hyper::body::Incoming>) -> Response<Reply> {
        self.answer(request.method(), request.uri().path()).unwrap_or_else(|fault| refuse(&fault, Tongue::OpenaiChat, &visit.request_id))
    }
}
