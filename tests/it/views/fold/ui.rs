//! Folds chunks into a UI message.

use serde_json::{Value, json};

use super::{append, copy, grow};
use crate::rig::sse::Event;

pub fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut message = json!({"role": "assistant", "parts": []});
    let mut open: Option<usize> = None;
    for event in events.iter().filter(|event| event.data != "[DONE]") {
        let chunk = event.json();
        let parts = message["parts"].as_array_mut().unwrap();
        match chunk["type"].as_str().unwrap() {
            "start" => {
                (message["id"], message["metadata"]) =
                    (chunk["messageId"].clone(), chunk["messageMetadata"].clone());
            }
            "start-step" => append(&mut message, "parts", &json!([{"type": "step-start"}])),
            kind @ ("text-start" | "reasoning-start") => {
                open = Some(parts.len());
                let mut part =
                    json!({"type": kind.trim_end_matches("-start"), "text": "", "state": "done"});
                copy(&mut part, &chunk, &["providerMetadata"]);
                parts.push(part);
            }
            "text-delta" | "reasoning-delta" => {
                grow(&mut parts[open.unwrap()], "text", &chunk["delta"]);
            }
            "text-end" | "reasoning-end" => copy(
                &mut parts[open.take().unwrap()],
                &chunk,
                &["providerMetadata"],
            ),
            "tool-input-start" => {
                let kind = format!("tool-{}", chunk["toolName"].as_str().unwrap());
                parts.push(json!({"type": kind, "toolCallId": chunk["toolCallId"]}));
            }
            kind @ ("tool-input-available" | "tool-input-error") => {
                let part = parts
                    .iter_mut()
                    .find(|part| part["toolCallId"] == chunk["toolCallId"])
                    .unwrap();
                part["state"] = if kind == "tool-input-error" {
                    "output-error"
                } else {
                    "input-available"
                }
                .into();
                part["input"] = chunk["input"].clone();
                copy(part, &chunk, &["errorText"]);
                if chunk["providerMetadata"].is_object() {
                    part["callProviderMetadata"] = chunk["providerMetadata"].clone();
                }
            }
            "source-url" | "data-raw" | "file" => parts.push(chunk),
            "finish" => message["metadata"] = chunk["messageMetadata"].clone(),
            "error" => return Err(json!({"code": chunk["code"], "message": chunk["errorText"]})),
            _ => {}
        }
    }
    Ok(message)
}
