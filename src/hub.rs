//! Streams and their journals: the seam between upstreams, which write a journal, and readers,
//! which follow it. Neither side knows the other.
//!
//! Invariants: a journal has exactly one [`Writer`] and ends however that writer ends; a reader is
//! a cursor over the log, so that replay and live reading are the same loop; a stream has an owner,
//! and every look-up names one; every map, queue and log has a bound; no lock is held across an
//! await, and the lock of the maps is never taken while the lock of a log is held.

mod alias;
mod cancel;
mod claim;
mod coalesce;
mod journal;
mod log;
mod maps;
mod names;
mod objects;
mod reader;
mod retention;
mod route_trace;
mod status;
mod stream;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, StreamId};
use crate::model::printable::printable_id;

pub use cancel::Cause;
pub use claim::{Claim, ClaimOutcome};
pub use coalesce::EntrySpan;
pub use journal::Writer;
pub use maps::is_stream_name;
pub use names::{ClaimKey, Digest, digest};
pub use reader::{PastEntry, ReadStep, Reader, replay_expired};
pub use status::{StreamState, StreamStatus, UpstreamState};
pub use stream::{Stream, StreamSpec};

use maps::Maps;
use retention::MemoryBudget;

/// Bounds of journals and of their readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Time for which a finished stream stays readable.
    pub retention: Duration,
    /// Maximum size of the journals of all streams together, bytes.
    pub memory: usize,
    /// Maximum size of the journal of one stream, bytes.
    pub max_stream: usize,
    /// Maximum number of readers of one stream.
    pub readers: usize,
    /// Policy for a stream whose last reader has disconnected; `None` uses the dialect's default.
    pub on_disconnect: Option<OnDisconnect>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(300),
            memory: 512 << 20,
            max_stream: 16 << 20,
            readers: 64,
            on_disconnect: None,
        }
    }
}

/// Policy for a generation whose last reader has disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// Cancels the generation at once.
    Cancel,
    /// Lets the generation run to its end.
    Continue,
    /// Cancels the generation unless a reader attaches within this time.
    Grace(Duration),
}

/// The streams of this process. Clones share the same state.
#[derive(Debug, Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    maps: Mutex<Maps>,
    memory_budget: MemoryBudget,
    /// Wakes the sweeper when the next expiry has become earlier.
    ended: Notify,
}

