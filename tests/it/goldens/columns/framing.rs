//! Features of the framing of bodies.

use super::Column;
use crate::goldens::parsed::Parsed;
use crate::rig::WireId;

const LONG_LINE: usize = 64 * 1024;

fn has_comment(parsed: &Parsed<'_>, comment: &str) -> bool {
    parsed.is_sse() && parsed.lines().any(|line| line.starts_with(comment))
}

fn has_done(parsed: &Parsed<'_>) -> bool {
    parsed
        .payloads
        .iter()
        .any(|payload| payload.text == "[DONE]")
}

fn has_content_type(parsed: &Parsed<'_>, content_type: &str) -> bool {
    parsed.recording.content_type.starts_with(content_type)
}

pub const FRAMING: [Column; 24] = [
    ("framing: a comment", |parsed| has_comment(parsed, ":")),
    ("framing: a comment in mid-stream", |parsed| {
        parsed.is_sse()
            && parsed
                .lines()
                .skip_while(|line| !line.starts_with("data:"))
                .any(|line| line.starts_with(':'))
    }),
    ("framing: `: OPENROUTER PROCESSING`", |parsed| {
        has_comment(parsed, ": OPENROUTER PROCESSING")
    }),
    ("framing: `: keepalive`", |parsed| {
        has_comment(parsed, ": keepalive")
    }),
    ("framing: an empty comment", |parsed| {
        parsed.is_sse() && parsed.lines().any(|line| line.trim_end() == ":")
    }),
    ("framing: CRLF", |parsed| {
        parsed.is_sse() && parsed.body.contains("\r\n")
    }),
    ("framing: six blank lines first", |parsed| {
        parsed.is_sse() && parsed.body.starts_with("\n\n\n\n\n\n")
    }),
    ("framing: `data:` without a blank", |parsed| {
        parsed.is_sse() && parsed.lines().any(|line| line.starts_with("data:{"))
    }),
    ("framing: no `[DONE]`", |parsed| {
        parsed.is(WireId::OpenaiChat) && !has_done(parsed)
    }),
    ("framing: `[DONE]` from Cohere", |parsed| {
        parsed.is(WireId::Cohere) && has_done(parsed)
    }),
    ("framing: `[DONE]` behind a response", |parsed| {
        parsed.is(WireId::OpenaiResponses) && has_done(parsed)
    }),
    ("framing: `[DONE]` behind a message", |parsed| {
        parsed.is(WireId::Anthropic) && has_done(parsed)
    }),
    ("framing: the last event without its blank line", |parsed| {
        parsed.is_sse() && !parsed.body.ends_with("\n\n") && !parsed.body.ends_with("\r\n\r\n")
    }),
    ("framing: a response without `event:` lines", |parsed| {
        parsed.is(WireId::OpenaiResponses) && !parsed.lines().any(|line| line.starts_with("event:"))
    }),
    ("framing: a response without `sequence_number`", |parsed| {
        parsed.is(WireId::OpenaiResponses)
            && parsed.jsons().all(|json| json["sequence_number"].is_null())
    }),
    ("framing: blanks before the last brace", |parsed| {
        parsed.is(WireId::Anthropic)
            && parsed
                .payloads
                .iter()
                .any(|it| it.text.trim_end_matches('}').ends_with(' '))
    }),
    ("framing: `obfuscation`", |parsed| {
        parsed.jsons().any(|json| json["obfuscation"].is_string())
    }),
    ("framing: `p` of Mistral", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| json["p"].is_string())
    }),
    ("framing: `p` of Bedrock", |parsed| {
        parsed.any(WireId::Bedrock, |json| json["p"].is_string())
    }),
    ("framing: a line over 64 KiB", |parsed| {
        parsed
            .payloads
            .iter()
            .any(|payload| payload.text.len() > LONG_LINE)
    }),
    ("framing: events called application/json", |parsed| {
        parsed.is_sse() && has_content_type(parsed, "application/json")
    }),
    ("framing: a charset without a blank", |parsed| {
        has_content_type(parsed, "text/event-stream;charset")
    }),
    ("framing: an `error:` field", |parsed| {
        parsed.is_sse() && parsed.lines().any(|line| line.starts_with("error:"))
    }),
    ("framing: bare JSON among events", |parsed| {
        parsed.is_sse() && parsed.lines().any(|line| line.trim_end() == "{")
    }),
];
