//! The content blocks of a message: each is started, written and stopped before the next one.
//!
//! A tool call stays open until it is complete; content of other blocks that arrives meanwhile is
//! [held](super::held). So the state depends on the text of what is held. If that text was evicted
//! before it could be written, a reader that would need it receives an error, and never a part of
//! it.

use bytes::BytesMut;

use super::super::pieces::{put_redacted, put_text, put_thinking, put_tool_use};
use super::super::signatures::{self, Place};
use super::held::{Held, Item};
use crate::codec::json::{put_escaped, put_json};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::anthropic::raw::{self, Kind};
use crate::model::event::{Event, Signature, ToolCall};
use crate::model::fault::{Code, Fault};
use crate::model::opaque_signature::OpaqueSignature;
use crate::model::wire::WireId;

/// The blocks of one answer.
#[derive(Debug)]
pub(super) struct Blocks {
    /// The wire that produces the content.
    pub(super) wire: WireId,
    /// Number of blocks started so far.
    begun: u64,
    open: Open,
    held: Held,
    /// Buffer for the text of a custom tool call, which is escaped twice.
    escaped: BytesMut,
    /// The reason why nothing more can be written.
    failed: Option<Fault>,
}

/// The block that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    /// The text of a refusal: a text block, but separate from the text of the answer.
    Refusal,
    Thinking,
    Tool {
        index: u16,
        custom: bool,
    },
    Raw,
}

impl Blocks {
    pub(super) fn new() -> Self {
        // Nothing is written until a `route` event names the wire. Gemini is the wire that signs
        // calls.
        Self {
            wire: WireId::Gemini,
            begun: 0,
            open: Open::Nothing,
            held: Held::default(),
            escaped: BytesMut::new(),
            failed: None,
        }
    }

    /// Sets whether the next events lack the text of their deltas.
    pub(super) fn set_text_missing(&mut self, missing: bool) {
        self.held.text_missing = missing;
    }

    /// Checks that everything could be written. If not, the open block is stopped as it is.
    ///
    /// # Errors
    /// When something could not be written.
    pub(super) fn check(&mut self, out: &mut SseWriter) -> Result<(), Fault> {
        let Some(fault) = self.failed.take() else {
            return Ok(());
        };
        if std::mem::replace(&mut self.open, Open::Nothing) != Open::Nothing {
            put_stop(out, self.open_index());
        }
        Err(fault)
    }

    /// Writes or holds one event of content.
    pub(super) fn write(&mut self, event: &Event, out: &mut SseWriter) {
        if self.is_unsupported(event) {
            return;
        }
        match self.open {
            // Only one block may be open at a time, so everything else waits for the end of the
            // call.
            Open::Tool { index, .. } if !belongs_to(event, index) => {
                if self.held.push(event).is_err() {
                    self.failed = Some(overflow());
                }
            }
            _ => {
                self.write_event(event, out);
                self.release(out);
            }
        }
    }

    /// Writes everything that is held, and stops the open block.
    pub(super) fn finish(&mut self, out: &mut SseWriter) {
        while self.failed.is_none()
            && let Some(item) = self.held.pop()
        {
            self.write_held(&item, out);
        }
        if self.failed.is_none() {
            self.end(out);
        }
    }

    /// Returns true for content that this API does not support here.
    fn is_unsupported(&self, event: &Event) -> bool {
        match event {
            // The API rejects citations of other wires when a client sends them back.
            Event::Citation(_) => self.wire != WireId::Anthropic,
            Event::Raw(it) => match raw::kind(it) {
                Kind::Block => false,
                // A stray delta has no block that it could belong to.
                Kind::Delta => self.open == Open::Nothing,
                Kind::Foreign => true,
            },
            _ => false,
        }
    }

    /// Writes held items until a call is open again.
    fn release(&mut self, out: &mut SseWriter) {
        while self.failed.is_none()
            && !matches!(self.open, Open::Tool { .. })
            && let Some(item) = self.held.pop()
        {
            self.write_held(&item, out);
        }
    }

