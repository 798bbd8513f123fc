//! The end of a stream of chunks: `[DONE]` after success or a cancel, or an error and nothing after
//! it; never neither.

use bytes::BufMut as _;

use super::super::error;
use super::super::pieces::{finish_reason, put_sluicegate, put_usage};
use super::{Encoder, head, put_chunk};
use crate::codec::sse_writer::SseWriter;
use crate::dialect::unreported_error;
use crate::model::event::{End, Failure, Reason};
use crate::model::fault::Fault;

impl Encoder {
    pub(super) fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        self.ended = true;
        // The client has received the upstream's own error payload: a second one is not added.
        if !(self.passing && failure.passed_on) {
            self.put_error(&failure.fault, out);
        }
    }

    fn put_error(&self, fault: &Fault, out: &mut SseWriter) {
        error::put(
            out.event(""),
            fault,
            &format!("internal error in stream {}", self.view.start.stream),
        );
    }

    pub(super) fn end(&mut self, end: &End, out: &mut SseWriter) {
        self.ended = true;
        match end.reason {
            // No `error` event came before, and a stream never ends without a reason.
            Reason::Error => return self.put_error(&unreported_error(end), out),
            Reason::Cancelled => self.close_cancelled(out),
            // The payloads that were passed on have closed the choices.
            Reason::Stop | Reason::Length | Reason::ToolCalls | Reason::ContentFilter
                if self.raw => {}
            reason => self.close(reason, out),
        }
        self.put_usage(end, out);
        out.event("").put_slice(b"[DONE]");
    }

    /// Closes the open choices of a cancelled stream. If none has begun, all choices count as open.
    fn close_cancelled(&mut self, out: &mut SseWriter) {
        // All chunks of an answer have one id and one model, so ours repeat those of the upstream.
        if let Some(upstream) = self.passed.head() {
            self.head = head(&upstream.id, upstream.created, &upstream.model);
        }
        if self.choices.is_empty() {
            (0..self.view.start.head.choices.max(1)).for_each(|choice| self.open(choice, out));
        }
        // The API defines no `finish_reason` for a cancel, so our own member beside it says so.
        for (choice, _) in self.choices.unfinished() {
            put_chunk(
                out,
                &self.head,
                choice,
                Some(("stop", Some("cancelled"))),
                |_| {},
            );
        }
    }

    /// Closes choices that have no `finish_reason` yet. A choice that failed while others did not
    /// is marked.
    fn close(&mut self, reason: Reason, out: &mut SseWriter) {
        if self.choices.is_empty() {
            // An answer has at least one choice.
            self.open(0, out);
        }
        // Clients fail on a stream in which a choice has no `finish_reason`.
        for (choice, failed) in self.choices.unfinished() {
            let finish_reason = if failed {
                "stop"
            } else {
                finish_reason(reason).unwrap_or("stop")
            };
            put_chunk(
                out,
                &self.head,
                choice,
                Some((finish_reason, failed.then_some("error"))),
                |_| {},
            );
        }
    }

    /// Writes the usage chunk. Over the own wire the upstream's usage chunk was passed on, unless
    /// the upstream was stopped before it could send one.
    fn put_usage(&self, end: &End, out: &mut SseWriter) {
        let due = !self.raw || end.reason == Reason::Cancelled && !self.passed.usage;
        // Clients that did not ask for usage may read `choices[0]` of every chunk.
        let Some(usage) = self
            .usage
            .or(end.usage)
            .filter(|_| self.view.include_usage && due)
        else {
            return;
        };
        let buf = out.event("");
        buf.put_slice(&self.head);
        buf.put_slice(b"],\"usage\":");
        put_usage(buf, &usage);
        put_sluicegate(buf, None, usage.estimated);
        buf.put_u8(b'}');
    }
}
