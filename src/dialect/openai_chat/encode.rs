//! Encodes a journal as `chat.completion.chunk`s.
//!
//! A role chunk opens a choice, and a chunk with `finish_reason` closes it. The state depends on
//! the lengths of deltas, never on their text.

mod end;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::choices::Choices;
use super::passed::Passed;
use super::pieces::{Call, finish_reason, put_annotation, put_call, put_head};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_sluicegate;
use crate::dialect::passing::{Passing, State, VendorEvents};
use crate::dialect::{Encode, View};
use crate::model::entry::{Entry, Payload};
use crate::model::event::{Citation, End, Event, Finish, Reason, Signature, ToolCall};
use crate::model::fault::Fault;

/// Creates the encoder for one reader.
pub(super) fn encoder(view: View) -> Box<dyn Encode> {
    let start = &view.start;
    let id = format!("chatcmpl-{}", start.stream);
    let chunks = Chunks {
        head: head(&id, start.created, &start.head.model),
        passed: Passed::new(),
        choices: Choices::default(),
    };
    Box::new(Passing::new(chunks, view))
}

/// The chunks for one reader.
struct Chunks {
    /// The beginning of every chunk, up to its choices.
    head: Bytes,
    passed: Passed,
    choices: Choices,
}

fn head(id: &str, created: u64, model: &str) -> Bytes {
    let mut buf = BytesMut::with_capacity(128);
    let mut chunk = Members::new(&mut buf);
    put_head(&mut chunk, id, "chat.completion.chunk", created, model);
    chunk.value("choices").put_u8(b'[');
    buf.freeze()
}

impl VendorEvents for Chunks {
    const ONE_CHOICE: bool = false;

    fn pass(&mut self, payload: &Payload, entry: &Entry, out: &mut SseWriter) {
        out.payload(&payload.name, &payload.data);
        let has_content = entry.events.iter().any(Event::is_content);
        self.passed
            .record(&payload.data, has_content, &mut self.choices);
    }

    fn record(&mut self, event: &Event) {
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

    fn content(&mut self, event: &Event, _: &State, out: &mut SseWriter) -> Result<(), Fault> {
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
        Ok(())
    }

    fn end(&mut self, end: &End, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        self.end_stream(end, state, out);
        Ok(())
    }

    fn end_passed(&mut self, _: &End, out: &mut SseWriter) {
        end::put_done(out);
    }

    fn fail(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        self.abort(fault, state, out);
        Ok(())
    }

    fn abort(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) {
        end::put_error(fault, state, out);
    }
}

/// Writing our own chunks.
impl Chunks {
    fn text(&mut self, choice: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        // Only the length is kept: a later signature states which bytes it covers.
        self.choices.begin(choice).blocks.text(delta.len());
        put_delta(out, &self.head, choice, |it| it.text("content", delta));
    }

    fn reasoning(&mut self, choice: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        self.choices.begin(choice).blocks.reasoning(delta.len());
        put_delta(out, &self.head, choice, |it| {
            it.text("reasoning_content", delta);
        });
    }

    fn refusal(&mut self, choice: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        self.choices.begin(choice).blocks.other();
        put_delta(out, &self.head, choice, |it| it.text("refusal", delta));
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
        put_delta(out, &self.head, call.choice, |it| {
            let mut calls = it.array("tool_calls");
            put_call(calls.element(), &written);
            calls.end();
        });
    }

    fn tool_arguments(&mut self, choice: u16, index: u16, delta: &str, out: &mut SseWriter) {
        self.open(choice, out);
        let (kind, input) = if self.choices.begin(choice).custom.contains(&index) {
            ("custom", "input")
        } else {
            ("function", "arguments")
        };
        put_delta(out, &self.head, choice, |it| {
            let mut calls = it.array("tool_calls");
            let mut call = calls.object();
            call.number("index", index.into());
            let mut called = call.object(kind);
            called.text(input, delta);
            called.end();
            call.end();
            calls.end();
        });
    }

    fn signature(&mut self, signature: &Signature, out: &mut SseWriter) {
        self.open(signature.choice, out);
        let blocks = &mut self.choices.begin(signature.choice).blocks;
        put_delta(out, &self.head, signature.choice, |it| {
            let mut details = it.array("reasoning_details");
            blocks.put_item(details.element(), signature);
            details.end();
        });
    }

    fn citation(&mut self, citation: &Citation, out: &mut SseWriter) {
        // The API defines no citation without a URL.
        let Some(url) = citation.url.as_deref() else {
            return;
        };
        self.open(citation.choice, out);
        let citations = &mut self.choices.begin(citation.choice).citations;
        put_delta(out, &self.head, citation.choice, |it| {
            let mut annotations = it.array("annotations");
            put_annotation(annotations.element(), citation, url, Some(*citations));
            annotations.end();
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
            put_finish(out, &self.head, finish.choice, reason, None);
        }
    }

    /// Opens a choice with its role chunk, unless it is open.
    fn open(&mut self, choice: u16, out: &mut SseWriter) {
        if self.choices.has(choice) {
            return;
        }
        self.choices.begin(choice);
        // The role comes once, in the first chunk of a choice, as with OpenAI.
        put_delta(out, &self.head, choice, |it| {
            it.word("role", "assistant");
            it.word("content", "");
        });
    }
}

/// Writes a chunk with a delta of one choice.
fn put_delta(
    out: &mut SseWriter,
    head: &[u8],
    choice: u16,
    members: impl FnOnce(&mut Members<'_>),
) {
    let buf = out.event("");
    // One reservation per chunk: this runs for every token.
    buf.reserve(head.len() + 64);
    buf.put_slice(head);
    let mut object = Members::new(buf);
    object.number("index", choice.into());
    let mut delta = object.object("delta");
    members(&mut delta);
    delta.end();
    object.null("finish_reason");
    object.end();
    buf.put_slice(b"]}");
}

/// Writes the chunk that closes a choice: its `finish_reason`, and our own reason.
fn put_finish(out: &mut SseWriter, head: &[u8], choice: u16, reason: &str, own: Option<&str>) {
    let buf = out.event("");
    buf.put_slice(head);
    let mut object = Members::new(buf);
    object.number("index", choice.into());
    object.object("delta").end();
    object.word("finish_reason", reason);
    object.end();
    buf.put_u8(b']');
    let mut chunk = Members::resume(buf);
    put_sluicegate(&mut chunk, own, false);
    chunk.end();
}
