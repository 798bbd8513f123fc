//! Answers whose usage contains every kind of token that their wire supports.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::rig::upstream::Step;
use crate::rig::{Answer, Pace, WireId, encode};

/// Returns normalized input tokens, cached and cache-written ones of them, output tokens, and
/// reasoning ones of them.
pub fn tokens(wire: WireId) -> [u64; 5] {
    match wire {
        WireId::OpenaiChat | WireId::OpenaiResponses => [100, 60, 10, 30, 20],
        WireId::Anthropic => [100, 60, 10, 30, 20],
        WireId::Bedrock => [100, 60, 10, 30, 0],
        WireId::Gemini => [100, 60, 0, 30, 20],
        WireId::Cohere => [100, 60, 0, 30, 0],
        WireId::Ollama => [100, 0, 0, 30, 0],
    }
}

/// Returns the steps of such an answer.
pub fn steps(wire: WireId) -> Vec<Step> {
    let mut answer = Answer::tokens(2);
    answer.usage = (100, 30);
    if wire == WireId::Bedrock {
        let usage = json!({"inputTokens": 30, "outputTokens": 30, "totalTokens": 130, "cacheReadInputTokens": 60, "cacheWriteInputTokens": 10});
        let closing = [
            encode::bedrock::event("messageStop", &json!({"stopReason": "end_turn"})),
            encode::bedrock::event(
                "metadata",
                &json!({"usage": usage, "metrics": {"latencyMs": 7}}),
            ),
        ];
        let mut steps = answer.steps_until(wire, Pace::Flat, usize::MAX);
        steps.extend([Step::Write(closing.concat().into()), Step::End]);
        return steps;
    }
    let changed = |step| match step {
        Step::Write(bytes) => Step::Write(lines(&bytes, wire)),
        other => other,
    };
    answer
        .steps(wire, Pace::Flat)
        .into_iter()
        .map(changed)
        .collect()
}

/// Adds token details to the usage in the JSON lines of a text.
fn lines(bytes: &Bytes, wire: WireId) -> Bytes {
    let text = std::str::from_utf8(bytes).unwrap();
    let line = |line: &str| {
        let (before, data) = line.find('{').map_or((line, ""), |at| line.split_at(at));
        match serde_json::from_str::<Value>(data) {
            Ok(mut value) => {
                enrich(&mut value, wire);
                format!("{before}{value}")
            }
            Err(_) => line.to_owned(),
        }
    };
    text.split('\n')
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
        .into()
}

fn enrich(value: &mut Value, wire: WireId) {
    match wire {
        WireId::OpenaiChat if value["usage"].is_object() => {
            value["usage"]["prompt_tokens_details"] =
                json!({"cached_tokens": 60, "cache_write_tokens": 10});
            value["usage"]["completion_tokens_details"] = json!({"reasoning_tokens": 20});
        }
        WireId::OpenaiResponses if value["response"]["usage"].is_object() => {
            value["response"]["usage"]["input_tokens_details"] =
                json!({"cached_tokens": 60, "cache_write_tokens": 10});
            value["response"]["usage"]["output_tokens_details"] = json!({"reasoning_tokens": 20});
        }
        WireId::Anthropic if value["message"]["usage"].is_object() => {
            value["message"]["usage"] = json!({"input_tokens": 30, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 10, "output_tokens": 1});
        }
        WireId::Anthropic if value["usage"].is_object() => {
            value["usage"]["output_tokens_details"] = json!({"thinking_tokens": 20});
        }
        WireId::Gemini if value["usageMetadata"].is_object() => {
            value["usageMetadata"] = json!({"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 10, "thoughtsTokenCount": 20, "totalTokenCount": 130});
        }
        WireId::Cohere if value["delta"]["usage"].is_object() => {
            value["delta"]["usage"]["cached_tokens"] = json!(60);
        }
        _ => {}
    }
}
