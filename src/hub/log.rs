//! The numbered entries of one stream, and the wakers of readers that wait for the next.

use std::collections::VecDeque;
use std::task::{Context, Waker};
use std::time::{SystemTime, UNIX_EPOCH};

use slab::Slab;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::summary::StreamSummary;
use crate::model::entry::Entry;
use crate::model::event::{End, Event, Route, Start};
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::ids::Seq;
use crate::model::usage::Usage;

/// Wakers to wake after the lock is released. Nearly always one.
pub(super) type Wakers = SmallVec<[Waker; 2]>;

/// The log of one stream, guarded by the stream's lock.
#[derive(Debug)]
pub(super) struct Log {
    /// Number of the first entry that is kept.
    base: Seq,
    entries: VecDeque<Entry>,
    /// Summary of the entries before `base`, for encoders.
    summary: StreamSummary,
    bytes: usize,
    /// One slot for each attached reader, with a waker while that reader waits.
    readers: Slab<Option<Waker>>,
    /// Number of readers that ever attached. It tells a reader that was the last one from one that
    /// another reader has followed.
    attached: u64,
    route: Option<Route>,
    end: Option<End>,
    fault: Option<Fault>,
    ended_at: Option<(Instant, u64)>,
}

impl Log {
    pub(super) fn begin(start: Start) -> Self {
        let mut log = Self {
            base: 0,
            entries: VecDeque::with_capacity(4),
            summary: StreamSummary::default(),
            bytes: 0,
            readers: Slab::new(),
            attached: 0,
            route: None,
            end: None,
            fault: None,
            ended_at: None,
        };
        log.push(Entry::new(smallvec::smallvec![Event::Start(Box::new(
            start
        ))]));
        log
    }

    /// Adds an entry and returns the bytes the log grew by.
    pub(super) fn push(&mut self, entry: Entry) -> usize {
        // Kept apart from the entries, which may be evicted: the status must not lose them.
        for event in &entry.events {
            match event {
                Event::Route(route) => self.route = Some((**route).clone()),
                Event::Error(failure) => self.fault = Some(failure.fault.clone()),
                Event::End(end) => self.close((**end).clone()),
                _ => {}
            }
        }
        let grown = entry.stored_bytes();
        self.bytes += grown;
        self.entries.push_back(entry);
        grown
    }

    fn close(&mut self, end: End) {
        self.end = Some(end);
        self.ended_at = Some((Instant::now(), unix_now()));
        // No entry follows: the reserved capacity is released.
        self.entries.shrink_to_fit();
    }

    /// Replaces the usage in the end of the journal, which was not known when it ended.
    pub(super) fn set_usage(&mut self, used: Option<Usage>) {
        if let Some(end) = &mut self.end {
            end.usage = used;
        }
    }

    /// Evicts the oldest entries until at most `bytes` are kept. Returns the freed bytes. The
    /// newest entry always stays: it may be the end.
    pub(super) fn trim(&mut self, bytes: usize) -> usize {
        let before = self.bytes;
        while self.bytes > bytes && self.entries.len() > 1 {
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= entry.stored_bytes();
                self.base += 1;
                // Encoders of later readers number their parts by what came before.
                self.summary.add(&entry);
            }
        }
        before - self.bytes
    }

    /// Removes and returns the wakers of all waiting readers.
    pub(super) fn take_wakers(&mut self) -> Wakers {
        self.readers
            .iter_mut()
            .filter_map(|(_, waker)| waker.take())
            .collect()
    }

    pub(super) fn attach(&mut self) -> usize {
        self.attached += 1;
        self.readers.insert(None)
    }

    /// Detaches a reader. Returns how many remain and how many ever attached.
    pub(super) fn detach(&mut self, key: usize) -> (usize, u64) {
        self.readers.try_remove(key);
        (self.readers.len(), self.attached)
    }

    pub(super) fn register_waker(&mut self, key: usize, cx: &Context<'_>) {
        if let Some(place) = self.readers.get_mut(key) {
            match place {
                // `clone_from` keeps the stored waker if it wakes the same task.
                Some(waker) => waker.clone_from(cx.waker()),
                None => *place = Some(cx.waker().clone()),
            }
        }
    }

    pub(super) fn base(&self) -> Seq {
        self.base
    }

    /// Returns the number that the next entry will have.
    pub(super) fn next_seq(&self) -> Seq {
        self.base + self.entries.len() as Seq
    }

    /// Returns the kept entries from `seq` on, with their numbers.
    pub(super) fn from(&self, seq: Seq) -> impl Iterator<Item = (Seq, &Entry)> {
        let skipped = usize::try_from(seq.saturating_sub(self.base))
            .unwrap_or(usize::MAX)
            .min(self.entries.len());
        let first = self.base + skipped as Seq;
        (first..).zip(self.entries.range(skipped..))
    }

    pub(super) fn summary(&self) -> &StreamSummary {
        &self.summary
    }

    pub(super) fn readers(&self) -> usize {
        self.readers.len()
    }

    pub(super) fn attached(&self) -> u64 {
        self.attached
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn route(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    pub(super) fn ended_at(&self) -> Option<(Instant, u64)> {
        self.ended_at
    }

    /// Returns the answer folded from all entries, or `None` if the beginning is no longer kept.
    pub(super) fn answer(&self) -> Option<Answer> {
        // A fold over a part of the entries would not be the answer.
        (self.base == 0)
            .then(|| Answer::from_events(self.entries.iter().flat_map(|entry| &entry.events)))
    }
}

/// Returns the current time, Unix seconds.
pub(super) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
