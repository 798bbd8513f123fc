//! Azure: a resource, its deployments, and an API key, a token or an application of Microsoft
//! Entra.
//!
//! There are two addresses: the `v1` API takes the deployment's name from the body's `model`; the
//! older dated API takes it from the path.

use std::collections::BTreeMap;

use bytestring::ByteString;
use secrecy::SecretString;

use super::connection::{Connection, key_credential, overriding_base_url, url_word};
use crate::config::node::Node;
use crate::config::section::access;
use crate::config::table::Table;
use crate::config::{address, mask};
use crate::model::quirks::{Hints, Quirks};
use crate::model::target::{Auth, Credential, Entra, Via};
use crate::model::wire::WireId;

/// The keys that only Azure has.
pub(super) const KEYS: [&str; 9] = [
    "resource",
    "api_version",
    "deployments",
    "entra_token",
    "tenant_id",
    "client_id",
    "client_secret",
    "token_url",
    "scope",
];

/// The keys of an Entra application.
const APPLICATION: [&str; 5] = [
    "tenant_id",
    "client_id",
    "client_secret",
    "token_url",
    "scope",
];

/// The default scope of Entra tokens.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

const V1: &str = "/openai/v1";
const DATED: &str = "/openai/deployments/{model}";

/// The first dated version that accepts `stream_options` and `max_completion_tokens`.
const FIRST_WITH_USAGE: &str = "2024-09-01";
/// The first dated version that accepts `reasoning_effort`.
const FIRST_WITH_EFFORT: &str = "2024-12-01";

/// Reads the connection to a resource.
pub(super) fn connection(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Connection> {
    let version = table
        .optional("api_version", |node| version(node, wire))
        .map(|given| given.unwrap_or(Version::V1));
    let base_url = base_url(table, version.as_ref());
    let models = table.optional("deployments", deployments);
    let credential = credential(table, auth, key);
    let version = version?;
    let via = Via::Http {
        wire,
        base_url: base_url?,
        query: version.query(),
    };
    Some(Connection {
        via,
        credential: credential?,
        models: models?.unwrap_or_default(),
        quirks: version.quirks(quirks),
    })
}

/// A version of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// The undated API.
    V1,
    /// The undated API with preview features.
    Preview,
    /// A dated API: `2024-10-21`, `2025-04-01-preview`.
    Dated(String),
}

impl Version {
    fn path(&self) -> &'static str {
        if matches!(self, Self::Dated(_)) {
            DATED
        } else {
            V1
        }
    }

    fn query(&self) -> Option<String> {
        match self {
            Self::V1 => None,
            Self::Preview => Some("api-version=preview".to_owned()),
            Self::Dated(date) => Some(format!("api-version={date}")),
        }
    }

    /// Adds the fields that a dated version does not support. These versions reject unknown fields.
    fn quirks(&self, quirks: Quirks) -> Quirks {
        let Self::Dated(date) = self else {
            return quirks;
        };
        let mut lacks = Hints::METADATA
            .and(Hints::SERVICE_TIER)
            .and(Hints::CACHE_KEY)
            .and(Hints::VERBOSITY);
        // ISO dates sort as text.
        if &**date < FIRST_WITH_EFFORT {
            lacks = lacks.and(Hints::EFFORT);
        }
        let old = &**date < FIRST_WITH_USAGE;
        if old {
            lacks = lacks.and(Hints::PARALLEL);
        }
        Quirks {
            no_stream_options: old,
            max_tokens: old,
            lacks,
            ..quirks
        }
    }
}

fn version(node: &Node<'_, '_>, wire: WireId) -> Option<Version> {
    const EXPECTED: &str =
        "\"v1\", \"preview\", or a date like \"2024-10-21\" or \"2025-04-01-preview\"";
    let text = node.text_or(EXPECTED)?;
    match &*text.value {
        "v1" | "latest" => Some(Version::V1),
        "preview" => Some(Version::Preview),
        date if !is_date(date.strip_suffix("-preview").unwrap_or(date)) => {
            node.refuse(format!("expected {EXPECTED}, found {}", text.quoted()))
        }
        _ if wire != WireId::OpenaiChat => node.refuse_with(
            format!(
                "the wire {:?} is not available in dated API versions",
                wire.name()
            ),
            "remove it, or set it to \"v1\"",
        ),
        date => Some(Version::Dated(date.to_owned())),
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().zip(b"dddd-dd-dd").all(|(b, form)| {
            if *form == b'd' {
                b.is_ascii_digit()
            } else {
                b == *form
            }
        })
}

fn base_url(table: &Table<'_, '_>, version: Option<&Version>) -> Option<String> {
    let path = version.map_or(V1, Version::path);
    if table.has("base_url") {
        return overriding_base_url(table, || Some(path.to_owned()));
    }
    if !table.has("resource") {
        return table.missing(
            "resource",
            "missing",
            "set the resource's name or its full host: resource = \"my-resource\"",
        );
    }
    table
        .read("resource", host)
        .map(|host| format!("https://{host}{path}"))
}

/// Reads the name of a resource or a full host, also as the URL that Azure's portal displays.
fn host(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if mask::has_credentials(&text.value) {
        return node.refuse_with("must not contain credentials", "move them to `api_key`");
    }
    let name = text
        .value
        .strip_prefix("https://")
        .unwrap_or(&text.value)
        .trim_end_matches('/');
    let is_host = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':'));
    if !is_host {
        return node.refuse(format!(
            "expected the name of a resource like \"my-resource\", or its full host, found {}",
            text.quoted()
        ));
    }
    Some(if name.contains(['.', ':']) {
        name.to_owned()
    } else {
        format!("{name}.openai.azure.com")
    })
}

