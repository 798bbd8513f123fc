//! A journal as the events of a response.
//!
//! Over the dialect's own wire payloads are passed on under their own names, and events of ours
//! follow only where we end the stream. Otherwise every event is ours: `response.created` once a
//! target has answered, items each begun, said and ended, and one terminal event with all of them.

mod items;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::passed::Passed;
use super::pieces::{Status, put_response};
use crate::codec::json::put_u64;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::{Encode, View, unsaid};
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Failure, Finish, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::usage::Usage;
use items::Items;

/// Spells for one reader.
pub(super) struct Encoder {
    view: View,
    /// Payloads are passed on.
    raw: bool,
    /// The payload of the entry at hand was passed on.
    passing: bool,
    passed: Passed,
    /// The client has had its `response.created`.
    begun: bool,
    items: Items,
    status: Status,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// The terminal event has been written.
    over: bool,
}

impl Encoder {
    /// For a reader.
    pub(super) fn new(view: View) -> Self {
        let background = view.asked.as_ref().is_some_and(|asked| asked.background);
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
            over: false,
            view,
        }
    }

    /// The number that the next event will have.
    pub(super) fn next_number(&self) -> u64 {
        if self.raw {
            self.passed.next
        } else {
            self.items.next
        }
    }

    /// The response as it is by now.
    pub(super) fn object(&self) -> Bytes {
        if self.raw
            && let Some(told) = self
                .passed
                .object(&self.status, self.usage.as_ref(), self.over)
        {
            return told;
        }
        let mut buf = BytesMut::with_capacity(1024);
        put_response(
            &mut buf,
            &self.view,
            &self.status,
            &self.items.output(),
            self.told_usage().as_ref(),
        );
        buf.freeze()
    }

    fn told_usage(&self) -> Option<Usage> {
        self.usage.filter(|_| self.over)
    }
}

impl Encode for Encoder {
    fn remember(&mut self, summary: &Entry, out: &mut SseWriter) {
        self.items.lost = summary.events.iter().any(Event::is_content);
        self.entry(summary, out);
    }

    fn entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        let raw = entry.raw.as_ref().filter(|_| self.view.raw && !self.over);
        if let Some(raw) = raw {
            self.raw = true;
            self.begun = true;
            self.passed.pass(raw, out);
        }
        self.passing = raw.is_some();
        for event in &entry.events {
            self.event(event, out);
        }
        self.passing = false;
    }

    fn event(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            _ if self.over => {}
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
            further if further.choice() != 0 => {}
            // Their `response.created` came before them, even where it is no longer kept.
            _ if self.raw => self.begun = true,
            Event::Finish(finish) => self.finish(finish, out),
            content => {
                self.begin(out);
                self.items.take(content, out);
                self.check(out);
            }
        }
    }
}

/// Events of ours.
impl Encoder {
    /// What every response begins with.
    fn begin(&mut self, out: &mut SseWriter) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let queued = matches!(self.status, Status::Queued);
        self.tell("response.created", out);
        if queued {
            self.tell("response.queued", out);
        }
        self.status = Status::InProgress;
        self.tell("response.in_progress", out);
    }

    /// Writes an event that holds the response as it is.
    fn tell(&mut self, name: &str, out: &mut SseWriter) {
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

    /// Why a choice is complete stands at the end; what is open is ended here.
    fn finish(&mut self, finish: &Finish, out: &mut SseWriter) {
        let early = matches!(
            finish.reason,
            Reason::Length | Reason::ContentFilter | Reason::Cancelled | Reason::Error
        );
        self.finish = Some(finish.clone());
        self.items.close(!early, out);
        self.check(out);
    }

    fn error(&mut self, failure: &Failure, out: &mut SseWriter) {
        if self.passing && failure.passed_on {
            self.status = Status::failed(&failure.fault, &self.view.start.stream);
            self.over = true;
            return;
        }
        self.fail(&failure.fault, out);
    }

    fn end(&mut self, end: &End, out: &mut SseWriter) {
        self.usage = self.usage.or(end.usage);
        let told = self
            .finish
            .as_ref()
            .filter(|_| end.reason != Reason::Cancelled)
            .map_or(end.reason, |finish| finish.reason);
        let status = match told {
            Reason::Stop | Reason::ToolCalls => Status::Completed,
            Reason::Length => Status::Incomplete("max_output_tokens"),
            Reason::ContentFilter => Status::Incomplete("content_filter"),
            Reason::Cancelled => Status::Cancelled,
            Reason::Error => {
                self.fail(&unsaid(end), out);
                return;
            }
        };
        if self.raw && end.reason != Reason::Cancelled {
            // Its own terminal event was passed on.
            self.status = status;
            self.over = true;
            return;
        }
        self.terminate(status, out);
    }

    /// The failure with which it ends.
    fn fail(&mut self, fault: &Fault, out: &mut SseWriter) {
        self.terminate(Status::failed(fault, &self.view.start.stream), out);
    }

    /// All that is open is ended, and the response with it.
    fn terminate(&mut self, status: Status, out: &mut SseWriter) {
        self.begin(out);
        let complete = matches!(status, Status::Completed);
        if self.raw {
            self.passed.close(out);
        } else {
            self.items.close(complete, out);
            self.check(out);
        }
        if !std::mem::replace(&mut self.over, true) {
            // The terminal event repeats all that was said.
            let status = if self.items.is_short(out) && !self.raw {
                Status::failed(&lost(), &self.view.start.stream)
            } else {
                status
            };
            self.status = status;
            let name = self.status.event();
            self.tell(name, out);
        }
    }

    /// Ends the stream of a reader who would be told numbers or words that are no longer known.
    fn check(&mut self, out: &mut SseWriter) {
        if !self.over && std::mem::take(&mut self.items.failed) {
            self.over = true;
            self.status = Status::failed(&lost(), &self.view.start.stream);
            let name = self.status.event();
            self.tell(name, out);
        }
    }
}

/// Writes one event under the next number.
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

fn lost() -> Fault {
    let message = "the beginning of this response is no longer kept: read the stream in another dialect, or begin a new one";
    Fault::new(Code::ReplayExpired, message)
}
