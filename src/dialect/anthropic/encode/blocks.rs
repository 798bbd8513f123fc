//! Content blocks: one after another, each begun, said and ended before the next one.
//!
//! A tool call stays open until it is complete; what comes meanwhile for other blocks is
//! [held](super::held). So the state depends on the text of what is held. Where that text was let
//! go before it could be said, a reader who would need it is told so, and never sent half of it.

use bytes::{BufMut as _, BytesMut};

use super::super::keep::{self, Place};
use super::super::pieces::{put_redacted, put_text, put_thinking, put_tool_use};
use super::held::{Held, Item};
use crate::codec::json::{put_escaped, put_json, put_str, put_u64};
use crate::codec::sse_writer::SseWriter;
use crate::dialect::anthropic::raw::{self, Kind};
use crate::model::event::{Event, Signature, ToolCall};
use crate::model::fault::{Code, Fault};
use crate::model::wire::WireId;

/// The blocks of one answer.
#[derive(Debug)]
pub(super) struct Blocks {
    /// The wire that says them.
    pub(super) wire: WireId,
    /// How many have begun.
    begun: u64,
    open: Open,
    held: Held,
    /// A custom tool's text on its way into a string of a string.
    escaped: BytesMut,
    /// Why no more can be said.
    failed: Option<Fault>,
}

/// The block that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Refusal,
    Thinking,
    Tool { index: u16, custom: bool },
    Raw,
}

impl Blocks {
    pub(super) fn new() -> Self {
        // Until a target has answered nothing is said; of the wires that sign calls this is the
        // one.
        Self {
            wire: WireId::Gemini,
            begun: 0,
            open: Open::Nothing,
            held: Held::default(),
            escaped: BytesMut::new(),
            failed: None,
        }
    }

    /// What comes now is remembered without its text, or (again) whole.
    pub(super) fn bare(&mut self, bare: bool) {
        self.held.bare = bare;
    }

    /// Why no more can be said, if so. The block that is open stops as it is.
    pub(super) fn failure(&mut self, out: &mut SseWriter) -> Option<Fault> {
        let failed = self.failed.take()?;
        if std::mem::replace(&mut self.open, Open::Nothing) != Open::Nothing {
            put_stop(out, self.place());
        }
        Some(failed)
    }

    /// Takes in one piece of content.
    pub(super) fn take(&mut self, event: &Event, out: &mut SseWriter) {
        if self.is_left_out(event) {
            return;
        }
        match self.open {
            Open::Tool { index, .. } if !is_of_call(event, index) => {
                if self.held.push(event).is_err() {
                    self.failed = Some(too_much());
                }
            }
            _ => {
                self.say(event, out);
                self.release(out);
            }
        }
    }

    /// All is said that will be: what is held goes out, and what is open is ended.
    pub(super) fn finish(&mut self, out: &mut SseWriter) {
        while self.failed.is_none()
            && let Some(item) = self.held.pop()
        {
            self.say_held(&item, out);
        }
        if self.failed.is_none() {
            self.end(out);
        }
    }

    /// What this API has no place for, here.
    fn is_left_out(&self, event: &Event) -> bool {
        match event {
            Event::Citation(_) => self.wire != WireId::Anthropic,
            Event::Raw(it) => match raw::kind(it) {
                Kind::Block => false,
                Kind::Delta => self.open == Open::Nothing,
                Kind::Foreign => true,
            },
            _ => false,
        }
    }

    /// Says what was held, until a call is open again.
    fn release(&mut self, out: &mut SseWriter) {
        while self.failed.is_none()
            && !matches!(self.open, Open::Tool { .. })
            && let Some(item) = self.held.pop()
        {
            self.say_held(&item, out);
        }
    }

