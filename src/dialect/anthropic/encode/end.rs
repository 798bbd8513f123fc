//! The end of a message: `message_delta` and `message_stop` after success or a cancel, or an error
//! and nothing after it; never neither. An open block is stopped first.

use super::super::error;
use super::super::pieces::{put_usage, stop_reason};
use super::{Message, blocks};
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_sluicegate;
use crate::dialect::passing::{State, VendorEvents as _};
use crate::dialect::unreported_error;
use crate::model::event::{End, Reason};
use crate::model::fault::Fault;
use crate::model::usage::Usage;

impl Message {
    /// Stops the open block, and writes everything that was held. Of payloads that were passed on,
    /// the last block may be open.
    pub(super) fn close(&mut self, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        if state.raw {
            if let Some(index) = self.passed.take_open() {
                blocks::put_stop(out, index);
            }
            return Ok(());
        }
        self.blocks.finish(out);
        self.blocks.check(out)
    }

    pub(super) fn end_message(
        &mut self,
        end: &End,
        state: &State,
        out: &mut SseWriter,
    ) -> Result<(), Fault> {
        // No `error` event came before, and a stream never ends without a reason.
        if end.reason == Reason::Error {
            return self.fail(&unreported_error(end), state, out);
        }
        // A cancel before any content still needs a complete message.
        self.begin(state, out);
        self.close(state, out)?;
        self.put_delta(end, state, out);
        let mut stop = Members::new(out.event("message_stop"));
        stop.word("type", "message_stop");
        stop.end();
        Ok(())
    }

    fn put_delta(&self, end: &End, state: &State, out: &mut SseWriter) {
        let cancelled = end.reason == Reason::Cancelled;
        // A cancelled message reports the end of the stream, even if the choice had finished.
        let finish = self.finish.as_ref().filter(|_| !cancelled);
        let (reason, native) = finish.map_or((end.reason, &end.native), |finish| {
            (finish.reason, &finish.native)
        });
        // Clients require usage here, even if none is known.
        let usage = state.usage.unwrap_or(Usage {
            input: Some(0),
            ..Usage::default()
        });
        let mut event = Members::new(out.event("message_delta"));
        event.word("type", "message_delta");
        let mut delta = event.object("delta");
        let reason = stop_reason(reason, native.as_deref(), self.refused);
        delta.word("stop_reason", reason);
        delta.null("stop_sequence");
        delta.end();
        put_usage(event.value("usage"), &usage);
        let own = cancelled.then_some("cancelled");
        put_sluicegate(&mut event, own, usage.estimated);
        event.end();
    }
}

pub(super) fn put_error(fault: &Fault, state: &State, out: &mut SseWriter) {
    let mut event = Members::new(out.event("error"));
    let stream = &state.view.start.stream;
    error::put(&mut event, fault, format_args!("stream {stream}"));
    event.end();
}
