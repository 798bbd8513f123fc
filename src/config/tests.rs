//! Tests of the settings from valid files, the problems of wrong ones, and the secrecy of values.

mod handbook;
mod laws;
mod mistakes;
mod money;
mod providers;
mod requests;
mod secrecy;
mod settings;

use std::path::Path;

use super::{Config, Problems};

/// The minimum that every file needs. It is appended to each case, so that line numbers count from
/// the case's own first line.
const MINIMAL: &str = "\n[providers.up]\nwire = 'openai-chat'\nbase_url = 'http://127.0.0.1:1/v1'\n[models.m]\nroute = ['up/m']\n";

fn env(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "sk-from-the-environment",
        "WEB_KEY" => "sk-web",
        "EMPTY" => "",
        "BIG" => "99999999999",
        "PORT" => "9999",
        "ON" => "true",
        "WORD" => "hunter2",
        _ => return None,
    };
    Some(value.into())
}

fn parse(text: &str) -> Result<Config, Problems> {
    Config::parse(text, Path::new("config.toml"), &env)
}

fn parsed(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn problems_of(text: &str) -> String {
    parse(text)
        .err()
        .unwrap_or_else(|| panic!("nothing is wrong with {text}"))
        .to_string()
}

/// All supported keys, nearly all at values other than their defaults.
const ALL_KEYS: &str = r#"
data_dir = "data"
[server]
listen = ["127.0.0.1:1", "unix:/run/s.sock", "unix:s.sock"]
admin_listen = "0.0.0.0:2"
admin_token = "${WEB_KEY}"
playground = false
hosts = ["Chat.Example", "[::1]"]
allowed_origins = ["HTTPS://Chat.Example:443", "http://a.example:81", "tauri://localhost"]
trusted_proxies = ["10.1.2.3/8", "::1"]
max_body = "1MiB"
max_connections = "${PORT}"
drain = "1m"
[auth]
mode = "required"
allow_public = "${ON}"
ticket_secret = "a secret that all the instances have"
[auth.jwt]
jwks_url = "https://id.example/keys"
issuer = ["https://id.example", "id.example"]
audience = "sluicegate"
algorithms = ["ES256"]
leeway = "0s"
cookie = "__Host-session"
default_key = "web"
claims = { user = "email", models = "https://example.com/models" }
[keys.web]
secret = "${WEB_KEY}"
team = "growth"
models = ["gpt-*"]
limits = { requests_per_minute = 600, tokens_per_minute = 200000, concurrent_streams = 50, burst = 10 }
budget = { day = 20.0, month = 300 }
expires = 2027-01-01T00:00:00Z
disabled = true
provider_objects = true
[keys.other]
sha256 = "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824"
[limits]
global = { concurrent_streams = 5 }
ip = { requests_per_minute = 120, burst = 3 }
reserve_output = 1000
on_exceeded = "finish"
[streams]
commit_after = "0s"
heartbeat = "500ms"
retention = "0s"
memory = "1GiB"
max_stream = 1048576
readers = 2
on_disconnect = "grace 15s"
[providers.openai]
api_key = "${OPENAI_API_KEY}"
headers = { X-Team = "a" }
timeouts = { connect = "1s", headers = "2s", first_token = "3s", idle = "4s", total = "5s" }
http2 = true
on_cancel = "finish"
direct = true
max_output = 100
proxy = "http://127.0.0.1:3128"
record = "recordings"
record_max = "2GiB"
[providers.mine]
preset = "gemini"
base_url = "http://127.0.0.1:1/v1beta/"
[providers.anthropic]
wire = "openai-chat"
base_url = "http://127.0.0.1:2/v1"
[models.smart]
route = ["openai/a/b", [{ target = "mine/c", weight = 3 }, "anthropic/d"]]
retries = 0
sticky = false
[budgets]
global = { month = "${PORT}" }
user = { day = 0.5 }
teams = { growth = { day = 50 } }
warn_at = 0.9
[prices."openai/a/b"]
input = 1.25
cached_input = 0.125
cache_write = 1
output = "${PORT}"
reasoning = 2e1
request = 0.005
[prices."openai/*"]
output = 3
[ui]
model = "smart"
[telemetry]
log = "info,sluicegate=debug"
format = "json"
"#;
