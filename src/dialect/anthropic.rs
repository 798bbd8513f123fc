//! Anthropic Messages as clients speak it.
//!
//! Invariants: over its own wire payloads go to the client as they came, and only what we end
//! ourselves is closed by events of ours; blocks come one after another, each ended before the
//! next; after an error nothing is written. Left out here, because the API has no word for it:
//! choices but the first, content of other wires without a normalized form, and citations of other
//! wires (clients would bring them back, and the API refuses what it has not made).
//!
//! Thinking of other wires goes out with an empty signature, and is left out when it comes back.
//! What such a wire wants back with it (signatures, encrypted blocks) is wrapped, and unwrapped for
//! that wire alone: a [`OpaqueSignature`](crate::model::opaque_signature::OpaqueSignature).

mod chat;
mod content;
mod encode;
mod estimate;
#[cfg(test)]
mod goldens;
mod keep;
#[cfg(test)]
mod laws;
mod parse;
mod passed;
mod pieces;
mod raw;
mod refusal;
mod tools;
mod turns;
mod whole;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::{Dialect, Encode, View};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// The dialect `anthropic`.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

impl Dialect for Anthropic {
    fn id(&self) -> DialectId {
        DialectId::Anthropic
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::generation(headers, body)
    }

    fn refusal(&self, fault: &Fault, request_id: &str) -> Bytes {
        refusal::body(fault, request_id)
    }

    fn status(&self, fault: &Fault) -> StatusCode {
        refusal::status(fault)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        Box::new(encode::Encoder::new(view))
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::body(view, answer)
    }

    fn heartbeat(&self) -> &'static [u8] {
        b"event: ping\ndata: {\"type\":\"ping\"}\n\n"
    }
}

/// Reads the body of a request that counts a prompt's tokens: that of a generation, which need not
/// say how much is to be generated.
///
/// # Errors
/// As for a generation.
pub fn parse_count(headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
    parse::count(headers, body)
}
