//! Who has which stream, under which names.
//!
//! Invariants: every look-up names an owner and compares it before anything else; names that were
//! cancelled before they came are bounded in number and time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::Instant;

use super::cancel::Cause;
use super::claim::{ClaimKey, ClaimState, Settling};
use super::stream::Stream;
use crate::model::ids::{CallerId, StreamId};

/// How long a cancelled name that nobody has begun is remembered.
const TOMB_AGE: Duration = Duration::from_secs(30);
/// How many of them at the most: a million cancels of made-up names must not fill the memory.
const TOMBS: usize = 10_000;

/// The maps of the hub, behind its one lock.
#[derive(Debug, Default)]
pub(super) struct Maps {
    streams: HashMap<StreamId, Arc<Stream>>,
    claims: HashMap<(CallerId, ClaimKey), ClaimState>,
    /// The newest stream of each conversation.
    conversations: HashMap<(CallerId, ByteString), StreamId>,
    /// Streams by the ids under which their providers know them, where clients are told those.
    aliases: HashMap<(CallerId, ByteString), StreamId>,
    /// Streams by what their providers made in them.
    objects: HashMap<(CallerId, ByteString), StreamId>,
    tombs: HashMap<(CallerId, ByteString), Instant>,
    tomb_order: VecDeque<((CallerId, ByteString), Instant)>,
    /// Ended streams by the time they are to be forgotten.
    expiring: BinaryHeap<Reverse<(Instant, StreamId)>>,
    begun: u64,
}

/// What a name led to.
pub(super) enum Named {
    Stream(Arc<Stream>),
    Pending(Settling),
    Nothing,
}

impl Maps {
    /// Takes in a new stream under its names. True where one of them was cancelled before.
    pub(super) fn insert(&mut self, stream: &Arc<Stream>) -> bool {
        self.begun += 1;
        stream.set_number(self.begun);
        self.streams.insert(stream.id().clone(), stream.clone());
        let mut cancelled = false;
        for key in stream.keys() {
            let old = self.claims.insert(
                (stream.owner().clone(), key.clone()),
                ClaimState::Taken(stream.clone()),
            );
            cancelled |= matches!(
                old,
                Some(ClaimState::Pending {
                    cancelled: true,
                    ..
                })
            );
        }
        cancelled
    }

    /// Notes a stream as the newest of its conversation; gives the one before it, if that is still
    /// there.
    pub(super) fn go_on(&mut self, stream: &Arc<Stream>) -> Option<Arc<Stream>> {
        let place = (stream.owner().clone(), stream.chat()?.clone());
        let before = self.conversations.insert(place, stream.id().clone())?;
        self.streams.get(&before).cloned()
    }

    /// The newest stream of a conversation.
    pub(super) fn conversation(&self, owner: &CallerId, id: &str) -> Option<Arc<Stream>> {
        let id = self.conversations.get(&(owner.clone(), id.into()))?;
        self.by_id(owner, id)
    }

    /// Registers the names as pending if all are vacant.
    pub(super) fn hold(
        &mut self,
        owner: &CallerId,
        keys: &[ClaimKey],
        settling: &Settling,
    ) -> bool {
        let taken = |claim_state: Option<ClaimState>| match claim_state {
            None => false,
            Some(ClaimState::Taken(stream)) => !stream.spent(),
            Some(ClaimState::Pending { .. }) => true,
        };
        if keys.iter().any(|key| taken(self.claim_state(owner, key))) {
            return false;
        }
        for key in keys {
            let cancelled = self.take_tomb(owner, key);
            let claim_state = ClaimState::Pending {
                settling: settling.clone(),
                cancelled,
            };
            self.claims
                .insert((owner.clone(), key.clone()), claim_state);
        }
        true
    }

    /// What a name stands for. A server-made id sent as a name is that stream's own claim.
    pub(super) fn claim_state(&self, owner: &CallerId, key: &ClaimKey) -> Option<ClaimState> {
        if let ClaimKey::Name(name) = key
            && let Some(stream) = StreamId::parse(name).and_then(|id| self.by_id(owner, &id))
        {
            return Some(ClaimState::Taken(stream));
        }
        self.claims.get(&(owner.clone(), key.clone())).cloned()
    }

    /// The request was refused: its names are vacant again. One that was cancelled in the meantime
    /// stays so, as nothing has begun under it.
    pub(super) fn give_back(&mut self, owner: &CallerId, keys: &[ClaimKey]) {
        for key in keys {
            let place = (owner.clone(), key.clone());
            let Some(ClaimState::Pending { cancelled, .. }) = self.claims.get(&place) else {
                continue;
            };
            let cancelled = *cancelled;
            self.claims.remove(&place);
            if let (true, ClaimKey::Name(name)) = (cancelled, key) {
                self.bury(owner, name);
            }
        }
    }

    pub(super) fn by_id(&self, owner: &CallerId, id: &StreamId) -> Option<Arc<Stream>> {
        self.streams
            .get(id)
            .filter(|stream| stream.owner() == owner)
            .cloned()
    }

    pub(super) fn owner_of(&self, id: &StreamId) -> Option<CallerId> {
        self.streams.get(id).map(|stream| stream.owner().clone())
    }

