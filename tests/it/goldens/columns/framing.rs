//! How bodies are framed.

use super::Column;
use crate::goldens::seen::Seen;
use crate::rig::WireId;

const LONG_LINE: usize = 64 * 1024;

fn has_comment(seen: &Seen<'_>, comment: &str) -> bool {
    seen.is_sse() && seen.lines().any(|line| line.starts_with(comment))
}

fn has_done(seen: &Seen<'_>) -> bool {
    seen.payloads.iter().any(|payload| payload.text == "[DONE]")
}

fn is_typed(seen: &Seen<'_>, content_type: &str) -> bool {
    seen.recording.content_type.starts_with(content_type)
}

pub const FRAMING: [Column; 24] = [
    ("framing: a comment", |seen| has_comment(seen, ":")),
    ("framing: a comment in mid-stream", |seen| {
        seen.is_sse()
            && seen
                .lines()
                .skip_while(|line| !line.starts_with("data:"))
                .any(|line| line.starts_with(':'))
    }),
    ("framing: `: OPENROUTER PROCESSING`", |seen| {
        has_comment(seen, ": OPENROUTER PROCESSING")
    }),
    ("framing: `: keepalive`", |seen| {
        has_comment(seen, ": keepalive")
    }),
    ("framing: an empty comment", |seen| {
        seen.is_sse() && seen.lines().any(|line| line.trim_end() == ":")
    }),
    ("framing: CRLF", |seen| {
        seen.is_sse() && seen.body.contains("\r\n")
    }),
    ("framing: six blank lines first", |seen| {
        seen.is_sse() && seen.body.starts_with("\n\n\n\n\n\n")
    }),
    ("framing: `data:` without a blank", |seen| {
        seen.is_sse() && seen.lines().any(|line| line.starts_with("data:{"))
    }),
    ("framing: no `[DONE]`", |seen| {
        seen.is(WireId::OpenaiChat) && !has_done(seen)
    }),
    ("framing: `[DONE]` from Cohere", |seen| {
        seen.is(WireId::Cohere) && has_done(seen)
    }),
    ("framing: `[DONE]` behind a response", |seen| {
        seen.is(WireId::OpenaiResponses) && has_done(seen)
    }),
    ("framing: `[DONE]` behind a message", |seen| {
        seen.is(WireId::Anthropic) && has_done(seen)
    }),
    ("framing: the last event without its blank line", |seen| {
        seen.is_sse() && !seen.body.ends_with("\n\n") && !seen.body.ends_with("\r\n\r\n")
    }),
    ("framing: a response without `event:` lines", |seen| {
        seen.is(WireId::OpenaiResponses) && !seen.lines().any(|line| line.starts_with("event:"))
    }),
    ("framing: a response without `sequence_number`", |seen| {
        seen.is(WireId::OpenaiResponses)
            && seen.jsons().all(|json| json["sequence_number"].is_null())
    }),
    ("framing: blanks before the last brace", |seen| {
        seen.is(WireId::Anthropic)
            && seen
                .payloads
                .iter()
                .any(|it| it.text.trim_end_matches('}').ends_with(' '))
    }),
    ("framing: `obfuscation`", |seen| {
        seen.jsons().any(|json| json["obfuscation"].is_string())
    }),
    ("framing: `p` of Mistral", |seen| {
        seen.any(WireId::OpenaiChat, |json| json["p"].is_string())
    }),
    ("framing: `p` of Bedrock", |seen| {
        seen.any(WireId::Bedrock, |json| json["p"].is_string())
    }),
    ("framing: a line over 64 KiB", |seen| {
        seen.payloads
            .iter()
            .any(|payload| payload.text.len() > LONG_LINE)
    }),
    ("framing: events called application/json", |seen| {
        seen.is_sse() && is_typed(seen, "application/json")
    }),
    ("framing: a charset without a blank", |seen| {
        is_typed(seen, "text/event-stream;charset")
    }),
    ("framing: an `error:` field", |seen| {
        seen.is_sse() && seen.lines().any(|line| line.starts_with("error:"))
    }),
    ("framing: bare JSON among events", |seen| {
        seen.is_sse() && seen.lines().any(|line| line.trim_end() == "{")
    }),
];
