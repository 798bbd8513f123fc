//! Maps from ids and names to streams, per owner.
//!
//! Invariants: every look-up names an owner and compares it before anything else; names cancelled
//! before they are in use are bounded in number and in time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::Instant;

use super::cancel::Cause;
use super::claim::{ClaimState, SettleSignal};
use super::names::ClaimKey;
use super::stream::Stream;
use crate::model::ids::{CallerId, StreamId};

/// Time for which the cancel of a name that is not in use yet is remembered.
const EARLY_CANCEL_AGE: Duration = Duration::from_secs(30);
/// Maximum number of such cancels: a million cancels of made-up names must not fill the memory.
const MAX_EARLY_CANCELS: usize = 10_000;

/// The maps of the hub, guarded by its one lock.
#[derive(Debug, Default)]
pub(super) struct Maps {
    streams: HashMap<StreamId, Arc<Stream>>,
    claims: HashMap<(CallerId, ClaimKey), ClaimState>,
    /// The newest stream of each conversation.
    conversations: HashMap<(CallerId, ByteString), StreamId>,
    /// Streams by the ids that their providers gave them, in dialects that pass those ids to
    /// clients.
    aliases: HashMap<(CallerId, ByteString), StreamId>,
    /// Streams by the ids of the objects that their providers made in them.
    objects: HashMap<(CallerId, ByteString), StreamId>,
    early_cancels: HashMap<(CallerId, ByteString), Instant>,
    early_cancel_order: VecDeque<((CallerId, ByteString), Instant)>,
    /// Ended streams by the time at which they expire.
    expiring: BinaryHeap<Reverse<(Instant, StreamId)>>,
    begun: u64,
}

/// Result of looking up a name to cancel.
pub(super) enum CancelMatch {
    Stream(Arc<Stream>),
    Pending(SettleSignal),
    NotFound,
}

impl Maps {
    /// Adds a new stream under its names. Returns true if one of the names was cancelled before.
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
            // A cancel may have come while the body of the request was being read.
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

    /// Records a stream as the newest of its conversation. Returns the previous one if it is still
    /// kept.
    pub(super) fn set_newest(&mut self, stream: &Arc<Stream>) -> Option<Arc<Stream>> {
        let place = (stream.owner().clone(), stream.chat()?.clone());
        let before = self.conversations.insert(place, stream.id().clone())?;
        self.streams.get(&before).cloned()
    }

    /// Returns the newest stream of a conversation.
    pub(super) fn conversation(&self, owner: &CallerId, id: &str) -> Option<Arc<Stream>> {
        let id = self.conversations.get(&(owner.clone(), id.into()))?;
        self.by_id(owner, id)
    }

    /// Registers the names as pending if all of them are vacant. Returns false, and changes
    /// nothing, otherwise.
    pub(super) fn register_pending(
        &mut self,
        owner: &CallerId,
        keys: &[ClaimKey],
        settling: &SettleSignal,
    ) -> bool {
        let taken = |claim_state: Option<ClaimState>| match claim_state {
            None => false,
            Some(ClaimState::Taken(stream)) => !stream.has_vacant_claims(),
            Some(ClaimState::Pending { .. }) => true,
        };
        // All or none: the names of one request begin one stream together.
        if keys.iter().any(|key| taken(self.claim_state(owner, key))) {
            return false;
        }
        for key in keys {
            // A cancel may have come before the request that brings the name.
            let cancelled = self.take_early_cancel(owner, key);
            let claim_state = ClaimState::Pending {
                settling: settling.clone(),
                cancelled,
            };
            self.claims
                .insert((owner.clone(), key.clone()), claim_state);
        }
        true
    }

    /// Returns the state of a name. A server-made id sent as a name is that stream's own claim.
    pub(super) fn claim_state(&self, owner: &CallerId, key: &ClaimKey) -> Option<ClaimState> {
        if let ClaimKey::Name(name) = key
            && let Some(stream) = StreamId::parse(name).and_then(|id| self.by_id(owner, &id))
        {
            return Some(ClaimState::Taken(stream));
        }
        self.claims.get(&(owner.clone(), key.clone())).cloned()
    }

