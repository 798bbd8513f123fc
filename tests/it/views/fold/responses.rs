//! Events → a response. Its terminal event holds all of it, so what the events before have said is
//! held against that.

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
            "events are numbered without a gap: {data}"
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
                    "an item is what was said of it"
                );
                done.insert(place, data["item"].clone());
            }
            "response.failed" => return Err(data["response"]["error"].clone()),
            "response.completed" | "response.incomplete" => {
                let items: Vec<Value> = done.into_values().collect();
                assert_eq!(
                    data["response"]["output"],
                    Value::from(items),
                    "a response is its items"
                );
                return Ok(data["response"].clone());
            }
            _ => {
                if let Some(place) = place {
                    said(items.get_mut(&place).unwrap(), &event.name, &data);
                }
            }
        }
    }
    panic!("a response that has no end")
}

fn said(item: &mut Value, name: &str, data: &Value) {
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

/// A response without what only its stream knows: which of its items were cut off.
pub fn without_cuts(mut response: Value) -> Value {
    for item in response["output"].as_array_mut().into_iter().flatten() {
        item.as_object_mut().unwrap().remove("status");
    }
    response
}

/// An item as it was said: how it ended, and what is wanted back with it, is told at its end.
fn without_status(item: &Value) -> Value {
    let mut item = item.clone();
    item.as_object_mut()
        .unwrap()
        .retain(|name, _| !matches!(name.as_str(), "status" | "encrypted_content"));
    item
}
