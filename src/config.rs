//! The configuration: one TOML file, read into the settings of every module.
//!
//! Invariants: a file is accepted as a whole or rejected as a whole. A rejection lists every
//! problem at once, each with its place and a remedy. No problem contains a secret. The only inputs
//! are the file, the environment variables and files that it references, and AWS's region, which is
//! read from the variables that AWS's own tools read.
//!
//! `schema` lists every key; `section` reads the keys; `check` compares values of different
//! sections; `doc`, `table` and `node` are the reader underneath; `mask` and `excerpt` keep secrets
//! out of the problems.

mod address;
mod changes;
mod check;
mod doc;
mod excerpt;
mod interpolate;
mod mask;
mod nearest;
mod node;
pub mod presets;
mod problem;
mod quantity;
mod reload;
mod schema;
#[cfg(test)]
pub(crate) mod scratch;
mod section;
mod syntax;
mod table;
#[cfg(test)]
mod tests;
mod warnings;
pub mod watch;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use problem::{Problem, Problems};

use crate::ledger::Budgets;
use crate::{auth, gateway, hub, limits, route, server, telemetry};
use doc::Doc;
use node::Node;
use table::Table;

/// Maximum size of the configuration file, bytes.
const MAX_FILE: u64 = 1 << 20;

/// The whole configuration, validated.
#[derive(Debug)]
pub struct Config {
    /// Listeners, TLS and connection limits.
    pub server: server::Settings,
    /// Settings of requests and responses.
    pub gateway: gateway::Settings,
    /// Keys, tokens and tickets that identify callers.
    pub auth: auth::Settings,
    /// Rate and concurrency limits.
    pub limits: limits::Settings,
    /// Amounts of money that may be spent.
    pub budgets: Budgets,
    /// Folder of the usage ledger. `None` keeps the amounts spent in memory only, until a restart.
    pub data_dir: Option<PathBuf>,
    /// Memory, retention and readers of journals.
    pub hub: hub::Settings,
    /// Models and providers.
    pub route: route::Settings,
    /// Log filter and format.
    pub telemetry: telemetry::Settings,
    /// One message for each default that the file relies on and that an earlier release had set
    /// differently, for `check`.
    pub changed_defaults: Vec<&'static str>,
}

impl Config {
    /// Reads the file at `path`, with the environment of this process.
    ///
    /// # Errors
    /// Returns all problems of the file. A file that cannot be read is one problem.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let unreadable = |what: String| {
            Problems::one(
                path,
                Problem::of_file(what, "pass the configuration file with --config FILE"),
            )
        };
        let mut bytes = Vec::new();
        // One byte more than allowed is read, so that a file that is too large is not taken for a
        // whole one.
        File::open(path)
            .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(unreadable(format!("is larger than {MAX_FILE} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error
                .as_bytes()
                .iter()
                .take(error.utf8_error().valid_up_to())
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            Problems::one(
                path,
                Problem::of_file(
                    format!("is not valid UTF-8 in line {line}"),
                    "save the file as UTF-8",
                ),
            )
        })?;
        Self::parse(&text, path, &|name| std::env::var(name).ok())
    }

    /// Reads `text` as the content of the file at `path`. Relative paths start at the folder of
    /// `path`; `env` looks up environment variables.
    ///
    /// # Errors
    /// Returns all problems of the text.
    pub fn parse(
        text: &str,
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        // Some editors write a byte order mark, which is not part of the TOML text.
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let (doc, tree) = Doc::parse(path, text, env);
        let config = Table::open(
            &Node {
                doc: &doc,
                key: "",
                value: &tree,
            },
            schema::ROOT,
        )
        .map(|root| Self::read(&root));
        // A configuration with problems is never returned: values of wrong keys are placeholders.
        match (doc.problems(), config) {
            (None, Some(config)) => Ok(config),
            (Some(problems), _) => Err(problems),
            (None, None) => Err(Problems::one(
                path,
                Problem::of_file("is not a table".into(), "write sections like [server]"),
            )),
        }
    }

    fn read(root: &Table<'_, '_>) -> Self {
        let (server, playground) = Self::read_server(root);
        let access = section::access::access(root);
        // Sections read later need the results of earlier ones: limits and budgets of keys come
        // from `access`, models resolve their targets in `providers`.
        let (mut budgets, data_dir) = (
            section::budgets::budgets(root, access.budgets),
            section::budgets::data_dir(root),
        );
        let mut limits = section::limits::limits(root);
        budgets.cut = limits.cut;
        let (hub, mut gateway) = section::streams::streams(root, playground);
        let providers = section::providers::providers(root);
        (limits.keys, limits.providers) = (access.limits, providers.limits.clone());
        let models = section::models::models(root, &providers);
        let telemetry = section::telemetry::telemetry(root);
        let route = route::Settings {
            providers: providers.providers,
            models,
            rules: route::Rules::default(),
        };
        gateway.ui_model = section::ui::model(root, &route);
        let config = Self {
            server,
            gateway,
            auth: access.auth,
            limits,
            budgets,
            data_dir,
            hub,
            route,
            telemetry,
            changed_defaults: changes::notes(root),
        };
        check::check(root, &config, access.public);
        config
    }

    /// Reads `[server]`, and whether there is a playground.
    fn read_server(root: &Table<'_, '_>) -> (server::Settings, (usize, bool)) {
        let read = |table: &Table<'_, '_>| {
            (
                section::server::server(table),
                section::server::body_and_playground(table),
            )
        };
        // Reading an absent table gives the defaults; it also replaces a `[server]` that is not a
        // table.
        let absent = Table::absent(root.doc, "server");
        root.section("server", schema::SERVER, read)
            .unwrap_or_else(|| read(&absent))
    }
}
