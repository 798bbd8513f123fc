//! Folds events into a response. The terminal event contains the whole response, so the earlier
//! events are compared with it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::grow;
use crate::rig::sse::Event;

pub fn fold(events: &[Event]) -> Result<Value, Value> {
    let mut items: BTreeMap<u64, Value> = BTreeMap::new();
    let mut done = BTreeMap::new();
    for (number, event) in events.iter().enumerate() {
        let data = event.json();
        assert_eq!(
            data["sequence_number"], number,
            "sequence numbers have no gaps: {data}"
        );
        let place = data["output_index"].as_u64();
        match event.name.as_str() {
            "response.output_item.added" => {
                drop(items.insert(place.unwrap(), data["item"].clone()));
            }
            "response.output_item.done" => {
                assert_eq!(
                    without_status(&items[&place.unwrap()]),
                    without_status(&data["item"]),
                    "an item equals its events"
                );
                done.insert(place, data["item"].clone());
            }
            "response.failed" => return Err(data["response"]["error"].clone()),
            "response.completed" | "response.incomplete" => {
                let items: Vec<Value> = done.into_values().collect();
                assert_eq!(
                    data["response"]["output"],
                    Value::from(items),
                    "the output equals the items"
                );
                return Ok(data["response"].clone());
            }
            _ => {
                if let Some(place) = place {
                    apply_delta(items.get_mut(&place).unwrap(), &event.name, &data);
                }
            }
        }
    }
    panic!("a response without an end")
}

fn apply_delta(item: &mut Value, name: &str, data: &Value) {
    let at = |member: &str| usize::try_from(data[member].as_u64().unwrap()).unwrap();
    match name {
        "response.content_part.added" => item["content"]
            .as_array_mut()
            .unwrap()
            .push(data["part"].clone()),
        "response.reasoning_summary_part.added" => item["summary"]
            .as_array_mut()
            .unwrap()
            .push(data["part"].clone()),
        "response.output_text.delta" => grow(
            &mut item["content"][at("content_index")],
            "text",
            &data["delta"],
        ),
        "response.refusal.delta" => grow(
            &mut item["content"][at("content_index")],
            "refusal",
            &data["delta"],
        ),
        "response.reasoning_summary_text.delta" => grow(
            &mut item["summary"][at("summary_index")],
            "text",
            &data["delta"],
        ),
        "response.function_call_arguments.delta" => grow(item, "arguments", &data["delta"]),
        "response.custom_tool_call_input.delta" => grow(item, "input", &data["delta"]),
        "response.output_text.annotation.added" => {
            item["content"][at("content_index")]["annotations"]
                .as_array_mut()
                .unwrap()
                .push(data["annotation"].clone());
        }
        _ => {}
    }
}

/// Returns a response without item statuses: only its stream knows which items were cut off.
pub fn without_item_status(mut response: Value) -> Value {
    for item in response["output"].as_array_mut().into_iter().flatten() {
        item.as_object_mut().unwrap().remove("status");
    }
    response
}

/// Returns an item without the members that are known only at its end: status and encrypted
/// content.
fn without_status(item: &Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut()
        .unwrap()
        .retain(|name, _| !matches!(name.as_str(), "status" | "encrypted_content"));
    item
}
