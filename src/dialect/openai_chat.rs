//! OpenAI Chat Completions: the dialect `openai-chat`.
//!
//! Invariants: over its own wire, payloads go to the client unchanged, and we add chunks only where
//! we end the stream ourselves; nothing is written after an error. The encoder skips content that
//! the API does not support: `Raw` events, citations without a URL, and the members of a citation
//! other than its URL, title and span.

mod cache;
pub(super) mod chat;
mod choices;
mod content;
mod encode;
mod error;
mod estimate;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod laws;
pub(super) mod parse;
mod passed;
mod pieces;
mod reasoning;
mod tools;
mod turns;
mod whole;

use bytes::Bytes;
use http::HeaderMap;

pub(super) use content::media_type_for;

use super::{Dialect, DialectProfile, Encode, View};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// The dialect `openai-chat`.
#[derive(Debug, Clone, Copy)]
pub struct OpenaiChat;

static PROFILE: DialectProfile = DialectProfile {
    has_short_paths: true,
    ..DialectProfile::plain("/v1/chat/completions")
};

impl Dialect for OpenaiChat {
    fn id(&self) -> DialectId {
        DialectId::OpenaiChat
    }

    fn profile(&self) -> &'static DialectProfile {
        &PROFILE
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::ask(DialectId::OpenaiChat, headers, body)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        encode::encoder(view)
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::body(view, answer)
    }
}

/// Parses a Chat Completions body of a request that is answered in `dialect`.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn parse_for(
    dialect: DialectId,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Ask, Fault> {
    parse::ask(dialect, headers, body)
}

/// Returns the body of an error response in OpenAI's shape.
pub(super) fn error_body(fault: &Fault, request_id: &str) -> Bytes {
    error::body(fault, request_id)
}
