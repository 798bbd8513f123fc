//! `[auth]` and `[keys]`

use std::collections::BTreeMap;

use bytestring::ByteString;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::{budgets, expiry, jwt, limits};
use crate::auth::{Key, Settings};
use crate::config::node::Node;
use crate::config::schema::{AUTH, KEY, MODES};
use crate::config::table::Table;
use crate::ledger::Budget;
use crate::model::limit::Limit;

/// The accepted keys and tokens, with the limits and budgets of each key.
#[derive(Default)]
pub(in crate::config) struct Access {
    /// The mode, keys and token settings.
    pub(in crate::config) auth: Settings,
    /// Limits by key name.
    pub(in crate::config) limits: BTreeMap<ByteString, Limit>,
    /// Budgets by key name.
    pub(in crate::config) budgets: BTreeMap<ByteString, Budget>,
    /// True for `allow_public`: mode "none" may listen on addresses that other machines reach.
    pub(in crate::config) public: bool,
}

/// Reads `[auth]` and `[keys]`.
pub(in crate::config) fn access(root: &Table<'_, '_>) -> Access {
    let mut access = Access::default();
    let names = |node: &Node<'_, '_>| -> Option<Vec<String>> {
        node.is_table().then(|| {
            Table::open_any(node)
                .map(|table| table.names().into_iter().map(str::to_owned).collect())
        })?
    };
    let names = root.read("keys", names).unwrap_or_default();
    root.section("auth", AUTH, |table| {
        access.public = table
            .read("allow_public", |node| node.boolean())
            .unwrap_or(false);
        let mode = table.optional("mode", |node| node.one_of(MODES));
        access.auth.required = mode == Some(Some("required"));
        access.auth.jwt = table.read("jwt", |node| jwt::jwt(node, &names));
        access.auth.ticket_secret = table.read("ticket_secret", ticket_secret);
        // `None` is a wrong mode, which has been reported already.
        if table.has("jwt") && matches!(mode, Some(None | Some("none"))) {
            table.misplaced(
                "jwt",
                "has no effect while auth.mode is \"none\": every client is accepted, with or without a token",
                "set auth.mode = \"required\"",
            );
        }
    });
    root.read("keys", |node| {
        Table::open_any(node).map(|table| keys(&table, &mut access))
    });
    if access.auth.required && access.auth.keys.is_empty() && !has_keys(root) && !has_jwt(root) {
        let refuse = |node: &Node<'_, '_>| {
            node.refuse_with::<()>(
                "no keys and no auth.jwt are configured: every client would be rejected",
                "add [keys.<name>] with a `secret`, or set auth.jwt",
            )
        };
        root.read("auth", |node| Table::open_any(node)?.read("mode", refuse));
    }
    access
}

/// True if the file contains keys, including wrong ones, which have been reported already.
fn has_keys(root: &Table<'_, '_>) -> bool {
    root.has("keys")
        && root
            .read("keys", |node| {
                Some(!node.is_table() || !Table::open_any(node)?.names().is_empty())
            })
            .unwrap_or(true)
}

/// True if the file contains `auth.jwt`, including a wrong one, which has been reported already.
fn has_jwt(root: &Table<'_, '_>) -> bool {
    root.read("auth", |node| {
        Table::open_any(node).map(|table| table.has("jwt"))
    })
    .unwrap_or(false)
}

/// Reads the secret that signs tickets. A guessed secret would allow tickets for every stream, so a
/// minimum length is required.
fn ticket_secret(node: &Node<'_, '_>) -> Option<SecretString> {
    const MIN_LENGTH: usize = 32;
    let secret = node.secret()?.value;
    if secret.len() < MIN_LENGTH {
        return node.refuse_with(
            "must have at least 32 characters",
            "create one with: openssl rand -hex 32",
        );
    }
    Some(secret.into())
}

