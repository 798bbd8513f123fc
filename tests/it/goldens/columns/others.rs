//! Features of the other wires.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Column;
use crate::goldens::parsed::Parsed;
use crate::rig::WireId;

/// Types of the items of tools that OpenAI runs.
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

fn item(parsed: &Parsed<'_>, kinds: &[&str]) -> bool {
    parsed.any(WireId::OpenaiResponses, |json| {
        json["item"]["type"]
            .as_str()
            .is_some_and(|kind| kinds.contains(&kind))
    })
}

fn response(parsed: &Parsed<'_>, kind: &str) -> bool {
    parsed.is(WireId::OpenaiResponses) && parsed.with_type(kind).next().is_some()
}

fn only_done(parsed: &Parsed<'_>, what: &str) -> bool {
    response(parsed, &format!("response.{what}.done"))
        && !response(parsed, &format!("response.{what}.delta"))
}

pub const RESPONSES: [Column; 17] = [
    ("responses: `output: []` at the end", |parsed| {
        parsed.is(WireId::OpenaiResponses)
            && parsed.with_type("response.completed").any(|it| {
                it["response"]["output"]
                    .as_array()
                    .is_some_and(Vec::is_empty)
            })
    }),
    ("responses: ids change", |parsed| {
        let ids = parsed
            .jsons()
            .filter_map(|json| json["response"]["id"].as_str());
        parsed.is(WireId::OpenaiResponses) && ids.collect::<BTreeSet<_>>().len() > 1
    }),
    ("responses: arguments in `done` alone", |parsed| {
        only_done(parsed, "function_call_arguments")
    }),
    ("responses: text in `done` alone", |parsed| {
        only_done(parsed, "output_text")
    }),
    ("responses: `reasoning_summary_text`", |parsed| {
        response(parsed, "response.reasoning_summary_text.delta")
    }),
    ("responses: `reasoning_text`", |parsed| {
        response(parsed, "response.reasoning_text.delta")
    }),
    ("responses: encrypted reasoning", |parsed| {
        parsed.any(WireId::OpenaiResponses, |json| {
            json["item"]["encrypted_content"].is_string()
        })
    }),
    ("responses: `keepalive`", |parsed| {
        response(parsed, "keepalive")
    }),
    ("responses: `response.queued`", |parsed| {
        response(parsed, "response.queued")
    }),
    ("responses: `reasoning_part`", |parsed| {
        response(parsed, "response.reasoning_part.added")
    }),
    ("responses: a server's tool", |parsed| {
        item(parsed, &SERVER_ITEMS)
    }),
    ("responses: a custom tool call", |parsed| {
        item(parsed, &["custom_tool_call"])
    }),
    ("responses: annotations", |parsed| {
        response(parsed, "response.output_text.annotation.added")
    }),
    ("responses: `error`, then `response.failed`", |parsed| {
        response(parsed, "error") && response(parsed, "response.failed")
    }),
    ("responses: `response.incomplete`", |parsed| {
        response(parsed, "response.incomplete")
    }),
    ("responses: a refusal", |parsed| {
        response(parsed, "response.refusal.delta")
    }),
    ("responses: log probabilities", |parsed| {
        parsed.any(WireId::OpenaiResponses, |json| {
            json["logprobs"]
                .as_array()
                .is_some_and(|list| !list.is_empty())
        })
    }),
];

fn kinds<'a>(parsed: &'a Parsed<'_>) -> Vec<&'a str> {
    parsed
        .jsons()
        .filter(|_| parsed.is(WireId::Anthropic))
        .filter_map(|json| json["type"].as_str())
        .collect()
}

fn ping_after(parsed: &Parsed<'_>, before: &str) -> bool {
    kinds(parsed)
        .windows(2)
        .any(|pair| pair == [before, "ping"])
}

fn block(parsed: &Parsed<'_>, like: impl Fn(&str) -> bool) -> bool {
    parsed.any(WireId::Anthropic, |json| {
        json["content_block"]["type"].as_str().is_some_and(&like)
    })
}

fn anthropic_delta(parsed: &Parsed<'_>, kind: &str) -> bool {
    parsed.any(WireId::Anthropic, |json| json["delta"]["type"] == kind)
}

fn started(parsed: &Parsed<'_>, like: impl Fn(&Value) -> bool) -> bool {
    parsed.is(WireId::Anthropic)
        && parsed
            .with_type("message_start")
            .any(|start| like(&start["message"]))
}

/// Returns true if a block of this type has no delta of that type.
fn without_delta(parsed: &Parsed<'_>, kind: &str, delta: &str) -> bool {
    let starts = parsed
        .with_type("content_block_start")
        .filter(|start| parsed.is(WireId::Anthropic) && start["content_block"]["type"] == kind);
    starts.map(|start| &start["index"]).any(|index| {
        !parsed
            .with_type("content_block_delta")
            .any(|it| it["index"] == *index && it["delta"]["type"] == delta)
    })
}

