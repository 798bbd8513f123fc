//! Heads of successful responses.

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::reply::Reply;
use crate::dialect::DialectProfile;
use crate::hub::Stream;

/// Creates the response of an event stream.
pub(super) fn event_stream(stream: &Stream, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        // `no-transform` forbids proxies to compress the stream, which would buffer it.
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(
        // nginx and its relatives would otherwise buffer the stream.
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    add_stream_headers(&mut response, stream);
    response
}

/// Adds the header that marks the streams of this dialect, if it has one.
pub(super) fn mark_stream(
    mut response: Response<Reply>,
    profile: &DialectProfile,
) -> Response<Reply> {
    if let Some((name, value)) = profile.stream_header {
        response.headers_mut().insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// Creates a JSON response.
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

/// Creates a response without a body.
pub(super) fn no_content() -> Response<Reply> {
    let mut response = Response::new(Reply::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Adds the stream's id and, once they are known, the outcomes of the route's targets and the
/// provider's request id.
pub(super) fn add_stream_headers(response: &mut Response<Reply>, stream: &Stream) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(stream.id().as_str()) {
        headers.insert(HeaderName::from_static("x-stream-id"), id);
    }
    let trace = stream.trace();
    if trace.has_outcome()
        && let Ok(trace) = HeaderValue::try_from(trace.to_string())
    {
        headers.insert(HeaderName::from_static("x-sluicegate-route"), trace);
    }
    // The provider's request id is known only once a target has answered.
    let Some(route) = stream.status(false).route else {
        return;
    };
    if let Some(id) = route
        .request_id
        // The id comes from the provider: it is omitted if it is not a valid header value.
        .and_then(|id| HeaderValue::from_str(&id).ok())
    {
        headers.insert(HeaderName::from_static("x-upstream-request-id"), id);
    }
}
