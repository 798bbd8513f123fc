//! Limits the number of connections.
//!
//! A connection beyond the cap is still accepted, so that its client receives an error that a web
//! page can read (CORS), and can still cancel a stream. Few slots exist for that. When they are
//! taken too, connections wait in the kernel, where they cost us nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of connections beyond the cap; each is closed after one response.
const BEYOND_CAP_SLOTS: usize = 64;
/// Maximum number of connections to the admin listener: probes, a scraper, a few people.
const ADMIN_SLOTS: usize = 64;

/// All connection slots of the process.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    cap: AtomicUsize,
    taken: AtomicUsize,
    beyond_cap: Arc<Semaphore>,
    admin: Arc<Semaphore>,
}

/// The slot of a connection, released when dropped.
#[derive(Debug)]
pub(super) enum ConnectionSlot {
    Regular(#[expect(dead_code, reason = "held for its drop")] Regular),
    BeyondCap(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
    Admin(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
}

#[derive(Debug)]
pub(super) struct Regular(Arc<ConnectionSlots>);

impl Drop for Regular {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl ConnectionSlots {
    pub(super) fn new(cap: usize) -> Arc<Self> {
        let semaphore = |slots| Arc::new(Semaphore::new(slots));
        Arc::new(Self {
            cap: AtomicUsize::new(cap),
            taken: AtomicUsize::new(0),
            beyond_cap: semaphore(BEYOND_CAP_SLOTS),
            admin: semaphore(ADMIN_SLOTS),
        })
    }

    /// Sets the cap for new connections. Open ones stay.
    pub(super) fn set_cap(&self, cap: usize) {
        self.cap.store(cap, Ordering::Release);
    }

    /// Takes a slot for a client. Waits when even the slots beyond the cap are taken.
    pub(super) async fn client(self: &Arc<Self>) -> ConnectionSlot {
        let cap = self.cap.load(Ordering::Acquire);
        let next = |taken: usize| (taken < cap).then_some(taken + 1);
        // Check and take in one step, so that the cap holds across workers.
        match self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
        {
            Ok(_) => ConnectionSlot::Regular(Regular(Arc::clone(self))),
            Err(_) => ConnectionSlot::BeyondCap(acquire(&self.beyond_cap).await),
        }
    }

    /// Takes a slot for the admin listener. Waits when all are taken.
    pub(super) async fn admin(&self) -> ConnectionSlot {
        ConnectionSlot::Admin(acquire(&self.admin).await)
    }
}

async fn acquire(slots: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(slots)
        .acquire_owned()
        .await
        .expect("this semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn beyond_the_cap_there_are_few_slots_and_then_none() {
        let slots = ConnectionSlots::new(2);
        let first = slots.client().await;
        let _second = slots.client().await;
        assert!(matches!(first, ConnectionSlot::Regular(_)));
        let mut beyond_cap: Vec<_> = (0..BEYOND_CAP_SLOTS)
            .filter_map(|_| slots.client().now_or_never())
            .collect();
        assert!(
            beyond_cap.len() == BEYOND_CAP_SLOTS
                && beyond_cap
                    .iter()
                    .all(|slot| matches!(slot, ConnectionSlot::BeyondCap(_)))
        );
        assert!(slots.client().now_or_never().is_none());
        assert!(
            slots.admin().now_or_never().is_some(),
            "the admin listener has its own slots"
        );
        beyond_cap.pop();
        assert!(slots.client().now_or_never().is_some());
        drop(first);
        assert!(matches!(
            slots.client().now_or_never(),
            Some(ConnectionSlot::Regular(_))
        ));
    }
}
