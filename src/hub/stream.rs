//! One generation: its owner, its state and its log.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytestring::ByteString;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cancel::{CancelFlag, Cause};
use super::log::{Log, unix_now};
use super::names::{ClaimKey, Digest};
use super::status::{StreamState, StreamStatus, UpstreamState};
use super::{Inner, OnDisconnect};
use crate::model::ask::{AskHead, ResponsesRequest};
use crate::model::event::{Reason, Start};
use crate::model::ids::{CallerId, StreamId};
use crate::model::profile::PayloadIds;
use crate::model::route_trace::RouteTrace;
use crate::model::usage::Usage;
use crate::model::wire::DialectId;

/// Parameters of a new stream.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// The caller that owns it.
    pub owner: CallerId,
    /// The facts of the request.
    pub head: Arc<AskHead>,
    /// Readers of the provider's ids in its payloads.
    pub payload_ids: PayloadIds,
    /// Digest of path and body.
    pub digest: Digest,
    /// Policy for when the last reader disconnects.
    pub on_disconnect: OnDisconnect,
    /// Time for which it is kept after its end.
    pub retention: Duration,
    /// Maximum size of its journal, bytes.
    pub max_bytes: usize,
    /// Maximum number of readers.
    pub max_readers: usize,
}

impl StreamSpec {
    /// Returns the bytes kept of the request.
    pub(super) fn kept_request_bytes(&self) -> usize {
        let asked = self.head.responses.as_ref();
        asked.map_or(0, ResponsesRequest::stored_bytes)
    }

    /// Returns true if the journal is removed once it has been read (`store: false`).
    pub(super) fn is_removed_once_read(&self) -> bool {
        let asked = self.head.responses.as_ref();
        asked.is_some_and(|asked| !asked.store)
    }
}

/// One generation and its journal.
#[derive(Debug)]
pub struct Stream {
    start: Start,
    spec: StreamSpec,
    keys: Vec<ClaimKey>,
    number: AtomicU64,
    log: Mutex<Log>,
    cancel: CancelFlag,
    upstream: AtomicU8,
    ended_signal: Notify,
    /// The stream failed before its first content: its claims are vacant again.
    has_vacant_claims: AtomicBool,
    /// A reader has received all of it.
    was_read_to_end: AtomicBool,
    /// The id that its provider gave it, in dialects that pass it to clients.
    alias: OnceLock<ByteString>,
    /// The ids of the objects its provider made in it, in dialects that pass them to clients.
    pub(super) objects: OnceLock<Box<[ByteString]>>,
    /// The trace of the targets of its route.
    pub(super) trace: Mutex<RouteTrace>,
    pub(super) hub: Arc<Inner>,
}

impl Stream {
    pub(super) fn new(
        id: StreamId,
        spec: StreamSpec,
        keys: Vec<ClaimKey>,
        hub: Arc<Inner>,
    ) -> Self {
        let start = Start {
            stream: id,
            created: unix_now(),
            head: spec.head.clone(),
        };
        Self {
            log: Mutex::new(Log::begin(start.clone())),
            start,
            spec,
            keys,
            number: AtomicU64::new(0),
            cancel: CancelFlag::default(),
            upstream: AtomicU8::new(UpstreamState::None as u8),
            ended_signal: Notify::new(),
            has_vacant_claims: AtomicBool::new(false),
            was_read_to_end: AtomicBool::new(false),
            alias: OnceLock::new(),
            objects: OnceLock::new(),
            trace: Mutex::default(),
            hub,
        }
    }

    /// Returns its server-made id.
    #[must_use]
    pub fn id(&self) -> &StreamId {
        &self.start.stream
    }

    /// Returns the client's own id of the conversation that it continues.
    #[must_use]
    pub fn chat(&self) -> Option<&ByteString> {
        self.head().conversation.as_ref()?.chat.as_ref()
    }

    /// Returns its start event.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// Returns the caller that owns it.
    #[must_use]
    pub fn owner(&self) -> &CallerId {
        &self.spec.owner
    }

    /// Returns the dialect of the request.
    #[must_use]
    pub fn dialect(&self) -> DialectId {
        self.head().dialect
    }

    /// Returns the facts of the request.
    #[must_use]
    pub fn head(&self) -> &Arc<AskHead> {
        &self.spec.head
    }

