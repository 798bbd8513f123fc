//! Names that callers give: `x-stream-id` and `Idempotency-Key` are one mechanism.
//!
//! A claim is registered before the body is read, so that it can be cancelled from then on. It is
//! kept by the stream that begins under it, or given back when the request is refused (this guard
//! is dropped).

use std::sync::Arc;

use bytestring::ByteString;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use super::Hub;
use super::stream::Stream;
use crate::model::fault::{Code, Fault};
use crate::model::ids::CallerId;

/// What path and body a stream began with.
pub type Digest = [u8; 32];

/// The digest of a request: its path and the bytes of its body.
#[must_use]
pub fn digest(path: &str, body: &[u8]) -> Digest {
    Sha256::new()
        .chain_update(path.as_bytes())
        .chain_update([0])
        .chain_update(body)
        .finalize()
        .into()
}

/// A name given by a caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClaimKey {
    /// `x-stream-id`: also usable as the stream's id.
    Name(ByteString),
    /// `Idempotency-Key`.
    Idempotency(ByteString),
}

impl ClaimKey {
    /// The conflict when it stands for another body.
    fn conflict(&self) -> Fault {
        match self {
            Self::Name(_) => Fault::new(
                Code::StreamExists,
                "a stream of this `x-stream-id` exists, begun with another body: choose another id",
            ),
            Self::Idempotency(_) => Fault::new(
                Code::IdempotencyConflict,
                "this `Idempotency-Key` was used with another body: choose another key",
            ),
        }
    }
}

/// Tells those who wait that a pending claim has become a stream, or was given back.
#[derive(Debug, Clone)]
pub(super) struct Settling(watch::Receiver<()>);

impl Settling {
    /// Returns when the claim is no longer pending.
    pub(super) async fn wait(mut self) {
        // The sender is dropped with the claim: an error is the signal itself.
        let _ = self.0.changed().await;
    }
}

/// What a name stands for.
#[derive(Debug, Clone)]
pub(super) enum ClaimState {
    /// A request is being read under it.
    Pending { settling: Settling, cancelled: bool },
    /// A stream began under it.
    Taken(Arc<Stream>),
}

/// The names of one request, held from its head on.
#[derive(Debug)]
pub struct Claim {
    hub: Hub,
    owner: CallerId,
    keys: Vec<ClaimKey>,
    /// Present while the names are registered for this request.
    held: Option<watch::Sender<()>>,
}

/// What became of a claim once the body was known.
#[derive(Debug)]
pub enum Settled {
    /// The same request has begun before: join its stream.
    Joined(Arc<Stream>),
    /// A stream may begin under it.
    New(Claim, Digest),
}

impl Claim {
    pub(super) fn register(hub: Hub, owner: CallerId, keys: Vec<ClaimKey>) -> Self {
        let mut claim = Self {
            hub,
            owner,
            keys,
            held: None,
        };
        claim.try_hold();
        claim
    }

    /// Registers all names, if none is taken.
    fn try_hold(&mut self) -> bool {
        let (sender, receiver) = watch::channel(());
        let hub = self.hub.clone();
        let mut maps = hub.inner.maps.lock();
        let vacant = maps.hold(&self.owner, &self.keys, &Settling(receiver));
        if vacant {
            self.held = Some(sender);
        }
        vacant
    }

    /// Finds out whether the request with this path and body is new, or joins a stream.
    ///
    /// # Errors
    /// 409 when one of the names stands for another body.
    pub async fn settle(mut self, path: &str, body: &[u8]) -> Result<Settled, Fault> {
        let digest = digest(path, body);
        while self.held.is_none() {
            match self.look(digest)? {
                Look::Join(stream) => return Ok(Settled::Joined(stream)),
                Look::Wait(settling) => settling.wait().await,
                Look::Vacant => {
                    self.try_hold();
                }
            }
        }
        Ok(Settled::New(self, digest))
    }

    fn look(&self, digest: Digest) -> Result<Look, Fault> {
        let maps = self.hub.inner.maps.lock();
        let mut join = None;
        for key in &self.keys {
            match maps.claim_state(&self.owner, key) {
                None => {}
                Some(ClaimState::Pending { settling, .. }) => return Ok(Look::Wait(settling)),
                Some(ClaimState::Taken(stream)) if stream.spent() => {}
                Some(ClaimState::Taken(stream)) if *stream.digest() == digest => {
                    join = Some(stream);
                }
                Some(ClaimState::Taken(_)) => return Err(key.conflict()),
            }
        }
        Ok(join.map_or(Look::Vacant, Look::Join))
    }

    /// The names pass to a stream, which is to be put in their place before the returned guard is
    /// dropped: that wakes those who wait for it.
    pub(super) fn commit(mut self) -> (Vec<ClaimKey>, Option<watch::Sender<()>>) {
        (std::mem::take(&mut self.keys), self.held.take())
    }
}

enum Look {
    Join(Arc<Stream>),
    Wait(Settling),
    Vacant,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.held.is_some() && !self.keys.is_empty() {
            self.hub
                .inner
                .maps
                .lock()
                .give_back(&self.owner, &self.keys);
        }
    }
}
