//! Maps Gemini's finish and block reasons. Some encodings send an enum's number instead of its
//! name.

use crate::model::event::Reason;

/// Maps a provider's finish reason; `called` is true if the choice contains function calls. An
/// unknown reason maps to `stop`: the provider reports that the answer is over, and its content is
/// valid.
pub(super) fn reason(native: &str, called: bool) -> Reason {
    match native {
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
        // Gemini reports `STOP` for turns with function calls too.
        _ if called => Reason::ToolCalls,
        _ => Reason::Stop,
    }
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
            ("STOP", "1", Reason::Stop),
            ("MAX_TOKENS", "2", Reason::Length),
            ("SAFETY", "3", Reason::ContentFilter),
            ("RECITATION", "4", Reason::ContentFilter),
            ("OTHER", "5", Reason::Error),
            ("BLOCKLIST", "6", Reason::ContentFilter),
            ("PROHIBITED_CONTENT", "7", Reason::ContentFilter),
            ("SPII", "8", Reason::ContentFilter),
            ("MALFORMED_FUNCTION_CALL", "9", Reason::Error),
        ] {
            assert_eq!(
                (reason(word, false), reason(number, false)),
                (expected, expected),
                "{word}"
            );
        }
    }

    #[test]
    fn only_an_ordinary_stop_becomes_tool_calls() {
        assert_eq!(reason("STOP", true), Reason::ToolCalls);
        assert_eq!(reason("MAX_TOKENS", true), Reason::Length);
        assert_eq!(reason("UNEXPECTED_TOOL_CALL", true), Reason::Error);
        assert_eq!(reason("SOMETHING_NEW", false), Reason::Stop);
    }
}
