//! OpenAI Chat Completions as clients speak it.
//!
//! Invariants: over its own wire payloads go to the client as they came, and only what we end
//! ourselves is closed by chunks of ours. Left out here, because the API has no word for it: `Raw`
//! events, citations without a URL, and what a citation says beside its URL, title and place. After
//! an error nothing is written.

mod cache;
pub(super) mod chat;
mod choices;
mod content;
mod encode;
mod estimate;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod laws;
pub(super) mod parse;
mod passed;
mod pieces;
mod reasoning;
mod refusal;
mod tools;
mod turns;
mod whole;

use bytes::Bytes;
use http::HeaderMap;

pub(super) use content::media_type_of;
pub(super) use pieces::put_own;

use super::{Dialect, Encode, View};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// The dialect `openai-chat`.
#[derive(Debug, Clone, Copy)]
pub struct OpenaiChat;

impl Dialect for OpenaiChat {
    fn id(&self) -> DialectId {
        DialectId::OpenaiChat
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::ask(DialectId::OpenaiChat, headers, body)
    }

    fn refusal(&self, fault: &Fault, request_id: &str) -> Bytes {
        refusal::body(fault, request_id)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        Box::new(encode::Encoder::new(view))
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::body(view, answer)
    }

    fn heartbeat(&self) -> &'static [u8] {
        HEARTBEAT
    }
}

/// A comment, ended by one newline: no SSE reader dispatches anything for it.
pub(super) const HEARTBEAT: &[u8] = b": keep-alive\n";

/// Reads a Chat Completions body that is to be answered in `dialect`.
///
/// # Errors
/// A 400 that names the field and what was expected; a 403 for objects in the provider's account.
pub(super) fn parse_for(
    dialect: DialectId,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Ask, Fault> {
    parse::ask(dialect, headers, body)
}

/// The body of a refusal in OpenAI's shape.
pub(super) fn refusal_body(fault: &Fault, request_id: &str) -> Bytes {
    refusal::body(fault, request_id)
}
