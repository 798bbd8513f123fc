//! Whoever signs tokens: keys of its own, published over HTTP as it likes.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::upstream::{Step, Upstream, json as whole};

/// The audience of good tokens.
pub const AUDIENCE: &str = "sluicegate";
/// Their issuer.
pub const ISSUER: &str = "https://id.example";

/// Two RSA keys: making one takes a moment.
static RSA: LazyLock<[KeyPair; 2]> = LazyLock::new(|| {
    let make = |_| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    std::array::from_fn(make)
});
static EC: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());

/// A key with its name.
#[derive(Clone)]
pub struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    /// RSA key number `n`, 0 or 1, under the name `kid`.
    pub fn rsa(n: usize, kid: &str) -> Self {
        let key = EncodingKey::from_rsa_pem(RSA[n].serialize_pem().as_bytes()).unwrap();
        Self {
            kid: kid.into(),
            algorithm: Algorithm::RS256,
            key,
        }
    }

    /// A P-256 key.
    pub fn ec(kid: &str) -> Self {
        let key = EncodingKey::from_ec_pem(EC.serialize_pem().as_bytes()).unwrap();
        Self {
            kid: kid.into(),
            algorithm: Algorithm::ES256,
            key,
        }
    }

    /// A secret.
    pub fn secret(secret: &[u8], kid: &str) -> Self {
        Self {
            kid: kid.into(),
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret),
        }
    }

    /// The PEM of the public half of RSA key number `n`.
    pub fn public_pem(n: usize) -> String {
        RSA[n].public_key_pem()
    }

    /// As it is published.
    fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap())
                .unwrap();
        jwk["kid"] = self.kid.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// A token for `sub` with these claims besides those that every good one has; a null takes one
    /// away.
    pub fn token(&self, sub: &str, more: &Value) -> String {
        let mut claims =
            json!({"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": now() + 600, "iat": now()});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        encode(&header, &claims, &self.key).unwrap()
    }
}

/// Unix seconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// What it answers.
type Answer = Arc<Mutex<Vec<Step>>>;

/// A server of public keys.
pub struct Issuer {
    answer: Answer,
    /// The server.
    pub server: Upstream,
}

impl Issuer {
    /// Publishes these keys.
    pub async fn of(signers: &[Signer]) -> Self {
        let answer: Answer = Arc::default();
        let told = answer.clone();
        let server = Upstream::start(move |_, _| told.lock().unwrap().clone()).await;
        let issuer = Self { answer, server };
        issuer.publish(signers);
        issuer
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, signers: &[Signer]) {
        let keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
        self.answer(whole(200, json!({"keys": keys}).to_string()));
    }

    /// Answers so from now on.
    pub fn answer(&self, steps: Vec<Step>) {
        *self.answer.lock().unwrap() = steps;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.server.count()
    }

    /// `auth.jwt` for its tokens, and what else stands in the table.
    pub fn jwt(&self, more: &str) -> String {
        let addr = self.server.addr;
        format!(
            "mode = \"required\"\njwt = {{ jwks_url = \"http://{addr}/keys\", issuer = \"{ISSUER}\", audience = \"{AUDIENCE}\", cookie = \"session\"{more} }}"
        )
    }
}
