//! What only the whole configuration can tell: sections that do not go together.
//!
//! Invariants: nothing is said here of a file that could not be read whole, as what it lacks may be
//! in the other part.

use std::collections::BTreeSet;

use super::Config;
use super::nearest::nearest;
use super::node::Node;
use super::table::Table;
use crate::server::Listen;

/// Checks what has been read against each other.
pub(super) fn check(root: &Table<'_, '_>, config: &Config, public: bool) {
    if root.doc.is_partial() {
        return;
    }
    open_door(root, config, public);
    admin(root, config);
    twice(root, config);
    nothing_to_ask(root, config);
    limits_of_nobody(root, config);
}

/// Without authentication only this machine may ask, unless the operator says otherwise.
fn open_door(root: &Table<'_, '_>, config: &Config, public: bool) {
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
            "everybody who can reach {} could ask, as auth.mode is \"none\"",
            name(address)
        );
        let help = "set auth.mode = \"required\" and add [keys.<name>], listen on 127.0.0.1, or set auth.allow_public = true";
        say(root, "listen", &message, help);
    }
}

fn admin(root: &Table<'_, '_>, config: &Config) {
    let server = &config.server;
    if !is_loopback(&server.admin_listen)
        && server.admin_token.is_none()
        && !given(root, "admin_token")
    {
        let message = "an admin_token is needed where the operator's pages can be reached from other machines";
        say(
            root,
            "admin_listen",
            message,
            "set server.admin_token = \"${ADMIN_TOKEN}\", or listen on 127.0.0.1",
        );
    }
}

/// One address cannot be listened on twice; port 0 is another one each time.
fn twice(root: &Table<'_, '_>, config: &Config) {
    let fixed = |listen: &&Listen| !matches!(listen, Listen::Tcp(address) if address.port() == 0);
    let mut names = BTreeSet::new();
    for listen in config.server.listen.iter().filter(fixed) {
        if !names.insert(name(listen)) {
            say(
                root,
                "listen",
                &format!("{} is named twice", name(listen)),
                "name each address once",
            );
        }
    }
    let admin = &config.server.admin_listen;
    if fixed(&admin) && names.contains(&name(admin)) {
        let key = if given(root, "admin_listen") {
            "admin_listen"
        } else {
            "listen"
        };
        say(
            root,
            key,
            &format!("{} is both `listen` and `admin_listen`", name(admin)),
            "give the operator's pages an address of their own",
        );
    }
}

fn nothing_to_ask(root: &Table<'_, '_>, config: &Config) {
    // Models and providers that are there and wrong have been told about already.
    let none = root
        .read("models", |node| Some(is_empty(node)))
        .unwrap_or(!root.has("models"));
    let wrong = root
        .read("providers", |node| Some(!is_empty(node)))
        .unwrap_or(false)
        && config.route.providers.is_empty();
    if none
        && !wrong
        && !config
            .route
            .providers
            .values()
            .any(|provider| provider.direct)
    {
        let help = "name one: [models.smart] with route = [\"provider/model\"], or set `direct = true` on a provider";
        root.missing::<()>(
            "models",
            "there is no model that anybody could ask for",
            help,
        );
    }
}

/// A limit under a name that nobody has would be no limit, and nobody would know.
fn limits_of_nobody(root: &Table<'_, '_>, config: &Config) {
    let names = |key: &str| {
        let read = |node: &Node<'_, '_>| {
            node.is_table()
                .then(|| Table::open_any(node).map(|table| table.names().len()))?
        };
        root.read(key, read).unwrap_or_default()
    };
    let models: Vec<&str> = config.route.models.keys().map(|name| &**name).collect();
    let direct = |name: &str| {
        let provider = name
            .split_once('/')
            .and_then(|(provider, _)| config.route.providers.get(provider));
        provider.is_some_and(|provider| provider.direct)
    };
    // Models and keys that are there and wrong have been told about already.
    if names("models") == models.len() {
        each_known(
            root,
            "models",
            &models,
            direct,
            "no model has this name",
            "limits.models takes the names of [models.<name>]",
        );
    }
    let tokens = root
        .read("auth", |node| {
            Table::open_any(node).map(|table| table.has("jwt"))
        })
        .unwrap_or(false);
    let teams: Vec<&str> = config
        .auth
        .keys
        .iter()
        .filter_map(|key| key.team.as_deref())
        .collect();
    if !tokens && names("keys") == config.auth.keys.len() {
        each_known(
            root,
            "teams",
            &teams,
            |_| false,
            "no key has this team",
            "limits.teams takes what stands under `team` in [keys.<name>]",
        );
    }
}

fn each_known(
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
        Listen::Tcp(address) => address.ip().to_canonical().is_loopback(),
        Listen::Unix(_) => true,
    }
}

fn name(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => format!("unix:{}", path.display()),
    }
}

pub(super) fn given(root: &Table<'_, '_>, key: &str) -> bool {
    root.read("server", |node| {
        Table::open_any(node).map(|table| table.has(key))
    })
    .unwrap_or(false)
}

fn say(root: &Table<'_, '_>, key: &str, message: &str, help: &str) {
    let told = root.read("server", |node| {
        Table::open_any(node)?.read(key, |node| Some(node.refuse_with::<()>(message, help)))
    });
    if told.is_none() {
        root.missing::<()>(&format!("server.{key}"), message, help);
    }
}
