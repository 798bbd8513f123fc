//! How a stream of chunks ends: `[DONE]` after success or a cancel, an error and nothing behind it,
//! never neither.

use bytes::BufMut as _;

use super::super::pieces::{finish_word, put_own, put_usage};
use super::super::refusal;
use super::{Encoder, head, put_chunk};
use crate::codec::sse_writer::SseWriter;
use crate::dialect::unsaid;
use crate::model::event::{End, Failure, Reason};
use crate::model::fault::Fault;

impl Encoder {
    pub(super) fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        self.over = true;
        if !(self.passing && failure.passed_on) {
            self.put_error(&failure.fault, out);
        }
    }

    fn put_error(&self, fault: &Fault, out: &mut SseWriter) {
        refusal::put(
            out.event(""),
            fault,
            &format!("internal error in stream {}", self.view.start.stream),
        );
    }

    pub(super) fn end(&mut self, end: &End, out: &mut SseWriter) {
        self.over = true;
        match end.reason {
            Reason::Error => return self.put_error(&unsaid(end), out),
            Reason::Cancelled => self.close_cancelled(out),
            Reason::Stop | Reason::Length | Reason::ToolCalls | Reason::ContentFilter
                if self.raw => {}
            reason => self.close(reason, out),
        }
        self.put_usage(end, out);
        out.event("").put_slice(b"[DONE]");
    }

    /// Where nothing had come, all choices count as open.
    fn close_cancelled(&mut self, out: &mut SseWriter) {
        if let Some(upstream) = self.passed.head() {
            self.head = head(&upstream.id, upstream.created, &upstream.model);
        }
        if self.choices.is_empty() {
            (0..self.view.start.choices.max(1)).for_each(|choice| self.open(choice, out));
        }
        for (choice, _) in self.choices.open() {
            put_chunk(
                out,
                &self.head,
                choice,
                Some(("stop", Some("cancelled"))),
                |_| {},
            );
        }
    }

    /// The choices that should have been closed by now. One that failed while others did not is
    /// marked.
    fn close(&mut self, reason: Reason, out: &mut SseWriter) {
        if self.choices.is_empty() {
            self.open(0, out);
        }
        for (choice, failed) in self.choices.open() {
            let word = if failed {
                "stop"
            } else {
                finish_word(reason).unwrap_or("stop")
            };
            put_chunk(
                out,
                &self.head,
                choice,
                Some((word, failed.then_some("error"))),
                |_| {},
            );
        }
    }

    /// Over its own wire the upstream's usage chunk was passed on, unless it was stopped before it
    /// could send one.
    fn put_usage(&self, end: &End, out: &mut SseWriter) {
        let due = !self.raw || end.reason == Reason::Cancelled && !self.passed.usage;
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
        put_own(buf, None, usage.estimated);
        buf.put_u8(b'}');
    }
}
