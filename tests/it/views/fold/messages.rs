//! Folds events into a message.

use serde_json::{Value, json};

use super::{append, copy, grow};
use crate::rig::sse::Event;

pub fn fold(events: &[Event]) -> Result<Value, Value> {
    let (mut message, mut input) = (Value::Null, String::new());
    for event in events {
        let data = event.json();
        match event.name.as_str() {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                append(&mut message, "content", &json!([data["content_block"]]));
            }
            "content_block_delta" => delta(
                message["content"]
                    .as_array_mut()
                    .unwrap()
                    .last_mut()
                    .unwrap(),
                &data["delta"],
                &mut input,
            ),
            "content_block_stop" => put_input(
                message["content"]
                    .as_array_mut()
                    .unwrap()
                    .last_mut()
                    .unwrap(),
                &mut input,
            ),
            "message_delta" => {
                copy(
                    &mut message,
                    &data["delta"],
                    &["stop_reason", "stop_sequence"],
                );
                message["usage"] = data["usage"].clone();
                message.as_object_mut().unwrap().remove("sluicegate");
                copy(&mut message, &data, &["sluicegate"]);
            }
            "error" => return Err(data["error"].clone()),
            _ => {}
        }
    }
    Ok(message)
}

fn delta(block: &mut Value, delta: &Value, input: &mut String) {
    match delta["type"].as_str().unwrap() {
        "input_json_delta" => input.push_str(delta["partial_json"].as_str().unwrap()),
        "citations_delta" => append(block, "citations", &json!([delta["citation"]])),
        _ => ["text", "thinking", "signature"]
            .iter()
            .for_each(|field| grow(block, field, &delta[field])),
    }
}

/// Sets the input that the pieces formed.
fn put_input(block: &mut Value, input: &mut String) {
    let input = std::mem::take(input);
    if input.is_empty() {
        return;
    }
    let nothing = matches!(input.trim(), "" | "null");
    let read = serde_json::from_str(&input).ok().filter(Value::is_object);
    block["input"] = read.unwrap_or_else(|| {
        if nothing {
            json!({})
        } else {
            json!({"INVALID_JSON": input})
        }
    });
}
