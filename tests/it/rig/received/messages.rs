//! Anthropic Messages, parsed as strictly as its clients do.

use serde_json::Value;

use super::{Event, Received, Usage, error_from};

/// State of the blocks of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks {
    /// Index of the open block.
    open: Option<u64>,
    /// Number of tool calls so far.
    calls: u64,
    /// True after `message_start`.
    begun: bool,
}

/// Records one event. A reader may start in the middle, so earlier starts are not required.
pub fn record(received: &mut Received, event: &Event) {
    let data = event.json();
    assert_eq!(event.name, data["type"], "clients dispatch by event name");
    if event.name == "ping" {
        return;
    }
    assert_eq!(received.ends, 0, "nothing comes after the end: {data}");
    match event.name.as_str() {
        "message_start" => {
            assert!(
                !std::mem::replace(&mut received.blocks.begun, true),
                "a message begins once"
            );
            received.merge_usage(&data["message"]["usage"], &data);
        }
        "content_block_start" => received.block_start(&data),
        "content_block_delta" => received.block_delta(&data),
        "content_block_stop" => {
            let open = received.blocks.open.take();
            assert!(
                open.is_none_or(|open| data["index"] == open),
                "only the open block ends: {data}"
            );
        }
        "message_delta" => {
            assert_eq!(
                received.blocks.open, None,
                "blocks end before the message: {data}"
            );
            received.set_stop_reason(&data["delta"], &data);
            received.merge_usage(&data["usage"], &data);
        }
        "message_stop" => {
            received.done += 1;
            received.ends += 1;
        }
        "error" => {
            received.error = Some(error_from(&data["error"]));
            received.ends += 1;
        }
        name => panic!("an unknown event {name}: {data}"),
    }
}

/// Parses a whole message.
pub fn whole(body: &Value) -> Received {
    assert_eq!(
        (&body["type"], &body["role"]),
        (&"message".into(), &"assistant".into()),
        "{body}"
    );
    let mut received = Received {
        arguments_as_objects: true,
        ..Received::default()
    };
    for block in body["content"]
        .as_array()
        .unwrap_or_else(|| panic!("no message: {body}"))
    {
        received.block(block);
    }
    received.set_stop_reason(body, body);
    received.merge_usage(&body["usage"], body);
    (received.done, received.ends) = (1, 1);
    received
}

impl Received {
    fn block_start(&mut self, data: &Value) {
        let index = data["index"].as_u64().unwrap();
        assert_eq!(
            self.blocks.open.replace(index),
            None,
            "only one block is open at a time: {data}"
        );
        self.block(&data["content_block"]);
    }

    /// Records a block at its start, or a whole block.
    fn block(&mut self, block: &Value) {
        let text = |field: &str| block[field].as_str().unwrap_or("");
        match text("type") {
            "text" => self.first_mut().text.push_str(text("text")),
            "thinking" => {
                self.first_mut().reasoning.push_str(text("thinking"));
                self.add_signature(text("signature"));
            }
            "redacted_thinking" => self.add_signature(text("data")),
            "tool_use" => {
                let call = (
                    text("id").to_owned(),
                    text("name").to_owned(),
                    arguments(&block["input"]),
                );
                let number = self.blocks.calls;
                self.blocks.calls += 1;
                self.first_mut().tools.insert(number, call);
            }
            _ => {}
        }
    }

    fn block_delta(&mut self, data: &Value) {
        let delta = &data["delta"];
        let text = |field: &str| delta[field].as_str().unwrap_or("");
        match delta["type"].as_str().unwrap_or("") {
            "text_delta" => self.first_mut().text.push_str(text("text")),
            "thinking_delta" => self.first_mut().reasoning.push_str(text("thinking")),
            "signature_delta" => self.add_signature(text("signature")),
            "input_json_delta" => {
                let number = self.blocks.calls.saturating_sub(1);
                self.first_mut()
                    .tools
                    .entry(number)
                    .or_default()
                    .2
                    .push_str(text("partial_json"));
            }
            _ => {}
        }
    }

    fn add_signature(&mut self, signature: &str) {
        self.signatures
            .extend((!signature.is_empty()).then(|| signature.to_owned()));
    }

    fn set_stop_reason(&mut self, at: &Value, own: &Value) {
        self.cancelled |= own["sluicegate"]["reason"] == "cancelled";
        let reason = match at["stop_reason"]
            .as_str()
            .unwrap_or_else(|| panic!("no stop_reason: {at}"))
        {
            "end_turn" | "stop_sequence" | "pause_turn" => "stop",
            "max_tokens" | "model_context_window_exceeded" => "length",
            "tool_use" => "tool_calls",
            "refusal" => "content_filter",
            reason => panic!("unknown stop_reason {reason}"),
        };
        self.first_mut().finish = Some(reason.to_owned());
    }

    /// Merges usage: later values replace earlier ones where present.
    fn merge_usage(&mut self, usage: &Value, own: &Value) {
        let count = |field: &str| usage[field].as_u64();
        let before = self.usage.unwrap_or_default();
        let sum = [
            "input_tokens",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ]
        .into_iter()
        .filter_map(count)
        .reduce(|a, b| a + b);
        self.usage = Some(Usage {
            input: sum.or(before.input),
            output: Some(
                usage["output_tokens"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("no output_tokens: {own}")),
            ),
            cached: count("cache_read_input_tokens").or(before.cached),
            reasoning: usage["output_tokens_details"]["thinking_tokens"]
                .as_u64()
                .or(before.reasoning),
            estimated: own["sluicegate"]["estimated"] == true,
        });
    }

    fn first_mut(&mut self) -> &mut super::Choice {
        self.choices.entry(0).or_default()
    }
}

/// Returns the arguments of an input as text; empty if the input is still to come.
fn arguments(input: &Value) -> String {
    match input["INVALID_JSON"].as_str() {
        Some(text) => text.to_owned(),
        None if input.as_object().is_none_or(serde_json::Map::is_empty) => String::new(),
        None => input.to_string(),
    }
}
