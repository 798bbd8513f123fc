//! The error when no credential can be obtained.

use std::borrow::Cow;

/// The reason why there is no credential, and what the operator can do. It is our own text, fit for
/// clients: it contains no secret, path or host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upstream) struct Problem {
    /// The reason, and what to do.
    pub(super) message: Cow<'static, str>,
    /// Detail for the operator's log only: a path, a code, a system error. Never a secret.
    pub(super) detail: Option<String>,
}

impl Problem {
    /// Creates a problem without detail.
    pub(super) fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            detail: None,
        }
    }

    /// Adds the detail for the log.
    pub(super) fn with_detail(self, detail: impl std::fmt::Display) -> Self {
        Self {
            detail: Some(detail.to_string()),
            ..self
        }
    }
}

/// Returns an error code of another system if it is a short plain word, like `invalid_grant`. Any
/// other text may repeat a secret.
pub(super) fn plain_code(text: &str) -> Option<&str> {
    const MAX_LENGTH: usize = 64;
    let plain = !text.is_empty()
        && text.len() <= MAX_LENGTH
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    plain.then_some(text)
}
