//! OpenAI Chat Completions.

use serde_json::Value;

use super::{Event, Received, Usage, error_from};

/// Records one event.
pub fn record(received: &mut Received, event: &Event) {
    if event.data == "[DONE]" {
        assert_eq!(received.error, None, "a success after an error");
        received.done += 1;
        received.ends += 1;
    } else {
        received.chunk(&event.json());
    }
}

/// Parses a whole `chat.completion`.
pub fn whole(body: &Value) -> Received {
    let mut received = Received::default();
    for choice in body["choices"]
        .as_array()
        .unwrap_or_else(|| panic!("no completion: {body}"))
    {
        received.message(choice, &choice["message"]);
    }
    received.chat_usage(body);
    received.cancelled = body["sluicegate"]["reason"] == "cancelled";
    (received.done, received.ends) = (1, 1);
    received
}

impl Received {
    fn chunk(&mut self, chunk: &Value) {
        assert_eq!(
            (self.ends, &self.error),
            (0, &None),
            "nothing comes after the end: {chunk}"
        );
        if !chunk["error"].is_null() {
            self.error = Some(error_from(&chunk["error"]));
            self.ends += 1;
            return;
        }
        for choice in chunk["choices"].as_array().unwrap() {
            self.message(choice, &choice["delta"]);
        }
        self.cancelled |= chunk["sluicegate"]["reason"] == "cancelled";
        self.chat_usage(chunk);
    }

    fn chat_usage(&mut self, value: &Value) {
        let usage = &value["usage"];
        if usage.is_object() {
            self.usage = Some(Usage {
                input: usage["prompt_tokens"].as_u64(),
                output: usage["completion_tokens"].as_u64(),
                cached: usage["prompt_tokens_details"]["cached_tokens"].as_u64(),
                reasoning: usage["completion_tokens_details"]["reasoning_tokens"].as_u64(),
                estimated: value["sluicegate"]["estimated"] == true,
            });
        }
    }

    /// Records a `delta` or a whole `message`.
    fn message(&mut self, choice: &Value, message: &Value) {
        for detail in message["reasoning_details"]
            .as_array()
            .into_iter()
            .flatten()
        {
            self.signatures.extend(
                ["signature", "data"]
                    .iter()
                    .filter_map(|it| detail[it].as_str())
                    .map(str::to_owned),
            );
        }
        let to = self.choice(choice, "index");
        to.text.push_str(message["content"].as_str().unwrap_or(""));
        to.reasoning
            .push_str(message["reasoning_content"].as_str().unwrap_or(""));
        to.refusal
            .push_str(message["refusal"].as_str().unwrap_or(""));
        for (place, call) in message["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let slot = to
                .tools
                .entry(call["index"].as_u64().unwrap_or(place as u64))
                .or_default();
            slot.0.push_str(call["id"].as_str().unwrap_or(""));
            let (tool, words) = if call["custom"].is_object() {
                ("custom", "input")
            } else {
                ("function", "arguments")
            };
            slot.1.push_str(call[tool]["name"].as_str().unwrap_or(""));
            slot.2.push_str(call[tool][words].as_str().unwrap_or(""));
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            to.finish = Some(reason.to_owned());
        }
    }
}
