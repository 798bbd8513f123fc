//! Adds the headers that every response carries.

use bytestring::ByteString;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;

use super::outgoing::Outgoing;
use super::request_id;
use crate::dialect;
use crate::gateway::reply::Reply;
use crate::limits::limit_state::{LimitState, LimitStates};
use crate::model::wire::DialectId;
use crate::server::cors;
use crate::server::origin::Page;

/// The properties of a request that its response depends on.
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

    /// Marks the response as one to a preflight.
    pub(super) const fn set_preflight(&mut self) {
        self.preflight = true;
    }

    /// Sets the state of the limit of the client address.
    pub(super) const fn set_limit_state(&mut self, limit_state: Option<LimitState>) {
        self.limit_state = limit_state;
    }

    /// Returns true when the connection must not be reused: it exceeds the cap, or the rest of a
    /// request body is still arriving.
    pub(super) const fn closes_connection(&self, status: StatusCode) -> bool {
        self.beyond_cap || is_before_end_of_body(status) && self.is_http1()
    }

    const fn is_http1(&self) -> bool {
        matches!(
            self.version,
            Version::HTTP_09 | Version::HTTP_10 | Version::HTTP_11
        )
    }

    /// Adds the headers and wraps the body with `wrap`.
    pub(super) fn apply(
        self,
        response: Response<Reply>,
        wrap: impl FnOnce(Option<Reply>) -> Outgoing,
    ) -> Response<Outgoing> {
        let (mut parts, reply) = response.into_parts();
        let limit_states = parts.extensions.remove::<LimitStates>();
        // hyper omits the body of a response to HEAD in HTTP/1; in HTTP/2 it would send it.
        let omit_body = self.head && !self.is_http1();
        self.write_headers(
            limit_states.unwrap_or_default(),
            parts.status,
            &mut parts.headers,
        );
        if let Some(length) = reply
            .size_hint()
            .exact()
            .filter(|length| omit_body && *length > 0)
        {
            parts
                .headers
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        Response::from_parts(parts, wrap((!omit_body).then_some(reply)))
    }

    fn write_headers(self, limits: LimitStates, status: StatusCode, headers: &mut HeaderMap) {
        let closes = self.closes_connection(status) && self.is_http1();
        let profile = dialect::of(self.dialect).profile();
        if let Some(name) = profile.request_id_header {
            headers.insert(HeaderName::from_static(name), self.request_id.clone());
        }
        headers.insert(request_id::NAME, self.request_id);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let is_event_stream = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        // Event streams set their own `cache-control`.
        if !is_event_stream {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        }
        limits
            .tightened_by(self.limit_state)
            .write(headers, profile.rate_headers);
        cors::write(&self.page, self.preflight, headers);
        if closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// Returns true for responses sent before the whole request body was read.
const fn is_before_end_of_body(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT
    )
}