    fn write_held(&mut self, item: &Item, out: &mut SseWriter) {
        let delta = || item.text.as_str().into();
        match (&item.event, item.call()) {
            (Event::Text { .. }, _) => self.write_held_text(Open::Text, item, out),
            (Event::Refusal { .. }, _) => self.write_held_text(Open::Refusal, item, out),
            (Event::Reasoning { .. }, _) => self.write_held_text(Open::Thinking, item, out),
            (event, None) => self.write_event(event, out),
            (event, Some(call)) => {
                self.write_event(event, out);
                // Without deltas nothing is written, as if the item had not been held.
                if item.grown && self.can_write(item, out) {
                    self.write_event(
                        &Event::ToolArguments {
                            choice: call.choice,
                            index: call.index,
                            delta: delta(),
                        },
                        out,
                    );
                }
                if item.ended && self.failed.is_none() {
                    self.end(out);
                }
            }
        }
    }

    fn write_held_text(&mut self, kind: Open, item: &Item, out: &mut SseWriter) {
        self.ensure_open(kind, out);
        if self.can_write(item, out) {
            self.put_delta(kind, &item.text, out);
        }
    }

    /// Returns false, and fails, if the reader would receive an item of which some text is missing.
    fn can_write(&mut self, item: &Item, out: &SseWriter) -> bool {
        // A muted writer only restores the state, so the missing text does no harm there.
        let missing = item.lost && out.reaches_reader();
        if missing {
            self.failed = Some(text_evicted());
        }
        !missing
    }