impl Hub {
    /// Creates a hub without streams. Its journals together hold at most `memory` bytes.
    #[must_use]
    pub fn new(memory: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                maps: Mutex::default(),
                memory_budget: MemoryBudget::new(memory),
                ended: Notify::new(),
            }),
        }
    }

    /// Changes the bound on the memory of all journals, bytes. It applies to entries written from
    /// now on.
    pub fn set_memory(&self, memory: usize) {
        self.inner.memory_budget.set_limit(memory);
    }

    /// Registers the names that a request brings. Called as soon as the head is read, before the
    /// body.
    #[must_use]
    pub fn claim(&self, owner: &CallerId, keys: Vec<ClaimKey>) -> Claim {
        Claim::register(self.clone(), owner.clone(), keys)
    }

    /// Begins a stream under a settled claim and returns its writer and its first reader. The
    /// journal already contains the first entry.
    #[must_use]
    pub fn begin(&self, claim: Claim, spec: StreamSpec) -> (Writer, Reader) {
        let (keys, settling) = claim.commit();
        let stream = Arc::new(Stream::new(
            StreamId::random(),
            spec,
            keys,
            self.inner.clone(),
        ));
        // A cancel that came for the name before the stream existed ends the new stream at once: no
        // upstream is asked.
        if self.inner.maps.lock().insert(&stream) {
            stream.cancel(Cause::Client);
        }
        // Only now: requests that wait for this claim look it up again as soon as the sender is
        // dropped.
        drop(settling);
        self.cancel_unread_predecessor(&stream);
        // The guard of the log is a temporary that ends with this statement: making room locks the
        // log of every stream, this one included.
        let held =
            stream.log().bytes() + stream.spec().kept_request_bytes() + retention::STREAM_OVERHEAD;
        self.inner.update_memory(held.cast_signed());
        let reader = Reader::first(stream.clone());
        (Writer::new(stream), reader)
    }

    /// Cancels the older answer of the same conversation if no client reads it.
    fn cancel_unread_predecessor(&self, stream: &Arc<Stream>) {
        let older = self.inner.maps.lock().set_newest(stream);
        if let Some(older) = older.filter(|older| older.is_running() && older.readers() == 0) {
            older.cancel(Cause::Client);
        }
    }

    /// Returns the newest stream of the caller's conversation with that id.
    #[must_use]
    pub fn conversation(&self, owner: &CallerId, id: &str) -> Option<Arc<Stream>> {
        self.inner.maps.lock().conversation(owner, id)
    }

    /// Returns the caller's stream with that server-made id.
    #[must_use]
    pub fn by_id(&self, owner: &CallerId, id: &StreamId) -> Option<Arc<Stream>> {
        self.inner.maps.lock().by_id(owner, id)
    }

    /// Returns the caller's stream with that id or name.
    ///
    /// # Errors
    /// 404 with the same message for a stream that is unknown, expired or owned by another caller.
    pub fn find(&self, owner: &CallerId, name: &str) -> Result<Arc<Stream>, Fault> {
        self.inner
            .maps
            .lock()
            .find(owner, name)
            .ok_or_else(|| not_found(name))
    }

    /// Returns the caller's stream in which a provider made the object with that id.
    #[must_use]
    pub fn find_by_object(&self, owner: &CallerId, object: &str) -> Option<Arc<Stream>> {
        self.inner.maps.lock().find_by_object(owner, object)
    }

    /// Returns the owner of the stream with that id. Only for requests that prove a right to the
    /// stream independently of the result, such as a ticket.
    #[must_use]
    pub fn owner_of(&self, id: &StreamId) -> Option<CallerId> {
        self.inner.maps.lock().owner_of(id)
    }

    /// Returns the fault for a stream that does not exist or is not visible to the caller.
    #[must_use]
    pub fn not_found(name: &str) -> Fault {
        not_found(name)
    }

    /// Cancels the caller's stream with that id or name. A name that is not in use yet is
    /// remembered for a while, so that a request that brings it later ends cancelled.
    ///
    /// # Errors
    /// 404 if there is no such stream, as for [`Hub::find`].
    pub async fn cancel(&self, owner: &CallerId, name: &str) -> Result<Arc<Stream>, Fault> {
        let pending = self.inner.maps.lock().cancel_by_name(owner, name);
        match pending {
            maps::CancelMatch::Stream(stream) => Ok(stream),
            maps::CancelMatch::Pending(settled) => {
                // The stream of a pending name does not exist yet, and there is no status to return
                // before it does.
                settled.wait().await;
                self.find(owner, name)
            }
            maps::CancelMatch::NotFound => Err(not_found(name)),
        }
    }

    /// Cancels a stream and removes it, so that no look-up finds it any more.
    pub fn forget(&self, stream: &Arc<Stream>) {
        stream.cancel(Cause::Client);
        self.inner.maps.lock().remove(stream.id());
    }

    /// Returns the caller's streams, newest first.
    #[must_use]
    pub fn list(&self, owner: &CallerId) -> Vec<Arc<Stream>> {
        self.inner.maps.lock().list_by_owner(owner)
    }

    /// Returns the number of running streams and of attached readers, over all callers.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let all = self.inner.maps.lock().all();
        all.iter().fold((0, 0), |(running, readers), stream| {
            (
                running + usize::from(stream.is_running()),
                readers + stream.readers(),
            )
        })
    }

    /// Cancels every running stream because this instance is about to stop.
    pub fn shut_down(&self) {
        let all = self.inner.maps.lock().all();
        all.iter().for_each(|stream| stream.cancel(Cause::Shutdown));
    }

    /// Removes finished streams when their retention is over. Never returns.
    pub async fn sweep(&self) {
        loop {
            let next = self.inner.remove_expired();
            let ended = self.inner.ended.notified();
            match next {
                Some(at) => drop(tokio::time::timeout_at(at, ended).await),
                None => ended.await,
            }
        }
    }
}

/// Returns the same fault for every reason why the caller cannot have a stream, so that it reveals
/// nothing about streams of other callers.
fn not_found(name: &str) -> Fault {
    // The name comes from the client and the message quotes it: it is cut and made printable.
    let printable = printable_id(name, 64);
    Fault::new(
        Code::StreamNotFound,
        format!("no stream `{printable}` found: the id is unknown or expired"),
    )
}

#[cfg(test)]
mod tests;
