//! Anthropic Messages: the dialect `anthropic`.
//!
//! Invariants: over its own wire, payloads go to the client unchanged, and we add events only where
//! we end the stream ourselves; content blocks follow one another, and each is stopped before the
//! next one starts; nothing is written after an error. The encoder skips content that the API does
//! not support: choices other than the first, content of other wires without a normalized form, and
//! citations of other wires (clients would send them back, and the API rejects citations it has not
//! made).
//!
//! Thinking of other wires is written with an empty signature, and skipped when a client sends it
//! back. Signatures and encrypted blocks that such a wire needs back are wrapped, and unwrapped for
//! that wire alone: an [`OpaqueSignature`](crate::model::opaque_signature::OpaqueSignature).

mod cache;
mod chat;
mod content;
mod encode;
mod error;
mod estimate;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod laws;
mod parse;
mod passed;
mod pieces;
mod provider_ids;
mod raw;
mod signatures;
mod tools;
mod turns;
mod whole;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Dialect, DialectProfile, Encode, ModelsShape, Operation, View};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::profile::{PayloadIds, RateHeaders, ResetForm};
use crate::model::wire::DialectId;

/// The dialect `anthropic`.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

static PROFILE: DialectProfile = DialectProfile {
    operations: &[
        ("", &[Operation::Generate]),
        ("/count_tokens", &[Operation::CountTokens]),
    ],
    has_short_paths: true,
    marker_header: Some("anthropic-version"),
    models: ModelsShape::Pages,
    rate_headers: &RATE_HEADERS,
    request_id_header: Some("request-id"),
    payload_ids: PayloadIds {
        // Clients of this API do not come back with the id of a message.
        response: None,
        objects: Some(provider_ids::object_ids),
    },
    ..DialectProfile::plain("/v1/messages")
};

const RATE_HEADERS: RateHeaders = RateHeaders {
    requests: [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    tokens: [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
    reset: ResetForm::Timestamp,
};

impl Dialect for Anthropic {
    fn id(&self) -> DialectId {
        DialectId::Anthropic
    }

    fn profile(&self) -> &'static DialectProfile {
        &PROFILE
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::generation(headers, body)
    }

    fn error_body(&self, fault: &Fault, request_id: &str) -> Bytes {
        error::body(fault, request_id)
    }

    fn error_status(&self, fault: &Fault) -> StatusCode {
        error::status(fault)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        encode::encoder(view)
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::body(view, answer)
    }

    fn heartbeat(&self) -> &'static [u8] {
        // The API's own heartbeat, which its clients expect.
        b"event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }
}

/// Parses the body of a request that counts the tokens of a prompt. It is the body of a generation
/// in which `max_tokens` is optional.
///
/// # Errors
/// The same as for a generation.
pub fn parse_count(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    parse::count(headers, body)
}
