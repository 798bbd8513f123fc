use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::model::chat::{
    CacheMark, Format, Message, Part, PastCall, PastReasoning, Role, Source, Tool, ToolChoice,
    ToolResult,
};
use crate::model::target::Provider;
use crate::model::wire::WireId;

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const NOVA: &str = "us.amazon.nova-lite-v1:0";
const NOVA_2: &str = "us.amazon.nova-2-lite-v1:0";
const LLAMA: &str = "us.meta.llama3-3-70b-instruct-v1:0";

fn drafted(model: &str, chat: Chat, mode: Mode) -> Result<Draft, Fault> {
    let provider = Provider::example(WireId::Bedrock, "https://upstream.test");
    let target = Target::example(provider, model);
    let ask = Ask::example(WireId::OpenaiChat, "", chat).with_headers(&[
        ("anthropic-beta", "b"),
        ("traceparent", "t"),
        ("cookie", "c"),
    ]);
    draft(&ask, &target, mode)
}

/// Returns the body written for a chat and a model.
fn for_model(model: &str, chat: Chat) -> Value {
    serde_json::from_slice(&drafted(model, chat, Mode::Stream).unwrap().body).unwrap()
}

fn body(chat: Chat) -> Value {
    for_model(CLAUDE, chat)
}

/// Returns the rejected parameter and the message.
fn rejected(chat: Chat) -> (String, String) {
    let fault = drafted(CLAUDE, chat, Mode::Stream).unwrap_err();
    assert_eq!(fault.status.as_u16(), 400);
    (fault.param.unwrap(), fault.message)
}

fn chat_message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        parts,
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn with(parts: Vec<Part>) -> Chat {
    Chat {
        messages: vec![chat_message(Role::User, parts)],
        ..Chat::default()
    }
}

fn hi() -> Chat {
    with(vec![text("hi")])
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
}

fn function(name: &str, parameters: Option<&str>) -> Tool {
    Tool::Function {
        name: name.into(),
        description: None,
        parameters: parameters.map(raw),
        strict: None,
        cache: None,
    }
}

fn result(id: &str, parts: Vec<Part>, is_error: bool) -> Part {
    Part::ToolResult(ToolResult {
        id: id.into(),
        name: None,
        parts,
        is_error,
    })
}

fn call(id: &str, arguments: &str, custom: bool) -> Part {
    Part::ToolCall(PastCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        signature: None,
        wire: None,
        custom,
    })
}

fn past(text: &str, signature: Option<&str>, redacted: Option<&str>, wire: Option<WireId>) -> Part {
    let (signature, redacted) = (signature.map(Into::into), redacted.map(Into::into));
    Part::Reasoning(PastReasoning {
        text: text.into(),
        signature,
        redacted,
        wire,
        on_text: false,
    })
}

fn data(media_type: &str) -> Source {
    Source::Data {
        media_type: media_type.into(),
        base64: "AA==".into(),
    }
}

fn file(media_type: &str, filename: Option<&str>) -> Part {
    Part::File {
        source: data(media_type),
        filename: filename.map(Into::into),
    }
}

fn mark(ttl: Option<&str>) -> Part {
    Part::CacheMark(CacheMark {
        ttl: ttl.map(Into::into),
    })
}

fn point(ttl: Option<&str>) -> Value {
    let mut point = json!({"cachePoint": {"type": "default"}});
    if let Some(ttl) = ttl {
        point["cachePoint"]["ttl"] = ttl.into();
    }
    point
}

/// A chat with past tool calls.
fn called() -> Chat {
    let messages = vec![
        chat_message(Role::User, vec![text("go")]),
        chat_message(Role::Assistant, vec![call("a", "{}", false)]),
        chat_message(Role::Tool, vec![result("a", vec![text("1")], false)]),
    ];
    Chat {
        messages,
        ..Chat::default()
    }
}

#[test]
fn the_model_is_encoded_in_the_path() {
    for (model, encoded) in [
        (
            "anthropic.claude-3-haiku-20240307-v1:0",
            "anthropic.claude-3-haiku-20240307-v1%3A0",
        ),
        (
            "arn:aws:bedrock:us-east-1:1:inference-profile/x_y~",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx_y~",
        ),
        ("../a?b#c%2e", "..%2Fa%3Fb%23c%252e"),
    ] {
        let path = |mode| drafted(model, hi(), mode).unwrap().path;
        assert_eq!(
            path(Mode::Stream),
            format!("/model/{encoded}/converse-stream")
        );
        assert_eq!(path(Mode::Whole), format!("/model/{encoded}/converse"));
    }
    for model in ["", ".", ".."] {
        assert_eq!(
            drafted(model, hi(), Mode::Stream)
                .unwrap_err()
                .param
                .as_deref(),
            Some("model")
        );
    }
}

