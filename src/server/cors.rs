//! CORS headers: what pages of allowed origins may send and read. All names are listed, as CORS
//! supports no prefixes.
//!
//! Invariant: credentials are allowed for origins listed by name, never for `*`.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, VARY,
};
use http::{HeaderMap, HeaderValue};

use super::origin::Page;
use crate::gateway;

/// Request header fields a page may set. The `x-stainless-*` ones are sent by the vendors' SDKs.
const ALLOWED_HEADERS: &str = "authorization, content-type, x-api-key, anthropic-version, \
    anthropic-beta, anthropic-dangerous-direct-browser-access, openai-beta, openai-organization, \
    openai-project, user-agent, cache-control, x-stainless-lang, x-stainless-package-version, \
    x-stainless-os, x-stainless-arch, x-stainless-runtime, x-stainless-runtime-version, \
    x-stainless-async, x-stainless-retry-count, x-stainless-read-timeout, x-stainless-timeout, \
    x-stainless-helper, x-stainless-helper-method, x-stainless-poll-helper, \
    x-stainless-custom-poll-interval, x-stainless-raw-response, last-event-id, idempotency-key, \
    prefer, x-stream-id, x-event-ids, x-on-disconnect, x-retention, x-request-id, traceparent";

/// Response header fields a page may read.
const EXPOSED_HEADERS: &str = "x-stream-id, x-request-id, request-id, location, retry-after, \
    retry-after-ms, x-should-retry, x-ratelimit-limit-requests, x-ratelimit-remaining-requests, \
    x-ratelimit-reset-requests, x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, \
    x-ratelimit-reset-tokens, ratelimit, ratelimit-policy, anthropic-ratelimit-requests-limit, \
    anthropic-ratelimit-requests-remaining, anthropic-ratelimit-requests-reset, \
    anthropic-ratelimit-tokens-limit, anthropic-ratelimit-tokens-remaining, \
    anthropic-ratelimit-tokens-reset, anthropic-ratelimit-input-tokens-limit, \
    anthropic-ratelimit-input-tokens-remaining, anthropic-ratelimit-input-tokens-reset, \
    anthropic-ratelimit-output-tokens-limit, anthropic-ratelimit-output-tokens-remaining, \
    anthropic-ratelimit-output-tokens-reset, www-authenticate, x-upstream-request-id, \
    x-sluicegate-route, x-sluicegate-dropped, x-budget-warning";

/// Maximum time a browser may cache a preflight, seconds. No browser caches one for more than two
/// hours.
const MAX_AGE_SECONDS: &str = "7200";

/// Adds the CORS headers for this page to a response.
pub(super) fn write(page: &Page, preflight: bool, headers: &mut HeaderMap) {
    // On every response, also without a page: caches must not serve it to another origin.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    match page {
        Page::Allowed(origin) => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        Page::Anyone => {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        Page::None | Page::Foreign => return,
    }
    if preflight {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, gateway::METHODS.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(ALLOWED_HEADERS),
        );
        headers.insert(
            ACCESS_CONTROL_MAX_AGE,
            HeaderValue::from_static(MAX_AGE_SECONDS),
        );
    } else {
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED_HEADERS),
        );
    }
}
