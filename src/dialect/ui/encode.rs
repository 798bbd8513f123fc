//! Encodes a journal as chunks of a UI message stream.

use bytes::BufMut as _;

use super::calls::Calls;
use super::parts::{
    Media, finish_reason, message_id, put_metadata, put_own_metadata, put_raw, put_signature,
};
use crate::codec::json::put_u64;
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::{Encode, View, client_message};
use crate::model::entry::Entry;
use crate::model::event::{Citation, End, Event, Failure, Raw, Reason, Signature};
use crate::model::usage::Usage;

/// The encoder of one reader.
pub(super) struct Encoder {
    view: View,
    /// The kind of the open part.
    open: Option<PartKind>,
    /// Number of parts so far, from which their ids are made.
    parts: u32,
    calls: Calls,
    sources: u32,
    /// True if `start-step` has been written.
    step_begun: bool,
    usage: Option<Usage>,
    ended: bool,
}

/// The kind of a part that streams as deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    Text,
    Reasoning,
    Refusal,
}

impl PartKind {
    /// Returns the chunk types that begin, continue and end a part.
    const fn chunks(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Text | Self::Refusal => ("text-start", "text-delta", "text-end"),
            Self::Reasoning => ("reasoning-start", "reasoning-delta", "reasoning-end"),
        }
    }
}

impl Encoder {
    /// Creates the encoder for a reader.
    pub(super) fn new(view: View) -> Self {
        Self {
            view,
            open: None,
            parts: 0,
            calls: Calls::default(),
            sources: 0,
            step_begun: false,
            usage: None,
            ended: false,
        }
    }

