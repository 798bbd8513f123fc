//! Anthropic Messages; as strict as its clients are.

use serde_json::Value;

use super::{Event, Told, Usage, error_of};

/// What is known of the blocks of a message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Blocks {
    /// The block that is open.
    open: Option<u64>,
    /// Tool calls so far.
    calls: u64,
    /// The message has begun.
    begun: bool,
}

/// Adds one event. A reader may come in the middle: what began before it came is taken for granted.
pub fn hear(told: &mut Told, event: &Event) {
    let data = event.json();
    assert_eq!(
        event.name, data["type"],
        "clients go by the name of an event"
    );
    if event.name == "ping" {
        return;
    }
    assert_eq!(told.ends, 0, "nothing comes after the end: {data}");
    match event.name.as_str() {
        "message_start" => {
            assert!(
                !std::mem::replace(&mut told.blocks.begun, true),
                "a message begins once"
            );
            told.messages_usage(&data["message"]["usage"], &data);
        }
        "content_block_start" => told.block_start(&data),
        "content_block_delta" => told.block_delta(&data),
        "content_block_stop" => {
            let open = told.blocks.open.take();
            assert!(
                open.is_none_or(|open| data["index"] == open),
                "the block that is open ends: {data}"
            );
        }
        "message_delta" => {
            assert_eq!(told.blocks.open, None, "blocks are ended before: {data}");
            told.stopped(&data["delta"], &data);
            told.messages_usage(&data["usage"], &data);
        }
        "message_stop" => {
            told.done += 1;
            told.ends += 1;
        }
        "error" => {
            told.error = Some(error_of(&data["error"]));
            told.ends += 1;
        }
        name => panic!("an unknown event {name}: {data}"),
    }
}

/// What a whole message says.
pub fn whole(body: &Value) -> Told {
    assert_eq!(
        (&body["type"], &body["role"]),
        (&"message".into(), &"assistant".into()),
        "{body}"
    );
    let mut told = Told {
        objects: true,
        ..Told::default()
    };
    for block in body["content"]
        .as_array()
        .unwrap_or_else(|| panic!("no message: {body}"))
    {
        told.block(block);
    }
    told.stopped(body, body);
    told.messages_usage(&body["usage"], body);
    (told.done, told.ends) = (1, 1);
    told
}

impl Told {
    fn block_start(&mut self, data: &Value) {
        let index = data["index"].as_u64().unwrap();
        assert_eq!(
            self.blocks.open.replace(index),
            None,
            "one block at a time: {data}"
        );
        self.block(&data["content_block"]);
    }

    /// A block as it begins, or whole.
    fn block(&mut self, block: &Value) {
        let text = |field: &str| block[field].as_str().unwrap_or("");
        match text("type") {
            "text" => self.first_mut().text.push_str(text("text")),
            "thinking" => {
                self.first_mut().reasoning.push_str(text("thinking"));
                self.signed(text("signature"));
            }
            "redacted_thinking" => self.signed(text("data")),
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
            "signature_delta" => self.signed(text("signature")),
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

    fn signed(&mut self, signature: &str) {
        self.signatures
            .extend((!signature.is_empty()).then(|| signature.to_owned()));
    }

    fn stopped(&mut self, at: &Value, own: &Value) {
        self.cancelled |= own["sluicegate"]["reason"] == "cancelled";
        let reason = match at["stop_reason"]
            .as_str()
            .unwrap_or_else(|| panic!("no stop_reason: {at}"))
        {
            "end_turn" | "stop_sequence" | "pause_turn" => "stop",
            "max_tokens" | "model_context_window_exceeded" => "length",
            "tool_use" => "tool_calls",
            "refusal" => "content_filter",
            reason => panic!("clients know no stop_reason {reason}"),
        };
        self.first_mut().finish = Some(reason.to_owned());
    }

    /// What is said later replaces what was said before, where it is said.
    fn messages_usage(&mut self, usage: &Value, own: &Value) {
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

/// The arguments that an input was; nothing where the input is still to come.
fn arguments(input: &Value) -> String {
    match input["INVALID_JSON"].as_str() {
        Some(text) => text.to_owned(),
        None if input.as_object().is_none_or(serde_json::Map::is_empty) => String::new(),
        None => input.to_string(),
    }
}
