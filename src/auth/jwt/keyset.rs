//! Keys that verify signatures, and the choice of the key for a token.
//!
//! Invariants: a key is for one algorithm, which follows from the key's type; a symmetric key is
//! never taken from a published set.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// Maximum number of keys read from one set. Signers have two or three, large ones a dozen.
const MAX_KEYS: usize = 100;
/// Accepted lengths of RSA moduli, bytes: 2048 to 8192 bits.
const MODULUS_LENGTHS: std::ops::RangeInclusive<usize> = 256..=1024;
/// Length of an uncompressed point on P-256, bytes.
const POINT_LENGTH: usize = 65;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA PKCS#1 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// All supported algorithms.
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Rs256, Self::Es256];

    /// The algorithm's name in tokens.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::HS256,
            Algorithm::Rs256 => Self::RS256,
            Algorithm::Es256 => Self::ES256,
        }
    }
}

/// A key that verifies signatures of one algorithm.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    pub(super) fn from_secret(secret: &str) -> Self {
        Self {
            kid: None,
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret.as_bytes()),
        }
    }

    /// Parses an RSA or P-256 public key in PEM.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        // The PEM label `PUBLIC KEY` does not name the key type, so both types are tried.
        if let Ok(key) = DecodingKey::from_rsa_pem(pem.as_bytes()) {
            return Some(Self {
                kid: None,
                algorithm: Algorithm::Rs256,
                key,
            });
        }
        let key = DecodingKey::from_ec_pem(pem.as_bytes()).ok()?;
        let is_p256 = key
            .try_get_as_bytes()
            .is_ok_and(|point| point.len() == POINT_LENGTH);
        is_p256.then_some(Self {
            kid: None,
            algorithm: Algorithm::Es256,
            key,
        })
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) const fn key(&self) -> &DecodingKey {
        &self.key
    }
}

/// The key chosen for a token.
pub(super) enum Choice<'a> {
    /// The key that verifies the token.
    One(&'a VerifyingKey),
    /// The token names a key that is not in the set; a newer set may contain it.
    Unknown,
    /// No key of the set fits, and a newer set would not help; the text is the reason.
    Unsuitable(&'static str),
}

/// The keys of a signer.
#[derive(Debug)]
pub(in crate::auth) struct KeySet {
    keys: Vec<VerifyingKey>,
    digest: [u8; 32],
}

#[derive(Deserialize)]
struct PublishedSet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

impl KeySet {
    pub(super) fn from_key(key: VerifyingKey) -> Self {
        Self {
            keys: vec![key],
            digest: [0; 32],
        }
    }

    /// Parses the usable keys of a JWKS; keys of other types are skipped.
    ///
    /// # Errors
    /// Returns the reason if there is no usable key.
    pub(super) fn from_jwks(json: &[u8]) -> Result<Self, &'static str> {
        let published: PublishedSet<'_> = serde_json::from_slice(json)
            .map_err(|_| "the response is not a JWKS (JSON with `keys`)")?;
        let jwks = published
            .keys
            .iter()
            .take(MAX_KEYS)
            .filter_map(|key| serde_json::from_str::<Jwk>(key.get()).ok());
        let keys: Vec<_> = jwks.filter_map(parse_jwk).collect();
        if keys.is_empty() {
            return Err("the JWKS contains no key for RS256 or ES256");
        }
        Ok(Self {
            keys,
            digest: Sha256::digest(json).into(),
        })
    }

    /// True if both sets were parsed from the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Chooses the key with this `kid` for `algorithm`. A key without a `kid` is used for any token
    /// if it is the only key of its set; a token without a `kid` is accepted only if exactly one
    /// key has its algorithm.
    pub(super) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Choice<'_> {
        let of_algorithm = || self.keys.iter().filter(|key| key.algorithm == algorithm);
        let Some(kid) = kid else {
            let mut all = of_algorithm();
            return match (all.next(), all.next()) {
                (Some(key), None) => Choice::One(key),
                (None, _) => Choice::Unsuitable("no key fits its algorithm"),
                (Some(_), Some(_)) => {
                    Choice::Unsuitable("it has no `kid`, and several keys fit its algorithm")
                }
            };
        };
        if let Some(key) = of_algorithm().find(|key| key.kid.as_deref() == Some(kid)) {
            return Choice::One(key);
        }
        // The named key exists for another algorithm, so fetching a newer set would not help.
        if self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)) {
            return Choice::Unsuitable("its algorithm does not match the key");
        }
        match of_algorithm().find(|key| key.kid.is_none()) {
            Some(key) if self.keys.len() == 1 => Choice::One(key),
            _ => Choice::Unknown,
        }
    }
}

fn parse_jwk(jwk: Jwk) -> Option<VerifyingKey> {
    // Published sets may contain encryption keys as well.
    let common = &jwk.common;
    let verifies = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(key) if has_accepted_length(&key.n) => {
            (Algorithm::Rs256, KeyAlgorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::Es256, KeyAlgorithm::ES256)
        }
        _ => return None,
    };
    if !verifies || common.key_algorithm.is_some_and(|alg| alg != name) {
        return None;
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(VerifyingKey {
        kid: jwk.common.key_id,
        algorithm,
        key,
    })
}

/// True for an RSA modulus of an accepted length, given in base64url.
fn has_accepted_length(modulus: &str) -> bool {
    URL_SAFE_NO_PAD
        .decode(modulus)
        .is_ok_and(|modulus| MODULUS_LENGTHS.contains(&modulus.len()))
}