/// Reads the deployments by the model names that routes use.
fn deployments(node: &Node<'_, '_>) -> Option<BTreeMap<ByteString, ByteString>> {
    let table = Table::open_any(node)?;
    let read: Vec<_> = table.each(|model, node| {
        let text = node.text_or("a deployment's name")?;
        if text.value.is_empty() {
            node.refuse("must not be empty")
        } else {
            Some((model.into(), text.value.into()))
        }
    });
    // With a wrong entry left out, its model would be sent under its own name.
    (read.len() == table.names().len()).then(|| read.into_iter().collect())
}

fn credential(table: &Table<'_, '_>, auth: Auth, key: Option<SecretString>) -> Option<Credential> {
    let token = table
        .read("entra_token", access::token)
        .map(SecretString::from);
    let application = APPLICATION.into_iter().find(|key| table.has(key));
    if let Some(first) = application {
        for other in ["api_key", "entra_token"]
            .into_iter()
            .filter(|key| table.has(key))
        {
            table.misplaced(
                first,
                format!("cannot be combined with `{other}`"),
                "remove one of the two",
            );
        }
        return entra(table).map(Credential::Entra);
    }
    if table.has("entra_token") {
        if table.has("api_key") {
            table.misplaced(
                "entra_token",
                "cannot be combined with `api_key`",
                "remove one of the two",
            );
        }
        return token.map(|key| Credential::Key {
            key,
            auth: Auth::Bearer,
        });
    }
    // `headers` may carry the API key.
    if !table.has("api_key") && !table.has("headers") {
        let help = "set api_key = \"${AZURE_OPENAI_API_KEY}\", or `tenant_id`, `client_id` and `client_secret` of an Entra application";
        return table.missing("api_key", "missing", help);
    }
    // A wrong key has been reported already.
    (key.is_some() || !table.has("api_key")).then(|| key_credential(key, auth))
}

fn entra(table: &Table<'_, '_>) -> Option<Entra> {
    let needed = |name: &str| {
        let help = "an Entra application needs `tenant_id`, `client_id` and `client_secret`";
        if table.has(name) {
            Some(())
        } else {
            table.missing(name, "missing", help)
        }
    };
    let client_id = needed("client_id").and_then(|()| table.read("client_id", url_word));
    let client_secret =
        needed("client_secret").and_then(|()| table.read("client_secret", |node| node.secret()));
    let token_url = token_url(table);
    let scope = table.optional("scope", |node| node.text());
    let scope = scope?.map_or_else(|| SCOPE.to_owned(), |text| text.value);
    Some(Entra {
        token_url: token_url?,
        client_id: client_id?,
        client_secret: client_secret?.value.into(),
        scope,
    })
}

fn token_url(table: &Table<'_, '_>) -> Option<String> {
    if table.has("token_url") {
        return table.read("token_url", address::base_url);
    }
    if !table.has("tenant_id") {
        return table.missing(
            "tenant_id",
            "missing",
            "set the application's tenant, or `token_url` to the address that issues its tokens",
        );
    }
    let tenant = table.read("tenant_id", url_word)?;
    Some(format!(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_must_be_iso_dates() {
        assert!(
            is_date("2024-10-21")
                && !is_date("2024-1-21")
                && !is_date("20241021")
                && !is_date("2024/10/21")
        );
    }

    #[test]
    fn old_versions_have_their_missing_fields_as_quirks() {
        let of = |date: &str| Version::Dated(date.to_owned()).quirks(Quirks::NONE);
        let (old, effortless, new) = (of("2024-06-01"), of("2024-10-21"), of("2025-04-01-preview"));
        assert!(
            old.no_stream_options
                && old.max_tokens
                && old.lacks.has(Hints::EFFORT.and(Hints::PARALLEL))
        );
        assert!(
            !effortless.no_stream_options
                && !effortless.max_tokens
                && effortless.lacks.has(Hints::EFFORT)
        );
        assert!(!new.lacks.has(Hints::EFFORT) && new.lacks.has(Hints::VERBOSITY));
        assert_eq!(Version::Preview.quirks(Quirks::NONE), Quirks::NONE);
    }
}
