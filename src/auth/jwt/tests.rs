use std::sync::LazyLock;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header, encode};
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a secret of thirty-two characters";

static RSA: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()
});
static EC: LazyLock<KeyPair> =
    LazyLock::new(|| KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap());

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA.serialize_pem().as_bytes()).unwrap()
}

fn ec() -> EncodingKey {
    EncodingKey::from_ec_pem(EC.serialize_pem().as_bytes()).unwrap()
}

fn jwk(key: &EncodingKey, algorithm: jsonwebtoken::Algorithm, more: &Value) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    for (name, value) in more.as_object().unwrap() {
        jwk[name] = value.clone();
    }
    jwk
}

fn keys(list: &[Value]) -> Result<KeySet, &'static str> {
    KeySet::from_jwks(json!({"keys": list}).to_string().as_bytes())
}

fn settings(source: Source) -> Settings {
    Settings {
        algorithms: match source {
            Source::Secret(_) => vec![Algorithm::Hs256],
            Source::PublicKey(_) | Source::Jwks { .. } => vec![Algorithm::Rs256, Algorithm::Es256],
        },
        source,
        issuer: vec!["https://id.example".into()],
        audience: vec!["sluicegate".into(), "other".into()],
        leeway: Duration::from_secs(60),
        cookie: None,
        default_key: None,
        claims: ClaimNames::default(),
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn good() -> Value {
    json!({"iss": "https://id.example", "aud": "sluicegate", "sub": "ann", "exp": now() + 600, "iat": now(), "nbf": now()})
}

fn with(changes: &Value) -> Value {
    let mut claims = good();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn signed(algorithm: jsonwebtoken::Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

async fn read(settings: &Settings, token: &str) -> Result<Claims, &'static str> {
    let jwt = JwtVerifier::new(settings, None).unwrap();
    let keys = jwt.keys().await.unwrap();
    match jwt.verify(token.as_bytes(), keys).await {
        Ok((claims, _)) => Ok(claims),
        Err(TokenError::Invalid(why)) => Err(why),
        Err(TokenError::KeysUnavailable(_)) => panic!("there are keys"),
    }
}

async fn by_secret(claims: &Value) -> Result<Claims, &'static str> {
    let token = signed(
        jsonwebtoken::Algorithm::HS256,
        &EncodingKey::from_secret(SECRET.as_bytes()),
        claims,
    );
    read(&settings(Source::Secret(SECRET.into())), &token).await
}

#[tokio::test]
async fn claims_are_read() {
    let all = with(&json!({
        "aud": ["x", "other"], "key": "web", "team": "growth", "models": ["gpt-*", "o3"],
        "limits": {"requests_per_minute": 5, "tokens_per_minute": 6, "concurrent_streams": 7, "burst": 8},
    }));
    let claims = by_secret(&all).await.unwrap();
    assert_eq!(
        (&*claims.sub, claims.key.as_deref(), claims.team.as_deref()),
        ("ann", Some("web"), Some("growth"))
    );
    assert_eq!(claims.models.unwrap(), ["gpt-*", "o3"]);
    let limits = claims.limits.unwrap();
    let figures = [
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.concurrent_streams,
        limits.burst,
    ];
    assert_eq!(figures.map(|it| it.unwrap().get()), [5, 6, 7, 8]);
    let plain = by_secret(&with(&json!({"models": "gpt-5", "team": null})))
        .await
        .unwrap();
    assert_eq!(
        (plain.models.unwrap(), plain.team, plain.limits),
        (vec!["gpt-5".to_owned()], None, None)
    );
}

#[tokio::test]
async fn times_issuer_and_audience_are_verified() {
    for (changes, why) in [
        (json!({"exp": now() - 120}), "it has expired"),
        (
            json!({"exp": null}),
            "its `exp`, `iss` or `aud` is missing or malformed",
        ),
        (
            json!({"exp": "tomorrow"}),
            "its `exp`, `iss` or `aud` is missing or malformed",
        ),
        (json!({"nbf": now() + 120}), "it is not valid yet"),
        (json!({"iat": now() + 120}), "it was issued in the future"),
        (json!({"iat": "now"}), "it was issued in the future"),
        (
            json!({"iss": "https://evil.example"}),
            "its `iss` is not a configured issuer",
        ),
        (
            json!({"iss": null}),
            "its `exp`, `iss` or `aud` is missing or malformed",
        ),
        (
            json!({"aud": "elsewhere"}),
            "its `aud` contains no configured audience",
        ),
        (
            json!({"aud": ["elsewhere", "nowhere"]}),
            "its `aud` contains no configured audience",
        ),
        (
            json!({"aud": null}),
            "its `exp`, `iss` or `aud` is missing or malformed",
        ),
    ] {
        assert_eq!(
            by_secret(&with(&changes)).await.unwrap_err(),
            why,
            "{changes}"
        );
    }
    for changes in [
        json!({"exp": now() - 30}),
        json!({"nbf": now() + 30}),
        json!({"iat": now() + 30}),
        json!({"exp": 1e300}),
    ] {
        let read = by_secret(&with(&changes)).await;
        assert_eq!(read.is_ok(), changes["exp"] != 1e300, "{changes}");
    }
}

#[tokio::test]
async fn a_claim_of_another_type_rejects_the_token() {
    for changes in [
        json!({"sub": null}),
        json!({"sub": 7}),
        json!({"sub": ""}),
        json!({"sub": "x".repeat(256)}),
        json!({"sub": "a\nb"}),
        json!({"key": ["web"]}),
        json!({"team": {}}),
        json!({"models": [7]}),
        json!({"models": {"a": 1}}),
        json!({"limits": 5}),
        json!({"limits": {"requests_per_minute": 0}}),
        json!({"limits": {"requests_per_minute": -1}}),
        json!({"limits": {"requests_per_minute": 1.5}}),
        json!({"limits": {"requests_per_hour": 1}}),
    ] {
        assert!(by_secret(&with(&changes)).await.is_err(), "{changes}");
    }
}

#[tokio::test]
async fn claims_have_the_configured_names() {
    let names = ClaimNames {
        user: "email".into(),
        team: "https://example.com/team".into(),
        ..ClaimNames::default()
    };
    let settings = Settings {
        claims: names,
        ..settings(Source::Secret(SECRET.into()))
    };
    let claims = with(&json!({"email": "ann@example.com", "https://example.com/team": "growth"}));
    let token = signed(
        jsonwebtoken::Algorithm::HS256,
        &EncodingKey::from_secret(SECRET.as_bytes()),
        &claims,
    );
    let read = read(&settings, &token).await.unwrap();
    assert_eq!(
        (&*read.sub, read.team.as_deref()),
        ("ann@example.com", Some("growth"))
    );
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::Algorithm::{ES256, HS256, HS384, RS256, RS384};
    let pem = RSA.public_key_pem();
    let by_pem = settings(Source::PublicKey(pem.clone()));
    assert!(read(&by_pem, &signed(RS256, &rsa(), &good())).await.is_ok());
    // An attacker could sign with the public key as the secret of an HMAC.
    for confused in [
        pem.as_bytes(),
        RSA.public_key_raw(),
        pem.trim_end().as_bytes(),
    ] {
        let token = signed(HS256, &EncodingKey::from_secret(confused), &good());
        assert_eq!(
            read(&by_pem, &token).await.unwrap_err(),
            "its algorithm is not allowed by the configuration"
        );
    }
    for token in [
        signed(RS384, &rsa(), &good()),
        signed(HS384, &EncodingKey::from_secret(SECRET.as_bytes()), &good()),
    ] {
        assert!(read(&by_pem, &token).await.is_err());
    }
    assert_eq!(
        read(&by_pem, &signed(ES256, &ec(), &good()))
            .await
            .unwrap_err(),
        "no key fits its algorithm"
    );
    let only = Settings {
        algorithms: vec![Algorithm::Es256],
        ..by_pem.clone()
    };
    assert_eq!(
        read(&only, &signed(RS256, &rsa(), &good()))
            .await
            .unwrap_err(),
        "its algorithm is not allowed by the configuration"
    );
    let secret = settings(Source::Secret(SECRET.into()));
    let payload = URL_SAFE_NO_PAD.encode(good().to_string());
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256 "] {
        let head = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
        for settings in [&by_pem, &secret] {
            for signature in ["", "AAAA"] {
                let token = format!("{head}.{payload}.{signature}");
                assert_eq!(
                    read(settings, &token).await.unwrap_err(),
                    "its algorithm is not allowed by the configuration",
                    "{alg}"
                );
            }
        }
    }
    let head =
        URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "crit": ["b64"], "b64": false}).to_string());
    assert!(
        read(&secret, &format!("{head}.{payload}.AAAA"))
            .await
            .unwrap_err()
            .contains("critical")
    );
    for nonsense in [
        "..",
        "a.b.c",
        "e30.e30.e30",
        "eyJhbGciOiJIUzI1NiJ9..",
        "\u{1}.\u{2}.\u{3}",
    ] {
        assert!(read(&secret, nonsense).await.is_err(), "{nonsense}");
    }
}