    fn write_event(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            Event::Text { delta, .. } => self.write_text(Open::Text, delta, out),
            Event::Reasoning { delta, .. } => self.write_text(Open::Thinking, delta, out),
            Event::Refusal { delta, .. } => self.write_text(Open::Refusal, delta, out),
            Event::ToolCall(call) => self.tool_call(call, out),
            Event::ToolArguments { index, delta, .. } => self.arguments(*index, delta, out),
            Event::ToolCallEnd { index, .. } if matches!(self.open, Open::Tool { index: open, .. } if open == *index) =>
            {
                self.end(out);
            }
            Event::Signature(it) => self.signature(it, out),
            Event::Citation(it) => {
                self.ensure_open(Open::Text, out);
                self.delta(out, "citations_delta", |delta| {
                    delta.json("citation", &it.data);
                });
            }
            Event::Raw(it) if raw::kind(it) == Kind::Delta => self.raw_delta(&it.data, out),
            Event::Raw(it) => {
                self.end(out);
                // The block stays open, because its deltas may follow.
                self.begin(Open::Raw, out, |buf| put_json(buf, &it.data));
            }
            // The end of a call that is not open: there is no block to stop.
            Event::ToolCallEnd { .. } => {}
            Event::Start(_)
            | Event::Route(_)
            | Event::Finish(_)
            | Event::Usage(_)
            | Event::Error(_)
            | Event::End(_) => {}
        }
    }

    fn write_text(&mut self, kind: Open, delta: &str, out: &mut SseWriter) {
        self.ensure_open(kind, out);
        self.put_delta(kind, delta, out);
    }

    fn put_delta(&self, kind: Open, delta: &str, out: &mut SseWriter) {
        let (tag, member) = if kind == Open::Thinking {
            ("thinking_delta", "thinking")
        } else {
            ("text_delta", "text")
        };
        self.delta(out, tag, |it| it.text(member, delta));
    }

    fn tool_call(&mut self, call: &ToolCall, out: &mut SseWriter) {
        // A tool call has no member for a signature, so a block of its own carries it.
        if let Some(signature) = &call.signature {
            let signature = OpaqueSignature::for_call(&call.id, signature, self.wire);
            self.redacted(&signature.encode(), out);
        }
        self.end(out);
        self.begin(
            Open::Tool {
                index: call.index,
                custom: call.custom,
            },
            out,
            // Clients expect an empty input here, and build it from the deltas.
            |buf| put_tool_use(buf, &call.id, &call.name, "{}"),
        );
        if call.custom {
            // The input of a tool is always an object here, so the free text becomes a string in
            // one.
            self.input("{\"input\":\"", out);
        }
    }

    fn arguments(&mut self, index: u16, delta: &str, out: &mut SseWriter) {
        match self.open {
            Open::Tool {
                index: open,
                custom: false,
            } if open == index => self.input(delta, out),
            Open::Tool {
                index: open,
                custom: true,
            } if open == index => {
                self.escaped.clear();
                put_escaped(&mut self.escaped, delta);
                // The text is a JSON string inside `partial_json`, which is a JSON string itself.
                let escaped = String::from_utf8_lossy(&self.escaped);
                self.input(&escaped, out);
            }
            // Arguments of a call that is not open have no block.
            _ => {}
        }
    }

    fn input(&self, json: &str, out: &mut SseWriter) {
        self.delta(out, "input_json_delta", |it| it.text("partial_json", json));
    }

    fn signature(&mut self, it: &Signature, out: &mut SseWriter) {
        match signatures::place(it, self.open == Open::Thinking) {
            Some(Place::Thinking(signature)) => {
                self.ensure_open(Open::Thinking, out);
                self.delta(out, "signature_delta", |it| {
                    it.text("signature", &signature);
                });
                // A signature is the last delta of its block; more thinking is another block.
                self.end(out);
            }
            Some(Place::Redacted(data)) => self.redacted(&data, out),
            None => {}
        }
    }

    fn redacted(&mut self, data: &str, out: &mut SseWriter) {
        self.end(out);
        self.begin(Open::Raw, out, |buf| put_redacted(buf, data));
        self.end(out);
    }

    /// Writes a delta of the own wire. Without an open block it is dropped.
    fn raw_delta(&self, json: &str, out: &mut SseWriter) {
        if self.open == Open::Nothing {
            return;
        }
        put_event(out, "content_block_delta", self.open_index(), |event| {
            event.json("delta", json);
        });
    }

    /// Ensures that a block of this kind is open.
    fn ensure_open(&mut self, kind: Open, out: &mut SseWriter) {
        if self.open == kind {
            return;
        }
        self.end(out);
        self.begin(kind, out, |buf| {
            if kind == Open::Thinking {
                put_thinking(buf, "", "");
            } else {
                put_text(buf, "", &[]);
            }
        });
    }

    fn begin(&mut self, kind: Open, out: &mut SseWriter, block: impl FnOnce(&mut BytesMut)) {
        put_event(out, "content_block_start", self.begun, |event| {
            block(event.value("content_block"));
        });
        self.open = kind;
        self.begun += 1;
    }

    fn delta(&self, out: &mut SseWriter, kind: &str, members: impl FnOnce(&mut Members<'_>)) {
        put_event(out, "content_block_delta", self.open_index(), |event| {
            let mut delta = event.object("delta");
            delta.word("type", kind);
            members(&mut delta);
            delta.end();
        });
    }

    /// Stops the open block, if there is one.
    fn end(&mut self, out: &mut SseWriter) {
        // Closes the JSON object that the start of a custom call opened.
        if matches!(self.open, Open::Tool { custom: true, .. }) {
            self.input("\"}", out);
        }
        if self.open != Open::Nothing {
            put_stop(out, self.open_index());
            self.open = Open::Nothing;
        }
    }

    /// Returns the index of the open block.
    const fn open_index(&self) -> u64 {
        self.begun.saturating_sub(1)
    }
}

/// Writes the stop of the block at `index`.
pub(super) fn put_stop(out: &mut SseWriter, index: u64) {
    put_event(out, "content_block_stop", index, |_| {});
}

fn put_event(out: &mut SseWriter, name: &str, index: u64, members: impl FnOnce(&mut Members<'_>)) {
    let mut event = Members::new(out.event(name));
    event.word("type", name);
    event.number("index", index);
    members(&mut event);
    event.end();
}

fn belongs_to(event: &Event, open: u16) -> bool {
    matches!(event, Event::ToolArguments { index, .. } | Event::ToolCallEnd { index, .. } if *index == open)
}

fn overflow() -> Fault {
    let message = "the answer's parallel tool calls are too large to be written one after another, as this API requires: read the stream in another dialect";
    Fault::new(Code::UpstreamError, message)
}

fn text_evicted() -> Fault {
    let message = "a part of a tool call is no longer stored: read the status of the stream, or start a new one";
    Fault::new(Code::ReplayExpired, message)
}
