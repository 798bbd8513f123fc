//! The names of a request: those that its caller gives it, and the digest of its path and body.

use bytestring::ByteString;
use sha2::{Digest as _, Sha256};

use crate::model::fault::{Code, Fault};

/// SHA-256 over the path and the body of the request that began a stream.
pub type Digest = [u8; 32];

/// Returns the digest of a request's path and body bytes.
#[must_use]
pub fn digest(path: &str, body: &[u8]) -> Digest {
    Sha256::new()
        .chain_update(path.as_bytes())
        // A separator, so that path and body do not run together.
        .chain_update([0])
        .chain_update(body)
        .finalize()
        .into()
}

/// A name that a caller gives to a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClaimKey {
    /// `x-stream-id`: also usable as the stream's id.
    Name(ByteString),
    /// `Idempotency-Key`.
    Idempotency(ByteString),
}

impl ClaimKey {
    /// Returns the 409 for a name that is in use for another body.
    pub(super) fn conflict(&self) -> Fault {
        match self {
            Self::Name(_) => Fault::new(
                Code::StreamExists,
                "this `x-stream-id` is in use by a stream with another body: choose another id",
            ),
            Self::Idempotency(_) => Fault::new(
                Code::IdempotencyConflict,
                "this `Idempotency-Key` was already used with a different body: choose another key",
            ),
        }
    }
}
