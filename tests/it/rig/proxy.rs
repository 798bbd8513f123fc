//! The proxy under test, started from a configuration text on the test's own runtime.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use sluicegate::app::{self, Running};
use sluicegate::config::Config;
use sluicegate::route::Rules;

use super::WireId;
use super::client::Client;
use super::clock::within;
use super::upstream::Upstream;

/// A builder for a configuration.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Lines before the first section.
    top: String,
    sections: BTreeMap<String, String>,
    forgiving: bool,
}

impl Setup {
    /// Creates a configuration with listeners only.
    pub fn new() -> Self {
        Self::default()
            .section(
                "server",
                "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"",
            )
            .section("telemetry", "log = \"off\"")
    }

    /// Adds lines to a section.
    pub fn section(mut self, name: &str, lines: &str) -> Self {
        let section = self.sections.entry(name.to_owned()).or_default();
        section.push_str(lines);
        section.push('\n');
        self
    }

    /// Adds a top-level line.
    pub fn top(mut self, line: &str) -> Self {
        self.top.push_str(line);
        self.top.push('\n');
        self
    }

    /// Adds a provider.
    pub fn provider(self, name: &str, wire: WireId, addr: SocketAddr) -> Self {
        let base = match wire {
            WireId::OpenaiChat => format!("http://{addr}/v1"),
            _ => format!("http://{addr}"),
        };
        let lines = format!(
            "wire = \"{}\"\nbase_url = \"{base}\"\napi_key = \"upstream-secret\"",
            wire.name()
        );
        self.section(&format!("providers.{name}"), &lines)
    }

    /// Adds a model; `route` is TOML.
    pub fn model(self, name: &str, route: &str) -> Self {
        self.section(&format!("models.{name}"), &format!("route = {route}"))
    }

    /// Adds model `m` over one provider `up`.
    pub fn over(self, wire: WireId, upstream: &Upstream) -> Self {
        self.provider("up", wire, upstream.addr)
            .model("m", "[\"up/m-up\"]")
    }

    /// Adds model `m` over two providers: `up`, and `spare` as its fallback.
    pub fn over_two(self, wire: WireId, upstream: &Upstream, spare: &Upstream) -> Self {
        self.provider("up", wire, upstream.addr)
            .provider("spare", wire, spare.addr)
            .model("m", "[\"up/m-up\", \"spare/m-spare\"]")
    }

    /// Disables breakers and pauses, for tests that make the same upstream fail repeatedly.
    pub fn forgiving(self) -> Self {
        Self {
            forgiving: true,
            ..self
        }
    }

    /// Parses the configuration.
    pub fn config(&self) -> Config {
        let mut text = self.top.clone();
        for (name, lines) in &self.sections {
            write!(text, "[{name}]\n{lines}\n").unwrap();
        }
        let mut config = Config::parse(&text, Path::new("test.toml"), &|_| None)
            .unwrap_or_else(|problems| panic!("{problems}"));
        if self.forgiving {
            config.route.rules = Rules::forgiving();
        }
        config
    }

    /// Starts the proxy.
    pub async fn start(self) -> Proxy {
        self.start_with(|_| {}).await
    }

    /// Starts the proxy after a change to the parsed configuration.
    pub async fn start_with(self, change: impl FnOnce(&mut Config)) -> Proxy {
        let mut config = self.config();
        change(&mut config);
        let running = within("the proxy to start", app::start(config))
            .await
            .unwrap();
        let client = Client::new(running.addr());
        Proxy { running, client }
    }
}

/// A running proxy. Dropping it stops it.
pub struct Proxy {
    /// The proxy.
    pub running: Running,
    /// A client without a key.
    pub client: Client,
}

impl Proxy {
    /// Starts a proxy with model `m` over one upstream and default settings.
    pub async fn over(wire: WireId, upstream: &Upstream) -> Self {
        Setup::new().over(wire, upstream).start().await
    }

    /// Waits until no stream runs, no reader is connected, no slot is taken, and neither tokens nor
    /// money are reserved.
    pub async fn at_rest(&self) {
        let waiting = async {
            loop {
                let now = self.running.current_load();
                let reserved = (now.reserved, now.reserved_money.as_nanos());
                if (now.running, now.readers, now.permits, reserved) == (0, 0, 0, (0, 0)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        within("the proxy to be at rest", waiting).await;
    }
}
