//! What the other wires do their own way.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Column;
use crate::goldens::seen::Seen;
use crate::rig::WireId;

/// Items of tools that OpenAI runs.
const SERVER_ITEMS: [&str; 8] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
    "mcp_list_tools",
    "tool_search_call",
    "compaction",
];

fn item(seen: &Seen<'_>, kinds: &[&str]) -> bool {
    seen.any(WireId::OpenaiResponses, |json| {
        json["item"]["type"]
            .as_str()
            .is_some_and(|kind| kinds.contains(&kind))
    })
}

fn response(seen: &Seen<'_>, kind: &str) -> bool {
    seen.is(WireId::OpenaiResponses) && seen.typed(kind).next().is_some()
}

fn only_done(seen: &Seen<'_>, what: &str) -> bool {
    response(seen, &format!("response.{what}.done"))
        && !response(seen, &format!("response.{what}.delta"))
}

pub const RESPONSES: [Column; 17] = [
    ("responses: `output: []` at the end", |seen| {
        seen.is(WireId::OpenaiResponses)
            && seen.typed("response.completed").any(|it| {
                it["response"]["output"]
                    .as_array()
                    .is_some_and(Vec::is_empty)
            })
    }),
    ("responses: ids change", |seen| {
        let ids = seen
            .jsons()
            .filter_map(|json| json["response"]["id"].as_str());
        seen.is(WireId::OpenaiResponses) && ids.collect::<BTreeSet<_>>().len() > 1
    }),
    ("responses: arguments in `done` alone", |seen| {
        only_done(seen, "function_call_arguments")
    }),
    ("responses: text in `done` alone", |seen| {
        only_done(seen, "output_text")
    }),
    ("responses: `reasoning_summary_text`", |seen| {
        response(seen, "response.reasoning_summary_text.delta")
    }),
    ("responses: `reasoning_text`", |seen| {
        response(seen, "response.reasoning_text.delta")
    }),
    ("responses: encrypted reasoning", |seen| {
        seen.any(WireId::OpenaiResponses, |json| {
            json["item"]["encrypted_content"].is_string()
        })
    }),
    ("responses: `keepalive`", |seen| response(seen, "keepalive")),
    ("responses: `response.queued`", |seen| {
        response(seen, "response.queued")
    }),
    ("responses: `reasoning_part`", |seen| {
        response(seen, "response.reasoning_part.added")
    }),
    ("responses: a server's tool", |seen| {
        item(seen, &SERVER_ITEMS)
    }),
    ("responses: a custom tool call", |seen| {
        item(seen, &["custom_tool_call"])
    }),
    ("responses: annotations", |seen| {
        response(seen, "response.output_text.annotation.added")
    }),
    ("responses: `error`, then `response.failed`", |seen| {
        response(seen, "error") && response(seen, "response.failed")
    }),
    ("responses: `response.incomplete`", |seen| {
        response(seen, "response.incomplete")
    }),
    ("responses: a refusal", |seen| {
        response(seen, "response.refusal.delta")
    }),
    ("responses: log probabilities", |seen| {
        seen.any(WireId::OpenaiResponses, |json| {
            json["logprobs"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        })
    }),
];

fn kinds<'a>(seen: &'a Seen<'_>) -> Vec<&'a str> {
    seen.jsons()
        .filter(|_| seen.is(WireId::Anthropic))
        .filter_map(|json| json["type"].as_str())
        .collect()
}

fn pinged_behind(seen: &Seen<'_>, before: &str) -> bool {
    kinds(seen).windows(2).any(|pair| pair == [before, "ping"])
}

fn block(seen: &Seen<'_>, like: impl Fn(&str) -> bool) -> bool {
    seen.any(WireId::Anthropic, |json| {
        json["content_block"]["type"].as_str().is_some_and(&like)
    })
}

fn anthropic_delta(seen: &Seen<'_>, kind: &str) -> bool {
    seen.any(WireId::Anthropic, |json| json["delta"]["type"] == kind)
}

fn started(seen: &Seen<'_>, like: impl Fn(&Value) -> bool) -> bool {
    seen.is(WireId::Anthropic)
        && seen
            .typed("message_start")
            .any(|start| like(&start["message"]))
}

/// Blocks of this type without a delta of that one.
fn without_delta(seen: &Seen<'_>, kind: &str, delta: &str) -> bool {
    let starts = seen
        .typed("content_block_start")
        .filter(|start| seen.is(WireId::Anthropic) && start["content_block"]["type"] == kind);
    starts.map(|start| &start["index"]).any(|index| {
        !seen
            .typed("content_block_delta")
            .any(|it| it["index"] == *index && it["delta"]["type"] == delta)
    })
}

pub const ANTHROPIC: [Column; 18] = [
    ("anthropic: ping behind a block's start", |seen| {
        pinged_behind(seen, "content_block_start")
    }),
    ("anthropic: ping behind a delta", |seen| {
        pinged_behind(seen, "content_block_delta")
    }),
    ("anthropic: ping behind message_start", |seen| {
        pinged_behind(seen, "message_start")
    }),
    ("anthropic: more than one ping", |seen| {
        kinds(seen).iter().filter(|kind| **kind == "ping").count() > 1
    }),
    ("anthropic: input repeated in message_delta", |seen| {
        seen.is(WireId::Anthropic)
            && seen
                .typed("message_delta")
                .any(|it| it["usage"]["input_tokens"].is_number())
    }),
    ("anthropic: `input_tokens: 0` at first", |seen| {
        started(seen, |message| message["usage"]["input_tokens"] == 0)
    }),
    ("anthropic: all content in message_start", |seen| {
        started(seen, |message| message["content"][0].is_object())
    }),
    ("anthropic: an empty `partial_json` first", |seen| {
        seen.any(WireId::Anthropic, |json| {
            json["delta"]["partial_json"] == ""
        })
    }),
    ("anthropic: a tool without input", |seen| {
        without_delta(seen, "tool_use", "input_json_delta")
    }),
    ("anthropic: `signature_delta`", |seen| {
        anthropic_delta(seen, "signature_delta")
    }),
    ("anthropic: thinking that is a signature alone", |seen| {
        without_delta(seen, "thinking", "thinking_delta")
            && anthropic_delta(seen, "signature_delta")
    }),
    ("anthropic: `redacted_thinking`", |seen| {
        block(seen, |kind| kind == "redacted_thinking")
    }),
    ("anthropic: `citations_delta`", |seen| {
        anthropic_delta(seen, "citations_delta")
    }),
    ("anthropic: `compaction_delta`", |seen| {
        anthropic_delta(seen, "compaction_delta")
    }),
    ("anthropic: `pause_turn`", |seen| {
        seen.any(WireId::Anthropic, |json| {
            json["delta"]["stop_reason"] == "pause_turn"
        })
    }),
    ("anthropic: `server_tool_use`", |seen| {
        block(seen, |kind| kind == "server_tool_use")
    }),
    ("anthropic: a result of a server's tool", |seen| {
        block(seen, |kind| kind.ends_with("_tool_result"))
    }),
    ("anthropic: `mcp_tool_use`", |seen| {
        block(seen, |kind| kind == "mcp_tool_use")
    }),
];

fn candidate(seen: &Seen<'_>, like: impl Fn(&Value) -> bool) -> bool {
    seen.candidates().any(like)
}

fn part(seen: &Seen<'_>, like: impl Fn(&Value) -> bool) -> bool {
    seen.parts().any(like)
}

fn finished(seen: &Seen<'_>, reason: &str) -> bool {
    candidate(seen, |it| it["finishReason"] == reason)
}

fn bedrock_delta(seen: &Seen<'_>, like: impl Fn(&Value) -> bool) -> bool {
    seen.any(WireId::Bedrock, |json| like(&json["delta"]))
}

pub const GOOGLE_AND_AWS: [Column; 25] = [
    ("gemini: a JSON array", |seen| {
        seen.recording.folder == "gemini-json-array"
    }),
    ("gemini: enums as integers", |seen| {
        candidate(seen, |it| it["finishReason"].is_number())
    }),
    ("gemini: empty text with a signature", |seen| {
        part(seen, |it| {
            it["text"] == "" && it["thoughtSignature"].is_string()
        })
    }),
    ("gemini: content without parts", |seen| {
        candidate(seen, |it| {
            it["content"].is_object() && it["content"]["parts"].is_null()
        })
    }),
    ("gemini: content without role", |seen| {
        candidate(seen, |it| {
            it["content"].is_object() && it["content"]["role"].is_null()
        })
    }),
    ("gemini: a candidate without content", |seen| {
        candidate(seen, |it| it["content"].is_null())
    }),
    ("gemini: a chunk without candidates", |seen| {
        seen.any(WireId::Gemini, |json| {
            json.is_object() && json["candidates"].is_null()
        })
    }),
    ("gemini: a finishReason in several chunks", |seen| {
        seen.candidates()
            .filter(|it| !it["finishReason"].is_null())
            .count()
            > 1
    }),
    ("gemini: usage in every chunk", |seen| {
        seen.is(WireId::Gemini)
            && seen.payloads.len() > 1
            && seen.jsons().all(|json| json["usageMetadata"].is_object())
    }),
    ("gemini: no `candidatesTokenCount` at first", |seen| {
        seen.any(WireId::Gemini, |json| {
            json["usageMetadata"].is_object()
                && json["usageMetadata"]["candidatesTokenCount"].is_null()
        })
    }),
    ("gemini: a thought", |seen| {
        part(seen, |it| it["thought"] == true)
    }),
    ("gemini: a call without an id", |seen| {
        part(seen, |it| {
            it["functionCall"]["name"].is_string() && it["functionCall"]["id"].is_null()
        })
    }),
    ("gemini: streamed arguments", |seen| {
        part(seen, |it| it["functionCall"]["partialArgs"].is_array())
    }),
    ("gemini: `toolCall`, `toolResponse`", |seen| {
        part(seen, |it| {
            it["toolCall"].is_object() || it["toolResponse"].is_object()
        })
    }),
    ("gemini: `executableCode`", |seen| {
        part(seen, |it| it["executableCode"].is_object())
    }),
    ("gemini: `inlineData`", |seen| {
        part(seen, |it| it["inlineData"].is_object())
    }),
    ("gemini: MAX_TOKENS", |seen| finished(seen, "MAX_TOKENS")),
    ("gemini: SAFETY", |seen| finished(seen, "SAFETY")),
    ("gemini: RECITATION", |seen| finished(seen, "RECITATION")),
    ("bedrock: text without contentBlockStart", |seen| {
        bedrock_delta(seen, |delta| delta["text"].is_string())
            && !seen
                .payloads
                .iter()
                .any(|it| it.name == "contentBlockStart" && it.json["contentBlockIndex"] == 0)
    }),
    ("bedrock: metadata behind messageStop", |seen| {
        let place = |name: &str| {
            seen.payloads
                .iter()
                .position(|payload| payload.name == name)
        };
        seen.is(WireId::Bedrock) && place("metadata") > place("messageStop")
    }),
    ("bedrock: a server's tool", |seen| {
        seen.any(WireId::Bedrock, |json| {
            json["start"]["toolUse"]["type"] == "server_tool_use"
        })
    }),
    ("bedrock: a server's tool result", |seen| {
        seen.any(WireId::Bedrock, |json| {
            json["start"]["toolResult"].is_object()
        })
    }),
    ("bedrock: an empty text delta", |seen| {
        bedrock_delta(seen, |delta| delta["text"] == "")
    }),
    ("bedrock: `<thinking>` in text", |seen| {
        let text: String = seen
            .jsons()
            .filter(|_| seen.is(WireId::Bedrock))
            .filter_map(|json| json["delta"]["text"].as_str())
            .collect();
        text.contains("<thinking>")
    }),
];

fn ollama_calls<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = &'a Value> {
    let lines = seen.jsons().filter(|_| seen.is(WireId::Ollama));
    lines.flat_map(|line| {
        line["message"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
    })
}

pub const OLLAMA_AND_COHERE: [Column; 12] = [
    ("ollama: tool calls over several lines", |seen| {
        seen.jsons()
            .filter(|json| seen.is(WireId::Ollama) && json["message"]["tool_calls"].is_array())
            .count()
            > 1
    }),
    ("ollama: `function.index`", |seen| {
        ollama_calls(seen).any(|call| call["function"]["index"].is_number())
    }),
    ("ollama: a call with an id", |seen| {
        ollama_calls(seen).any(|call| call["id"].is_string())
    }),
    ("ollama: a call without an id", |seen| {
        ollama_calls(seen).any(|call| call["id"].is_null())
    }),
    ("ollama: `stop` behind tool calls", |seen| {
        ollama_calls(seen).next().is_some()
            && seen.jsons().any(|json| json["done_reason"] == "stop")
    }),
    ("ollama: thinking", |seen| {
        seen.any(WireId::Ollama, |json| {
            json["message"]["thinking"]
                .as_str()
                .is_some_and(|it| !it.is_empty())
        })
    }),
    ("cohere: tool-plan-delta", |seen| {
        seen.is(WireId::Cohere) && seen.typed("tool-plan-delta").next().is_some()
    }),
    ("cohere: thinking", |seen| {
        seen.any(WireId::Cohere, |json| {
            json["delta"]["message"]["content"]["thinking"].is_string()
        })
    }),
    ("cohere: `tool_calls` as an object", |seen| {
        seen.any(WireId::Cohere, |json| {
            json["delta"]["message"]["tool_calls"].is_object()
        })
    }),
    ("cohere: citations", |seen| {
        seen.is(WireId::Cohere) && seen.typed("citation-start").next().is_some()
    }),
    ("cohere: `cached_tokens`", |seen| {
        seen.any(WireId::Cohere, |json| {
            !json["delta"]["usage"]["cached_tokens"].is_null()
        })
    }),
    ("cohere: `billed_units`", |seen| {
        seen.any(WireId::Cohere, |json| {
            json["delta"]["usage"]["billed_units"].is_object()
        })
    }),
];
