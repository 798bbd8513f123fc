//! Google Cloud's Vertex AI: a project and a location with Google's credentials, or a key alone
//! (express mode).

use secrecy::SecretString;

use super::{Reached, overridden, plain};
use crate::config::address;
use crate::config::table::Table;
use crate::model::quirks::Quirks;
use crate::model::target::{Auth, Credential, Google};
use crate::model::wire::WireId;

/// Keys that Vertex alone has.
pub(super) const KEYS: [&str; 3] = ["project", "location", "credentials"];

/// Where everything is that is in no location of its own.
const GLOBAL: &str = "global";

const EXPRESS: &str = "/v1/publishers/google";

/// How a project's models are reached.
pub(super) fn reached(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Reached> {
    if table.has("api_key") {
        return express(table, wire, auth, quirks, key);
    }
    let base_url = base_url(table);
    let credentials = table.optional("credentials", address::file);
    let credential = Credential::Google(Google {
        credentials: credentials?,
    });
    Some(Reached::http(wire, base_url?, credential, quirks))
}

/// A key belongs to no project: it knows its own.
fn express(
    table: &Table<'_, '_>,
    wire: WireId,
    auth: Auth,
    quirks: Quirks,
    key: Option<SecretString>,
) -> Option<Reached> {
    for other in KEYS {
        table.misplaced(
            other,
            "`api_key` is given as well: it stands for project, location and credentials",
            "leave one of the two out",
        );
    }
    let base_url = if table.has("base_url") {
        overridden(table, || Some(EXPRESS.to_owned()))
    } else {
        Some(format!("https://{}{EXPRESS}", host(GLOBAL)))
    };
    Some(Reached::http(
        wire,
        base_url?,
        Credential::Key { key: key?, auth },
        quirks,
    ))
}

fn base_url(table: &Table<'_, '_>) -> Option<String> {
    let location = table
        .optional("location", plain)
        .map(|given| given.unwrap_or_else(|| GLOBAL.to_owned()));
    let project = table.optional("project", plain);
    let path = || {
        let (project, location) = (project?, location.as_deref()?);
        let help = "name the project: project = \"my-project\", or write api_key = \"${GOOGLE_API_KEY}\" for express mode";
        let project = project.or_else(|| table.missing("project", "missing", help))?;
        Some(format!(
            "/v1/projects/{project}/locations/{location}/publishers/google"
        ))
    };
    if table.has("base_url") {
        return overridden(table, path);
    }
    let path = path()?;
    Some(format!("https://{}{path}", host(location.as_deref()?)))
}

/// The host of a location: the whole world, one of the two continents, or a region.
fn host(location: &str) -> String {
    match location {
        GLOBAL => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    }
}
