//! The configuration: one TOML file, read into the settings of every room.
//!
//! Invariants: a file is taken whole or refused whole, with everything that is wrong with it said
//! at once, each with its place and what to do. No secret is in a problem. Nothing is read from
//! anywhere but the file, and the environment and files that it names (and AWS's region, from where
//! AWS's own tools read it).
//!
//! `schema` lists every key; `section` reads them; `check` compares what belongs together; `doc`,
//! `table` and `node` are the reader underneath, `mask` and `shown` keep secrets out of what it
//! says.

mod address;
mod changes;
mod check;
mod doc;
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
mod shown;
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

/// The largest file that is read, bytes.
const FILE_BOUND: u64 = 1 << 20;

/// Everything that is configured.
#[derive(Debug)]
pub struct Config {
    /// Sockets.
    pub server: server::Settings,
    /// Replies.
    pub gateway: gateway::Settings,
    /// Callers.
    pub auth: auth::Settings,
    /// Limits.
    pub limits: limits::Settings,
    /// What may be spent.
    pub budgets: Budgets,
    /// Where the usage ledger is kept; without it what was spent is forgotten at a restart.
    pub data_dir: Option<PathBuf>,
    /// Journals.
    pub hub: hub::Settings,
    /// Models and accounts.
    pub route: route::Settings,
    /// Logs.
    pub telemetry: telemetry::Settings,
    /// The defaults that this file relies on and that another release had otherwise: a sentence
    /// each, for `check`.
    pub changed_defaults: Vec<&'static str>,
}

impl Config {
    /// Reads the file at `path`, with this process's environment.
    ///
    /// # Errors
    /// Everything that is wrong with it; a file that cannot be read is one such problem.
    pub fn load(path: &Path) -> Result<Self, Problems> {
        let unreadable = |what: String| {
            Problems::one(
                path,
                Problem::of_file(what, "name a configuration with --config FILE"),
            )
        };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(FILE_BOUND + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        if bytes.len() as u64 > FILE_BOUND {
            return Err(unreadable(format!("is larger than {FILE_BOUND} bytes")));
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
                Problem::of_file(format!("is not UTF-8 in line {line}"), "save it as UTF-8"),
            )
        })?;
        Self::parse(&text, path, &|name| std::env::var(name).ok())
    }

    /// Reads `text` as the content of `path`, whose folder is where relative paths begin; `env` is
    /// the environment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(
        text: &str,
        path: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Problems> {
        // A byte order mark is no part of the text; some editors write one.
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
        let sockets = |table: &Table<'_, '_>| {
            (
                section::server::server(table),
                section::server::body_and_page(table),
            )
        };
        let absent = Table::absent(root.doc, "server");
        let (server, page) = root
            .section("server", schema::SERVER, sockets)
            .unwrap_or_else(|| sockets(&absent));
        let access = section::access::access(root);
        let (mut budgets, data_dir) = (
            section::budgets::budgets(root, access.budgets),
            section::budgets::data_dir(root),
        );
        let mut limits = section::limits::limits(root);
        budgets.cut = limits.cut;
        let (hub, mut gateway) = section::streams::streams(root, page);
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
            changed_defaults: changes::relied_on(root),
        };
        check::check(root, &config, access.public);
        config
    }
}
