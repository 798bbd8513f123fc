//! Tokens for Google Cloud: from a key file, or from the metadata server of the machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use super::local::{self, Environment};
use super::oauth::{self, Token};
use super::renewal::FetchedSecret;
use super::web::{self, Endpoint, HttpClients};
use super::{Problem, Secret};
use crate::model::target::Google;

/// OAuth scope of the tokens: everything that the account may do in Google Cloud.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Token endpoint for users, unless the key file names another one.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// OAuth grant type of an assertion.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Lifetime of an assertion: the maximum that Google accepts.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Maximum time by which our clock may be ahead of Google's.
const SKEW: Duration = Duration::from_secs(10);
/// Host of the metadata server.
const METADATA_HOST: &str = "metadata.google.internal";
const TOKEN_ENDPOINT: Endpoint = Endpoint {
    name: "Google's token endpoint",
    check: "that the key file is valid and not revoked",
};
const METADATA_ENDPOINT: Endpoint = Endpoint {
    name: "Google's metadata server",
    check: "that the machine has a service account",
};
/// Name of gcloud's credentials file in its folder.
const DEFAULT_FILE: &str = "application_default_credentials.json";

/// A key file. It has no `Debug`, because that would contain secrets.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum KeyFile {
    ServiceAccount(ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
    quota_project_id: Option<String>,
}

#[derive(Deserialize)]
struct AuthorizedUser {
    client_id: String,
    client_secret: String,
    refresh_token: String,
    token_uri: Option<String>,
    quota_project_id: Option<String>,
}

/// Claims of the assertion of a service account.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// Fetches a token from the configured source, or from the places where Google's own tools look.
pub(super) async fn fetch(
    google: &Google,
    environment: &Environment,
    clients: &HttpClients<'_>,
) -> Result<FetchedSecret, Problem> {
    let (token, project) = match key_file(google, environment).await? {
        Some(text) => token_by_key_file(&text, environment, clients).await?,
        // The service account of the machine implies its project.
        None => (token_by_metadata(environment, clients).await?, None),
    };
    let bad = |_| Problem::new("the quota project is not a valid project name: check it");
    let project = project
        .map(HeaderValue::try_from)
        .transpose()
        .map_err(bad)?;
    let secret = Secret::Token {
        authorization: token.authorization,
        project,
    };
    Ok(FetchedSecret {
        secret,
        lifetime: Some(token.lifetime),
    })
}

/// Returns the text of the key file; `None` when there is none.
async fn key_file(google: &Google, environment: &Environment) -> Result<Option<String>, Problem> {
    if let Some(path) = &google.credentials {
        return read_required(path, "the key file of `credentials`").await;
    }
    if let Some(path) = environment.path("GOOGLE_APPLICATION_CREDENTIALS") {
        return read_required(&path, "the key file of GOOGLE_APPLICATION_CREDENTIALS").await;
    }
    match gcloud_file(environment) {
        Some(path) => local::read_default(&path, "gcloud's file of credentials").await,
        None => Ok(None),
    }
}

async fn read_required(path: &Path, what: &str) -> Result<Option<String>, Problem> {
    local::read_required(path, what).await.map(Some)
}

fn gcloud_file(environment: &Environment) -> Option<PathBuf> {
    let folder = environment
        .path("CLOUDSDK_CONFIG")
        .or_else(|| environment.at_home(".config/gcloud"))?;
    Some(folder.join(DEFAULT_FILE))
}

/// Fetches a token for a key file. Also returns the project to bill.
async fn token_by_key_file(
    text: &str,
    environment: &Environment,
    clients: &HttpClients<'_>,
) -> Result<(Token, Option<String>), Problem> {
    // Error messages of serde quote the wrong value, which may be a secret.
    let unreadable =
        |_| Problem::new("the Google key file is invalid: check that it was copied completely");
    let (token, project) = match serde_json::from_str(text).map_err(unreadable)? {
        KeyFile::ServiceAccount(account) => (
            token_by_assertion(&account, clients).await?,
            account.quota_project_id,
        ),
        KeyFile::AuthorizedUser(user) => (
            token_by_refresh_token(&user, clients).await?,
            user.quota_project_id,
        ),
        KeyFile::Other => {
            return Err(Problem::new(
                "the Google key file has an unsupported type: use one of a service account, or \
                 the file of gcloud",
            ));
        }
    };
    Ok((
        token,
        environment.var("GOOGLE_CLOUD_QUOTA_PROJECT").or(project),
    ))
}

async fn token_by_assertion(
    account: &ServiceAccount,
    clients: &HttpClients<'_>,
) -> Result<Token, Problem> {
    let assertion = assertion(account, SystemTime::now())?;
    oauth::request_token(
        clients.provider.post(&account.token_uri),
        &[("grant_type", JWT_BEARER), ("assertion", &assertion)],
        TOKEN_ENDPOINT,
    )
    .await
}

/// Creates an assertion of a service account, signed with its key.
fn assertion(account: &ServiceAccount, now: SystemTime) -> Result<String, Problem> {
    let bad = |_| Problem::new("the Google key file contains no usable RSA key: create a new one");
    let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes()).map_err(bad)?;
    let header = Header {
        kid: account.private_key_id.clone(),
        ..Header::new(Algorithm::RS256)
    };
    let issued = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        // Our clock may be ahead: the assertion must not seem to come from the future.
        .saturating_sub(SKEW);
    let claims = Claims {
        iss: &account.client_email,
        scope: SCOPE,
        aud: &account.token_uri,
        iat: issued.as_secs(),
        exp: (issued + ASSERTION_LIFETIME).as_secs(),
    };
    jsonwebtoken::encode(&header, &claims, &key).map_err(bad)
}

async fn token_by_refresh_token(
    user: &AuthorizedUser,
    clients: &HttpClients<'_>,
) -> Result<Token, Problem> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", &user.client_id),
        ("client_secret", &user.client_secret),
        ("refresh_token", &*user.refresh_token),
    ];
    oauth::request_token(
        clients
            .provider
            .post(user.token_uri.as_deref().unwrap_or(TOKEN_URI)),
        &form,
        TOKEN_ENDPOINT,
    )
    .await
}

async fn token_by_metadata(
    environment: &Environment,
    clients: &HttpClients<'_>,
) -> Result<Token, Problem> {
    let host = environment
        .var("GCE_METADATA_HOST")
        .unwrap_or_else(|| METADATA_HOST.to_owned());
    let url = format!(
        "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE}"
    );
    let request = clients
        .direct
        .client()?
        .get(url)
        .header("metadata-flavor", "Google");
    let missing = |problem: Problem| Problem {
        message: "no Google key file is configured and no metadata server answers: set \
            `credentials` to a key file"
            .into(),
        ..problem
    };
    oauth::parse_token(
        &web::send(request, METADATA_ENDPOINT)
            .await
            .map_err(missing)?,
    )
}
