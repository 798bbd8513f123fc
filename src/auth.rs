//! Who is asking: virtual keys, tokens, and tickets for one stream. Only this room makes a
//! [`Caller`].
//!
//! Invariants: secrets are known by their SHA-256 alone and compared in constant time; what is
//! wrong with a key, a token or a ticket is not told to who sent it; a token can narrow the rights
//! of the key that it names, and never widen them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytestring::ByteString;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, StreamId, Subject};

mod glob;
pub mod jwt;
mod presented;
pub mod ticket;

pub use glob::matches;
use jwt::{Claims, Jwt, Refused, Verified};
pub use presented::Asking;
use presented::Presented;
use ticket::{Rights, Ticket, Tickets};

/// Who may ask.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// False (`mode = "none"`): everybody may, as one anonymous caller.
    pub required: bool,
    /// The virtual keys.
    pub keys: Vec<Key>,
    /// Which tokens count.
    pub jwt: Option<jwt::Settings>,
    /// What tickets are signed with; made up for this process where there is none.
    pub ticket_secret: Option<SecretString>,
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

impl Key {
    /// It is switched on and has not ended.
    fn stands(&self, now: SystemTime) -> bool {
        !self.disabled && self.expires.is_none_or(|at| now < at)
    }
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
        let by_token = self
            .grant
            .as_ref()
            .and_then(|grant| grant.models.as_deref())
            .is_none_or(allowed);
        by_token && self.key.as_ref().is_none_or(|key| allowed(&key.models))
    }

    /// The name of the virtual key.
    #[must_use]
    pub fn key(&self) -> Option<&ByteString> {
        self.key.as_ref().map(|key| &key.name)
    }

    /// The team whose limits the caller shares: that of the key, which no token leads out of, else
    /// the token's.
    #[must_use]
    pub fn team(&self) -> Option<&ByteString> {
        let of_key = self.key.as_ref().and_then(|key| key.team.as_ref());
        of_key.or_else(|| self.grant.as_ref().and_then(|grant| grant.team.as_ref()))
    }

    /// The verified `sub` of a token. What a body says of its user is no such thing.
    #[must_use]
    pub fn user(&self) -> Option<&ByteString> {
        match &self.id {
            CallerId::User(user) => Some(&user.sub),
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

/// What a verified token grants.
#[derive(Debug)]
struct Grant {
    id: CallerId,
    key: Option<Arc<Key>>,
    team: Option<ByteString>,
    models: Option<Vec<String>>,
    limits: Option<Figures>,
}

impl Grant {
    /// Its caller, unless the key has ended that it rests on.
    fn caller(self: Arc<Self>, now: SystemTime) -> Option<Caller> {
        self.key
            .as_ref()
            .is_none_or(|key| key.stands(now))
            .then_some(())?;
        Some(Caller {
            id: self.id.clone(),
            key: self.key.clone(),
            grant: Some(self),
        })
    }
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
    names: HashMap<ByteString, Arc<Key>>,
    jwt: Option<Jwt>,
    verified: Verified<Grant>,
    tickets: Arc<Tickets>,
    shared_tickets: bool,
}

impl Auth {
    /// From the configuration. Keys that `before` has fetched, and tickets that it has made, stay
    /// good.
    ///
    /// # Errors
    /// When a file that verifies tokens cannot be used: says which.
    pub fn new(settings: &Settings, before: Option<&Self>) -> Result<Self, String> {
        let all = settings.keys.iter().map(|key| Arc::new(key.clone()));
        let (keys, names) = all
            .map(|key| ((key.sha256, key.clone()), (key.name.clone(), key)))
            .unzip();
        let shared = settings.ticket_secret.as_ref();
        let kept = before
            .filter(|before| shared.is_none() && !before.shared_tickets)
            .map(|before| before.tickets.clone());
        Ok(Self {
            required: settings.required,
            keys,
            names,
            jwt: settings
                .jwt
                .as_ref()
                .map(|jwt| Jwt::new(jwt, before.and_then(|before| before.jwt.as_ref())))
                .transpose()?,
            verified: Verified::default(),
            tickets: kept.unwrap_or_else(|| Arc::new(Tickets::new(shared))),
            shared_tickets: shared.is_some(),
        })
    }

    /// Begins to fetch what tokens are verified with. Needs a runtime.
    pub fn warm(&self) {
        if let Some(jwt) = self.jwt.as_ref().filter(|_| self.required) {
            jwt.warm();
        }
    }

    /// Who asks. Where nobody has to say who they are, nothing is looked at.
    ///
    /// # Errors
    /// 401 in the same words for every reason; 503 where tokens cannot be verified for want of
    /// keys.
    pub async fn identify(&self, asking: &Asking<'_>) -> Result<Caller, Fault> {
        if !self.required {
            return Ok(Caller {
                id: CallerId::Anonymous,
                key: None,
                grant: None,
            });
        }
        let cookie = self
            .jwt
            .as_ref()
            .and_then(|jwt| jwt.settings().cookie.as_deref());
        match presented::of(asking, cookie) {
            Presented::Header(secret) => self.by_header(secret).await,
            Presented::Cookie(token) => self.by_token(token).await,
            Presented::Untrusted => Err(untrusted()),
            Presented::Nothing => Err(self.missing()),
        }
    }

    /// True where a header says who asks; cookies do not count.
    #[must_use]
    pub fn is_named(&self, asking: &Asking<'_>) -> bool {
        self.required && presented::in_header(asking.headers).is_some()
    }

    async fn by_header(&self, secret: &[u8]) -> Result<Caller, Fault> {
        let sha256: [u8; 32] = Sha256::digest(secret).into();
        match self
            .keys
            .get(&sha256)
            .filter(|key| bool::from(key.sha256.ct_eq(&sha256)))
        {
            Some(key) if key.stands(SystemTime::now()) => Ok(Caller {
                id: CallerId::Key(key.name.clone()),
                key: Some(key.clone()),
                grant: None,
            }),
            Some(_) => Err(wrong()),
            None => self.by_digested_token(secret, sha256).await,
        }
    }

    async fn by_token(&self, token: &[u8]) -> Result<Caller, Fault> {
        if !jwt::is_token(token) {
            return Err(wrong());
        }
        self.by_digested_token(token, Sha256::digest(token).into())
            .await
    }

    async fn by_digested_token(&self, token: &[u8], digest: [u8; 32]) -> Result<Caller, Fault> {
        let jwt = self
            .jwt
            .as_ref()
            .filter(|_| jwt::is_token(token))
            .ok_or_else(wrong)?;
        let keys = jwt.keys().await.map_err(told)?;
        let now = SystemTime::now();
        if let Some(grant) = self.verified.find(&digest, &keys, now) {
            return grant.caller(now).ok_or_else(wrong);
        }
        let (claims, keys) = jwt.verify(token, keys).await.map_err(told)?;
        let until = claims.until;
        let grant = Arc::new(self.grant(jwt, claims).map_err(told)?);
        self.verified.keep(digest, &keys, until, now, grant.clone());
        grant.caller(now).ok_or_else(wrong)
    }

    fn grant(&self, jwt: &Jwt, claims: Claims) -> Result<Grant, Refused> {
        let Claims {
            sub,
            key,
            team,
            models,
            limits,
            ..
        } = claims;
        let named = key.as_ref().or(jwt.settings().default_key.as_ref());
        let key = named.map(|name| {
            self.names
                .get(name)
                .cloned()
                .ok_or(Refused::Bad("there is no key of the name that it claims"))
        });
        let key = key.transpose()?;
        let id = CallerId::User(Arc::new(Subject {
            key: key.as_ref().map(|key| key.name.clone()),
            sub,
        }));
        Ok(Grant {
            id,
            key,
            team,
            models,
            limits,
        })
    }

    /// A ticket for a stream of this caller's, good until `ends`.
    #[must_use]
    pub fn issue(
        &self,
        caller: &Caller,
        stream: &StreamId,
        rights: Rights,
        origin: Option<&str>,
        ends: SystemTime,
    ) -> String {
        self.tickets.issue(&caller.id, stream, rights, origin, ends)
    }

    /// The ticket that somebody brings.
    ///
    /// # Errors
    /// 401 where it is none of ours, was changed, or has ended.
    pub fn ticket(&self, text: &str) -> Result<Ticket, Fault> {
        self.tickets
            .read(text, SystemTime::now())
            .ok_or_else(no_ticket)
    }

    /// The caller that a ticket stands for: the owner of its stream.
    ///
    /// # Errors
    /// 401 where it is not that owner's, or the owner may not ask any more.
    pub fn holder(&self, ticket: &Ticket, owner: &CallerId) -> Result<Caller, Fault> {
        let (name, open) = match owner {
            CallerId::Anonymous => (None, !self.required),
            CallerId::Key(name) => (Some(name), self.required),
            CallerId::User(user) => (user.key.as_ref(), self.required && self.jwt.is_some()),
        };
        let key = name.and_then(|name| self.names.get(name));
        let stands = name.is_none() || key.is_some_and(|key| key.stands(SystemTime::now()));
        if !(open && stands && self.tickets.is_of(ticket, owner)) {
            return Err(no_ticket());
        }
        Ok(Caller {
            id: owner.clone(),
            key: key.cloned(),
            grant: None,
        })
    }

    fn missing(&self) -> Fault {
        let what = if self.jwt.is_some() {
            "key or token"
        } else {
            "key"
        };
        let message = format!(
            "no {what}: send one as `Authorization: Bearer <{what}>` or `x-api-key: <{what}>`"
        );
        Fault::new(Code::Unauthenticated, message)
    }
}

/// The secret that a head shows, in `Authorization: Bearer` or `x-api-key`.
#[must_use]
pub fn secret_in(headers: &http::HeaderMap) -> Option<&[u8]> {
    presented::in_header(headers)
}

fn wrong() -> Fault {
    Fault::new(Code::Unauthenticated, "this key or token is not valid here")
}

fn untrusted() -> Fault {
    let message = "a cookie counts here only where the request's `Origin` is the listener's own or stands in `server.allowed_origins`";
    Fault::new(Code::Unauthenticated, message)
}

fn no_ticket() -> Fault {
    Fault::new(
        Code::Unauthenticated,
        "this ticket is not valid here: it has ended, or is not for this",
    )
}

/// What somebody is told of a token that does not count. The reason is the log's.
fn told(refused: Refused) -> Fault {
    match refused {
        Refused::Bad(why) => {
            tracing::debug!("a token was refused: {why}");
            wrong()
        }
        Refused::NoKeys(wait) => {
            let message = "tokens cannot be verified at the moment, as the keys of their issuer cannot be had; try again in a moment";
            Fault::new(Code::Overloaded, message).with_retry_after(wait.max(AGAIN))
        }
    }
}

/// The shortest wait that is told where keys are missing.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn auth(key: Key) -> Auth {
        Auth::new(
            &Settings {
                required: true,
                keys: vec![key],
                ..Settings::default()
            },
            None,
        )
        .unwrap()
    }

    async fn identify(auth: &Auth, headers: &HeaderMap) -> Result<Caller, Fault> {
        auth.identify(&Asking {
            method: &Method::POST,
            headers,
            trusted_page: false,
        })
        .await
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

    #[tokio::test]
    async fn a_key_is_known_in_either_header() {
        for sent in [
            headers("authorization", "bearer sk-1"),
            headers("x-api-key", "sk-1"),
        ] {
            let caller = identify(&auth(key()), &sent).await.unwrap();
            assert_eq!(caller.id, CallerId::Key("web".into()));
            assert!(caller.may_use("gpt-5") && !caller.may_use("claude"));
        }
    }

    #[tokio::test]
    async fn what_is_not_a_valid_key_is_refused() {
        let past = Some(SystemTime::UNIX_EPOCH);
        let good = headers("x-api-key", "sk-1");
        for (auth, sent) in [
            (auth(key()), headers("x-api-key", "sk-2")),
            (auth(key()), headers("authorization", "Basic sk-1")),
            (auth(key()), HeaderMap::new()),
            (
                auth(Key {
                    disabled: true,
                    ..key()
                }),
                good.clone(),
            ),
            (
                auth(Key {
                    expires: past,
                    ..key()
                }),
                good,
            ),
        ] {
            assert_eq!(
                identify(&auth, &sent).await.unwrap_err().code,
                Code::Unauthenticated
            );
        }
    }
}
