//! The pieces that a stream and a whole answer have in common.

use bytes::{BufMut as _, BytesMut};

use crate::codec::json::{put_json, put_str, put_u64};
use crate::model::event::Reason;
use crate::model::ids::StreamId;
use crate::model::usage::Usage;

/// The API's own words for why a turn ended, and what they mean.
const STOP_WORDS: [(&str, Reason); 7] = [
    ("end_turn", Reason::Stop),
    ("stop_sequence", Reason::Stop),
    ("pause_turn", Reason::Stop),
    ("max_tokens", Reason::Length),
    ("model_context_window_exceeded", Reason::Length),
    ("tool_use", Reason::ToolCalls),
    ("refusal", Reason::ContentFilter),
];

/// The word for a reason: the provider's own where it is one of this API's. An answer that is
/// nothing but a refusal ended by one, whatever else its provider calls it.
pub(super) fn stop_word(reason: Reason, native: Option<&str>, refused: bool) -> &'static str {
    let own = STOP_WORDS
        .iter()
        .find(|(word, of)| Some(*word) == native && *of == reason)
        .map(|(word, _)| *word);
    match reason {
        Reason::Stop if refused => "refusal",
        Reason::Stop => own.unwrap_or("end_turn"),
        Reason::Length => own.unwrap_or("max_tokens"),
        Reason::ToolCalls => "tool_use",
        Reason::ContentFilter => "refusal",
        Reason::Cancelled | Reason::Error => "end_turn",
    }
}

/// Writes a message up to its content.
pub(super) fn put_head(buf: &mut BytesMut, stream: &StreamId, model: &str) {
    buf.put_slice(b"{\"id\":\"msg_");
    buf.put_slice(stream.as_str().as_bytes());
    buf.put_slice(b"\",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    put_str(buf, model);
    buf.put_slice(b",\"content\":[");
}

/// Writes usage. Input that was read from or written to a cache stands beside `input_tokens` here,
/// and no more of it than there was input, so that their sum is all of it. A count that is not
/// known is left out, but for the output, which clients count on.
pub(super) fn put_usage(buf: &mut BytesMut, usage: &Usage) {
    buf.put_u8(b'{');
    let all = usage.input.unwrap_or(u64::MAX);
    let read = usage.cached_input.map(|read| read.min(all));
    let written = usage
        .cache_write
        .map(|written| written.min(all - read.unwrap_or(0)));
    for (name, count) in [
        (
            "input_tokens",
            usage
                .input
                .map(|input| input - read.unwrap_or(0) - written.unwrap_or(0)),
        ),
        ("cache_creation_input_tokens", written),
        ("cache_read_input_tokens", read),
    ] {
        if let Some(count) = count {
            put_str(buf, name);
            buf.put_u8(b':');
            put_u64(buf, count);
            buf.put_u8(b',');
        }
    }
    buf.put_slice(b"\"output_tokens\":");
    put_u64(buf, usage.output.unwrap_or(0));
    if let Some(thinking) = usage.reasoning {
        buf.put_slice(b",\"output_tokens_details\":{\"thinking_tokens\":");
        put_u64(buf, thinking);
        buf.put_u8(b'}');
    }
    buf.put_u8(b'}');
}

/// Writes a text block; with citations (the provider's JSON) where there are any.
pub(super) fn put_text(buf: &mut BytesMut, text: &str, citations: &[&str]) {
    buf.put_slice(b"{\"type\":\"text\",\"text\":");
    put_str(buf, text);
    for (i, citation) in citations.iter().enumerate() {
        buf.put_slice(if i == 0 {
            b",\"citations\":[".as_slice()
        } else {
            b","
        });
        put_json(buf, citation);
    }
    buf.put_slice(if citations.is_empty() { b"}" } else { b"]}" });
}

/// Writes a thinking block. A signature that is not there is empty.
pub(super) fn put_thinking(buf: &mut BytesMut, thinking: &str, signature: &str) {
    buf.put_slice(b"{\"type\":\"thinking\",\"thinking\":");
    put_str(buf, thinking);
    buf.put_slice(b",\"signature\":");
    put_str(buf, signature);
    buf.put_u8(b'}');
}

/// Writes a block of opaque data.
pub(super) fn put_redacted(buf: &mut BytesMut, data: &str) {
    buf.put_slice(b"{\"type\":\"redacted_thinking\",\"data\":");
    put_str(buf, data);
    buf.put_u8(b'}');
}

/// Writes a tool call; `input` is JSON.
pub(super) fn put_tool_use(buf: &mut BytesMut, id: &str, name: &str, input: &str) {
    buf.put_slice(b"{\"type\":\"tool_use\",\"id\":");
    put_str(buf, id);
    buf.put_slice(b",\"name\":");
    put_str(buf, name);
    buf.put_slice(b",\"input\":");
    put_json(buf, input);
    buf.put_u8(b'}');
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
    fn cached_input_stands_beside_the_rest() {
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
    fn a_reason_has_its_providers_word_where_that_is_this_apis() {
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
            assert_eq!(stop_word(reason, native, refused), word);
        }
    }
}
