//! OpenAI Responses.

use bytes::Bytes;
use serde_json::{Value, json};

use super::anthropic::named;
use super::{Answer, Encode};

/// The wire.
pub struct Responses;

impl Encode for Responses {
    fn opening(&self, _: &Answer) -> Bytes {
        named(&json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress")})).into()
    }

    /// The first piece of an item includes its start, the last piece its end; all calls start
    /// before the first argument piece.
    fn content(&self, answer: &Answer) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut place = 0;
        if let Some((thought, signature)) = &answer.reasoning {
            let delta = json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": thought});
            let item = json!({"type": "reasoning", "id": "rs_up", "summary": [{"type": "summary_text", "text": thought}],
                "encrypted_content": signature});
            pieces.push(
                begun(
                    place,
                    &json!({"type": "reasoning", "id": "rs_up", "summary": []}),
                ) + &named(&delta)
                    + &ended(place, &item),
            );
            place += 1;
        }
        if !answer.tokens.is_empty() {
            pieces.extend(message(place, answer));
            place += 1;
        }
        pieces.extend(calls(place, answer));
        pieces.into_iter().map(Bytes::from).collect()
    }

    fn closing(&self, answer: &Answer) -> Bytes {
        named(
            &json!({"type": "response.completed", "response": used(response("completed"), answer)}),
        )
        .into()
    }

    fn unknown(&self) -> Bytes {
        let item = json!({"type": "a_new_call", "id": "new_up", "mystery": 42});
        let progress =
            named(&json!({"type": "response.a_new_call.delta", "output_index": 7, "delta": "4"}));
        (begun(7, &json!({"type": "a_new_call", "id": "new_up"})) + &progress + &ended(7, &item))
            .into()
    }

    fn whole(&self, answer: &Answer) -> Value {
        let thought = answer.reasoning.iter().map(|(text, signature)| {
            json!({"type": "reasoning", "id": "rs_up", "summary": [{"type": "summary_text", "text": text}], "encrypted_content": signature})
        });
        let content = json!([{"type": "output_text", "text": answer.text(), "annotations": []}]);
        let text = (!answer.tokens.is_empty()).then(
            || json!({"type": "message", "id": "msg_up", "role": "assistant", "content": content}),
        );
        let tools = answer.tools.iter().map(|(id, name, pieces)| {
            json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": pieces.concat()})
        });
        let mut whole = used(response("completed"), answer);
        whole["output"] = thought.chain(text).chain(tools).collect();
        whole
    }

    fn error(&self, message: &str) -> Bytes {
        let error = json!({"type": "server_error", "code": "server_error", "message": message, "param": null});
        named(&json!({"type": "error", "error": error})).into()
    }

    fn refusal(&self, _: u16, message: &str) -> Value {
        json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}})
    }
}

fn response(status: &str) -> Value {
    json!({"id": "resp_up", "object": "response", "status": status, "error": null, "incomplete_details": null, "model": "m-up",
        "output": [], "usage": null})
}

fn used(mut response: Value, answer: &Answer) -> Value {
    let (input, output) = answer.usage;
    response["usage"] = json!({"input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output});
    response
}

fn begun(place: usize, item: &Value) -> String {
    named(&json!({"type": "response.output_item.added", "output_index": place, "item": item}))
}

fn ended(place: usize, item: &Value) -> String {
    named(&json!({"type": "response.output_item.done", "output_index": place, "item": item}))
}

/// Encodes the text, one piece per token. Item ids change with every event, as some servers send
/// them.
fn message(place: usize, answer: &Answer) -> Vec<String> {
    let delta = |(n, token): (usize, &String)| {
        named(
            &json!({"type": "response.output_text.delta", "item_id": format!("msg_{n}"), "output_index": place, "content_index": 0,
            "delta": token, "logprobs": [], "obfuscation": "xyz"}),
        )
    };
    let mut pieces: Vec<String> = answer.tokens.iter().enumerate().map(delta).collect();
    let content = json!([{"type": "output_text", "text": answer.text(), "annotations": []}]);
    pieces[0].insert_str(
        0,
        &begun(
            place,
            &json!({"type": "message", "id": "msg_up", "role": "assistant", "content": []}),
        ),
    );
    pieces.last_mut().unwrap().push_str(&ended(
        place,
        &json!({"type": "message", "id": "msg_up", "role": "assistant", "content": content}),
    ));
    pieces
}

/// The pieces of all calls: first all openings, then the argument pieces interleaved, then all
/// ends.
fn calls(from: usize, answer: &Answer) -> Vec<String> {
    let item = |id: &str, name: &str, arguments: &str| json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments});
    let tools = || {
        answer
            .tools
            .iter()
            .enumerate()
            .map(|(n, it)| (from + n, it))
    };
    let openings = tools().map(|(place, (id, name, _))| begun(place, &item(id, name, "")));
    let longest = answer
        .tools
        .iter()
        .map(|(_, _, pieces)| pieces.len())
        .max()
        .unwrap_or(0);
    let delta = |turn: usize, place: usize, it: &(String, String, Vec<String>)| {
        let delta = it.2.get(turn)?;
        Some(named(
            &json!({"type": "response.function_call_arguments.delta", "output_index": place, "delta": delta}),
        ))
    };
    let pieces =
        (0..longest).flat_map(|turn| tools().filter_map(move |(place, it)| delta(turn, place, it)));
    let ends =
        tools().map(|(place, (id, name, pieces))| ended(place, &item(id, name, &pieces.concat())));
    openings.chain(pieces).chain(ends).collect()
}
