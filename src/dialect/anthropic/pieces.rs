//! JSON that a stream and a whole answer have in common.

use bytes::{BufMut as _, BytesMut};

use crate::codec::json::put_json;
use crate::codec::members::Members;
use crate::dialect::View;
use crate::model::event::Reason;
use crate::model::usage::Usage;

/// The values of `stop_reason`, and the reasons they stand for.
const STOP_REASONS: [(&str, Reason); 7] = [
    ("end_turn", Reason::Stop),
    ("stop_sequence", Reason::Stop),
    ("pause_turn", Reason::Stop),
    ("max_tokens", Reason::Length),
    ("model_context_window_exceeded", Reason::Length),
    ("tool_use", Reason::ToolCalls),
    ("refusal", Reason::ContentFilter),
];

/// Returns the `stop_reason` of an answer: the value that the provider sent (`native`) if this API
/// defines it for the same reason. A normal stop after a refusal is `refusal`, because other APIs
/// report a refusal as a normal stop.
pub(super) fn stop_reason(reason: Reason, native: Option<&str>, refused: bool) -> &'static str {
    // A native value counts only with the reason it stands for here: other APIs may use it for
    // another one.
    let own = STOP_REASONS
        .iter()
        .find(|(value, stands_for)| Some(*value) == native && *stands_for == reason)
        .map(|(value, _)| *value);
    match reason {
        Reason::Stop if refused => "refusal",
        Reason::Stop => own.unwrap_or("end_turn"),
        Reason::Length => own.unwrap_or("max_tokens"),
        Reason::ToolCalls => "tool_use",
        Reason::ContentFilter => "refusal",
        // The API defines no value for a cancel; the member `sluicegate` reports it.
        Reason::Cancelled | Reason::Error => "end_turn",
    }
}

/// Writes the members that a message begins with.
pub(super) fn put_head(message: &mut Members<'_>, view: &View) {
    let id = message.value("id");
    id.put_slice(b"\"msg_");
    id.put_slice(view.start.stream.as_str().as_bytes());
    id.put_u8(b'"');
    message.word("type", "message");
    message.word("role", "assistant");
    message.text("model", &view.start.head.model);
}

/// Writes usage. Tokens read from or written to a cache are not part of `input_tokens` here, and
/// are capped so that the three counts add up to the input. An unknown count is omitted, except for
/// the output tokens, which clients require.
pub(super) fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    // An unknown input does not cap the cached counts.
    let all = usage.input.unwrap_or(u64::MAX);
    let read = usage.cached_input.map(|read| read.min(all));
    let left = all - read.unwrap_or(0);
    let written = usage.cache_write.map(|written| written.min(left));
    let fresh = usage.input.map(|_| left - written.unwrap_or(0));
    let mut object = Members::new(buf);
    object.number_if_some("input_tokens", fresh);
    object.number_if_some("cache_creation_input_tokens", written);
    object.number_if_some("cache_read_input_tokens", read);
    object.number("output_tokens", usage.output.unwrap_or(0));
    if let Some(thinking) = usage.reasoning {
        let mut details = object.object("output_tokens_details");
        details.number("thinking_tokens", thinking);
        details.end();
    }
    object.end();
}

/// Writes a text block. `citations` are the JSON values of the provider; without any, the member is
/// omitted.
pub(super) fn put_text(buf: &mut BytesMut, text: &str, citations: &[&str]) {
    let mut block = Members::new(buf);
    block.word("type", "text");
    block.text("text", text);
    if !citations.is_empty() {
        let mut list = block.array("citations");
        for citation in citations {
            put_json(list.element(), citation);
        }
        list.end();
    }
    block.end();
}

/// Writes a thinking block. Without a signature, `signature` is empty.
pub(super) fn put_thinking(buf: &mut BytesMut, thinking: &str, signature: &str) {
    let mut block = Members::new(buf);
    block.word("type", "thinking");
    block.text("thinking", thinking);
    block.text("signature", signature);
    block.end();
}

/// Writes a block of opaque data.
pub(super) fn put_redacted(buf: &mut BytesMut, data: &str) {
    let mut block = Members::new(buf);
    block.word("type", "redacted_thinking");
    block.text("data", data);
    block.end();
}

/// Writes a tool call; `input` is JSON.
pub(super) fn put_tool_use(buf: &mut BytesMut, id: &str, name: &str, input: &str) {
    let mut block = Members::new(buf);
    block.word("type", "tool_use");
    block.text("id", id);
    block.text("name", name);
    block.json("input", input);
    block.end();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(usage: Usage) -> String {
        let mut buf = BytesMut::new();
        put_usage(&mut buf, &usage);
        String::from_utf8(buf.to_vec()).unwrap()
    }

    #[test]
    fn cached_input_is_not_counted_twice() {
        let all = Usage {
            input: Some(100),
            output: Some(9),
            cached_input: Some(60),
            cache_write: Some(30),
            reasoning: Some(4),
            estimated: false,
            cost: None,
        };
        assert_eq!(
            usage(all),
            r#"{"input_tokens":10,"cache_creation_input_tokens":30,"cache_read_input_tokens":60,"output_tokens":9,"output_tokens_details":{"thinking_tokens":4}}"#
        );
        assert_eq!(usage(Usage::default()), r#"{"output_tokens":0}"#);
        let odd = Usage {
            input: Some(5),
            cached_input: Some(9),
            cache_write: Some(9),
            ..Usage::default()
        };
        assert_eq!(
            usage(odd),
            r#"{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":5,"output_tokens":0}"#
        );
    }

    #[test]
    fn a_native_stop_reason_is_kept_where_this_api_defines_it() {
        for (reason, native, refused, word) in [
            (Reason::Stop, Some("pause_turn"), false, "pause_turn"),
            (Reason::Stop, Some("stop"), false, "end_turn"),
            (Reason::Stop, Some("stop"), true, "refusal"),
            (Reason::Stop, Some("tool_use"), false, "end_turn"),
            (
                Reason::Length,
                Some("model_context_window_exceeded"),
                false,
                "model_context_window_exceeded",
            ),
            (Reason::Length, None, false, "max_tokens"),
            (Reason::ToolCalls, Some("tool_calls"), true, "tool_use"),
            (Reason::ContentFilter, Some("SAFETY"), false, "refusal"),
            (Reason::Cancelled, None, false, "end_turn"),
        ] {
            assert_eq!(stop_reason(reason, native, refused), word);
        }
    }
}
