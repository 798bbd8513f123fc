//! The writer of a stream's journal.

use std::sync::Arc;

use smallvec::smallvec;

use super::log::Wakers;
use super::status::UpstreamState;
use super::stream::Stream;
use super::{alias, objects};
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Failure, Reason};
use crate::model::fault::{Code, Fault};

/// Writes one journal. [`Writer::finish`] consumes it; a writer that is dropped without it writes a
/// failure, so that every journal ends.
#[derive(Debug)]
pub struct Writer {
    stream: Arc<Stream>,
    finished: bool,
    /// Content was written: the stream keeps its claims from then on.
    content: bool,
    /// Bytes that the journal grew or shrank by and that are not yet added to the memory budget.
    unreported: isize,
    /// Number of payloads that may still be searched for the provider's id.
    alias_payloads_left: u8,
}

/// Bytes that may stay outside the memory budget: all workers share its counter, which is too
/// expensive to touch for every token.
const MAX_UNREPORTED: usize = 2048;

impl Writer {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self {
            stream,
            finished: false,
            content: false,
            unreported: 0,
            alias_payloads_left: alias::MAX_PAYLOADS,
        }
    }

    /// Returns the stream that it writes.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Appends the entries, drains the vector and wakes the readers.
    pub fn append(&mut self, entries: &mut Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        self.content = self.content
            || entries
                .iter()
                .flat_map(|entry| &entry.events)
                .any(Event::is_content);
        self.record_alias(entries);
        self.write(entries.drain(..));
    }

    /// Appends the last entry, whose last event is an `End`.
    pub fn finish(mut self, last: Entry) {
        self.close(last);
    }

    fn close(&mut self, last: Entry) {
        self.finished = true;
        let failed = last
            .events
            .iter()
            .any(|event| matches!(event, Event::End(end) if end.reason == Reason::Error));
        // The contract: a request that failed before its first content gives its claim back.
        if failed && !self.content {
            self.stream.set_claims_vacant();
        }
        // An upstream in `Finishing` is still read for its usage; `Stream::set_final_usage` closes
        // it.
        if self.stream.upstream() == UpstreamState::Open {
            self.stream.set_upstream(UpstreamState::Closed);
        }
        self.record_alias(std::slice::from_ref(&last));
        self.record_objects(&last);
        self.write(std::iter::once(last));
        self.stream.notify_ended();
    }

    /// Records the provider's id before a reader can pass it to a client, which may come back with
    /// it.
    fn record_alias(&mut self, entries: &[Entry]) {
        let Some(read_id) = self.stream.spec().payload_ids.response else {
            return;
        };
        for payload in entries.iter().filter_map(|entry| entry.raw.as_ref()) {
            if self.alias_payloads_left == 0 {
                return;
            }
            self.alias_payloads_left -= 1;
            if let Some(alias) = read_id(payload).filter(|id| alias::is_valid(id)) {
                self.alias_payloads_left = 0;
                if self.stream.set_alias(alias.clone()) {
                    self.stream
                        .hub
                        .maps
                        .lock()
                        .index_alias(&self.stream, &alias);
                }
            }
        }
    }

    /// Records the objects that the provider made before a reader can pass the end to a client:
    /// clients continue from an answer that has ended.
    fn record_objects(&mut self, last: &Entry) {
        let Some(read_ids) = self.stream.spec().payload_ids.objects else {
            return;
        };
        let mut found = Vec::new();
        let mut record = |entry: &Entry| {
            let ids = entry.raw.iter().flat_map(read_ids);
            found.extend(ids.filter(|id| alias::is_valid(id)));
        };
        self.stream
            .log()
            .from(0)
            .for_each(|(_, entry)| record(entry));
        record(last);
        // Several events of a stream repeat an id.
        found.sort_unstable();
        found.dedup();
        found.truncate(objects::MAX_PER_STREAM);
        if !found.is_empty() {
            // Before the index: if the stream is removed in between, the removal knows which
            // entries to delete.
            self.unreported += self.stream.set_objects(found).cast_signed();
            self.stream.hub.maps.lock().index_objects(&self.stream);
        }
    }

    fn write(&mut self, entries: impl Iterator<Item = Entry>) {
        // The lock of the log is released before the readers run and before room is made, which
        // locks the maps.
        let (grown, freed, wakers) = self.push(entries);
        wakers.into_iter().for_each(std::task::Waker::wake);
        self.unreported += grown.cast_signed() - freed.cast_signed();
        if self.finished || self.unreported.unsigned_abs() >= MAX_UNREPORTED {
            self.stream
                .hub
                .update_memory(std::mem::take(&mut self.unreported));
        }
    }

    fn push(&self, entries: impl Iterator<Item = Entry>) -> (usize, usize, Wakers) {
        let mut log = self.stream.log();
        let grown = entries.map(|entry| log.push(entry)).sum();
        // Under the same lock, so that no reader sees the log above its bound.
        let freed = log.trim(self.stream.spec().max_bytes);
        (grown, freed, log.take_wakers())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Dropped by a panic or an early return: readers must get an end all the same.
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
            self.close(Entry::new(smallvec![
                Event::Error(Box::new(Failure {
                    fault,
                    passed_on: false
                })),
                Event::End(Box::new(end))
            ]));
        }
    }
}