fn keys(table: &Table<'_, '_>, access: &mut Access) {
    let mut known: BTreeMap<[u8; 32], String> = BTreeMap::new();
    table.each(|name, node| {
        let table = Table::open(node, KEY)?;
        // Read before the key, so that problems of limits are reported although the key is wrong.
        let limit = table.read("limits", limits::limit).unwrap_or_default();
        let key = key(name, &table)?;
        // Keys are looked up by their digest: of two keys with one secret, only one could be found.
        if let Some(first) = known.get(&key.sha256) {
            let place = if table.has("secret") {
                "secret"
            } else {
                "sha256"
            };
            table.misplaced(
                place,
                format!("has the same secret as {first}"),
                "use a different secret for each key",
            );
        }
        known
            .entry(key.sha256)
            .or_insert_with(|| table.key.to_owned());
        access.limits.insert(key.name.clone(), limit);
        access.budgets.extend(
            table
                .read("budget", budgets::budget)
                .map(|budget| (key.name.clone(), budget)),
        );
        access.auth.keys.push(key);
        Some(())
    });
}

fn key(name: &str, table: &Table<'_, '_>) -> Option<Key> {
    let team = table
        .read("team", |node| node.text())
        .map(|team| ByteString::from(team.value));
    let models = table.read("models", |node| {
        node.list("a list of model names", model_pattern)
    });
    let expires = table.read("expires", expiry::instant);
    let disabled = table
        .read("disabled", |node| node.boolean())
        .unwrap_or(false);
    let provider_objects = table
        .read("provider_objects", |node| node.boolean())
        .unwrap_or(false);
    let sha256 = digest(table)?;
    let models = models.unwrap_or_else(|| vec!["*".into()]);
    Some(Key {
        name: name.into(),
        sha256,
        team,
        models,
        expires,
        disabled,
        provider_objects,
    })
}

fn digest(table: &Table<'_, '_>) -> Option<[u8; 32]> {
    const HELP: &str =
        "set `secret = \"${NAME}\"`, or `sha256` to the secret's SHA-256 in hexadecimal";
    let secret = table
        .read("secret", token)
        .map(|secret| Sha256::digest(secret).into());
    let sha256 = table.read("sha256", sha256_hex);
    match (table.has("secret"), table.has("sha256")) {
        (false, false) => table.missing("", "the key has no secret", HELP),
        (true, true) if !table.doc.is_partial() => {
            table.misplaced(
                "sha256",
                "cannot be combined with `secret`",
                "remove one of the two",
            );
            None
        }
        _ => secret.or(sha256),
    }
}

/// Reads a secret that can be sent in a header.
pub(in crate::config) fn token(node: &Node<'_, '_>) -> Option<String> {
    let secret = node.secret()?.value;
    if secret.bytes().all(|b| b.is_ascii_graphic()) {
        return Some(secret);
    }
    node.refuse_with(
        "must contain only visible ASCII characters",
        "a secret with other characters cannot be sent in a header: choose another",
    )
}

fn sha256_hex(node: &Node<'_, '_>) -> Option<[u8; 32]> {
    let text = node.secret()?.value;
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
    let bytes = digits.map(|digits| {
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
            .collect::<Vec<u8>>()
    });
    match bytes
        .filter(|_| text.len() == 64)
        .and_then(|bytes| bytes.try_into().ok())
    {
        Some(digest) => Some(digest),
        None => node.refuse_with(
            "expected 64 hexadecimal digits",
            "create it with: printf %s \"$SECRET\" | sha256sum",
        ),
    }
}

fn model_pattern(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if text.value.is_empty() || text.value.contains(['?', '[', ']', '{', '}', '\\']) {
        let help = "`*` matches any characters, other wildcards are not supported: \"gpt-*\"";
        return node.refuse_with(
            format!(
                "expected a model name or a pattern, found {}",
                text.quoted()
            ),
            help,
        );
    }
    Some(text.value)
}
