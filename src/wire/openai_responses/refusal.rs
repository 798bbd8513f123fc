//! Reads this wire's errors: bodies of responses with an error status, and errors inside a good
//! response. They have OpenAI's shape and its variants.

use http::{HeaderMap, StatusCode};

use crate::model::fault::Fault;
use crate::wire::kit::refusal::openai;

/// Reads a response with an error status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    openai::from_body(status, headers, body)
}

/// Reads an object that is known to be an error, from a stream or from a response with a good
/// status.
pub(super) fn read_payload(json: &str) -> Fault {
    openai::from_object(json)
}

/// Reads an object of unknown kind. Returns `None` if it is not an error.
pub(super) fn find_payload(json: &str) -> Option<Fault> {
    openai::from_payload(json)
}

/// Reads an error that may be plain text.
pub(super) fn read_text(text: &str) -> Fault {
    openai::from_text(text)
}
