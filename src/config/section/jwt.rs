//! `auth.jwt`

use std::time::Duration;

use crate::auth::jwt::{Algorithm, ClaimNames, Settings, Source};
use crate::config::node::Node;
use crate::config::schema::{ALGORITHMS, JWT, JWT_CLAIMS};
use crate::config::table::Table;
use crate::config::{address, mask, quantity};

/// Default tolerance for differing clocks.
const LEEWAY: Duration = Duration::from_secs(60);
/// Maximum tolerance for differing clocks: expired tokens are accepted for this long.
const MAX_LEEWAY: Duration = Duration::from_secs(10 * 60);
/// The keys that configure the source of verification keys; exactly one must be set.
const SOURCES: [&str; 3] = ["secret", "jwks_url", "public_key"];

/// Reads `auth.jwt`. `keys` are the names of all `[keys.<name>]` sections, one of which
/// `default_key` must name.
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
    let algorithms = allowed_algorithms(&table, &source, algorithms?)?;
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
    // In a file that was not fully parsed, `has` is true for every key.
    if let (true, [_, second, ..]) = (!table.doc.is_partial(), &*given) {
        table.misplaced(
            second,
            format!("cannot be combined with `{}`", given.first()?),
            "keep only one of `jwks_url`, `public_key` and `secret`",
        );
        return None;
    }
    if given.is_empty() {
        return table.missing(
            "",
            "the source of the keys that verify tokens is missing",
            "set `jwks_url`, `public_key` or `secret`",
        );
    }
    if table.has("ca_file") && !table.has("jwks_url") {
        table.misplaced("ca_file", "has no effect without `jwks_url`", "remove it");
    }
    let ca_file = ca_file?;
    secret
        .or(public_key)
        .or_else(|| Some(Source::Jwks { url: url?, ca_file }))
}

fn url(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if mask::has_credentials(&text.value) {
        return node.refuse_with(
            "must not contain credentials",
            "remove them: public keys need no credentials",
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

/// Reads a public key. It is treated as a secret, because an operator may put a private key here by
/// mistake.
fn public_key(node: &Node<'_, '_>) -> Option<Source> {
    let pem = node.secret()?.value;
    if Source::is_public_key(&pem) {
        return Some(Source::PublicKey(pem));
    }
    let help =
        "set public_key = \"${file:issuer.pem}\"; the file begins with -----BEGIN PUBLIC KEY-----";
    node.refuse_with("expected an RSA or P-256 public key in PEM", help)
}

fn algorithms(node: &Node<'_, '_>) -> Option<Vec<Algorithm>> {
    let list = node.list("a list of algorithms", |node| {
        let name = node.one_of(ALGORITHMS)?;
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    })?;
    if list.is_empty() {
        node.refuse_with(
            "must not be empty",
            "list at least one algorithm, or remove the key",
        )
    } else {
        Some(list)
    }
}

/// Returns the named algorithms, or all that fit the source if none are named. Reports algorithms
/// that do not fit the source.
fn allowed_algorithms(
    table: &Table<'_, '_>,
    source: &Source,
    named: Option<Vec<Algorithm>>,
) -> Option<Vec<Algorithm>> {
    let (supported, of): (&[Algorithm], _) = match source {
        Source::Secret(_) => (&[Algorithm::Hs256], "a secret"),
        Source::PublicKey(_) | Source::Jwks { .. } => {
            (&[Algorithm::Rs256, Algorithm::Es256], "public keys")
        }
    };
    // HS256 verified with a public key would let everyone who knows that key sign tokens.
    let named = named.unwrap_or_else(|| supported.to_vec());
    if let Some(other) = named
        .iter()
        .find(|algorithm| !supported.contains(algorithm))
    {
        let fit: Vec<_> = supported.iter().map(|algorithm| algorithm.name()).collect();
        table.misplaced(
            "algorithms",
            format!("{} signatures cannot be verified with {of}", other.name()),
            format!("use {}", fit.join(" or ")),
        );
        return None;
    }
    Some(named)
}

/// Reads a name or a list of names.
fn names(node: &Node<'_, '_>) -> Option<Vec<String>> {
    let one = |node: &Node<'_, '_>| {
        let text = node.text()?.value;
        if text.is_empty() {
            node.refuse_with("must not be empty", "set a name, or remove the key")
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
            "must be at most 10 minutes",
            "expired tokens are accepted for this long",
        );
    }
    Some(leeway)
}

/// Reads the name of a cookie: a `token` of the HTTP grammar.
fn cookie(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !text.value.is_empty() && text.value.bytes().all(is_name) {
        return Some(text.value);
    }
    node.refuse_with(
        format!("expected the name of a cookie, found {}", text.quoted()),
        "use letters, digits, `_` and `-`: \"__Host-session\"",
    )
}

fn known_key(node: &Node<'_, '_>, keys: &[String]) -> Option<String> {
    let text = node.text()?;
    if keys.contains(&text.value) || node.doc.is_partial() {
        return Some(text.value);
    }
    node.refuse_with(
        format!("no key is named {}", text.quoted()),
        "use the name of a [keys.<name>] section",
    )
}

fn claims(node: &Node<'_, '_>) -> Option<ClaimNames> {
    let table = Table::open(node, JWT_CLAIMS)?;
    let defaults = ClaimNames::default();
    let read = |name: &str, default: String| {
        table
            .optional(name, |node| {
                let text = node.text()?.value;
                if text.is_empty() {
                    node.refuse_with(
                        "must not be empty",
                        "set the name of a claim, or remove the key",
                    )
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
    Some(ClaimNames {
        key: key?,
        team: team?,
        user: user?,
        models: models?,
        limits: limits?,
    })
}
