//! OpenAI Chat Completions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Encode};

/// The wire.
pub struct Chat;

impl Encode for Chat {
    fn opening(&self, _: &Answer) -> Bytes {
        chunk(&json!({"role": "assistant", "content": ""}), None).into()
    }

    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let reasoning = answer
            .reasoning
            .iter()
            .map(|(text, _)| chunk(&json!({"reasoning_content": text}), None));
        let tokens = answer
            .tokens
            .iter()
            .map(|token| chunk(&json!({"content": token}), None));
        reasoning
            .chain(tokens)
            .chain(tools(answer))
            .map(Bytes::from)
            .collect()
    }

    fn closing(&self, answer: &Answer) -> Bytes {
        let finish = chunk(
            &json!({}),
            Some(if answer.tools.is_empty() {
                "stop"
            } else {
                "tool_calls"
            }),
        );
        let usage = json!({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-up",
            "choices": [], "usage": usage(answer)});
        format!("{finish}data: {usage}\n\ndata: [DONE]\n\n").into()
    }

    fn unknown(&self) -> Bytes {
        chunk(&json!({"audio": {"id": "a", "data": "AAAA"}}), None).into()
    }

    fn whole(&self, answer: &Answer) -> Value {
        whole(answer)
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
fn whole(answer: &Answer) -> Value {
    let calls: Vec<Value> = answer
        .tools
        .iter()
        .map(|(id, name, pieces)| tool_call(id, name, &pieces.concat()))
        .collect();
    let mut message = json!({"role": "assistant", "content": answer.text()});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    if let Some((reasoning, _)) = &answer.reasoning {
        message["reasoning_content"] = reasoning.as_str().into();
    }
    let finish = if answer.tools.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    json!({"id": "chatcmpl-up", "object": "chat.completion", "created": 1_700_000_000, "model": "m-up",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": usage(answer)})
}

fn usage(answer: &Answer) -> Value {
    let (input, output) = answer.usage;
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

/// The pieces of all calls: first all openings, then the argument pieces interleaved.
fn tools(answer: &Answer) -> Vec<String> {
    let delta = |index: usize, mut call: Value| {
        call["index"] = index.into();
        chunk(&json!({"tool_calls": [call]}), None)
    };
    let openings = answer
        .tools
        .iter()
        .enumerate()
        .map(|(index, (id, name, _))| delta(index, tool_call(id, name, "")));
    let longest = answer
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
        answer.tools.iter().enumerate().filter_map(piece)
    });
    openings.chain(pieces).collect()
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}
