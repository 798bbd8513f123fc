//! Authentication: virtual keys, tokens, and tickets for one stream. Only this module creates a
//! [`Caller`].
//!
//! Invariants: only the SHA-256 of a key's secret is kept, and it is compared in constant time; the
//! client is never told why its key, token or ticket is invalid.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytestring::ByteString;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::model::fault::{Code, Fault};
use crate::model::ids::{CallerId, StreamId, Subject};

mod caller;
mod glob;
pub mod jwt;
mod presented;
pub mod ticket;

use caller::Grant;
pub use caller::{Caller, Key};
pub use glob::matches;
use jwt::{Claims, JwtVerifier, TokenError, VerifiedTokens};
pub use presented::AuthRequest;
use presented::Presented;
use ticket::{Rights, Ticket, Tickets};

/// Settings of authentication.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// False (`mode = "none"`): every client is accepted, as one anonymous caller.
    pub required: bool,
    /// The virtual keys.
    pub keys: Vec<Key>,
    /// The accepted tokens; `None` accepts no tokens.
    pub jwt: Option<jwt::Settings>,
    /// The secret that signs tickets. `None` generates one for this process.
    pub ticket_secret: Option<SecretString>,
}

/// Authenticates requests.
#[derive(Debug)]
pub struct Auth {
    required: bool,
    keys: HashMap<[u8; 32], Arc<Key>>,
    keys_by_name: HashMap<ByteString, Arc<Key>>,
    jwt: Option<JwtVerifier>,
    verified_tokens: VerifiedTokens<Grant>,
    tickets: Arc<Tickets>,
    has_shared_secret: bool,
}

impl Auth {
    /// Creates the authenticator for a configuration. Keys that `before` has fetched and tickets
    /// that it has issued stay valid.
    ///
    /// # Errors
    /// Returns a message that names the setting if a key or certificate file cannot be used.
    pub fn new(settings: &Settings, before: Option<&Self>) -> Result<Self, String> {
        let all = settings.keys.iter().map(|key| Arc::new(key.clone()));
        let (keys, keys_by_name) = all
            .map(|key| ((key.sha256, key.clone()), (key.name.clone(), key)))
            .unzip();
        let shared = settings.ticket_secret.as_ref();
        // A reload must not invalidate tickets signed with the secret generated for this process.
        let kept = before
            .filter(|before| shared.is_none() && !before.has_shared_secret)
            .map(|before| before.tickets.clone());
        Ok(Self {
            required: settings.required,
            keys,
            keys_by_name,
            jwt: settings
                .jwt
                .as_ref()
                .map(|jwt| JwtVerifier::new(jwt, before.and_then(|before| before.jwt.as_ref())))
                .transpose()?,
            verified_tokens: VerifiedTokens::default(),
            tickets: kept.unwrap_or_else(|| Arc::new(Tickets::new(shared))),
            has_shared_secret: shared.is_some(),
        })
    }

    /// Starts to fetch the keys that verify tokens. Requires a tokio runtime.
    pub fn prefetch_keys(&self) {
        if let Some(jwt) = self.jwt.as_ref().filter(|_| self.required) {
            jwt.prefetch_keys();
        }
    }

    /// Identifies the caller of a request. With `mode = "none"` nothing is checked and the caller
    /// is anonymous.
    ///
    /// # Errors
    /// Returns 401 with the same message for every invalid credential, and 503 if tokens cannot be
    /// verified because keys are missing.
    pub async fn identify(&self, request: &AuthRequest<'_>) -> Result<Caller, Fault> {
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
        match presented::find(request, cookie) {
            Presented::Header(secret) => self.identify_by_header(secret).await,
            Presented::Cookie(token) => self.identify_by_cookie(token).await,
            Presented::Untrusted => Err(untrusted_cookie()),
            Presented::Nothing => Err(self.missing_credential()),
        }
    }

    /// True if a header contains a credential. Cookies do not count.
    #[must_use]
    pub fn has_header_credential(&self, request: &AuthRequest<'_>) -> bool {
        self.required && presented::in_header(request.headers).is_some()
    }

    async fn identify_by_header(&self, secret: &[u8]) -> Result<Caller, Fault> {
        let sha256: [u8; 32] = Sha256::digest(secret).into();
        match self
            .keys
            .get(&sha256)
            // The hash map's own comparison does not run in constant time.
            .filter(|key| bool::from(key.sha256.ct_eq(&sha256)))
        {
            Some(key) if key.is_active(SystemTime::now()) => Ok(Caller {
                id: CallerId::Key(key.name.clone()),
                key: Some(key.clone()),
                grant: None,
            }),
            // An inactive key gets the error of an unknown one, which tells the client nothing.
            Some(_) => Err(invalid_credential()),
            None => self.identify_by_token(secret, sha256).await,
        }
    }

    async fn identify_by_cookie(&self, token: &[u8]) -> Result<Caller, Fault> {
        if !jwt::looks_like_token(token) {
            return Err(invalid_credential());
        }
        self.identify_by_token(token, Sha256::digest(token).into())
            .await
    }

