//! A caller and its rights: those of its virtual key, and those that a token grants.
//!
//! Invariants: only the room `auth` makes a [`Caller`]; a token can narrow the rights of the key
//! that it names, never widen them.

use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;

use super::glob::matches;
use crate::model::ids::CallerId;
use crate::model::limit::Limit;

/// A virtual key. Only the SHA-256 of its secret is kept.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key's name in the configuration.
    pub name: ByteString,
    /// The SHA-256 of the key's secret.
    pub sha256: [u8; 32],
    /// The team whose limits and budget the key shares.
    pub team: Option<ByteString>,
    /// Globs over the names of the models that the key may use.
    pub models: Vec<String>,
    /// The time from which the key is no longer accepted.
    pub expires: Option<SystemTime>,
    /// True if the key is switched off.
    pub disabled: bool,
    /// True if requests with this key may refer to objects in the provider's account.
    pub provider_objects: bool,
}

impl Key {
    /// True if the key is neither switched off nor expired at `now`.
    pub(super) fn is_active(&self, now: SystemTime) -> bool {
        !self.disabled && self.expires.is_none_or(|at| now < at)
    }
}

/// An authenticated caller and its rights.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The caller's identity, which owns streams and claims.
    pub id: CallerId,
    pub(super) key: Option<Arc<Key>>,
    pub(super) grant: Option<Arc<Grant>>,
}

impl Caller {
    /// True if the caller may use the model with this name. Both the key and the token must allow
    /// it.
    #[must_use]
    pub fn may_use(&self, model: &str) -> bool {
        let allowed = |globs: &[String]| globs.iter().any(|glob| matches(glob, model));
        let by_token = self
            .grant
            .as_ref()
            .and_then(|grant| grant.models.as_deref())
            .is_none_or(allowed);
        by_token && self.key.as_ref().is_none_or(|key| allowed(&key.models))
    }

    /// The name of the caller's virtual key.
    #[must_use]
    pub fn key(&self) -> Option<&ByteString> {
        self.key.as_ref().map(|key| &key.name)
    }

    /// The team whose limits the caller shares: the key's team, which a token cannot change, else
    /// the token's.
    #[must_use]
    pub fn team(&self) -> Option<&ByteString> {
        let of_key = self.key.as_ref().and_then(|key| key.team.as_ref());
        of_key.or_else(|| self.grant.as_ref().and_then(|grant| grant.team.as_ref()))
    }

    /// The verified `sub` of the caller's token. The unverified `user` field of a body is not used
    /// here.
    #[must_use]
    pub fn user(&self) -> Option<&ByteString> {
        match &self.id {
            CallerId::User(user) => Some(&user.sub),
            CallerId::Anonymous | CallerId::Key(_) => None,
        }
    }

    /// The limits that a token sets for its user, in addition to all configured ones.
    #[must_use]
    pub fn limits(&self) -> Option<Limit> {
        self.grant.as_ref().and_then(|grant| grant.limits)
    }

    /// True if the caller may refer to objects in the provider's account.
    #[must_use]
    pub fn provider_objects(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.provider_objects)
    }
}

/// The identity and rights that a verified token grants.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) id: CallerId,
    pub(super) key: Option<Arc<Key>>,
    pub(super) team: Option<ByteString>,
    pub(super) models: Option<Vec<String>>,
    pub(super) limits: Option<Limit>,
}

impl Grant {
    /// Returns the token's caller; `None` if the virtual key that the token names is disabled or
    /// expired.
    pub(super) fn caller(self: Arc<Self>, now: SystemTime) -> Option<Caller> {
        self.key
            .as_ref()
            .is_none_or(|key| key.is_active(now))
            .then_some(())?;
        Some(Caller {
            id: self.id.clone(),
            key: self.key.clone(),
            grant: Some(self),
        })
    }
}
