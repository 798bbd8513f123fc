//! One generation: who owns it, what becomes of it, and its log.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cancel::{CancelFlag, Cause};
use super::claim::{ClaimKey, Digest};
use super::log::Log;
use super::{Inner, OnDisconnect};
use crate::model::ask::{Asked, Thread};
use crate::model::event::{End, Reason, Route, Start};
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::ids::{CallerId, StreamId};
use crate::model::route_trace::RouteTrace;
use crate::model::usage::Usage;
use crate::model::wire::DialectId;

/// What a stream is begun with.
#[derive(Debug, Clone)]
pub struct StreamSpec {
    /// Whose it is.
    pub owner: CallerId,
    /// The dialect it was asked in.
    pub dialect: DialectId,
    /// The model by the name the client asked for.
    pub model: ByteString,
    /// What it goes on with.
    pub conversation: Option<Arc<Thread>>,
    /// What the dialect `openai-responses` keeps of its request.
    pub asked: Option<Arc<Asked>>,
    /// How many choices.
    pub choices: u16,
    /// The estimate of the prompt's tokens.
    pub input_estimate: u64,
    /// The client wants usage in the stream.
    pub include_usage: bool,
    /// The client wants it streamed: payloads that are kept are frames, not one whole body.
    pub streamed: bool,
    /// Path and body.
    pub digest: Digest,
    /// What happens when the last reader is gone.
    pub on_disconnect: OnDisconnect,
    /// How long it is kept after its end.
    pub retention: Duration,
    /// Its share of memory, bytes.
    pub max_bytes: usize,
    /// How many may read it.
    pub max_readers: usize,
}

impl StreamSpec {
    /// The bytes that are kept of the request.
    pub(super) fn asked_bytes(&self) -> usize {
        self.asked.as_ref().map_or(0, |asked| asked.stored_bytes())
    }

    /// True where nothing is kept once it has been read.
    pub(super) fn is_fleeting(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| !asked.store)
    }
}

/// How far the upstream's side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum UpstreamState {
    /// None was asked yet, or none ever will be.
    None = 0,
    /// A request is under way.
    Open = 1,
    /// It is over, or was dropped.
    Closed = 2,
    /// The journal has ended by a cancel, and the upstream is read on for what it will say was
    /// used.
    Finishing = 3,
}

impl UpstreamState {
    /// The word in the status JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Finishing => "finishing",
        }
    }
}

/// Where a stream is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Tokens may come.
    Running,
    /// It was asked to stop and has not yet.
    Cancelling,
    /// It came to its end.
    Completed,
    /// It was stopped.
    Cancelled,
    /// It failed.
    Failed,
}

impl State {
    /// The word in the status JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// What is known of a stream at one moment.
#[derive(Debug, Clone)]
pub struct StreamStatus {
    /// Where it is in its life.
    pub state: State,
    /// Unix seconds of its end.
    pub ended: Option<u64>,
    /// The target that answered.
    pub route: Option<Route>,
    /// How it ended.
    pub end: Option<End>,
    /// How it failed.
    pub fault: Option<Fault>,
    /// How far the upstream's side is.
    pub upstream: UpstreamState,
    /// Who reads it.
    pub readers: usize,
    /// What it said; absent where its beginning is no longer kept, or was not asked for.
    pub answer: Option<Answer>,
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
    told_ended: Notify,
    /// It failed before its first content: its claims are vacant again.
    spent: AtomicBool,
    /// A reader was given all of it.
    end_read: AtomicBool,
    /// The id under which its provider knows it, where clients are told that.
    alias: OnceLock<ByteString>,
    /// What its provider made in it, where clients are told that.
    pub(super) objects: OnceLock<Box<[ByteString]>>,
    /// What became of the targets of its route.
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
        let (model, choices, input_estimate) =
            (spec.model.clone(), spec.choices, spec.input_estimate);
        let thread = spec.conversation.clone();
        let start = Start {
            stream: id,
            model,
            created: unix_now(),
            choices,
            thread,
            input_estimate,
        };
        Self {
            log: Mutex::new(Log::begin(start.clone())),
            start,
            spec,
            keys,
            number: AtomicU64::new(0),
            cancel: CancelFlag::default(),
            upstream: AtomicU8::new(UpstreamState::None as u8),
            told_ended: Notify::new(),
            spent: AtomicBool::new(false),
            end_read: AtomicBool::new(false),
            alias: OnceLock::new(),
            objects: OnceLock::new(),
            trace: Mutex::default(),
            hub,
        }
    }