#[test]
fn a_plain_chat_is_written_without_options() {
    let draft = drafted(CLAUDE, hi(), Mode::Stream).unwrap();
    let names: Vec<&str> = draft
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["traceparent"]);
    let expected = json!({"messages": [{"role": "user", "content": [{"text": "hi"}]}]});
    assert_eq!(
        serde_json::from_slice::<Value>(&draft.body).unwrap(),
        expected
    );
}

#[test]
fn turns_alternate_and_system_text_is_separate() {
    let messages = vec![
        chat_message(Role::System, vec![text("one"), text(" ")]),
        chat_message(Role::User, vec![text("a")]),
        chat_message(Role::User, vec![text(""), text(" \n"), text("b ")]),
        chat_message(Role::System, vec![text("two")]),
        chat_message(Role::Assistant, vec![text("c"), Part::Refusal("no".into())]),
        chat_message(Role::User, vec![text("d")]),
    ];
    let body = body(Chat {
        messages,
        ..Chat::default()
    });
    assert_eq!(body["system"], json!([{"text": "one"}, {"text": "two"}]));
    let turns = json!([
        {"role": "user", "content": [{"text": "a"}, {"text": "b "}]},
        {"role": "assistant", "content": [{"text": "c"}, {"text": "no"}]},
        {"role": "user", "content": [{"text": "d"}]},
    ]);
    assert_eq!(body["messages"], turns);
}

#[test]
fn tool_results_come_first_in_one_turn() {
    let messages = vec![
        chat_message(
            Role::Assistant,
            vec![
                call("c.1", r#"{"x":1}"#, false),
                call("2", "", false),
                call("3", "free\n", true),
            ],
        ),
        chat_message(Role::User, vec![text("well?")]),
        chat_message(
            Role::Tool,
            vec![result(
                "c.1",
                vec![
                    text("r"),
                    Part::Image {
                        source: data("image/png"),
                        detail: None,
                    },
                ],
                false,
            )],
        ),
        chat_message(Role::Tool, vec![result("2", vec![text("")], true)]),
    ];
    let body = body(Chat {
        messages,
        tools: vec![function("f", None)],
        ..Chat::default()
    });
    let uses = json!([
        {"toolUse": {"toolUseId": "c_2e1", "name": "f", "input": {"x": 1}}},
        {"toolUse": {"toolUseId": "2", "name": "f", "input": {}}},
        {"toolUse": {"toolUseId": "3", "name": "f", "input": {"input": "free\n"}}},
    ]);
    assert_eq!(body["messages"][0]["content"], uses);
    let image = json!({"image": {"format": "png", "source": {"bytes": "AA=="}}});
    let answers = json!([
        {"toolResult": {"toolUseId": "c_2e1", "content": [{"text": "r"}, image]}},
        {"toolResult": {"toolUseId": "2", "content": [{"text": "(empty)"}], "status": "error"}},
        {"text": "well?"},
    ]);
    assert_eq!(body["messages"][1]["content"], answers);
}

#[test]
fn call_ids_are_short_and_unique() {
    let id = |id: &str| {
        let calls = vec![
            chat_message(Role::Assistant, vec![call(id, "{}", false)]),
            chat_message(Role::Tool, vec![result(id, vec![], false)]),
        ];
        let body = body(Chat {
            messages: calls,
            tools: vec![function("f", None)],
            ..Chat::default()
        });
        let called = body["messages"][0]["content"][0]["toolUse"]["toolUseId"].clone();
        assert_eq!(
            body["messages"][1]["content"][0]["toolResult"]["toolUseId"], called,
            "call and result have the same id"
        );
        called.as_str().unwrap().to_owned()
    };
    assert_eq!(
        id("tooluse_hsyz7O0QqkhdTHrpQhVYXj"),
        "tooluse_hsyz7O0QqkhdTHrpQhVYXj"
    );
    assert_eq!(id("functions.f:0"), "functions_2ef_3a0");
    let longs = [
        id(&"x".repeat(65)),
        id(&"x".repeat(66)),
        id(&".".repeat(30)),
        id(""),
    ];
    for (n, long) in longs.iter().enumerate() {
        assert!(
            (1..=64).contains(&long.len())
                && long.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "{long}"
        );
        assert!(!longs[..n].contains(long));
    }
}

#[test]
fn past_reasoning_is_sent_first_and_only_to_its_own_wire() {
    let parts = vec![
        text("said"),
        past("hm", Some("S"), None, Some(WireId::Bedrock)),
        past("", None, Some("UjE="), Some(WireId::Bedrock)),
        past("unsigned", None, None, Some(WireId::Bedrock)),
        past("foreign", Some("S"), None, Some(WireId::Anthropic)),
        past("unknown", Some("S"), None, None),
    ];
    let body = body(Chat {
        messages: vec![
            chat_message(Role::User, vec![text("a")]),
            chat_message(Role::Assistant, parts),
        ],
        ..Chat::default()
    });
    let expected = json!([
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "S"}}},
        {"reasoningContent": {"redactedContent": "UjE="}},
        {"text": "said"},
    ]);
    assert_eq!(body["messages"][1]["content"], expected);
}

