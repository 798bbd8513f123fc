//! Failures: one type with code, side, message, and whether a retry makes sense.

use std::time::Duration;

use http::StatusCode;

/// The side that caused a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client: its request cannot be served.
    Client,
    /// Sluicegate itself, or its configuration.
    Ours,
    /// The upstream model API, or the connection to it.
    Upstream,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:expr;)*) => {
        /// The error codes of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Returns the code as it is sent to clients.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Returns the HTTP status of the answer, if no response head was sent yet.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// The body or a header is not valid for the path.
    InvalidRequest = "invalid_request", StatusCode::BAD_REQUEST;
    /// An event id is malformed, of another stream, or from the future.
    BadEventId = "bad_event_id", StatusCode::BAD_REQUEST;
    /// The key is missing or wrong.
    Unauthenticated = "unauthenticated", StatusCode::UNAUTHORIZED;
    /// The key may not use this model.
    ModelNotAllowed = "model_not_allowed", StatusCode::FORBIDDEN;
    /// The origin of the page that sent the request is not allowed.
    OriginNotAllowed = "origin_not_allowed", StatusCode::FORBIDDEN;
    /// The `Host` header is not an allowed name.
    HostNotAllowed = "host_not_allowed", StatusCode::FORBIDDEN;
    /// The request has a field that this key may not use.
    FieldNotAllowed = "field_not_allowed", StatusCode::FORBIDDEN;
    /// The model does not exist.
    ModelNotFound = "model_not_found", StatusCode::NOT_FOUND;
    /// The caller has no such stream.
    StreamNotFound = "stream_not_found", StatusCode::NOT_FOUND;
    /// The path does not exist.
    NotFound = "not_found", StatusCode::NOT_FOUND;
    /// The path does not support this method.
    MethodNotAllowed = "method_not_allowed", StatusCode::METHOD_NOT_ALLOWED;
    /// The request body arrived too slowly.
    RequestTimeout = "request_timeout", StatusCode::REQUEST_TIMEOUT;
    /// The request body is larger than `server.max_body`.
    BodyTooLarge = "body_too_large", StatusCode::PAYLOAD_TOO_LARGE;
    /// The path does not support this content type.
    UnsupportedMediaType = "unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE;
    /// The request head is larger than 32 KiB.
    HeadersTooLarge = "headers_too_large", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// The name belongs to a stream with another body.
    StreamExists = "stream_exists", StatusCode::CONFLICT;
    /// The idempotency key was used with another body.
    IdempotencyConflict = "idempotency_conflict", StatusCode::CONFLICT;
    /// The stream was cancelled before its first content.
    StreamCancelled = "stream_cancelled", StatusCode::CONFLICT;
    /// The requested position is older than the entries that are kept.
    ReplayExpired = "replay_expired", StatusCode::GONE;
    /// A limit was reached.
    RateLimited = "rate_limited", StatusCode::TOO_MANY_REQUESTS;
    /// A budget is spent.
    BudgetExceeded = "budget_exceeded", StatusCode::TOO_MANY_REQUESTS;
    /// A bug in Sluicegate.
    InternalError = "internal_error", StatusCode::INTERNAL_SERVER_ERROR;
    /// The upstream failed.
    UpstreamError = "upstream_error", StatusCode::BAD_GATEWAY;
    /// The upstream rejected the configured credential.
    UpstreamAuth = "upstream_auth", StatusCode::BAD_GATEWAY;
    /// Sluicegate or the upstream is overloaded.
    Overloaded = "overloaded", StatusCode::SERVICE_UNAVAILABLE;
    /// This instance is shutting down.
    ShuttingDown = "shutting_down", StatusCode::SERVICE_UNAVAILABLE;
    /// The shared store is not reachable.
    StoreUnavailable = "store_unavailable", StatusCode::SERVICE_UNAVAILABLE;
    /// A clock of the upstream ran out.
    UpstreamTimeout = "upstream_timeout", StatusCode::GATEWAY_TIMEOUT;
}

/// A failure, used by all modules. Dialects encode it for clients.
///
/// The message is sent to the client: it never contains a secret, an internal host or an upstream's
/// credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct Fault {
    /// The kind of failure.
    pub code: Code,
    /// The HTTP status, used if no response head was sent yet. An upstream's own 400, 404, 413, 415
    /// and 422 are kept.
    pub status: StatusCode,
    /// The side that caused it.
    pub side: Side,
    /// The message: states what failed, where, and what to do. Begins in lower case.
    pub message: String,
    /// The upstream's own code, if clients handle it (`context_length_exceeded` …). It is sent
    /// instead of `code`.
    pub native_code: Option<String>,
    /// The upstream's own error type, if it is passed on.
    pub native_type: Option<String>,
    /// The field of the request that caused it.
    pub param: Option<String>,
    /// The limit that was reached: `ip`, `key`, `global`, `provider`, `readers` …
    pub limit: Option<&'static str>,
    /// Time after which a retry may succeed.
    pub retry_after: Option<Duration>,
    /// True if another target, or the same one a little later, may succeed.
    pub retryable: bool,
    /// True if the client's SDK should not retry by itself: for 409, and after our own retries.
    pub no_client_retry: bool,
    /// The methods that the path supports (for 405).
    pub allow: Option<&'static str>,
    /// The upstream's status, or the status derived from the text of its error. For the operator if
    /// `status` differs.
    pub upstream_status: Option<StatusCode>,
    /// The provider's request id.
    pub upstream_request_id: Option<String>,
    /// True if the message contains the upstream's own text, which may repeat a prompt. Such a
    /// message is sent to the client and never logged.
    pub quotes_upstream: bool,
}

impl Fault {
    /// Returns a failure with the status and side of its code.
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
            no_client_retry: status == StatusCode::CONFLICT,
            allow: None,
            upstream_status: None,
            upstream_request_id: None,
            quotes_upstream: false,
        }
    }

    /// Returns a 400 for a field of the request that is not valid.
    #[must_use]
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, message).with_param(param)
    }

    /// Sets the field of the request that caused the failure.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Sets the time after which a retry may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Sets the limit that was reached.
    #[must_use]
    pub fn with_limit(mut self, limit: &'static str) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns true if the route ends with this failure: the request itself is wrong, and no other
    /// target would accept it.
    #[must_use]
    pub fn ends_route(&self) -> bool {
        matches!(self.status.as_u16(), 400 | 413 | 415 | 422) || self.code == Code::FieldNotAllowed
    }

    /// Returns the code that is sent to clients: the upstream's own if they handle it.
    #[must_use]
    pub fn client_code(&self) -> &str {
        self.native_code.as_deref().unwrap_or(self.code.as_str())
    }
}
