//! Features of Chat Completions servers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Column;
use crate::goldens::parsed::Parsed;
use crate::rig::WireId;

/// Returns the number of distinct string values of a member.
fn kinds(parsed: &Parsed<'_>, member: &str) -> usize {
    parsed
        .jsons()
        .filter(|_| parsed.is(WireId::OpenaiChat))
        .filter_map(|json| json[member].as_str())
        .collect::<BTreeSet<_>>()
        .len()
}

fn finishes(parsed: &Parsed<'_>) -> usize {
    parsed
        .choices()
        .filter(|choice| {
            choice["finish_reason"].is_string() && choice["index"].as_u64().unwrap_or(0) == 0
        })
        .count()
}

fn finished_with(parsed: &Parsed<'_>, reason: &str) -> bool {
    parsed
        .choices()
        .any(|choice| choice["finish_reason"] == reason)
}

fn delta(parsed: &Parsed<'_>, like: impl Fn(&Value) -> bool) -> bool {
    parsed.deltas().any(like)
}

fn is_whole(piece: &Value) -> bool {
    let arguments = piece["function"]["arguments"].as_str().unwrap_or("");
    piece["function"]["name"].is_string()
        && serde_json::from_str::<Value>(arguments).is_ok_and(|it| it.is_object())
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn is_cut(parsed: &Parsed<'_>) -> bool {
    let arguments: String = parsed
        .call_pieces()
        .filter_map(|piece| piece["function"]["arguments"].as_str())
        .collect();
    finished_with(parsed, "length")
        && !arguments.is_empty()
        && serde_json::from_str::<Value>(&arguments).is_err()
}

pub const CHAT: [Column; 49] = [
    ("chat: Azure's first chunk", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            is_empty_list(&json["choices"]) && json["prompt_filter_results"].is_array()
        })
    }),
    ("chat: a choice without `delta`", |parsed| {
        parsed.choices().any(|choice| choice["delta"].is_null())
    }),
    ("chat: a chunk without `choices`", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json.is_object() && json["choices"].is_null()
        })
    }),
    ("chat: an error beside `choices`", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json["error"].is_object() && json["choices"].is_array()
        })
    }),
    ("chat: usage in a chunk of its own", |parsed| {
        parsed
            .usages()
            .any(|chunk| is_empty_list(&chunk["choices"]))
    }),
    ("chat: usage in the chunk that finishes", |parsed| {
        finishes(parsed) == 1
            && parsed
                .usages()
                .any(|chunk| chunk["choices"][0]["finish_reason"].is_string())
    }),
    ("chat: finish_reason repeated", |parsed| {
        finishes(parsed) > 1
    }),
    ("chat: usage twice", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json["x_groq"]["usage"].is_object()
        }) && parsed.usages().next().is_some()
    }),
    ("chat: `x_groq.usage` alone", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json["x_groq"]["usage"].is_object()
        }) && parsed.usages().next().is_none()
    }),
    ("chat: usage in every chunk", |parsed| {
        parsed.usages().count() > 2
    }),
    ("chat: `usage: null`", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json.get("usage").is_some_and(Value::is_null)
        })
    }),
    ("chat: no usage", |parsed| {
        parsed.is(WireId::OpenaiChat) && parsed.usages().next().is_none()
    }),
    ("chat: `timings`", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| json["timings"].is_object())
    }),
    ("chat: `prompt_cache_hit_tokens`", |parsed| {
        parsed
            .usages()
            .any(|chunk| !chunk["usage"]["prompt_cache_hit_tokens"].is_null())
    }),
    ("chat: `cached_tokens` at the top of usage", |parsed| {
        parsed
            .usages()
            .any(|chunk| !chunk["usage"]["cached_tokens"].is_null())
    }),
    ("chat: `cost` in usage", |parsed| {
        parsed
            .usages()
            .any(|chunk| !chunk["usage"]["cost"].is_null())
    }),
    ("chat: `content: null`", |parsed| {
        delta(parsed, |delta| {
            delta.get("content").is_some_and(Value::is_null)
        })
    }),
    ("chat: `content: \"\"`", |parsed| {
        delta(parsed, |delta| delta["content"] == "")
    }),
    ("chat: `role` in every chunk", |parsed| {
        parsed.deltas().count() > 2 && parsed.deltas().all(|delta| delta["role"].is_string())
    }),
    ("chat: no `role`", |parsed| {
        parsed.deltas().count() > 1 && parsed.deltas().all(|delta| delta["role"].is_null())
    }),
    ("chat: `reasoning_content`", |parsed| {
        delta(parsed, |delta| delta["reasoning_content"].is_string())
    }),
    ("chat: `reasoning`", |parsed| {
        delta(parsed, |delta| delta["reasoning"].is_string())
    }),
    ("chat: `reasoning_details`", |parsed| {
        delta(parsed, |delta| delta["reasoning_details"][0].is_object())
    }),
    ("chat: `reasoning_details` encrypted", |parsed| {
        delta(parsed, |delta| {
            delta["reasoning_details"][0]["type"] == "reasoning.encrypted"
        })
    }),
    ("chat: `reasoning_encrypted`", |parsed| {
        delta(parsed, |delta| !delta["reasoning_encrypted"].is_null())
    }),
    ("chat: thinking as a list, then text", |parsed| {
        delta(parsed, |delta| delta["content"][0]["type"] == "thinking")
            && delta(parsed, |delta| delta["content"].is_string())
    }),
    ("chat: a tool call whole in one delta", |parsed| {
        parsed.call_pieces().any(is_whole)
    }),
    ("chat: a tool call without `index`", |parsed| {
        parsed.call_pieces().any(|piece| piece["index"].is_null())
    }),
    ("chat: `id: \"\"` in a tool call", |parsed| {
        parsed.call_pieces().any(|piece| piece["id"] == "")
    }),
    ("chat: `arguments: null`", |parsed| {
        parsed.call_pieces().any(|piece| {
            piece["function"]
                .get("arguments")
                .is_some_and(Value::is_null)
        })
    }),
    ("chat: `arguments: \"null\"`", |parsed| {
        parsed
            .call_pieces()
            .any(|piece| piece["function"]["arguments"] == "null")
    }),
    ("chat: `tool_calls: null`", |parsed| {
        delta(parsed, |delta| {
            delta.get("tool_calls").is_some_and(Value::is_null)
        })
    }),
    ("chat: arguments cut by the maximum", is_cut),
    ("chat: `stop` behind tool calls", |parsed| {
        finished_with(parsed, "stop") && parsed.call_pieces().next().is_some()
    }),
    ("chat: `function_call`", |parsed| {
        delta(parsed, |delta| delta["function_call"].is_object())
    }),
    ("chat: several ids", |parsed| kinds(parsed, "id") > 1),
    ("chat: several models", |parsed| kinds(parsed, "model") > 1),
    ("chat: a chunk without `created`", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json["choices"].is_array() && json["created"].is_null()
        })
    }),
    ("chat: another `object`", |parsed| {
        parsed.any(WireId::OpenaiChat, |json| {
            json["object"]
                .as_str()
                .is_some_and(|it| it != "chat.completion.chunk")
        })
    }),
    ("chat: `text` beside `delta`", |parsed| {
        parsed
            .choices()
            .any(|choice| choice["text"].is_string() && choice["delta"].is_object())
    }),
    ("chat: `message` beside `delta`", |parsed| {
        parsed
            .choices()
            .any(|choice| choice["message"].is_object() && choice["delta"].is_object())
    }),
    ("chat: `eos_token`", |parsed| {
        finished_with(parsed, "eos_token")
    }),
    ("chat: no finish_reason", |parsed| {
        parsed.is(WireId::OpenaiChat) && parsed.deltas().count() > 1 && finishes(parsed) == 0
    }),
    ("chat: several choices, interleaved", |parsed| {
        let indexes: Vec<u64> = parsed
            .choices()
            .filter_map(|choice| choice["index"].as_u64())
            .collect();
        indexes.windows(2).filter(|pair| pair[0] > pair[1]).count() > 1
    }),
    ("chat: `channel`", |parsed| {
        delta(parsed, |delta| !delta["channel"].is_null())
    }),
    ("chat: `executed_tools`", |parsed| {
        delta(parsed, |delta| !delta["executed_tools"].is_null())
    }),
    ("chat: `token_ids` of vLLM", |parsed| {
        parsed
            .choices()
            .any(|choice| choice.get("token_ids").is_some())
    }),
    ("chat: a content filter's results", |parsed| {
        parsed
            .choices()
            .any(|choice| choice["content_filter_results"].is_object())
    }),
    ("chat: log probabilities", |parsed| {
        parsed
            .choices()
            .any(|choice| choice["logprobs"].is_object())
    }),
];
