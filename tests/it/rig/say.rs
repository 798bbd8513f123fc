//! What a model says, spelled on each wire, streaming or not, as fast as a test wants it.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::Wire;
use super::upstream::{Call, Head, Step, json as whole_json};

/// Between two tokens.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Nothing: as fast as it can be written.
    Flat,
    /// The gate, before each token and before the end.
    Gate,
    /// This long, by the runtime's clock.
    Every(Duration),
}

/// A model's answer.
#[derive(Debug, Clone)]
pub struct Say {
    /// Its reasoning, and the signature of it where the wire has one.
    pub reasoning: Option<(String, String)>,
    /// Its text, token by token.
    pub tokens: Vec<String>,
    /// Tool calls: id, name, arguments in pieces.
    pub tools: Vec<(String, String, Vec<String>)>,
    /// Input and output tokens.
    pub usage: (u64, u64),
}

impl Say {
    /// So many different tokens.
    pub fn tokens(count: usize) -> Self {
        let tokens = (0..count).map(|n| format!("tok{n} ")).collect();
        Self { reasoning: None, tokens, tools: Vec::new(), usage: (11, 7) }
    }

    /// The same with a tool call.
    pub fn tool(mut self, id: &str, name: &str, pieces: &[&str]) -> Self {
        self.tools.push((id.into(), name.into(), pieces.iter().map(|it| (*it).to_owned()).collect()));
        self
    }

    /// The same with reasoning.
    pub fn reasoning(mut self, text: &str, signature: &str) -> Self {
        self.reasoning = Some((text.into(), signature.into()));
        self
    }

    /// All its text.
    pub fn text(&self) -> String {
        self.tokens.concat()
    }

    /// What comes before the first token.
    pub fn opening(&self, wire: Wire) -> String {
        match wire {
            Wire::OpenaiChat => chat(&json!({"role": "assistant", "content": ""}), None),
            Wire::Anthropic => {
                let usage = json!({"input_tokens": self.usage.0, "output_tokens": 1});
                let message = json!({"id": "msg_up", "type": "message", "role": "assistant", "model": "m-up", "content": [],
                    "stop_reason": null, "stop_sequence": null, "usage": usage});
                named(&json!({"type": "message_start", "message": message}))
            }
            Wire::Gemini => String::new(),
        }
    }

    /// Each piece of content, in order.
    pub fn content(&self, wire: Wire) -> Vec<String> {
        match wire {
            Wire::OpenaiChat => self.chat_content(),
            Wire::Anthropic => self.anthropic_content(),
            Wire::Gemini => self.gemini_content(),
        }
    }

