//! Decodes the end of an answer.

use bytestring::ByteString;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use crate::codec::json::is_non_empty;
use crate::codec::lenient::Text;
use crate::model::event::{Event, Reason};
use crate::wire::kit::ending;
use crate::wire::{DecodeError, refusal};

/// Returns the `Finish` of the only choice.
///
/// # Errors
/// When the upstream reports a failure, by its finish reason or by an error beside it.
pub(super) fn finish(
    native: Option<&Text<'_>>,
    error: Option<&RawValue>,
    has_calls: bool,
    data: &ByteString,
) -> Result<Event, DecodeError> {
    let reason = native.map_or("", Text::as_str);
    if error.is_some_and(is_non_empty) || is_failure(reason) {
        return Err(failure(reason, error));
    }
    let normalized = match reason {
        // `ERROR_LIMIT` and `ERROR_TOXIC` tell why an answer ended; other `ERROR…` are failures.
        "MAX_TOKENS" | "ERROR_LIMIT" => Some(Reason::Length),
        "ERROR_TOXIC" => Some(Reason::ContentFilter),
        "TOOL_CALL" => Some(Reason::ToolCalls),
        _ => None,
    };
    let native = native.map(|reason| reason.slice_of(data));
    Ok(ending::finish(0, normalized, native, has_calls))
}

/// True for a finish reason that reports a failure, also for `ERROR…` reasons newer than this code.
fn is_failure(reason: &str) -> bool {
    matches!(reason, "TIMEOUT" | "USER_CANCEL")
        || reason.starts_with("ERROR") && !matches!(reason, "ERROR_LIMIT" | "ERROR_TOXIC")
}

/// Returns the error of an answer that failed.
fn failure(reason: &str, error: Option<&RawValue>) -> DecodeError {
    let message = error
        .and_then(|error| serde_json::from_str::<Text<'_>>(error.get()).ok())
        .filter(|text| !text.is_empty());
    // Only a short reason is quoted: it is the upstream's text and may be anything.
    let is_quotable = is_failure(reason) && reason.len() <= 32;
    let message = message
        .map(|text| text.as_str().to_owned())
        .or_else(|| is_quotable.then(|| format!("it ended the answer with {reason}")));
    let status = if reason == "TIMEOUT" {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    DecodeError::Upstream(Box::new(refusal::fault(
        status,
        &HeaderMap::new(),
        message,
        None,
        None,
        None,
    )))
}
