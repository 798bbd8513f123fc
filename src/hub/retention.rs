//! The memory and the time that journals may take, over all streams.
//!
//! When room is short, finished streams are removed first, oldest first; then running streams lose
//! their oldest entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::Inner;
use super::stream::Stream;

/// Approximate memory of a stream beside its entries, bytes: the stream itself and its places in
/// the maps.
pub(super) const STREAM_OVERHEAD: usize = 1152;

/// Memory held by all journals, and its limit, bytes.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    held: AtomicUsize,
    limit: AtomicUsize,
}

impl MemoryBudget {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit),
        }
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.held.load(Ordering::Relaxed) > self.limit.load(Ordering::Relaxed)
    }

    /// Returns true once a sixteenth of the limit is free, so that room is not made again for every
    /// entry.
    fn has_room(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.held.load(Ordering::Relaxed) <= limit - limit / 16
    }
}

impl Inner {
    /// Adds the growth of a journal (negative: bytes it freed) to the budget, and makes room if the
    /// total is over the limit.
    pub(super) fn update_memory(&self, change: isize) {
        if change >= 0 {
            self.memory_budget
                .held
                .fetch_add(change.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.memory_budget
                .held
                .fetch_sub(change.unsigned_abs(), Ordering::Relaxed);
        }
        if self.memory_budget.is_over() {
            self.make_room();
        }
    }

    fn make_room(&self) {
        // A copy of the list: logs are locked below, and the lock of the maps is not held
        // meanwhile.
        let mut all = self.maps.lock().all();
        // The key is computed once per stream: one that ends during the sort must not compare in
        // two ways.
        all.sort_by_cached_key(|stream| (stream.is_running(), stream.expiry(), stream.number()));
        for stream in all {
            if self.memory_budget.has_room() {
                return;
            }
            if stream.is_running() {
                self.trim(&stream);
            } else {
                self.maps.lock().remove(stream.id());
                // Its bytes leave the budget when the last reference to the stream is dropped.
            }
        }
    }

    /// Evicts the older half of a running stream's entries, by size.
    fn trim(&self, stream: &Arc<Stream>) {
        let freed = {
            let mut log = stream.log();
            // Half at a time, so that a running stream is not trimmed again for each of its
            // entries.
            let half = log.bytes() / 2;
            log.trim(half)
        };
        self.memory_budget.held.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Removes the streams that have expired. Returns when the next one expires.
    pub(super) fn remove_expired(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut maps = self.maps.lock();
        while let Some(id) = maps.pop_expired(now) {
            maps.remove(&id);
        }
        maps.next_expiry()
    }

    /// Schedules the removal of an ended stream after its retention.
    pub(super) fn schedule_expiry(&self, stream: &Stream) {
        let Some(at) = stream.expiry() else { return };
        // Retention differs between streams: the sweeper may be waiting for a later one.
        if self.maps.lock().push_expiry(at, stream.id().clone()) {
            self.ended.notify_one();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let held = self.log().bytes()
            + self.spec().kept_request_bytes()
            + self.objects_bytes()
            + STREAM_OVERHEAD;
        self.hub
            .memory_budget
            .held
            .fetch_sub(held, Ordering::Relaxed);
    }
}
