//! Reasoning, and what must come back with it.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::super::super::keep;
use super::super::super::pieces::{put_id, put_text_member};
use super::Items;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::Signature;
use crate::model::ids::StreamId;

/// Reasoning under way.
pub(super) struct Reasoning {
    pub(super) place: usize,
    /// Words of it have come.
    pub(super) spoken: bool,
    pub(super) text: String,
}

/// Reasoning.
impl Items {
    pub(super) fn thought(&mut self, delta: &str, out: &mut SseWriter) {
        let place = self.open_reasoning(out);
        if self
            .reasoning
            .as_mut()
            .is_some_and(|reasoning| !std::mem::replace(&mut reasoning.spoken, true))
        {
            self.summary_event(out, "response.reasoning_summary_part.added", place, |buf| {
                put_summary(buf, "");
            });
        }
        self.item_event(
            out,
            "response.reasoning_summary_text.delta",
            ("rs", place),
            |buf| {
                buf.put_slice(b",\"summary_index\":0");
                put_text_member(buf, "delta", delta);
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
        self.close_spoken(true, out);
        let fresh = |place| Reasoning {
            place,
            spoken: false,
            text: String::new(),
        };
        let place = self.begin(|stream, place| fresh(place).json(stream, None), out);
        self.reasoning = Some(fresh(place));
        place
    }

    fn summary_event(
        &mut self,
        out: &mut SseWriter,
        name: &str,
        place: usize,
        part: impl FnOnce(&mut BytesMut),
    ) {
        self.item_event(out, name, ("rs", place), |buf| {
            buf.put_slice(b",\"summary_index\":0,\"part\":");
            part(buf);
        });
    }

    pub(super) fn close_reasoning(&mut self, kept: Option<&str>, out: &mut SseWriter) {
        let Some(reasoning) = self.reasoning.take() else {
            return;
        };
        let place = reasoning.place;
        if reasoning.spoken {
            self.item_event(
                out,
                "response.reasoning_summary_text.done",
                ("rs", place),
                |buf| {
                    buf.put_slice(b",\"summary_index\":0");
                    put_text_member(buf, "text", &reasoning.text);
                },
            );
            self.summary_event(out, "response.reasoning_summary_part.done", place, |buf| {
                put_summary(buf, &reasoning.text);
            });
        }
        let item = reasoning.json(&self.stream, kept);
        self.end(place, item, out);
    }

    /// It ends the reasoning it signs; without any, it is an item of its own.
    pub(super) fn signature(&mut self, it: &Signature, out: &mut SseWriter) {
        let Some(kept) = keep::of(it) else { return };
        if it.on_text {
            self.close_spoken(true, out);
        }
        self.opaque(&kept, out);
    }

    pub(super) fn opaque(&mut self, kept: &str, out: &mut SseWriter) {
        self.open_reasoning(out);
        self.close_reasoning(Some(kept), out);
    }
}

fn put_summary(buf: &mut BytesMut, text: &str) {
    buf.put_slice(b"{\"type\":\"summary_text\"");
    put_text_member(buf, "text", text);
    buf.put_u8(b'}');
}

impl Reasoning {
    pub(super) fn json(&self, stream: &StreamId, kept: Option<&str>) -> Bytes {
        let mut buf = BytesMut::with_capacity(self.text.len() + 128);
        buf.put_slice(b"{\"id\":");
        put_id(&mut buf, "rs", stream, self.place);
        buf.put_slice(b",\"type\":\"reasoning\",\"summary\":[");
        if self.spoken {
            put_summary(&mut buf, &self.text);
        }
        buf.put_u8(b']');
        if let Some(kept) = kept {
            put_text_member(&mut buf, "encrypted_content", kept);
        }
        buf.put_u8(b'}');
        buf.freeze()
    }
}
