//! Passes payloads on. Over the own wire of a dialect, its readers get the payloads of the provider
//! unchanged, and events of ours follow only where we end the stream. Otherwise every event is ours.
//!
//! Invariants: nothing is written after the terminal event or an error, payloads included; an error
//! that the provider has sent as a payload is not written a second time.

use super::{Encode, View};
use crate::codec::sse_writer::SseWriter;
use crate::model::entry::{Entry, Payload};
use crate::model::event::{End, Event, Reason, Route};
use crate::model::fault::Fault;
use crate::model::usage::Usage;

/// The encoder of one reader, for the API of a vendor.
pub(super) struct Passing<E> {
    pub(super) vendor: E,
    pub(super) state: State,
    /// The payload of the current entry was passed on.
    passing: bool,
    /// The terminal event or an error has been written.
    ended: bool,
}

/// The state that does not depend on the vendor.
pub(super) struct State {
    pub(super) view: View,
    /// Payloads are passed on.
    pub(super) raw: bool,
    /// The usage so far.
    pub(super) usage: Option<Usage>,
}

/// The events of one API. A method that fails has written nothing that ends the stream.
pub(super) trait VendorEvents: Send {
    /// True if the API has no choices but the first.
    const ONE_CHOICE: bool;

    /// Passes a payload on, and records what the client has received with it. `entry` is the entry
    /// of the payload.
    fn pass(&mut self, payload: &Payload, entry: &Entry, out: &mut SseWriter);

    /// Records content whose payload was passed on.
    fn record(&mut self, event: &Event);

    /// Records that a target has answered.
    fn route(&mut self, _route: &Route, _state: &State, _out: &mut SseWriter) {}

    /// Writes content, or the end of a choice.
    ///
    /// # Errors
    /// When nothing but this error can be written any more.
    fn content(&mut self, event: &Event, state: &State, out: &mut SseWriter) -> Result<(), Fault>;

    /// Ends the stream.
    ///
    /// # Errors
    /// When nothing but this error can be written any more.
    fn end(&mut self, end: &End, state: &State, out: &mut SseWriter) -> Result<(), Fault>;

    /// Records the end of a stream whose last payload includes the terminal event.
    fn end_passed(&mut self, _end: &End, _out: &mut SseWriter) {}

    /// Closes what is open, and ends the stream with an error.
    ///
    /// # Errors
    /// When nothing but this error can be written any more.
    fn fail(&mut self, fault: &Fault, state: &State, out: &mut SseWriter) -> Result<(), Fault>;

    /// Records an error whose payload was passed on.
    fn fail_passed(&mut self, _fault: &Fault, _state: &State) {}

    /// Ends the stream with an error at once.
    fn abort(&mut self, fault: &Fault, state: &State, out: &mut SseWriter);

    /// Begins to read the summary of evicted entries, which lacks the text of deltas.
    fn begin_restore(&mut self, _summary: &Entry) {}

    /// Ends the reading of the summary.
    fn end_restore(&mut self) {}
}

impl<E: VendorEvents> Passing<E> {
    /// Creates an encoder in its initial state.
    pub(super) fn new(vendor: E, view: View) -> Self {
        let state = State {
            view,
            raw: false,
            usage: None,
        };
        Self {
            vendor,
            state,
            passing: false,
            ended: false,
        }
    }

    fn end(&mut self, end: &End, out: &mut SseWriter) {
        self.ended = true;
        self.state.usage = self.state.usage.or(end.usage);
        // The payloads that were passed on include the terminal event, unless we cut them off.
        if self.state.raw && !matches!(end.reason, Reason::Cancelled | Reason::Error) {
            self.vendor.end_passed(end, out);
            return;
        }
        let ended = self.vendor.end(end, &self.state, out);
        self.abort_after(ended, out);
    }

    fn fail(&mut self, fault: &Fault, passed_on: bool, out: &mut SseWriter) {
        self.ended = true;
        // The client has received the provider's own error: a second one is not added.
        if self.passing && passed_on {
            self.vendor.fail_passed(fault, &self.state);
            return;
        }
        let failed = self.vendor.fail(fault, &self.state, out);
        self.abort_after(failed, out);
    }

    fn abort_after(&mut self, written: Result<(), Fault>, out: &mut SseWriter) {
        if let Err(fault) = written {
            self.ended = true;
            self.vendor.abort(&fault, &self.state, out);
        }
    }
}

impl<E: VendorEvents> Encode for Passing<E> {
    fn restore(&mut self, summary: &Entry, out: &mut SseWriter) {
        self.vendor.begin_restore(summary);
        self.write_entry(summary, out);
        self.vendor.end_restore();
    }

    fn write_entry(&mut self, entry: &Entry, out: &mut SseWriter) {
        let payload = entry
            .raw
            .as_ref()
            .filter(|_| self.state.view.raw && !self.ended);
        if let Some(payload) = payload {
            self.state.raw = true;
            self.vendor.pass(payload, entry, out);
        }
        self.passing = payload.is_some();
        for event in &entry.events {
            self.write_event(event, out);
        }
        self.passing = false;
    }

    fn write_event(&mut self, event: &Event, out: &mut SseWriter) {
        match event {
            _ if self.ended => {}
            // The answer begins with `route`: until then another target, or an error, may follow.
            Event::Start(_) => {}
            Event::Route(route) => {
                self.state.raw = self.state.view.raw && route.raw;
                self.vendor.route(route, &self.state, out);
            }
            Event::Usage(usage) => self.state.usage = Some(**usage),
            Event::Error(failure) => self.fail(&failure.fault, failure.passed_on, out),
            Event::End(end) => self.end(end, out),
            other if E::ONE_CHOICE && other.choice() != 0 => {}
            // Payloads reach the client as they are; their events only update the state.
            content if self.state.raw => self.vendor.record(content),
            content => {
                let written = self.vendor.content(content, &self.state, out);
                self.abort_after(written, out);
            }
        }
    }
}

/// Returns the name under which a payload is sent: its own, or its type. Clients skip events
/// without a name.
pub(super) fn event_name<'a>(payload: &'a Payload, kind: &'a str) -> &'a str {
    // Other characters would not be safe in an event name.
    let is_safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
    if !payload.name.is_empty() {
        &payload.name
    } else if kind.bytes().all(is_safe) {
        kind
    } else {
        ""
    }
}