    /// What comes after the last token, terminal marker included.
    pub fn closing(&self, wire: Wire) -> String {
        let calls = !self.tools.is_empty();
        match wire {
            Wire::OpenaiChat => {
                let finish = chat(&json!({}), Some(if calls { "tool_calls" } else { "stop" }));
                let usage = json!({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-up",
                    "choices": [], "usage": self.chat_usage()});
                format!("{finish}data: {usage}\n\ndata: [DONE]\n\n")
            }
            Wire::Anthropic => {
                let reason = if calls { "tool_use" } else { "end_turn" };
                let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
                    "usage": {"output_tokens": self.usage.1}});
                named(&delta) + &named(&json!({"type": "message_stop"}))
            }
            Wire::Gemini => gemini(&json!([]), Some("STOP"), Some(&self.gemini_usage())),
        }
    }

    /// The whole stream.
    pub fn stream(&self, wire: Wire) -> Bytes {
        (self.opening(wire) + &self.content(wire).concat() + &self.closing(wire)).into()
    }

    /// The whole body of a non-streaming answer of OpenAI's wire; others are always streamed.
    pub fn whole(&self) -> Value {
        let calls: Vec<Value> = self.tools.iter().map(|(id, name, pieces)| tool_call(id, name, &pieces.concat())).collect();
        let mut message = json!({"role": "assistant", "content": self.text()});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        if let Some((reasoning, _)) = &self.reasoning {
            message["reasoning_content"] = reasoning.as_str().into();
        }
        let finish = if self.tools.is_empty() { "stop" } else { "tool_calls" };
        json!({"id": "chatcmpl-up", "object": "chat.completion", "created": 1_700_000_000, "model": "m-up",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": self.chat_usage()})
    }

    /// The steps of one whole stream, head and end included.
    pub fn steps(&self, wire: Wire, pace: Pace) -> Vec<Step> {
        let mut steps = self.steps_until(wire, pace, usize::MAX);
        steps.extend(pause(pace));
        steps.extend([Step::Write(self.closing(wire).into()), Step::End]);
        steps
    }

    /// The head, the opening and the first `count` pieces of content.
    pub fn steps_until(&self, wire: Wire, pace: Pace, count: usize) -> Vec<Step> {
        let mut steps = vec![Step::Head(Head::sse())];
        if wire != Wire::Gemini {
            steps.push(Step::Write(self.opening(wire).into()));
        }
        for piece in self.content(wire).into_iter().take(count) {
            steps.extend(pause(pace));
            steps.push(Step::Write(piece.into()));
        }
        steps
    }

    /// A script that answers as it was asked, streaming or not.
    pub fn script(self, wire: Wire, pace: Pace) -> impl Fn(&Call, usize) -> Vec<Step> + Send + Sync + 'static {
        move |call, _| {
            if call.wants_stream() {
                return self.steps(wire, pace);
            }
            let mut steps: Vec<Step> = pause(pace).into_iter().collect();
            steps.extend(whole_json(200, self.whole().to_string()));
            steps
        }
    }

    fn chat_usage(&self) -> Value {
        let (input, output) = self.usage;
        json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
    }

    fn chat_content(&self) -> Vec<String> {
        let reasoning = self.reasoning.iter().map(|(text, _)| chat(&json!({"reasoning_content": text}), None));
        let tokens = self.tokens.iter().map(|token| chat(&json!({"content": token}), None));
        reasoning.chain(tokens).chain(self.chat_tools()).collect()
    }

    /// The calls' pieces by turns: first all openings, then the pieces interleaved.
    fn chat_tools(&self) -> Vec<String> {
        let delta = |index: usize, mut call: Value| {
            call["index"] = index.into();
            chat(&json!({"tool_calls": [call]}), None)
        };
        let openings = self.tools.iter().enumerate().map(|(index, (id, name, _))| delta(index, tool_call(id, name, "")));
        let longest = self.tools.iter().map(|(_, _, pieces)| pieces.len()).max().unwrap_or(0);
        let pieces = (0..longest).flat_map(|turn| {
            let piece = move |(index, it): (usize, &(String, String, Vec<String>))| {
                it.2.get(turn).map(|piece| delta(index, json!({"function": {"arguments": piece}})))
            };
            self.tools.iter().enumerate().filter_map(piece)
        });
        openings.chain(pieces).collect()
    }

    /// Blocks begin with their first piece and end with their last.
    fn anthropic_content(&self) -> Vec<String> {
        let text = |kind: &str, field: &str, text: &str| json!({"type": kind, field: text});
        let mut blocks = Vec::new();
        if let Some((thought, signature)) = &self.reasoning {
            let deltas = vec![text("thinking_delta", "thinking", thought), text("signature_delta", "signature", signature)];
            blocks.push((json!({"type": "thinking", "thinking": "", "signature": ""}), deltas));
        }
        if !self.tokens.is_empty() {
            let deltas = self.tokens.iter().map(|token| text("text_delta", "text", token)).collect();
            blocks.push((text("text", "text", ""), deltas));
        }
        for (id, name, pieces) in &self.tools {
            let deltas = pieces.iter().map(|piece| text("input_json_delta", "partial_json", piece)).collect();
            blocks.push((json!({"type": "tool_use", "id": id, "name": name, "input": {}}), deltas));
        }
        blocks.iter().enumerate().flat_map(|(index, (content, deltas))| block(index, content, deltas)).collect()
    }

    fn gemini_content(&self) -> Vec<String> {
        let part = |part: Value| gemini(&json!([part]), None, None);
        let reasoning = self.reasoning.iter().map(|(text, _)| part(json!({"text": text, "thought": true})));
        let tokens = self.tokens.iter().map(|token| part(json!({"text": token})));
        let signature = self.reasoning.as_ref().map(|(_, signature)| signature);
        let tools = self.tools.iter().map(|(_, name, pieces)| {
            let args: Value = serde_json::from_str(&pieces.concat()).unwrap();
            let mut call = json!({"functionCall": {"name": name, "args": args}});
            if let Some(signature) = signature {
                call["thoughtSignature"] = signature.as_str().into();
            }
            part(call)
        });
        reasoning.chain(tokens).chain(tools).collect()
    }

    fn gemini_usage(&self) -> Value {
        let (input, output) = self.usage;
        json!({"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output})
    }
}

fn pause(pace: Pace) -> Option<Step> {
    match pace {
        Pace::Flat => None,
        Pace::Gate => Some(Step::Gate),
        Pace::Every(time) => Some(Step::Pause(time)),
    }
}

fn tool_call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// One chunk of OpenAI's wire.
pub fn chat(delta: &Value, finish: Option<&str>) -> String {
    let chunk = json!({"id": "chatcmpl-up", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-up",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    format!("data: {chunk}\n\n")
}

/// One event of Anthropic's wire.
pub fn named(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// One block of Anthropic's wire, a piece for each delta.
fn block(index: usize, content: &Value, deltas: &[Value]) -> Vec<String> {
    let delta = |delta: &Value| named(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let mut pieces: Vec<String> = deltas.iter().map(delta).collect();
    pieces[0].insert_str(0, &named(&json!({"type": "content_block_start", "index": index, "content_block": content})));
    pieces.last_mut().unwrap().push_str(&named(&json!({"type": "content_block_stop", "index": index})));
    pieces
}

/// One chunk of Gemini's wire.
pub fn gemini(parts: &Value, finish: Option<&str>, usage: Option<&Value>) -> String {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = finish.into();
    }
    let mut chunk = json!({"candidates": [candidate], "modelVersion": "m-up", "responseId": "up"});
    if let Some(usage) = usage {
        chunk["usageMetadata"] = usage.clone();
    }
    format!("data: {chunk}\r\n\r\n")
}

/// An error as each wire spells it under a 200.
pub fn error(wire: Wire, message: &str) -> String {
    match wire {
        Wire::OpenaiChat => {
            format!("data: {}\n\n", json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}}))
        }
        Wire::Anthropic => named(&json!({"type": "error", "error": {"type": "api_error", "message": message}})),
        Wire::Gemini => format!("{}\r\n", refusal(wire, 500, message)),
    }
}

/// The body of an HTTP error as each wire spells it.
pub fn refusal(wire: Wire, status: u16, message: &str) -> Value {
    match wire {
        Wire::OpenaiChat => json!({"error": {"message": message, "type": "server_error", "param": null, "code": null}}),
        Wire::Anthropic => json!({"type": "error", "error": {"type": "api_error", "message": message}}),
        Wire::Gemini => json!({"error": {"code": status, "message": message, "status": "INTERNAL"}}),
    }
}
