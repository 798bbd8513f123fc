//! A cursor over a log. Replay and live reading are the same loop: read the entries that are there,
//! then wait for the next.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::OnDisconnect;
use super::cancel::Cause;
use super::coalesce::{Coalesce, EntrySpan};
use super::stream::Stream;
use crate::model::entry::Entry;
use crate::model::event::Event;
use crate::model::fault::{Code, Fault};
use crate::model::ids::{Position, Seq};
use crate::model::plural::pluralize;

/// Number of entries behind the end at which a reader counts as slow and gets neighbouring deltas
/// merged.
const SLOW: Seq = 128;
/// Maximum number of entries read under one lock: a long replay must not delay the writer.
const BATCH: usize = 64;

/// The position of one reader in a stream.
#[derive(Debug)]
pub struct Reader {
    stream: Arc<Stream>,
    key: usize,
    /// The next entry to read.
    next: Seq,
    /// Number of events of that entry that the reader already has.
    seen: u32,
    /// Entries before this one existed when the reader attached: a replay is not merged.
    live_from: Seq,
    /// The stream's `on_disconnect` policy does not apply when this reader is dropped.
    skip_disconnect_policy: bool,
}

/// An entry before a reader's position.
#[derive(Debug, Clone, Copy)]
pub enum PastEntry<'a> {
    /// Summary of the evicted entries, without their text. It comes first and may be empty.
    Summary(&'a Entry),
    /// An entry that is still kept.
    Entry(&'a Entry),
}

/// Result of one poll of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadStep {
    /// Entries were read.
    Read,
    /// The next entry to read is no longer kept.
    Overtaken,
    /// All entries are read and the journal has ended.
    Ended,
}

impl Reader {
    /// Attaches the first reader of a new stream.
    pub(super) fn first(stream: Arc<Stream>) -> Self {
        let key = stream.log().attach();
        Self {
            stream,
            key,
            next: 0,
            seen: 0,
            live_from: 0,
            skip_disconnect_policy: false,
        }
    }

    /// Attaches another reader right after the position `after`, or at the beginning.
    ///
    /// # Errors
    /// 400 when the position is ahead of the journal; 410 when entries after it are no longer kept;
    /// 429 when the stream has its maximum number of readers.
    pub fn attach(stream: &Arc<Stream>, after: Option<Position>) -> Result<Self, Fault> {
        let mut log = stream.log();
        let (next, seen) = match after {
            None => (0, 0),
            // An id without a part is the last event of its entry: reading continues with the next
            // entry.
            Some(Position { seq, part: None }) => (seq + 1, 0),
            Some(Position {
                seq,
                part: Some(part),
            }) => (seq, part + 1),
        };
        // A reader may wait for the next entry; an id beyond it was never sent.
        if next > log.next_seq() || (next == log.next_seq() && seen > 0) {
            return Err(Fault::new(
                Code::BadEventId,
                "the event id is ahead of the stream: send the last id that was received",
            ));
        }
        if next < log.base() {
            return Err(replay_expired());
        }
        if log.readers() >= stream.spec().max_readers {
            let message = format!(
                "the stream already has {}, its maximum: try again after one disconnects",
                pluralize(log.readers(), "reader")
            );
            return Err(Fault::new(Code::RateLimited, message)
                .with_limit("readers")
                .with_retry_after(std::time::Duration::from_secs(1)));
        }
        let live_from = log.next_seq();
        let key = log.attach();
        drop(log);
        Ok(Self {
            stream: stream.clone(),
            key,
            next,
            seen,
            live_from,
            skip_disconnect_policy: false,
        })
    }

    /// Returns the stream that it reads.
    #[must_use]
    pub fn stream(&self) -> &Arc<Stream> {
        &self.stream
    }

    /// Detaches without applying the stream's `on_disconnect` policy: no client has read with this
    /// reader.
    pub fn leave(mut self) {
        self.skip_disconnect_policy = true;
    }

    /// Passes every entry written so far to `visit`. The lock is released between batches.
    ///
    /// # Errors
    /// 410 when the beginning is no longer kept.
    pub fn visit_all(stream: &Stream, mut visit: impl FnMut(Seq, &Entry)) -> Result<(), Fault> {
        let mut at = 0;
        loop {
            let log = stream.log();
            if log.base() > at {
                return Err(replay_expired());
            }
            if at >= log.next_seq() {
                return Ok(());
            }
            for (seq, entry) in log.from(at).take(BATCH) {
                visit(seq, entry);
                at = seq + 1;
            }
        }
    }

