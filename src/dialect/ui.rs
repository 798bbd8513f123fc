//! The dialect `ui`: the AI SDK's UI message stream (v1), as `useChat` uses it.
//!
//! A stream is one assistant message with one step. Text, refusals and reasoning are parts with ids
//! of their own. Data that a provider needs back (signatures, encrypted blocks) is sent in
//! `providerMetadata.sluicegate` of the part it belongs to, where the SDK stores it and sends it
//! back. Content without a part in the protocol is sent as `data-raw`, images as `file`.
//!
//! Omitted, because a message has no place for them: choices other than the first, members of a
//! citation other than URL and title, and citations without a URL.
//!
//! Invariants: a part is ended before another of its kind begins; every stream that ends has
//! exactly one `[DONE]`.

mod calls;
mod encode;
#[cfg(test)]
mod laws;
mod messages;
mod parse;
mod parts;
mod whole;

use bytes::Bytes;
use http::HeaderMap;

use super::{Dialect, DialectProfile, Encode, Operation, View};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// The dialect `ui`.
#[derive(Debug, Clone, Copy)]
pub struct Ui;

static PROFILE: DialectProfile = DialectProfile {
    operations: &[
        ("", &[Operation::Generate]),
        ("/{id}/stream", &[Operation::ResumeChat]),
        ("/{id}/stop", &[Operation::StopChat]),
    ],
    answers_at_once: true,
    ids_by_default: true,
    stream_header: Some(("x-vercel-ai-ui-message-stream", "v1")),
    ..DialectProfile::plain("/v1/ui/chat")
};

impl Dialect for Ui {
    fn id(&self) -> DialectId {
        DialectId::Ui
    }

    fn profile(&self) -> &'static DialectProfile {
        &PROFILE
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        parse::ask(headers, body)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        Box::new(encode::Encoder::new(view))
    }

    fn whole(&self, view: &View, answer: &Answer) -> Bytes {
        whole::message(view, answer)
    }
}
