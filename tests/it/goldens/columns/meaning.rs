//! Features of the decoded events: kinds of events, finish reasons, position of errors.

use super::Column;
use crate::goldens::parsed::Parsed;

fn has_member(parsed: &Parsed<'_>, name: &str, member: &str) -> bool {
    parsed
        .events_named(name)
        .any(|data| !data[member].is_null())
}

fn ends(parsed: &Parsed<'_>, reason: &str) -> bool {
    parsed
        .events_named("end")
        .any(|end| end["reason"] == reason)
}

fn has_content(parsed: &Parsed<'_>) -> bool {
    [
        "text",
        "reasoning",
        "refusal",
        "tool_call",
        "citation",
        "raw",
    ]
    .iter()
    .any(|name| parsed.position(name).is_some())
}

fn error(parsed: &Parsed<'_>, text: &str) -> bool {
    parsed
        .events_named("error")
        .any(|error| error["message"].as_str().unwrap().contains(text))
}

/// Kinds of events.
pub const KINDS: [Column; 17] = [
    ("event: text", |parsed| parsed.position("text").is_some()),
    ("event: reasoning", |parsed| {
        has_member(parsed, "reasoning", "delta")
    }),
    ("event: signature", |parsed| {
        has_member(parsed, "reasoning", "signature")
    }),
    ("event: signature on text", |parsed| {
        has_member(parsed, "reasoning", "on_text")
    }),
    ("event: redacted reasoning", |parsed| {
        has_member(parsed, "reasoning", "redacted")
    }),
    ("event: refusal", |parsed| {
        parsed.position("refusal").is_some()
    }),
    ("event: tool call", |parsed| {
        parsed.position("tool_call").is_some()
    }),
    ("event: parallel tool calls", |parsed| {
        parsed
            .events_named("tool_call")
            .any(|call| call["index"] == 1)
    }),
    ("event: signed tool call", |parsed| {
        has_member(parsed, "tool_call", "signature")
    }),
    ("event: custom tool call", |parsed| {
        has_member(parsed, "tool_call", "custom")
    }),
    ("event: citation with a URL", |parsed| {
        has_member(parsed, "citation", "url")
    }),
    ("event: citation without one", |parsed| {
        parsed
            .events_named("citation")
            .any(|it| it["url"].is_null())
    }),
    ("event: raw", |parsed| parsed.position("raw").is_some()),
    ("event: several choices", |parsed| {
        parsed.position("choice_end").is_some()
    }),
    ("event: usage", |parsed| {
        parsed
            .events_named("usage")
            .any(|it| it["estimated"] == false)
    }),
    ("event: usage by estimate", |parsed| {
        parsed
            .events_named("usage")
            .any(|it| it["estimated"] == true)
    }),
    ("event: usage with cached, reasoning tokens", |parsed| {
        parsed.events_named("usage").any(|it| {
            it["cached_input_tokens"].as_u64() > Some(0)
                && it["reasoning_tokens"].as_u64() > Some(0)
        })
    }),
];

/// Finish reasons and error positions.
pub const ENDS: [Column; 9] = [
    ("ends: stop", |parsed| ends(parsed, "stop")),
    ("ends: length", |parsed| ends(parsed, "length")),
    ("ends: tool_calls", |parsed| ends(parsed, "tool_calls")),
    ("ends: content_filter", |parsed| {
        ends(parsed, "content_filter")
    }),
    ("ends: error", |parsed| ends(parsed, "error")),
    ("error before content", |parsed| {
        parsed.position("error").is_some() && !has_content(parsed)
    }),
    ("error behind content", |parsed| {
        parsed.position("error").is_some() && has_content(parsed)
    }),
    ("error: the upstream's own", |parsed| {
        parsed.position("error").is_some() && !error(parsed, "ended before it was complete")
    }),
    ("error: cut short", |parsed| {
        error(parsed, "ended before it was complete")
    }),
];