#[test]
fn a_token_has_three_parts_and_a_maximum_length() {
    assert!(
        looks_like_token(b"a.b.c")
            && looks_like_token(b"..")
            && !looks_like_token(b"a.b")
            && !looks_like_token(b"a.b.c.d.e")
    );
    let padded = |len: usize| [&b"a.b."[..], &vec![b'c'; len - 4]].concat();
    assert!(looks_like_token(&padded(MAX_TOKEN)) && !looks_like_token(&padded(MAX_TOKEN + 1)));
}

#[test]
fn only_usable_keys_of_a_published_set_are_kept() {
    use jsonwebtoken::Algorithm::{ES256, RS256};
    let (rsa, ec) = (rsa(), ec());
    let named = |kid: &str| json!({"kid": kid, "alg": null});
    let set = keys(&[
        jwk(&rsa, RS256, &json!({"kid": "enc", "use": "enc"})),
        jwk(&rsa, RS256, &json!({"kid": "ps", "alg": "PS256"})),
        jwk(&rsa, RS256, &json!({"kid": "ops", "key_ops": ["encrypt"]})),
        jwk(&rsa, RS256, &json!({"kid": "small", "n": "AQAB"})),
        json!({"kty": "oct", "kid": "oct", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": "AA", "y": "AA"}),
        json!({"nothing": true}),
        json!(7),
        jwk(&rsa, RS256, &json!({"kid": "alg", "alg": "none"})),
        jwk(&rsa, RS256, &json!({"kid": "kid", "use": 7})),
        jwk(&rsa, RS256, &json!({"kid": "r", "alg": null, "use": "sig", "x5c": ["MIIB"], "x5t": "AA", "issuer": "i"})),
        jwk(&ec, ES256, &json!({"kid": "e", "alg": "ES256", "key_ops": ["sign", "verify"]})),
    ])
    .unwrap();
    assert!(matches!(
        set.choose(Some("r"), Algorithm::Rs256),
        Choice::One(_)
    ));
    assert!(matches!(
        set.choose(Some("e"), Algorithm::Es256),
        Choice::One(_)
    ));
    assert!(matches!(set.choose(None, Algorithm::Es256), Choice::One(_)));
    assert!(
        matches!(
            set.choose(Some("r"), Algorithm::Es256),
            Choice::Unsuitable(_)
        ),
        "a key is for its own algorithm"
    );
    assert!(matches!(
        set.choose(Some("r"), Algorithm::Hs256),
        Choice::Unsuitable(_)
    ));
    for kid in [
        "enc", "ps", "ops", "small", "oct", "p384", "alg", "kid", "other",
    ] {
        assert!(
            matches!(set.choose(Some(kid), Algorithm::Rs256), Choice::Unknown),
            "{kid}"
        );
    }
    let two = keys(&[jwk(&rsa, RS256, &named("a")), jwk(&rsa, RS256, &named("b"))]).unwrap();
    assert!(
        matches!(two.choose(None, Algorithm::Rs256), Choice::Unsuitable(_)),
        "no key is guessed"
    );
    let nameless = keys(&[jwk(&rsa, RS256, &json!({"kid": null}))]).unwrap();
    assert!(matches!(
        nameless.choose(Some("any"), Algorithm::Rs256),
        Choice::One(_)
    ));
    for bad in [&b"{}"[..], b"[]", b"", br#"{"keys":[]}"#, br#"{"keys":{}}"#] {
        assert!(KeySet::from_jwks(bad).is_err());
    }
}
