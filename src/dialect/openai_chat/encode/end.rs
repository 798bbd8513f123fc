//! The end of a stream of chunks: `[DONE]` after success or a cancel, or an error and nothing after
//! it; never neither.

use bytes::BufMut as _;

use super::super::error;
use super::super::pieces::{finish_reason, put_usage};
use super::{Chunks, head, put_finish};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_sluicegate;
use crate::dialect::passing::State;
use crate::dialect::unreported_error;
use crate::model::event::{End, Reason};
use crate::model::fault::Fault;

impl Chunks {
    pub(super) fn end_stream(&mut self, end: &End, state: &State, out: &mut SseWriter) {
        match end.reason {
            // No `error` event came before, and a stream never ends without a reason.
            Reason::Error => return put_error(&unreported_error(end), state, out),
            Reason::Cancelled => self.close_cancelled(state, out),
            reason => self.close(reason, out),
        }
        // Of payloads that were passed on, one contains the usage, unless we cut them off before.
        if state.view.include_usage && !(state.raw && self.passed.usage) {
            self.put_usage(state, out);
        }
        put_done(out);
    }

    /// Closes the open choices of a cancelled stream. If none has begun, all choices count as open.
    fn close_cancelled(&mut self, state: &State, out: &mut SseWriter) {
        // All chunks of an answer have one id and one model, so ours repeat those of the upstream.
        if let Some(upstream) = self.passed.head() {
            self.head = head(&upstream.id, upstream.created, &upstream.model);
        }
        if self.choices.is_empty() {
            let asked = state.view.start.head.choices.max(1);
            (0..asked).for_each(|choice| self.open(choice, out));
        }
        // The API defines no `finish_reason` for a cancel, so our own member beside it says so.
        for (choice, _) in self.choices.unfinished() {
            put_finish(out, &self.head, choice, "stop", Some("cancelled"));
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
            let (reason, own) = if failed {
                ("stop", Some("error"))
            } else {
                (finish_reason(reason).unwrap_or("stop"), None)
            };
            put_finish(out, &self.head, choice, reason, own);
        }
    }

    /// Writes the usage chunk. It has no choice, so clients get it only if they asked for it: others
    /// may read `choices[0]` of every chunk.
    fn put_usage(&self, state: &State, out: &mut SseWriter) {
        let Some(usage) = &state.usage else { return };
        let buf = out.event("");
        buf.put_slice(&self.head);
        buf.put_u8(b']');
        let mut chunk = Members::resume(buf);
        put_usage(chunk.value("usage"), usage);
        put_sluicegate(&mut chunk, None, usage.estimated);
        chunk.end();
    }
}

pub(super) fn put_done(out: &mut SseWriter) {
    out.event("").put_slice(b"[DONE]");
}

pub(super) fn put_error(fault: &Fault, state: &State, out: &mut SseWriter) {
    let stream = &state.view.start.stream;
    error::put(out.event(""), fault, format_args!("stream {stream}"));
}
