//! A journal as the events of a message.
//!
//! Over the dialect's own wire payloads are passed on under their own names, and events of ours
//! follow only where we end the stream. Otherwise every event is ours: `message_start` once a
//! target has answered, blocks one after another, `message_delta` and `message_stop` at the end.
//! The first of several choices is the only one that this API has.

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

/// Spells for one reader.
pub(super) struct Encoder {
    view: View,
    /// Payloads are passed on.
    raw: bool,
    /// The payload of the entry at hand was passed on.
    passing: bool,
    passed: Passed,
    /// The client has had its `message_start`.
    begun: bool,
    blocks: Blocks,
    /// A refusal has been told.
    refused: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// The terminal event or an error has been written.
    over: bool,
}

impl Encoder {
    /// For a reader.
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
            over: false,
        }
    }
}

impl Encode for Encoder {
    fn remember(&mut self, summary: &Entry, out: &mut SseWriter) {
        self.blocks.bare(true);
        self.entry(summary, out);
        self.blocks.bare(false);
    }

    fn entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        let raw = entry.raw.as_ref().filter(|_| self.view.raw && !self.over);
        if let Some(raw) = raw {
            self.raw = true;
            self.begun |= self.passed.pass(raw, out);
        }
        self.passing = raw.is_some();
        for event in &entry.events {
            self.event(event, out);
        }
        self.passing = false;
    }

    fn event(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            _ if self.over => {}
            Event::Start(_) => {}
            Event::Route(route) => {
                self.raw = self.view.raw && route.raw;
                self.blocks.wire = route.wire;
                if !self.raw {
                    self.begin(out);
                }
            }
            Event::Usage(usage) => self.usage = Some(**usage),
            Event::Error(failure) => self.error(failure, out),
            Event::End(end) => self.end(end, out),
            further if further.choice() != 0 => {}
            // Their `message_start` came before them, even where it is no longer kept.
            _ if self.raw => self.begun = true,
            Event::Finish(finish) => self.finish(finish, out),
            content => self.content(content, out),
        }
    }
}

/// Events of ours.
impl Encoder {
    fn content(&mut self, event: &Event, out: &mut SseWriter) {
        self.begin(out);
        self.refused |= matches!(event, Event::Refusal { .. });
        self.blocks.take(event, out);
        if let Some(fault) = self.blocks.failure(out) {
            self.fail(&fault, out);
        }
    }

    /// No block is left open by a choice that is complete; why it is stands at the end.
    fn finish(&mut self, finish: &Finish, out: &mut SseWriter) {
        self.finish = Some(finish.clone());
        self.close(out);
    }

    /// `message_start`, with which all begins.
    fn begin(&mut self, out: &mut SseWriter) {
        if !std::mem::replace(&mut self.begun, true) {
            let start = message_start(&self.view);
            out.event("message_start").put_slice(&start);
        }
    }
}

/// The message as it begins. Of its usage only an estimate is known by now.
fn message_start(view: &View) -> Bytes {
    let mut buf = BytesMut::with_capacity(384);
    buf.put_slice(b"{\"type\":\"message_start\",\"message\":");
    pieces::put_head(&mut buf, &view.start.stream, &view.start.model);
    buf.put_slice(b"],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":");
    put_u64(&mut buf, view.start.input_estimate);
    buf.put_slice(b",\"output_tokens\":0}},\"sluicegate\":{\"estimated\":true}}");
    buf.freeze()
}
