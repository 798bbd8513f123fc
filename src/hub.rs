//! The seam: streams and their journals. Upstreams write a journal, readers follow it; neither
//! knows the other.
//!
//! Invariants: a journal has one [`Writer`], and ends however that ends; a reader is a cursor over
//! the log, live and replay being the same loop; a stream knows its owner, and every look-up names
//! one; every map, queue and log has a bound; no lock is held across an await, and the maps' lock
//! is never taken while a log's is held.

mod alias;
mod cancel;
mod claim;
mod coalesce;
mod journal;
mod log;
mod maps;
mod objects;
mod reader;
mod retention;
mod route_trace;
mod stream;
mod summary;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, StreamId};

pub use cancel::Cause;
pub use claim::{Claim, ClaimKey, Digest, Settled, digest};
pub use journal::Writer;
pub use maps::is_name;
pub use reader::{Past, Reader, Shown, Step, expired};
pub use stream::{State, Stream, StreamSpec, StreamStatus, UpstreamState};

use maps::Maps;
use retention::MemoryBudget;

/// The bounds of journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a finished stream stays readable.
    pub retention: Duration,
    /// Stored bytes of all streams together.
    pub memory: usize,
    /// Stored bytes of one stream.
    pub max_stream: usize,
    /// Readers of one stream.
    pub readers: usize,
    /// What happens when the last reader is gone; `None`: as the dialect has it.
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

/// What happens to a generation when its last reader is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisconnect {
    /// It is cancelled at once.
    Cancel,
    /// It runs to its end.
    Continue,
    /// It is cancelled when nobody has come back after this long.
    Grace(Duration),
}

/// All streams of this process.
#[derive(Debug, Clone)]
pub struct Hub {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    maps: Mutex<Maps>,
    memory_budget: MemoryBudget,
    /// Wakes the sweeper when a stream has ended.
    ended: Notify,
}

impl Hub {
    /// A hub without streams, which keeps at most `memory` bytes of journals.
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

    /// Changes the bound on all journals together, for what is written from now on.
    pub fn set_memory(&self, memory: usize) {
        self.inner.memory_budget.set_limit(memory);
    }

    /// Registers the names that a request brings, before its body is read.
    #[must_use]
    pub fn claim(&self, owner: &CallerId, keys: Vec<ClaimKey>) -> Claim {
        Claim::register(self.clone(), owner.clone(), keys)
    }

    /// Begins a stream under a settled claim: its journal with the first entry, the writer, and the
    /// first reader.
    #[must_use]
    pub fn begin(&self, claim: Claim, spec: StreamSpec) -> (Writer, Reader) {
        let (keys, settling) = claim.commit();
        let stream = Arc::new(Stream::new(
            StreamId::random(),
            spec,
            keys,
            self.inner.clone(),
        ));
        if self.inner.maps.lock().insert(&stream) {
            stream.cancel(Cause::Client);
        }
        drop(settling);
        self.retire_older(&stream);
        // The log's lock is let go first: making room looks at every stream, this one too.
        let held = stream.log().bytes() + stream.spec().asked_bytes() + retention::STREAM_OVERHEAD;
        self.inner.account(held.cast_signed());
        let reader = Reader::first(stream.clone());
        (Writer::new(stream), reader)
    }

    /// The answer that a conversation goes on from is cancelled when nobody reads it.
    fn retire_older(&self, stream: &Arc<Stream>) {
        let older = self.inner.maps.lock().go_on(stream);
        if let Some(older) = older.filter(|older| older.is_running() && older.readers() == 0) {
            older.cancel(Cause::Client);
        }
    }

    /// The newest stream of the caller's conversation of that id.
    #[must_use]
    pub fn conversation(&self, owner: &CallerId, id: &str) -> Option<Arc<Stream>> {
        self.inner.maps.lock().conversation(owner, id)
    }

    /// The caller's stream of that server-made id.
    #[must_use]
    pub fn by_id(&self, owner: &CallerId, id: &StreamId) -> Option<Arc<Stream>> {
        self.inner.maps.lock().by_id(owner, id)
    }

    /// The caller's stream of that id or name.
    ///
    /// # Errors
    /// 404 in the same words whether it never was, is forgotten, or is somebody else's.
    pub fn find(&self, owner: &CallerId, name: &str) -> Result<Arc<Stream>, Fault> {
        self.inner
            .maps
            .lock()
            .find(owner, name)
            .ok_or_else(|| not_found(name))
    }

    /// The caller's stream in which a provider made the object of that id.
    #[must_use]
    pub fn maker(&self, owner: &CallerId, object: &str) -> Option<Arc<Stream>> {
        self.inner.maps.lock().maker(owner, object)
    }

    /// Whose the stream of that id is. Only for who has proof of a right to it that does not depend
    /// on the answer.
    #[must_use]
    pub fn owner_of(&self, id: &StreamId) -> Option<CallerId> {
        self.inner.maps.lock().owner_of(id)
    }

    /// The answer to who asks for a stream that is not theirs to find.
    #[must_use]
    pub fn not_found(name: &str) -> Fault {
        not_found(name)
    }

    /// Stops whatever the caller has under that id or name; a name not yet there is remembered for
    /// a while.
    ///
    /// # Errors
    /// 404 where there is nothing, as for [`Hub::find`].
    pub async fn cancel(&self, owner: &CallerId, name: &str) -> Result<Arc<Stream>, Fault> {
        let pending = self.inner.maps.lock().cancel_by_name(owner, name);
        match pending {
            maps::Named::Stream(stream) => Ok(stream),
            maps::Named::Pending(settled) => {
                settled.wait().await;
                self.find(owner, name)
            }
            maps::Named::Nothing => Err(not_found(name)),
        }
    }

    /// Forgets a stream: cancels it, and nobody finds it any more.
    pub fn forget(&self, stream: &Arc<Stream>) {
        stream.cancel(Cause::Client);
        self.inner.maps.lock().remove(stream.id());
    }

    /// The caller's streams, newest first.
    #[must_use]
    pub fn list(&self, owner: &CallerId) -> Vec<Arc<Stream>> {
        self.inner.maps.lock().of_owner(owner)
    }

    /// Running streams and attached readers, of everybody.
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

    /// Ends every running stream, as this instance is about to stop.
    pub fn shut_down(&self) {
        let all = self.inner.maps.lock().all();
        all.iter().for_each(|stream| stream.cancel(Cause::Shutdown));
    }

    /// Forgets finished streams when their retention is over, for ever.
    pub async fn sweep(&self) {
        loop {
            let next = self.inner.sweep_due();
            let ended = self.inner.ended.notified();
            match next {
                Some(at) => drop(tokio::time::timeout_at(at, ended).await),
                None => ended.await,
            }
        }
    }
}

/// The one answer for a stream that this caller cannot have.
fn not_found(name: &str) -> Fault {
    let shown: String = name
        .chars()
        .filter(|c| c.is_ascii_graphic())
        .take(64)
        .collect();
    Fault::new(
        Code::StreamNotFound,
        format!("no stream `{shown}` here: it never was, or has been forgotten"),
    )
}

#[cfg(test)]
mod tests;
