//! Encoding of messages: parts of text and of refusal, one after another, with the citations of the
//! text.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::super::super::pieces::{annotation, put_id, put_list, put_name, put_text_member};
use super::{Items, status_name};
use crate::codec::json::{put_str, put_u64};
use crate::codec::sse_writer::SseWriter;
use crate::model::event::Citation;
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// An open message. Its last part is open.
pub(super) struct Message {
    pub(super) place: usize,
    pub(super) parts: Vec<MessagePart>,
    /// Number of characters of text before its last part.
    pub(super) before: u32,
}

pub(super) struct MessagePart {
    pub(super) refusal: bool,
    pub(super) text: String,
    pub(super) annotations: Vec<Bytes>,
}

/// Events of messages.
impl Items {
    pub(super) fn text_delta(&mut self, refusal: bool, delta: &str, out: &mut SseWriter) {
        let place = self.ensure_part(refusal, out);
        let (name, more): (_, &[u8]) = if refusal {
            ("response.refusal.delta", b"")
        } else {
            ("response.output_text.delta", b",\"logprobs\":[]")
        };
        let at = self.content_index();
        self.item_event(out, name, ("msg", place), |buf| {
            put_name(buf, "content_index");
            put_u64(buf, at);
            put_text_member(buf, "delta", delta);
            buf.put_slice(more);
        });
        if !refusal {
            // Citations of other wires count characters, not bytes.
            let characters = u32::try_from(delta.chars().count()).unwrap_or(u32::MAX);
            self.characters = self.characters.saturating_add(characters);
        }
        if let Some(part) = self
            .message
            .as_mut()
            .and_then(|message| message.parts.last_mut())
        {
            part.text.push_str(delta);
        }
    }

    /// Opens a part of this kind unless one is open already. Returns the place of the message.
    fn ensure_part(&mut self, refusal: bool, out: &mut SseWriter) -> usize {
        if self.message.is_none() {
            // Items of text and of reasoning never overlap: open reasoning ends first.
            self.close_message_and_reasoning(true, out);
            let place = self.begin(
                |stream, place| {
                    Message {
                        place,
                        parts: Vec::new(),
                        before: 0,
                    }
                    .json(stream, "in_progress")
                },
                out,
            );
            self.message = Some(Message {
                place,
                parts: Vec::new(),
                before: 0,
            });
        }
        let (place, same) = self.message.as_ref().map_or((0, false), |it| {
            (
                it.place,
                it.parts.last().is_some_and(|part| part.refusal == refusal),
            )
        });
        if same {
            return place;
        }
        self.close_part(out);
        let before = self.characters;
        let part = MessagePart {
            refusal,
            text: String::new(),
            annotations: Vec::new(),
        };
        let json = part.json();
        if let Some(message) = &mut self.message {
            message.parts.push(part);
            message.before = before;
        }
        self.part_event(out, "response.content_part.added", place, &json);
        place
    }

    fn part_event(&mut self, out: &mut SseWriter, name: &str, place: usize, json: &Bytes) {
        let at = self.content_index();
        self.item_event(out, name, ("msg", place), |buf| {
            put_name(buf, "content_index");
            put_u64(buf, at);
            put_name(buf, "part");
            buf.put_slice(json);
        });
    }

    fn content_index(&self) -> u64 {
        self.message
            .as_ref()
            .map_or(0, |message| message.parts.len().saturating_sub(1) as u64)
    }

    /// Ends the open part.
    fn close_part(&mut self, out: &mut SseWriter) {
        // Taken out while the events below borrow `self`.
        let Some(message) = self.message.take() else {
            return;
        };
        let (place, at) = (message.place, message.parts.len().saturating_sub(1) as u64);
        if let Some(part) = message.parts.last() {
            let (name, field, more): (_, _, &[u8]) = if part.refusal {
                ("response.refusal.done", "refusal", b"")
            } else {
                ("response.output_text.done", "text", b",\"logprobs\":[]")
            };
            self.item_event(out, name, ("msg", place), |buf| {
                put_name(buf, "content_index");
                put_u64(buf, at);
                put_text_member(buf, field, &part.text);
                buf.put_slice(more);
            });
            let json = part.json();
            self.message = Some(message);
            self.part_event(out, "response.content_part.done", place, &json);
        } else {
            self.message = Some(message);
        }
    }

    pub(super) fn citation(&mut self, it: &Citation, out: &mut SseWriter) {
        let own = self.wire == WireId::OpenaiResponses;
        // A URL citation is the only kind of annotation that can be made here.
        if !own && it.url.is_none() {
            return;
        }
        let place = self.ensure_part(false, out);
        let Some(message) = &mut self.message else {
            return;
        };
        let Some(json) = annotation(it, own, message.before) else {
            return;
        };
        let Some(part) = message.parts.last_mut() else {
            return;
        };
        let number = part.annotations.len() as u64;
        part.annotations.push(json.clone());
        let at = self.content_index();
        self.item_event(
            out,
            "response.output_text.annotation.added",
            ("msg", place),
            |buf| {
                put_name(buf, "content_index");
                put_u64(buf, at);
                put_name(buf, "annotation_index");
                put_u64(buf, number);
                put_name(buf, "annotation");
                buf.put_slice(&json);
            },
        );
    }

    /// Closes the open message and the open reasoning.
    pub(super) fn close_message_and_reasoning(&mut self, complete: bool, out: &mut SseWriter) {
        self.close_part(out);
        if let Some(message) = self.message.take() {
            let item = message.json(&self.stream, status_name(complete));
            self.end(message.place, item, out);
        }
        self.close_reasoning(None, out);
    }
}

impl MessagePart {
    fn json(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(self.text.len() + 96);
        if self.refusal {
            buf.put_slice(b"{\"type\":\"refusal\",\"refusal\":");
            put_str(&mut buf, &self.text);
        } else {
            buf.put_slice(b"{\"type\":\"output_text\",\"text\":");
            put_str(&mut buf, &self.text);
            put_name(&mut buf, "annotations");
            put_list(&mut buf, self.annotations.iter().map(|it| &**it));
            buf.put_slice(b",\"logprobs\":[]");
        }
        buf.put_u8(b'}');
        buf.freeze()
    }
}

impl Message {
    pub(super) fn json(&self, stream: &StreamId, status: &str) -> Bytes {
        let mut buf = BytesMut::with_capacity(256);
        buf.put_slice(b"{\"id\":");
        put_id(&mut buf, "msg", stream, self.place);
        buf.put_slice(b",\"type\":\"message\"");
        put_text_member(&mut buf, "status", status);
        buf.put_slice(b",\"role\":\"assistant\",\"content\":");
        let parts: Vec<Bytes> = self.parts.iter().map(MessagePart::json).collect();
        put_list(&mut buf, parts.iter().map(|it| &**it));
        buf.put_u8(b'}');
        buf.freeze()
    }
}
