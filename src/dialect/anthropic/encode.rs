//! Encodes a journal as the events of a message: `message_start` once a target has answered,
//! content blocks one after another, then `message_delta` and `message_stop`. Only the first choice
//! is written, because this API has no others.

mod blocks;
mod end;
mod held;

use super::passed::Passed;
use super::pieces::put_head;
use crate::codec::members::Members;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::own_members::put_sluicegate;
use crate::dialect::passing::{Passing, State, VendorEvents};
use crate::dialect::{Encode, View};
use crate::model::entry::{Entry, Payload};
use crate::model::event::{End, Event, Finish, Route};
use crate::model::fault::Fault;
use blocks::Blocks;

/// Creates the encoder for one reader.
pub(super) fn encoder(view: View) -> Box<dyn Encode> {
    let message = Message {
        passed: Passed::default(),
        begun: false,
        blocks: Blocks::new(),
        refused: false,
        finish: None,
    };
    Box::new(Passing::new(message, view))
}

/// The events of a message for one reader.
struct Message {
    passed: Passed,
    /// The client has received `message_start`.
    begun: bool,
    blocks: Blocks,
    /// A refusal has been written.
    refused: bool,
    finish: Option<Finish>,
}

impl VendorEvents for Message {
    const ONE_CHOICE: bool = true;

    fn pass(&mut self, payload: &Payload, _: &Entry, out: &mut SseWriter) {
        self.begun |= self.passed.pass(payload, out);
    }

    fn record(&mut self, _: &Event) {
        // The `message_start` of the event was passed on before it, even if its entry has been
        // evicted.
        self.begun = true;
    }

    fn route(&mut self, route: &Route, state: &State, out: &mut SseWriter) {
        self.blocks.wire = route.wire;
        // A target has answered, so the client can be sent the head of its message.
        if !state.raw {
            self.begin(state, out);
        }
    }

    fn content(&mut self, event: &Event, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        // The reason of the choice is written with the end of the message.
        if let Event::Finish(finish) = event {
            self.finish = Some((**finish).clone());
            return self.close(state, out);
        }
        self.begin(state, out);
        // A normal stop after a refusal is reported as a refusal.
        self.refused |= matches!(event, Event::Refusal { .. });
        self.blocks.write(event, out);
        self.blocks.check(out)
    }

    fn end(&mut self, end: &End, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        self.end_message(end, state, out)
    }

    fn fail(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        self.close(state, out)?;
        self.abort(fault, state, out);
        Ok(())
    }

    fn abort(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) {
        end::put_error(fault, state, out);
    }

    fn begin_restore(&mut self, _: &Entry) {
        // The summary holds no text of deltas, so what is built from it cannot be written to a
        // reader.
        self.blocks.set_text_missing(true);
    }

    fn end_restore(&mut self) {
        self.blocks.set_text_missing(false);
    }
}

impl Message {
    /// Writes `message_start`, unless the client has received it. Clients require a complete message
    /// in it, usage included, which is an estimate at this point.
    fn begin(&mut self, state: &State, out: &mut SseWriter) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let mut event = Members::new(out.event("message_start"));
        event.word("type", "message_start");
        let mut message = event.object("message");
        put_head(&mut message, &state.view);
        message.array("content").end();
        message.null("stop_reason");
        message.null("stop_sequence");
        let mut usage = message.object("usage");
        usage.number("input_tokens", state.view.start.head.input_estimate);
        usage.number("output_tokens", 0);
        usage.end();
        message.end();
        put_sluicegate(&mut event, None, true);
        event.end();
    }
}
