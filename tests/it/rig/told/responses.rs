//! OpenAI Responses; as strict as its clients are.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Event, Told, Usage};

/// What is known of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// The number of the last event.
    last: Option<u64>,
    /// The response's id.
    id: Option<String>,
    /// Items by their place: as they began, and whether they are over.
    items: BTreeMap<u64, (Value, bool)>,
}

/// Adds one event. A reader may come in the middle: what began before it came is taken for granted.
pub fn hear(told: &mut Told, event: &Event) {
    let data = event.json();
    assert_eq!(
        event.name, data["type"],
        "clients go by the name of an event"
    );
    assert_eq!(told.ends, 0, "nothing comes after the end: {data}");
    told.count(&data);
    told.response_id(&data["response"]);
    let text = |field: &str| data[field].as_str().unwrap_or("");
    let place = data["output_index"].as_u64();
    match event.name.as_str() {
        "response.output_item.added" => {
            let old = told
                .items
                .items
                .insert(place.unwrap(), (data["item"].clone(), false));
            assert!(old.is_none(), "an item begins once: {data}");
            told.called(place.unwrap(), &data["item"]);
        }
        "response.output_item.done" => told.item_done(place.unwrap(), &data["item"]),
        "response.output_text.delta" => told.responses_first().text.push_str(text("delta")),
        "response.refusal.delta" => told.responses_first().refusal.push_str(text("delta")),
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
            told.responses_first().reasoning.push_str(text("delta"));
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            let first = told.responses_first();
            first
                .tools
                .entry(place.unwrap())
                .or_default()
                .2
                .push_str(text("delta"));
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            told.response_over(&data["response"]);
        }
        "error" => {
            told.error = Some(super::error_of(if data["error"].is_object() {
                &data["error"]
            } else {
                &data
            }));
            told.ends += 1;
        }
        _ => {}
    }
}

/// What a whole response says.
pub fn whole(body: &Value) -> Told {
    assert_eq!(body["object"], "response", "{body}");
    let mut told = Told::default();
    for (place, item) in body["output"]
        .as_array()
        .unwrap_or_else(|| panic!("no response: {body}"))
        .iter()
        .enumerate()
    {
        let first = told.responses_first();
        let said = |list: &str, field: &str| -> String {
            item[list]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|it| it[field].as_str())
                .collect()
        };
        match item["type"].as_str().unwrap_or("") {
            "message" => {
                first.text.push_str(&said("content", "text"));
                first.refusal.push_str(&said("content", "refusal"));
            }
            "reasoning" => {
                first.reasoning.push_str(&said("summary", "text"));
                first.reasoning.push_str(&said("content", "text"));
                told.kept_back(item);
            }
            _ => {
                told.called(place as u64, item);
                let arguments = item["arguments"]
                    .as_str()
                    .or(item["input"].as_str())
                    .unwrap_or("")
                    .to_owned();
                if let Some(call) = told.responses_first().tools.get_mut(&(place as u64)) {
                    call.2 = arguments;
                }
            }
        }
    }
    told.items.items.clear();
    told.response_over(body);
    told
}

impl Told {
    fn responses_first(&mut self) -> &mut super::Choice {
        self.choices.entry(0).or_default()
    }

    /// Numbers have no gaps; some servers number nothing.
    fn count(&mut self, data: &Value) {
        let last = self.items.last;
        let next = last.map(|last| last + 1);
        let number = data["sequence_number"].as_u64();
        assert!(
            next.is_none() || number.is_none() || number == next,
            "{number:?} follows {last:?}: {data}"
        );
        self.items.last = number.or(next).or(Some(0));
    }

    fn response_id(&mut self, response: &Value) {
        if let Some(id) = response["id"].as_str() {
            let old = self.items.id.replace(id.to_owned());
            assert!(
                old.is_none_or(|old| old == id),
                "a response has one id: {response}"
            );
        }
    }

    fn called(&mut self, place: u64, item: &Value) {
        if matches!(
            item["type"].as_str(),
            Some("function_call" | "custom_tool_call")
        ) {
            let field = |name: &str| item[name].as_str().unwrap_or("").to_owned();
            let call = (field("call_id"), field("name"), String::new());
            self.responses_first().tools.insert(place, call);
        }
    }

    fn kept_back(&mut self, item: &Value) {
        let Some(kept) = item["encrypted_content"].as_str() else {
            return;
        };
        // That of a call names the call, whose id may be made up anew.
        let json = kept
            .rsplit_once(':')
            .filter(|_| kept.starts_with("sluicegate:"))
            .and_then(|(_, it)| URL_SAFE_NO_PAD.decode(it).ok());
        let mut kept = Value::from(kept);
        if let Some(mut own) = json.and_then(|json| serde_json::from_slice::<Value>(&json).ok()) {
            own.as_object_mut().unwrap().remove("call");
            kept = own;
        }
        self.signatures.push(
            kept.as_str()
                .map_or_else(|| kept.to_string(), str::to_owned),
        );
    }

    fn item_done(&mut self, place: u64, item: &Value) {
        if let Some((begun, over)) = self.items.items.get(&place) {
            assert!(!over, "an item ends once: {item}");
            assert_eq!(
                (&begun["id"], &begun["type"]),
                (&item["id"], &item["type"]),
                "an item keeps its id and type"
            );
        }
        self.kept_back(item);
        self.items.items.insert(place, (item.clone(), true));
    }

    fn response_over(&mut self, response: &Value) {
        let output = response["output"].as_array().cloned().unwrap_or_default();
        for (place, (item, over)) in &self.items.items {
            assert!(*over, "items are ended before: {item}");
            if let Some(repeated) = output.get(usize::try_from(*place).unwrap()) {
                assert_eq!(repeated, item, "the output repeats its items");
            }
        }
        let calls = !self.responses_first().tools.is_empty();
        let finish = match (
            response["status"].as_str().unwrap_or(""),
            response["incomplete_details"]["reason"].as_str(),
        ) {
            ("completed", _) if calls => "tool_calls",
            ("completed", _) => "stop",
            ("incomplete", Some("content_filter")) => "content_filter",
            ("incomplete", _) => "length",
            ("cancelled", _) => {
                self.cancelled = true;
                "stop"
            }
            ("failed", _) => {
                self.error = Some(super::error_of(&response["error"]));
                "error"
            }
            (status, _) => panic!("no end: {status}"),
        };
        self.responses_first().finish = Some(finish.to_owned());
        let usage = &response["usage"];
        if usage.is_object() {
            self.usage = Some(Usage {
                input: usage["input_tokens"].as_u64(),
                output: usage["output_tokens"].as_u64(),
                cached: usage["input_tokens_details"]["cached_tokens"].as_u64(),
                reasoning: usage["output_tokens_details"]["reasoning_tokens"].as_u64(),
                estimated: response["sluicegate"]["estimated"] == true,
            });
        }
        self.done += usize::from(self.error.is_none());
        self.ends += 1;
    }
}
