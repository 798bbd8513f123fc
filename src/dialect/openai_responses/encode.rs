//! Encodes a journal as the events of a response: `response.created` once a target has answered,
//! then the events of each item, and one terminal event with all items.

mod items;

use bytes::{Bytes, BytesMut};

use super::passed::Passed;
use super::pieces::{Status, put_event, put_response};
use crate::codec::sse_writer::SseWriter;
use crate::dialect::passing::{Passing, State, VendorEvents};
use crate::dialect::{View, unreported_error};
use crate::model::entry::{Entry, Payload};
use crate::model::event::{End, Event, Finish, Reason, Route};
use crate::model::fault::{Code, Fault};
use items::Items;

/// Creates the encoder for one reader.
pub(super) fn encoder(view: View) -> Passing<Response> {
    let start = &view.start;
    let asked = start.head.responses.as_ref();
    let response = Response {
        passed: Passed::default(),
        begun: false,
        items: Items::new(start.stream.clone()),
        status: if asked.is_some_and(|asked| asked.background) {
            Status::Queued
        } else {
            Status::InProgress
        },
        finish: None,
    };
    Passing::new(response, view)
}

/// The events of a response for one reader.
pub(super) struct Response {
    passed: Passed,
    /// The client has received `response.created`.
    begun: bool,
    items: Items,
    status: Status,
    finish: Option<Finish>,
}

impl Passing<Response> {
    /// Returns the number of the next event.
    pub(super) fn next_number(&self) -> u64 {
        if self.state.raw {
            self.vendor.passed.next
        } else {
            self.vendor.items.next
        }
    }

    /// Returns the response object so far (JSON).
    pub(super) fn object(&self) -> Bytes {
        self.vendor.object(&self.state)
    }
}

impl VendorEvents for Response {
    const ONE_CHOICE: bool = true;

    fn pass(&mut self, payload: &Payload, _: &Entry, out: &mut SseWriter) {
        self.begun = true;
        self.passed.pass(payload, out);
    }

    fn record(&mut self, _: &Event) {
        // The `response.created` of the provider came first, even if it is evicted.
        self.begun = true;
    }

    fn route(&mut self, route: &Route, state: &State, out: &mut SseWriter) {
        self.items.wire = route.wire;
        if state.raw {
            self.status = Status::InProgress;
        } else {
            self.begin(state, out);
        }
    }

    fn content(&mut self, event: &Event, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        if let Event::Finish(finish) = event {
            self.finish(finish, out);
        } else {
            self.begin(state, out);
            self.items.write(event, out);
        }
        self.check()
    }

    fn end(&mut self, end: &End, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        match self.final_status(end) {
            Some(status) => self.terminate(status, state, out),
            None => self.fail(&unreported_error(end), state, out),
        }
    }

    fn end_passed(&mut self, end: &End, _: &mut SseWriter) {
        if let Some(status) = self.final_status(end) {
            self.status = status;
        }
    }

    fn fail(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) -> Result<(), Fault> {
        let status = Status::failed(fault, &state.view.start.stream);
        self.terminate(status, state, out)
    }

    fn fail_passed(&mut self, fault: &Fault, state: &State) {
        self.status = Status::failed(fault, &state.view.start.stream);
    }

    fn abort(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) {
        self.status = Status::failed(fault, &state.view.start.stream);
        self.write_response(self.status.event(), state, out);
    }

    fn begin_restore(&mut self, summary: &Entry) {
        // Evicted entries without content leave no number and no text unknown.
        self.items.evicted = summary.events.iter().any(Event::is_content);
    }
}

impl Response {
    /// Writes the events that begin a response, once.
    fn begin(&mut self, state: &State, out: &mut SseWriter) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let queued = matches!(self.status, Status::Queued);
        self.write_response("response.created", state, out);
        if queued {
            self.write_response("response.queued", state, out);
        }
        self.status = Status::InProgress;
        self.write_response("response.in_progress", state, out);
    }

    /// Writes an event that contains the response object.
    fn write_response(&mut self, name: &str, state: &State, out: &mut SseWriter) {
        let object = self.object(state);
        if state.raw {
            // The object of a provider may have several lines.
            let object = String::from_utf8_lossy(&object);
            put_event(out, &mut self.passed.next, name, |event| {
                event.json("response", &object);
            });
        } else {
            put_event(out, &mut self.items.next, name, |event| {
                event.written("response", &object);
            });
        }
    }

    /// Returns the response object so far (JSON).
    fn object(&self, state: &State) -> Bytes {
        let usage = state.usage.filter(|_| self.status.is_final());
        if state.raw
            && let Some(response) = self.passed.response_json(&self.status, usage.as_ref())
        {
            return response;
        }
        let mut buf = BytesMut::with_capacity(1024);
        let output = self.items.output();
        put_response(&mut buf, &state.view, &self.status, &output, usage.as_ref());
        buf.freeze()
    }

    /// Ends open items. The finish reason is reported at the end.
    fn finish(&mut self, finish: &Finish, out: &mut SseWriter) {
        // Items that were cut off end as `incomplete`.
        let early = matches!(
            finish.reason,
            Reason::Length | Reason::ContentFilter | Reason::Cancelled | Reason::Error
        );
        self.finish = Some(finish.clone());
        self.items.close(!early, out);
    }

    /// Returns the status of a response that ends without a reported error; `None` if it failed.
    fn final_status(&self, end: &End) -> Option<Status> {
        // A cancel after the finish is reported as a cancel.
        let is_cancelled = end.reason == Reason::Cancelled;
        let finish = self.finish.as_ref().filter(|_| !is_cancelled);
        match finish.map_or(end.reason, |finish| finish.reason) {
            Reason::Stop | Reason::ToolCalls => Some(Status::Completed),
            Reason::Length => Some(Status::Incomplete("max_output_tokens")),
            Reason::ContentFilter => Some(Status::Incomplete("content_filter")),
            Reason::Cancelled => Some(Status::Cancelled),
            Reason::Error => None,
        }
    }

    /// Ends all open items, then the response.
    fn terminate(
        &mut self,
        status: Status,
        state: &State,
        out: &mut SseWriter,
    ) -> Result<(), Fault> {
        self.begin(state, out);
        if state.raw {
            self.passed.close(out);
        } else {
            self.items.close(matches!(status, Status::Completed), out);
            self.check()?;
            // The terminal event repeats the text of all items, so it cannot be correct without
            // evicted text.
            if self.items.lacks_evicted_text(out) {
                return Err(beginning_evicted());
            }
        }
        self.status = status;
        self.write_response(self.status.event(), state, out);
        Ok(())
    }

    /// Checks that no event needed a number or text that was evicted.
    fn check(&mut self) -> Result<(), Fault> {
        if std::mem::take(&mut self.items.failed) {
            Err(beginning_evicted())
        } else {
            Ok(())
        }
    }
}

fn beginning_evicted() -> Fault {
    let message = "the beginning of this response is no longer kept: read the stream in another dialect, or start a new response";
    Fault::new(Code::ReplayExpired, message)
}
