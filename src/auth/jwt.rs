//! Tokens (JWT): who a signature says is asking.
//!
//! Invariants: which algorithms count is the configuration's to say, and which of them a key is for
//! is the key's: a token chooses neither. Its size is bounded before anything is computed. Why one
//! was refused is for the log; who sent it is told nothing but that.

mod claims;
mod jwks;
mod keyset;
mod verified;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use jsonwebtoken::{Validation, decode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;

pub(super) use claims::Claims;
pub use claims::Names;
use jwks::Jwks;
pub use keyset::Algorithm;
use keyset::{Choice, KeySet, VerifyingKey};
pub(super) use verified::Verified;

/// The longest token, bytes: more than any header holds that a browser or a load balancer lets
/// pass.
const MAX_TOKEN: usize = 8 << 10;

/// Secrets of this many characters cannot be guessed from tokens that were signed with them (RFC
/// 7518, 3.2).
const GOOD_SECRET: usize = 32;

/// Which tokens are good.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who signs them.
    pub source: Source,
    /// The algorithms that count.
    pub algorithms: Vec<Algorithm>,
    /// Their `iss` must be one of these, where there are any.
    pub issuer: Vec<String>,
    /// One of their `aud` must be one of these, where there are any.
    pub audience: Vec<String>,
    /// How far the clocks of signer and proxy may differ.
    pub leeway: Duration,
    /// The cookie that may carry one.
    pub cookie: Option<String>,
    /// The virtual key of those that name none.
    pub default_key: Option<ByteString>,
    /// Where they say what.
    pub claims: Names,
}

/// Where the keys are that tokens are verified with.
#[derive(Debug, Clone)]
pub enum Source {
    /// A secret that is shared with the signer (HS256).
    Secret(SecretString),
    /// The signer's public key, PEM.
    PublicKey(String),
    /// A set of public keys, fetched and kept.
    Jwks {
        /// Where it is.
        url: String,
        /// Certificate authorities that are trusted beside the usual ones, PEM.
        ca_file: Option<PathBuf>,
    },
}

impl Source {
    /// True where a PEM text holds a public key that can be used.
    #[must_use]
    pub fn is_public_key(pem: &str) -> bool {
        VerifyingKey::of_pem(pem).is_some()
    }
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    /// It is not good: the reason, for the log.
    Bad(&'static str),
    /// There are no keys to verify it with; try again after this long.
    NoKeys(Duration),
}

const UNKNOWN: Refused = Refused::Bad("its `kid` is not known");

/// Reads tokens.
#[derive(Debug)]
pub(super) struct Jwt {
    settings: Settings,
    keys: Keys,
}

#[derive(Debug)]
enum Keys {
    Fixed(Arc<KeySet>),
    Fetched(Arc<Jwks>),
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

impl Jwt {
    /// A reader of tokens. What `before` has fetched from the same place is kept.
    ///
    /// # Errors
    /// When the public key or the certificates cannot be used.
    pub(super) fn new(settings: &Settings, before: Option<&Self>) -> Result<Self, String> {
        let fixed = |key| Keys::Fixed(Arc::new(KeySet::one(key)));
        let keys = match &settings.source {
            Source::Secret(secret) => fixed(VerifyingKey::of_secret(secret.expose_secret())),
            Source::PublicKey(pem) => fixed(
                VerifyingKey::of_pem(pem)
                    .ok_or("auth.jwt.public_key is no RSA or P-256 public key in PEM")?,
            ),
            Source::Jwks { url, ca_file } => {
                let kept = before
                    .and_then(|before| before.fetched())
                    .filter(|kept| kept.is_of(url, ca_file.as_deref()));
                Keys::Fetched(kept.map_or_else(|| Jwks::new(url, ca_file.as_deref()), Ok)?)
            }
        };
        Ok(Self {
            settings: settings.clone(),
            keys,
        })
    }

    fn fetched(&self) -> Option<Arc<Jwks>> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Fetched(jwks) => Some(jwks.clone()),
        }
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Asks for the keys now, so that the first caller need not wait, and says what the operator
    /// should know. Needs a runtime.
    pub(super) fn warm(&self) {
        self.caution();
        if let Keys::Fetched(jwks) = &self.keys {
            jwks.warm();
        }
    }

