//! AWS Bedrock: a region, and a key or AWS's own credentials.

use secrecy::SecretString;

use super::{Reached, overridden};
use crate::config::node::Node;
use crate::config::section::access;
use crate::config::table::Table;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Aws, AwsKeys, Credential};
use crate::model::wire::WireId;

/// Keys that Bedrock alone has.
pub(super) const KEYS: [&str; 5] = [
    "region",
    "profile",
    "access_key_id",
    "secret_access_key",
    "session_token",
];

/// Where AWS's own tools look for the region.
const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

const REGION_HELP: &str = "write region = \"us-east-1\", or set AWS_REGION";

/// How a region's models are reached.
pub(super) fn reached(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Reached> {
    let (keyed, moved) = (table.has("api_key"), table.has("base_url"));
    // A key that goes elsewhere needs no region.
    let region = if keyed && moved && !table.has("region") {
        None
    } else {
        region(table)
    };
    let credential = if keyed {
        bearer(table, auth, key)
    } else {
        signing(table, wire, region.clone())
    };
    let base_url = if moved {
        overridden(table, || Some(path(wire).to_owned()))
    } else {
        region.map(|region| format!("{}{}", host(wire, &region), path(wire)))
    };
    Some(Reached::http(wire, base_url?, credential?, quirks))
}

/// The wire of Bedrock's own; the others are spoken by another service.
fn host(wire: WireId, region: &str) -> String {
    match wire {
        WireId::Bedrock if region.starts_with("cn-") => {
            format!("https://bedrock-runtime.{region}.amazonaws.com.cn")
        }
        WireId::Bedrock => format!("https://bedrock-runtime.{region}.amazonaws.com"),
        _ => format!("https://bedrock-mantle.{region}.api.aws"),
    }
}

const fn path(wire: WireId) -> &'static str {
    match wire {
        WireId::Bedrock => "",
        WireId::Anthropic => "/anthropic/v1",
        _ => "/openai/v1",
    }
}

/// The configured region, else that of the environment.
fn region(table: &Table<'_, '_>) -> Option<String> {
    if table.has("region") {
        return table.read("region", named_region);
    }
    let env = table.doc.surroundings().env;
    let found = REGION_VARIABLES
        .iter()
        .find_map(|name| env(name).map(|region| (name, region)));
    match found {
        Some((_, region)) if is_region(&region) => Some(region),
        Some((name, _)) => table.missing(
            "region",
            format!("what {name} holds is no region"),
            REGION_HELP,
        ),
        None => table.missing("region", "missing", REGION_HELP),
    }
}

fn named_region(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if is_region(&text.value) {
        Some(text.value)
    } else {
        node.refuse_with(
            format!("expected a region, found {}", text.quoted()),
            REGION_HELP,
        )
    }
}

fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A key in place of AWS's credentials.
fn bearer(table: &Table<'_, '_>, auth: Auth, key: Option<SecretString>) -> Option<Credential> {
    for other in [
        "profile",
        "access_key_id",
        "secret_access_key",
        "session_token",
    ] {
        table.misplaced(
            other,
            "`api_key` is given as well",
            "leave one of the two out",
        );
    }
    key.map(|key| Credential::Key { key, auth })
}

fn signing(table: &Table<'_, '_>, wire: WireId, region: Option<String>) -> Option<Credential> {
    if wire != WireId::Bedrock {
        let help = "write api_key = \"${AWS_BEARER_TOKEN_BEDROCK}\"";
        return table.missing(
            "api_key",
            format!(
                "missing: the wire {:?} is not spoken for AWS's own credentials",
                wire.name()
            ),
            help,
        );
    }
    let given =
        table.has("access_key_id") || table.has("secret_access_key") || table.has("session_token");
    if given && table.has("profile") {
        table.misplaced(
            "profile",
            "`access_key_id` is given as well",
            "leave one of the two out",
        );
    }
    let keys = if given {
        keys(table).map(Some)
    } else {
        Some(None)
    };
    let profile = table.optional("profile", named);
    Some(Credential::Aws(Aws {
        region: region?,
        keys: keys?,
        profile: profile?,
    }))
}

fn named(node: &Node<'_, '_>) -> Option<String> {
    let text = node.text()?;
    if text.value.is_empty() || text.value.contains(char::is_control) {
        return node.refuse("expected the name of a profile in ~/.aws");
    }
    Some(text.value)
}

fn keys(table: &Table<'_, '_>) -> Option<AwsKeys> {
    let needed = |name: &str| {
        if table.has(name) {
            return table.read(name, access::token);
        }
        table.missing(name, "missing", "a key of AWS has `access_key_id` and `secret_access_key`, a temporary one `session_token` as well")
    };
    let (id, secret) = (needed("access_key_id"), needed("secret_access_key"));
    let session_token = table.optional("session_token", access::token);
    Some(AwsKeys {
        access_key_id: id?,
        secret_access_key: secret?.into(),
        session_token: session_token?.map(Into::into),
    })
}
