//! Credentials of providers at run time: configured ones, and those that are fetched and renewed.
//!
//! Invariants:
//! - A secret is fetched once for all workers, and renewed while the previous one is still valid.
//! - A fetch takes bounded time and memory.
//! - No log, error or `Debug` output contains a secret.
//! - The environment is read only through [`Environment`].

mod aws;
mod entra;
mod google;
mod local;
mod oauth;
mod problem;
mod renewal;
#[cfg(test)]
mod tests;
mod web;

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials as Keys;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;

pub(super) use self::local::Environment;
use self::problem::Problem;
use self::renewal::SecretCache;
use self::web::{DirectClient, HttpClients};
use crate::cache::Fetched;
use crate::model::fault::{Code, Fault, Side};
use crate::model::target::{Auth, Aws, AwsKeys, Credential, Entra, Google, Provider};

/// Maximum duration of a fetch, including all its requests.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The problem when several new secrets in a row were rejected.
const REJECTED: &str = "the provider rejects every fetched credential: check the permissions of \
    the account that it belongs to";

/// A secret that authenticates requests.
#[derive(Debug)]
pub(super) enum Secret {
    /// No secret.
    None,
    /// A header with a key.
    Header(HeaderName, HeaderValue),
    /// A bearer token.
    Token {
        /// Value of the `Authorization` header.
        authorization: HeaderValue,
        /// The Google project to bill; `None` when the service account implies it.
        project: Option<HeaderValue>,
    },
    /// AWS keys that sign requests.
    Keys {
        /// The keys.
        keys: Keys,
        /// The region in the signature scope.
        region: String,
    },
}

/// The credentials of one provider.
#[derive(Debug)]
pub(super) struct Credentials {
    provider: ByteString,
    source: Source,
    environment: Environment,
    cache: Arc<SecretCache>,
    direct: DirectClient,
}

/// The source of a secret.
#[derive(Debug)]
enum Source {
    /// The configuration contains it.
    Configured(Arc<Secret>),
    /// It is fetched from an issuer.
    Fetched(Arc<Issuer>),
}

/// The issuer of a fetched secret.
#[derive(Debug)]
enum Issuer {
    Aws(Aws),
    Google(Google),
    Entra(Entra),
}

/// The credential used by one request.
#[derive(Debug)]
pub(super) enum RequestCredential {
    /// A configured secret.
    Configured(Arc<Secret>),
    /// A fetched secret, and the cache that holds it.
    Fetched(Arc<SecretCache>, Arc<Secret>),
}

impl Credentials {
    /// Creates the credentials of a provider. Nothing is fetched yet.
    ///
    /// # Errors
    /// Returns the reason when the configured key cannot be sent in a header.
    pub(super) fn new(provider: &Provider, environment: Environment) -> Result<Self, String> {
        let configured = |secret| Source::Configured(Arc::new(secret));
        let issuer = |issuer| Source::Fetched(Arc::new(issuer));
        let source = match &provider.credential {
            Credential::None => configured(Secret::None),
            Credential::Key { key, auth } => configured(header_secret(key.expose_secret(), *auth)?),
            Credential::Aws(Aws {
                keys: Some(keys),
                region,
                ..
            }) => configured(Secret::Keys {
                keys: configured_keys(keys),
                region: region.clone(),
            }),
            Credential::Aws(aws) => issuer(Issuer::Aws(aws.clone())),
            Credential::Google(google) => issuer(Issuer::Google(google.clone())),
            Credential::Entra(entra) => issuer(Issuer::Entra(entra.clone())),
        };
        Ok(Self {
            provider: provider.name.clone(),
            source,
            environment,
            cache: renewal::new_cache(),
            direct: DirectClient::default(),
        })
    }