    /// Returns the number of the next entry to read.
    #[must_use]
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// Passes everything before the reader's position to `visit`, so that an encoder reaches the
    /// state it would have there. The lock is released between batches: a long past must not delay
    /// the writer.
    pub fn visit_past(&self, mut visit: impl FnMut(PastEntry<'_>)) {
        if self.next == 0 {
            return;
        }
        let (summary, mut at) = {
            let log = self.stream.log();
            (
                Entry::new(log.summary().events().iter().cloned().collect()),
                log.base(),
            )
        };
        visit(PastEntry::Summary(&summary));
        while at < self.next {
            let log = self.stream.log();
            for (seq, entry) in log
                .from(at)
                .take_while(|(seq, _)| *seq < self.next)
                .take(BATCH)
            {
                visit(PastEntry::Entry(entry));
                at = seq + 1;
            }
            // If entries are evicted in the meantime, this reader is overtaken and learns it from
            // its next read.
            at = at.max(log.base());
        }
    }

    /// Passes the entries since the last read to `visit`, each with its numbers. `visit` returns
    /// the bytes it holds by now; reading stops once that reaches `enough`. With `merge`, a reader
    /// that has fallen behind gets neighbouring deltas as one.
    pub fn poll_read(
        &mut self,
        cx: &Context<'_>,
        enough: usize,
        merge: bool,
        mut visit: impl FnMut(EntrySpan, &Entry) -> usize,
    ) -> Poll<ReadStep> {
        let mut log = self.stream.log();
        if self.next < log.base() {
            return Poll::Ready(ReadStep::Overtaken);
        }
        let behind = log.next_seq() - self.next;
        if behind == 0 {
            if log.ended_at().is_some() {
                return Poll::Ready(ReadStep::Ended);
            }
            // Under the lock: an entry added after the look finds the waker.
            log.register_waker(self.key, cx);
            return Poll::Pending;
        }
        // A partly sent entry is not merged, as `seen` counts events of that one entry.
        if merge && behind > SLOW && self.next >= self.live_from && self.seen == 0 {
            self.next = Coalesce::run(log.from(self.next), enough, visit);
            return Poll::Ready(ReadStep::Read);
        }
        for (seq, entry) in log.from(self.next).take(BATCH) {
            let held = visit(EntrySpan::one(seq, self.seen), entry);
            self.seen = 0;
            self.next = seq + 1;
            if held >= enough {
                break;
            }
        }
        Poll::Ready(ReadStep::Read)
    }

    /// Passes the unread entries to `visit` without moving and without waiting, until it returns
    /// false.
    pub fn peek(&self, mut visit: impl FnMut(u32, &Entry) -> bool) {
        let log = self.stream.log();
        let mut seen = self.seen;
        for (_, entry) in log.from(self.next) {
            if !visit(std::mem::take(&mut seen), entry) {
                break;
            }
        }
    }

    /// Ready with the first result of `look` among the entries after the start, or with `None` once
    /// the journal has ended.
    pub fn poll_found<T>(
        &self,
        cx: &Context<'_>,
        look: impl Fn(&Event) -> Option<T>,
    ) -> Poll<Option<T>> {
        let mut log = self.stream.log();
        let found = log
            .from(1)
            .flat_map(|(_, entry)| &entry.events)
            .find_map(look);
        if found.is_some() || log.ended_at().is_some() {
            return Poll::Ready(found);
        }
        log.register_waker(self.key, cx);
        Poll::Pending
    }
}

/// Returns the fault for a position whose following entries are no longer kept.
#[must_use]
pub fn replay_expired() -> Fault {
    Fault::new(
        Code::ReplayExpired,
        "events after this position are no longer kept: read the stream's status or start a new one",
    )
}

impl Drop for Reader {
    fn drop(&mut self) {
        let (left, attached) = self.stream.log().detach(self.key);
        // `store: false`: the journal is removed once its readers have had the end.
        if left == 0 && self.stream.spec().is_removed_once_read() && self.stream.was_read_to_end() {
            self.stream.hub.maps.lock().remove(self.stream.id());
        }
        if left > 0 || self.skip_disconnect_policy || !self.stream.is_running() {
            return;
        }
        match self.stream.spec().on_disconnect {
            OnDisconnect::Cancel => self.stream.cancel(Cause::Disconnect),
            OnDisconnect::Continue => {}
            OnDisconnect::Grace(grace) => wait_for_return(self.stream.clone(), attached, grace),
        }
    }
}

/// Cancels the stream unless it ends or a reader attaches within `grace`.
fn wait_for_return(stream: Arc<Stream>, attached: u64, grace: std::time::Duration) {
    let waiting = async move {
        let back = tokio::time::timeout(grace, stream.ended()).await.is_ok()
            // Not the number of readers: one that came back and left again began its own wait.
            || stream.log().attached() != attached;
        if !back {
            stream.cancel(Cause::Disconnect);
        }
    };
    // Without a runtime the process is shutting down, and the stream ends with it.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(waiting);
    }
}