    /// By its id, bare or as that of a response; by the caller's name for it; by its provider's id.
    pub(super) fn find(&self, owner: &CallerId, name: &str) -> Option<Arc<Stream>> {
        let bare = name.strip_prefix("resp_").unwrap_or(name);
        let by_id = StreamId::parse(bare).and_then(|id| self.by_id(owner, &id));
        let named = || match self
            .claims
            .get(&(owner.clone(), ClaimKey::Name(name.into())))
        {
            Some(ClaimState::Taken(stream)) => Some(stream.clone()),
            _ => None,
        };
        let known = || self.by_id(owner, self.aliases.get(&(owner.clone(), name.into()))?);
        by_id.or_else(named).or_else(known)
    }

    /// Notes the id under which the provider knows a stream, while that is kept. The latest stream
    /// has it.
    pub(super) fn know(&mut self, stream: &Stream, alias: &ByteString) {
        if self.streams.contains_key(stream.id()) {
            self.aliases
                .insert((stream.owner().clone(), alias.clone()), stream.id().clone());
        }
    }

    /// Notes what a provider has made in a stream. The latest stream has it.
    pub(super) fn made(&mut self, stream: &Stream) {
        // What is forgotten already would never be taken out.
        let kept = self.streams.contains_key(stream.id());
        for object in stream.objects().iter().filter(|_| kept) {
            self.objects.insert(
                (stream.owner().clone(), object.clone()),
                stream.id().clone(),
            );
        }
    }

    /// The stream in which that was made.
    pub(super) fn maker(&self, owner: &CallerId, object: &str) -> Option<Arc<Stream>> {
        self.by_id(owner, self.objects.get(&(owner.clone(), object.into()))?)
    }

    /// Finds what a cancel means; a name that is not there yet is remembered.
    pub(super) fn cancel_by_name(&mut self, owner: &CallerId, name: &str) -> Named {
        if let Some(stream) = self.find(owner, name) {
            stream.cancel(Cause::Client);
            return Named::Stream(stream);
        }
        if let Some(ClaimState::Pending {
            cancelled,
            settling,
        }) = self
            .claims
            .get_mut(&(owner.clone(), ClaimKey::Name(name.into())))
        {
            *cancelled = true;
            return Named::Pending(settling.clone());
        }
        if is_name(name) {
            self.bury(owner, name);
        }
        Named::Nothing
    }

    fn bury(&mut self, owner: &CallerId, name: &str) {
        let place = (owner.clone(), ByteString::from(name));
        let now = Instant::now();
        while let Some((_, buried)) = self.tomb_order.front() {
            if *buried + TOMB_AGE > now && self.tomb_order.len() < TOMBS {
                break;
            }
            if let Some((oldest, buried)) = self.tomb_order.pop_front()
                && self.tombs.get(&oldest) == Some(&buried)
            {
                self.tombs.remove(&oldest);
            }
        }
        self.tombs.insert(place.clone(), now);
        self.tomb_order.push_back((place, now));
    }

    fn take_tomb(&mut self, owner: &CallerId, key: &ClaimKey) -> bool {
        let ClaimKey::Name(name) = key else {
            return false;
        };
        if self.tombs.is_empty() {
            return false;
        }
        self.tombs
            .remove(&(owner.clone(), name.clone()))
            .is_some_and(|at| at.elapsed() < TOMB_AGE)
    }

    /// Takes a stream and its names out.
    pub(super) fn remove(&mut self, id: &StreamId) -> Option<Arc<Stream>> {
        let stream = self.streams.remove(id)?;
        for key in stream.keys() {
            let place = (stream.owner().clone(), key.clone());
            if matches!(self.claims.get(&place), Some(ClaimState::Taken(holder)) if Arc::ptr_eq(holder, &stream))
            {
                self.claims.remove(&place);
            }
        }
        let place = |id: &ByteString| (stream.owner().clone(), id.clone());
        if let Some(alias) = stream.alias() {
            forget(&mut self.aliases, &place(alias), id);
        }
        for object in stream.objects() {
            forget(&mut self.objects, &place(object), id);
        }
        if let Some(chat) = stream.chat() {
            forget(&mut self.conversations, &place(chat), id);
        }
        Some(stream)
    }

    pub(super) fn of_owner(&self, owner: &CallerId) -> Vec<Arc<Stream>> {
        let mut list: Vec<_> = self
            .streams
            .values()
            .filter(|stream| stream.owner() == owner)
            .cloned()
            .collect();
        list.sort_by_key(|stream| Reverse(stream.number()));
        list
    }

    /// Notes when a stream is to be forgotten. True where that is the next thing to happen.
    pub(super) fn push_expiry(&mut self, at: Instant, id: StreamId) -> bool {
        let next = self.next_expiry().is_none_or(|soonest| at < soonest);
        self.expiring.push(Reverse((at, id)));
        next
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiring.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<StreamId> {
        let due = self.next_expiry().is_some_and(|at| at <= now);
        due.then(|| self.expiring.pop())?.map(|Reverse((_, id))| id)
    }

    pub(super) fn all(&self) -> Vec<Arc<Stream>> {
        self.streams.values().cloned().collect()
    }
}

/// Takes an entry out, if it still is of that stream.
fn forget(
    map: &mut HashMap<(CallerId, ByteString), StreamId>,
    place: &(CallerId, ByteString),
    id: &StreamId,
) {
    if map.get(place) == Some(id) {
        map.remove(place);
    }
}

/// True for what may be an `x-stream-id`: 22..64 of `[A-Za-z0-9_-]`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (22..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