    /// Returns a valid credential, fetching it through `client` if necessary.
    ///
    /// # Errors
    /// Returns a fault that says what the operator has to do.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        client: &reqwest::Client,
    ) -> Result<RequestCredential, Fault> {
        let issuer = match &self.source {
            Source::Configured(secret) => return Ok(RequestCredential::Configured(secret.clone())),
            Source::Fetched(issuer) => issuer,
        };
        let fetch = || self.clone().fetch(issuer.clone(), client.clone());
        let secret = self.cache.get(fetch).await.map_err(|unavailable| {
            let interrupted = || Problem::new("the fetch was interrupted: try again");
            self.fault(&unavailable.error.unwrap_or_else(interrupted))
        })?;
        Ok(RequestCredential::Fetched(self.cache.clone(), secret))
    }

    async fn fetch(
        self: Arc<Self>,
        issuer: Arc<Issuer>,
        client: reqwest::Client,
    ) -> Result<Fetched<Secret>, Problem> {
        let clients = HttpClients {
            provider: client,
            direct: &self.direct,
        };
        let fetching = async {
            match &*issuer {
                Issuer::Aws(aws) => aws::fetch(aws, &self.environment, &clients).await,
                Issuer::Google(google) => google::fetch(google, &self.environment, &clients).await,
                Issuer::Entra(entra) => entra::fetch(entra, &clients).await,
            }
        };
        let timed_out = |_| {
            Problem::new(format!(
                "it was not received within {FETCH_TIMEOUT:?}: check the network path to its issuer"
            ))
        };
        let outcome = tokio::time::timeout(FETCH_TIMEOUT, fetching)
            .await
            .map_err(timed_out)
            .flatten();
        if let Err(problem) = &outcome {
            let (provider, reason, detail) = (
                &*self.provider,
                &*problem.message,
                problem.detail.as_deref(),
            );
            tracing::error!(
                provider,
                reason,
                detail,
                "cannot obtain the credential of a provider"
            );
        }
        outcome.map(Into::into)
    }

    /// Builds the fault for the client. The log contains more detail for the operator.
    fn fault(&self, problem: &Problem) -> Fault {
        let message = format!(
            "no credential for provider `{}`: {}",
            self.provider, problem.message
        );
        Fault {
            // The configuration or the network on our side is at fault, not the model API.
            side: Side::Ours,
            ..Fault::new(Code::UpstreamAuth, message)
        }
    }
}

impl RequestCredential {
    /// Returns the secret.
    pub(super) fn secret(&self) -> &Secret {
        match self {
            Self::Configured(secret) | Self::Fetched(_, secret) => secret,
        }
    }

    /// Evaluates the response of the provider: a secret that the provider rejects is not used
    /// again.
    pub(super) fn record_response(&self, status: StatusCode, headers: &HeaderMap) {
        if let Self::Fetched(cache, secret) = self
            && rejects_secret(status, headers)
        {
            cache.discard(secret, Problem::new(REJECTED));
        }
    }
}

/// Returns true when a response says that the secret itself is bad. AWS uses 403 for this as well
/// as for missing permissions, so the error type decides.
fn rejects_secret(status: StatusCode, headers: &HeaderMap) -> bool {
    const REJECTED_KEYS: [&str; 4] = [
        "ExpiredToken",
        "InvalidClientTokenId",
        "InvalidSignature",
        "UnrecognizedClient",
    ];
    let error_type = || {
        headers
            .get("x-amzn-errortype")
            .and_then(|error_type| error_type.to_str().ok())
            .unwrap_or_default()
    };
    status == StatusCode::UNAUTHORIZED
        // The header contains more than the type, separated by a colon.
        || status == StatusCode::FORBIDDEN
            && REJECTED_KEYS.iter().any(|bad| error_type().starts_with(bad))
}

fn header_secret(key: &str, auth: Auth) -> Result<Secret, String> {
    let (name, text) = match auth {
        Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
        Auth::Header(name) => (HeaderName::from_static(name), key.to_owned()),
    };
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        "its `api_key` contains characters that are not allowed in a header".to_owned()
    })?;
    // Keeps the key out of `Debug` output.
    value.set_sensitive(true);
    Ok(Secret::Header(name, value))
}

fn configured_keys(keys: &AwsKeys) -> Keys {
    let token = keys
        .session_token
        .as_ref()
        .map(|token| token.expose_secret().to_owned());
    Keys::new(
        &*keys.access_key_id,
        keys.secret_access_key.expose_secret(),
        token,
        None,
        "configuration",
    )
}
