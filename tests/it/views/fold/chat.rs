//! Folds chunks into a `chat.completion`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{append, copy, grow};
use crate::rig::sse::Event;

pub fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut whole = json!({"object": "chat.completion"});
    let mut choices = BTreeMap::new();
    for event in events.iter().filter(|event| event.data != "[DONE]") {
        let chunk = event.json();
        if !chunk["error"].is_null() {
            return Err(chunk["error"].clone());
        }
        copy(&mut whole, &chunk, &["id", "model", "usage", "sluicegate"]);
        for piece in chunk["choices"].as_array().unwrap() {
            let nothing = || json!({"message": {"role": "assistant", "content": null, "refusal": null}, "logprobs": null});
            let choice = choices
                .entry(piece["index"].as_u64().unwrap())
                .or_insert_with(nothing);
            copy(choice, piece, &["index", "finish_reason"]);
            delta(&mut choice["message"], &piece["delta"]);
        }
    }
    let mut choices: Vec<Value> = choices.into_values().collect();
    choices
        .iter_mut()
        .for_each(|choice| finished(&mut choice["message"]));
    whole["choices"] = choices.into();
    Ok(whole)
}

fn delta(message: &mut Value, delta: &Value) {
    for text in ["content", "reasoning_content", "refusal"] {
        grow(message, text, &delta[text]);
    }
    for list in ["annotations", "reasoning_details"] {
        append(message, list, &delta[list]);
    }
    for piece in delta["tool_calls"].as_array().into_iter().flatten() {
        let known = message["tool_calls"].as_array_mut().and_then(|calls| {
            calls
                .iter_mut()
                .find(|call| call["index"] == piece["index"])
        });
        match known {
            Some(call) => {
                grow(
                    &mut call["function"],
                    "arguments",
                    &piece["function"]["arguments"],
                );
                grow(&mut call["custom"], "input", &piece["custom"]["input"]);
            }
            None => append(message, "tool_calls", &json!([piece])),
        }
    }
}

/// Empty texts become null, and elements of whole lists have no index.
fn finished(message: &mut Value) {
    for text in ["content", "refusal"] {
        if message[text] == "" {
            message[text] = Value::Null;
        }
    }
    for list in ["tool_calls", "annotations"] {
        for item in message
            .get_mut(list)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            item.as_object_mut()
                .unwrap()
                .retain(|name, value| name != "index" && !value.is_null());
        }
    }
    message
        .as_object_mut()
        .unwrap()
        .retain(|name, value| name != "reasoning_content" || value != "");
}
