//! OpenAI Chat Completions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Say, Spell};

/// The wire.
pub struct Chat;

impl Spell for Chat {
    fn opening(&self, _: &Say) -> Bytes {
        chunk(&json!({"role": "assistant", "content": ""}), None).into()
    }

    fn content(&self, say: &Say) -> Vec<Bytes> {
        let reasoning = say
            .reasoning
            .iter()
            .map(|(text, _)| chunk(&json!({"reasoning_content": text}), None));
        let tokens = say
            .tokens
            .iter()
            .map(|token| chunk(&json!({"content": token}), None));
        reasoning
            .chain(tokens)
            .chain(tools(say))
            .map(Bytes::from)
            .collect()
    }

    fn closing(&self, say: &Say) -> Bytes {
        let finish = chunk(
            &json!({}),
            Some(if say.tools.is_empty() {
                "stop"
            } else {
                "tool_calls"
            }),
        );
        let usage = json!({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-up",
            "choices": [], "usage": usage(say)});
        format!("{finish}data: {usage}\n\ndata: [DONE]\n\n").into()
    }

    fn unknown(&self) -> Bytes {
        chunk(&json!({"audio": {"id": "a", "data": "AAAA"}}), None).into()
    }

    fn whole(&self, say: &Say) -> Value {
        whole(say)
    }

    fn error(&self, message: &str) -> Bytes {
        format!("data: {}\n\n", self.refusal(500, message)).into()
    }

    fn refusal(&self, _: u16, message: &str) -> Value {
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
    }
}

/// One chunk.
pub fn chunk(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-up",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// The whole body of a non-streaming answer.
fn whole(say: &Say) -> Value {
    let calls: Vec<Value> = say
        .tools
        .iter()
        .map(|(id, name, pieces)| tool_call(id, name, &pieces.concat()))
        .collect();
    let mut message = json!({"role": "assistant", "content": say.text()});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if let Some((reasoning, _)) = &say.reasoning {
        message["reasoning_content"] = reasoning.as_str().into();
    }
    let finish = if say.tools.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    json!({"id": "chatcmpl-up", "object": "chat.completion", "created": 1_700_000_000, "model": "m-up",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage(say)})
}

fn usage(say: &Say) -> Value {
    let (input, output) = say.usage;
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

/// The calls' pieces by turns: first all openings, then the pieces interleaved.
fn tools(say: &Say) -> Vec<String> {
    let delta = |index: usize, mut call: Value| {
        call["index"] = index.into();
        chunk(&json!({"tool_calls": [call]}), None)
    };
    let openings = say
        .tools
        .iter()
        .enumerate()
        .map(|(index, (id, name, _))| delta(index, tool_call(id, name, "")));
    let longest = say
        .tools
        .iter()
        .map(|(_, _, pieces)| pieces.len())
        .max()
        .unwrap_or(0);
    let pieces = (0..longest).flat_map(|turn| {
        let piece = move |(index, it): (usize, &(String, String, Vec<String>))| {
            it.2.get(turn)
                .map(|piece| delta(index, json!({"function": {"arguments": piece}})))
        };
        say.tools.iter().enumerate().filter_map(piece)
    });
    openings.chain(pieces).collect()
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}
