//! The heads of good answers.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::reply::Reply;
use crate::hub::Stream;

/// The head of an event stream.
pub(super) fn event_stream(stream: &Stream, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    name_stream(&mut response, stream);
    response
}

/// The mark of a UI message stream.
pub(super) fn ui(mut response: Response<Reply>) -> Response<Reply> {
    response.headers_mut().insert(
        HeaderName::from_static("x-vercel-ai-ui-message-stream"),
        HeaderValue::from_static("v1"),
    );
    response
}

/// The head of a JSON answer.
pub(super) fn json(status: StatusCode, body: impl Into<bytes::Bytes>) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Tells the stream's id; where they are known by now, what became of the route's targets and the
/// provider's id of the request.
pub(super) fn name_stream(response: &mut Response<Reply>, stream: &Stream) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(stream.id().as_str()) {
        headers.insert(HeaderName::from_static("x-stream-id"), id);
    }
    let trace = stream.trace();
    if trace.is_telling()
        && let Ok(trace) = HeaderValue::try_from(trace.to_string())
    {
        headers.insert(HeaderName::from_static("x-sluicegate-route"), trace);
    }
    let Some(route) = stream.status(false).route else {
        return;
    };
    if let Some(id) = route
        .request_id
        .and_then(|id| HeaderValue::from_str(&id).ok())
    {
        headers.insert(HeaderName::from_static("x-upstream-request-id"), id);
    }
}