    /// Releases the names of a refused request. A name that was cancelled in the meantime stays
    /// cancelled, as no stream has begun under it.
    pub(super) fn release_pending(&mut self, owner: &CallerId, keys: &[ClaimKey]) {
        for key in keys {
            let place = (owner.clone(), key.clone());
            let Some(ClaimState::Pending { cancelled, .. }) = self.claims.get(&place) else {
                continue;
            };
            let cancelled = *cancelled;
            self.claims.remove(&place);
            if let (true, ClaimKey::Name(name)) = (cancelled, key) {
                self.remember_cancel(owner, name);
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

    /// Finds a stream by its id (bare or with the `resp_` prefix), by the caller's own name for it,
    /// or by its provider's id.
    pub(super) fn find(&self, owner: &CallerId, name: &str) -> Option<Arc<Stream>> {
        // Over another wire `response.id` is `resp_` followed by the stream's id.
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
        // The server-made id comes first: no name of a caller can hide it.
        by_id.or_else(named).or_else(known)
    }

    /// Indexes the id that the provider gave a stream, if the stream is still kept. The latest
    /// stream with an id wins.
    pub(super) fn index_alias(&mut self, stream: &Stream, alias: &ByteString) {
        if self.streams.contains_key(stream.id()) {
            self.aliases
                .insert((stream.owner().clone(), alias.clone()), stream.id().clone());
        }
    }

    /// Indexes the objects that a provider made in a stream. The latest stream with an id wins.
    pub(super) fn index_objects(&mut self, stream: &Stream) {
        // Entries of a stream that is already removed would never be removed themselves.
        let kept = self.streams.contains_key(stream.id());
        for object in stream.objects().iter().filter(|_| kept) {
            self.objects.insert(
                (stream.owner().clone(), object.clone()),
                stream.id().clone(),
            );
        }
    }

    /// Returns the stream in which the object was made.
    pub(super) fn find_by_object(&self, owner: &CallerId, object: &str) -> Option<Arc<Stream>> {
        self.by_id(owner, self.objects.get(&(owner.clone(), object.into()))?)
    }

    /// Cancels the stream or the pending claim with that name. A name that is not in use is
    /// remembered.
    pub(super) fn cancel_by_name(&mut self, owner: &CallerId, name: &str) -> CancelMatch {
        if let Some(stream) = self.find(owner, name) {
            stream.cancel(Cause::Client);
            return CancelMatch::Stream(stream);
        }
        if let Some(ClaimState::Pending {
            cancelled,
            settling,
        }) = self
            .claims
            .get_mut(&(owner.clone(), ClaimKey::Name(name.into())))
        {
            // The body of its request is still being read: its stream will begin cancelled.
            *cancelled = true;
            return CancelMatch::Pending(settling.clone());
        }
        // No request can bring an invalid name, so there is nothing to remember.
        if is_stream_name(name) {
            self.remember_cancel(owner, name);
        }
        CancelMatch::NotFound
    }

    fn remember_cancel(&mut self, owner: &CallerId, name: &str) {
        let place = (owner.clone(), ByteString::from(name));
        let now = Instant::now();
        // Expired cancels go first; at the bound the oldest one goes as well.
        while let Some((_, cancelled_at)) = self.early_cancel_order.front() {
            if *cancelled_at + EARLY_CANCEL_AGE > now
                && self.early_cancel_order.len() < MAX_EARLY_CANCELS
            {
                break;
            }
            if let Some((oldest, cancelled_at)) = self.early_cancel_order.pop_front()
                && self.early_cancels.get(&oldest) == Some(&cancelled_at)
            {
                self.early_cancels.remove(&oldest);
            }
        }
        // A name cancelled twice is in the queue twice: its older record no longer matches the map.
        self.early_cancels.insert(place.clone(), now);
        self.early_cancel_order.push_back((place, now));
    }

    fn take_early_cancel(&mut self, owner: &CallerId, key: &ClaimKey) -> bool {
        let ClaimKey::Name(name) = key else {
            return false;
        };
        if self.early_cancels.is_empty() {
            return false;
        }
        self.early_cancels
            .remove(&(owner.clone(), name.clone()))
            .is_some_and(|at| at.elapsed() < EARLY_CANCEL_AGE)
    }

    /// Removes a stream and its names.
    pub(super) fn remove(&mut self, id: &StreamId) -> Option<Arc<Stream>> {
        let stream = self.streams.remove(id)?;
        for key in stream.keys() {
            let place = (stream.owner().clone(), key.clone());
            // A name whose stream failed before its first content may belong to a newer stream by
            // now.
            if matches!(
                self.claims.get(&place),
                Some(ClaimState::Taken(holder)) if Arc::ptr_eq(holder, &stream)
            ) {
                self.claims.remove(&place);
            }
        }
        let place = |id: &ByteString| (stream.owner().clone(), id.clone());
        if let Some(alias) = stream.alias() {
            remove_if_current(&mut self.aliases, &place(alias), id);
        }
        for object in stream.objects() {
            remove_if_current(&mut self.objects, &place(object), id);
        }
        if let Some(chat) = stream.chat() {
            remove_if_current(&mut self.conversations, &place(chat), id);
        }
        Some(stream)
    }

    pub(super) fn list_by_owner(&self, owner: &CallerId) -> Vec<Arc<Stream>> {
        let mut list: Vec<_> = self
            .streams
            .values()
            .filter(|stream| stream.owner() == owner)
            .cloned()
            .collect();
        // By number: several streams may begin within one second.
        list.sort_by_key(|stream| Reverse(stream.number()));
        list
    }

    /// Schedules the removal of a stream. Returns true if it is the next one due.
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

/// Removes an index entry if it still points to that stream: a newer stream may have replaced it.
fn remove_if_current(
    map: &mut HashMap<(CallerId, ByteString), StreamId>,
    place: &(CallerId, ByteString),
    id: &StreamId,
) {
    if map.get(place) == Some(id) {
        map.remove(place);
    }
}

/// Returns true for a valid `x-stream-id`: 22..64 of `[A-Za-z0-9_-]`.
#[must_use]
pub fn is_stream_name(text: &str) -> bool {
    (22..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
