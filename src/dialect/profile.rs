//! The properties of a dialect that other rooms act on, as data.

use super::operation::{ApiPath, Operation};
use crate::model::profile::{PayloadIds, RateHeaders, ResetForm};

/// The properties of one dialect.
#[derive(Debug)]
pub struct DialectProfile {
    /// The canonical path of its generations. The digest of a request covers it, so all forms of
    /// the path must give the same digest.
    pub path: &'static str,
    /// Its operations, by the rest of the path: `""` is `path` itself.
    pub operations: &'static [ApiPath],
    /// Its paths work without `/v1` too: SDKs of its vendor differ in what they take for the base
    /// URL.
    pub has_short_paths: bool,
    /// A header field that only its clients send. On the paths that dialects share, such as the
    /// list of models, it tells that this dialect is meant.
    pub marker_header: Option<&'static str>,
    /// Streams are answered with 200 as soon as they are admitted, so that they can be cancelled
    /// before the first token.
    pub answers_at_once: bool,
    /// Events have ids even if the client does not ask for them. Its clients can resume, so a
    /// stream waits for them after a disconnect.
    pub ids_by_default: bool,
    /// A client may ask not to wait for the answer (`Prefer: respond-async`).
    pub detachable: bool,
    /// Deltas may be merged for slow readers. False where events carry sequence numbers, which
    /// must be the same for all readers.
    pub mergeable: bool,
    /// An answer that is not streamed is the status of the stream with the content in it.
    pub whole_is_status: bool,
    /// An answer that is not streamed counts as read to its end: with `store: false` it is
    /// forgotten then.
    pub whole_is_read_to_end: bool,
    /// The shape of the model list.
    pub models: ModelsShape,
    /// The header fields for the state of rate limits.
    pub rate_headers: &'static RateHeaders,
    /// The header field in which its clients expect the request id, beside our own.
    pub request_id_header: Option<&'static str>,
    /// A header field that marks its streams, and the value of it.
    pub stream_header: Option<(&'static str, &'static str)>,
    /// Readers of the provider's ids in payloads that are passed on.
    pub payload_ids: PayloadIds,
}

/// The shape of the model list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelsShape {
    /// One list of all models, as OpenAI sends it.
    List,
    /// Pages with cursors, as Anthropic sends them.
    Pages,
}

/// OpenAI's header fields for rate limits.
const OPENAI_RATE_HEADERS: RateHeaders = RateHeaders {
    requests: [
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ],
    tokens: [
        "x-ratelimit-limit-tokens",
        "x-ratelimit-remaining-tokens",
        "x-ratelimit-reset-tokens",
    ],
    reset: ResetForm::Duration,
};

impl DialectProfile {
    /// Returns the profile of a dialect that has nothing special beside its path.
    pub(super) const fn plain(path: &'static str) -> Self {
        Self {
            path,
            operations: &[("", &[Operation::Generate])],
            has_short_paths: false,
            marker_header: None,
            answers_at_once: false,
            ids_by_default: false,
            detachable: false,
            mergeable: true,
            whole_is_status: false,
            whole_is_read_to_end: false,
            models: ModelsShape::List,
            rate_headers: &OPENAI_RATE_HEADERS,
            request_id_header: None,
            stream_header: None,
            payload_ids: PayloadIds::NONE,
        }
    }
}
