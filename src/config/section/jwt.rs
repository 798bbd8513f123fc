//! `auth.jwt`

use std::time::Duration;

use crate::auth::jwt::{Algorithm, Names, Settings, Source};
use crate::config::node::Node;
use crate::config::schema::{ALGORITHMS, JWT, JWT_CLAIMS};
use crate::config::table::Table;
use crate::config::{address, quantity};

/// How far clocks may differ where nothing is said.
const LEEWAY: Duration = Duration::from_secs(60);
/// The most that clocks may differ: an expired token would be good for as long.
const MAX_LEEWAY: Duration = Duration::from_secs(10 * 60);
/// The keys that say where signatures are verified with; there is one of them.
const SOURCES: [&str; 3] = ["secret", "jwks_url", "public_key"];

/// Which tokens count. Without [keys], `default_key` names nothing: `keys` are the names of those
/// that are there.
pub(super) fn jwt(node: &Node<'_, '_>, keys: &[String]) -> Option<Settings> {
    let table = Table::open(node, JWT)?;
    let source = source(&table);
    let algorithms = table.optional("algorithms", algorithms);
    let issuer = table
        .optional("issuer", names)
        .map(Option::unwrap_or_default);
    let audience = table
        .optional("audience", names)
        .map(Option::unwrap_or_default);
    let leeway = table.optional("leeway", leeway);
    let cookie = table.optional("cookie", cookie);
    let default_key = table.optional("default_key", |node| known_key(node, keys));
    let claims = table
        .optional("claims", claims)
        .map(Option::unwrap_or_default);
    let source = source?;
    let algorithms = fitting(&table, &source, algorithms?)?;
    Some(Settings {
        source,
        algorithms,
        issuer: issuer?,
        audience: audience?,
        leeway: leeway?.unwrap_or(LEEWAY),
        cookie: cookie?,
        default_key: default_key?.map(Into::into),
        claims: claims?,
    })
}

fn source(table: &Table<'_, '_>) -> Option<Source> {
    let secret = table.read("secret", |node| {
        node.secret().map(|text| Source::Secret(text.value.into()))
    });
    let ca_file = table.optional("ca_file", address::file);
    let url = table.read("jwks_url", url);
    let public_key = table.read("public_key", public_key);
    let given: Vec<_> = SOURCES.into_iter().filter(|name| table.has(name)).collect();
    if let (true, [_, second, ..]) = (!table.doc.is_partial(), &*given) {
        table.misplaced(
            second,
            format!("`{}` is given as well", given.first()?),
            "say in one way how tokens are verified",
        );
        return None;
    }
    if given.is_empty() {
        return table.missing(
            "",
            "it does not say how tokens are verified",
            "set `jwks_url`, `public_key` or `secret`",
        );
    }
    if table.has("ca_file") && !table.has("jwks_url") {
        table.misplaced(
            "ca_file",
            "there is no `jwks_url` that it could be for",
            "leave it out",
        );
    }
    let ca_file = ca_file?;
    secret
        .or(public_key)
        .or_else(|| Some(Source::Jwks { url: url?, ca_file }))
}

fn url(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if address::has_credentials(&text.value) {
        return node.refuse_with(
            "it has credentials in it",
            "leave them out: public keys are public",
        );
    }
    if address::is_http(&text.value) {
        return Some(text.value);
    }
    let message = format!(
        "expected a URL like \"https://id.example/.well-known/jwks.json\", found {}",
        text.quoted()
    );
    node.refuse(message)
}

/// Not shown: who mistakes it puts a private key here.
fn public_key(node: &Node<'_, '_>) -> Option<Source> {
    let pem = node.secret()?.value;
    if Source::is_public_key(&pem) {
        return Some(Source::PublicKey(pem));
    }
    let help = "write public_key = \"${file:issuer.pem}\"; the file begins with -----BEGIN PUBLIC KEY-----";
    node.refuse_with("expected an RSA or P-256 public key in PEM", help)
}

fn algorithms(node: &Node<'_, '_>) -> Option<Vec<Algorithm>> {
    let list = node.list("a list of algorithms", |node| {
        let name = node.word(ALGORITHMS)?;
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    })?;
    if list.is_empty() {
        node.refuse_with("it is empty", "name at least one, or leave the key out")
    } else {
        Some(list)
    }
}

/// Those that are named, or all that the source has keys for.
fn fitting(
    table: &Table<'_, '_>,
    source: &Source,
    named: Option<Vec<Algorithm>>,
) -> Option<Vec<Algorithm>> {
    let (own, of): (&[Algorithm], _) = match source {
        Source::Secret(_) => (&[Algorithm::Hs256], "a secret"),
        Source::PublicKey(_) | Source::Jwks { .. } => {
            (&[Algorithm::Rs256, Algorithm::Es256], "public keys")
        }
    };
    let named = named.unwrap_or_else(|| own.to_vec());
    if let Some(other) = named.iter().find(|algorithm| !own.contains(algorithm)) {
        let fit: Vec<_> = own.iter().map(|algorithm| algorithm.name()).collect();
        table.misplaced(
            "algorithms",
            format!("{} is not verified with {of}", other.name()),
            format!("name {}", fit.join(" or ")),
        );
        return None;
    }
    Some(named)
}

/// A name or a list of them.
fn names(node: &Node<'_, '_>) -> Option<Vec<String>> {
    let one = |node: &Node<'_, '_>| {
        let text = node.text()?.value;
        if text.is_empty() {
            node.refuse_with("it is empty", "name it, or leave the key out")
        } else {
            Some(text)
        }
    };
    if node.is_list() {
        node.list("a name or a list of them", one)
    } else {
        Some(vec![one(node)?])
    }
}

fn leeway(node: &Node<'_, '_>) -> Option<Duration> {
    let leeway = quantity::duration(node)?;
    if leeway > MAX_LEEWAY {
        return node.refuse_with(
            "it is longer than 10 minutes",
            "tokens would count for that long after their end",
        );
    }
    Some(leeway)
}

/// The name of a cookie: a token of HTTP.
fn cookie(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.value.is_empty() && text.value.bytes().all(is_name) {
        return Some(text.value);
    }
    node.refuse_with(
        format!("expected the name of a cookie, found {}", text.quoted()),
        "letters, digits, `_` and `-`: \"__Host-session\"",
    )
}

fn known_key(node: &Node<'_, '_>, keys: &[String]) -> Option<String> {
    let text = node.text()?;
    if keys.contains(&text.value) || node.doc.is_partial() {
        return Some(text.value);
    }
    node.refuse_with(
        format!("there is no key {}", text.quoted()),
        "name one of [keys.<name>]",
    )
}

fn claims(node: &Node<'_, '_>) -> Option<Names> {
    let table = Table::open(node, JWT_CLAIMS)?;
    let defaults = Names::default();
    let read = |name: &str, default: String| {
        table
            .optional(name, |node| {
                let text = node.text()?.value;
                if text.is_empty() {
                    node.refuse_with("it is empty", "name a claim, or leave the key out")
                } else {
                    Some(text)
                }
            })
            .map(|name| name.unwrap_or(default))
    };
    let (key, team) = (read("key", defaults.key), read("team", defaults.team));
    let (user, models, limits) = (
        read("user", defaults.user),
        read("models", defaults.models),
        read("limits", defaults.limits),
    );
    Some(Names {
        key: key?,
        team: team?,
        user: user?,
        models: models?,
        limits: limits?,
    })
}
