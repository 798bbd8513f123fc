//! Configured providers and their models.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::accepts::Accepts;
use super::price::Price;
use super::wire::WireId;

pub use super::quirks::Quirks;

/// A configured upstream account (`[providers.…]`).
#[derive(Debug)]
pub struct Provider {
    /// The name in the configuration.
    pub name: ByteString,
    /// The address and the wire.
    pub via: Via,
    /// The credential.
    pub credential: Credential,
    /// Configured headers that are added to every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The clocks of its requests.
    pub clocks: Clocks,
    /// True if HTTP/2 is used.
    pub http2: bool,
    /// The maximum number of output tokens to request if the wire requires one and the client sent
    /// none.
    pub max_output: u64,
    /// True if clients may request its models as `provider/model`.
    pub direct: bool,
    /// The provider's names of models, by their name in routes, where they differ (Azure's
    /// deployments).
    pub models: BTreeMap<ByteString, ByteString>,
    /// The prices of its models.
    pub prices: Prices,
    /// The handling of a request whose answer is no longer needed.
    pub on_cancel: OnCancel,
    /// The recording of its answers, if it is enabled.
    pub record: Option<Record>,
    /// The differences from the vendor that defined its wire.
    pub quirks: Quirks,
    /// The URL of an HTTP proxy, which may contain a password.
    pub proxy: Option<SecretString>,
    /// A PEM file with additional trusted certificate authorities.
    pub ca_file: Option<PathBuf>,
}

/// The connection to a provider.
#[derive(Debug, Clone)]
pub enum Via {
    /// Over HTTP.
    Http {
        /// The wire.
        wire: WireId,
        /// The base URL without a trailing slash: `https://api.openai.com/v1`. `{model}` is
        /// replaced by the provider's name of the model, percent-encoded.
        base_url: String,
        /// The query of every request, without the `?`: `api-version=2024-10-21`.
        query: Option<String>,
    },
    /// A folder of recordings (`wire = "replay"`). Each recording names its wire.
    Replay(Replay),
}

/// The credential of a provider. Secrets have a type that hides them.
#[derive(Debug, Clone)]
pub enum Credential {
    /// No credential: a server without authentication, or one that uses configured headers.
    None,
    /// A key.
    Key {
        /// The key.
        key: SecretString,
        /// The header that carries it.
        auth: Auth,
    },
    /// AWS keys that sign requests (SigV4).
    Aws(Aws),
    /// A Google account that access tokens are requested for.
    Google(Google),
    /// A Microsoft Entra application that access tokens are requested for.
    Entra(Entra),
}

/// The header that carries a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// The key as the value of this header.
    Header(&'static str),
}

/// The source of AWS keys.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region that requests are signed for.
    pub region: String,
    /// Configured keys. `None` uses the sources of AWS's own tools: environment, profile, web
    /// identity, container, instance.
    pub keys: Option<AwsKeys>,
    /// The profile in `~/.aws` to use.
    pub profile: Option<String>,
}

/// An AWS access key.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// The id of the key.
    pub access_key_id: String,
    /// The secret of the key.
    pub secret_access_key: SecretString,
    /// The session token of a temporary key.
    pub session_token: Option<SecretString>,
}

/// The source of Google's access tokens.
#[derive(Debug, Clone)]
pub struct Google {
    /// A key file (`service_account` or `authorized_user`). `None` uses the sources of Google's own
    /// tools (`GOOGLE_APPLICATION_CREDENTIALS`, gcloud's default), and finally the metadata server.
    pub credentials: Option<PathBuf>,
}

/// A Microsoft Entra application.
#[derive(Debug, Clone)]
pub struct Entra {
    /// The URL that issues access tokens:
    /// `https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token`.
    pub token_url: String,
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: SecretString,
    /// The scope of the tokens: `https://cognitiveservices.azure.com/.default`.
    pub scope: String,
}

/// The handling of an upstream request whose answer is no longer needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnCancel {
    /// Close the connection at once.
    #[default]
    Abort,
    /// Continue to read, within bounds, to learn the exact usage.
    Finish,
}

/// The settings for recording a provider's answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The folder of the recordings.
    pub dir: PathBuf,
    /// Maximum total size of the recordings in it, bytes.
    pub max: u64,
}

/// The settings of the `replay` wire.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The folder of recordings.
    pub dir: PathBuf,
    /// The time between frames; `None` replays with the recorded timing.
    pub pace: Option<Duration>,
}

/// The clocks (timeouts) of upstream requests. Each has its own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// Maximum time to set up TCP and TLS.
    pub connect: Duration,
    /// Maximum time from the request to the response head.
    pub headers: Duration,
    /// Maximum time from the response head to the first content.
    pub first_token: Duration,
    /// Maximum time between two reads of upstream bytes.
    pub idle: Duration,
    /// Maximum time of the whole attempt.
    pub total: Duration,
}

impl Default for Clocks {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        Self {
            connect: Duration::from_secs(5),
            headers: Duration::from_secs(5 * MINUTE),
            first_token: Duration::from_secs(5 * MINUTE),
            idle: Duration::from_secs(2 * MINUTE),
            total: Duration::from_secs(60 * MINUTE),
        }
    }
}

/// The prices of a provider's models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// Prices by the model's name in routes.
    pub models: BTreeMap<ByteString, Price>,
    /// The price of all other models.
    pub others: Option<Price>,
}

/// A model of a provider.
#[derive(Debug, Clone)]
pub struct Target {
    /// The provider.
    pub provider: Arc<Provider>,
    /// The model, by its name in routes.
    pub model: ByteString,
}

impl Target {
    /// Returns the provider's name of the model.
    #[must_use]
    pub fn upstream_model(&self) -> &ByteString {
        self.provider.models.get(&self.model).unwrap_or(&self.model)
    }

    /// Returns what the model takes.
    #[must_use]
    pub fn accepts(&self) -> &Accepts {
        &self.provider.quirks.accepts
    }

    /// Returns the price of the model, if one is configured.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let Prices { models, others } = &self.provider.prices;
        models.get(&self.model).or(others.as_ref()).copied()
    }
}

#[cfg(test)]
impl Target {
    /// Returns a model of this provider for tests.
    #[must_use]
    pub fn example(provider: Provider, model: &str) -> Self {
        Self {
            provider: Arc::new(provider),
            model: model.into(),
        }
    }
}

#[cfg(test)]
impl Provider {
    /// Returns a provider for tests.
    #[must_use]
    pub fn example(wire: WireId, base_url: &str) -> Self {
        Self {
            name: "p".into(),
            via: Via::Http {
                wire,
                base_url: base_url.into(),
                query: None,
            },
            credential: Credential::None,
            headers: Vec::new(),
            clocks: Clocks::default(),
            http2: false,
            max_output: 8192,
            direct: false,
            models: BTreeMap::new(),
            prices: Prices::default(),
            on_cancel: OnCancel::Abort,
            record: None,
            quirks: Quirks::of(wire),
            proxy: None,
            ca_file: None,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.model)
    }
}