    /// Returns the parameters it was created with.
    #[must_use]
    pub fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// Returns the digest of the path and body it began with.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.spec.digest
    }

    /// Returns the caller's own name for it (`x-stream-id`).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.keys.iter().find_map(|key| match key {
            ClaimKey::Name(name) => Some(&**name),
            ClaimKey::Idempotency(_) => None,
        })
    }

    /// Requests a cancel. The first cause is kept; after the end it has no effect.
    pub fn cancel(&self, cause: Cause) {
        self.cancel.set(cause);
    }

    /// Returns the cause of a requested cancel.
    #[must_use]
    pub fn cancelled(&self) -> Option<Cause> {
        self.cancel.get()
    }

    /// Ready once a cancel is requested. Only for the one task that runs the generation.
    pub fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        self.cancel.poll(cx)
    }

    /// Returns true until its journal has ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.log().ended_at().is_none()
    }

    /// Returns the number of attached readers.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.log().readers()
    }

    /// Sets the state of the upstream request.
    pub fn set_upstream(&self, state: UpstreamState) {
        self.upstream.store(state as u8, Ordering::Release);
    }

    /// Returns the state of the upstream request.
    #[must_use]
    pub fn upstream(&self) -> UpstreamState {
        match self.upstream.load(Ordering::Acquire) {
            0 => UpstreamState::None,
            1 => UpstreamState::Open,
            3 => UpstreamState::Finishing,
            _ => UpstreamState::Closed,
        }
    }

    /// Sets the final usage once an upstream that was read on after a cancel is over. The status
    /// reports it from then on; the journal is not changed.
    pub fn set_final_usage(&self, used: Option<Usage>) {
        let mut log = self.log();
        log.set_usage(used);
        // Under the lock: a status that shows the upstream closed also shows the usage.
        self.set_upstream(UpstreamState::Closed);
    }

    /// Returns a snapshot of its state; with the answer so far if `with_answer` is set and the
    /// beginning is still kept.
    #[must_use]
    pub fn status(&self, with_answer: bool) -> StreamStatus {
        let log = self.log();
        let end = log.end().cloned();
        // Cancelling only until the end is journaled; then the reason of the end decides.
        let state = match &end {
            None if self.cancelled().is_some() => StreamState::Cancelling,
            None => StreamState::Running,
            Some(end) if end.reason == Reason::Cancelled => StreamState::Cancelled,
            Some(end) if end.reason == Reason::Error => StreamState::Failed,
            Some(_) => StreamState::Completed,
        };
        StreamStatus {
            state,
            ended: log.ended_at().map(|(_, unix)| unix),
            route: log.route().cloned(),
            fault: log.fault().cloned(),
            upstream: self.upstream(),
            readers: log.readers(),
            answer: if with_answer { log.answer() } else { None },
            end,
        }
    }

    /// Returns when its journal has ended and its upstream request was dropped or is read on for
    /// usage only.
    pub async fn ended(&self) {
        let mut signal = std::pin::pin!(self.ended_signal.notified());
        // Enabled before the check, so that an end between check and wait is not missed.
        signal.as_mut().enable();
        if self.is_running() {
            signal.await;
        }
    }

    /// Wakes tasks that wait for the end, and schedules the stream's removal.
    pub(super) fn notify_ended(&self) {
        // After the last entry is in the log: woken tasks see the end.
        self.ended_signal.notify_waiters();
        self.hub.schedule_expiry(self);
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    pub(super) fn keys(&self) -> &[ClaimKey] {
        &self.keys
    }

    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(super) fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }

    /// Returns true once a reader has received all of it.
    #[must_use]
    pub fn was_read_to_end(&self) -> bool {
        self.was_read_to_end.load(Ordering::Acquire)
    }

    /// Records that a reader has received all of it.
    pub fn set_read_to_end(&self) {
        self.was_read_to_end.store(true, Ordering::Release);
    }

    /// Returns the id that its provider gave it.
    pub(super) fn alias(&self) -> Option<&ByteString> {
        self.alias.get()
    }

    /// Sets the provider's id. Returns false if one was already set; the first is kept.
    pub(super) fn set_alias(&self, alias: ByteString) -> bool {
        self.alias.set(alias).is_ok()
    }

    pub(super) fn has_vacant_claims(&self) -> bool {
        self.has_vacant_claims.load(Ordering::Acquire)
    }

    pub(super) fn set_claims_vacant(&self) {
        self.has_vacant_claims.store(true, Ordering::Release);
    }

    /// Returns when it expires, or `None` while it runs.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.log()
            .ended_at()
            .map(|(at, _)| at + self.spec.retention)
    }
}