    fn say_held(&mut self, item: &Item, out: &mut SseWriter) {
        let delta = || item.text.as_str().into();
        match (&item.event, item.call()) {
            (Event::Text { .. }, _) => self.text_in(Open::Text, item, out),
            (Event::Refusal { .. }, _) => self.text_in(Open::Refusal, item, out),
            (Event::Reasoning { .. }, _) => self.text_in(Open::Thinking, item, out),
            (event, None) => self.say(event, out),
            (event, Some(call)) => {
                self.say(event, out);
                if item.grown && self.may_say(item, out) {
                    self.say(
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

    fn text_in(&mut self, kind: Open, item: &Item, out: &mut SseWriter) {
        self.be(kind, out);
        if self.may_say(item, out) {
            self.put_delta(kind, &item.text, out);
        }
    }

    /// False where a reader would be sent text of which some is lost.
    fn may_say(&mut self, item: &Item, out: &SseWriter) -> bool {
        let missing = item.lost && out.is_heard();
        if missing {
            self.failed = Some(lost());
        }
        !missing
    }

    fn say(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            Event::Text { delta, .. } => self.piece(Open::Text, delta, out),
            Event::Reasoning { delta, .. } => self.piece(Open::Thinking, delta, out),
            Event::Refusal { delta, .. } => self.piece(Open::Refusal, delta, out),
            Event::ToolCall(call) => self.tool_call(call, out),
            Event::ToolArguments { index, delta, .. } => self.arguments(*index, delta, out),
            Event::ToolCallEnd { index, .. } if matches!(self.open, Open::Tool { index: open, .. } if open == *index) =>
            {
                self.end(out);
            }
            Event::Signature(it) => self.signature(it, out),
            Event::Citation(it) => {
                self.be(Open::Text, out);
                self.delta(out, "citations_delta", |buf| {
                    put_member(buf, "citation", |buf| put_json(buf, &it.data));
                });
            }
            Event::Raw(it) if raw::kind(it) == Kind::Delta => self.raw_delta(&it.data, out),
            Event::Raw(it) => {
                self.end(out);
                self.begin(Open::Raw, out, |buf| put_json(buf, &it.data));
            }
            // What is of no call that is open has no place.
            Event::ToolCallEnd { .. } => {}
            Event::Start(_)
            | Event::Route(_)
            | Event::Finish(_)
            | Event::Usage(_)
            | Event::Error(_)
            | Event::End(_) => {}
        }
    }

    fn piece(&mut self, kind: Open, delta: &str, out: &mut SseWriter) {
        self.be(kind, out);
        self.put_delta(kind, delta, out);
    }

    fn put_delta(&self, kind: Open, delta: &str, out: &mut SseWriter) {
        let (tag, member) = if kind == Open::Thinking {
            ("thinking_delta", "thinking")
        } else {
            ("text_delta", "text")
        };
        self.delta(out, tag, |buf| {
            put_member(buf, member, |buf| put_str(buf, delta));
        });
    }

    fn tool_call(&mut self, call: &ToolCall, out: &mut SseWriter) {
        if let Some(data) = keep::call_data(call, self.wire) {
            self.redacted(&data, out);
        }
        self.end(out);
        self.begin(
            Open::Tool {
                index: call.index,
                custom: call.custom,
            },
            out,
            |buf| put_tool_use(buf, &call.id, &call.name, "{}"),
        );
        if call.custom {
            // Its free text is a JSON string in the only form that input has here.
            self.input(out, |buf| put_str(buf, "{\"input\":\""));
        }
    }

    fn arguments(&mut self, index: u16, delta: &str, out: &mut SseWriter) {
        match self.open {
            Open::Tool {
                index: open,
                custom: false,
            } if open == index => self.input(out, |buf| put_str(buf, delta)),
            Open::Tool {
                index: open,
                custom: true,
            } if open == index => {
                self.escaped.clear();
                put_escaped(&mut self.escaped, delta);
                let escaped = String::from_utf8_lossy(&self.escaped);
                self.input(out, |buf| put_str(buf, &escaped));
            }
            _ => {}
        }
    }

    fn input(&self, out: &mut SseWriter, json: impl FnOnce(&mut BytesMut)) {
        self.delta(out, "input_json_delta", |buf| {
            put_member(buf, "partial_json", json);
        });
    }

    fn signature(&mut self, it: &Signature, out: &mut SseWriter) {
        match keep::place(it, self.open == Open::Thinking) {
            Some(Place::Thinking(signature)) => {
                self.be(Open::Thinking, out);
                self.delta(out, "signature_delta", |buf| {
                    put_member(buf, "signature", |buf| put_str(buf, &signature));
                });
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

    /// A piece of no block has no place.
    fn raw_delta(&self, json: &str, out: &mut SseWriter) {
        if self.open == Open::Nothing {
            return;
        }
        put_event(out, "content_block_delta", self.place(), |buf| {
            buf.put_slice(b",\"delta\":");
            put_json(buf, json);
        });
    }

    /// A block of that kind is open.
    fn be(&mut self, kind: Open, out: &mut SseWriter) {
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
        put_event(out, "content_block_start", self.begun, |buf| {
            buf.put_slice(b",\"content_block\":");
            block(buf);
        });
        self.open = kind;
        self.begun += 1;
    }

    fn delta(&self, out: &mut SseWriter, tag: &str, rest: impl FnOnce(&mut BytesMut)) {
        put_event(out, "content_block_delta", self.place(), |buf| {
            buf.put_slice(b",\"delta\":{\"type\":\"");
            buf.put_slice(tag.as_bytes());
            buf.put_u8(b'"');
            rest(buf);
            buf.put_u8(b'}');
        });
    }

    /// Nothing is open.
    fn end(&mut self, out: &mut SseWriter) {
        if matches!(self.open, Open::Tool { custom: true, .. }) {
            self.input(out, |buf| put_str(buf, "\"}"));
        }
        if self.open != Open::Nothing {
            put_stop(out, self.place());
            self.open = Open::Nothing;
        }
    }

    /// The place of the block that is open.
    const fn place(&self) -> u64 {
        self.begun.saturating_sub(1)
    }
}

/// Ends the block at a place.
pub(super) fn put_stop(out: &mut SseWriter, place: u64) {
    put_event(out, "content_block_stop", place, |_| {});
}

fn put_event(out: &mut SseWriter, name: &str, place: u64, rest: impl FnOnce(&mut BytesMut)) {
    let buf = out.event(name);
    buf.put_slice(b"{\"type\":\"");
    buf.put_slice(name.as_bytes());
    buf.put_slice(b"\",\"index\":");
    put_u64(buf, place);
    rest(buf);
    buf.put_u8(b'}');
}

fn put_member(buf: &mut BytesMut, name: &str, value: impl FnOnce(&mut BytesMut)) {
    buf.put_slice(b",\"");
    buf.put_slice(name.as_bytes());
    buf.put_slice(b"\":");
    value(buf);
}

fn is_of_call(event: &Event, open: u16) -> bool {
    matches!(event, Event::ToolArguments { index, .. } | Event::ToolCallEnd { index, .. } if *index == open)
}

fn too_much() -> Fault {
    let message = "the answer's parallel tool calls are too large to be told one after another, as this API has them: read the stream in another dialect";
    Fault::new(Code::UpstreamError, message)
}

fn lost() -> Fault {
    let message =
        "a part of a tool call is no longer kept: read the stream's status, or begin a new one";
    Fault::new(Code::ReplayExpired, message)
}
