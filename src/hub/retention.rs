//! What all journals together may hold, and how long.
//!
//! Finished streams go first, oldest first; then running ones lose their oldest entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use super::Inner;
use super::stream::Stream;

/// What a stream costs beside its entries, bytes, about: itself, and its places in the maps.
pub(super) const STREAM_OVERHEAD: usize = 1152;

/// The bytes of all journals.
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

    /// True once there is some room again, so that it is not made for every entry anew.
    fn has_room(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        self.held.load(Ordering::Relaxed) <= limit - limit / 16
    }
}

impl Inner {
    /// Books what a journal grew by and what it let go, and makes room when all together are too
    /// large.
    pub(super) fn account(&self, change: isize) {
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
        let mut all = self.maps.lock().all();
        // Once for each: a stream that ends while they are sorted must not stand in two places.
        all.sort_by_cached_key(|stream| (stream.is_running(), stream.expiry(), stream.number()));
        for stream in all {
            if self.memory_budget.has_room() {
                return;
            }
            if stream.is_running() {
                self.trim(&stream);
            } else {
                self.maps.lock().remove(stream.id());
                // What it held is booked out when its last reader lets go of it.
            }
        }
    }

    /// A running stream loses the older half of its entries.
    fn trim(&self, stream: &Arc<Stream>) {
        let freed = {
            let mut log = stream.log();
            let half = log.bytes() / 2;
            log.trim(half)
        };
        self.memory_budget.held.fetch_sub(freed, Ordering::Relaxed);
    }

    /// Forgets what is due; says when the next is.
    pub(super) fn sweep_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut maps = self.maps.lock();
        while let Some(id) = maps.pop_expired(now) {
            maps.remove(&id);
        }
        maps.next_expiry()
    }

    /// A stream has ended: it is to be forgotten when its retention is over.
    pub(super) fn note_ended(&self, stream: &Stream) {
        let Some(at) = stream.expiry() else { return };
        if self.maps.lock().push_expiry(at, stream.id().clone()) {
            self.ended.notify_one();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let held =
            self.log().bytes() + self.spec().asked_bytes() + self.objects_bytes() + STREAM_OVERHEAD;
        self.hub
            .memory_budget
            .held
            .fetch_sub(held, Ordering::Relaxed);
    }
}
