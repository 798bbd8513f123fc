//! The parts of a dialect's profile that rooms below the gateway need. The rooms that use them do
//! not know dialects: callers pass them in.

use bytestring::ByteString;

use super::entry::Payload;

/// The header fields that report the state of rate limits to clients of a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateHeaders {
    /// The fields for requests: limit, remaining, reset.
    pub requests: [&'static str; 3],
    /// The fields for tokens: limit, remaining, reset.
    pub tokens: [&'static str; 3],
    /// The form of the reset.
    pub reset: ResetForm,
}

/// The form in which a header field states when a limit is full again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetForm {
    /// The duration until then: `1.5s`, `6m0s`.
    Duration,
    /// The time of it, in RFC 3339.
    Timestamp,
}

/// Readers of the ids that a provider fills into the payloads of one dialect.
///
/// Invariant: they read ids only from fields that the provider fills itself, never from fields
/// whose content a model chooses.
#[derive(Debug, Clone, Copy)]
pub struct PayloadIds {
    /// Reads the provider's id of the response; `None` if clients of the dialect do not use it.
    pub response: Option<fn(&Payload) -> Option<ByteString>>,
    /// Reads the ids of the objects that the provider made on its side while it answered; `None`
    /// if clients of the dialect receive no such ids.
    pub objects: Option<fn(&Payload) -> Vec<ByteString>>,
}

impl PayloadIds {
    /// Payloads without ids that clients use.
    pub const NONE: Self = Self {
        response: None,
        objects: None,
    };
}
