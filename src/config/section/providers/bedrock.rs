//! AWS Bedrock: a region, and an API key or AWS credentials.

use secrecy::SecretString;

use super::connection::{Connection, overriding_base_url};
use crate::config::node::Node;
use crate::config::section::access;
use crate::config::table::Table;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Aws, AwsKeys, Credential};
use crate::model::wire::WireId;

/// The keys that only Bedrock has.
pub(super) const KEYS: [&str; 5] = [
    "region",
    "profile",
    "access_key_id",
    "secret_access_key",
    "session_token",
];

/// The environment variables from which AWS's own tools read the region.
const REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

const REGION_HELP: &str = "set region = \"us-east-1\", or set AWS_REGION";

/// Reads the connection to a region's models.
pub(super) fn connection(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Connection> {
    let (keyed, has_base_url) = (table.has("api_key"), table.has("base_url"));
    // Only AWS's own addresses and request signatures contain the region; an API key sent to
    // another address needs none.
    let region = if keyed && has_base_url && !table.has("region") {
        None
    } else {
        region(table)
    };
    let credential = if keyed {
        bearer(table, auth, key)
    } else {
        signing(table, wire, region.clone())
    };
    let base_url = if has_base_url {
        overriding_base_url(table, || Some(path(wire).to_owned()))
    } else {
        region.map(|region| format!("{}{}", host(wire, &region), path(wire)))
    };
    Some(Connection::http(wire, base_url?, credential?, quirks))
}

/// Returns the host for a wire: `bedrock-runtime` has only Bedrock's own wire, `bedrock-mantle` the
/// others.
fn host(wire: WireId, region: &str) -> String {
    match wire {
        // AWS's regions in China have a domain of their own.
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

/// Returns the configured region, else the region of the environment.
fn region(table: &Table<'_, '_>) -> Option<String> {
    if table.has("region") {
        return table.read("region", named_region);
    }
    let env = table.doc.sources().env;
    let found = REGION_VARIABLES
        .iter()
        .find_map(|name| env(name).map(|region| (name, region)));
    match found {
        Some((_, region)) if is_region(&region) => Some(region),
        // The value is not quoted: the environment may contain secrets.
        Some((name, _)) => table.missing(
            "region",
            format!("the environment variable {name} does not contain a region"),
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

/// Returns the API key as the credential. AWS credentials beside it are reported.
fn bearer(table: &Table<'_, '_>, auth: Auth, key: Option<SecretString>) -> Option<Credential> {
    for other in [
        "profile",
        "access_key_id",
        "secret_access_key",
        "session_token",
    ] {
        table.misplaced(
            other,
            "cannot be combined with `api_key`",
            "remove one of the two",
        );
    }
    key.map(|key| Credential::Key { key, auth })
}

fn signing(table: &Table<'_, '_>, wire: WireId, region: Option<String>) -> Option<Credential> {
    if wire != WireId::Bedrock {
        let help = "set api_key = \"${AWS_BEARER_TOKEN_BEDROCK}\"";
        return table.missing(
            "api_key",
            format!(
                "missing: the wire {:?} needs an API key and cannot use AWS credentials",
                wire.name()
            ),
            help,
        );
    }
    // `session_token` alone counts as well, so that the missing keys are reported.
    let given =
        table.has("access_key_id") || table.has("secret_access_key") || table.has("session_token");
    if given && table.has("profile") {
        table.misplaced(
            "profile",
            "cannot be combined with `access_key_id`",
            "remove one of the two",
        );
    }
    let keys = if given {
        keys(table).map(Some)
    } else {
        Some(None)
    };
    let profile = table.optional("profile", profile_name);
    Some(Credential::Aws(Aws {
        region: region?,
        keys: keys?,
        profile: profile?,
    }))
}

fn profile_name(node: &Node<'_, '_>) -> Option<String> {
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
        table.missing(name, "missing", "AWS credentials need `access_key_id` and `secret_access_key`, temporary ones also `session_token`")
    };
    let (id, secret) = (needed("access_key_id"), needed("secret_access_key"));
    let session_token = table.optional("session_token", access::token);
    Some(AwsKeys {
        access_key_id: id?,
        secret_access_key: secret?.into(),
        session_token: session_token?.map(Into::into),
    })
}
