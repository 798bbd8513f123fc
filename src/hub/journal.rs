//! The one hand that writes a stream's journal.

use std::sync::Arc;

use smallvec::smallvec;

use super::log::Wakers;
use super::stream::{Stream, UpstreamState};
use super::{alias, objects};
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Failure, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::wire::DialectId;

/// Writes one journal. Consumed by [`Writer::finish`]; dropped without it, it journals a failure:
/// every journal ends.
#[derive(Debug)]
pub struct Writer {
    stream: Arc<Stream>,
    finished: bool,
    /// Content was written: the stream's claims stay with it whatever comes.
    content: bool,
    /// Bytes the journal grew by (or lost) that are not booked yet.
    unbooked: isize,
    /// Payloads that may still be looked at for the provider's id.
    looks: u8,
}

/// Bytes that may stay unbooked: all workers book into one place, which is not for every token.
const UNBOOKED: usize = 2048;

impl Writer {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        let looks = if stream.dialect() == DialectId::OpenaiResponses {
            alias::LOOKS
        } else {
            0
        };
        Self {
            stream,
            finished: false,
            content: false,
            unbooked: 0,
            looks,
        }
    }

    /// The stream it writes.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Adds entries, which is emptied, and wakes the readers.
    pub fn append(&mut self, entries: &mut Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        self.content = self.content
            || entries
                .iter()
                .flat_map(|entry| &entry.events)
                .any(Event::is_content);
        self.learn(entries);
        self.write(entries.drain(..));
    }

    /// Adds the last entry: its last event is an `End`.
    pub fn finish(mut self, last: Entry) {
        self.close(last);
    }

    fn close(&mut self, last: Entry) {
        self.finished = true;
        let failed = last
            .events
            .iter()
            .any(|event| matches!(event, Event::End(end) if end.reason == Reason::Error));
        if failed && !self.content {
            self.stream.set_spent();
        }
        if self.stream.upstream() == UpstreamState::Open {
            self.stream.set_upstream(UpstreamState::Closed);
        }
        self.learn(std::slice::from_ref(&last));
        self.note_objects(&last);
        self.write(std::iter::once(last));
        self.stream.tell_ended();
    }

    /// Learns the provider's id before any reader can tell it to a client, who may come back with
    /// it.
    fn learn(&mut self, entries: &[Entry]) {
        for entry in entries.iter().filter(|entry| entry.raw.is_some()) {
            if self.looks == 0 {
                return;
            }
            self.looks -= 1;
            if let Some(alias) = alias::of(entry) {
                self.looks = 0;
                if self.stream.set_alias(alias.clone()) {
                    self.stream.hub.maps.lock().know(&self.stream, &alias);
                }
            }
        }
    }

    /// Notes what the provider has made, before any reader can come back with it: a client goes on
    /// from an answer that has ended.
    fn note_objects(&mut self, last: &Entry) {
        let dialect = self.stream.dialect();
        if !objects::made_in(dialect) {
            return;
        }
        let mut made = Vec::new();
        let mut note = |entry: &Entry| made.extend(objects::of(dialect, entry));
        self.stream.log().from(0).for_each(|(_, entry)| note(entry));
        note(last);
        made.sort_unstable();
        made.dedup();
        made.truncate(objects::MOST);
        if !made.is_empty() {
            // Before the map has them: should the stream be forgotten in between, it is known what
            // to take out.
            self.unbooked += self.stream.set_objects(made).cast_signed();
            self.stream.hub.maps.lock().made(&self.stream);
        }
    }

    fn write(&mut self, entries: impl Iterator<Item = Entry>) {
        let (grown, freed, wakers) = self.push(entries);
        wakers.into_iter().for_each(std::task::Waker::wake);
        self.unbooked += grown.cast_signed() - freed.cast_signed();
        if self.finished || self.unbooked.unsigned_abs() >= UNBOOKED {
            self.stream.hub.account(std::mem::take(&mut self.unbooked));
        }
    }

    fn push(&self, entries: impl Iterator<Item = Entry>) -> (usize, usize, Wakers) {
        let mut log = self.stream.log();
        let grown = entries.map(|entry| log.push(entry)).sum();
        let freed = log.trim(self.stream.spec().max_bytes);
        (grown, freed, log.take_wakers())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            let fault = Fault::new(
                Code::InternalError,
                "the generation stopped because of a bug in sluicegate",
            );
            let end = End {
                reason: Reason::Error,
                native: None,
                usage: None,
            };
            self.close(Entry::of(smallvec![
                Event::Error(Box::new(Failure {
                    fault,
                    passed_on: false
                })),
                Event::End(Box::new(end))
            ]));
        }
    }
}
