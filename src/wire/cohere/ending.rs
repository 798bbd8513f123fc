//! How an answer ended.

use bytestring::ByteString;
use http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use crate::codec::json::says_something;
use crate::codec::text::Text;
use crate::model::event::{Event, Finish, Reason};
use crate::wire::{DecodeError, refusal};

/// The `Finish` of the one choice.
///
/// # Errors
/// Where the upstream says that it failed.
pub(super) fn finish(
    native: Option<&Text<'_>>,
    error: Option<&RawValue>,
    has_calls: bool,
    data: &ByteString,
) -> Result<Event, DecodeError> {
    let word = native.map_or("", Text::as_str);
    if error.is_some_and(says_something) || is_failure(word) {
        return Err(failed(word, error));
    }
    let reason = match word {
        "MAX_TOKENS" | "ERROR_LIMIT" => Reason::Length,
        "ERROR_TOXIC" => Reason::ContentFilter,
        "TOOL_CALL" => Reason::ToolCalls,
        _ if has_calls => Reason::ToolCalls,
        _ => Reason::Stop,
    };
    Ok(Event::Finish(Box::new(Finish {
        choice: 0,
        reason,
        native: native.map(|word| word.of(data)),
    })))
}

fn is_failure(word: &str) -> bool {
    matches!(word, "TIMEOUT" | "USER_CANCEL")
        || word.starts_with("ERROR") && !matches!(word, "ERROR_LIMIT" | "ERROR_TOXIC")
}

fn failed(word: &str, error: Option<&RawValue>) -> DecodeError {
    let said = error
        .and_then(|error| serde_json::from_str::<Text<'_>>(error.get()).ok())
        .filter(|words| !words.is_empty());
    let known = is_failure(word) && word.len() <= 32;
    let message = said
        .map(|words| words.as_str().to_owned())
        .or_else(|| known.then(|| format!("it ended the answer with {word}")));
    let status = if word == "TIMEOUT" {
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
