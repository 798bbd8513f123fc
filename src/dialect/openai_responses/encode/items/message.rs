//! Encoding of messages: parts of text and of refusal, one after another, with the citations of the
//! text.

use bytes::{Bytes, BytesMut};

use super::super::super::pieces::{annotation, put_id};
use super::{Items, status_name};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::model::event::Citation;
use crate::model::ids::StreamId;
use crate::model::wire::WireId;

/// An open message. Its last part is open.
pub(super) struct Message {
    pub(super) place: usize,
    parts: Vec<MessagePart>,
    /// Number of characters of text before its last part.
    before: u32,
}

struct MessagePart {
    refusal: bool,
    text: String,
    annotations: Vec<Bytes>,
}

/// Events of messages.
impl Items {
    pub(super) fn text_delta(&mut self, refusal: bool, delta: &str, out: &mut SseWriter) {
        let place = self.ensure_part(refusal, out);
        let name = if refusal {
            "response.refusal.delta"
        } else {
            "response.output_text.delta"
        };
        let at = self.content_index();
        self.item_event(out, name, ("msg", place), |event| {
            event.number("content_index", at);
            event.text("delta", delta);
            put_no_logprobs(event, refusal);
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
        let place = self.ensure_message(out);
        let open = self.message.as_ref().and_then(|it| it.parts.last());
        if open.is_some_and(|part| part.refusal == refusal) {
            return place;
        }
        self.close_part(out);
        let part = MessagePart {
            refusal,
            text: String::new(),
            annotations: Vec::new(),
        };
        let json = part.json();
        if let Some(message) = &mut self.message {
            message.parts.push(part);
            message.before = self.characters;
        }
        self.part_event(out, "response.content_part.added", place, &json);
        place
    }

    /// Opens a message unless one is open already. Returns its place.
    fn ensure_message(&mut self, out: &mut SseWriter) -> usize {
        if let Some(message) = &self.message {
            return message.place;
        }
        // Items of text and of reasoning never overlap: open reasoning ends first.
        self.close_message_and_reasoning(true, out);
        let fresh = |place| Message {
            place,
            parts: Vec::new(),
            before: 0,
        };
        let place = self.begin(|stream, at| fresh(at).json(stream, "in_progress"), out);
        self.message = Some(fresh(place));
        place
    }

    fn part_event(&mut self, out: &mut SseWriter, name: &str, place: usize, json: &Bytes) {
        let at = self.content_index();
        self.item_event(out, name, ("msg", place), |event| {
            event.number("content_index", at);
            event.written("part", json);
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
        let Some(part) = message.parts.last() else {
            self.message = Some(message);
            return;
        };
        let (name, field) = if part.refusal {
            ("response.refusal.done", "refusal")
        } else {
            ("response.output_text.done", "text")
        };
        self.item_event(out, name, ("msg", place), |event| {
            event.number("content_index", at);
            event.text(field, &part.text);
            put_no_logprobs(event, part.refusal);
        });
        let json = part.json();
        self.message = Some(message);
        self.part_event(out, "response.content_part.done", place, &json);
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
        let name = "response.output_text.annotation.added";
        self.item_event(out, name, ("msg", place), |event| {
            event.number("content_index", at);
            event.number("annotation_index", number);
            event.written("annotation", &json);
        });
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

/// Writes the log probabilities of text, which translated answers do not have.
fn put_no_logprobs(object: &mut Members<'_>, refusal: bool) {
    if !refusal {
        object.array("logprobs").end();
    }
}

impl MessagePart {
    fn json(&self) -> Bytes {
        let mut buf = BytesMut::with_capacity(self.text.len() + 96);
        let mut part = Members::new(&mut buf);
        if self.refusal {
            part.word("type", "refusal");
            part.text("refusal", &self.text);
        } else {
            part.word("type", "output_text");
            part.text("text", &self.text);
            let mut annotations = part.array("annotations");
            self.annotations
                .iter()
                .for_each(|it| annotations.written(it));
            annotations.end();
            put_no_logprobs(&mut part, false);
        }
        part.end();
        buf.freeze()
    }
}

impl Message {
    pub(super) fn json(&self, stream: &StreamId, status: &str) -> Bytes {
        let mut buf = BytesMut::with_capacity(256);
        let mut item = Members::new(&mut buf);
        put_id(item.value("id"), "msg", stream, self.place);
        item.word("type", "message");
        item.word("status", status);
        item.word("role", "assistant");
        let mut content = item.array("content");
        self.parts
            .iter()
            .for_each(|part| content.written(&part.json()));
        content.end();
        item.end();
        buf.freeze()
    }
}
