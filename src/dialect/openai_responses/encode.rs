//! Encodes a journal as the events of a response.
//!
//! Over the dialect's own wire payloads are passed on under their own names, and events of ours
//! follow only where we end the stream. Otherwise every event is ours: `response.created` once a
//! target has answered, then the events of each item, and one terminal event with all items.

mod items;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::passed::Passed;
use super::pieces::{Status, put_response};
use crate::codec::json::put_u64;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::{Encode, View, unreported_error};
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Failure, Finish, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::usage::Usage;
use items::Items;

/// The encoder of one reader.
pub(super) struct Encoder {
    view: View,
    /// True if payloads are passed on.
    raw: bool,
    /// True while the events of an entry are read whose payload was passed on.
    passing: bool,
    passed: Passed,
    /// True if `response.created` has been sent.
    begun: bool,
    items: Items,
    status: Status,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// True if the terminal event has been written.
    ended: bool,
}

impl Encoder {
    /// Creates the encoder for a reader.
    pub(super) fn new(view: View) -> Self {
        let background = view
            .start
            .head
            .responses
            .as_ref()
            .is_some_and(|asked| asked.background);
        Self {
            raw: false,
            passing: false,
            passed: Passed::default(),
            begun: false,
            items: Items::new(view.start.stream.clone()),
            status: if background {
                Status::Queued
            } else {
                Status::InProgress
            },
            finish: None,
            usage: None,
            ended: false,
            view,
        }
    }

    /// Returns the number of the next event.
    pub(super) fn next_number(&self) -> u64 {
        if self.raw {
            self.passed.next
        } else {
            self.items.next
        }
    }

    /// Returns the response object so far (JSON).
    pub(super) fn object(&self) -> Bytes {
        if self.raw
            && let Some(response) =
                self.passed
                    .response_json(&self.status, self.usage.as_ref(), self.ended)
        {
            return response;
        }
        let mut buf = BytesMut::with_capacity(1024);
        put_response(
            &mut buf,
            &self.view,
            &self.status,
            &self.items.output(),
            self.final_usage().as_ref(),
        );
        buf.freeze()
    }

    fn final_usage(&self) -> Option<Usage> {
        self.usage.filter(|_| self.ended)
    }
}

impl Encode for Encoder {
    fn restore(&mut self, summary: &Entry, out: &mut SseWriter) {
        // Evicted entries without content leave no number and no text unknown.
        self.items.evicted = summary.events.iter().any(Event::is_content);
        self.write_entry(summary, out);
    }

    fn write_entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        let raw = entry.raw.as_ref().filter(|_| self.view.raw && !self.ended);
        if let Some(raw) = raw {
            self.raw = true;
            self.begun = true;
            self.passed.pass(raw, out);
        }
        self.passing = raw.is_some();
        for event in &entry.events {
            self.write_event(event, out);
        }
        self.passing = false;
    }

    fn write_event(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            _ if self.ended => {}
            // The response begins with the route: until then the answer can still be an error
            // status.
            Event::Start(_) => {}
            Event::Route(route) => {
                self.raw = self.view.raw && route.raw;
                self.items.wire = route.wire;
                if self.raw {
                    self.status = Status::InProgress;
                } else {
                    self.begin(out);
                }
            }
            Event::Usage(usage) => self.usage = Some(**usage),
            Event::Error(failure) => self.error(failure, out),
            Event::End(end) => self.end(end, out),
            other if other.choice() != 0 => {}
            // The `response.created` of the provider came first, even if it is evicted.
            _ if self.raw => self.begun = true,
            Event::Finish(finish) => self.finish(finish, out),
            content => {
                self.begin(out);
                self.items.write(content, out);
                self.end_if_evicted(out);
            }
        }
    }
}

/// Encoding of our own events.
impl Encoder {
    /// Writes the events that begin a response, once.
    fn begin(&mut self, out: &mut SseWriter) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let queued = matches!(self.status, Status::Queued);
        self.write_response_event("response.created", out);
        if queued {
            self.write_response_event("response.queued", out);
        }
        self.status = Status::InProgress;
        self.write_response_event("response.in_progress", out);
    }

    /// Writes an event that contains the response object.
    fn write_response_event(&mut self, name: &str, out: &mut SseWriter) {
        let object = self.object();
        let number = if self.raw {
            &mut self.passed.next
        } else {
            &mut self.items.next
        };
        put_event(out, number, name, |buf| {
            buf.put_slice(b",\"response\":");
            buf.put_slice(&object);
        });
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
        self.end_if_evicted(out);
    }

    fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        // The client has received the provider's own error payload: do not add a second one.
        if self.passing && failure.passed_on {
            self.status = Status::failed(&failure.fault, &self.view.start.stream);
            self.ended = true;
            return;
        }
        self.fail(&failure.fault, out);
    }

    fn end(&mut self, end: &End, out: &mut SseWriter) {
        self.usage = self.usage.or(end.usage);
        let reason = self
            .finish
            .as_ref()
            // A cancel after the finish is reported as a cancel.
            .filter(|_| end.reason != Reason::Cancelled)
            .map_or(end.reason, |finish| finish.reason);
        let status = match reason {
            Reason::Stop | Reason::ToolCalls => Status::Completed,
            Reason::Length => Status::Incomplete("max_output_tokens"),
            Reason::ContentFilter => Status::Incomplete("content_filter"),
            Reason::Cancelled => Status::Cancelled,
            Reason::Error => {
                self.fail(&unreported_error(end), out);
                return;
            }
        };
        if self.raw && end.reason != Reason::Cancelled {
            // The provider's terminal event was passed on.
            self.status = status;
            self.ended = true;
            return;
        }
        self.terminate(status, out);
    }

    /// Ends the response with a failure.
    fn fail(&mut self, fault: &Fault, out: &mut SseWriter) {
        self.terminate(Status::failed(fault, &self.view.start.stream), out);
    }

    /// Ends all open items, then the response.
    fn terminate(&mut self, status: Status, out: &mut SseWriter) {
        self.begin(out);
        let complete = matches!(status, Status::Completed);
        if self.raw {
            self.passed.close(out);
        } else {
            self.items.close(complete, out);
            self.end_if_evicted(out);
        }
        if !std::mem::replace(&mut self.ended, true) {
            // The terminal event repeats the text of all items, so it cannot be correct without
            // evicted text.
            let status = if self.items.lacks_evicted_text(out) && !self.raw {
                Status::failed(&beginning_evicted(), &self.view.start.stream)
            } else {
                status
            };
            self.status = status;
            let name = self.status.event();
            self.write_response_event(name, out);
        }
    }

    /// Ends the stream with an error if an event needed a number or text that was evicted.
    fn end_if_evicted(&mut self, out: &mut SseWriter) {
        if !self.ended && std::mem::take(&mut self.items.failed) {
            self.ended = true;
            self.status = Status::failed(&beginning_evicted(), &self.view.start.stream);
            let name = self.status.event();
            self.write_response_event(name, out);
        }
    }
}

/// Writes one event with the next number.
fn put_event(out: &mut SseWriter, number: &mut u64, name: &str, rest: impl FnOnce(&mut BytesMut)) {
    let buf = out.event(name);
    buf.put_slice(b"{\"type\":\"");
    buf.put_slice(name.as_bytes());
    buf.put_slice(b"\",\"sequence_number\":");
    put_u64(buf, *number);
    rest(buf);
    buf.put_u8(b'}');
    *number = number.saturating_add(1);
}

fn beginning_evicted() -> Fault {
    let message = "the beginning of this response is no longer kept: read the stream in another dialect, or start a new response";
    Fault::new(Code::ReplayExpired, message)
}
