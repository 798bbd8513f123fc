//! Every key and word of the configuration: those that work, and keys whose part is not built yet.
//!
//! Invariants: the one list of keys. A reader asks only for keys of its section's list; what stands
//! in no list is unknown.

/// A key of a section.
#[derive(Debug, Clone, Copy)]
pub(super) enum Key {
    /// It works.
    Built(&'static str),
    /// It is a key of the contract whose part is not built yet.
    Later {
        /// The key.
        name: &'static str,
        /// What to do instead.
        instead: &'static str,
    },
}

impl Key {
    /// Its name.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Built(name) | Self::Later { name, .. } => name,
        }
    }
}

/// The keys of a section.
pub(super) type Keys = &'static [Key];

/// A word that a key takes.
pub(super) type Word = &'static str;

const fn built(name: &'static str) -> Key {
    Key::Built(name)
}

const fn later(name: &'static str, instead: &'static str) -> Key {
    Key::Later { name, instead }
}

/// The file itself.
pub(super) const ROOT: Keys = &[
    built("server"),
    built("auth"),
    built("keys"),
    built("limits"),
    built("streams"),
    built("providers"),
    built("models"),
    built("telemetry"),
    built("ui"),
    built("prices"),
    built("budgets"),
    later(
        "redis",
        "leave it out; one instance keeps streams and limits in its memory",
    ),
    built("data_dir"),
];

/// `[server]`
pub(super) const SERVER: Keys = &[
    built("listen"),
    built("admin_listen"),
    built("admin_token"),
    built("playground"),
    built("hosts"),
    built("allowed_origins"),
    built("trusted_proxies"),
    built("max_body"),
    built("max_connections"),
    built("drain"),
    built("tls"),
];

/// `server.tls`
pub(super) const TLS: Keys = &[built("cert"), built("key")];

/// `[auth]`
pub(super) const AUTH: Keys = &[
    built("mode"),
    built("allow_public"),
    built("jwt"),
    built("ticket_secret"),
];

/// `auth.jwt`
pub(super) const JWT: Keys = &[
    built("jwks_url"),
    built("ca_file"),
    built("public_key"),
    built("secret"),
    built("algorithms"),
    built("issuer"),
    built("audience"),
    built("leeway"),
    built("cookie"),
    built("default_key"),
    built("claims"),
];

/// `auth.jwt.claims`
pub(super) const JWT_CLAIMS: Keys = &[
    built("key"),
    built("team"),
    built("user"),
    built("models"),
    built("limits"),
];

/// `[keys.<name>]`
pub(super) const KEY: Keys = &[
    built("secret"),
    built("sha256"),
    built("team"),
    built("models"),
    built("limits"),
    built("expires"),
    built("disabled"),
    built("budget"),
    built("provider_objects"),
];

/// One limit: `limits` of a key or a provider, `limits.global`, `.ip`, `.user`, `.teams.<name>`,
/// `.models.<name>`
pub(super) const LIMIT: Keys = &[
    built("requests_per_minute"),
    built("tokens_per_minute"),
    built("concurrent_streams"),
    built("burst"),
];

/// `[limits]`
pub(super) const LIMITS: Keys = &[
    built("global"),
    built("ip"),
    built("user"),
    built("teams"),
    built("models"),
    built("on_exceeded"),
    built("reserve_output"),
];

/// `[streams]`
pub(super) const STREAMS: Keys = &[
    built("commit_after"),
    built("heartbeat"),
    built("retention"),
    built("memory"),
    built("max_stream"),
    built("readers"),
    built("on_disconnect"),
];

/// `[providers.<name>]`
pub(super) const PROVIDER: Keys = &[
    built("preset"),
    built("wire"),
    built("base_url"),
    built("api_key"),
    built("headers"),
    built("timeouts"),
    built("http2"),
    built("on_cancel"),
    built("direct"),
    built("max_output"),
    built("proxy"),
    built("ca_file"),
    built("dir"),
    built("pace"),
    built("record"),
    built("record_max"),
    built("limits"),
    built("resource"),
    built("api_version"),
    built("deployments"),
    built("entra_token"),
    built("tenant_id"),
    built("client_id"),
    built("client_secret"),
    built("token_url"),
    built("scope"),
    built("region"),
    built("profile"),
    built("access_key_id"),
    built("secret_access_key"),
    built("session_token"),
    built("project"),
    built("location"),
    built("credentials"),
];

/// `timeouts` of a provider
pub(super) const TIMEOUTS: Keys = &[
    built("connect"),
    built("headers"),
    built("first_token"),
    built("idle"),
    built("total"),
];

/// `[models.<name>]`
pub(super) const MODEL: Keys = &[
    built("route"),
    built("retries"),
    built("hedge_after"),
    built("sticky"),
];

/// A target of a route, written as a table
pub(super) const TARGET: Keys = &[built("target"), built("weight")];

/// `[prices."provider/model"]`
pub(super) const PRICE: Keys = &[
    built("input"),
    built("cached_input"),
    built("cache_write"),
    built("output"),
    built("reasoning"),
    built("request"),
];

/// `[budgets]`
pub(super) const BUDGETS: Keys = &[
    built("global"),
    built("user"),
    built("teams"),
    built("warn_at"),
];

/// One budget: `budget` of a key, `budgets.global`, `.user`, `.teams.<name>`
pub(super) const BUDGET: Keys = &[built("day"), built("month")];

/// `[ui]`
pub(super) const UI: Keys = &[built("model")];

/// `[telemetry]`
pub(super) const TELEMETRY: Keys = &[
    built("log"),
    built("format"),
    later("otlp", "leave it out; logs go to standard error"),
];

/// Sections by the name a reader knows them under, to say where a misplaced key belongs.
pub(super) const SECTIONS: &[(&str, Keys)] = &[
    ("the top of the file", ROOT),
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

/// Whether a bare word is one of the configuration's own, so that it is no secret.
pub(super) fn knows(word: &str) -> bool {
    const OTHER: [&str; 14] = [
        "true",
        "false",
        "cancel",
        "continue",
        "grace",
        "info",
        "debug",
        "warn",
        "error",
        "trace",
        "off",
        "localhost",
        "unix",
        "p95",
    ];
    let words = [MODES, ALGORITHMS, ON_EXCEEDED, ON_CANCEL, WIRES, FORMATS];
    OTHER.contains(&word)
        || SECTIONS
            .iter()
            .flat_map(|(_, keys)| *keys)
            .any(|key| key.name() == word)
        || words.into_iter().flatten().any(|known| *known == word)
        || super::presets::WORDS.contains(&word)
}
