//! Claims: names that callers give to requests. `x-stream-id` and `Idempotency-Key` are one
//! mechanism.
//!
//! A claim is registered before the body is read, so that it can be cancelled from then on. The
//! stream that begins under it keeps it; a request that is refused drops this guard and releases
//! it.

use std::sync::Arc;

use tokio::sync::watch;

use super::Hub;
use super::names::{ClaimKey, Digest, digest};
use super::stream::Stream;
use crate::model::fault::Fault;
use crate::model::ids::CallerId;

/// Signals waiting requests that a pending claim has become a stream or was released.
#[derive(Debug, Clone)]
pub(super) struct SettleSignal(watch::Receiver<()>);

impl SettleSignal {
    /// Returns when the claim is no longer pending.
    pub(super) async fn wait(mut self) {
        // The sender is dropped with the claim: an error is the signal itself.
        let _ = self.0.changed().await;
    }
}

/// State of a name in use.
#[derive(Debug, Clone)]
pub(super) enum ClaimState {
    /// A request with this name is being read.
    Pending {
        settling: SettleSignal,
        cancelled: bool,
    },
    /// A stream has this name.
    Taken(Arc<Stream>),
}

/// The names of one request, from its head on.
#[derive(Debug)]
pub struct Claim {
    hub: Hub,
    owner: CallerId,
    keys: Vec<ClaimKey>,
    /// Present while the names are registered for this request; dropping it wakes waiting requests.
    registered: Option<watch::Sender<()>>,
}

/// Outcome of a claim once the body is known.
#[derive(Debug)]
pub enum ClaimOutcome {
    /// The same request began this stream before: join it.
    Joined(Arc<Stream>),
    /// A new stream may begin under this claim.
    New(Claim, Digest),
}

impl Claim {
    pub(super) fn register(hub: Hub, owner: CallerId, keys: Vec<ClaimKey>) -> Self {
        let mut claim = Self {
            hub,
            owner,
            keys,
            registered: None,
        };
        claim.try_register();
        claim
    }

    /// Registers all names if none is in use. Returns whether it did.
    fn try_register(&mut self) -> bool {
        let (sender, receiver) = watch::channel(());
        let hub = self.hub.clone();
        let mut maps = hub.inner.maps.lock();
        let vacant = maps.register_pending(&self.owner, &self.keys, &SettleSignal(receiver));
        if vacant {
            self.registered = Some(sender);
        }
        vacant
    }

    /// Decides whether the request with this path and body begins a stream or joins one. Waits
    /// while another request with the same name is being read.
    ///
    /// # Errors
    /// 409 when one of the names is in use for another body.
    pub async fn settle(mut self, path: &str, body: &[u8]) -> Result<ClaimOutcome, Fault> {
        let digest = digest(path, body);
        while self.registered.is_none() {
            match self.look_up(digest)? {
                Lookup::Join(stream) => return Ok(ClaimOutcome::Joined(stream)),
                Lookup::Wait(settling) => settling.wait().await,
                Lookup::Vacant => {
                    // Another request may have registered the names since the look: then the loop
                    // waits for that one.
                    self.try_register();
                }
            }
        }
        Ok(ClaimOutcome::New(self, digest))
    }

    fn look_up(&self, digest: Digest) -> Result<Lookup, Fault> {
        let maps = self.hub.inner.maps.lock();
        let mut join = None;
        for key in &self.keys {
            match maps.claim_state(&self.owner, key) {
                None => {}
                // The other request may still be refused and release the name.
                Some(ClaimState::Pending { settling, .. }) => return Ok(Lookup::Wait(settling)),
                // It failed before its first content: its names are vacant again.
                Some(ClaimState::Taken(stream)) if stream.has_vacant_claims() => {}
                Some(ClaimState::Taken(stream)) if *stream.digest() == digest => {
                    join = Some(stream);
                }
                Some(ClaimState::Taken(_)) => return Err(key.conflict()),
            }
        }
        Ok(join.map_or(Lookup::Vacant, Lookup::Join))
    }

    /// Returns the names for a stream and the guard that wakes waiting requests. The stream must be
    /// in the maps before the guard is dropped.
    pub(super) fn commit(mut self) -> (Vec<ClaimKey>, Option<watch::Sender<()>>) {
        (std::mem::take(&mut self.keys), self.registered.take())
    }
}

enum Lookup {
    Join(Arc<Stream>),
    Wait(SettleSignal),
    Vacant,
}

impl Drop for Claim {
    fn drop(&mut self) {
        // After `commit` the stream has the names, and nothing is left to release.
        if self.registered.is_some() && !self.keys.is_empty() {
            self.hub
                .inner
                .maps
                .lock()
                .release_pending(&self.owner, &self.keys);
        }
    }
}