pub const ANTHROPIC: [Column; 18] = [
    ("anthropic: ping behind a block's start", |parsed| {
        ping_after(parsed, "content_block_start")
    }),
    ("anthropic: ping behind a delta", |parsed| {
        ping_after(parsed, "content_block_delta")
    }),
    ("anthropic: ping behind message_start", |parsed| {
        ping_after(parsed, "message_start")
    }),
    ("anthropic: more than one ping", |parsed| {
        kinds(parsed).iter().filter(|kind| **kind == "ping").count() > 1
    }),
    ("anthropic: input repeated in message_delta", |parsed| {
        parsed.is(WireId::Anthropic)
            && parsed
                .with_type("message_delta")
                .any(|it| it["usage"]["input_tokens"].is_number())
    }),
    ("anthropic: `input_tokens: 0` at first", |parsed| {
        started(parsed, |message| message["usage"]["input_tokens"] == 0)
    }),
    ("anthropic: all content in message_start", |parsed| {
        started(parsed, |message| message["content"][0].is_object())
    }),
    ("anthropic: an empty `partial_json` first", |parsed| {
        parsed.any(WireId::Anthropic, |json| {
            json["delta"]["partial_json"] == ""
        })
    }),
    ("anthropic: a tool without input", |parsed| {
        without_delta(parsed, "tool_use", "input_json_delta")
    }),
    ("anthropic: `signature_delta`", |parsed| {
        anthropic_delta(parsed, "signature_delta")
    }),
    ("anthropic: thinking that is a signature alone", |parsed| {
        without_delta(parsed, "thinking", "thinking_delta")
            && anthropic_delta(parsed, "signature_delta")
    }),
    ("anthropic: `redacted_thinking`", |parsed| {
        block(parsed, |kind| kind == "redacted_thinking")
    }),
    ("anthropic: `citations_delta`", |parsed| {
        anthropic_delta(parsed, "citations_delta")
    }),
    ("anthropic: `compaction_delta`", |parsed| {
        anthropic_delta(parsed, "compaction_delta")
    }),
    ("anthropic: `pause_turn`", |parsed| {
        parsed.any(WireId::Anthropic, |json| {
            json["delta"]["stop_reason"] == "pause_turn"
        })
    }),
    ("anthropic: `server_tool_use`", |parsed| {
        block(parsed, |kind| kind == "server_tool_use")
    }),
    ("anthropic: a result of a server's tool", |parsed| {
        block(parsed, |kind| kind.ends_with("_tool_result"))
    }),
    ("anthropic: `mcp_tool_use`", |parsed| {
        block(parsed, |kind| kind == "mcp_tool_use")
    }),
];

fn candidate(parsed: &Parsed<'_>, like: impl Fn(&Value) -> bool) -> bool {
    parsed.candidates().any(like)
}

fn part(parsed: &Parsed<'_>, like: impl Fn(&Value) -> bool) -> bool {
    parsed.parts().any(like)
}

fn finished(parsed: &Parsed<'_>, reason: &str) -> bool {
    candidate(parsed, |it| it["finishReason"] == reason)
}

fn bedrock_delta(parsed: &Parsed<'_>, like: impl Fn(&Value) -> bool) -> bool {
    parsed.any(WireId::Bedrock, |json| like(&json["delta"]))
}

