//! The claims of a token, under their configured names.
//!
//! Invariants: a claim of the wrong type rejects the token; it is never ignored or converted.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use serde_json::{Map, Value};

use crate::model::limit::Limit;

/// Maximum length of a name in a claim, bytes. OpenID Connect allows at most 255 for a `sub`.
const MAX_NAME: usize = 255;
/// Maximum expiry of a token, Unix seconds (the year 9999). Later ones are lowered to it, so that
/// sums cannot overflow.
const MAX_EXPIRY: u64 = 253_402_300_799;

/// The names of the claims that determine the rights of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The claim with the name of a virtual key.
    pub key: String,
    /// The claim with the team.
    pub team: String,
    /// The claim that identifies the user.
    pub user: String,
    /// The claim with globs over model names.
    pub models: String,
    /// The claim with the limits of the user.
    pub limits: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        let name = str::to_owned;
        Self {
            key: name("key"),
            team: name("team"),
            user: name("sub"),
            models: name("models"),
            limits: name("limits"),
        }
    }
}

/// The claims of a verified token.
#[derive(Debug)]
pub(in crate::auth) struct Claims {
    pub(in crate::auth) sub: ByteString,
    pub(in crate::auth) key: Option<ByteString>,
    pub(in crate::auth) team: Option<ByteString>,
    pub(in crate::auth) models: Option<Vec<String>>,
    pub(in crate::auth) limits: Option<Limit>,
    /// The time from which the token is no longer accepted, leeway included.
    pub(in crate::auth) until: SystemTime,
}

impl Claims {
    /// Reads the claims. `now` and `leeway` are in seconds.
    ///
    /// # Errors
    /// Returns the reason why the claims are rejected, for the log.
    pub(super) fn read(
        claims: &Map<String, Value>,
        names: &ClaimNames,
        now: u64,
        leeway: u64,
    ) -> Result<Self, &'static str> {
        let claim = |name: &str| claims.get(name).filter(|value| !value.is_null());
        // `jsonwebtoken` does not verify `iat`.
        if claim("iat").is_some_and(|iat| {
            iat.as_f64()
                .is_none_or(|iat| iat > now.saturating_add(leeway) as f64)
        }) {
            return Err("it was issued in the future");
        }
        // Rounded to whole seconds, as `jsonwebtoken` does when it checks the expiry.
        let exp = claim("exp")
            .and_then(Value::as_f64)
            .filter(|exp| *exp >= 0.0)
            .ok_or("its `exp` is not a time")?;
        let exp = (exp.round() as u64).min(MAX_EXPIRY);
        let optional =
            |key: &str, wrong| claim(key).map(|value| name(value).ok_or(wrong)).transpose();
        Ok(Self {
            sub: optional(&names.user, "its user claim is not a name")?
                .ok_or("its user claim is missing")?,
            key: optional(&names.key, "its key claim is not a name")?,
            team: optional(&names.team, "its team claim is not a name")?,
            models: claim(&names.models)
                .map(|value| globs(value).ok_or("its models claim is not a list of names"))
                .transpose()?,
            limits: claim(&names.limits)
                .map(|value| token_limits(value).ok_or("its limits claim is malformed"))
                .transpose()?,
            until: UNIX_EPOCH + Duration::from_secs(exp.saturating_add(leeway)),
        })
    }
}

/// Reads a name without control characters, which is safe in logs and headers.
fn name(value: &Value) -> Option<ByteString> {
    let text = value
        .as_str()
        .filter(|text| (1..=MAX_NAME).contains(&text.len()))?;
    (!text.chars().any(char::is_control)).then(|| text.into())
}

/// Reads one glob, or a list of globs.
fn globs(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| name(value).map(|name| name.to_string());
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => text(one).map(|one| vec![one]),
    }
}

fn token_limits(value: &Value) -> Option<Limit> {
    let mut limits = Limit::default();
    for (name, value) in value.as_object()? {
        let field = match &**name {
            "requests_per_minute" => &mut limits.requests_per_minute,
            "tokens_per_minute" => &mut limits.tokens_per_minute,
            "concurrent_streams" => &mut limits.concurrent_streams,
            "burst" => &mut limits.burst,
            // An unknown limit rejects the token: ignoring it would grant more than intended.
            _ => return None,
        };
        *field = Some(
            value
                .as_u64()
                .and_then(|count| u32::try_from(count).ok())
                .and_then(NonZeroU32::new)?,
        );
    }
    Some(limits)
}
