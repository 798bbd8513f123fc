//! Tokens (JWT): verification of their signatures and claims.
//!
//! Invariants: the configuration determines the accepted algorithms, and each key is for one
//! algorithm; the token's header chooses neither. A token's size is checked before anything is
//! computed. The reason of a rejection is logged and never sent to the client.

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

pub use claims::ClaimNames;
pub(super) use claims::Claims;
use jwks::Jwks;
pub use keyset::Algorithm;
use keyset::{Choice, KeySet, VerifyingKey};
pub(super) use verified::VerifiedTokens;

/// Maximum length of a token, bytes. Browsers and load balancers do not pass longer headers.
const MAX_TOKEN: usize = 8 << 10;

/// Minimum length of a secret that cannot be guessed from tokens signed with it (RFC 7518, section
/// 3.2).
const MIN_SECRET: usize = 32;

/// Settings of token verification.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The source of the keys that verify signatures.
    pub source: Source,
    /// The accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// The accepted values of `iss`; empty accepts any.
    pub issuer: Vec<String>,
    /// The accepted values of `aud`, one of which a token must have; empty accepts any.
    pub audience: Vec<String>,
    /// Maximum difference between the clocks of signer and proxy.
    pub leeway: Duration,
    /// The name of the cookie that may carry a token.
    pub cookie: Option<String>,
    /// The virtual key of tokens that name none.
    pub default_key: Option<ByteString>,
    /// The names of the claims that are read.
    pub claims: ClaimNames,
}

/// The source of the keys that verify tokens.
#[derive(Debug, Clone)]
pub enum Source {
    /// A secret shared with the signer (HS256).
    Secret(SecretString),
    /// The signer's public key in PEM.
    PublicKey(String),
    /// A set of public keys (JWKS) that is fetched and cached.
    Jwks {
        /// The address of the key set.
        url: String,
        /// A PEM file of certificate authorities trusted in addition to the usual ones.
        ca_file: Option<PathBuf>,
    },
}

impl Source {
    /// True if a PEM text contains an RSA or P-256 public key.
    #[must_use]
    pub fn is_public_key(pem: &str) -> bool {
        VerifyingKey::from_pem(pem).is_some()
    }
}

/// The reason why a token is rejected.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenError {
    /// The token is invalid; the text is the reason for the log.
    Invalid(&'static str),
    /// No keys are available to verify the token; retry after this time.
    KeysUnavailable(Duration),
}