#[test]
fn media_are_sent_as_bytes_and_documents_have_names_and_text() {
    let parts = vec![
        Part::Image {
            source: data("image/jpeg"),
            detail: Some("low".into()),
        },
        file("application/pdf", Some("notes.v2.pdf")),
        file("text/plain", Some("notes.v2.pdf")),
        file("image/webp", None),
        file("video/mp4", None),
        Part::Audio {
            data: "bQ==".into(),
            format: "mp3".into(),
        },
    ];
    let source = json!({"bytes": "AA=="});
    let mut expected = vec![
        json!({"image": {"format": "jpeg", "source": source}}),
        json!({"document": {"format": "pdf", "name": "notes-v2-pdf", "source": source}}),
        json!({"document": {"format": "txt", "name": "notes-v2-pdf (2)", "source": source}}),
        json!({"image": {"format": "webp", "source": source}}),
        json!({"video": {"format": "mp4", "source": source}}),
        json!({"audio": {"format": "mp3", "source": {"bytes": "bQ=="}}}),
    ];
    let written = body(with([vec![text("see")], parts.clone()].concat()));
    assert_eq!(
        written["messages"][0]["content"],
        json!([vec![json!({"text": "see"})], expected.clone()].concat())
    );
    expected.push(json!({"text": "notes-v2-pdf"}));
    assert_eq!(body(with(parts))["messages"][0]["content"], json!(expected));
}

#[test]
fn cache_marks_become_cache_points_for_models_that_cache() {
    let chat = |ttl: Option<&str>| {
        let tool = |cache| Tool::Function {
            name: "f".into(),
            description: None,
            parameters: None,
            strict: None,
            cache,
        };
        Chat {
            messages: vec![
                chat_message(
                    Role::System,
                    vec![mark(None), text("s"), mark(ttl), mark(None)],
                ),
                chat_message(
                    Role::User,
                    vec![mark(None), text("a"), mark(ttl), text("b")],
                ),
                chat_message(
                    Role::Assistant,
                    vec![
                        past("", None, Some("UjE="), Some(WireId::Bedrock)),
                        mark(None),
                        call("a", "{}", false),
                    ],
                ),
                chat_message(
                    Role::Tool,
                    vec![result("a", vec![text("1"), mark(ttl)], false), text("c")],
                ),
            ],
            tools: vec![
                tool(Some(CacheMark {
                    ttl: ttl.map(Into::into),
                })),
                function("g", None),
            ],
            ..Chat::default()
        }
    };
    for (model, written, tools) in [(CLAUDE, Some("1h"), 3), (NOVA, None, 2)] {
        let body = for_model(model, chat(Some("1h")));
        assert_eq!(body["system"], json!([{"text": "s"}, point(written)]));
        assert_eq!(
            body["messages"][0]["content"],
            json!([{"text": "a"}, point(written), {"text": "b"}])
        );
        assert_eq!(
            body["messages"][1]["content"].as_array().unwrap().len(),
            2,
            "reasoning accepts no mark"
        );
        assert_eq!(
            body["messages"][2]["content"].as_array().unwrap()[1..],
            [point(written), json!({"text": "c"})]
        );
        assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), tools);
    }
    assert_eq!(
        body(chat(Some("24h")))["system"][1],
        point(None),
        "an unknown lifetime becomes the model's default"
    );
    assert!(
        !for_model(LLAMA, chat(None))
            .to_string()
            .contains("cachePoint")
    );
    let all = body(Chat {
        cache: Some(CacheMark::default()),
        ..hi()
    });
    assert_eq!(
        all["messages"][0]["content"],
        json!([{"text": "hi"}, point(None)])
    );
}

