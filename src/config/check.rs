//! Checks across sections of the configuration.
//!
//! Invariants: a file that was not fully parsed is not checked here, because a missing value may be
//! in the unparsed part.

use std::collections::BTreeSet;

use super::Config;
use super::nearest::nearest;
use super::node::Node;
use super::table::Table;
use crate::server::Listen;

/// Checks the values of different sections against each other, and reports contradictions.
pub(super) fn check(root: &Table<'_, '_>, config: &Config, public: bool) {
    if root.doc.is_partial() {
        return;
    }
    check_open_access(root, config, public);
    check_admin_token(root, config);
    check_duplicate_addresses(root, config);
    check_models(root, config);
    check_limited_models(root, config);
    check_limited_teams(root, config);
}

/// Requires loopback listeners if authentication is off, unless the operator set
/// `auth.allow_public`.
fn check_open_access(root: &Table<'_, '_>, config: &Config, public: bool) {
    if config.auth.required || public {
        return;
    }
    if let Some(address) = config
        .server
        .listen
        .iter()
        .find(|listen| !is_loopback(listen))
    {
        let message = format!(
            "{} is reachable from other machines, and auth.mode \"none\" accepts every client",
            name(address)
        );
        let help = "set auth.mode = \"required\" and add [keys.<name>], listen on 127.0.0.1, or set auth.allow_public = true";
        report(root, "listen", &message, help);
    }
}

/// Requires an admin token if the admin listener is reachable from other machines.
fn check_admin_token(root: &Table<'_, '_>, config: &Config) {
    let server = &config.server;
    if !is_loopback(&server.admin_listen)
        && server.admin_token.is_none()
        && !sets_server_key(root, "admin_token")
    {
        let message =
            "server.admin_token is required if the admin listener is reachable from other machines";
        report(
            root,
            "admin_listen",
            message,
            "set server.admin_token = \"${ADMIN_TOKEN}\", or listen on 127.0.0.1",
        );
    }
}

/// Rejects addresses that are used twice. Port 0 is exempt: the system assigns a new port each
/// time.
fn check_duplicate_addresses(root: &Table<'_, '_>, config: &Config) {
    let fixed = |listen: &&Listen| !matches!(listen, Listen::Tcp(address) if address.port() == 0);
    let mut names = BTreeSet::new();
    for listen in config.server.listen.iter().filter(fixed) {
        if !names.insert(name(listen)) {
            report(
                root,
                "listen",
                &format!("{} is listed twice", name(listen)),
                "list each address once",
            );
        }
    }
    let admin = &config.server.admin_listen;
    if fixed(&admin) && names.contains(&name(admin)) {
        // The problem is reported at a key that the file contains: the other address may be a
        // default.
        let key = if sets_server_key(root, "admin_listen") {
            "admin_listen"
        } else {
            "listen"
        };
        report(
            root,
            key,
            &format!(
                "{} is used by both `listen` and `admin_listen`",
                name(admin)
            ),
            "use another address for `admin_listen`",
        );
    }
}

/// Rejects a configuration without any model that clients could request.
fn check_models(root: &Table<'_, '_>, config: &Config) {
    // Models and providers that are present but wrong have been reported already.
    let no_models = root
        .read("models", |node| Some(is_empty(node)))
        .unwrap_or(!root.has("models"));
    let providers_wrong = root
        .read("providers", |node| Some(!is_empty(node)))
        .unwrap_or(false)
        && config.route.providers.is_empty();
    if no_models
        && !providers_wrong
        && !config
            .route
            .providers
            .values()
            .any(|provider| provider.direct)
    {
        let help = "add one: [models.smart] with route = [\"provider/model\"], or set `direct = true` on a provider";
        root.missing::<()>("models", "no model is configured", help);
    }
}

/// Rejects limits of unknown models: such a limit would silently never apply.
fn check_limited_models(root: &Table<'_, '_>, config: &Config) {
    let models: Vec<&str> = config.route.models.keys().map(|name| &**name).collect();
    // Models that are present but wrong have been reported already.
    if entries(root, "models") != models.len() {
        return;
    }
    let direct = |name: &str| {
        let provider = name
            .split_once('/')
            .and_then(|(provider, _)| config.route.providers.get(provider));
        provider.is_some_and(|provider| provider.direct)
    };
    report_unknown_names(
        root,
        "models",
        &models,
        direct,
        "no model has this name",
        "use the name of a [models.<name>] section",
    );
}

/// Rejects limits of unknown teams: such a limit would silently never apply.
fn check_limited_teams(root: &Table<'_, '_>, config: &Config) {
    // Tokens can bring teams that no key has, so with `auth.jwt` every team name is accepted.
    let tokens = root
        .read("auth", |node| {
            Table::open_any(node).map(|table| table.has("jwt"))
        })
        .unwrap_or(false);
    // Keys that are present but wrong have been reported already.
    if tokens || entries(root, "keys") != config.auth.keys.len() {
        return;
    }
    let teams: Vec<&str> = config
        .auth
        .keys
        .iter()
        .filter_map(|key| key.team.as_deref())
        .collect();
    report_unknown_names(
        root,
        "teams",
        &teams,
        |_| false,
        "no key has this team",
        "use a `team` of one of the [keys.<name>] sections",
    );
}

/// Returns the number of entries of a section, wrong ones included.
fn entries(root: &Table<'_, '_>, key: &str) -> usize {
    let read = |node: &Node<'_, '_>| {
        node.is_table()
            .then(|| Table::open_any(node).map(|table| table.names().len()))?
    };
    root.read(key, read).unwrap_or_default()
}

/// Reports every entry of `limits.<key>` whose name is neither in `names` nor accepted by `known`.
fn report_unknown_names(
    root: &Table<'_, '_>,
    key: &str,
    names: &[&str],
    known: impl Fn(&str) -> bool,
    message: &str,
    help: &str,
) {
    let look = |name: &str, node: &Node<'_, '_>| {
        if names.contains(&name) || known(name) {
            return None;
        }
        let near = nearest(name, names.iter().copied());
        node.refuse_with::<()>(
            message,
            near.map_or_else(|| help.to_owned(), |near| format!("did you mean `{near}`?")),
        )
    };
    root.read("limits", |node| {
        Table::open_any(node)?.read(key, |node| Some(Table::open_any(node)?.each(look)))
    });
}

fn is_empty(node: &Node<'_, '_>) -> bool {
    node.is_table() && Table::open_any(node).is_some_and(|table| table.names().is_empty())
}

fn is_loopback(listen: &Listen) -> bool {
    match listen {
        // An IPv4-mapped address like ::ffff:127.0.0.1 is loopback as well.
        Listen::Tcp(address) => address.ip().to_canonical().is_loopback(),
        // A Unix socket cannot be reached from other machines.
        Listen::Unix(_) => true,
    }
}

fn name(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// True if `[server]` sets `key`.
pub(super) fn sets_server_key(root: &Table<'_, '_>, key: &str) -> bool {
    root.read("server", |node| {
        Table::open_any(node).map(|table| table.has(key))
    })
    .unwrap_or(false)
}

/// Reports a problem at the key of `[server]`, or at the file if it relies on the key's default.
fn report(root: &Table<'_, '_>, key: &str, message: &str, help: &str) {
    let reported = root.read("server", |node| {
        Table::open_any(node)?.read(key, |node| Some(node.refuse_with::<()>(message, help)))
    });
    if reported.is_none() {
        root.missing::<()>(&format!("server.{key}"), message, help);
    }
}
