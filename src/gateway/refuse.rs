//! Error responses: the status, header fields and body of a fault in the dialect of the client.
//!
//! The edge adds the headers that every response carries (`x-request-id`, CORS, `cache-control`).

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::reply::Reply;
use crate::dialect;
use crate::model::fault::Fault;
use crate::model::wire::DialectId;

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");
/// `Retry-After` of a 429 or 503 if the fault sets none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Returns the error response for a fault.
#[must_use]
pub fn refuse(fault: &Fault, dialect: DialectId, request_id: &str) -> Response<Reply> {
    let mut response = Response::new(Reply::whole(
        dialect::of(dialect).error_body(fault, request_id),
    ));
    *response.status_mut() = dialect::of(dialect).error_status(fault);
    write_fields(fault, response.headers_mut());
    response
}

fn write_fields(fault: &Fault, headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if fault.status == StatusCode::UNAUTHORIZED {
        // HTTP requires this header with every 401, and `Allow` with every 405.
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(methods) = fault.allow {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(after) = retry_after(fault) {
        write_retry_after(after, headers);
    }
    if fault.no_client_retry {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    // The id may come from JSON and contain bytes that no header allows: then it is omitted.
    if let Some(id) = fault
        .upstream_request_id
        .as_deref()
        .and_then(|id| HeaderValue::from_str(id).ok())
    {
        headers.insert(UPSTREAM_REQUEST_ID, id);
    }
}

fn retry_after(fault: &Fault) -> Option<Duration> {
    let needs_retry_after = matches!(
        fault.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    fault
        .retry_after
        .or_else(|| needs_retry_after.then_some(DEFAULT_RETRY_AFTER))
}

/// Writes `Retry-After` (seconds) and `retry-after-ms`, rounded up, so that a client that waits
/// this long is not too early. Never 0, which means "at once".
fn write_retry_after(after: Duration, headers: &mut HeaderMap) {
    let millis = after
        .as_nanos()
        .div_ceil(1_000_000)
        .clamp(1, u128::from(u64::MAX)) as u64;
    headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
    headers.insert(RETRY_AFTER_MS, HeaderValue::from(millis));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::Code;

    fn fields(fault: &Fault) -> HeaderMap {
        let mut headers = HeaderMap::new();
        write_fields(fault, &mut headers);
        headers
    }

    #[test]
    fn waits_are_rounded_up_and_never_zero() {
        for (millis, seconds, sent_millis) in [
            (0, "1", "1"),
            (1, "1", "1"),
            (1000, "1", "1000"),
            (1001, "2", "1001"),
            (59_999, "60", "59999"),
        ] {
            let headers = fields(
                &Fault::new(Code::RateLimited, "slow down")
                    .with_retry_after(Duration::from_millis(millis)),
            );
            assert_eq!(
                (
                    headers["retry-after"].to_str().unwrap(),
                    headers["retry-after-ms"].to_str().unwrap()
                ),
                (seconds, sent_millis)
            );
        }
        assert_eq!(
            fields(&Fault::new(Code::StoreUnavailable, "away"))["retry-after"],
            "1"
        );
        assert!(!fields(&Fault::new(Code::UpstreamError, "broke")).contains_key("retry-after"));
    }

    #[test]
    fn each_fault_brings_the_fields_of_its_status() {
        assert_eq!(
            fields(&Fault::new(Code::Unauthenticated, "no key"))["www-authenticate"],
            "Bearer"
        );
        assert_eq!(
            fields(&Fault::new(Code::IdempotencyConflict, "another body"))["x-should-retry"],
            "false"
        );
        let mut fault = Fault::new(Code::MethodNotAllowed, "post it");
        (fault.allow, fault.upstream_request_id) = (Some("POST"), Some("req_1\n".into()));
        let headers = fields(&fault);
        assert_eq!(headers["allow"], "POST");
        assert!(
            !headers.contains_key("x-upstream-request-id"),
            "no header value, no header"
        );
    }
}
