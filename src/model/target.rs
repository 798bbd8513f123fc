//! Upstream accounts and the models asked of them.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::{HeaderName, HeaderValue};
use secrecy::SecretString;

use super::wire::Wire;

/// A configured upstream account.
#[derive(Debug)]
pub struct Account {
    /// Its name in the configuration.
    pub name: ByteString,
    /// How it is reached, and what it speaks.
    pub via: Via,
    /// Its credential.
    pub key: Option<SecretString>,
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
    /// What it does its own way.
    pub quirks: Quirks,
    /// An HTTP proxy to go through; its URL may carry a password.
    pub proxy: Option<SecretString>,
    /// A file of further certificate authorities to trust, PEM.
    pub ca_file: Option<std::path::PathBuf>,
}

/// How an account is reached.
#[derive(Debug, Clone)]
pub enum Via {
    /// Over HTTP.
    Http {
        /// The wire it speaks.
        wire: Wire,
        /// Where it is, without a trailing slash: `https://api.openai.com/v1`.
        base_url: String,
    },
    /// It is a folder of recordings (`wire = "replay"`); each says which wire it was recorded from.
    Replay(Replay),
}

/// What the `replay` wire plays, and how fast.
#[derive(Debug, Clone)]
pub struct Replay {
    /// The folder of recordings.
    pub dir: std::path::PathBuf,
    /// A set time between frames; `None` plays at the recorded pace.
    pub pace: Option<Duration>,
}

/// What an account does its own way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Refuses `stream_options` (it sends usage unasked).
    pub no_stream_options: bool,
    /// Takes `max_tokens` where OpenAI has `max_completion_tokens`.
    pub max_tokens: bool,
    /// Bills the whole answer after an abort.
    pub bills_whole: bool,
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

/// A model of an account.
#[derive(Debug, Clone)]
pub struct Target {
    /// The account.
    pub account: Arc<Account>,
    /// The model as the provider calls it.
    pub model: ByteString,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.account.name, self.model)
    }
}
