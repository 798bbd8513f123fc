//! What a token says, under the names that are configured.
//!
//! Invariants: a claim that is there and is not what it should be refuses the token; nothing is
//! guessed.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytestring::ByteString;
use serde_json::{Map, Value};

use crate::auth::Figures;

/// The longest name in a claim, bytes. OpenID Connect has at most 255 for a `sub`.
const MAX_NAME: usize = 255;
/// The latest end of a token that is taken at its word, seconds (the year 9999): sums stay within
/// bounds.
const LATEST: u64 = 253_402_300_799;

/// The claims that say what a token grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The name of a virtual key.
    pub key: String,
    /// The team.
    pub team: String,
    /// Who it is.
    pub user: String,
    /// Globs over models.
    pub models: String,
    /// Limits of this user.
    pub limits: String,
}

impl Default for Names {
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

/// What a verified token says.
#[derive(Debug)]
pub(in crate::auth) struct Claims {
    pub(in crate::auth) sub: ByteString,
    pub(in crate::auth) key: Option<ByteString>,
    pub(in crate::auth) team: Option<ByteString>,
    pub(in crate::auth) models: Option<Vec<String>>,
    pub(in crate::auth) limits: Option<Figures>,
    /// It does not count from then on, leeway included.
    pub(in crate::auth) until: SystemTime,
}

impl Claims {
    /// Reads them. `now` and `leeway` in seconds.
    ///
    /// # Errors
    /// What is wrong with them, for the log.
    pub(super) fn read(
        claims: &Map<String, Value>,
        names: &Names,
        now: u64,
        leeway: u64,
    ) -> Result<Self, &'static str> {
        let there = |name: &str| claims.get(name).filter(|value| !value.is_null());
        if there("iat").is_some_and(|iat| {
            iat.as_f64()
                .is_none_or(|iat| iat > now.saturating_add(leeway) as f64)
        }) {
            return Err("it was issued in the future");
        }
        // Whole seconds, as the check of the signature rounds them.
        let exp = there("exp")
            .and_then(Value::as_f64)
            .filter(|exp| *exp >= 0.0)
            .ok_or("its `exp` is no time")?;
        let exp = (exp.round() as u64).min(LATEST);
        let optional =
            |key: &str, wrong| there(key).map(|value| name(value).ok_or(wrong)).transpose();
        Ok(Self {
            sub: optional(&names.user, "the claim of its user is no name")?
                .ok_or("it says no user")?,
            key: optional(&names.key, "the claim of its key is no name")?,
            team: optional(&names.team, "the claim of its team is no name")?,
            models: there(&names.models)
                .map(|value| globs(value).ok_or("the claim of its models is no list of names"))
                .transpose()?,
            limits: there(&names.limits)
                .map(|value| figures(value).ok_or("the claim of its limits is none"))
                .transpose()?,
            until: UNIX_EPOCH + Duration::from_secs(exp.saturating_add(leeway)),
        })
    }
}

/// A name that can stand in a log and in a header.
fn name(value: &Value) -> Option<ByteString> {
    let text = value
        .as_str()
        .filter(|text| (1..=MAX_NAME).contains(&text.len()))?;
    (!text.chars().any(char::is_control)).then(|| text.into())
}

/// One glob, or a list of them.
fn globs(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| name(value).map(|name| name.to_string());
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => text(one).map(|one| vec![one]),
    }
}

fn figures(value: &Value) -> Option<Figures> {
    let mut figures = Figures::default();
    for (name, value) in value.as_object()? {
        let place = match &**name {
            "requests_per_minute" => &mut figures.requests_per_minute,
            "tokens_per_minute" => &mut figures.tokens_per_minute,
            "concurrent_streams" => &mut figures.concurrent_streams,
            "burst" => &mut figures.burst,
            _ => return None,
        };
        *place = Some(
            value
                .as_u64()
                .and_then(|figure| u32::try_from(figure).ok())
                .and_then(NonZeroU32::new)?,
        );
    }
    Some(figures)
}