pub const GOOGLE_AND_AWS: [Column; 25] = [
    ("gemini: a JSON array", |parsed| {
        parsed.recording.folder == "gemini-json-array"
    }),
    ("gemini: enums as integers", |parsed| {
        candidate(parsed, |it| it["finishReason"].is_number())
    }),
    ("gemini: empty text with a signature", |parsed| {
        part(parsed, |it| {
            it["text"] == "" && it["thoughtSignature"].is_string()
        })
    }),
    ("gemini: content without parts", |parsed| {
        candidate(parsed, |it| {
            it["content"].is_object() && it["content"]["parts"].is_null()
        })
    }),
    ("gemini: content without role", |parsed| {
        candidate(parsed, |it| {
            it["content"].is_object() && it["content"]["role"].is_null()
        })
    }),
    ("gemini: a candidate without content", |parsed| {
        candidate(parsed, |it| it["content"].is_null())
    }),
    ("gemini: a chunk without candidates", |parsed| {
        parsed.any(WireId::Gemini, |json| {
            json.is_object() && json["candidates"].is_null()
        })
    }),
    ("gemini: a finishReason in several chunks", |parsed| {
        parsed
            .candidates()
            .filter(|it| !it["finishReason"].is_null())
            .count()
            > 1
    }),
    ("gemini: usage in every chunk", |parsed| {
        parsed.is(WireId::Gemini)
            && parsed.payloads.len() > 1
            && parsed.jsons().all(|json| json["usageMetadata"].is_object())
    }),
    ("gemini: no `candidatesTokenCount` at first", |parsed| {
        parsed.any(WireId::Gemini, |json| {
            json["usageMetadata"].is_object()
                && json["usageMetadata"]["candidatesTokenCount"].is_null()
        })
    }),
    ("gemini: a thought", |parsed| {
        part(parsed, |it| it["thought"] == true)
    }),
    ("gemini: a call without an id", |parsed| {
        part(parsed, |it| {
            it["functionCall"]["name"].is_string() && it["functionCall"]["id"].is_null()
        })
    }),
    ("gemini: streamed arguments", |parsed| {
        part(parsed, |it| it["functionCall"]["partialArgs"].is_array())
    }),
    ("gemini: `toolCall`, `toolResponse`", |parsed| {
        part(parsed, |it| {
            it["toolCall"].is_object() || it["toolResponse"].is_object()
        })
    }),
    ("gemini: `executableCode`", |parsed| {
        part(parsed, |it| it["executableCode"].is_object())
    }),
    ("gemini: `inlineData`", |parsed| {
        part(parsed, |it| it["inlineData"].is_object())
    }),
    ("gemini: MAX_TOKENS", |parsed| {
        finished(parsed, "MAX_TOKENS")
    }),
    ("gemini: SAFETY", |parsed| finished(parsed, "SAFETY")),
    ("gemini: RECITATION", |parsed| {
        finished(parsed, "RECITATION")
    }),
    ("bedrock: text without contentBlockStart", |parsed| {
        bedrock_delta(parsed, |delta| delta["text"].is_string())
            && !parsed
                .payloads
                .iter()
                .any(|it| it.name == "contentBlockStart" && it.json["contentBlockIndex"] == 0)
    }),
    ("bedrock: metadata behind messageStop", |parsed| {
        let place = |name: &str| {
            parsed
                .payloads
                .iter()
                .position(|payload| payload.name == name)
        };
        parsed.is(WireId::Bedrock) && place("metadata") > place("messageStop")
    }),
    ("bedrock: a server's tool", |parsed| {
        parsed.any(WireId::Bedrock, |json| {
            json["start"]["toolUse"]["type"] == "server_tool_use"
        })
    }),
    ("bedrock: a server's tool result", |parsed| {
        parsed.any(WireId::Bedrock, |json| {
            json["start"]["toolResult"].is_object()
        })
    }),
    ("bedrock: an empty text delta", |parsed| {
        bedrock_delta(parsed, |delta| delta["text"] == "")
    }),
    ("bedrock: `<thinking>` in text", |parsed| {
        let text: String = parsed
            .jsons()
            .filter(|_| parsed.is(WireId::Bedrock))
            .filter_map(|json| json["delta"]["text"].as_str())
            .collect();
        text.contains("<thinking>")
    }),
];

fn ollama_calls<'a>(parsed: &'a Parsed<'_>) -> impl Iterator<Item = &'a Value> {
    let lines = parsed.jsons().filter(|_| parsed.is(WireId::Ollama));
    lines.flat_map(|line| {
        line["message"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
    })
}

pub const OLLAMA_AND_COHERE: [Column; 12] = [
    ("ollama: tool calls over several lines", |parsed| {
        parsed
            .jsons()
            .filter(|json| parsed.is(WireId::Ollama) && json["message"]["tool_calls"].is_array())
            .count()
            > 1
    }),
    ("ollama: `function.index`", |parsed| {
        ollama_calls(parsed).any(|call| call["function"]["index"].is_number())
    }),
    ("ollama: a call with an id", |parsed| {
        ollama_calls(parsed).any(|call| call["id"].is_string())
    }),
    ("ollama: a call without an id", |parsed| {
        ollama_calls(parsed).any(|call| call["id"].is_null())
    }),
    ("ollama: `stop` behind tool calls", |parsed| {
        ollama_calls(parsed).next().is_some()
            && parsed.jsons().any(|json| json["done_reason"] == "stop")
    }),
    ("ollama: thinking", |parsed| {
        parsed.any(WireId::Ollama, |json| {
            json["message"]["thinking"]
                .as_str()
                .is_some_and(|it| !it.is_empty())
        })
    }),
    ("cohere: tool-plan-delta", |parsed| {
        parsed.is(WireId::Cohere) && parsed.with_type("tool-plan-delta").next().is_some()
    }),
    ("cohere: thinking", |parsed| {
        parsed.any(WireId::Cohere, |json| {
            json["delta"]["message"]["content"]["thinking"].is_string()
        })
    }),
    ("cohere: `tool_calls` as an object", |parsed| {
        parsed.any(WireId::Cohere, |json| {
            json["delta"]["message"]["tool_calls"].is_object()
        })
    }),
    ("cohere: citations", |parsed| {
        parsed.is(WireId::Cohere) && parsed.with_type("citation-start").next().is_some()
    }),
    ("cohere: `cached_tokens`", |parsed| {
        parsed.any(WireId::Cohere, |json| {
            !json["delta"]["usage"]["cached_tokens"].is_null()
        })
    }),
    ("cohere: `billed_units`", |parsed| {
        parsed.any(WireId::Cohere, |json| {
            json["delta"]["usage"]["billed_units"].is_object()
        })
    }),
];
