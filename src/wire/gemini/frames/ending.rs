//! Decodes the end of an answer: finish reasons and block reasons. Some encodings send an enum's
//! number instead of its name.

use bytestring::ByteString;

use crate::model::event::{Event, Reason};
use crate::model::fault::{Code, Fault};
use crate::wire::DecodeError;
use crate::wire::kit::ending;

/// Returns the `Finish` of a choice: for its own reason, else for the reason that blocked the
/// prompt.
pub(super) fn finish(
    choice: u16,
    native: Option<&ByteString>,
    blocked: Option<&ByteString>,
    has_calls: bool,
) -> Event {
    let normalized = native.map_or(Some(Reason::ContentFilter), |native| reason(native));
    ending::finish(choice, normalized, native.or(blocked).cloned(), has_calls)
}

/// Returns the error of an answer if every choice ended with a failure.
///
/// It names the finish reason only, because the provider's `finishMessage` may quote the model.
pub(super) fn failure<'a>(
    mut natives: impl Iterator<Item = Option<&'a str>> + Clone,
) -> Option<DecodeError> {
    let first = natives.clone().flatten().next()?;
    if !natives.all(|native| native.and_then(reason) == Some(Reason::Error)) {
        return None;
    }
    // Only text that looks like an enum's name is quoted in the message.
    let is_name = first.len() <= 64
        && first
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let native = if is_name { first } else { "unknown" };
    let message = format!(
        "the model stopped without an answer (finish reason: {native}); \
         retry or change the request"
    );
    let fault = Fault::new(Code::UpstreamError, message);
    Some(DecodeError::Upstream(Box::new(fault)))
}

/// Maps a provider's finish reason; `None` for `STOP`, which Gemini reports for turns with function
/// calls too. The same holds for an unknown reason: the provider reports that the answer is over,
/// and its content is valid.
fn reason(native: &str) -> Option<Reason> {
    Some(match native {
        "MAX_TOKENS" | "2" | "CONTINUATION" => Reason::Length,
        "SAFETY"
        | "3"
        | "RECITATION"
        | "4"
        | "BLOCKLIST"
        | "6"
        | "PROHIBITED_CONTENT"
        | "7"
        | "SPII"
        | "8"
        | "MODEL_ARMOR"
        | "10"
        | "IMAGE_SAFETY"
        | "11"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "LANGUAGE" => Reason::ContentFilter,
        "OTHER"
        | "5"
        | "MALFORMED_FUNCTION_CALL"
        | "9"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "IMAGE_OTHER"
        | "NO_IMAGE"
        | "FINISH_REASON_UNSPECIFIED"
        | "0"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED" => Reason::Error,
        _ => return None,
    })
}

/// Returns true for block reasons that mean "not set".
pub(super) fn is_unset(block_reason: &str) -> bool {
    matches!(
        block_reason,
        "" | "0" | "BLOCK_REASON_UNSPECIFIED" | "BLOCKED_REASON_UNSPECIFIED"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_map_to_the_same_reason() {
        for (word, number, expected) in [
            ("STOP", "1", None),
            ("MAX_TOKENS", "2", Some(Reason::Length)),
            ("SAFETY", "3", Some(Reason::ContentFilter)),
            ("RECITATION", "4", Some(Reason::ContentFilter)),
            ("OTHER", "5", Some(Reason::Error)),
            ("BLOCKLIST", "6", Some(Reason::ContentFilter)),
            ("PROHIBITED_CONTENT", "7", Some(Reason::ContentFilter)),
            ("SPII", "8", Some(Reason::ContentFilter)),
            ("MALFORMED_FUNCTION_CALL", "9", Some(Reason::Error)),
        ] {
            assert_eq!(
                (reason(word), reason(number)),
                (expected, expected),
                "{word}"
            );
        }
    }

    #[test]
    fn only_an_ordinary_stop_becomes_tool_calls() {
        for (native, called, expected) in [
            ("STOP", true, Reason::ToolCalls),
            ("MAX_TOKENS", true, Reason::Length),
            ("UNEXPECTED_TOOL_CALL", true, Reason::Error),
            ("SOMETHING_NEW", false, Reason::Stop),
        ] {
            let event = finish(0, Some(&native.into()), None, called);
            assert!(
                matches!(&event, Event::Finish(it) if it.reason == expected),
                "{event:?}"
            );
        }
    }
}
