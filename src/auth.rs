//! Who is asking: virtual keys. Only this room makes a [`Caller`].
//!
//! Invariants: secrets are known by their SHA-256 alone and compared in constant time; what is wrong with a key is not
//! told to who sent it.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use bytestring::ByteString;
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::fault::{Code, Fault};
use crate::model::ids::CallerId;

mod glob;

pub use glob::matches;

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// False (`mode = "none"`): everybody may, as one anonymous caller.
    pub required: bool,
    /// The virtual keys.
    pub keys: Vec<Key>,
}

/// A virtual key. Its secret is known by its SHA-256 alone.
#[derive(Debug, Clone)]
pub struct Key {
    /// Its name in the configuration.
    pub name: ByteString,
    /// The SHA-256 of its secret.
    pub sha256: [u8; 32],
    /// The team whose limits and budget it shares.
    pub team: Option<ByteString>,
    /// Globs over the model names it may ask for.
    pub models: Vec<String>,
    /// It ends then.
    pub expires: Option<SystemTime>,
    /// It is switched off.
    pub disabled: bool,
    /// Its holders may refer to objects in the accounts of providers.
    pub provider_objects: bool,
}

/// Somebody identified.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub id: CallerId,
    key: Option<Arc<Key>>,
    grant: Option<Arc<Grant>>,
}

impl Caller {
    /// True where the caller may ask for the model of that name.
    #[must_use]
    pub fn may_use(&self, model: &str) -> bool {
        let allowed = |globs: &[String]| globs.iter().any(|glob| matches(glob, model));
        let by_token = self.grant.as_ref().and_then(|grant| grant.models.as_deref()).is_none_or(allowed);
        by_token && self.key.as_ref().is_none_or(|key| allowed(&key.models))
    }

    /// The name of the virtual key.
    #[must_use]
    pub fn key(&self) -> Option<&ByteString> {
        self.key.as_ref().map(|key| &key.name)
    }

    /// The team whose limits the caller shares: that of the key, which no token leads out of, else the token's.
    #[must_use]
    pub fn team(&self) -> Option<&ByteString> {
        let of_key = self.key.as_ref().and_then(|key| key.team.as_ref());
        of_key.or_else(|| self.grant.as_ref().and_then(|grant| grant.team.as_ref()))
    }

    /// The verified `sub` of a token. What a body says of its user is no such thing.
    #[must_use]
    pub fn user(&self) -> Option<&ByteString> {
        match &self.id {
            CallerId::User { sub, .. } => Some(sub),
            CallerId::Anonymous | CallerId::Key(_) => None,
        }
    }

    /// The limits that a token brings for its user, beside all that are configured.
    #[must_use]
    pub fn limits(&self) -> Option<&Figures> {
        self.grant.as_ref().and_then(|grant| grant.limits.as_ref())
    }

    /// True where the caller may refer to objects in the accounts of providers.
    #[must_use]
    pub fn provider_objects(&self) -> bool {
        self.key.as_ref().is_some_and(|key| key.provider_objects)
    }
}

/// What a verified token grants beside the rights of its key.
#[derive(Debug, Clone, Default)]
struct Grant {
    team: Option<ByteString>,
    models: Option<Vec<String>>,
    limits: Option<Figures>,
}

/// The figures of a limit that a token brings. What is `None` is not limited by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Generations per minute.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Generations at a time.
    pub concurrent_streams: Option<NonZeroU32>,
    /// Requests that may come at once.
    pub burst: Option<NonZeroU32>,
}

/// Tells who is asking.
#[derive(Debug)]
pub struct Auth {
    required: bool,
    keys: HashMap<[u8; 32], Arc<Key>>,
}

impl Auth {
    /// From the configuration.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let keys = settings.keys.iter().map(|key| (key.sha256, Arc::new(key.clone()))).collect();
        Self { required: settings.required, keys }
    }

    /// Who sent these headers. Where no key is required none is looked at.
    ///
    /// # Errors
    /// 401 in the same words for every reason.
    pub fn identify(&self, headers: &HeaderMap) -> Result<Caller, Fault> {
        if !self.required {
            return Ok(Caller { id: CallerId::Anonymous, key: None, grant: None });
        }
        let secret = secret(headers).ok_or_else(missing)?;
        let sha256: [u8; 32] = Sha256::digest(secret).into();
        let found = self.keys.get(&sha256).filter(|key| bool::from(key.sha256.ct_eq(&sha256)));
        let key = found.filter(|key| !key.disabled && key.expires.is_none_or(|at| SystemTime::now() < at)).ok_or_else(wrong)?;
        Ok(Caller { id: CallerId::Key(key.name.clone()), key: Some(key.clone()), grant: None })
    }
}

/// The secret in `Authorization: Bearer` or `x-api-key`.
fn secret(headers: &HeaderMap) -> Option<&[u8]> {
    const SCHEME: usize = "Bearer ".len();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(SCHEME)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    bearer.or_else(|| headers.get("x-api-key").map(|value| value.as_bytes().trim_ascii())).filter(|secret| !secret.is_empty())
}

fn missing() -> Fault {
    Fault::new(Code::Unauthenticated, "no key: send one as `Authorization: Bearer <key>` or `x-api-key: <key>`")
}

fn wrong() -> Fault {
    Fault::new(Code::Unauthenticated, "this key is not valid here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(key: Key) -> Auth {
        Auth::new(&Settings { required: true, keys: vec![key] })
    }

    fn key() -> Key {
        Key {
            name: "web".into(),
            sha256: Sha256::digest(b"sk-1").into(),
            team: None,
            models: vec!["gpt-*".into()],
            expires: None,
            disabled: false,
            provider_objects: false,
        }
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(http::HeaderName::from_static(name), value.parse().unwrap())])
    }

    #[test]
    fn a_key_is_known_in_either_header() {
        for sent in [headers("authorization", "bearer sk-1"), headers("x-api-key", "sk-1")] {
            let caller = auth(key()).identify(&sent).unwrap();
            assert_eq!(caller.id, CallerId::Key("web".into()));
            assert!(caller.may_use("gpt-5") && !caller.may_use("claude"));
        }
    }

    #[test]
    fn what_is_not_a_valid_key_is_refused() {
        let past = Some(SystemTime::UNIX_EPOCH);
        let good = headers("x-api-key", "sk-1");
        for (auth, sent) in [
            (auth(key()), headers("x-api-key", "sk-2")),
            (auth(key()), headers("authorization", "Basic sk-1")),
            (auth(key()), HeaderMap::new()),
            (auth(Key { disabled: true, ..key() }), good.clone()),
            (auth(Key { expires: past, ..key() }), good),
        ] {
            assert_eq!(auth.identify(&sent).unwrap_err().code, Code::Unauthenticated);
        }
    }
}