    /// Says what makes tokens worth less than they could be.
    fn caution(&self) {
        match &self.settings.source {
            Source::Secret(secret) if secret.expose_secret().len() < GOOD_SECRET => {
                tracing::warn!(
                    "auth.jwt.secret is shorter than {GOOD_SECRET} characters: whoever sees a token can guess it"
                );
            }
            Source::Jwks { url, .. } if url.starts_with("http:") && !is_loopback(url) => {
                tracing::warn!(
                    "auth.jwt.jwks_url is not https: whoever is on the way can send keys of their own"
                );
            }
            _ => {}
        }
        if self.settings.audience.is_empty() && !matches!(self.settings.source, Source::Secret(_)) {
            tracing::warn!(
                "auth.jwt.audience is not set: tokens that its issuer made for other applications count here as well"
            );
        }
    }

    /// The keys of the moment.
    ///
    /// # Errors
    /// When there are none yet: when to try again.
    pub(super) async fn keys(&self) -> Result<Arc<KeySet>, Refused> {
        match &self.keys {
            Keys::Fixed(keys) => Ok(keys.clone()),
            Keys::Fetched(jwks) => jwks.keys().await.map_err(Refused::NoKeys),
        }
    }

    /// What a token claims, once its signature and its times were found good, and the keys of which
    /// one did.
    ///
    /// # Errors
    /// Why it does not count.
    pub(super) async fn verify(
        &self,
        token: &[u8],
        keys: Arc<KeySet>,
    ) -> Result<(Claims, Arc<KeySet>), Refused> {
        let header = header_of(token).ok_or(Refused::Bad("it is no token"))?;
        let algorithm = self
            .settings
            .algorithms
            .iter()
            .copied()
            .find(|known| known.name() == header.alg);
        let algorithm =
            algorithm.ok_or(Refused::Bad("its algorithm is not one that is configured"))?;
        if header.crit.is_some() {
            return Err(Refused::Bad(
                "it has critical extensions, which are not known here",
            ));
        }
        let kid = header.kid.as_deref();
        let keys = match (keys.choose(kid, algorithm), &self.keys) {
            // The signer may have a new key since it was asked.
            (Choice::Unknown, Keys::Fetched(jwks)) => jwks.newer(&keys).await.ok_or(UNKNOWN)?,
            _ => keys,
        };
        let claims = match keys.choose(kid, algorithm) {
            Choice::One(key) => self.check(token, key)?,
            Choice::Unknown => return Err(UNKNOWN),
            Choice::Unfit(why) => return Err(Refused::Bad(why)),
        };
        Ok((claims, keys))
    }

    fn check(&self, token: &[u8], key: &VerifyingKey) -> Result<Claims, Refused> {
        let validation = self.validation(key.algorithm());
        let claims =
            decode::<serde_json::Map<String, serde_json::Value>>(token, key.key(), &validation);
        let claims = claims.map_err(|error| Refused::Bad(reason(&error)))?.claims;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Claims::read(
            &claims,
            &self.settings.claims,
            now,
            self.settings.leeway.as_secs(),
        )
        .map_err(Refused::Bad)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let Settings {
            issuer,
            audience,
            leeway,
            ..
        } = &self.settings;
        let mut validation = Validation::new(algorithm.into());
        let mut required = vec!["exp"];
        validation.leeway = leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = !audience.is_empty();
        if !issuer.is_empty() {
            validation.set_issuer(issuer);
            required.push("iss");
        }
        if !audience.is_empty() {
            validation.set_audience(audience);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url
        .parse::<http::Uri>()
        .ok()
        .and_then(|url| url.host().map(str::to_owned))
        .unwrap_or_default();
    host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// True for what has the form of a token: three parts, and not longer than one may be.
pub(super) fn is_token(text: &[u8]) -> bool {
    text.len() <= MAX_TOKEN && text.iter().filter(|b| **b == b'.').count() == 2
}

fn header_of(token: &[u8]) -> Option<Header> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let first = token.split(|b| *b == b'.').next()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).ok()?).ok()
}

/// The reason, without a word of the token.
fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidIssuer => "its issuer is another",
        ErrorKind::InvalidAudience => "it is for another audience",
        ErrorKind::MissingRequiredClaim(_) => {
            "it lacks `exp`, `iss` or `aud`, or has it in another form"
        }
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm is not that of the key"
        }
        _ => "it cannot be read",
    }
}

#[cfg(test)]
mod tests;
