//! How a message ends: `message_delta` and `message_stop` after success or a cancel, an error and
//! nothing behind it, never neither. A block that is open is ended first.

use bytes::{BufMut as _, BytesMut};

use super::super::pieces::{put_usage, stop_word};
use super::super::refusal;
use super::{Encoder, blocks};
use crate::codec::json::put_str;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::openai_chat::put_own;
use crate::dialect::unsaid;
use crate::model::event::{End, Failure, Reason};
use crate::model::fault::Fault;
use crate::model::usage::Usage;

impl Encoder {
    /// Ends the block that is open, and all that was held. Of payloads that were passed on the last
    /// block may be open.
    pub(super) fn close(&mut self, out: &mut SseWriter) {
        if self.raw {
            if let Some(place) = self.passed.take_open() {
                blocks::put_stop(out, place);
            }
            return;
        }
        self.blocks.finish(out);
        if let Some(fault) = self.blocks.failure(out) {
            self.fail(&fault, out);
        }
    }

    pub(super) fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        if self.passing && failure.passed_on {
            self.over = true;
            return;
        }
        self.close(out);
        self.fail(&failure.fault, out);
    }

    /// The error with which it ends, unless one was told.
    pub(super) fn fail(&mut self, fault: &Fault, out: &mut SseWriter) {
        if !std::mem::replace(&mut self.over, true) {
            refusal::put(
                out.event("error"),
                fault,
                &format!("internal error in stream {}", self.view.start.stream),
                None,
            );
        }
    }

    pub(super) fn end(&mut self, end: &End, out: &mut SseWriter) {
        match end.reason {
            Reason::Stop | Reason::Length | Reason::ToolCalls | Reason::ContentFilter
                if self.raw =>
            {
                self.over = true;
                return;
            }
            Reason::Error => {
                self.close(out);
                self.fail(&unsaid(end), out);
                return;
            }
            _ => self.begin(out),
        }
        self.close(out);
        if !std::mem::replace(&mut self.over, true) {
            self.put_delta(end, out.event("message_delta"));
            out.event("message_stop")
                .put_slice(b"{\"type\":\"message_stop\"}");
        }
    }

    fn put_delta(&self, end: &End, buf: &mut BytesMut) {
        let cancelled = end.reason == Reason::Cancelled;
        let finish = self.finish.as_ref().filter(|_| !cancelled);
        let (reason, native) = finish.map_or((end.reason, &end.native), |finish| {
            (finish.reason, &finish.native)
        });
        let usage = self.usage.or(end.usage).unwrap_or(Usage {
            input: Some(0),
            ..Usage::default()
        });
        buf.put_slice(b"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
        put_str(buf, stop_word(reason, native.as_deref(), self.refused));
        buf.put_slice(b",\"stop_sequence\":null},\"usage\":");
        put_usage(buf, &usage);
        put_own(buf, cancelled.then_some("cancelled"), usage.estimated);
        buf.put_u8(b'}');
    }
}
