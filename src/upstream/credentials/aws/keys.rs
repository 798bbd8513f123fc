//! Reads AWS keys from the environment and from the JSON document that several sources share.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::local::Environment;
use super::super::{Keys, Problem};
use super::FoundKeys;

/// The JSON document of a container endpoint, the instance metadata, or a `credential_process`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Document {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<String>,
}

impl Document {
    pub(super) fn into_keys(self) -> Result<FoundKeys, Problem> {
        temporary(
            self.access_key_id,
            self.secret_access_key,
            self.token,
            self.expiration.as_deref(),
        )
    }
}

/// Creates keys with an optional expiry time in RFC 3339.
pub(super) fn temporary(
    id: String,
    secret: String,
    token: Option<String>,
    ends: Option<&str>,
) -> Result<FoundKeys, Problem> {
    let lifetime = ends
        .map(|ends| remaining(ends, SystemTime::now()))
        .transpose()?;
    Ok(FoundKeys {
        keys: new_keys(id, secret, token),
        lifetime,
    })
}

/// Creates AWS keys from their parts; an empty session token counts as none.
pub(super) fn new_keys(id: String, secret: String, token: Option<String>) -> Keys {
    Keys::new(
        id,
        secret,
        token.filter(|token| !token.is_empty()),
        None,
        "fetched",
    )
}

/// Returns the keys in the environment; `None` when there are none.
pub(super) fn from_environment(environment: &Environment) -> Result<Option<FoundKeys>, Problem> {
    let token = environment.var("AWS_SESSION_TOKEN");
    match (
        environment.var("AWS_ACCESS_KEY_ID"),
        environment.var("AWS_SECRET_ACCESS_KEY"),
    ) {
        (Some(id), Some(secret)) => Ok(Some(FoundKeys {
            keys: new_keys(id, secret, token),
            lifetime: None,
        })),
        (None, None) => Ok(None),
        _ => Err(Problem::new(
            "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set: set both or neither",
        )),
    }
}

/// Returns the time from `now` until `ends`.
fn remaining(ends: &str, now: SystemTime) -> Result<Duration, Problem> {
    let ends = OffsetDateTime::parse(ends, &Rfc3339).map_err(|_| {
        Problem::new("the expiry time of the fetched AWS keys is not in RFC 3339 format")
    })?;
    SystemTime::from(ends).duration_since(now).map_err(|_| {
        Problem::new("the fetched AWS keys have already expired: check the clock of this machine")
            .with_detail(ends)
    })
}
