//! Cohere's chat API, version 2.

use bytes::Bytes;
use serde_json::{Value, json};

use super::anthropic::named;
use super::{Answer, Encode};

/// The wire.
pub struct Cohere;

impl Encode for Cohere {
    fn opening(&self, _: &Answer) -> Bytes {
        let message = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
        named(&json!({"type": "message-start", "id": "c-up", "delta": {"message": message}})).into()
    }

    /// The first piece of a block includes its start, the last piece its end; calls have an index
    /// of their own.
    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let reasoning: Vec<&str> = answer
            .reasoning
            .iter()
            .map(|(words, _)| words.as_str())
            .collect();
        let tokens: Vec<&str> = answer.tokens.iter().map(String::as_str).collect();
        let blocks = [("thinking", reasoning), ("text", tokens)]
            .into_iter()
            .filter(|(_, pieces)| !pieces.is_empty());
        let content = blocks
            .enumerate()
            .flat_map(|(index, (kind, pieces))| block(index, kind, &pieces));
        content
            .chain(
                answer
                    .tools
                    .iter()
                    .enumerate()
                    .flat_map(|(index, tool)| call(index, tool)),
            )
            .map(Bytes::from)
            .collect()
    }

    fn closing(&self, answer: &Answer) -> Bytes {
        let (input, output) = answer.usage;
        let reason = if answer.tools.is_empty() {
            "COMPLETE"
        } else {
            "TOOL_CALL"
        };
        let usage = json!({"billed_units": {"input_tokens": 1, "output_tokens": 1}, "tokens": {"input_tokens": input, "output_tokens": output}});
        (named(&json!({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage}}))
            + "data: [DONE]\n\n")
            .into()
    }

    fn unknown(&self) -> Bytes {
        let content = json!({"type": "a_new_block", "mystery": 42});
        (event("content-start", 7, "content", &content) + &end("content-end", 7)).into()
    }

    fn error(&self, message: &str) -> Bytes {
        named(
            &json!({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": message}}),
        )
        .into()
    }

    fn refusal(&self, _: u16, message: &str) -> Value {
        json!({"id": "c-up", "message": message})
    }
}

fn event(kind: &str, index: usize, member: &str, value: &Value) -> String {
    named(&json!({"type": kind, "index": index, "delta": {"message": {member: value}}}))
}

fn end(kind: &str, index: usize) -> String {
    named(&json!({"type": kind, "index": index}))
}

/// Encodes one block, one piece per delta.
fn block(index: usize, kind: &str, pieces: &[&str]) -> Vec<String> {
    let start = event(
        "content-start",
        index,
        "content",
        &json!({"type": kind, kind: ""}),
    );
    let deltas = pieces
        .iter()
        .map(|piece| event("content-delta", index, "content", &json!({kind: piece})))
        .collect();
    framed(&start, deltas, &end("content-end", index))
}

/// Encodes one call, one piece per delta.
fn call(index: usize, (id, name, pieces): &(String, String, Vec<String>)) -> Vec<String> {
    let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": ""}});
    let start = event("tool-call-start", index, "tool_calls", &call);
    let delta = |piece: &String| {
        event(
            "tool-call-delta",
            index,
            "tool_calls",
            &json!({"function": {"arguments": piece}}),
        )
    };
    framed(
        &start,
        pieces.iter().map(delta).collect(),
        &end("tool-call-end", index),
    )
}

fn framed(start: &str, mut pieces: Vec<String>, end: &str) -> Vec<String> {
    pieces[0].insert_str(0, start);
    pieces.last_mut().unwrap().push_str(end);
    pieces
}
