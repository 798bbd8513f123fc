//! Encoding of reasoning, and of the signatures that providers need back.

use bytes::{Bytes, BytesMut};

use super::super::super::pieces::put_id;
use super::super::super::signatures;
use super::Items;
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::Signature;
use crate::model::ids::StreamId;

/// Open reasoning.
pub(super) struct Reasoning {
    pub(super) place: usize,
    /// True if it has text.
    pub(super) has_text: bool,
    pub(super) text: String,
}

/// Events of reasoning.
impl Items {
    pub(super) fn reasoning_delta(&mut self, delta: &str, out: &mut SseWriter) {
        let place = self.open_reasoning(out);
        if self
            .reasoning
            .as_mut()
            // The part begins with the first text: reasoning may consist of a signature alone.
            .is_some_and(|reasoning| !std::mem::replace(&mut reasoning.has_text, true))
        {
            self.summary_part(out, "response.reasoning_summary_part.added", place, "");
        }
        self.item_event(
            out,
            "response.reasoning_summary_text.delta",
            ("rs", place),
            |event| {
                event.number("summary_index", 0);
                event.text("delta", delta);
            },
        );
        if let Some(reasoning) = &mut self.reasoning {
            reasoning.text.push_str(delta);
        }
    }

    fn open_reasoning(&mut self, out: &mut SseWriter) -> usize {
        if let Some(open) = &self.reasoning {
            return open.place;
        }
        self.close_message_and_reasoning(true, out);
        let fresh = |place| Reasoning {
            place,
            has_text: false,
            text: String::new(),
        };
        let place = self.begin(|stream, place| fresh(place).json(stream, None), out);
        self.reasoning = Some(fresh(place));
        place
    }

    fn summary_part(&mut self, out: &mut SseWriter, name: &str, place: usize, text: &str) {
        self.item_event(out, name, ("rs", place), |event| {
            event.number("summary_index", 0);
            put_summary(event.value("part"), text);
        });
    }

    pub(super) fn close_reasoning(&mut self, encrypted: Option<&str>, out: &mut SseWriter) {
        let Some(reasoning) = self.reasoning.take() else {
            return;
        };
        let place = reasoning.place;
        if reasoning.has_text {
            self.item_event(
                out,
                "response.reasoning_summary_text.done",
                ("rs", place),
                |event| {
                    event.number("summary_index", 0);
                    event.text("text", &reasoning.text);
                },
            );
            let done = "response.reasoning_summary_part.done";
            self.summary_part(out, done, place, &reasoning.text);
        }
        let item = reasoning.json(&self.stream, encrypted);
        self.end(place, item, out);
    }

    /// Writes a signature. It ends the reasoning that it signs; without open reasoning it is an
    /// item of its own.
    pub(super) fn signature(&mut self, it: &Signature, out: &mut SseWriter) {
        let Some(encrypted) = signatures::wrap(it) else {
            return;
        };
        // A signature of text follows the text: close the message, so that the item comes after it.
        if it.on_text {
            self.close_message_and_reasoning(true, out);
        }
        self.opaque_item(&encrypted, out);
    }

    /// Ends the open reasoning, or an empty one, with this encrypted content.
    pub(super) fn opaque_item(&mut self, encrypted: &str, out: &mut SseWriter) {
        self.open_reasoning(out);
        self.close_reasoning(Some(encrypted), out);
    }
}

fn put_summary(buf: &mut BytesMut, text: &str) {
    let mut part = Members::new(buf);
    part.word("type", "summary_text");
    part.text("text", text);
    part.end();
}

impl Reasoning {
    pub(super) fn json(&self, stream: &StreamId, encrypted: Option<&str>) -> Bytes {
        let mut buf = BytesMut::with_capacity(self.text.len() + 128);
        let mut item = Members::new(&mut buf);
        put_id(item.value("id"), "rs", stream, self.place);
        item.word("type", "reasoning");
        let mut summary = item.array("summary");
        if self.has_text {
            put_summary(summary.element(), &self.text);
        }
        summary.end();
        item.text_if_some("encrypted_content", encrypted);
        item.end();
        buf.freeze()
    }
}
