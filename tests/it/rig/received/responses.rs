//! OpenAI Responses, parsed as strictly as its clients do.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Event, Received, Usage};

/// State of the items of a response.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// Sequence number of the last event.
    last: Option<u64>,
    /// Id of the response.
    id: Option<String>,
    /// Items by output index: the item, and true once it is done.
    items: BTreeMap<u64, (Value, bool)>,
}

/// Records one event. A reader may start in the middle, so earlier starts are not required.
pub fn record(received: &mut Received, event: &Event) {
    let data = event.json();
    assert_eq!(event.name, data["type"], "clients dispatch by event name");
    assert_eq!(received.ends, 0, "nothing comes after the end: {data}");
    received.check_sequence_number(&data);
    received.check_response_id(&data["response"]);
    let text = |field: &str| data[field].as_str().unwrap_or("");
    let place = data["output_index"].as_u64();
    match event.name.as_str() {
        "response.output_item.added" => {
            let old = received
                .items
                .items
                .insert(place.unwrap(), (data["item"].clone(), false));
            assert!(old.is_none(), "an item begins once: {data}");
            received.start_call(place.unwrap(), &data["item"]);
        }
        "response.output_item.done" => received.end_item(place.unwrap(), &data["item"]),
        "response.output_text.delta" => received.first_choice().text.push_str(text("delta")),
        "response.refusal.delta" => received.first_choice().refusal.push_str(text("delta")),
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
            received.first_choice().reasoning.push_str(text("delta"));
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            let first = received.first_choice();
            first
                .tools
                .entry(place.unwrap())
                .or_default()
                .2
                .push_str(text("delta"));
        }
        "response.completed" | "response.incomplete" | "response.failed" => {
            received.end_response(&data["response"]);
        }
        "error" => {
            received.error = Some(super::error_from(if data["error"].is_object() {
                &data["error"]
            } else {
                &data
            }));
            received.ends += 1;
        }
        _ => {}
    }
}

/// Parses a whole response.
pub fn whole(body: &Value) -> Received {
    assert_eq!(body["object"], "response", "{body}");
    let mut received = Received::default();
    for (place, item) in body["output"]
        .as_array()
        .unwrap_or_else(|| panic!("no response: {body}"))
        .iter()
        .enumerate()
    {
        let first = received.first_choice();
        let joined = |list: &str, field: &str| -> String {
            item[list]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|it| it[field].as_str())
                .collect()
        };
        match item["type"].as_str().unwrap_or("") {
            "message" => {
                first.text.push_str(&joined("content", "text"));
                first.refusal.push_str(&joined("content", "refusal"));
            }
            "reasoning" => {
                first.reasoning.push_str(&joined("summary", "text"));
                first.reasoning.push_str(&joined("content", "text"));
                received.record_encrypted_content(item);
            }
            _ => {
                received.start_call(place as u64, item);
                let arguments = item["arguments"]
                    .as_str()
                    .or(item["input"].as_str())
                    .unwrap_or("")
                    .to_owned();
                if let Some(call) = received.first_choice().tools.get_mut(&(place as u64)) {
                    call.2 = arguments;
                }
            }
        }
    }
    received.items.items.clear();
    received.end_response(body);
    received
}

impl Received {
    fn first_choice(&mut self) -> &mut super::Choice {
        self.choices.entry(0).or_default()
    }

    /// Sequence numbers have no gaps; some servers send none.
    fn check_sequence_number(&mut self, data: &Value) {
        let last = self.items.last;
        let next = last.map(|last| last + 1);
        let number = data["sequence_number"].as_u64();
        assert!(
            next.is_none() || number.is_none() || number == next,
            "{number:?} follows {last:?}: {data}"
        );
        self.items.last = number.or(next).or(Some(0));
    }

    fn check_response_id(&mut self, response: &Value) {
        if let Some(id) = response["id"].as_str() {
            let old = self.items.id.replace(id.to_owned());
            assert!(
                old.is_none_or(|old| old == id),
                "a response has one id: {response}"
            );
        }
    }

    fn start_call(&mut self, place: u64, item: &Value) {
        if matches!(
            item["type"].as_str(),
            Some("function_call" | "custom_tool_call")
        ) {
            let field = |name: &str| item[name].as_str().unwrap_or("").to_owned();
            let call = (field("call_id"), field("name"), String::new());
            self.first_choice().tools.insert(place, call);
        }
    }

    fn record_encrypted_content(&mut self, item: &Value) {
        let Some(kept) = item["encrypted_content"].as_str() else {
            return;
        };
        // The content of a call names its call id, which may be generated anew: leave it out of the
        // comparison.
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

    fn end_item(&mut self, place: u64, item: &Value) {
        if let Some((begun, over)) = self.items.items.get(&place) {
            assert!(!over, "an item ends once: {item}");
            assert_eq!(
                (&begun["id"], &begun["type"]),
                (&item["id"], &item["type"]),
                "an item keeps its id and type"
            );
        }
        self.record_encrypted_content(item);
        self.items.items.insert(place, (item.clone(), true));
    }

    fn end_response(&mut self, response: &Value) {
        let output = response["output"].as_array().cloned().unwrap_or_default();
        for (place, (item, over)) in &self.items.items {
            assert!(*over, "items end before the response: {item}");
            if let Some(repeated) = output.get(usize::try_from(*place).unwrap()) {
                assert_eq!(repeated, item, "the output repeats its items");
            }
        }
        let calls = !self.first_choice().tools.is_empty();
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
                self.error = Some(super::error_from(&response["error"]));
                "error"
            }
            (status, _) => panic!("unknown status {status}"),
        };
        self.first_choice().finish = Some(finish.to_owned());
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
