//! The AI SDK's UI message stream, parsed as strictly as the SDK does.

use serde_json::Value;

use super::{Event, Received, Usage};

/// Records one event.
pub fn record(received: &mut Received, event: &Event) {
    assert_eq!(
        received.ends, 0,
        "nothing comes after the end: {}",
        event.data
    );
    if event.data == "[DONE]" {
        received.done += usize::from(received.error.is_none());
        received.ends += 1;
        return;
    }
    received.record_chunk(&event.json());
}

/// Parses a whole message.
pub fn whole(body: &Value) -> Received {
    let mut received = Received::default();
    for part in body["parts"]
        .as_array()
        .unwrap_or_else(|| panic!("no message: {body}"))
    {
        received.part(part);
    }
    received.usage = usage(&body["metadata"]);
    received.arguments_as_objects = true;
    received.cancelled = body["metadata"]["reason"] == "cancelled";
    received.choices.entry(0).or_default().finish =
        body["metadata"]["reason"].as_str().map(str::to_owned);
    (received.done, received.ends) = (1, 1);
    received
}

fn usage(metadata: &Value) -> Option<Usage> {
    let usage = &metadata["usage"];
    usage.is_object().then(|| Usage {
        input: usage["inputTokens"].as_u64(),
        output: usage["outputTokens"].as_u64(),
        cached: usage["cachedInputTokens"].as_u64(),
        reasoning: usage["reasoningTokens"].as_u64(),
        estimated: usage["estimated"] == true,
    })
}

impl Received {
    fn record_chunk(&mut self, chunk: &Value) {
        let text = |field: &str| chunk[field].as_str().unwrap_or("").to_owned();
        self.ui_signatures(chunk);
        match chunk["type"].as_str().unwrap() {
            "start" | "start-step" | "finish-step" | "source-url" => {}
            "text-start" | "reasoning-start" => {
                let refusal = chunk["providerMetadata"]["sluicegate"]["kind"] == "refusal";
                let old = self.parts.insert(text("id"), refusal);
                assert_eq!(old, None, "a part begins once: {chunk}");
            }
            "text-delta" => {
                // A reader that joins later has not seen the part start.
                let refusal = self.parts.get(&text("id")).copied().unwrap_or(false);
                let first = self.choices.entry(0).or_default();
                if refusal {
                    first.refusal.push_str(&text("delta"));
                } else {
                    first.text.push_str(&text("delta"));
                }
            }
            "reasoning-delta" => self
                .choices
                .entry(0)
                .or_default()
                .reasoning
                .push_str(&text("delta")),
            "text-end" | "reasoning-end" => {}
            "tool-input-start" => {
                let tools = &mut self.choices.entry(0).or_default().tools;
                tools.insert(
                    tools.len() as u64,
                    (text("toolCallId"), text("toolName"), String::new()),
                );
            }
            "tool-input-delta" => self
                .ui_call(&text("toolCallId"))
                .2
                .push_str(&text("inputTextDelta")),
            "tool-input-available" => {
                let call = self.ui_call(&text("toolCallId"));
                let arguments = if call.2.trim().is_empty() {
                    "{}"
                } else {
                    &call.2
                };
                // The input of a custom tool is text, even if it looks like JSON.
                let same = chunk["input"] == call.2.as_str()
                    || serde_json::from_str::<Value>(arguments).unwrap() == chunk["input"];
                assert!(same, "the input equals its pieces: {chunk}");
            }
            "tool-input-error" => drop(self.ui_call(&text("toolCallId")).clone()),
            "data-raw" => self.raw.push(chunk["data"].clone()),
            "file" => self
                .raw
                .push(serde_json::json!({"wire": "gemini", "data": chunk})),
            "error" => self.error = Some((text("code"), text("errorText"))),
            "abort" => self.cancelled = true,
            "finish" => {
                self.usage = usage(&chunk["messageMetadata"]);
                let reason = match chunk["finishReason"].as_str().unwrap() {
                    "error" => return,
                    "tool-calls" => "tool_calls",
                    "content-filter" => "content_filter",
                    other => other,
                };
                self.choices.entry(0).or_default().finish = Some(reason.to_owned());
            }
            other => panic!("the SDK does not know {other}: {chunk}"),
        }
    }

    fn ui_call(&mut self, id: &str) -> &mut (String, String, String) {
        self.choices
            .entry(0)
            .or_default()
            .tools
            .values_mut()
            .find(|call| call.0 == id)
            .expect("a started tool call")
    }

    fn ui_signatures(&mut self, part: &Value) {
        for metadata in ["providerMetadata", "callProviderMetadata"] {
            let own = &part[metadata]["sluicegate"];
            self.signatures.extend(
                ["signature", "redacted"]
                    .iter()
                    .filter_map(|it| own[it].as_str())
                    .map(str::to_owned),
            );
        }
    }

    /// Records a part of a whole message.
    fn part(&mut self, part: &Value) {
        self.ui_signatures(part);
        let text = part["text"].as_str().unwrap_or("");
        let first = self.choices.entry(0).or_default();
        match part["type"].as_str().unwrap() {
            "text" if part["providerMetadata"]["sluicegate"]["kind"] == "refusal" => {
                first.refusal.push_str(text);
            }
            "text" => first.text.push_str(text),
            "reasoning" => first.reasoning.push_str(text),
            "data-raw" => self.raw.push(part["data"].clone()),
            kind => {
                if let Some(name) = kind.strip_prefix("tool-") {
                    let id = part["toolCallId"].as_str().unwrap().to_owned();
                    let input = part["input"]
                        .as_str()
                        .map_or_else(|| part["input"].to_string(), str::to_owned);
                    first
                        .tools
                        .insert(first.tools.len() as u64, (id, name.to_owned(), input));
                }
            }
        }
    }
}