    /// Its server-made id.
    #[must_use]
    pub fn id(&self) -> &StreamId {
        &self.start.stream
    }

    /// The conversation that it goes on with, by the client's own id.
    #[must_use]
    pub fn chat(&self) -> Option<&ByteString> {
        self.spec.conversation.as_ref()?.chat.as_ref()
    }

    /// How it began.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// Whose it is.
    #[must_use]
    pub fn owner(&self) -> &CallerId {
        &self.spec.owner
    }

    /// The dialect it was asked in.
    #[must_use]
    pub fn dialect(&self) -> DialectId {
        self.spec.dialect
    }

    /// What it was begun with.
    #[must_use]
    pub fn spec(&self) -> &StreamSpec {
        &self.spec
    }

    /// Path and body it began with.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.spec.digest
    }

    /// The caller's own name for it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.keys.iter().find_map(|key| match key {
            ClaimKey::Name(name) => Some(&**name),
            ClaimKey::Idempotency(_) => None,
        })
    }

    /// Asks it to stop. The first cause stands; after the end it changes nothing.
    pub fn cancel(&self, cause: Cause) {
        self.cancel.set(cause);
    }

    /// Why it is to stop, if it is.
    #[must_use]
    pub fn cancelled(&self) -> Option<Cause> {
        self.cancel.get()
    }

    /// Ready once it is to stop. For the one task that runs it.
    pub fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<Cause> {
        self.cancel.poll(cx)
    }

    /// True until its journal has ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.log().ended_at().is_none()
    }

    /// How many read it.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.log().readers()
    }

    /// Says how far the upstream's side is.
    pub fn set_upstream(&self, state: UpstreamState) {
        self.upstream.store(state as u8, Ordering::Release);
    }

    /// How far the upstream's side is.
    #[must_use]
    pub fn upstream(&self) -> UpstreamState {
        match self.upstream.load(Ordering::Acquire) {
            0 => UpstreamState::None,
            1 => UpstreamState::Open,
            3 => UpstreamState::Finishing,
            _ => UpstreamState::Closed,
        }
    }

    /// What was used after all, once an upstream that was read on is over: from now on the status
    /// says so. The journal stays as it was told.
    pub fn settle(&self, used: Option<Usage>) {
        let mut log = self.log();
        log.settle(used);
        // Under the lock: who sees it closed sees what was used.
        self.set_upstream(UpstreamState::Closed);
    }

    /// What is known of it now; with what it said, if that is asked for and its beginning is still
    /// kept.
    #[must_use]
    pub fn status(&self, with_answer: bool) -> StreamStatus {
        let log = self.log();
        let end = log.end().cloned();
        let state = match &end {
            None if self.cancelled().is_some() => State::Cancelling,
            None => State::Running,
            Some(end) if end.reason == Reason::Cancelled => State::Cancelled,
            Some(end) if end.reason == Reason::Error => State::Failed,
            Some(_) => State::Completed,
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

    /// Returns when its journal has ended and its upstream request was dropped, or is read on for
    /// its usage alone.
    pub async fn ended(&self) {
        let mut told = std::pin::pin!(self.told_ended.notified());
        // Enabled before the look: an end between look and wait is not missed.
        told.as_mut().enable();
        if self.is_running() {
            told.await;
        }
    }

    /// Wakes those who wait for the end.
    pub(super) fn tell_ended(&self) {
        self.told_ended.notify_waiters();
        self.hub.note_ended(self);
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

    /// True once a reader was given all of it.
    #[must_use]
    pub fn end_read(&self) -> bool {
        self.end_read.load(Ordering::Acquire)
    }

    /// A reader was given all of it.
    pub fn set_end_read(&self) {
        self.end_read.store(true, Ordering::Release);
    }

    /// The id under which its provider knows it.
    pub(super) fn alias(&self) -> Option<&ByteString> {
        self.alias.get()
    }

    /// Notes it; the first one stands. True where it is news.
    pub(super) fn set_alias(&self, alias: ByteString) -> bool {
        self.alias.set(alias).is_ok()
    }

    pub(super) fn spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }

    pub(super) fn set_spent(&self) {
        self.spent.store(true, Ordering::Release);
    }

    /// When it is to be forgotten, once it has ended.
    pub(super) fn expiry(&self) -> Option<Instant> {
        self.log()
            .ended_at()
            .map(|(at, _)| at + self.spec.retention)
    }
}

/// Unix seconds.
pub(super) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
