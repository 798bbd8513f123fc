//! Encodes a journal as the events of a message.
//!
//! Over the own wire of the dialect, payloads are passed on under their own names, and our events
//! follow only where we end the stream. Otherwise every event is ours: `message_start` once a
//! target has answered, content blocks one after another, then `message_delta` and `message_stop`.
//! Only the first choice is written, because this API has no others.

mod blocks;
mod end;
mod held;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::passed::Passed;
use super::pieces;
use crate::codec::json::put_u64;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::{Encode, View};
use crate::model::entry::Entry;
use crate::model::event::{Event, Finish};
use crate::model::usage::Usage;
use blocks::Blocks;

/// The encoder for one reader.
pub(super) struct Encoder {
    view: View,
    /// Payloads are passed on.
    raw: bool,
    /// The payload of the current entry was passed on.
    passing: bool,
    passed: Passed,
    /// The client has received `message_start`.
    begun: bool,
    blocks: Blocks,
    /// A refusal has been written.
    refused: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// The terminal event or an error has been written.
    ended: bool,
}

impl Encoder {
    /// Creates an encoder in its initial state.
    pub(super) fn new(view: View) -> Self {
        Self {
            view,
            raw: false,
            passing: false,
            passed: Passed::default(),
            begun: false,
            blocks: Blocks::new(),
            refused: false,
            finish: None,
            usage: None,
            ended: false,
        }
    }
}

impl Encode for Encoder {
    fn restore(&mut self, summary: &Entry, out: &mut SseWriter) {
        // The summary holds no text of deltas, so what is built from it cannot be written to a
        // reader.
        self.blocks.set_text_missing(true);
        self.write_entry(summary, out);
        self.blocks.set_text_missing(false);
    }

    fn write_entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        // Nothing is written after an error, payloads included.
        let raw = entry.raw.as_ref().filter(|_| self.view.raw && !self.ended);
        if let Some(raw) = raw {
            self.raw = true;
            self.begun |= self.passed.pass(raw, out);
        }
        self.passing = raw.is_some();
        for event in &entry.events {
            self.write_event(event, out);
        }
        self.passing = false;
    }

    fn write_event(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            _ if self.ended => {}
            // The message starts with `route`: until then another target, or an error, may follow.
            Event::Start(_) => {}
            Event::Route(route) => {
                self.raw = self.view.raw && route.raw;
                self.blocks.wire = route.wire;
                // A target has answered, so the client can be sent the head of its message.
                if !self.raw {
                    self.begin(out);
                }
            }
            Event::Usage(usage) => self.usage = Some(**usage),
            Event::Error(failure) => self.error(failure, out),
            Event::End(end) => self.end(end, out),
            // The API has one choice.
            other if other.choice() != 0 => {}
            // The `message_start` of these events was passed on before them, even if its entry has
            // been evicted.
            _ if self.raw => self.begun = true,
            Event::Finish(finish) => self.finish(finish, out),
            content => self.content(content, out),
        }
    }
}

/// Writing our own events.
impl Encoder {
    fn content(&mut self, event: &Event, out: &mut SseWriter) {
        self.begin(out);
        // A normal stop after a refusal is reported as a refusal.
        self.refused |= matches!(event, Event::Refusal { .. });
        self.blocks.write(event, out);
        if let Some(fault) = self.blocks.failure(out) {
            self.fail(&fault, out);
        }
    }

    /// Stops the open block of a complete choice. The reason is written with the end of the
    /// message.
    fn finish(&mut self, finish: &Finish, out: &mut SseWriter) {
        self.finish = Some(finish.clone());
        self.close(out);
    }

    /// Writes `message_start`, unless the client has received it.
    fn begin(&mut self, out: &mut SseWriter) {
        if !std::mem::replace(&mut self.begun, true) {
            let start = message_start(&self.view);
            out.event("message_start").put_slice(&start);
        }
    }
}

/// Returns the data of `message_start`. Usage is an estimate at this point.
fn message_start(view: &View) -> Bytes {
    // Clients require a complete message in the first event, usage included.
    let mut buf = BytesMut::with_capacity(384);
    buf.put_slice(b"{\"type\":\"message_start\",\"message\":");
    pieces::put_head(&mut buf, &view.start.stream, &view.start.head.model);
    buf.put_slice(b"],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":");
    put_u64(&mut buf, view.start.head.input_estimate);
    buf.put_slice(b",\"output_tokens\":0}},\"sluicegate\":{\"estimated\":true}}");
    buf.freeze()
}
