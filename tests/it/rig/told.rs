//! What a client was told: the fold of an answer in any dialect, streaming or not, to be compared with any other.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::Speech;
use super::sse::Event;

/// Everything an answer said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// Its choices.
    pub choices: BTreeMap<u64, Choice>,
    /// Input, output, cached, cache-write and reasoning tokens.
    pub usage: Option<Usage>,
    /// Code and message of its error.
    pub error: Option<(String, String)>,
    /// It was cancelled.
    pub cancelled: bool,
    /// How often a success (or a cancel) was marked as such: `[DONE]`, or an `end` that is no error.
    pub done: usize,
    /// How often it ended, in any way.
    pub ends: usize,
    /// The body was cut off.
    pub cut: bool,
    /// Signatures and encrypted blocks, as they stood.
    pub signatures: Vec<String>,
    /// `raw` events.
    pub raw: Vec<Value>,
}

/// One choice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// Its text.
    pub text: String,
    /// Its reasoning.
    pub reasoning: String,
    /// Its refusal.
    pub refusal: String,
    /// Its tool calls: id, name, arguments.
    pub tools: BTreeMap<u64, (String, String, String)>,
    /// Why it ended.
    pub finish: Option<String>,
}

/// Token counts, normalized.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input, cached and cache-write included.
    pub input: Option<u64>,
    /// Output, reasoning included.
    pub output: Option<u64>,
    /// Read from a cache.
    pub cached: Option<u64>,
    /// Reasoning.
    pub reasoning: Option<u64>,
    /// It rests on an estimate.
    pub estimated: bool,
}

impl Told {
    /// What these events say.
    pub fn of(speech: Speech, events: &[Event]) -> Self {
        let mut told = Self::default();
        for event in events {
            told.hear(speech, event);
        }
        told
    }

    /// The text of the first choice.
    pub fn text(&self) -> &str {
        self.choices.get(&0).map_or("", |it| it.text.as_str())
    }

    /// The first choice.
    pub fn first(&self) -> Choice {
        self.choices.get(&0).cloned().unwrap_or_default()
    }

    /// True where it ended well: one end, marked as success, nothing cut, no error.
    pub fn is_success(&self) -> bool {
        self.done == 1 && self.ends == 1 && self.error.is_none() && !self.cut && !self.cancelled
    }

    /// True where it ended as a failure does: one error, no success marker, the body properly ended.
    pub fn is_failure(&self) -> bool {
        self.done == 0 && self.ends == 1 && self.error.is_some() && !self.cut
    }