    async fn identify_by_token(&self, token: &[u8], digest: [u8; 32]) -> Result<Caller, Fault> {
        let jwt = self
            .jwt
            .as_ref()
            .filter(|_| jwt::looks_like_token(token))
            .ok_or_else(invalid_credential)?;
        let keys = jwt.keys().await.map_err(token_fault)?;
        let now = SystemTime::now();
        if let Some(grant) = self.verified_tokens.find(&digest, &keys, now) {
            // The virtual key may have expired since the token was cached.
            return grant.caller(now).ok_or_else(invalid_credential);
        }
        let (claims, keys) = jwt.verify(token, keys).await.map_err(token_fault)?;
        let until = claims.until;
        let grant = Arc::new(self.grant(jwt, claims).map_err(token_fault)?);
        self.verified_tokens
            .insert(digest, &keys, until, now, grant.clone());
        grant.caller(now).ok_or_else(invalid_credential)
    }

    fn grant(&self, jwt: &JwtVerifier, claims: Claims) -> Result<Grant, TokenError> {
        let Claims {
            sub,
            key,
            team,
            models,
            limits,
            ..
        } = claims;
        // A token with an unknown key is rejected: without the key, its limits would not apply.
        let named = key.as_ref().or(jwt.settings().default_key.as_ref());
        let key = named.map(|name| {
            self.keys_by_name
                .get(name)
                .cloned()
                .ok_or(TokenError::Invalid(
                    "the virtual key that it names does not exist",
                ))
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

    /// Returns a ticket for a stream of this caller, valid until `ends`.
    #[must_use]
    pub fn issue_ticket(
        &self,
        caller: &Caller,
        stream: &StreamId,
        rights: Rights,
        origin: Option<&str>,
        ends: SystemTime,
    ) -> String {
        self.tickets.issue(&caller.id, stream, rights, origin, ends)
    }

    /// Reads and verifies a ticket.
    ///
    /// # Errors
    /// Returns 401 if the ticket was not issued here, was changed, or has expired.
    pub fn read_ticket(&self, text: &str) -> Result<Ticket, Fault> {
        self.tickets
            .read(text, SystemTime::now())
            .ok_or_else(invalid_ticket)
    }

    /// Returns the caller that a ticket acts for: the owner of its stream.
    ///
    /// # Errors
    /// Returns 401 if the ticket was issued for another caller, or if the owner is no longer
    /// accepted.
    pub fn caller_for_ticket(&self, ticket: &Ticket, owner: &CallerId) -> Result<Caller, Fault> {
        // The configuration may have changed since the ticket was issued, so the owner's way in is
        // checked again.
        let (name, open) = match owner {
            CallerId::Anonymous => (None, !self.required),
            CallerId::Key(name) => (Some(name), self.required),
            CallerId::User(user) => (user.key.as_ref(), self.required && self.jwt.is_some()),
        };
        let key = name.and_then(|name| self.keys_by_name.get(name));
        let is_active = name.is_none() || key.is_some_and(|key| key.is_active(SystemTime::now()));
        if !(open && is_active && self.tickets.is_for(ticket, owner)) {
            return Err(invalid_ticket());
        }
        Ok(Caller {
            id: owner.clone(),
            key: key.cloned(),
            grant: None,
        })
    }

    fn missing_credential(&self) -> Fault {
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

/// Returns the secret in `Authorization: Bearer` or `x-api-key`.
#[must_use]
pub fn header_secret(headers: &http::HeaderMap) -> Option<&[u8]> {
    presented::in_header(headers)
}

fn invalid_credential() -> Fault {
    Fault::new(Code::Unauthenticated, "this key or token is not valid")
}

fn untrusted_cookie() -> Fault {
    let message = "the session cookie is accepted only if the request's `Origin` is this server's own or is listed in `server.allowed_origins`";
    Fault::new(Code::Unauthenticated, message)
}

fn invalid_ticket() -> Fault {
    Fault::new(
        Code::Unauthenticated,
        "this ticket is not valid: it has expired, or was not issued for this request",
    )
}

/// Returns the client's error for a rejected token. The reason is logged, not sent: it would help
/// an attacker.
fn token_fault(error: TokenError) -> Fault {
    match error {
        TokenError::Invalid(why) => {
            tracing::debug!("a token was rejected: {why}");
            invalid_credential()
        }
        TokenError::KeysUnavailable(wait) => {
            let message = "tokens cannot be verified at the moment: the keys of their issuer could not be fetched; try again later";
            Fault::new(Code::Overloaded, message).with_retry_after(wait.max(MIN_RETRY_AFTER))
        }
    }
}

/// Minimum `Retry-After` if keys are missing.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

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
        auth.identify(&AuthRequest {
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
    async fn a_key_is_accepted_in_either_header() {
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
    async fn invalid_keys_are_rejected() {
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
