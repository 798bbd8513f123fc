//! The request that each preset is sent over `openai-chat` for one and the same chat, as a snapshot
//! for review.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::super::presets;
use super::parsed;
use crate::model::ask::Ask;
use crate::model::chat::{
    CacheMark, Chat, Format, Message, Part, PastCall, PastReasoning, Role, Source, Tool,
    ToolChoice, ToolResult,
};
use crate::model::learned::Learned;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::{self, Mode};

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        name: Some("ann".into()),
        parts,
    }
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.to_owned()).unwrap())
}

/// A chat with every field that a provider may not support.
fn full_chat() -> Chat {
    let thought = PastReasoning {
        text: "hm".into(),
        signature: None,
        redacted: None,
        wire: Some(WireId::OpenaiChat),
        on_text: false,
    };
    let call = PastCall {
        id: "call_1".into(),
        name: "f".into(),
        arguments: String::new(),
        signature: None,
        wire: None,
        custom: false,
    };
    let result = ToolResult {
        id: "call_1".into(),
        name: None,
        parts: vec![Part::Text("42".into())],
        is_error: false,
    };
    let picture = Part::Image {
        source: Source::Url("https://a.example/b.png".into()),
        detail: Some("low".into()),
    };
    let tool = |name: &str| Tool::Function {
        name: name.into(),
        description: None,
        parameters: raw("{}"),
        strict: Some(true),
        cache: None,
    };
    Chat {
        messages: vec![
            message(
                Role::System,
                vec![
                    Part::Text("rules".into()),
                    Part::CacheMark(CacheMark::default()),
                ],
            ),
            message(Role::User, vec![Part::Text("look".into()), picture]),
            message(
                Role::Assistant,
                vec![Part::Reasoning(thought), Part::ToolCall(call)],
            ),
            message(Role::Tool, vec![Part::ToolResult(result)]),
        ],
        tools: vec![tool("f"), tool("g")],
        tool_choice: Some(ToolChoice::Named("f".into())),
        parallel_tools: Some(true),
        max_tokens: Some(9),
        temperature: Some(0.5),
        top_k: Some(4),
        seed: Some(1),
        presence_penalty: Some(0.5),
        stop: vec!["x".into()],
        choices: Some(2),
        format: Some(Format::Schema {
            name: "s".into(),
            description: None,
            schema: raw("{}"),
            strict: None,
        }),
        effort: Some("high".into()),
        verbosity: Some("low".into()),
        logprobs: Some(true),
        logit_bias: raw("{}"),
        user: Some("u".into()),
        service_tier: Some("flex".into()),
        cache_key: Some("k".into()),
        metadata: raw("{}"),
        ..Chat::default()
    }
}

fn ask(chat: Chat) -> Ask {
    Ask::example(WireId::Anthropic, "", chat)
}

/// Returns the request body that is sent. Each unsupported field is reported and removed from the
/// chat, until the rest can be sent.
fn request_body(target: &Target) -> String {
    let mut out = String::new();
    let mut chat = full_chat();
    loop {
        let (wire, learned) = (wire::for_id(WireId::OpenaiChat), Learned::default());
        match wire.draft(&ask(chat.clone()), target, &learned, Mode::Stream) {
            Ok(draft) => {
                let body = std::str::from_utf8(&draft.body).unwrap().to_owned();
                return out + &body + "\n";
            }
            Err(fault) => {
                writeln!(
                    out,
                    "{} {}: {}",
                    fault.status.as_u16(),
                    fault.param.as_deref().unwrap(),
                    fault.message
                )
                .unwrap();
                match fault.param.as_deref().unwrap() {
                    "n" => chat.choices = None,
                    "tools" => chat.tools.clear(),
                    "tool_choice" => chat.tool_choice = None,
                    "response_format" => chat.format = None,
                    field if field.starts_with("messages[") => chat.messages.truncate(2),
                    field => panic!("the chat has no field {field} to remove"),
                }
            }
        }
    }
}

#[test]
fn one_chat_as_each_provider_is_sent_it() {
    let table = presets::markdown();
    let names = table
        .lines()
        .skip(2)
        .filter(|row| row.contains("`openai-chat`"))
        .filter_map(|row| row.split('`').nth(1));
    let mut requests = String::new();
    for name in names {
        let lines = format!(
            "[providers.{name}]\npreset = '{name}'\nwire = 'openai-chat'\nbase_url = 'http://127.0.0.1:1/v1'\napi_key = 'k'\ndirect = true"
        );
        let provider = parsed(&lines).route.providers[name].clone();
        writeln!(
            requests,
            "{name}\n{}",
            request_body(&Target {
                provider,
                model: "m".into()
            })
        )
        .unwrap();
    }
    insta::assert_snapshot!(requests);
}
