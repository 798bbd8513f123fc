//! Upstream accounts and the models asked of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytestring::ByteString;
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::money::Price;
use super::wire::WireId;

pub use super::quirks::Quirks;

/// A configured upstream account.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: ByteString,
    /// How it is reached, and what it speaks.
    pub via: Via,
    /// Its credential.
    pub credential: Credential,
    /// Headers the operator adds to every request.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Its clocks.
    pub clocks: Clocks,
    /// Speak HTTP/2 to it.
    pub http2: bool,
    /// The output maximum to ask for where the wire demands one and the client gave none.
    pub max_output: u64,
    /// Clients may name it: `provider/model`.
    pub direct: bool,
    /// What it calls its models, where that is not how routes name them (Azure's deployments).
    pub models: BTreeMap<ByteString, ByteString>,
    /// What its models cost.
    pub prices: Prices,
    /// What becomes of its request when nobody wants the answer any more.
    pub on_cancel: OnCancel,
    /// Where its answers are recorded.
    pub record: Option<Record>,
    /// What it does its own way.
    pub quirks: Quirks,
    /// An HTTP proxy to go through; its URL may carry a password.
    pub proxy: Option<SecretString>,
    /// A file of further certificate authorities to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// It has refused to summarize its reasoning, and is not asked to any more.
    pub no_summaries: AtomicBool,
}

/// How an account is reached.
#[derive(Debug, Clone)]
pub enum Via {
    /// Over HTTP.
    Http {
        /// The wire it speaks.
        wire: WireId,
        /// Where it is, without a trailing slash: `https://api.openai.com/v1`. `{model}` stands for
        /// the model, as the provider calls it, percent-encoded.
        base_url: String,
        /// What every request has in its query, without the `?`: `api-version=2024-10-21`.
        query: Option<String>,
    },
    /// It is a folder of recordings (`wire = "replay"`); each says which wire it was recorded from.
    Replay(Replay),
}

/// What shows an account's right to be served. Secrets are of a type that hides them.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing: a server of one's own, or headers that the operator has set.
    None,
    /// A key.
    Key {
        /// The key.
        key: SecretString,
        /// How it is carried.
        auth: Auth,
    },
    /// Requests are signed with keys of AWS (SigV4).
    Aws(Aws),
    /// A Google account, for whose tokens is asked.
    Google(Google),
    /// An application of Microsoft Entra, for whose tokens is asked.
    Entra(Entra),
}

/// How a key is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer <key>`.
    Bearer,
    /// The key alone under this header.
    Header(&'static str),
}

/// Where AWS keys come from.
#[derive(Debug, Clone)]
pub struct Aws {
    /// The region that requests are signed for.
    pub region: String,
    /// Keys that are configured; else they come from where AWS's own tools look for them:
    /// environment, profile, web identity, container, instance.
    pub keys: Option<AwsKeys>,
    /// The profile of `~/.aws` to take.
    pub profile: Option<String>,
}

/// Keys of AWS.
#[derive(Debug, Clone)]
pub struct AwsKeys {
    /// Its id.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: SecretString,
    /// What makes a temporary key valid.
    pub session_token: Option<SecretString>,
}

/// Where Google's tokens come from.
#[derive(Debug, Clone)]
pub struct Google {
    /// A key file (`service_account` or `authorized_user`); else where Google's own tools look for
    /// one (`GOOGLE_APPLICATION_CREDENTIALS`, gcloud's default), and last the metadata server.
    pub credentials: Option<PathBuf>,
}

/// An application of Microsoft Entra.
#[derive(Debug, Clone)]
pub struct Entra {
    /// Where its tokens are asked for:
    /// `https://login.microsoftonline.com/<tenant>/oauth2/v2.0/token`.
    pub token_url: String,
    /// Its id.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// What the token is for: `https://cognitiveservices.azure.com/.default`.
    pub scope: String,
}

/// What becomes of an upstream's request when nobody wants the answer any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnCancel {
    /// It is closed at once.
    #[default]
    Abort,
    /// It is read on, bounded, for the true usage.
    Finish,
}

/// Where an account's answers are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The folder.
    pub dir: PathBuf,
    /// The most bytes that all recordings in it may have together.
    pub max: u64,
}

/// What the `replay` wire plays, and how fast.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The folder of recordings.
    pub dir: PathBuf,
    /// A set time between frames; `None` plays at the recorded pace.
    pub pace: Option<Duration>,
}

/// The upstream clocks: each has its own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clocks {
    /// TCP and TLS.
    pub connect: Duration,
    /// Request sent → response head.
    pub headers: Duration,
    /// Response head → first content.
    pub first_token: Duration,
    /// Between any two upstream bytes.
    pub idle: Duration,
    /// The whole attempt.
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

/// What an account's models cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices {
    /// By the model, as routes name it.
    pub models: BTreeMap<ByteString, Price>,
    /// Of all others.
    pub others: Option<Price>,
}

/// A model of an account.
#[derive(Debug, Clone)]
pub struct Target {
    /// The account.
    pub provider: Arc<Provider>,
    /// The model, as routes name it.
    pub model: ByteString,
}

impl Target {
    /// The model as the provider calls it.
    #[must_use]
    pub fn upstream_model(&self) -> &ByteString {
        self.provider.models.get(&self.model).unwrap_or(&self.model)
    }

    /// What it costs, where the operator has said so.
    #[must_use]
    pub fn price(&self) -> Option<Price> {
        let Prices { models, others } = &self.provider.prices;
        models.get(&self.model).or(others.as_ref()).copied()
    }
}

#[cfg(test)]
impl Provider {
    /// An account that tests fill in.
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
            quirks: Quirks::default(),
            proxy: None,
            ca_file: None,
            no_summaries: AtomicBool::new(false),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.provider.name, self.model)
    }
}
