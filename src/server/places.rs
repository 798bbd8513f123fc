//! How many connections there may be at a time.
//!
//! Beyond the cap a connection is still accepted, so that it is told why it gets nothing, can be
//! told so in a way its page can read, and can still cancel a stream. There are few places for
//! that; when they are taken too, connections wait in the kernel, where they cost us nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections beyond the cap at a time: each is gone after one answer.
const BEYOND: usize = 64;
/// Connections to the admin listener at a time: probes, a scraper, a few people.
const ADMIN: usize = 64;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    cap: AtomicUsize,
    taken: AtomicUsize,
    beyond: Arc<Semaphore>,
    admin: Arc<Semaphore>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) enum Place {
    Regular(#[expect(dead_code, reason = "held for its drop")] Regular),
    Beyond(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
    Admin(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
}

#[derive(Debug)]
pub(super) struct Regular(Arc<Places>);

impl Drop for Regular {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Places {
    pub(super) fn new(cap: usize) -> Arc<Self> {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Arc::new(Self {
            cap: AtomicUsize::new(cap),
            taken: AtomicUsize::new(0),
            beyond: semaphore(BEYOND),
            admin: semaphore(ADMIN),
        })
    }

    /// Another cap for those who come from now on.
    pub(super) fn set_cap(&self, cap: usize) {
        self.cap.store(cap, Ordering::Release);
    }

    /// A place for a client; waits where even those beyond the cap are taken.
    pub(super) async fn client(self: &Arc<Self>) -> Place {
        let cap = self.cap.load(Ordering::Acquire);
        let room = |taken: usize| (taken < cap).then_some(taken + 1);
        match self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, room)
        {
            Ok(_) => Place::Regular(Regular(Arc::clone(self))),
            Err(_) => Place::Beyond(acquire(&self.beyond).await),
        }
    }

    /// A place at the admin listener; waits where all are taken.
    pub(super) async fn admin(&self) -> Place {
        Place::Admin(acquire(&self.admin).await)
    }
}

async fn acquire(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(places)
        .acquire_owned()
        .await
        .expect("this semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn beyond_the_cap_there_are_few_places_and_then_none() {
        let places = Places::new(2);
        let first = places.client().await;
        let _second = places.client().await;
        assert!(matches!(first, Place::Regular(_)));
        let mut beyond: Vec<_> = (0..BEYOND)
            .filter_map(|_| places.client().now_or_never())
            .collect();
        assert!(
            beyond.len() == BEYOND && beyond.iter().all(|place| matches!(place, Place::Beyond(_)))
        );
        assert!(places.client().now_or_never().is_none());
        assert!(
            places.admin().now_or_never().is_some(),
            "the admin listener has places of its own"
        );
        beyond.pop();
        assert!(places.client().now_or_never().is_some());
        drop(first);
        assert!(matches!(
            places.client().now_or_never(),
            Some(Place::Regular(_))
        ));
    }
}
