//! Why there is no credential.

use std::borrow::Cow;

/// Why there is no credential, and what its operator can do: in our own words, fit for a client. It
/// has no secret, no path and no host in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// What is wrong, and what to do.
    pub(super) what: Cow<'static, str>,
    /// More of it for the operator's log alone: a path, a code, a system's error. Never a secret.
    pub(super) detail: Option<String>,
}

impl Problem {
    /// A problem of which no more is to be said.
    pub(super) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            what: what.into(),
            detail: None,
        }
    }

    /// With more of it for the log.
    pub(super) fn with(self, detail: impl std::fmt::Display) -> Self {
        Self {
            detail: Some(detail.to_string()),
            ..self
        }
    }
}

/// What others call a failure, where it is a short plain word: `invalid_grant`. Anything else may
/// repeat a secret.
pub(super) fn plain_code(text: &str) -> Option<&str> {
    const LONGEST: usize = 64;
    let plain = !text.is_empty()
        && text.len() <= LONGEST
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    plain.then_some(text)
}
