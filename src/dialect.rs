//! Dialects: how clients ask, and how they are answered. One file a dialect.
//!
//! Invariants: pure — no IO, no clock, no randomness. Encoding is total: every event is spelled or
//! left out by name, so it cannot fail. Encoders are deterministic, and their state does not depend
//! on the text of deltas, but where they say so and can tell that it is missing: run silently over
//! what came before, an encoder stands where it stood.

pub mod anthropic;
mod cost;
mod estimate;
pub mod events;
mod head_fields;
#[cfg(test)]
mod journals;
mod media;
mod object;
pub mod openai_chat;
pub mod openai_responses;
mod references;
pub mod ui;
#[cfg(test)]
mod words;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::codec::sse_writer::SseWriter;
use crate::model::ask::{Ask, Asked};
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Start};
use crate::model::fault::{Code, Fault};
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

pub use references::not_allowed;

/// What one reader asked for, and how the stream began.
#[derive(Debug, Clone)]
pub struct View {
    /// The journal's first entry.
    pub start: Start,
    /// The reader wants usage in the stream (where the dialect makes it optional).
    pub include_usage: bool,
    /// The reader's dialect is that of the entries' payloads, and the stream was begun in it: they
    /// are passed on. Only then are `Entry::raw`s to be looked at.
    pub raw: bool,
    /// What is kept of a request in the dialect `openai-responses`; none where the stream began in
    /// another.
    pub asked: Option<Arc<Asked>>,
}

/// One dialect.
pub trait Dialect: Send + Sync + 'static {
    /// Its name and identity.
    fn id(&self) -> DialectId;

    /// Reads a request. The body is the whole body.
    ///
    /// # Errors
    /// A 400 that names the field and what was expected.
    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault>;

    /// The body of a refusal, in this dialect's shape (JSON).
    fn refusal(&self, fault: &Fault, request_id: &str) -> Bytes;

    /// The status of a refusal.
    fn status(&self, fault: &Fault) -> StatusCode {
        fault.status
    }

    /// An encoder for one reader.
    fn encoder(&self, view: View) -> Box<dyn Encode>;

    /// The whole answer of a non-streaming request (JSON), completed or cancelled with content.
    fn whole(&self, view: &View, answer: &Answer) -> Bytes;

    /// What keeps a silent connection alive: a comment ended by ONE newline, or the dialect's own
    /// ping.
    fn heartbeat(&self) -> &'static [u8];
}

/// Spells a stream's entries for one reader.
pub trait Encode: Send {
    /// Spells one event.
    fn event(&mut self, event: &Event, out: &mut SseWriter);

    /// Takes in what is remembered of entries that were let go: what came in which order, the text
    /// of deltas left out. Always the first of what comes silently.
    fn remember(&mut self, summary: &Entry, out: &mut SseWriter) {
        self.entry(summary, out);
    }

    /// Spells one entry. Dialects that pass payloads on look at `entry.raw` first.
    fn entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        for event in &entry.events {
            self.event(event, out);
        }
    }
}

/// The dialect of that name.
#[must_use]
pub fn of(dialect: DialectId) -> &'static dyn Dialect {
    match dialect {
        DialectId::OpenaiChat => &openai_chat::OpenaiChat,
        DialectId::OpenaiResponses => &openai_responses::OpenaiResponses,
        DialectId::Anthropic => &anthropic::Anthropic,
        DialectId::Events => &events::Events,
        DialectId::Ui => &ui::Ui,
    }
}

/// What an end says that is an error nobody has told of.
fn unsaid(end: &End) -> Fault {
    let native = end
        .native
        .as_deref()
        .map(|word| format!(": {word}"))
        .unwrap_or_default();
    Fault::new(
        Code::UpstreamError,
        format!("the upstream ended the answer with an error{native}; try again"),
    )
}
