//! Dialects: the API shapes spoken to clients. Each dialect has one file and a folder of that name.
//!
//! Invariants: dialects are pure (no IO, no clock, no randomness). Encoding cannot fail: an encoder
//! writes every event, or skips it explicitly. Encoders are deterministic. Their state does not
//! depend on the text of deltas; an encoder that needs that text says so in its documentation and
//! detects when the text is missing. So an encoder that has processed the earlier entries with a
//! muted writer is in the same state as one that wrote them.

pub mod anthropic;
mod cache;
mod estimate;
pub mod events;
mod head_fields;
#[cfg(test)]
mod journals;
mod media;
mod object;
pub mod openai_chat;
pub mod openai_responses;
mod operation;
mod own_members;
mod passing;
mod past;
mod profile;
mod references;
mod request;
pub mod ui;
#[cfg(test)]
mod words;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::codec::sse_writer::SseWriter;
use crate::model::ask::Ask;
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Start};
use crate::model::fault::{Code, Fault};
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

pub use operation::{ApiPath, Operation};
pub use profile::{DialectProfile, ModelsShape};
pub use references::not_allowed;

/// The dialect of errors and lists on paths that belong to no dialect.
pub const DEFAULT: DialectId = DialectId::OpenaiChat;

/// The options of one reader, and the start of the stream it reads.
#[derive(Debug, Clone)]
pub struct View {
    /// The `start` event of the journal.
    pub start: Start,
    /// The reader asked for usage in the stream (in dialects where usage is optional).
    pub include_usage: bool,
    /// Payloads are passed on unchanged: the reader's dialect matches the wire of the payloads, and
    /// the stream was begun in that dialect. Encoders read `Entry::raw` only where this is set.
    pub raw: bool,
}

/// An API shape spoken to clients: parses requests, encodes streams, whole answers and errors.
pub trait Dialect: Send + Sync + 'static {
    /// Returns the id of the dialect.
    fn id(&self) -> DialectId;

    /// Returns its properties that other rooms act on.
    fn profile(&self) -> &'static DialectProfile;

    /// Parses a request; `body` is the complete request body.
    ///
    /// # Errors
    /// A 400 that names the field and what was expected.
    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault>;

    /// Returns the body of an error response (JSON): in OpenAI's shape, unless the dialect has its
    /// own.
    fn error_body(&self, fault: &Fault, request_id: &str) -> Bytes {
        openai_chat::error_body(fault, request_id)
    }

    /// Returns the HTTP status of an error response.
    fn error_status(&self, fault: &Fault) -> StatusCode {
        fault.status
    }

    /// Creates an encoder for one reader.
    fn encoder(&self, view: View) -> Box<dyn Encode>;

    /// Returns the whole answer of a non-streaming request (JSON). The answer is completed, or
    /// cancelled after some content.
    fn whole(&self, view: &View, answer: &Answer) -> Bytes;

    /// Returns the bytes that keep an idle connection open: a comment ended by ONE newline, for
    /// which SSE readers dispatch no event, unless the dialect has an event of its own.
    fn heartbeat(&self) -> &'static [u8] {
        b": keep-alive\n"
    }
}

/// Encodes the entries of a stream for one reader, as SSE events.
pub trait Encode: Send {
    /// Writes one event.
    fn write_event(&mut self, event: &Event, out: &mut SseWriter);

    /// Restores the state from the summary of evicted entries: their events in order, without the
    /// text of deltas. It is called at most once, before any entry, and with a muted writer.
    fn restore(&mut self, summary: &Entry, out: &mut SseWriter) {
        self.write_entry(summary, out);
    }

    /// Writes one entry. Dialects that pass payloads on read `entry.raw` first.
    fn write_entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        for event in &entry.events {
            self.write_event(event, out);
        }
    }
}

/// Returns the dialect with this id.
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

/// Returns the message of a fault for clients. Of an internal error they learn only the `place`, such
/// as `stream <id>`: its own message may contain details of this process.
fn client_message<'f>(fault: &'f Fault, place: fmt::Arguments<'_>) -> Cow<'f, str> {
    if fault.code == Code::InternalError {
        Cow::Owned(format!("internal error in {place}"))
    } else {
        Cow::Borrowed(&fault.message)
    }
}

/// Returns the error of a stream that ended with an error which no `error` event has reported.
fn unreported_error(end: &End) -> Fault {
    // The native reason is all that is known about the cause.
    let native = end
        .native
        .as_deref()
        .map(|native| format!(": {native}"))
        .unwrap_or_default();
    Fault::new(
        Code::UpstreamError,
        format!("the upstream ended the answer with an error{native}; try again"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::Failure;

    #[test]
    fn an_internal_error_reports_only_its_place_in_every_dialect() {
        let fault = Fault::new(Code::InternalError, "index out of bounds in hub.rs");
        let journal = [Entry::new(smallvec::smallvec![Event::Error(Box::new(
            Failure {
                fault: fault.clone(),
                passed_on: false,
            }
        ))])];
        for id in DialectId::ALL {
            let body = of(id).error_body(&fault, "req-1");
            let body = std::str::from_utf8(&body).unwrap();
            let sse = journals::encoded(of(id).encoder(journals::view(1, false)), &journal);
            for (text, place) in [(body, "request req-1"), (&sse.concat(), "stream abc")] {
                assert!(
                    text.contains(&format!("\"internal error in {place}")),
                    "{text}"
                );
                assert!(!text.contains("hub.rs"), "{text}");
            }
        }
    }
}
