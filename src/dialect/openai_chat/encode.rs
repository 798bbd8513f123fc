//! Encodes a journal as `chat.completion.chunk`s.
//!
//! Over the own wire of the dialect, payloads are passed on, and our chunks follow only where we
//! end the stream. Otherwise every chunk is ours: a role chunk opens a choice, and a chunk with
//! `finish_reason` closes it. The state depends on the lengths of deltas, never on their text.

mod end;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::choices::Choices;
use super::passed::Passed;
use super::pieces::{self, Call, finish_reason, put_annotation, put_call, put_sluicegate};
use crate::codec::json::{put_str, put_u64};
use crate::codec::sse_writer::SseWriter;
use crate::dialect::{Encode, View};
use crate::model::entry::Entry;
use crate::model::event::{Citation, Event, Finish, Reason, Signature, ToolCall};
use crate::model::usage::Usage;

/// The encoder for one reader.
pub(super) struct Encoder {
    view: View,
    /// Payloads are passed on.
    raw: bool,
    /// The payload of the current entry was passed on.
    passing: bool,
    /// The beginning of every chunk, up to its choices.
    head: Bytes,
    passed: Passed,
    choices: Choices,
    usage: Option<Usage>,
    /// The terminal event or an error has been written.
    ended: bool,
}

impl Encoder {
    /// Creates an encoder in its initial state.
    pub(super) fn new(view: View) -> Self {
        let id = format!("chatcmpl-{}", view.start.stream);
        let head = head(&id, view.start.created, &view.start.head.model);
        Self {
            view,
            raw: false,
            passing: false,
            head,
            passed: Passed::new(),
            choices: Choices::default(),
            usage: None,
            ended: false,
        }
    }
}

fn head(id: &str, created: u64, model: &str) -> Bytes {
    let mut buf = BytesMut::with_capacity(128);
    pieces::put_head(&mut buf, id, "chat.completion.chunk", created, model);
    buf.freeze()
}

impl Encode for Encoder {
    fn write_entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        // Nothing is written after an error, payloads included.
        let raw = entry.raw.as_ref().filter(|_| self.view.raw && !self.ended);
        if let Some(raw) = raw {
            self.raw = true;
            out.payload(&raw.name, &raw.data);
            self.passed.record(
                &raw.data,
                entry.events.iter().any(Event::is_content),
                &mut self.choices,
            );
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
            Event::Start(_) => {}
            Event::Route(route) => self.raw = self.view.raw && route.raw,
            Event::Usage(usage) => self.usage = Some(**usage),
            Event::Error(failure) => self.error(failure, out),
            Event::End(end) => self.end(end, out),
            // Payloads reach the client as they are; their events only update the state.
            content if self.raw => self.track(content),
            content => self.content(content, out),
        }
    }
}

