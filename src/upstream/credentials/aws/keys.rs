//! AWS keys as they are written down: in the environment, and in the JSON of everybody who gives
//! them.

use std::time::{Duration, SystemTime};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::local::Environment;
use super::super::{Keys, Problem};
use super::Found;

/// Keys in JSON: of a container's endpoint, an instance's metadata, or a `credential_process`.
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
    pub(super) fn found(self) -> Result<Found, Problem> {
        temporary(
            self.access_key_id,
            self.secret_access_key,
            self.token,
            self.expiration.as_deref(),
        )
    }
}

/// Keys that may end, at a time of RFC 3339.
pub(super) fn temporary(
    id: String,
    secret: String,
    token: Option<String>,
    ends: Option<&str>,
) -> Result<Found, Problem> {
    let lifetime = ends.map(|ends| left(ends, SystemTime::now())).transpose()?;
    Ok(Found {
        keys: of(id, secret, token),
        lifetime,
    })
}

/// Keys as one.
pub(super) fn of(id: String, secret: String, token: Option<String>) -> Keys {
    Keys::new(
        id,
        secret,
        token.filter(|token| !token.is_empty()),
        None,
        "fetched",
    )
}

/// The keys that the environment holds.
pub(super) fn in_environment(environment: &Environment) -> Result<Option<Found>, Problem> {
    let token = environment.var("AWS_SESSION_TOKEN");
    match (
        environment.var("AWS_ACCESS_KEY_ID"),
        environment.var("AWS_SECRET_ACCESS_KEY"),
    ) {
        (Some(id), Some(secret)) => Ok(Some(Found {
            keys: of(id, secret, token),
            lifetime: None,
        })),
        (None, None) => Ok(None),
        _ => Err(Problem::new(
            "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set: set both, or neither",
        )),
    }
}

/// The time from `now` until `ends`.
fn left(ends: &str, now: SystemTime) -> Result<Duration, Problem> {
    let ends = OffsetDateTime::parse(ends, &Rfc3339)
        .map_err(|_| Problem::new("the AWS keys that came end at a time that cannot be read"))?;
    SystemTime::from(ends).duration_since(now).map_err(|_| {
        Problem::new("the AWS keys that came have expired: check the clock").with(ends)
    })
}
