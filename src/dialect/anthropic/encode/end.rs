//! The end of a message: `message_delta` and `message_stop` after success or a cancel, or an error
//! and nothing after it; never neither. An open block is stopped first.

use bytes::{BufMut as _, BytesMut};

use super::super::error;
use super::super::pieces::{put_usage, stop_reason};
use super::{Encoder, blocks};
use crate::codec::json::put_str;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::openai_chat::put_sluicegate;
use crate::dialect::unreported_error;
use crate::model::event::{End, Failure, Reason};
use crate::model::fault::Fault;
use crate::model::usage::Usage;

impl Encoder {
    /// Stops the open block, and writes everything that was held. Of payloads that were passed on,
    /// the last block may be open.
    pub(super) fn close(&mut self, out: &mut SseWriter) {
        if self.raw {
            if let Some(index) = self.passed.take_open() {
                blocks::put_stop(out, index);
            }
            return;
        }
        self.blocks.finish(out);
        if let Some(fault) = self.blocks.failure(out) {
            self.fail(&fault, out);
        }
    }

    pub(super) fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        // The client has received the upstream's own error payload: a second one is not added.
        if self.passing && failure.passed_on {
            self.ended = true;
            return;
        }
        self.close(out);
        self.fail(&failure.fault, out);
    }

    /// Writes the error that ends the stream, unless the stream has ended.
    pub(super) fn fail(&mut self, fault: &Fault, out: &mut SseWriter) {
        if !std::mem::replace(&mut self.ended, true) {
            error::put(
                out.event("error"),
                fault,
                &format!("internal error in stream {}", self.view.start.stream),
                None,
            );
        }
    }

    pub(super) fn end(&mut self, end: &End, out: &mut SseWriter) {
        match end.reason {
            // The payloads that were passed on include the terminal events.
            Reason::Stop | Reason::Length | Reason::ToolCalls | Reason::ContentFilter
                if self.raw =>
            {
                self.ended = true;
                return;
            }
            // No `error` event came before, and a stream never ends without a reason.
            Reason::Error => {
                self.close(out);
                self.fail(&unreported_error(end), out);
                return;
            }
            // A cancel before any content still needs a complete message.
            _ => self.begin(out),
        }
        self.close(out);
        if !std::mem::replace(&mut self.ended, true) {
            self.put_delta(end, out.event("message_delta"));
            out.event("message_stop")
                .put_slice(b"{\"type\":\"message_stop\"}");
        }
    }

    fn put_delta(&self, end: &End, buf: &mut BytesMut) {
        let cancelled = end.reason == Reason::Cancelled;
        // A cancelled message reports the end of the stream, even if the choice had finished.
        let finish = self.finish.as_ref().filter(|_| !cancelled);
        let (reason, native) = finish.map_or((end.reason, &end.native), |finish| {
            (finish.reason, &finish.native)
        });
        // Clients require usage here, even if none is known.
        let usage = self.usage.or(end.usage).unwrap_or(Usage {
            input: Some(0),
            ..Usage::default()
        });
        buf.put_slice(b"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
        put_str(buf, stop_reason(reason, native.as_deref(), self.refused));
        buf.put_slice(b",\"stop_sequence\":null},\"usage\":");
        put_usage(buf, &usage);
        put_sluicegate(buf, cancelled.then_some("cancelled"), usage.estimated);
        buf.put_u8(b'}');
    }
}
