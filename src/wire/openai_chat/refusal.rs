//! Reads this wire's errors: OpenAI's, and those of compatible servers, which have many shapes and
//! may stand outside of the events of a stream.

use http::{HeaderMap, StatusCode};

use crate::model::fault::Fault;
use crate::wire::kit::refusal::{fault, openai};

/// Reads a response with an error status.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    openai::from_body(status, headers, body)
}

/// Reads a payload of a stream, or a response with a good status; `None` if it is no error.
pub(super) fn find_payload(json: &str) -> Option<Fault> {
    openai::from_payload(json)
}

/// Reads a payload that is known to be an error and may be plain text.
pub(super) fn read_payload(text: &str) -> Fault {
    openai::from_text(text.trim_ascii())
}

/// Reads lines outside of events: an error object, or an error after `error:` (older llama.cpp).
pub(super) fn find_stray(text: &str) -> Option<Fault> {
    if let Some(error) = text.lines().find_map(|line| line.strip_prefix("error:")) {
        return Some(read_payload(error));
    }
    find_payload(text.find(['{', '[']).and_then(|at| text.get(at..))?)
}

/// Returns the fault of an answer that ended with a finish reason which means failure.
pub(super) fn read_finish_reason(reason: &str) -> Fault {
    let message = format!("the answer ended with finish_reason `{reason}`");
    let headers = HeaderMap::new();
    fault(
        StatusCode::BAD_GATEWAY,
        &headers,
        Some(message),
        None,
        None,
        None,
    )
}
