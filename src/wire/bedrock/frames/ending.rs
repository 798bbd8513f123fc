//! The end of an answer.

use bytestring::ByteString;

use crate::model::event::{Event, Reason};
use crate::wire::kit::ending;

/// Returns the `Finish` of the only choice.
pub(super) fn finish(native: Option<ByteString>, has_calls: bool) -> Event {
    ending::finish(0, native.as_deref().map(reason), native, has_calls)
}

/// Normalizes a `stopReason`. One that is newer than this code counts as a normal stop, because the
/// client receives the native reason as well.
fn reason(native: &str) -> Reason {
    match native {
        "max_tokens" | "model_context_window_exceeded" => Reason::Length,
        "tool_use" => Reason::ToolCalls,
        "content_filtered" | "guardrail_intervened" => Reason::ContentFilter,
        "malformed_model_output" | "malformed_tool_use" => Reason::Error,
        _ => Reason::Stop,
    }
}
