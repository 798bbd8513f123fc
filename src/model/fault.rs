//! What can go wrong, said once: a code, a side, a sentence, and whether another try makes sense.

use std::time::Duration;

use http::StatusCode;

/// Whose fault it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client sent something that cannot be served.
    Client,
    /// Sluicegate itself, or its operator.
    Ours,
    /// The upstream model API, or the way to it.
    Upstream,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:expr;)*) => {
        /// The error codes of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// The code as clients see it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it is answered with before a response head was sent.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The body or a header is not what the path takes.
    InvalidRequest = "invalid_request", StatusCode::BAD_REQUEST;
    /// An event id is malformed, of another stream, or from the future.
    BadEventId = "bad_event_id", StatusCode::BAD_REQUEST;
    /// No key, or a wrong one.
    Unauthenticated = "unauthenticated", StatusCode::UNAUTHORIZED;
    /// The key may not use this model.
    ModelNotAllowed = "model_not_allowed", StatusCode::FORBIDDEN;
    /// The page that sent the request is not allowed to.
    OriginNotAllowed = "origin_not_allowed", StatusCode::FORBIDDEN;
    /// The `Host` is none of ours.
    HostNotAllowed = "host_not_allowed", StatusCode::FORBIDDEN;
    /// A field that this key may not use.
    FieldNotAllowed = "field_not_allowed", StatusCode::FORBIDDEN;
    /// No such model.
    ModelNotFound = "model_not_found", StatusCode::NOT_FOUND;
    /// No such stream for this caller.
    StreamNotFound = "stream_not_found", StatusCode::NOT_FOUND;
    /// No such path.
    NotFound = "not_found", StatusCode::NOT_FOUND;
    /// The path does not take this method.
    MethodNotAllowed = "method_not_allowed", StatusCode::METHOD_NOT_ALLOWED;
    /// The request body came too slowly.
    RequestTimeout = "request_timeout", StatusCode::REQUEST_TIMEOUT;
    /// The request body is larger than `server.max_body`.
    BodyTooLarge = "body_too_large", StatusCode::PAYLOAD_TOO_LARGE;
    /// The content type is not what the path takes.
    UnsupportedMediaType = "unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE;
    /// The request head is larger than 32 KiB.
    HeadersTooLarge = "headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The name is taken by a stream with another body.
    StreamExists = "stream_exists", StatusCode::CONFLICT;
    /// The idempotency key was used with another body.
    IdempotencyConflict = "idempotency_conflict", StatusCode::CONFLICT;
    /// The stream was cancelled before anything had come.
    StreamCancelled = "stream_cancelled", StatusCode::CONFLICT;
    /// The position asked for is behind what is kept.
    ReplayExpired = "replay_expired", StatusCode::GONE;
    /// A limit was reached.
    RateLimited = "rate_limited", StatusCode::TOO_MANY_REQUESTS;
    /// A budget is spent.
    BudgetExceeded = "budget_exceeded", StatusCode::TOO_MANY_REQUESTS;
    /// A bug of ours.
    InternalError = "internal_error", StatusCode::INTERNAL_SERVER_ERROR;
    /// The upstream failed.
    UpstreamError = "upstream_error", StatusCode::BAD_GATEWAY;
    /// The upstream refused our credential.
    UpstreamAuth = "upstream_auth", StatusCode::BAD_GATEWAY;
    /// Too much is going on here, or at the upstream.
    Overloaded = "overloaded", StatusCode::SERVICE_UNAVAILABLE;
    /// This instance is about to stop.
    ShuttingDown = "shutting_down", StatusCode::SERVICE_UNAVAILABLE;
    /// The shared store cannot be reached.
    StoreUnavailable = "store_unavailable", StatusCode::SERVICE_UNAVAILABLE;
    /// An upstream clock ran out.
    UpstreamTimeout = "upstream_timeout", StatusCode::GATEWAY_TIMEOUT;
}

/// One failure, as every room speaks of it; dialects spell it for clients.
///
/// The message is for the client: it never holds a secret, a host of ours or an upstream's
/// credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// What kind of failure it is.
    pub code: Code,
    /// The HTTP status before a response head was sent (an upstream's own 400, 404, 413, 415 and
    /// 422 are kept).
    pub status: StatusCode,
    /// Whose fault it was.
    pub side: Side,
    /// Lower case: what, where, and what to do.
    pub message: String,
    /// The upstream's own code where clients know it (`context_length_exceeded` …), told instead of
    /// ours.
    pub native_code: Option<String>,
    /// The upstream's own error type, where it is passed on.
    pub native_type: Option<String>,
    /// The request field that is meant.
    pub param: Option<String>,
    /// Which limit refused: `ip`, `key`, `global`, `provider`, `readers` …
    pub limit: Option<&'static str>,
    /// When another try may succeed.
    pub retry_after: Option<Duration>,
    /// True where another target, or the same one a little later, may do better.
    pub retryable: bool,
    /// True where the client's SDK should not try again by itself (409s, and where our own retries
    /// are used up).
    pub final_here: bool,
    /// The methods a path takes (for 405).
    pub allow: Option<&'static str>,
    /// The status that the upstream gave, or that its words stand for: the operator's affair where
    /// it is not kept.
    pub upstream_status: Option<StatusCode>,
    /// The provider's request id.
    pub upstream_request_id: Option<String>,
    /// The message has an upstream's own words, which may repeat a prompt: it is for the client,
    /// and for no log.
    pub quotes: bool,
}

impl Fault {
    /// A failure with the code's own status.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let status = code.status();
        let side = match code {
            Code::UpstreamError | Code::UpstreamAuth | Code::UpstreamTimeout => Side::Upstream,
            _ if status.is_client_error() => Side::Client,
            _ => Side::Ours,
        };
        Self {
            code,
            status,
            side,
            message: message.into(),
            native_code: None,
            native_type: None,
            param: None,
            limit: None,
            retry_after: None,
            retryable: side == Side::Upstream && code != Code::UpstreamAuth,
            final_here: status == StatusCode::CONFLICT,
            allow: None,
            upstream_status: None,
            upstream_request_id: None,
            quotes: false,
        }
    }

    /// A field of the request that is not what was expected.
    #[must_use]
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message).with_param(param)
    }

    /// Names the field of the request.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says which limit refused.
    #[must_use]
    pub fn with_limit(mut self, limit: &'static str) -> Self {
        self.limit = Some(limit);
        self
    }

    /// True when the route ends here: the request itself is wrong, and no other target would take
    /// it.
    #[must_use]
    pub fn ends_route(&self) -> bool {
        matches!(self.status.as_u16(), 400 | 413 | 415 | 422) || self.code == Code::FieldNotAllowed
    }

    /// The code that clients are told: the upstream's own where they know it.
    #[must_use]
    pub fn told_code(&self) -> &str {
        self.native_code.as_deref().unwrap_or(self.code.as_str())
    }
}
