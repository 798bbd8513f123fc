//! Azure: a resource, its deployments, and a key, a token or an application of Microsoft Entra.
//!
//! Two addresses: the `v1` one, where the deployment's name stands in the body as the model; and
//! the older one by date, where it stands in the path.

use std::collections::BTreeMap;

use bytestring::ByteString;
use secrecy::SecretString;

use super::{Reached, overridden, plain};
use crate::config::address;
use crate::config::node::Node;
use crate::config::section::access;
use crate::config::table::Table;
use crate::model::quirks::{Hints, Quirks};
use crate::model::target::{Auth, Credential, Entra, Via};
use crate::model::wire::WireId;

/// Keys that Azure alone has.
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

/// Those of an application of Entra.
const APPLICATION: [&str; 5] = [
    "tenant_id",
    "client_id",
    "client_secret",
    "token_url",
    "scope",
];

/// What a token is for where nobody says.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

const V1: &str = "/openai/v1";
const BY_DATE: &str = "/openai/deployments/{model}";

/// The first version by date that takes `stream_options` and `max_completion_tokens`.
const WITH_USAGE: &str = "2024-09-01";
/// The first one that takes `reasoning_effort`.
const WITH_EFFORT: &str = "2024-12-01";

/// How a resource is reached.
pub(super) fn reached(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Reached> {
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
    Some(Reached {
        via,
        credential: credential?,
        models: models?.unwrap_or_default(),
        quirks: version.quirks(quirks),
    })
}

/// A version of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// The one without a date.
    V1,
    /// The same with what is new in it.
    Preview,
    /// One by date: `2024-10-21`, `2025-04-01-preview`.
    Dated(String),
}

impl Version {
    fn path(&self) -> &'static str {
        if matches!(self, Self::Dated(_)) {
            BY_DATE
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

    /// What versions by date do not know yet: they refuse what they do not know.
    fn quirks(&self, quirks: Quirks) -> Quirks {
        let Self::Dated(date) = self else {
            return quirks;
        };
        let mut lacks = Hints::METADATA
            .and(Hints::SERVICE_TIER)
            .and(Hints::CACHE_KEY)
            .and(Hints::VERBOSITY);
        if &**date < WITH_EFFORT {
            lacks = lacks.and(Hints::EFFORT);
        }
        let old = &**date < WITH_USAGE;
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
            format!("the wire {:?} is not to be had by a date", wire.name()),
            "leave it out, or set it to \"v1\"",
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
        return overridden(table, || Some(path.to_owned()));
    }
    if !table.has("resource") {
        return table.missing(
            "resource",
            "missing",
            "name the resource: resource = \"my-resource\", or its whole host",
        );
    }
    table
        .read("resource", host)
        .map(|host| format!("https://{host}{path}"))
}

/// A bare name, or a whole host; the address as Azure's pages show it is as good.
fn host(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if address::has_credentials(&text.value) {
        return node.refuse_with("it has credentials in it", "put them into `api_key`");
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
            "expected a resource's name like \"my-resource\", or its whole host, found {}",
            text.quoted()
        ));
    }
    Some(if name.contains(['.', ':']) {
        name.to_owned()
    } else {
        format!("{name}.openai.azure.com")
    })
}

/// What Azure calls the models that routes name.
fn deployments(node: &Node<'_, '_>) -> Option<BTreeMap<ByteString, ByteString>> {
    let table = Table::open_any(node)?;
    let read: Vec<_> = table.each(|model, node| {
        let text = node.text_or("a deployment's name")?;
        if text.value.is_empty() {
            node.refuse("it is empty")
        } else {
            Some((model.into(), text.value.into()))
        }
    });
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
                format!("`{other}` is given as well"),
                "leave one of the two out",
            );
        }
        return entra(table).map(Credential::Entra);
    }
    if table.has("entra_token") {
        if table.has("api_key") {
            table.misplaced(
                "entra_token",
                "`api_key` is given as well",
                "leave one of the two out",
            );
        }
        return token.map(|key| Credential::Key {
            key,
            auth: Auth::Bearer,
        });
    }
    if !table.has("api_key") && !table.has("headers") {
        let help = "write api_key = \"${AZURE_OPENAI_API_KEY}\", or `tenant_id`, `client_id` and `client_secret` of an application";
        return table.missing("api_key", "missing", help);
    }
    // A key that is wrong has been told.
    (key.is_some() || !table.has("api_key")).then(|| super::carried(key, auth))
}

fn entra(table: &Table<'_, '_>) -> Option<Entra> {
    let needed = |name: &str| {
        let help = "an application has `tenant_id`, `client_id` and `client_secret`";
        if table.has(name) {
            Some(())
        } else {
            table.missing(name, "missing", help)
        }
    };
    let client_id = needed("client_id").and_then(|()| table.read("client_id", plain));
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
            "name the application's tenant, or `token_url`, where its tokens are asked for",
        );
    }
    let tenant = table.read("tenant_id", plain)?;
    Some(format!(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_its_form() {
        assert!(
            is_date("2024-10-21")
                && !is_date("2024-1-21")
                && !is_date("20241021")
                && !is_date("2024/10/21")
        );
    }

    #[test]
    fn what_an_old_version_lacks_is_minded() {
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