    fn chunk<'o>(kind: &str, out: &'o mut SseWriter) -> Members<'o> {
        let mut chunk = Members::new(out.event(""));
        chunk.word("type", kind);
        chunk
    }

    fn put_id(&self, chunk: &mut Members<'_>) {
        let buf = chunk.value("id");
        buf.put_slice(b"\"part-");
        put_u64(buf, self.parts.into());
        buf.put_u8(b'"');
    }

    fn start(&self, out: &mut SseWriter) {
        let mut chunk = Self::chunk("start", out);
        chunk.text("messageId", &message_id(&self.view.start));
        put_metadata(chunk.value("messageMetadata"), &self.view.start, None);
        chunk.end();
    }

    fn step(&mut self, out: &mut SseWriter) {
        if !std::mem::replace(&mut self.step_begun, true) {
            Self::chunk("start-step", out).end();
        }
    }

    /// Begins a part of this kind unless one is open already.
    fn ensure_part(&mut self, kind: PartKind, out: &mut SseWriter) {
        self.step(out);
        if self.open == Some(kind) {
            return;
        }
        self.end_part(None, out);
        self.parts += 1;
        self.open = Some(kind);
        let mut chunk = Self::chunk(kind.chunks().0, out);
        self.put_id(&mut chunk);
        // The protocol has no refusal: it is a text part, which our metadata marks for the way
        // back.
        if kind == PartKind::Refusal {
            put_own_metadata(
                chunk.value("providerMetadata"),
                None,
                &[("kind", Some("refusal"))],
            );
        }
        chunk.end();
    }

    fn grow(&mut self, kind: PartKind, delta: &str, out: &mut SseWriter) {
        self.ensure_part(kind, out);
        let mut chunk = Self::chunk(kind.chunks().1, out);
        self.put_id(&mut chunk);
        chunk.text("delta", delta);
        chunk.end();
    }

    fn end_part(&mut self, signature: Option<&Signature>, out: &mut SseWriter) {
        let Some(kind) = self.open.take() else { return };
        let mut chunk = Self::chunk(kind.chunks().2, out);
        self.put_id(&mut chunk);
        if let Some(signature) = signature {
            put_signature(chunk.value("providerMetadata"), signature);
        }
        chunk.end();
    }

    /// Writes a signature. It ends the part that it signs; without such a part it gets an empty
    /// one.
    fn signature(&mut self, signature: &Signature, out: &mut SseWriter) {
        let kind = if signature.on_text {
            PartKind::Text
        } else {
            PartKind::Reasoning
        };
        // An encrypted block signs nothing: it gets a part of its own.
        if signature.redacted.is_some() {
            self.end_part(None, out);
        }
        self.ensure_part(kind, out);
        self.end_part(Some(signature), out);
    }

    fn citation(&mut self, citation: &Citation, out: &mut SseWriter) {
        let Some(url) = &citation.url else { return };
        self.step(out);
        let mut chunk = Self::chunk("source-url", out);
        chunk.text("sourceId", &format!("source-{}", self.sources));
        self.sources += 1;
        chunk.text("url", url);
        chunk.text_if_some("title", citation.title.as_deref());
        chunk.end();
    }

    fn raw(&mut self, raw: &Raw, out: &mut SseWriter) {
        self.step(out);
        if let Some(media) = Media::parse(raw) {
            let mut chunk = Self::chunk("file", out);
            media.put(&mut chunk);
            return chunk.end();
        }
        let mut chunk = Self::chunk("data-raw", out);
        put_raw(&mut chunk, raw);
        chunk.end();
    }

    fn close(&mut self, out: &mut SseWriter) {
        self.end_part(None, out);
        self.calls.end_all(out);
    }

    /// Writes an error.
    fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        self.close(out);
        let mut chunk = Self::chunk("error", out);
        let fault = &failure.fault;
        let stream = &self.view.start.stream;
        let message = client_message(fault, format_args!("stream {stream}"));
        chunk.text("errorText", &message);
        // These members are not part of the protocol: pages use them to distinguish errors.
        chunk.text("code", fault.client_code());
        chunk.text_if_some("limit", fault.limit);
        chunk.end();
    }

    fn end(&mut self, end: &End, out: &mut SseWriter) {
        self.close(out);
        match end.reason {
            Reason::Cancelled => {
                let mut chunk = Self::chunk("abort", out);
                chunk.word("reason", "cancelled");
                chunk.end();
            }
            Reason::Error => self.finish(end, out),
            _ => {
                self.step(out);
                Self::chunk("finish-step", out).end();
                self.finish(end, out);
            }
        }
        out.event("").put_slice(b"[DONE]");
        self.ended = true;
    }

    fn finish(&self, end: &End, out: &mut SseWriter) {
        let mut chunk = Self::chunk("finish", out);
        chunk.word("finishReason", finish_reason(end.reason));
        let usage = self.usage.or(end.usage);
        put_metadata(
            chunk.value("messageMetadata"),
            &self.view.start,
            Some((end.reason, usage.as_ref())),
        );
        chunk.end();
    }
}

impl Encode for Encoder {
    fn restore(&mut self, summary: &Entry, out: &mut SseWriter) {
        self.calls.set_text_missing(true);
        self.write_entry(summary, out);
        self.calls.set_text_missing(false);
    }

    fn write_event(&mut self, event: &Event, out: &mut SseWriter) {
        // A message contains one choice.
        if self.ended || event.choice() != 0 {
            return;
        }
        match event {
            Event::Start(_) => self.start(out),
            Event::Route(route) => self.calls.set_wire(route.wire),
            Event::Text { delta, .. } => self.grow(PartKind::Text, delta, out),
            Event::Reasoning { delta, .. } => self.grow(PartKind::Reasoning, delta, out),
            Event::Refusal { delta, .. } => self.grow(PartKind::Refusal, delta, out),
            Event::Signature(it) => self.signature(it, out),
            Event::ToolCall(it) => {
                self.step(out);
                self.end_part(None, out);
                // Parts stay in the order of the answer: a call ends the open part.
                self.calls.begin(it, out);
            }
            Event::ToolArguments { index, delta, .. } => self.calls.grow(*index, delta, out),
            Event::ToolCallEnd { index, .. } => self.calls.end(*index, out),
            Event::Citation(it) => self.citation(it, out),
            Event::Raw(it) => self.raw(it, out),
            Event::Finish(_) => self.close(out),
            Event::Usage(it) => self.usage = Some(**it),
            Event::Error(it) => self.error(it, out),
            Event::End(it) => self.end(it, out),
        }
    }
}
