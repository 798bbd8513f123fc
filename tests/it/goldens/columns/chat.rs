//! What Chat Completions' many servers do their own way.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Column;
use crate::goldens::seen::Seen;
use crate::rig::WireId;

/// How many different values a member has that is there.
fn kinds(seen: &Seen<'_>, member: &str) -> usize {
    seen.jsons()
        .filter(|_| seen.is(WireId::OpenaiChat))
        .filter_map(|json| json[member].as_str())
        .collect::<BTreeSet<_>>()
        .len()
}

fn finishes(seen: &Seen<'_>) -> usize {
    seen.choices()
        .filter(|choice| {
            choice["finish_reason"].is_string() && choice["index"].as_u64().unwrap_or(0) == 0
        })
        .count()
}

fn finished_with(seen: &Seen<'_>, reason: &str) -> bool {
    seen.choices()
        .any(|choice| choice["finish_reason"] == reason)
}

fn delta(seen: &Seen<'_>, like: impl Fn(&Value) -> bool) -> bool {
    seen.deltas().any(like)
}

fn is_whole(piece: &Value) -> bool {
    let arguments = piece["function"]["arguments"].as_str().unwrap_or("");
    piece["function"]["name"].is_string()
        && serde_json::from_str::<Value>(arguments).is_ok_and(|it| it.is_object())
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

fn is_cut(seen: &Seen<'_>) -> bool {
    let arguments: String = seen
        .call_pieces()
        .filter_map(|piece| piece["function"]["arguments"].as_str())
        .collect();
    finished_with(seen, "length")
        && !arguments.is_empty()
        && serde_json::from_str::<Value>(&arguments).is_err()
}

pub const CHAT: [Column; 49] = [
    ("chat: Azure's first chunk", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            is_empty_list(&json["choices"]) && json["prompt_filter_results"].is_array()
        })
    }),
    ("chat: a choice without `delta`", |seen| {
        seen.choices().any(|choice| choice["delta"].is_null())
    }),
    ("chat: a chunk without `choices`", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json.is_object() && json["choices"].is_null()
        })
    }),
    ("chat: an error beside `choices`", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json["error"].is_object() && json["choices"].is_array()
        })
    }),
    ("chat: usage in a chunk of its own", |seen| {
        seen.usages().any(|chunk| is_empty_list(&chunk["choices"]))
    }),
    ("chat: usage in the chunk that finishes", |seen| {
        finishes(seen) == 1
            && seen
                .usages()
                .any(|chunk| chunk["choices"][0]["finish_reason"].is_string())
    }),
    ("chat: finish_reason repeated", |seen| finishes(seen) > 1),
    ("chat: usage twice", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json["x_groq"]["usage"].is_object()
        }) && seen.usages().next().is_some()
    }),
    ("chat: `x_groq.usage` alone", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json["x_groq"]["usage"].is_object()
        }) && seen.usages().next().is_none()
    }),
    ("chat: usage in every chunk", |seen| {
        seen.usages().count() > 2
    }),
    ("chat: `usage: null`", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json.get("usage").is_some_and(Value::is_null)
        })
    }),
    ("chat: no usage", |seen| {
        seen.is(WireId::OpenaiChat) && seen.usages().next().is_none()
    }),
    ("chat: `timings`", |seen| {
        seen.any(WireId::OpenaiChat, |json| json["timings"].is_object())
    }),
    ("chat: `prompt_cache_hit_tokens`", |seen| {
        seen.usages()
            .any(|chunk| !chunk["usage"]["prompt_cache_hit_tokens"].is_null())
    }),
    ("chat: `cached_tokens` at the top of usage", |seen| {
        seen.usages()
            .any(|chunk| !chunk["usage"]["cached_tokens"].is_null())
    }),
    ("chat: `cost` in usage", |seen| {
        seen.usages().any(|chunk| !chunk["usage"]["cost"].is_null())
    }),
    ("chat: `content: null`", |seen| {
        delta(seen, |delta| {
            delta.get("content").is_some_and(Value::is_null)
        })
    }),
    ("chat: `content: \"\"`", |seen| {
        delta(seen, |delta| delta["content"] == "")
    }),
    ("chat: `role` in every chunk", |seen| {
        seen.deltas().count() > 2 && seen.deltas().all(|delta| delta["role"].is_string())
    }),
    ("chat: no `role`", |seen| {
        seen.deltas().count() > 1 && seen.deltas().all(|delta| delta["role"].is_null())
    }),
    ("chat: `reasoning_content`", |seen| {
        delta(seen, |delta| delta["reasoning_content"].is_string())
    }),
    ("chat: `reasoning`", |seen| {
        delta(seen, |delta| delta["reasoning"].is_string())
    }),
    ("chat: `reasoning_details`", |seen| {
        delta(seen, |delta| delta["reasoning_details"][0].is_object())
    }),
    ("chat: `reasoning_details` encrypted", |seen| {
        delta(seen, |delta| {
            delta["reasoning_details"][0]["type"] == "reasoning.encrypted"
        })
    }),
    ("chat: `reasoning_encrypted`", |seen| {
        delta(seen, |delta| !delta["reasoning_encrypted"].is_null())
    }),
    ("chat: thinking as a list, then text", |seen| {
        delta(seen, |delta| delta["content"][0]["type"] == "thinking")
            && delta(seen, |delta| delta["content"].is_string())
    }),
    ("chat: a tool call whole in one delta", |seen| {
        seen.call_pieces().any(is_whole)
    }),
    ("chat: a tool call without `index`", |seen| {
        seen.call_pieces().any(|piece| piece["index"].is_null())
    }),
    ("chat: `id: \"\"` in a tool call", |seen| {
        seen.call_pieces().any(|piece| piece["id"] == "")
    }),
    ("chat: `arguments: null`", |seen| {
        seen.call_pieces().any(|piece| {
            piece["function"]
                .get("arguments")
                .is_some_and(Value::is_null)
        })
    }),
    ("chat: `arguments: \"null\"`", |seen| {
        seen.call_pieces()
            .any(|piece| piece["function"]["arguments"] == "null")
    }),
    ("chat: `tool_calls: null`", |seen| {
        delta(seen, |delta| {
            delta.get("tool_calls").is_some_and(Value::is_null)
        })
    }),
    ("chat: arguments cut by the maximum", is_cut),
    ("chat: `stop` behind tool calls", |seen| {
        finished_with(seen, "stop") && seen.call_pieces().next().is_some()
    }),
    ("chat: `function_call`", |seen| {
        delta(seen, |delta| delta["function_call"].is_object())
    }),
    ("chat: several ids", |seen| kinds(seen, "id") > 1),
    ("chat: several models", |seen| kinds(seen, "model") > 1),
    ("chat: a chunk without `created`", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json["choices"].is_array() && json["created"].is_null()
        })
    }),
    ("chat: another `object`", |seen| {
        seen.any(WireId::OpenaiChat, |json| {
            json["object"]
                .as_str()
                .is_some_and(|it| it != "chat.completion.chunk")
        })
    }),
    ("chat: `text` beside `delta`", |seen| {
        seen.choices()
            .any(|choice| choice["text"].is_string() && choice["delta"].is_object())
    }),
    ("chat: `message` beside `delta`", |seen| {
        seen.choices()
            .any(|choice| choice["message"].is_object() && choice["delta"].is_object())
    }),
    ("chat: `eos_token`", |seen| finished_with(seen, "eos_token")),
    ("chat: no finish_reason", |seen| {
        seen.is(WireId::OpenaiChat) && seen.deltas().count() > 1 && finishes(seen) == 0
    }),
    ("chat: several choices, interleaved", |seen| {
        let indexes: Vec<u64> = seen
            .choices()
            .filter_map(|choice| choice["index"].as_u64())
            .collect();
        indexes.windows(2).filter(|pair| pair[0] > pair[1]).count() > 1
    }),
    ("chat: `channel`", |seen| {
        delta(seen, |delta| !delta["channel"].is_null())
    }),
    ("chat: `executed_tools`", |seen| {
        delta(seen, |delta| !delta["executed_tools"].is_null())
    }),
    ("chat: `token_ids` of vLLM", |seen| {
        seen.choices()
            .any(|choice| choice.get("token_ids").is_some())
    }),
    ("chat: a content filter's results", |seen| {
        seen.choices()
            .any(|choice| choice["content_filter_results"].is_object())
    }),
    ("chat: log probabilities", |seen| {
        seen.choices().any(|choice| choice["logprobs"].is_object())
    }),
];
