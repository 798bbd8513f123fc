use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::model::chat::{PastCall, PastReasoning, Source};
use crate::model::target::{Account, Clocks, Quirks, Via};

fn target(quirks: Quirks) -> Target {
    let account = Account {
        name: "p".into(),
        via: Via::Http { wire: Wire::OpenaiChat, base_url: String::new() },
        key: None,
        headers: Vec::new(),
        clocks: Clocks::default(),
        http2: false,
        max_output: 8192,
        direct: false,
        quirks,
        proxy: None,
        ca_file: None,
    };
    Target { account: Arc::new(account), model: "up".into() }
}

fn written(chat: &Chat) -> Value {
    serde_json::from_slice(&write(chat, &target(Quirks::default()), Mode::Stream).unwrap()).unwrap()
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message { role, name: None, parts }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.to_owned()).unwrap())
}

fn past(id: &str, custom: bool, arguments: &str) -> Part {
    Part::ToolCall(PastCall { id: id.into(), name: "f".into(), arguments: arguments.into(), signature: None, wire: None, custom })
}

#[test]
#[expect(clippy::too_many_lines, reason = "one conversation with every kind of turn, and what it becomes")]
fn every_kind_of_turn_is_written() {
    let picture =
        || Part::Image { source: Source::Data { media_type: "image/png".into(), base64: "AA==".into() }, detail: Some("low".into()) };
    let thought = PastReasoning { text: "hm".into(), signature: None, redacted: None, wire: None, on_text: false };
    let result = ToolResult { id: "a".into(), name: None, parts: vec![text("42"), picture()], is_error: false };
    let chat = Chat {
        messages: vec![
            Message { name: Some("sys".into()), ..message(Role::System, vec![text("be kind")]) },
            message(Role::User, vec![text("look"), picture()]),
            message(
                Role::User,
                vec![
                    Part::Image { source: Source::Url("https://a.example/b.png".into()), detail: None },
                    Part::Audio { data: "AA==".into(), format: "wav".into() },
                    Part::File { source: Source::FileId("file-1".into()), filename: None },
                ],
            ),
            message(Role::Assistant, vec![Part::Reasoning(thought), past("a", false, ""), past("b", true, "go")]),
            message(Role::Tool, vec![Part::ToolResult(result), text("and?")]),
            message(Role::Assistant, vec![Part::Refusal("no".into())]),
            message(Role::User, vec![]),
        ],
        ..Chat::default()
    };
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}});
    assert_eq!(
        written(&chat)["messages"],
        json!([
            {"role": "system", "content": "be kind", "name": "sys"},
            {"role": "user", "content": [{"type": "text", "text": "look"}, image]},
            {"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [
                {"type": "function", "id": "a", "function": {"name": "f", "arguments": "{}"}},
                {"type": "custom", "id": "b", "custom": {"name": "f", "input": "go"}},
            ]},
            {"role": "tool", "content": "42", "tool_call_id": "a"},
            {"role": "user", "content": [image, {"type": "text", "text": "and?"}]},
            {"role": "assistant", "content": null, "refusal": "no"},
            {"role": "user", "content": ""},
        ])
    );
}

#[test]
fn every_wish_is_written() {
    let chat = Chat {
        tools: vec![
            Tool::Function { name: "f".into(), description: Some("d".into()), parameters: raw(r#"{"z":1,"a":2}"#), strict: Some(true) },
            Tool::Native { wire: Wire::OpenaiChat, kind: "custom".into(), json: raw(r#"{"type":"custom"}"#).unwrap() },
        ],
        tool_choice: Some(ToolChoice::Allowed { names: vec!["f".into()], required: true }),
        parallel_tools: Some(false),
        max_tokens: Some(9),
        temperature: Some(0.5),
        stop: vec!["x".into()],
        choices: Some(2),
        format: Some(Format::Schema { name: "s".into(), description: None, schema: raw("{}"), strict: Some(true) }),
        reasoning_budget: Some(5000),
        logit_bias: raw(r#"{"1":2}"#),
        user: Some("u".into()),
        ..Chat::default()
    };
    assert_eq!(
        written(&chat),
        json!({
            "model": "up", "messages": [],
            "tools": [
                {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"z": 1, "a": 2}, "strict": true}},
                {"type": "custom"},
            ],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
            "parallel_tool_calls": false, "max_completion_tokens": 9, "temperature": 0.5, "stop": ["x"], "n": 2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, "strict": true}},
            "reasoning_effort": "medium", "logit_bias": {"1": 2}, "user": "u",
            "stream": true, "stream_options": {"include_usage": true},
        })
    );
    let bytes = write(&chat, &target(Quirks::default()), Mode::Stream).unwrap();
    assert!(memchr::memmem::find(&bytes, br#"{"z":1,"a":2}"#).is_some(), "a schema keeps its order");
}

#[test]
fn quirks_are_minded() {
    let chat = Chat { max_tokens: Some(9), parallel_tools: Some(true), ..Chat::default() };
    let quirks = Quirks { max_tokens: true, no_stream_options: true, ..Quirks::default() };
    let body: Value = serde_json::from_slice(&write(&chat, &target(quirks), Mode::Stream).unwrap()).unwrap();
    assert_eq!(body, json!({"model": "up", "messages": [], "max_tokens": 9, "stream": true}));
}

#[test]
fn choices_of_tools_and_formats_are_spelled() {
    for (choice, json) in [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Auto, json!("auto")),
        (ToolChoice::Required, json!("required")),
        (ToolChoice::Named("f".into()), json!({"type": "function", "function": {"name": "f"}})),
    ] {
        assert_eq!(written(&Chat { tool_choice: Some(choice), ..Chat::default() })["tool_choice"], json);
    }
    for (format, json) in [(Format::Text, json!({"type": "text"})), (Format::Json, json!({"type": "json_object"}))] {
        assert_eq!(written(&Chat { format: Some(format), ..Chat::default() })["response_format"], json);
    }
}

#[test]
fn what_cannot_be_said_is_named() {
    let refused = |chat: Chat, param: &str| {
        let fault = write(&chat, &target(Quirks::default()), Mode::Stream).unwrap_err();
        assert_eq!((fault.status.as_u16(), fault.param.as_deref()), (400, Some(param)));
    };
    refused(Chat { unsupported: vec!["prediction"], ..Chat::default() }, "prediction");
    let native = Tool::Native { wire: Wire::Gemini, kind: "search".into(), json: raw("{}").unwrap() };
    refused(Chat { tools: vec![native], ..Chat::default() }, "tools");
    for part in [
        Part::Image { source: Source::FileId("f".into()), detail: None },
        Part::File { source: Source::Url("https://a.example".into()), filename: None },
        past("a", false, "{}"),
    ] {
        refused(Chat { messages: vec![message(Role::User, vec![part])], ..Chat::default() }, "messages");
    }
}
