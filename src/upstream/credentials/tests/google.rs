use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};

use super::server::Server;
use super::*;

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

fn google(credentials: Option<&str>) -> Credential {
    Credential::Google(Google {
        credentials: credentials.map(Into::into),
    })
}

const TOKEN: &str = r#"{"access_token":"ya29.t0ken","expires_in":3599,"token_type":"Bearer"}"#;

#[tokio::test]
async fn a_service_account_signs_for_its_token() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let server = Server::always(200, TOKEN).await;
    let uri = server.url("/token");
    let file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "key-1", "private_key": pair.serialize_pem(),
        "client_email": "gate@p.iam.gserviceaccount.com", "client_id": "1", "token_uri": uri,
    });
    let file = File::new(&file.to_string());
    let credential = obtain(google(Some(file.path())), &[]).await;
    assert_eq!(token(&credential), "Bearer ya29.t0ken");
    let request = server.requests().remove(0);
    assert!(request.is("POST /token "));
    assert_eq!(
        request.field("grant_type").as_deref(),
        Some("urn:ietf:params:oauth:grant-type:jwt-bearer")
    );
    let assertion = request.field("assertion").unwrap();
    let header = decode_header(&assertion).unwrap();
    assert_eq!(
        (header.alg, header.kid.as_deref(), header.typ.as_deref()),
        (Algorithm::RS256, Some("key-1"), Some("JWT"))
    );
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&[&uri]);
    let public = DecodingKey::from_rsa_pem(pair.public_key_pem().as_bytes()).unwrap();
    let claims = decode::<Value>(&assertion, &public, &validation)
        .unwrap()
        .claims;
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["scope"]),
        (
            &json!("gate@p.iam.gserviceaccount.com"),
            &json!(uri),
            &json!(SCOPE)
        )
    );
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert!(claims["iat"].as_u64().unwrap().abs_diff(now) < 60);
}

fn user(token_uri: &str) -> File {
    let file = json!({
        "type": "authorized_user", "client_id": "id.apps", "client_secret": "d-secret", "refresh_token": "1//r3fresh",
        "quota_project_id": "payer", "token_uri": token_uri,
    });
    File::new(&file.to_string())
}

#[tokio::test]
async fn a_user_refreshes_a_token_and_names_the_billed_project() {
    let server = Server::always(200, TOKEN).await;
    let file = user(&server.url("/token"));
    for (environment, project) in [(None, "payer"), (Some("other"), "other")] {
        let environment: Vec<_> = [("GOOGLE_APPLICATION_CREDENTIALS", file.path())]
            .into_iter()
            .chain(environment.map(|name| ("GOOGLE_CLOUD_QUOTA_PROJECT", name)))
            .collect();
        let credential = obtain(google(None), &environment).await;
        assert_eq!(token(&credential), "Bearer ya29.t0ken");
        let Secret::Token { project: named, .. } = credential.secret() else {
            panic!("{credential:?}")
        };
        assert_eq!(named.as_ref().unwrap(), project);
    }
    let request = server.requests().remove(0);
    for (name, value) in [
        ("grant_type", "refresh_token"),
        ("client_id", "id.apps"),
        ("client_secret", "d-secret"),
        ("refresh_token", "1//r3fresh"),
    ] {
        assert_eq!(request.field(name).as_deref(), Some(value));
    }
}

#[tokio::test]
async fn the_gcloud_file_is_found() {
    let server = Server::always(200, TOKEN).await;
    let folder = std::env::temp_dir().join(format!(
        "sluicegate-gcloud-{:016x}",
        getrandom::u64().unwrap()
    ));
    std::fs::create_dir_all(folder.join(".config/gcloud")).unwrap();
    std::fs::rename(
        user(&server.url("/")).path(),
        folder.join(".config/gcloud/application_default_credentials.json"),
    )
    .unwrap();
    let (home, config) = (folder.to_str().unwrap(), folder.join(".config/gcloud"));
    for environment in [
        ("HOME", home),
        ("CLOUDSDK_CONFIG", config.to_str().unwrap()),
    ] {
        assert_eq!(
            token(&obtain(google(None), &[environment]).await),
            "Bearer ya29.t0ken"
        );
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn the_metadata_server_is_asked_last() {
    let server = Server::always(200, TOKEN).await;
    let host = server.addr.to_string();
    let credential = obtain(
        google(None),
        &[("GCE_METADATA_HOST", &host), ("HOME", "/nowhere")],
    )
    .await;
    assert_eq!(token(&credential), "Bearer ya29.t0ken");
    let request = server.requests().remove(0);
    assert_eq!(request.header("metadata-flavor"), Some("Google"));
    assert_eq!(
        request.line,
        format!(
            "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE} HTTP/1.1"
        )
    );
    let nobody = fault(google(None), &[("GCE_METADATA_HOST", "127.0.0.1:1")]).await;
    assert!(
        nobody.message.contains("set `credentials` to a key file"),
        "{}",
        nobody.message
    );
}

#[tokio::test]
async fn invalid_key_files_are_reported_without_their_content() {
    let key = |key: &str| json!({"type": "service_account", "client_email": "e", "private_key": key, "token_uri": "http://127.0.0.1:1/"});
    for (text, expected) in [
        ("HOSTILE", "is invalid"),
        (
            r#"{"type":"service_account","client_email":["HOSTILE"]}"#,
            "is invalid",
        ),
        (r#"{"type":"external_account"}"#, "has an unsupported type"),
        (&*key("HOSTILE").to_string(), "no usable RSA key"),
        (
            &*key("-----BEGIN PRIVATE KEY-----\nSE9TVElMRQ==\n-----END PRIVATE KEY-----")
                .to_string(),
            "no usable RSA key",
        ),
    ] {
        let file = File::new(text);
        let fault = fault(google(Some(file.path())), &[]).await;
        assert!(fault.message.contains(expected), "{}", fault.message);
        assert!(
            !fault.message.contains("HOSTILE") && !fault.message.contains(file.path()),
            "{}",
            fault.message
        );
    }
    let missing = fault(google(Some("/nowhere/key.json")), &[]).await;
    assert!(
        missing.message.contains("does not exist") && !missing.message.contains("nowhere"),
        "{}",
        missing.message
    );
}
