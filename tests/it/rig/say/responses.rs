//! OpenAI Responses.

use bytes::Bytes;
use serde_json::{Value, json};

use super::anthropic::named;
use super::{Say, Spell};

/// The wire.
pub struct Responses;

impl Spell for Responses {
    fn opening(&self, _: &Say) -> Bytes {
        named(&json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress")})).into()
    }

    /// Items begin with their first piece and end with their last; calls have all begun before the
    /// first of them goes on.
    fn content(&self, say: &Say) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        let mut place = 0;
        if let Some((thought, signature)) = &say.reasoning {
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
        if !say.tokens.is_empty() {
            pieces.extend(message(place, say));
            place += 1;
        }
        pieces.extend(calls(place, say));
        pieces.into_iter().map(Bytes::from).collect()
    }

    fn closing(&self, say: &Say) -> Bytes {
        named(&json!({"type": "response.completed", "response": used(response("completed"), say)}))
            .into()
    }

    fn unknown(&self) -> Bytes {
        let item = json!({"type": "a_new_call", "id": "new_up", "mystery": 42});
        let progress =
            named(&json!({"type": "response.a_new_call.delta", "output_index": 7, "delta": "4"}));
        (begun(7, &json!({"type": "a_new_call", "id": "new_up"})) + &progress + &ended(7, &item))
            .into()
    }

    fn whole(&self, say: &Say) -> Value {
        let thought = say.reasoning.iter().map(|(text, signature)| {
            json!({"type": "reasoning", "id": "rs_up", "summary": [{"type": "summary_text", "text": text}], "encrypted_content": signature})
        });
        let content = json!([{"type": "output_text", "text": say.text(), "annotations": []}]);
        let text = (!say.tokens.is_empty()).then(
            || json!({"type": "message", "id": "msg_up", "role": "assistant", "content": content}),
        );
        let tools = say.tools.iter().map(|(id, name, pieces)| {
            json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": pieces.concat()})
        });
        let mut whole = used(response("completed"), say);
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

fn used(mut response: Value, say: &Say) -> Value {
    let (input, output) = say.usage;
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

/// The text, a piece for each token. Ids change with every event.
fn message(place: usize, say: &Say) -> Vec<String> {
    let delta = |(n, token): (usize, &String)| {
        named(
            &json!({"type": "response.output_text.delta", "item_id": format!("msg_{n}"), "output_index": place, "content_index": 0,
            "delta": token, "logprobs": [], "obfuscation": "xyz"}),
        )
    };
    let mut pieces: Vec<String> = say.tokens.iter().enumerate().map(delta).collect();
    let content = json!([{"type": "output_text", "text": say.text(), "annotations": []}]);
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

/// The calls' pieces by turns: first all openings, then the pieces interleaved, then all ends.
fn calls(from: usize, say: &Say) -> Vec<String> {
    let item = |id: &str, name: &str, arguments: &str| json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments});
    let tools = || say.tools.iter().enumerate().map(|(n, it)| (from + n, it));
    let openings = tools().map(|(place, (id, name, _))| begun(place, &item(id, name, "")));
    let longest = say
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
