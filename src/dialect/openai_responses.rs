//! The dialect `openai-responses`: OpenAI's Responses API.
//!
//! Invariants: over the dialect's own wire, payloads are passed on unchanged, and events of ours
//! follow only where we end the stream. Events are numbered from 0 without gaps, and the numbers
//! are the same for every reader, so deltas are never merged. An item keeps its id and its place.
//! The terminal event repeats every item as its last event contained it, so this encoder keeps the
//! text of deltas. Nothing follows the terminal event.
//!
//! Omitted, because the API does not support it: choices other than the first, content of other
//! wires without a normalized form, log probabilities of translated answers, and citations without
//! a URL.
//!
//! Signatures and encrypted content that another wire needs back with its reasoning, text or calls
//! are sent as the `encrypted_content` of a reasoning item, wrapped into an
//! [`OpaqueSignature`](crate::model::opaque_signature::OpaqueSignature). They are unwrapped only
//! for the wire that made them.

mod chat;
mod content;
mod continued;
mod encode;
mod estimate;
#[cfg(test)]
mod goldens;
mod item_references;
mod items;
#[cfg(test)]
mod laws;
mod parse;
mod passed;
mod pieces;
mod provider_ids;
mod signatures;
mod stored;
mod tools;
mod whole;

use bytes::Bytes;
use http::HeaderMap;

use super::passing::Passing;
use super::{Dialect, DialectProfile, Encode, Operation, View};
use crate::codec::sse_writer::SseWriter;
use crate::model::ask::Ask;
use crate::model::entry::Entry;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::profile::PayloadIds;
use crate::model::wire::DialectId;

pub use continued::{continue_from, resolve_references};
pub use item_references::{ItemsById, output_items_by_id, referenced_items, stream_id_in};
pub use stored::{items_with_ids, output_as_input, with_response_id};

/// The dialect `openai-responses`.
#[derive(Debug, Clone, Copy)]
pub struct OpenaiResponses;

static PROFILE: DialectProfile = DialectProfile {
    operations: &[
        ("", &[Operation::Generate]),
        (
            "/{id}",
            &[Operation::ReadResponse, Operation::ForgetResponse],
        ),
        ("/{id}/cancel", &[Operation::CancelResponse]),
        ("/{id}/input_items", &[Operation::ListInputItems]),
    ],
    has_short_paths: true,
    mergeable: false,
    whole_is_read_to_end: true,
    payload_ids: PayloadIds {
        response: Some(provider_ids::response_id),
        objects: Some(provider_ids::object_ids),
    },
    ..DialectProfile::plain("/v1/responses")
};

impl Dialect for OpenaiResponses {
    fn id(&self) -> DialectId {
        DialectId::OpenaiResponses
    }

    fn profile(&self) -> &'static DialectProfile {
        &PROFILE
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::ask(headers, body)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        Box::new(encode::encoder(view))
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::body(view, answer)
    }
}

/// Reads a journal without writing events, to get the response object at any point and the numbers
/// of its events.
pub struct ResponseView {
    encoder: Passing<encode::Response>,
    out: SseWriter,
}

impl ResponseView {
    /// Creates a view at the beginning of a journal.
    #[must_use]
    pub fn new(view: View) -> Self {
        let mut out = SseWriter::new(None);
        // Muted: only the state of the encoder is used.
        out.mute(true);
        Self {
            encoder: encode::encoder(view),
            out,
        }
    }

    /// Reads the next entry.
    pub fn read(&mut self, entry: &Entry) {
        // A muted writer writes no ids, so the position does not matter.
        self.out.begin_entry(0, 0);
        self.encoder.write_entry(entry, &mut self.out);
        self.out.end_entry();
    }

    /// Returns the number of the next event.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.encoder.next_number()
    }

    /// Returns the response object so far (JSON).
    #[must_use]
    pub fn object(&self) -> Bytes {
        self.encoder.object()
    }
}