/// Writing our own chunks.
impl Encoder {
    fn content(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            Event::Text { choice, delta } => self.text(*choice, delta, out),
            Event::Reasoning { choice, delta } => self.reasoning(*choice, delta, out),
            Event::Refusal { choice, delta } => self.refusal(*choice, delta, out),
            Event::ToolCall(call) => self.tool_call(call, out),
            Event::ToolArguments {
                choice,
                index,
                delta,
            } => self.tool_arguments(*choice, *index, delta, out),
            Event::Signature(signature) => self.signature(signature, out),
            Event::Citation(citation) => self.citation(citation, out),
            Event::Finish(finish) => self.finish(finish, out),
            // The API has no chunk that closes a tool call, and no field for content without a
            // normalized form.
            Event::ToolCallEnd { .. } | Event::Raw(_) => {}
            Event::Start(_)
            | Event::Route(_)
            | Event::Usage(_)
            | Event::Error(_)
            | Event::End(_) => {}
        }
    }

    fn text(&mut self, choice: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        // Only the length is kept: a later signature states which bytes it covers.
        self.choices.begin(choice).blocks.text(delta.len());
        put_chunk(out, &self.head, choice, None, |buf| {
            buf.put_slice(b"\"content\":");
            put_str(buf, delta);
        });
    }

    fn reasoning(&mut self, choice: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        self.choices.begin(choice).blocks.reasoning(delta.len());
        put_chunk(out, &self.head, choice, None, |buf| {
            buf.put_slice(b"\"reasoning_content\":");
            put_str(buf, delta);
        });
    }

    fn refusal(&mut self, choice: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        self.choices.begin(choice).blocks.other();
        put_chunk(out, &self.head, choice, None, |buf| {
            buf.put_slice(b"\"refusal\":");
            put_str(buf, delta);
        });
    }

    fn tool_call(&mut self, call: &ToolCall, out: &mut SseWriter) {
        self.open(call.choice, out);
        let choice = self.choices.begin(call.choice);
        choice.blocks.other();
        if call.custom {
            // Custom calls write their input to another member, and the events of the input do not
            // repeat the kind.
            choice.custom.insert(call.index);
        }
        let written = Call {
            index: Some(call.index),
            id: &call.id,
            name: &call.name,
            arguments: "",
            signature: call.signature.as_ref(),
            custom: call.custom,
        };
        put_chunk(out, &self.head, call.choice, None, |buf| {
            buf.put_slice(b"\"tool_calls\":[");
            put_call(buf, &written);
            buf.put_u8(b']');
        });
    }

    fn tool_arguments(&mut self, choice: u16, index: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        let custom = self.choices.begin(choice).custom.contains(&index);
        put_chunk(out, &self.head, choice, None, |buf| {
            buf.put_slice(b"\"tool_calls\":[{\"index\":");
            put_u64(buf, index.into());
            buf.put_slice(if custom {
                b",\"custom\":{\"input\":"
            } else {
                b",\"function\":{\"arguments\":"
            });
            put_str(buf, delta);
            buf.put_slice(b"}}]");
        });
    }

    fn signature(&mut self, signature: &Signature, out: &mut SseWriter) {
        self.open(signature.choice, out);
        let blocks = &mut self.choices.begin(signature.choice).blocks;
        put_chunk(out, &self.head, signature.choice, None, |buf| {
            buf.put_slice(b"\"reasoning_details\":[");
            blocks.put_item(buf, signature);
            buf.put_u8(b']');
        });
    }

    fn citation(&mut self, citation: &Citation, out: &mut SseWriter) {
        // The API defines no citation without a URL.
        let Some(url) = citation.url.as_deref() else {
            return;
        };
        self.open(citation.choice, out);
        let citations = &mut self.choices.begin(citation.choice).citations;
        put_chunk(out, &self.head, citation.choice, None, |buf| {
            buf.put_slice(b"\"annotations\":[");
            put_annotation(buf, citation, url, Some(*citations));
            buf.put_u8(b']');
        });
        *citations += 1;
    }

    /// Closes a choice. A cancelled choice is closed with the end of the stream, and an error has
    /// no `finish_reason`.
    fn finish(&mut self, finish: &Finish, out: &mut SseWriter) {
        let Some(reason) = finish_reason(finish.reason) else {
            if finish.reason == Reason::Error {
                // Only the end of the stream shows whether the other choices failed too.
                self.choices.begin(finish.choice).failed = true;
            }
            return;
        };
        self.open(finish.choice, out);
        let choice = self.choices.begin(finish.choice);
        // The client receives one `finish_reason` per choice, even if a wire reports the end twice.
        if !std::mem::replace(&mut choice.finished, true) {
            put_chunk(out, &self.head, finish.choice, Some((reason, None)), |_| {});
        }
    }

    /// Opens a choice with its role chunk, unless it is open.
    fn open(&mut self, choice: u16, out: &mut SseWriter) {
        if self.choices.has(choice) {
            return;
        }
        self.choices.begin(choice);
        // The role comes once, in the first chunk of a choice, as with OpenAI.
        put_chunk(out, &self.head, choice, None, |buf| {
            buf.put_slice(b"\"role\":\"assistant\",\"content\":\"\"");
        });
    }
}

/// Tracking the payloads that were passed on.
impl Encoder {
    fn track(&mut self, event: &Event) {
        match event {
            Event::Finish(finish) if finish_reason(finish.reason).is_some() => {
                self.choices.begin(finish.choice).finished = true;
            }
            // A payload with content is not parsed, so its events show which choice has begun.
            content if content.is_content() => {
                self.choices.begin(content.choice());
            }
            _ => {}
        }
    }
}

/// Writes a chunk of one choice: its delta, and, at the end of the choice, its `finish_reason` and
/// our own reason.
fn put_chunk(
    out: &mut SseWriter,
    head: &[u8],
    choice: u16,
    finish: Option<(&str, Option<&str>)>,
    delta: impl FnOnce(&mut BytesMut),
) {
    let buf = out.event("");
    // One reservation per chunk: this runs for every token.
    buf.reserve(head.len() + 64);
    buf.put_slice(head);
    buf.put_slice(b"{\"index\":");
    put_u64(buf, choice.into());
    buf.put_slice(b",\"delta\":{");
    delta(buf);
    let Some((reason, own)) = finish else {
        buf.put_slice(b"},\"finish_reason\":null}]}");
        return;
    };
    buf.put_slice(b"},\"finish_reason\":");
    put_str(buf, reason);
    buf.put_slice(b"}]");
    put_sluicegate(buf, own, false);
    buf.put_u8(b'}');
}