    /// True where it ended as a cancelled stream does.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled && self.done == 1 && self.ends == 1 && self.error.is_none() && !self.cut
    }

    /// The code of its error.
    pub fn code(&self) -> &str {
        self.error.as_ref().map_or("", |(code, _)| code.as_str())
    }

    fn choice(&mut self, value: &Value, field: &str) -> &mut Choice {
        self.choices.entry(value[field].as_u64().unwrap_or(0)).or_default()
    }

    /// Adds one event.
    pub fn hear(&mut self, speech: Speech, event: &Event) {
        match speech {
            Speech::Chat if event.data == "[DONE]" => {
                assert_eq!(self.error, None, "a success after an error");
                self.done += 1;
                self.ends += 1;
            }
            Speech::Chat => self.chunk(&event.json()),
            Speech::Events => self.named(&event.name, &event.json()),
        }
    }

    fn chunk(&mut self, chunk: &Value) {
        assert_eq!((self.ends, &self.error), (0, &None), "nothing comes after the end: {chunk}");
        if !chunk["error"].is_null() {
            self.error = Some(error_of(&chunk["error"]));
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

    /// A `delta`, or a whole `message`.
    fn message(&mut self, choice: &Value, message: &Value) {
        for detail in message["reasoning_details"].as_array().into_iter().flatten() {
            self.signatures.extend(["signature", "data"].iter().filter_map(|it| detail[it].as_str()).map(str::to_owned));
        }
        let to = self.choice(choice, "index");
        to.text.push_str(message["content"].as_str().unwrap_or(""));
        to.reasoning.push_str(message["reasoning_content"].as_str().unwrap_or(""));
        to.refusal.push_str(message["refusal"].as_str().unwrap_or(""));
        for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
            let slot = to.tools.entry(call["index"].as_u64().unwrap_or(place as u64)).or_default();
            slot.0.push_str(call["id"].as_str().unwrap_or(""));
            slot.1.push_str(call["function"]["name"].as_str().unwrap_or(""));
            slot.2.push_str(call["function"]["arguments"].as_str().unwrap_or(""));
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            to.finish = Some(reason.to_owned());
        }
    }

    fn named(&mut self, name: &str, data: &Value) {
        assert_eq!(self.ends, 0, "nothing comes after the end: {name} {data}");
        let text = |field: &str| data[field].as_str().unwrap_or("").to_owned();
        match name {
            "start" | "route" | "tool_call_end" | "citation" => {}
            "text" => self.choice(data, "choice").text.push_str(&text("delta")),
            "reasoning" => {
                self.signatures.extend(["signature", "redacted"].iter().filter_map(|it| data[it].as_str()).map(str::to_owned));
                self.choice(data, "choice").reasoning.push_str(&text("delta"));
            }
            "refusal" => self.choice(data, "choice").refusal.push_str(&text("delta")),
            "tool_call" => {
                let slot = (text("id"), text("name"), String::new());
                let old = self.choice(data, "choice").tools.insert(data["index"].as_u64().unwrap(), slot);
                assert_eq!(old, None, "a tool call begins once");
            }
            "tool_arguments" => {
                let index = data["index"].as_u64().unwrap();
                self.choice(data, "choice").tools.get_mut(&index).expect("arguments follow their call").2.push_str(&text("delta"));
            }
            "raw" => self.raw.push(data.clone()),
            "choice_end" => self.choice(data, "choice").finish = Some(text("reason")),
            "usage" => {
                assert_eq!(self.usage, None, "usage comes once");
                self.usage = Some(events_usage(data));
            }
            "error" => self.error = Some((text("code"), text("message"))),
            "end" => self.end(data),
            _ => panic!("an unknown event {name}: {data}"),
        }
    }

    fn end(&mut self, data: &Value) {
        self.ends += 1;
        let reason = data["reason"].as_str().unwrap();
        match reason {
            "error" => assert!(self.error.is_some(), "an end with an error that nobody told"),
            "cancelled" => self.cancelled = true,
            _ => {
                let first = self.choices.entry(0).or_default();
                first.finish.get_or_insert_with(|| reason.to_owned());
            }
        }
        self.done += usize::from(reason != "error");
        let repeated = data["usage"].is_object().then(|| events_usage(&data["usage"]));
        assert_eq!(repeated, self.usage, "`end` repeats the usage");
    }

    /// What a whole `chat.completion` says.
    pub fn of_completion(body: &Value) -> Self {
        let mut told = Self::default();
        for choice in body["choices"].as_array().unwrap_or_else(|| panic!("no completion: {body}")) {
            told.message(choice, &choice["message"]);
        }
        told.chat_usage(body);
        told.cancelled = body["sluicegate"]["reason"] == "cancelled";
        (told.done, told.ends) = (1, 1);
        told
    }

    /// What a status JSON says.
    pub fn of_status(body: &Value) -> Self {
        let mut told = Self::default();
        let all = [body.clone()];
        for (place, choice) in body["choices"].as_array().unwrap_or(&all.to_vec()).iter().enumerate() {
            let to = told.choices.entry(choice["index"].as_u64().unwrap_or(place as u64)).or_default();
            to.text = choice["text"].as_str().unwrap_or("").to_owned();
            to.reasoning = choice["reasoning"].as_str().unwrap_or("").to_owned();
            for (place, call) in choice["tool_calls"].as_array().into_iter().flatten().enumerate() {
                let field = |name: &str| call[name].as_str().or(call["function"][name].as_str()).unwrap_or("").to_owned();
                to.tools.insert(place as u64, (field("id"), field("name"), field("arguments")));
            }
            to.finish = choice["reason"].as_str().filter(|it| *it != "cancelled" && *it != "error").map(str::to_owned);
        }
        told.usage = body["usage"].is_object().then(|| events_usage(&body["usage"]));
        told.cancelled = body["status"] == "cancelled";
        told.error = body["error"].is_object().then(|| error_of(&body["error"]));
        (told.done, told.ends) = (usize::from(body["status"] != "failed"), 1);
        told
    }
}

fn error_of(error: &Value) -> (String, String) {
    let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or("").to_owned();
    (code, error["message"].as_str().unwrap_or("").to_owned())
}

fn events_usage(data: &Value) -> Usage {
    let total = data["input_tokens"].as_u64().unwrap_or(0) + data["output_tokens"].as_u64().unwrap_or(0);
    assert_eq!(data["total_tokens"].as_u64().unwrap_or(total), total, "{data}");
    Usage {
        input: data["input_tokens"].as_u64(),
        output: data["output_tokens"].as_u64(),
        cached: data["cached_input_tokens"].as_u64(),
        reasoning: data["reasoning_tokens"].as_u64(),
        estimated: data["estimated"] == true,
    }
}
