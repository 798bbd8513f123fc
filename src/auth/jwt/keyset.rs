//! Keys that verify signatures, and which of them a token is for.
//!
//! Invariants: a key is for one algorithm, which follows from what the key is; a symmetric key
//! never comes from a set that others publish.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

/// The most keys of one set that are looked at: signers have two or three, large ones a dozen.
const MAX_KEYS: usize = 100;
/// Moduli of RSA keys, bytes: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// A point on P-256, uncompressed, bytes.
const POINT: usize = 65;

/// An algorithm of signatures.
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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Rs256, Self::Es256];

    /// Its name in tokens.
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

/// A key.
#[derive(Debug)]
pub(super) struct VerifyingKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl VerifyingKey {
    pub(super) fn of_secret(secret: &str) -> Self {
        Self {
            kid: None,
            algorithm: Algorithm::Hs256,
            key: DecodingKey::from_secret(secret.as_bytes()),
        }
    }

    /// An RSA or P-256 public key.
    pub(super) fn of_pem(pem: &str) -> Option<Self> {
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
            .is_ok_and(|point| point.len() == POINT);
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

/// Which key a token is for.
pub(super) enum Choice<'a> {
    One(&'a VerifyingKey),
    /// It names one that is not there.
    Unknown,
    /// None of those that are there, and others would not help: why.
    Unfit(&'static str),
}

/// The keys of a signer.
#[derive(Debug)]
pub(in crate::auth) struct KeySet {
    keys: Vec<VerifyingKey>,
    digest: [u8; 32],
}

#[derive(Deserialize)]
struct Published<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A key as RFC 7517 spells it, as far as it matters here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    pub(super) fn one(key: VerifyingKey) -> Self {
        Self {
            keys: vec![key],
            digest: [0; 32],
        }
    }

    /// The keys of a JWKS that are of use here; those of other kinds are passed over.
    ///
    /// # Errors
    /// When there is none: what is wrong.
    pub(super) fn of_jwks(json: &[u8]) -> Result<Self, &'static str> {
        let published: Published<'_> =
            serde_json::from_slice(json).map_err(|_| "it is no set of keys (JSON with `keys`)")?;
        let jwks = published
            .keys
            .iter()
            .take(MAX_KEYS)
            .filter_map(|key| serde_json::from_str::<Jwk>(key.get()).ok());
        let keys: Vec<_> = jwks.filter_map(usable).collect();
        if keys.is_empty() {
            return Err("there is no key in it for RS256 or ES256");
        }
        Ok(Self {
            keys,
            digest: Sha256::digest(json).into(),
        })
    }

    /// True where both were read from the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// The key of that `kid`. A key without a name is for tokens of any; a token without one needs
    /// that there is no choice.
    pub(super) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Choice<'_> {
        let fitting = || self.keys.iter().filter(|key| key.algorithm == algorithm);
        let Some(kid) = kid else {
            let mut all = fitting();
            return match (all.next(), all.next()) {
                (Some(key), None) => Choice::One(key),
                (None, _) => Choice::Unfit("there is no key for its algorithm"),
                (Some(_), Some(_)) => {
                    Choice::Unfit("it names no key (`kid`), and there are several")
                }
            };
        };
        if let Some(key) = fitting().find(|key| key.kid.as_deref() == Some(kid)) {
            return Choice::One(key);
        }
        if self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)) {
            return Choice::Unfit("its algorithm is not that of the key");
        }
        match fitting().find(|key| key.kid.is_none()) {
            Some(key) if self.keys.len() == 1 => Choice::One(key),
            _ => Choice::Unknown,
        }
    }
}

fn usable(jwk: Jwk) -> Option<VerifyingKey> {
    let verifies = jwk
        .key_ops
        .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !verifies || jwk.purpose.is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (algorithm, key) = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("RSA", _) => {
            let n = URL_SAFE_NO_PAD
                .decode(jwk.n?)
                .ok()
                .filter(|n| MODULUS.contains(&n.len()))?;
            (
                Algorithm::Rs256,
                DecodingKey::from_rsa_raw_components(&n, &URL_SAFE_NO_PAD.decode(jwk.e?).ok()?),
            )
        }
        ("EC", Some("P-256")) => (
            Algorithm::Es256,
            DecodingKey::from_ec_components(&jwk.x?, &jwk.y?).ok()?,
        ),
        _ => return None,
    };
    jwk.alg
        .is_none_or(|alg| alg == algorithm.name())
        .then_some(VerifyingKey {
            kid: jwk.kid,
            algorithm,
            key,
        })
}
