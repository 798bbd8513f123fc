//! OpenAI Responses as clients speak it.
//!
//! Invariants: over its own wire payloads go to the client as they came, and only what we end
//! ourselves is closed by events of ours; events are numbered from 0 without gaps, the same for
//! every reader, so no deltas are ever merged; an item keeps its id and its place, and the terminal
//! event repeats every item as its end told it, which is why this encoder keeps the text of what it
//! spells; nothing follows the terminal event. Left out here, because the API has no word for it:
//! choices but the first, content of other wires without a normalized form, log probabilities of
//! translated answers, and citations without a URL.
//!
//! What another wire wants back with its reasoning, its text or its calls is the
//! `encrypted_content` of a reasoning item, wrapped into a
//! [`OpaqueSignature`](crate::model::opaque_signature::OpaqueSignature), and unwrapped for that
//! wire alone.

mod chat;
mod content;
mod encode;
mod estimate;
#[cfg(test)]
mod goldens;
mod items;
mod keep;
mod kept;
#[cfg(test)]
mod laws;
mod named;
mod parse;
mod passed;
mod pieces;
mod tools;
mod whole;

use bytes::Bytes;
use http::HeaderMap;

use super::{Dialect, Encode, View, openai_chat};
use crate::codec::sse_writer::SseWriter;
use crate::model::ask::Ask;
use crate::model::entry::Entry;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

pub use kept::{go_on, numbered, output_of, renamed};
pub use named::{Items, home_of, named, output_by_id, spelled_out};

/// The dialect `openai-responses`.
#[derive(Debug, Clone, Copy)]
pub struct OpenaiResponses;

impl Dialect for OpenaiResponses {
    fn id(&self) -> DialectId {
        DialectId::OpenaiResponses
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::ask(headers, body)
    }

    fn refusal(&self, fault: &Fault, request_id: &str) -> Bytes {
        openai_chat::refusal_body(fault, request_id)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        Box::new(encode::Encoder::new(view))
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::body(view, answer)
    }

    fn heartbeat(&self) -> &'static [u8] {
        openai_chat::HEARTBEAT
    }
}

/// Goes over a journal without spelling it, for what a response is at a moment, and for the numbers
/// of its events.
pub struct ResponseView {
    encoder: encode::Encoder,
    out: SseWriter,
}

impl ResponseView {
    /// At the beginning of a journal.
    #[must_use]
    pub fn new(view: View) -> Self {
        let mut out = SseWriter::new(None);
        out.mute(true);
        Self {
            encoder: encode::Encoder::new(view),
            out,
        }
    }

    /// Takes in the next entry.
    pub fn take(&mut self, entry: &Entry) {
        self.out.begin_entry(0, 0);
        self.encoder.entry(entry, &mut self.out);
        self.out.end_entry();
    }

    /// The number that the next event will have.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.encoder.next_number()
    }

    /// The response as it is by now (JSON).
    #[must_use]
    pub fn object(&self) -> Bytes {
        self.encoder.object()
    }
}
