//! The schema: every key and enumerated value of the configuration, including keys that are not
//! supported yet.
//!
//! Invariants: this is the only list of keys. A reader reads only keys of its section's list; a key
//! that is in no list is unknown.

/// A key of a section.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    /// A supported key.
    Supported(&'static str),
    /// A key of the contract that is not supported yet.
    Planned {
        /// The key.
        name: &'static str,
        /// The remedy for the operator.
        help: &'static str,
    },
}

impl Key {
    /// The key's name.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Supported(name) | Self::Planned { name, .. } => name,
        }
    }
}

/// The keys of a section.
pub(super) type Keys = &'static [Key];

/// One of the values that an enumerated key accepts.
pub(super) type Word = &'static str;

const fn supported(name: &'static str) -> Key {
    Key::Supported(name)
}

const fn planned(name: &'static str, help: &'static str) -> Key {
    Key::Planned { name, help }
}

/// The top level of the file
pub(super) const ROOT: Keys = &[
    supported("server"),
    supported("auth"),
    supported("keys"),
    supported("limits"),
    supported("streams"),
    supported("providers"),
    supported("models"),
    supported("telemetry"),
    supported("ui"),
    supported("prices"),
    supported("budgets"),
    planned(
        "redis",
        "remove it: streams and limits are kept in the memory of one process",
    ),
    supported("data_dir"),
];

/// `[server]`
pub(super) const SERVER: Keys = &[
    supported("listen"),
    supported("admin_listen"),
    supported("admin_token"),
    supported("playground"),
    supported("hosts"),
    supported("allowed_origins"),
    supported("trusted_proxies"),
    supported("max_body"),
    supported("max_connections"),
    supported("drain"),
    supported("tls"),
];

/// `server.tls`
pub(super) const TLS: Keys = &[supported("cert"), supported("key")];

/// `[auth]`
pub(super) const AUTH: Keys = &[
    supported("mode"),
    supported("allow_public"),
    supported("jwt"),
    supported("ticket_secret"),
];

/// `auth.jwt`
pub(super) const JWT: Keys = &[
    supported("jwks_url"),
    supported("ca_file"),
    supported("public_key"),
    supported("secret"),
    supported("algorithms"),
    supported("issuer"),
    supported("audience"),
    supported("leeway"),
    supported("cookie"),
    supported("default_key"),
    supported("claims"),
];

/// `auth.jwt.claims`
pub(super) const JWT_CLAIMS: Keys = &[
    supported("key"),
    supported("team"),
    supported("user"),
    supported("models"),
    supported("limits"),
];

/// `[keys.<name>]`
pub(super) const KEY: Keys = &[
    supported("secret"),
    supported("sha256"),
    supported("team"),
    supported("models"),
    supported("limits"),
    supported("expires"),
    supported("disabled"),
    supported("budget"),
    supported("provider_objects"),
];

/// One limit: `limits` of a key or a provider, `limits.global`, `.ip`, `.user`, `.teams.<name>`,
/// `.models.<name>`
pub(super) const LIMIT: Keys = &[
    supported("requests_per_minute"),
    supported("tokens_per_minute"),
    supported("concurrent_streams"),
    supported("burst"),
];

/// `[limits]`
pub(super) const LIMITS: Keys = &[
    supported("global"),
    supported("ip"),
    supported("user"),
    supported("teams"),
    supported("models"),
    supported("on_exceeded"),
    supported("reserve_output"),
];

/// `[streams]`
pub(super) const STREAMS: Keys = &[
    supported("commit_after"),
    supported("heartbeat"),
    supported("retention"),
    supported("memory"),
    supported("max_stream"),
    supported("readers"),
    supported("on_disconnect"),
];

/// `[providers.<name>]`
pub(super) const PROVIDER: Keys = &[
    supported("preset"),
    supported("wire"),
    supported("base_url"),
    supported("api_key"),
    supported("headers"),
    supported("timeouts"),
    supported("http2"),
    supported("on_cancel"),
    supported("direct"),
    supported("max_output"),
    supported("proxy"),
    supported("ca_file"),
    supported("dir"),
    supported("pace"),
    supported("record"),
    supported("record_max"),
    supported("limits"),
    supported("resource"),
    supported("api_version"),
    supported("deployments"),
    supported("entra_token"),
    supported("tenant_id"),
    supported("client_id"),
    supported("client_secret"),
    supported("token_url"),
    supported("scope"),
    supported("region"),
    supported("profile"),
    supported("access_key_id"),
    supported("secret_access_key"),
    supported("session_token"),
    supported("project"),
    supported("location"),
    supported("credentials"),
];

/// `timeouts` of a provider
pub(super) const TIMEOUTS: Keys = &[
    supported("connect"),
    supported("headers"),
    supported("first_token"),
    supported("idle"),
    supported("total"),
];

/// `[models.<name>]`
pub(super) const MODEL: Keys = &[
    supported("route"),
    supported("retries"),
    supported("hedge_after"),
    supported("sticky"),
];

/// A target of a route, written as a table
pub(super) const TARGET: Keys = &[supported("target"), supported("weight")];

/// `[prices."provider/model"]`
pub(super) const PRICE: Keys = &[
    supported("input"),
    supported("cached_input"),
    supported("cache_write"),
    supported("output"),
    supported("reasoning"),
    supported("request"),
];

/// `[budgets]`
pub(super) const BUDGETS: Keys = &[
    supported("global"),
    supported("user"),
    supported("teams"),
    supported("warn_at"),
];

/// One budget: `budget` of a key, `budgets.global`, `.user`, `.teams.<name>`
pub(super) const BUDGET: Keys = &[supported("day"), supported("month")];

/// `[ui]`
pub(super) const UI: Keys = &[supported("model")];

/// `[telemetry]`
pub(super) const TELEMETRY: Keys = &[
    supported("log"),
    supported("format"),
    planned("otlp", "remove it: logs go to standard error"),
];

/// Sections with their names in messages about keys in the wrong section.
pub(super) const SECTIONS: &[(&str, Keys)] = &[
    ("the top level of the file", ROOT),
    ("[server]", SERVER),
    ("server.tls", TLS),
    ("[auth]", AUTH),
    ("auth.jwt", JWT),
    ("auth.jwt.claims", JWT_CLAIMS),
    ("[keys.<name>]", KEY),
    ("limits", LIMIT),
    ("[limits]", LIMITS),
    ("[streams]", STREAMS),
    ("[providers.<name>]", PROVIDER),
    ("timeouts", TIMEOUTS),
    ("[models.<name>]", MODEL),
    ("a target of a route", TARGET),
    ("[prices.\"provider/model\"]", PRICE),
    ("[budgets]", BUDGETS),
    ("a budget", BUDGET),
    ("[ui]", UI),
    ("[telemetry]", TELEMETRY),
];

/// `auth.mode`
pub(super) const MODES: &[Word] = &["none", "required"];

/// `auth.jwt.algorithms`
pub(super) const ALGORITHMS: &[Word] = &["RS256", "ES256", "HS256"];

/// `limits.on_exceeded`
pub(super) const ON_EXCEEDED: &[Word] = &["finish", "cut"];

/// `providers.<name>.on_cancel`
pub(super) const ON_CANCEL: &[Word] = &["abort", "finish"];

/// `providers.<name>.wire`
pub(super) const WIRES: &[Word] = &[
    "openai-chat",
    "openai-responses",
    "anthropic",
    "gemini",
    "bedrock",
    "ollama",
    "cohere",
    "replay",
];

/// `telemetry.format`
pub(super) const FORMATS: &[Word] = &["text", "json"];
