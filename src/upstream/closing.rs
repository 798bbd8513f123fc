//! Counts the usage of a generation and closes its journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use bytestring::ByteString;
use smallvec::SmallVec;

use super::Ending;
use crate::hub::Cause;
use crate::model::ask::AskHead;
use crate::model::entry::{Entry, Payload};
use crate::model::event::{End, Event, Events, Failure, Finish, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::money::Money;
use crate::model::outcome::Charge;
use crate::model::target::Target;
use crate::model::usage::{self, Usage};

/// The running figures of a generation.
#[derive(Debug)]
pub(super) struct Accounting {
    head: Arc<AskHead>,
    /// Latest usage figures of the provider.
    pub(super) usage: Option<Usage>,
    /// Bytes of output received.
    pub(super) output_bytes: u64,
    /// Tool calls that have begun and are not complete: (choice, index).
    open_calls: SmallVec<[(u16, u16); 4]>,
    /// Finish event of choice 0.
    finish: Option<Finish>,
    /// Counters shared by all lanes of the generation.
    counts: Arc<Counts>,
    /// The step of the route trace that attempts count for.
    pub(super) step: usize,
    /// The target that was asked last.
    pub(super) target: Option<Target>,
    /// Time of the first content.
    pub(super) first_content: Option<Instant>,
}

/// Counters of all requests of one generation, including those of a second target asked in
/// parallel.
#[derive(Debug, Default)]
struct Counts {
    attempts: AtomicU32,
    recorded: AtomicU32,
}

impl Accounting {
    pub(super) fn new(head: &Arc<AskHead>) -> Self {
        Self::counting(head, Arc::default())
    }

    fn counting(head: &Arc<AskHead>, counts: Arc<Counts>) -> Self {
        Self {
            head: head.clone(),
            usage: None,
            output_bytes: 0,
            open_calls: SmallVec::new(),
            finish: None,
            counts,
            step: 0,
            target: None,
            first_content: None,
        }
    }

    /// Returns separate figures for a target that may be asked in parallel with another. The
    /// counters are shared.
    pub(super) fn fork(&self) -> Self {
        Self::counting(&self.head, self.counts.clone())
    }

    /// Continues with the figures of a target that has finished.
    pub(super) fn adopt(&mut self, fork: Self) {
        // A lane that was never sent must not hide the target asked before it.
        let asked_before = self.target.take();
        *self = fork;
        self.target = self.target.take().or(asked_before);
    }

    /// Returns the number of requests sent upstream.
    pub(super) fn attempts(&self) -> u32 {
        self.counts.attempts.load(Ordering::Relaxed)
    }

    /// Counts one more recorded answer and returns its number, from 1.
    pub(super) fn next_recording_number(&self) -> u32 {
        self.counts.recorded.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Begins another attempt: the figures of the previous one no longer count.
    pub(super) fn begin_attempt(&mut self, target: &Target) {
        self.counts.attempts.fetch_add(1, Ordering::Relaxed);
        self.target = Some(target.clone());
        self.usage = None;
        self.output_bytes = 0;
        self.open_calls.clear();
        self.finish = None;
    }

    /// Counts entries that are about to be journaled.
    pub(super) fn count(&mut self, entries: &[Entry]) {
        entries
            .iter()
            .flat_map(|entry| &entry.events)
            .for_each(|event| self.count_event(event));
    }

    fn count_event(&mut self, event: &Event) {
        self.output_bytes += event.output_bytes();
        match event {
            Event::ToolCall(call) => self.open_calls.push((call.choice, call.index)),
            Event::ToolCallEnd { choice, index } => {
                self.open_calls.retain(|open| *open != (*choice, *index));
            }
            Event::Finish(finish) if finish.choice == 0 => self.finish = Some((**finish).clone()),
            _ => {}
        }
    }

    /// Returns the usage: the figures of the provider where it gave them, otherwise estimates.
    /// Returns `None` when no target was asked.
    pub(super) fn used(&self, complete: bool) -> Option<Usage> {
        if self.attempts() == 0 {
            return None;
        }
        let streamed = usage::estimate(self.output_bytes);
        let mut used = self.usage.unwrap_or_default();
        if used.input.is_none() {
            used.input = Some(self.head.input_estimate);
            used.estimated = true;
        }
        // A figure sent before the end counts only the output up to that moment: use the bytes
        // received if they are more.
        if used.output.is_none() || !complete && used.output < Some(streamed) {
            used.output = Some(streamed);
            used.estimated = true;
        }
        if !complete {
            used.estimated = true;
        }
        used.cost = self
            .target
            .as_ref()
            .and_then(Target::price)
            .map(|price| price.cost(&used));
        Some(used)
    }

    /// Returns the cost so far; `None` when the target has no price.
    pub(super) fn cost(&self) -> Option<Money> {
        self.used(false).and_then(|used| used.cost)
    }

    /// Returns the charge for the limits. An attempt that failed without output costs no tokens:
    /// the provider's bill for it is unknown.
    pub(super) fn charge(&self, ending: &Ending, used: Option<Usage>) -> Charge {
        match used {
            _ if self.attempts() == 0 => Charge::Nothing,
            _ if self.failed_empty(ending) => Charge::Tokens(0),
            used => Charge::Tokens(used.and_then(|used| used.total()).unwrap_or(0)),
        }
    }

    /// Returns true when the generation failed without any output or usage.
    fn failed_empty(&self, ending: &Ending) -> bool {
        matches!(ending, Ending::Failed(..)) && self.usage.is_none() && self.output_bytes == 0
    }

    /// Returns the last entry of the journal and its end event.
    pub(super) fn close(&self, ending: &Ending) -> (Entry, End) {
        let mut used = self.used(matches!(ending, Ending::Complete));
        // As in `charge`: nothing was delivered.
        if let Some(used) = used.as_mut().filter(|_| self.failed_empty(ending)) {
            used.cost = used.cost.map(|_| Money::ZERO);
        }
        // Readers get a proper end of the tool calls that the upstream left open.
        let mut events: Events = self
            .open_calls
            .iter()
            .map(|(choice, index)| Event::ToolCallEnd {
                choice: *choice,
                index: *index,
            })
            .collect();
        let (reason, native, raw) = self.outcome(ending, &mut events);
        if let Some(used) = used {
            events.push(Event::Usage(Box::new(used)));
        }
        let end = End {
            reason,
            native,
            usage: used,
        };
        events.push(Event::End(Box::new(end.clone())));
        (Entry { raw, events }, end)
    }

    fn outcome(
        &self,
        ending: &Ending,
        events: &mut Events,
    ) -> (Reason, Option<ByteString>, Option<Payload>) {
        let native = self
            .finish
            .as_ref()
            .and_then(|finish| finish.native.clone());
        match ending {
            Ending::Complete => (
                self.finish
                    .as_ref()
                    .map_or(Reason::Stop, |finish| finish.reason),
                native,
                None,
            ),
            Ending::Cancelled(Cause::Client | Cause::Disconnect, _) => {
                (Reason::Cancelled, None, None)
            }
            // The client did not ask for a shutdown: its stream ends with an error, so that it can
            // retry.
            Ending::Cancelled(Cause::Shutdown, _) => {
                (fail(events, shutting_down(), false), None, None)
            }
            Ending::Failed(fault, payload) => {
                let reason = fail(events, (**fault).clone(), payload.is_some());
                (reason, native, payload.clone())
            }
        }
    }

    /// Returns a fault when the answer is complete but its finish reason is an error.
    pub(super) fn failed_finish(&self) -> Option<Fault> {
        let finish = self
            .finish
            .as_ref()
            .filter(|finish| finish.reason == Reason::Error)?;
        let native = finish.native.as_deref().unwrap_or("error");
        Some(Fault::new(
            Code::UpstreamError,
            format!("the upstream ended its answer with `{native}`"),
        ))
    }
}

fn fail(events: &mut Events, fault: Fault, passed_on: bool) -> Reason {
    events.push(Event::Error(Box::new(Failure { fault, passed_on })));
    Reason::Error
}

fn shutting_down() -> Fault {
    Fault::new(
        Code::ShuttingDown,
        "this instance was stopped before the answer was complete: send the request again",
    )
}