const UNKNOWN_KID: TokenError = TokenError::Invalid("its `kid` is not known");

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct JwtVerifier {
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

impl JwtVerifier {
    /// Creates the verifier. Keys that `before` has fetched from the same address are kept.
    ///
    /// # Errors
    /// Returns a message if the public key or the certificates cannot be used.
    pub(super) fn new(settings: &Settings, before: Option<&Self>) -> Result<Self, String> {
        let fixed = |key| Keys::Fixed(Arc::new(KeySet::from_key(key)));
        let keys = match &settings.source {
            Source::Secret(secret) => fixed(VerifyingKey::from_secret(secret.expose_secret())),
            Source::PublicKey(pem) => fixed(
                VerifyingKey::from_pem(pem)
                    .ok_or("auth.jwt.public_key is not an RSA or P-256 public key in PEM")?,
            ),
            Source::Jwks { url, ca_file } => {
                let kept = before
                    .and_then(|before| before.jwks())
                    .filter(|kept| kept.has_source(url, ca_file.as_deref()));
                Keys::Fetched(kept.map_or_else(|| Jwks::new(url, ca_file.as_deref()), Ok)?)
            }
        };
        Ok(Self {
            settings: settings.clone(),
            keys,
        })
    }

    fn jwks(&self) -> Option<Arc<Jwks>> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Fetched(jwks) => Some(jwks.clone()),
        }
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Starts to fetch the keys, so that the first caller does not wait, and logs warnings about
    /// weak settings. Requires a tokio runtime.
    pub(super) fn prefetch_keys(&self) {
        self.warn_about_weak_settings();
        if let Keys::Fetched(jwks) = &self.keys {
            jwks.prefetch();
        }
    }

    /// Logs warnings about settings that weaken the verification of tokens.
    fn warn_about_weak_settings(&self) {
        match &self.settings.source {
            Source::Secret(secret) if secret.expose_secret().len() < MIN_SECRET => {
                tracing::warn!(
                    "auth.jwt.secret is shorter than {MIN_SECRET} characters: an attacker who sees a token can guess it; set a longer secret"
                );
            }
            Source::Jwks { url, .. } if url.starts_with("http:") && !is_loopback(url) => {
                tracing::warn!(
                    "auth.jwt.jwks_url is not https: an attacker on the network can replace the keys; use an https URL"
                );
            }
            _ => {}
        }
        // A public key is usually shared by all applications of an identity provider, a secret is
        // not.
        if self.settings.audience.is_empty() && !matches!(self.settings.source, Source::Secret(_)) {
            tracing::warn!(
                "auth.jwt.audience is not set: tokens that the issuer made for other applications are accepted as well; set it to this application's audience"
            );
        }
    }

    /// Returns the current keys.
    ///
    /// # Errors
    /// Returns the time to wait before a retry if no keys are available.
    pub(super) async fn keys(&self) -> Result<Arc<KeySet>, TokenError> {
        match &self.keys {
            Keys::Fixed(keys) => Ok(keys.clone()),
            Keys::Fetched(jwks) => jwks.keys().await.map_err(TokenError::KeysUnavailable),
        }
    }

    /// Verifies a token's signature and times. Returns its claims, and the key set that verified
    /// it.
    ///
    /// # Errors
    /// Returns the reason why the token is rejected.
    pub(super) async fn verify(
        &self,
        token: &[u8],
        keys: Arc<KeySet>,
    ) -> Result<(Claims, Arc<KeySet>), TokenError> {
        let header = parse_header(token).ok_or(TokenError::Invalid("it is not a JWT"))?;
        let algorithm = self
            .settings
            .algorithms
            .iter()
            .copied()
            .find(|known| known.name() == header.alg);
        let algorithm = algorithm.ok_or(TokenError::Invalid(
            "its algorithm is not allowed by the configuration",
        ))?;
        // RFC 7515, section 4.1.11: a token with critical extensions that are not understood is
        // invalid.
        if header.crit.is_some() {
            return Err(TokenError::Invalid(
                "it has critical extensions, which are not supported",
            ));
        }
        let kid = header.kid.as_deref();
        let keys = match (keys.choose(kid, algorithm), &self.keys) {
            // The signer may have added a key since the keys were fetched.
            (Choice::Unknown, Keys::Fetched(jwks)) => jwks.newer(&keys).await.ok_or(UNKNOWN_KID)?,
            _ => keys,
        };
        let claims = match keys.choose(kid, algorithm) {
            Choice::One(key) => self.check(token, key)?,
            Choice::Unknown => return Err(UNKNOWN_KID),
            Choice::Unsuitable(why) => return Err(TokenError::Invalid(why)),
        };
        Ok((claims, keys))
    }

    fn check(&self, token: &[u8], key: &VerifyingKey) -> Result<Claims, TokenError> {
        let validation = self.validation(key.algorithm());
        let claims =
            decode::<serde_json::Map<String, serde_json::Value>>(token, key.key(), &validation);
        let claims = claims
            .map_err(|error| TokenError::Invalid(reason(&error)))?
            .claims;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Claims::read(
            &claims,
            &self.settings.claims,
            now,
            self.settings.leeway.as_secs(),
        )
        .map_err(TokenError::Invalid)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let Settings {
            issuer,
            audience,
            leeway,
            ..
        } = &self.settings;
        let mut validation = Validation::new(algorithm.into());
        // A token without an expiry would be valid forever.
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

/// True if a text has the form of a token: three parts and at most [`MAX_TOKEN`] bytes.
pub(super) fn looks_like_token(text: &[u8]) -> bool {
    text.len() <= MAX_TOKEN && text.iter().filter(|b| **b == b'.').count() == 2
}

fn parse_header(token: &[u8]) -> Option<Header> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let first = token.split(|b| *b == b'.').next()?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).ok()?).ok()
}

/// Returns the reason for the log, without any part of the token.
fn reason(error: &jsonwebtoken::errors::Error) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidSignature => "its signature is wrong",
        ErrorKind::InvalidIssuer => "its `iss` is not a configured issuer",
        ErrorKind::InvalidAudience => "its `aud` contains no configured audience",
        ErrorKind::MissingRequiredClaim(_) => "its `exp`, `iss` or `aud` is missing or malformed",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "its algorithm does not match the key"
        }
        _ => "it cannot be parsed",
    }
}

#[cfg(test)]
mod tests;
