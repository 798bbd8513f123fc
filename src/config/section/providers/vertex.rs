//! Google Cloud's Vertex AI: a project and a location with Google's credentials, or only an API key
//! (express mode).

use secrecy::SecretString;

use super::connection::{Connection, overriding_base_url, url_word};
use crate::config::address;
use crate::config::table::Table;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Credential, Google};
use crate::model::wire::WireId;

/// The keys that only Vertex has.
pub(super) const KEYS: [&str; 3] = ["project", "location", "credentials"];

/// The default location, which is not bound to a region.
const GLOBAL: &str = "global";

const EXPRESS: &str = "/v1/publishers/google";

/// Reads the connection to a project's models.
pub(super) fn connection(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Connection> {
    if table.has("api_key") {
        return express(table, wire, auth, quirks, key);
    }
    let base_url = base_url(table);
    let credentials = table.optional("credentials", address::file);
    let credential = Credential::Google(Google {
        credentials: credentials?,
    });
    Some(Connection::http(wire, base_url?, credential, quirks))
}

/// Reads the connection of express mode, in which the API key determines the project.
fn express(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Connection> {
    for other in KEYS {
        table.misplaced(
            other,
            "cannot be combined with `api_key`, which replaces project, location and credentials",
            "remove one of the two",
        );
    }
    let base_url = if table.has("base_url") {
        overriding_base_url(table, || Some(EXPRESS.to_owned()))
    } else {
        Some(format!("https://{}{EXPRESS}", host(GLOBAL)))
    };
    Some(Connection::http(
        wire,
        base_url?,
        Credential::Key { key: key?, auth },
        quirks,
    ))
}

fn base_url(table: &Table<'_, '_>) -> Option<String> {
    let location = table
        .optional("location", url_word)
        .map(|given| given.unwrap_or_else(|| GLOBAL.to_owned()));
    let project = table.optional("project", url_word);
    let path = || {
        let (project, location) = (project?, location.as_deref()?);
        let help =
            "set project = \"my-project\", or api_key = \"${GOOGLE_API_KEY}\" for express mode";
        let project = project.or_else(|| table.missing("project", "missing", help))?;
        Some(format!(
            "/v1/projects/{project}/locations/{location}/publishers/google"
        ))
    };
    if table.has("base_url") {
        return overriding_base_url(table, path);
    }
    let path = path()?;
    Some(format!("https://{}{path}", host(location.as_deref()?)))
}

/// Returns the API host of a location: `global`, the multi-regions `us` and `eu`, or a region.
fn host(location: &str) -> String {
    match location {
        GLOBAL => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    }
}
