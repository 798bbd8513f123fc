//! What recordings mean: the kinds of events, how answers finish, where errors come.

use super::Column;
use crate::goldens::seen::Seen;

fn tells(seen: &Seen<'_>, name: &str, member: &str) -> bool {
    seen.told(name).any(|data| !data[member].is_null())
}

fn ends(seen: &Seen<'_>, reason: &str) -> bool {
    seen.told("end").any(|end| end["reason"] == reason)
}

fn has_content(seen: &Seen<'_>) -> bool {
    [
        "text",
        "reasoning",
        "refusal",
        "tool_call",
        "citation",
        "raw",
    ]
    .iter()
    .any(|name| seen.place(name).is_some())
}

fn error(seen: &Seen<'_>, words: &str) -> bool {
    seen.told("error")
        .any(|error| error["message"].as_str().unwrap().contains(words))
}

/// The kinds of events.
pub const KINDS: [Column; 17] = [
    ("event: text", |seen| seen.place("text").is_some()),
    ("event: reasoning", |seen| tells(seen, "reasoning", "delta")),
    ("event: signature", |seen| {
        tells(seen, "reasoning", "signature")
    }),
    ("event: signature on text", |seen| {
        tells(seen, "reasoning", "on_text")
    }),
    ("event: redacted reasoning", |seen| {
        tells(seen, "reasoning", "redacted")
    }),
    ("event: refusal", |seen| seen.place("refusal").is_some()),
    ("event: tool call", |seen| seen.place("tool_call").is_some()),
    ("event: parallel tool calls", |seen| {
        seen.told("tool_call").any(|call| call["index"] == 1)
    }),
    ("event: signed tool call", |seen| {
        tells(seen, "tool_call", "signature")
    }),
    ("event: custom tool call", |seen| {
        tells(seen, "tool_call", "custom")
    }),
    ("event: citation with a URL", |seen| {
        tells(seen, "citation", "url")
    }),
    ("event: citation without one", |seen| {
        seen.told("citation").any(|it| it["url"].is_null())
    }),
    ("event: raw", |seen| seen.place("raw").is_some()),
    ("event: several choices", |seen| {
        seen.place("choice_end").is_some()
    }),
    ("event: usage", |seen| {
        seen.told("usage").any(|it| it["estimated"] == false)
    }),
    ("event: usage by estimate", |seen| {
        seen.told("usage").any(|it| it["estimated"] == true)
    }),
    ("event: usage with cached, reasoning tokens", |seen| {
        seen.told("usage").any(|it| {
            it["cached_input_tokens"].as_u64() > Some(0)
                && it["reasoning_tokens"].as_u64() > Some(0)
        })
    }),
];

/// How answers end, and where errors come.
pub const ENDS: [Column; 9] = [
    ("ends: stop", |seen| ends(seen, "stop")),
    ("ends: length", |seen| ends(seen, "length")),
    ("ends: tool_calls", |seen| ends(seen, "tool_calls")),
    ("ends: content_filter", |seen| ends(seen, "content_filter")),
    ("ends: error", |seen| ends(seen, "error")),
    ("error before content", |seen| {
        seen.place("error").is_some() && !has_content(seen)
    }),
    ("error behind content", |seen| {
        seen.place("error").is_some() && has_content(seen)
    }),
    ("error: the upstream's own", |seen| {
        seen.place("error").is_some() && !error(seen, "ended before it was complete")
    }),
    ("error: cut short", |seen| {
        error(seen, "ended before it was complete")
    }),
];
