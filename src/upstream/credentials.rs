//! The credentials of accounts at run time: those that are configured, and those that are asked for
//! and renewed.
//!
//! Invariants: an account's secret is fetched once for all workers, and renewed while the one
//! before is still good; a fetch takes bounded time and memory; secrets are in no log, no error and
//! no `Debug`; the environment is read through [`Environment`] alone.

mod aws;
mod cache;
mod entra;
mod google;
mod local;
mod oauth;
mod problem;
#[cfg(test)]
mod tests;
mod web;

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials as Keys;
use bytestring::ByteString;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;

use self::cache::{Cache, Fetched, Held};
pub(super) use self::local::Environment;
use self::problem::Problem;
use self::web::{Direct, Web};
use crate::model::fault::{Code, Fault, Side};
use crate::model::target::{Auth, Aws, AwsKeys, Credential, Entra, Google, Provider};

/// The longest that a fetch may take, everything that it asks included.
const FETCH: Duration = Duration::from_secs(10);

/// What is shown to a provider.
#[derive(Debug)]
pub(super) enum Secret {
    /// Nothing.
    None,
    /// A header.
    Header(HeaderName, HeaderValue),
    /// A token.
    Token {
        /// The header `Authorization`.
        authorization: HeaderValue,
        /// The Google project that pays for the request, where the account does not say it by
        /// itself.
        project: Option<HeaderValue>,
    },
    /// Keys of AWS, which requests are signed with.
    Keys {
        /// The keys.
        keys: Keys,
        /// The region that is signed for.
        region: String,
    },
}

/// The credentials of one account.
#[derive(Debug)]
pub(super) struct Credentials {
    provider: ByteString,
    source: Source,
    environment: Environment,
    cache: Arc<Cache>,
    direct: Direct,
}

/// Where secrets come from.
#[derive(Debug)]
enum Source {
    /// It is configured.
    Given(Arc<Secret>),
    /// It is asked for.
    Asked(Arc<Asked>),
}

/// Who is asked for a secret.
#[derive(Debug)]
enum Asked {
    Aws(Aws),
    Google(Google),
    Entra(Entra),
}

/// A secret in use by a request.
#[derive(Debug)]
pub(super) enum Shown {
    /// One that is configured.
    Given(Arc<Secret>),
    /// One that was asked for, and the cache that holds it.
    Asked(Arc<Cache>, Arc<Held>),
}

impl Credentials {
    /// Those of an account.
    ///
    /// # Errors
    /// When what is configured cannot be sent: says why.
    pub(super) fn new(provider: &Provider, environment: Environment) -> Result<Self, String> {
        let given = |secret| Source::Given(Arc::new(secret));
        let asked = |asked| Source::Asked(Arc::new(asked));
        let source = match &provider.credential {
            Credential::None => given(Secret::None),
            Credential::Key { key, auth } => given(header_of(key.expose_secret(), *auth)?),
            Credential::Aws(Aws {
                keys: Some(keys),
                region,
                ..
            }) => given(Secret::Keys {
                keys: configured(keys),
                region: region.clone(),
            }),
            Credential::Aws(aws) => asked(Asked::Aws(aws.clone())),
            Credential::Google(google) => asked(Asked::Google(google.clone())),
            Credential::Entra(entra) => asked(Asked::Entra(entra.clone())),
        };
        Ok(Self {
            provider: provider.name.clone(),
            source,
            environment,
            cache: Arc::default(),
            direct: Direct::default(),
        })
    }

    /// A good secret; it is fetched through `client` if it must be.
    ///
    /// # Errors
    /// When there is none: says what its operator has to do.
    pub(super) async fn shown(self: &Arc<Self>, client: &reqwest::Client) -> Result<Shown, Fault> {
        let asked = match &self.source {
            Source::Given(secret) => return Ok(Shown::Given(secret.clone())),
            Source::Asked(asked) => asked,
        };
        let fetch = || self.clone().fetch(asked.clone(), client.clone());
        let held = self
            .cache
            .take(fetch)
            .await
            .map_err(|problem| self.fault(&problem))?;
        Ok(Shown::Asked(self.cache.clone(), held))
    }

    async fn fetch(
        self: Arc<Self>,
        asked: Arc<Asked>,
        client: reqwest::Client,
    ) -> Result<Fetched, Problem> {
        let web = Web {
            provider: client,
            direct: &self.direct,
        };
        let asking = async {
            match &*asked {
                Asked::Aws(aws) => aws::fetch(aws, &self.environment, &web).await,
                Asked::Google(google) => google::fetch(google, &self.environment, &web).await,
                Asked::Entra(entra) => entra::fetch(entra, &web).await,
            }
        };
        let slow = |_| {
            Problem::new(format!(
                "it did not come within {FETCH:?}: check the way to where it is asked for"
            ))
        };
        let outcome = tokio::time::timeout(FETCH, asking)
            .await
            .map_err(slow)
            .flatten();
        if let Err(problem) = &outcome {
            let (provider, reason, detail) =
                (&*self.provider, &*problem.what, problem.detail.as_deref());
            tracing::error!(
                provider,
                reason,
                detail,
                "the provider's credential cannot be had"
            );
        }
        outcome
    }

    /// What a client is told: the operator has more in the log.
    fn fault(&self, problem: &Problem) -> Fault {
        let message = format!(
            "there is no credential for provider `{}`: {}",
            self.provider, problem.what
        );
        Fault {
            side: Side::Ours,
            ..Fault::new(Code::UpstreamAuth, message)
        }
    }
}

impl Shown {
    /// The secret.
    pub(super) fn secret(&self) -> &Secret {
        match self {
            Self::Given(secret) => secret,
            Self::Asked(_, held) => &held.secret,
        }
    }

    /// Learns from a provider's answer: a secret that it does not take is not shown again.
    pub(super) fn learn(&self, status: StatusCode, headers: &HeaderMap) {
        if let Self::Asked(cache, held) = self
            && refuses(status, headers)
        {
            cache.refused(held);
        }
    }
}

/// Whether an answer says that the secret itself is bad. AWS says it with the status that it has
/// for missing rights too.
fn refuses(status: StatusCode, headers: &HeaderMap) -> bool {
    const BAD_KEYS: [&str; 4] = [
        "ExpiredToken",
        "InvalidClientTokenId",
        "InvalidSignature",
        "UnrecognizedClient",
    ];
    let kind = || {
        headers
            .get("x-amzn-errortype")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
    };
    status == StatusCode::UNAUTHORIZED
        || status == StatusCode::FORBIDDEN && BAD_KEYS.iter().any(|bad| kind().starts_with(bad))
}

fn header_of(key: &str, auth: Auth) -> Result<Secret, String> {
    let (name, text) = match auth {
        Auth::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
        Auth::Header(name) => (HeaderName::from_static(name), key.to_owned()),
    };
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| "its key has characters that no header can carry".to_owned())?;
    value.set_sensitive(true);
    Ok(Secret::Header(name, value))
}

fn configured(keys: &AwsKeys) -> Keys {
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
