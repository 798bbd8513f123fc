//! A token issuer: signing keys, and a server that publishes them over HTTP.

use std::sync::{Arc, LazyLock, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::upstream::{Step, Upstream, json as whole};

/// Audience of valid tokens.
pub const AUDIENCE: &str = "sluicegate";
/// Issuer of valid tokens.
pub const ISSUER: &str = "https://id.example";

/// Two RSA keys, generated once because that takes a moment.
static RSA: LazyLock<[KeyPair; 2]> = LazyLock::new(|| {
    let make = |_| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    std::array::from_fn(make)
});
static EC: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap());

/// A signing key with its key id.
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

    /// The P-256 key, under the name `kid`.
    pub fn ec(kid: &str) -> Self {
        let key = EncodingKey::from_ec_pem(EC.serialize_pem().as_bytes()).unwrap();
        Self {
            kid: kid.into(),
            algorithm: Algorithm::ES256,
            key,
        }
    }

    /// A shared secret, under the name `kid`.
    pub fn secret(secret: &[u8], kid: &str) -> Self {
        Self {
            kid: kid.into(),
            algorithm: Algorithm::HS256,
            key: EncodingKey::from_secret(secret),
        }
    }

    /// Returns the PEM of the public half of RSA key number `n`.
    pub fn public_pem(n: usize) -> String {
        RSA[n].public_key_pem()
    }

    /// Returns the published form of the key.
    fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap())
                .unwrap();
        jwk["kid"] = self.kid.clone().into();
        jwk["use"] = "sig".into();
        jwk
    }

    /// Issues a token for `sub` with these claims in addition to the default ones; a null removes a
    /// default.
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

/// Returns the current time in Unix seconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// The response of the key server.
type Steps = Arc<Mutex<Vec<Step>>>;

/// A server of public keys.
pub struct Issuer {
    answer: Steps,
    /// The server.
    pub server: Upstream,
}

impl Issuer {
    /// Starts a server that publishes these keys.
    pub async fn new(signers: &[Signer]) -> Self {
        let answer: Steps = Arc::default();
        let served = answer.clone();
        let server = Upstream::start(move |_, _| served.lock().unwrap().clone()).await;
        let issuer = Self { answer, server };
        issuer.publish(signers);
        issuer
    }

    /// Replaces the published keys.
    pub fn publish(&self, signers: &[Signer]) {
        let keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
        self.answer(whole(200, json!({"keys": keys}).to_string()));
    }

    /// Replaces the response.
    pub fn answer(&self, steps: Vec<Step>) {
        *self.answer.lock().unwrap() = steps;
    }

    /// Returns the number of requests received.
    pub fn requests(&self) -> usize {
        self.server.count()
    }

    /// Returns the `auth` settings for its tokens, with additional `jwt` members.
    pub fn jwt(&self, more: &str) -> String {
        let addr = self.server.addr;
        format!(
            "mode = \"required\"\njwt = {{ jwks_url = \"http://{addr}/keys\", issuer = \"{ISSUER}\", audience = \"{AUDIENCE}\", cookie = \"session\"{more} }}"
        )
    }
}
