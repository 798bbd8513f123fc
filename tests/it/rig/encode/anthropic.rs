//! Anthropic Messages.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Encode};

/// The wire.
pub struct Anthropic;

impl Encode for Anthropic {
    fn opening(&self, answer: &Answer) -> Bytes {
        let usage = json!({"input_tokens": answer.usage.0, "output_tokens": 1});
        let message = json!({"id": "msg_up", "type": "message", "role": "assistant", "model": "m-up", "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage});
        named(&json!({"type": "message_start", "message": message})).into()
    }

    /// The first piece of a block includes its start, the last piece its end.
    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let text = |kind: &str, field: &str, text: &str| json!({"type": kind, field: text});
        let mut blocks = Vec::new();
        if let Some((thought, signature)) = &answer.reasoning {
            let deltas = vec![
                text("thinking_delta", "thinking", thought),
                text("signature_delta", "signature", signature),
            ];
            blocks.push((
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                deltas,
            ));
        }
        if !answer.tokens.is_empty() {
            let deltas = answer
                .tokens
                .iter()
                .map(|token| text("text_delta", "text", token))
                .collect();
            blocks.push((text("text", "text", ""), deltas));
        }
        for (id, name, pieces) in &answer.tools {
            let deltas = pieces
                .iter()
                .map(|piece| text("input_json_delta", "partial_json", piece))
                .collect();
            blocks.push((
                json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
                deltas,
            ));
        }
        blocks
            .iter()
            .enumerate()
            .flat_map(|(index, (content, deltas))| block(index, content, deltas))
            .map(Bytes::from)
            .collect()
    }

    fn closing(&self, answer: &Answer) -> Bytes {
        let delta = json!({"type": "message_delta", "delta": {"stop_reason": stop_reason(answer), "stop_sequence": null},
            "usage": {"output_tokens": answer.usage.1}});
        (named(&delta) + &named(&json!({"type": "message_stop"}))).into()
    }

    fn unknown(&self) -> Bytes {
        let block = json!({"type": "a_new_block", "mystery": 42});
        let start =
            named(&json!({"type": "content_block_start", "index": 7, "content_block": block}));
        (start + &named(&json!({"type": "content_block_stop", "index": 7}))).into()
    }

    fn whole(&self, answer: &Answer) -> Value {
        let thinking = answer.reasoning.iter().map(|(text, signature)| json!({"type": "thinking", "thinking": text, "signature": signature}));
        let text =
            (!answer.tokens.is_empty()).then(|| json!({"type": "text", "text": answer.text()}));
        let tools = answer.tools.iter().map(|(id, name, pieces)| {
            let input: Value = serde_json::from_str(&pieces.concat()).unwrap();
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        });
        let content: Vec<Value> = thinking.chain(text).chain(tools).collect();
        let usage = json!({"input_tokens": answer.usage.0, "output_tokens": answer.usage.1});
        json!({"id": "msg_up", "type": "message", "role": "assistant", "model": "m-up", "content": content,
            "stop_reason": stop_reason(answer), "stop_sequence": null, "usage": usage})
    }

    fn error(&self, message: &str) -> Bytes {
        named(&self.refusal(500, message)).into()
    }

    fn refusal(&self, _: u16, message: &str) -> Value {
        json!({"type": "error", "error": {"type": "api_error", "message": message}})
    }
}

fn stop_reason(answer: &Answer) -> &'static str {
    if answer.tools.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    }
}

/// One event.
pub fn named(data: &Value) -> String {
    format!(
        "event: {}\ndata: {data}\n\n",
        data["type"].as_str().unwrap()
    )
}

/// Encodes one block, one piece per delta.
fn block(index: usize, content: &Value, deltas: &[Value]) -> Vec<String> {
    let delta = |delta: &Value| {
        named(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
    };
    let mut pieces: Vec<String> = deltas.iter().map(delta).collect();
    pieces[0].insert_str(
        0,
        &named(&json!({"type": "content_block_start", "index": index, "content_block": content})),
    );
    pieces.last_mut().unwrap().push_str(&named(
        &json!({"type": "content_block_stop", "index": index}),
    ));
    pieces
}
