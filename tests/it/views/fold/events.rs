//! Folds `events` into the part of the status JSON that they determine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{append, grow, members};
use crate::rig::sse::Event;

/// Members of `usage` in a status JSON.
const USAGE: [&str; 7] = [
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "total_tokens",
    "estimated",
];

pub fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut choices: BTreeMap<u64, Value> = BTreeMap::from([(0, nothing(0))]);
    let (mut reason, mut usage, mut error) = (Value::Null, Value::Null, None);
    for event in events {
        let data = event.json();
        let number = data["choice"].as_u64().unwrap_or(0);
        let choice = choices.entry(number).or_insert_with(|| nothing(number));
        match event.name.as_str() {
            "text" | "reasoning" | "refusal" => grow(choice, &event.name, &data["delta"]),
            "tool_call" => {
                let mut call = members(&data, &["index", "id", "name"]);
                call["arguments"] = "".into();
                append(choice, "tool_calls", &json!([call]));
            }
            "tool_arguments" => {
                let calls = choice["tool_calls"].as_array_mut().unwrap();
                grow(
                    calls
                        .iter_mut()
                        .find(|call| call["index"] == data["index"])
                        .unwrap(),
                    "arguments",
                    &data["delta"],
                );
            }
            "choice_end" => choice["reason"] = data["reason"].clone(),
            "usage" => usage = members(&data, &USAGE),
            "error" => error = Some(data.clone()),
            "end" => reason = data["reason"].clone(),
            _ => {}
        }
    }
    if let Some(error) = error {
        return Err(error);
    }
    Ok(
        json!({"reason": reason, "usage": usage, "choices": choices.into_values().collect::<Vec<_>>()}),
    )
}

fn nothing(number: u64) -> Value {
    json!({"index": number, "reason": null, "text": "", "reasoning": "", "refusal": "", "tool_calls": []})
}

/// Returns a status JSON in the same form.
pub fn from_status(status: &Value) -> Result<Value, Value> {
    if !status["error"].is_null() {
        return Err(status["error"].clone());
    }
    let single = |status: &Value| {
        let mut choice = members(status, &["text", "reasoning", "refusal", "tool_calls"]);
        // A missing refusal is null here.
        choice["refusal"] = choice["refusal"].as_str().unwrap_or_default().into();
        (choice["index"], choice["reason"]) = (0.into(), Value::Null);
        json!([choice])
    };
    let choices = if status["choices"].is_null() {
        single(status)
    } else {
        status["choices"].clone()
    };
    Ok(json!({"reason": status["reason"], "usage": status["usage"], "choices": choices}))
}