#[test]
fn tools_are_declared_with_an_object_schema() {
    let full = Tool::Function {
        name: "f".into(),
        description: Some("does f".into()),
        parameters: Some(raw(r#"{"type":"object","properties":{"x":{}}}"#)),
        strict: Some(true),
        cache: None,
    };
    let tools = vec![
        full,
        function("g", None),
        function("h", Some(r#"{"properties":{}}"#)),
    ];
    let config = body(Chat {
        tools,
        parallel_tools: Some(false),
        ..hi()
    })["toolConfig"]
        .clone();
    let schema = |json: Value| json!({"json": json});
    let expected = json!({"tools": [
        {"toolSpec": {"name": "f", "description": "does f", "inputSchema": schema(json!({"type": "object", "properties": {"x": {}}})), "strict": true}},
        {"toolSpec": {"name": "g", "inputSchema": schema(json!({"type": "object", "properties": {}}))}},
        {"toolSpec": {"name": "h", "inputSchema": schema(json!({"properties": {}, "type": "object"}))}},
    ]});
    assert_eq!(config, expected);
}

#[test]
fn tool_choices_are_translated() {
    let choose = |choice| Chat {
        tools: vec![function("f", None), function("g", None)],
        tool_choice: Some(choice),
        ..hi()
    };
    let allowed = |names: &[&str], required| ToolChoice::Allowed {
        names: names.iter().map(|it| (*it).to_owned()).collect(),
        required,
    };
    for (choice, expected, count) in [
        (ToolChoice::Auto, json!({"auto": {}}), 2),
        (ToolChoice::Required, json!({"any": {}}), 2),
        (
            ToolChoice::Named("f".into()),
            json!({"tool": {"name": "f"}}),
            2,
        ),
        (allowed(&["g"], true), json!({"any": {}}), 1),
        (allowed(&["g"], false), json!({"auto": {}}), 1),
    ] {
        let config = body(choose(choice))["toolConfig"].clone();
        assert_eq!(
            (
                &config["toolChoice"],
                config["tools"].as_array().unwrap().len()
            ),
            (&expected, count)
        );
    }
    assert!(
        body(choose(ToolChoice::None)).get("toolConfig").is_none(),
        "tools that must not be called are not declared"
    );
    assert!(
        body(Chat {
            tool_choice: Some(ToolChoice::Auto),
            ..hi()
        })
        .get("toolConfig")
        .is_none()
    );
}

#[test]
fn a_conversation_with_past_calls_declares_tools() {
    let tools = vec![function("g", None)];
    assert_eq!(
        body(Chat {
            tools: tools.clone(),
            ..called()
        })["toolConfig"]["tools"][0]["toolSpec"]["name"],
        "g"
    );
    let schema = json!({"json": {"type": "object", "properties": {}}});
    let spec = json!({"name": "f", "description": "This tool cannot be called any more.", "inputSchema": schema});
    let withheld = json!({"tools": [{"toolSpec": spec}]});
    let forbidden = Chat {
        tools,
        tool_choice: Some(ToolChoice::None),
        ..called()
    };
    for chat in [
        called(),
        Chat {
            tool_choice: Some(ToolChoice::Auto),
            ..called()
        },
        forbidden,
    ] {
        assert_eq!(body(chat)["toolConfig"], withheld);
    }
    let written = body(with(vec![result("a", vec![text("1")], false)]));
    assert_eq!(
        written["toolConfig"]["tools"][0]["toolSpec"]["name"], "tool",
        "the call of this result is missing"
    );
    assert_eq!(
        rejected(Chat {
            tool_choice: Some(ToolChoice::Required),
            ..called()
        })
        .0,
        "tool_choice"
    );
}

#[test]
fn sampling_is_written_in_the_fields_of_each_vendor() {
    let chat = || Chat {
        max_tokens: Some(9),
        temperature: Some(1.5),
        top_p: Some(0.9),
        top_k: Some(5),
        seed: Some(1),
        presence_penalty: Some(0.5),
        stop: vec!["X".into()],
        ..hi()
    };
    let inference =
        json!({"maxTokens": 9, "temperature": 1.0, "topP": 0.9, "stopSequences": ["X"]});
    for (model, additional) in [
        (CLAUDE, json!({"top_k": 5})),
        ("m-up", json!({"top_k": 5})),
        (NOVA, json!({"inferenceConfig": {"topK": 5}})),
        (LLAMA, Value::Null),
    ] {
        let body = for_model(model, chat());
        assert_eq!(body["inferenceConfig"], inference);
        assert_eq!(body["additionalModelRequestFields"], additional, "{model}");
    }
    assert!(
        body(Chat {
            top_p: Some(1.0),
            ..hi()
        })
        .get("inferenceConfig")
        .is_none()
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case for each vendor")]
fn reasoning_is_written_in_the_fields_of_each_vendor() {
    let written = |model: &str, effort: Option<&str>, reasoning_budget| {
        let chat = Chat {
            effort: effort.map(Into::into),
            reasoning_budget,
            temperature: Some(0.5),
            top_k: Some(3),
            ..hi()
        };
        let body = for_model(model, chat);
        let mut additional = body["additionalModelRequestFields"].clone();
        if let Some(fields) = additional.as_object_mut() {
            fields.remove("inferenceConfig");
        }
        json!([
            additional,
            body["outputConfig"]["effort"],
            body["inferenceConfig"]["temperature"]
        ])
    };
    for (model, effort, budget, expected) in [
        (
            CLAUDE,
            Some("high"),
            None,
            json!([{"top_k": 3}, "high", 0.5]),
        ),
        (
            CLAUDE,
            Some("minimal"),
            None,
            json!([{"top_k": 3}, "low", 0.5]),
        ),
        (
            CLAUDE,
            Some("none"),
            None,
            json!([{"thinking": {"type": "disabled"}, "top_k": 3}, null, 0.5]),
        ),
        (
            CLAUDE,
            None,
            Some(0),
            json!([{"thinking": {"type": "disabled"}, "top_k": 3}, null, 0.5]),
        ),
        (
            CLAUDE,
            None,
            Some(7),
            json!([{"thinking": {"type": "enabled", "budget_tokens": 1024}}, null, null]),
        ),
        (
            CLAUDE,
            Some("max"),
            Some(5000),
            json!([{"thinking": {"type": "enabled", "budget_tokens": 5000}}, "max", null]),
        ),
        (
            "m-up",
            None,
            Some(5000),
            json!([{"thinking": {"type": "enabled", "budget_tokens": 5000}}, null, null]),
        ),
        (
            NOVA_2,
            Some("xhigh"),
            None,
            json!([{"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, null, 0.5]),
        ),
        (
            NOVA_2,
            None,
            Some(5000),
            json!([{"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, null, 0.5]),
        ),
        (NOVA_2, Some("none"), None, json!([{}, null, 0.5])),
        (
            "openai.gpt-oss-20b-1:0",
            Some("minimal"),
            None,
            json!([{"reasoning_effort": "low"}, null, 0.5]),
        ),
        (
            "openai.gpt-5.6",
            Some("none"),
            None,
            json!([{"reasoning": {"effort": "none"}}, null, 0.5]),
        ),
        (LLAMA, Some("low"), Some(5000), json!([null, "low", 0.5])),
    ] {
        assert_eq!(
            written(model, effort, budget),
            expected,
            "{model} {effort:?} {budget:?}"
        );
    }
}

#[test]
fn a_schema_is_sent_as_text() {
    let format = |schema: Option<&str>| Format::Schema {
        name: "city".into(),
        description: Some("a city".into()),
        schema: schema.map(raw),
        strict: Some(true),
    };
    let written = body(Chat {
        format: Some(format(Some(r#"{"type":"object"}"#))),
        ..hi()
    });
    let schema = json!({"schema": r#"{"type":"object"}"#, "name": "city", "description": "a city"});
    assert_eq!(
        written["outputConfig"],
        json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}})
    );
    assert!(
        body(Chat {
            format: Some(Format::Text),
            ..hi()
        })
        .get("outputConfig")
        .is_none()
    );
}

#[test]
fn user_and_service_tier_are_sent_if_aws_accepts_them() {
    let written = body(Chat {
        user: Some("ann@a.example".into()),
        service_tier: Some("flex".into()),
        ..hi()
    });
    assert_eq!(
        (&written["requestMetadata"], &written["serviceTier"]),
        (&json!({"user": "ann@a.example"}), &json!({"type": "flex"}))
    );
    for (user, tier) in [("ann\u{e9}", "auto"), ("", "scale")] {
        let written = body(Chat {
            user: Some(user.into()),
            service_tier: Some(tier.into()),
            ..hi()
        });
        assert!(written.get("requestMetadata").is_none() && written.get("serviceTier").is_none());
    }
}

#[test]
fn hints_of_other_apis_are_left_out() {
    let harmless = Chat {
        choices: Some(1),
        logit_bias: Some(raw("{}")),
        logprobs: Some(true),
        verbosity: Some("low".into()),
        ..hi()
    };
    assert_eq!(body(harmless), body(hi()));
}
