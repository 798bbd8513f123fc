//! Tokens for a Google account: by a key file, or from the metadata server of the machine.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use super::cache::Fetched;
use super::local::{self, Environment};
use super::oauth::{self, Token};
use super::web::{self, Web, Whose};
use super::{Problem, Secret};
use crate::model::target::Google;

/// What the tokens are for: all that the account may do in Google Cloud.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where a user's tokens are given, if the file does not say it.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
/// The grant for an assertion.
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good: the longest that Google takes.
const ASSERTION: Duration = Duration::from_secs(60 * 60);
/// A clock may be this much ahead of Google's.
const SKEW: Duration = Duration::from_secs(10);
/// Where the metadata server is.
const METADATA_HOST: &str = "metadata.google.internal";
const ENDPOINT: Whose = Whose {
    name: "Google's token endpoint",
    check: "that the key file is valid, and not revoked",
};
const METADATA: Whose = Whose {
    name: "Google's metadata server",
    check: "that the machine has a service account",
};
/// gcloud's own file in its folder.
const DEFAULT_FILE: &str = "application_default_credentials.json";

/// A key file. Its `Debug` would show secrets: it has none.
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

/// What a service account says of itself.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

/// Asks for a token where the account says, or else where Google's own tools look.
pub(super) async fn fetch(
    google: &Google,
    environment: &Environment,
    web: &Web<'_>,
) -> Result<Fetched, Problem> {
    let (token, project) = match key_file(google, environment).await? {
        Some(text) => by_file(&text, environment, web).await?,
        None => (by_metadata(environment, web).await?, None),
    };
    let bad = |_| Problem::new("the quota project is not the name of a project: check it");
    let project = project
        .map(HeaderValue::try_from)
        .transpose()
        .map_err(bad)?;
    let secret = Secret::Token {
        authorization: token.authorization,
        project,
    };
    Ok(Fetched {
        secret,
        lifetime: Some(token.lifetime),
    })
}

/// The text of the key file, if there is one.
async fn key_file(google: &Google, environment: &Environment) -> Result<Option<String>, Problem> {
    if let Some(path) = &google.credentials {
        return demand(path, "the key file of `credentials`").await;
    }
    if let Some(path) = environment.path("GOOGLE_APPLICATION_CREDENTIALS") {
        return demand(&path, "the key file of GOOGLE_APPLICATION_CREDENTIALS").await;
    }
    match gcloud(environment) {
        Some(path) => local::usual(&path, "gcloud's file of credentials").await,
        None => Ok(None),
    }
}

async fn demand(path: &Path, what: &str) -> Result<Option<String>, Problem> {
    local::demand(path, what).await.map(Some)
}

fn gcloud(environment: &Environment) -> Option<PathBuf> {
    let folder = environment
        .path("CLOUDSDK_CONFIG")
        .or_else(|| environment.at_home(".config/gcloud"))?;
    Some(folder.join(DEFAULT_FILE))
}

/// A token for a key file, and the project that pays for the requests.
async fn by_file(
    text: &str,
    environment: &Environment,
    web: &Web<'_>,
) -> Result<(Token, Option<String>), Problem> {
    // What serde says of a wrong value repeats it.
    let unreadable =
        |_| Problem::new("the Google key file is not one: check that it was copied whole");
    let (token, project) = match serde_json::from_str(text).map_err(unreadable)? {
        KeyFile::ServiceAccount(account) => {
            (by_assertion(&account, web).await?, account.quota_project_id)
        }
        KeyFile::AuthorizedUser(user) => {
            (by_refresh_token(&user, web).await?, user.quota_project_id)
        }
        KeyFile::Other => {
            return Err(Problem::new(
                "the Google key file is of a kind that is not known: take one of a service account, or gcloud's",
            ));
        }
    };
    Ok((
        token,
        environment.var("GOOGLE_CLOUD_QUOTA_PROJECT").or(project),
    ))
}

async fn by_assertion(account: &ServiceAccount, web: &Web<'_>) -> Result<Token, Problem> {
    let assertion = assertion(account, SystemTime::now())?;
    oauth::grant(
        web.provider.post(&account.token_uri),
        &[("grant_type", JWT_BEARER), ("assertion", &assertion)],
        ENDPOINT,
    )
    .await
}

/// A service account's word, signed with its key.
fn assertion(account: &ServiceAccount, now: SystemTime) -> Result<String, Problem> {
    let bad = |_| Problem::new("the Google key file has no RSA key that can be used: make another");
    let key = EncodingKey::from_rsa_pem(account.private_key.as_bytes()).map_err(bad)?;
    let header = Header {
        kid: account.private_key_id.clone(),
        ..Header::new(Algorithm::RS256)
    };
    let issued = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(SKEW);
    let claims = Claims {
        iss: &account.client_email,
        scope: SCOPE,
        aud: &account.token_uri,
        iat: issued.as_secs(),
        exp: (issued + ASSERTION).as_secs(),
    };
    jsonwebtoken::encode(&header, &claims, &key).map_err(bad)
}

async fn by_refresh_token(user: &AuthorizedUser, web: &Web<'_>) -> Result<Token, Problem> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", &user.client_id),
        ("client_secret", &user.client_secret),
        ("refresh_token", &*user.refresh_token),
    ];
    oauth::grant(
        web.provider
            .post(user.token_uri.as_deref().unwrap_or(TOKEN_URI)),
        &form,
        ENDPOINT,
    )
    .await
}

async fn by_metadata(environment: &Environment, web: &Web<'_>) -> Result<Token, Problem> {
    let host = environment
        .var("GCE_METADATA_HOST")
        .unwrap_or_else(|| METADATA_HOST.to_owned());
    let url = format!(
        "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE}"
    );
    let request = web
        .direct
        .client()?
        .get(url)
        .header("metadata-flavor", "Google");
    let missing = |problem: Problem| {
        Problem {
        what: "no Google key file is configured and no metadata server answers: set `credentials` to a key file".into(),
        ..problem
    }
    };
    oauth::token(&web::ask(request, METADATA).await.map_err(missing)?)
}
