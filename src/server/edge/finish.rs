//! What every response carries.

use bytestring::ByteString;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;

use super::outgoing::Outgoing;
use super::request_id;
use crate::gateway::reply::Reply;
use crate::limits::limit_state::{LimitState, LimitStates};
use crate::model::wire::DialectId;
use crate::server::cors;
use crate::server::origin::Page;

/// The name under which clients of Anthropic look for the id.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What is known of a request that its response depends on.
pub(super) struct Finish {
    request_id: HeaderValue,
    page: Page,
    dialect: DialectId,
    version: Version,
    head: bool,
    preflight: bool,
    beyond_cap: bool,
    limit_state: Option<LimitState>,
}

impl Finish {
    pub(super) fn new<B>(
        request: &Request<B>,
        page: &Page,
        request_id: &ByteString,
        dialect: DialectId,
        beyond_cap: bool,
    ) -> Self {
        Self {
            request_id: HeaderValue::from_str(request_id)
                .expect("a request id is made of letters, digits and `._-`"),
            page: page.clone(),
            dialect,
            version: request.version(),
            head: request.method() == Method::HEAD,
            preflight: false,
            beyond_cap,
            limit_state: None,
        }
    }

    /// The response answers a preflight.
    pub(super) const fn preflight(&mut self) {
        self.preflight = true;
    }

    /// Where the client's address stands at the door.
    pub(super) const fn limit_state(&mut self, limit_state: Option<LimitState>) {
        self.limit_state = limit_state;
    }

    /// True when the connection must not be used again: it is one too many, or the rest of a body
    /// is still on its way.
    pub(super) const fn is_last(&self, status: StatusCode) -> bool {
        self.beyond_cap || is_cut_short(status) && self.is_http1()
    }

    const fn is_http1(&self) -> bool {
        matches!(
            self.version,
            Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11
        )
    }

    pub(super) fn apply(
        self,
        response: Response<Reply>,
        wrap: impl FnOnce(Option<Reply>) -> Outgoing,
    ) -> Response<Outgoing> {
        let (mut parts, reply) = response.into_parts();
        let (last, http1) = (self.is_last(parts.status), self.is_http1());
        let headers = &mut parts.headers;
        if self.dialect == DialectId::Anthropic {
            headers.insert(REQUEST_ID, self.request_id.clone());
        }
        headers.insert(request_id::NAME, self.request_id);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let streams = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !streams {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        parts
            .extensions
            .remove::<LimitStates>()
            .unwrap_or_default()
            .or_door(self.limit_state)
            .write(headers, self.dialect);
        cors::write(&self.page, self.preflight, headers);
        if last && http1 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // HTTP/1 leaves the body of an answer to HEAD out by itself; HTTP/2 would send it.
        let silent = self.head && !http1;
        if let Some(length) = reply
            .size_hint()
            .exact()
            .filter(|length| silent && *length > 0)
        {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Response::from_parts(parts, wrap((!silent).then_some(reply)))
    }
}

/// Answered before all of the body was read.
const fn is_cut_short(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
    )
}
