use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::model::accepts::{Accepts, CallIds, FormatSupport, MediaSupport, ToolChoiceSupport};
use crate::model::chat::{
    CacheMark, Format, Message, Part, PastCall, PastReasoning, Role, Source, Tool, ToolChoice,
    ToolResult,
};
use crate::model::quirks::{Hints, Quirks, ReasoningReplay, Vocabulary};
use crate::model::target::Provider;

fn target(quirks: Quirks) -> Target {
    let provider = Provider {
        quirks,
        ..Provider::example(WireId::OpenaiChat, "")
    };
    Target::example(provider, "up")
}

/// Returns the body that is written for a chat.
fn write(chat: &Chat, target: &Target, mode: Mode) -> Result<Bytes, Fault> {
    request::to_json(&body(chat, target, mode)?)
}

fn written(chat: &Chat) -> Value {
    written_for(Quirks::NONE, chat)
}

fn written_for(quirks: Quirks, chat: &Chat) -> Value {
    serde_json::from_slice(&write(chat, &target(quirks), Mode::Stream).unwrap()).unwrap()
}

/// Returns the field that a 400 names, and its message.
fn rejected_by(quirks: Quirks, chat: &Chat) -> (Option<String>, String) {
    let fault = write(chat, &target(quirks), Mode::Stream).unwrap_err();
    assert_eq!(fault.status, 400);
    (fault.param, fault.message)
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        name: None,
        parts,
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    Some(RawValue::from_string(json.to_owned()).unwrap())
}

fn past(id: &str, custom: bool, arguments: &str) -> Part {
    Part::ToolCall(PastCall {
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        signature: None,
        wire: None,
        custom,
    })
}

#[test]
fn every_kind_of_turn_is_written() {
    let picture = || Part::Image {
        source: Source::Data {
            media_type: "image/png".into(),
            base64: "AA==".into(),
        },
        detail: Some("low".into()),
    };
    let thought = PastReasoning {
        text: "hm".into(),
        signature: None,
        redacted: None,
        wire: None,
        on_text: false,
    };
    let result = ToolResult {
        id: "a".into(),
        name: None,
        parts: vec![text("42"), picture()],
        is_error: false,
    };
    let chat = Chat {
        messages: vec![
            Message {
                name: Some("sys".into()),
                ..message(Role::System, vec![text("be kind")])
            },
            message(Role::User, vec![text("look"), picture()]),
            message(
                Role::User,
                vec![
                    Part::Image {
                        source: Source::Url("https://a.example/b.png".into()),
                        detail: None,
                    },
                    Part::Audio {
                        data: "AA==".into(),
                        format: "wav".into(),
                    },
                    Part::File {
                        source: Source::FileId("file-1".into()),
                        filename: None,
                    },
                ],
            ),
            message(
                Role::Assistant,
                vec![
                    Part::Reasoning(thought),
                    past("a", false, ""),
                    past("b", true, "go"),
                ],
            ),
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
fn every_option_is_written() {
    let chat = Chat {
        tools: vec![
            Tool::Function {
                name: "f".into(),
                description: Some("d".into()),
                parameters: raw(r#"{"z":1,"a":2}"#),
                strict: Some(true),
                cache: None,
            },
            Tool::Native {
                wire: WireId::OpenaiChat,
                kind: "custom".into(),
                json: raw(r#"{"type":"custom"}"#).unwrap(),
            },
        ],
        tool_choice: Some(ToolChoice::Allowed {
            names: vec!["f".into()],
            required: true,
        }),
        parallel_tools: Some(false),
        max_tokens: Some(9),
        temperature: Some(0.5),
        stop: vec!["x".into()],
        choices: Some(2),
        format: Some(Format::Schema {
            name: "s".into(),
            description: None,
            schema: raw("{}"),
            strict: Some(true),
        }),
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
    let bytes = write(&chat, &target(Quirks::NONE), Mode::Stream).unwrap();
    assert!(
        memchr::memmem::find(&bytes, br#"{"z":1,"a":2}"#).is_some(),
        "a schema keeps its order"
    );
}

fn function(name: &str, cache: Option<CacheMark>) -> Tool {
    Tool::Function {
        name: name.into(),
        description: None,
        parameters: None,
        strict: None,
        cache,
    }
}

#[test]
fn quirks_are_applied() {
    let chat = Chat {
        max_tokens: Some(9),
        parallel_tools: Some(true),
        ..Chat::default()
    };
    let quirks = Quirks {
        max_tokens: true,
        no_stream_options: true,
        ..Quirks::NONE
    };
    let body: Value =
        serde_json::from_slice(&write(&chat, &target(quirks), Mode::Stream).unwrap()).unwrap();
    assert_eq!(
        body,
        json!({"model": "up", "messages": [], "max_tokens": 9, "stream": true})
    );
}

#[test]
fn tool_choices_and_formats_are_written() {
    for (choice, json) in [
        (ToolChoice::None, json!("none")),
        (ToolChoice::Auto, json!("auto")),
        (ToolChoice::Required, json!("required")),
        (
            ToolChoice::Named("f".into()),
            json!({"type": "function", "function": {"name": "f"}}),
        ),
    ] {
        assert_eq!(
            written(&Chat {
                tools: vec![function("f", None)],
                tool_choice: Some(choice),
                ..Chat::default()
            })["tool_choice"],
            json
        );
    }
    for (format, json) in [
        (Format::Text, json!({"type": "text"})),
        (Format::Json, json!({"type": "json_object"})),
    ] {
        assert_eq!(
            written(&Chat {
                format: Some(format),
                ..Chat::default()
            })["response_format"],
            json
        );
    }
}

#[test]
fn unsupported_fields_are_rejected_by_name() {
    let rejected = |chat: Chat, param: &str| {
        let fault = write(&chat, &target(Quirks::NONE), Mode::Stream).unwrap_err();
        assert_eq!(
            (fault.status.as_u16(), fault.param.as_deref()),
            (400, Some(param))
        );
    };
    rejected(
        Chat {
            unsupported: vec!["prediction"],
            ..Chat::default()
        },
        "prediction",
    );
    let native = Tool::Native {
        wire: WireId::Gemini,
        kind: "search".into(),
        json: raw("{}").unwrap(),
    };
    rejected(
        Chat {
            tools: vec![native],
            ..Chat::default()
        },
        "tools[0]",
    );
    for (part, place) in [
        (
            Part::Image {
                source: Source::FileId("f".into()),
                detail: None,
            },
            "messages[0].content[0]",
        ),
        (
            Part::File {
                source: Source::Url("https://a.example".into()),
                filename: None,
            },
            "messages[0].content[0]",
        ),
        (past("a", false, "{}"), "messages[0]"),
    ] {
        rejected(
            Chat {
                messages: vec![message(Role::User, vec![part])],
                ..Chat::default()
            },
            place,
        );
    }
}

#[test]
fn unsupported_hints_are_left_out() {
    let chat = Chat {
        messages: vec![Message {
            name: Some("ann".into()),
            ..message(Role::User, vec![text("hi")])
        }],
        tools: vec![function("f", None)],
        parallel_tools: Some(true),
        top_k: Some(4),
        seed: Some(1),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.2),
        effort: Some("low".into()),
        verbosity: Some("low".into()),
        logprobs: Some(true),
        top_logprobs: Some(2),
        logit_bias: raw("{}"),
        user: Some("u".into()),
        service_tier: Some("flex".into()),
        cache: Some(CacheMark::default()),
        cache_key: Some("k".into()),
        metadata: raw("{}"),
        ..Chat::default()
    };
    let all = [
        Hints::SEED,
        Hints::PENALTIES,
        Hints::LOGPROBS,
        Hints::LOGIT_BIAS,
        Hints::USER,
        Hints::NAMES,
        Hints::METADATA,
        Hints::SERVICE_TIER,
        Hints::CACHE_KEY,
        Hints::VERBOSITY,
        Hints::EFFORT,
        Hints::PARALLEL,
    ];
    let lacks = all.into_iter().fold(Hints::default(), Hints::and);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let bare = json!({"model": "up", "messages": [{"role": "user", "content": "hi"}], "tools": tools, "stream": true, "stream_options": {"include_usage": true}});
    assert_eq!(
        written_for(
            Quirks {
                lacks,
                ..Quirks::NONE
            },
            &chat
        ),
        bare
    );
    let one_at_a_time = Chat {
        parallel_tools: Some(false),
        ..chat.clone()
    };
    assert_eq!(
        written_for(
            Quirks {
                lacks,
                ..Quirks::NONE
            },
            &one_at_a_time
        )["parallel_tool_calls"],
        false
    );
    let whole = written_for(
        Quirks {
            top_k: true,
            cache_marks: true,
            ..Quirks::NONE
        },
        &chat,
    );
    assert_eq!(whole.as_object().unwrap().len(), 20, "{whole}");
    assert_eq!(
        (&whole["top_k"], &whole["cache_control"]),
        (&json!(4), &json!({"type": "ephemeral"}))
    );
}

#[test]
fn unsupported_tool_choices_become_fewer_tools() {
    const NAMED: Quirks = Quirks {
        accepts: Accepts {
            tool_choice: ToolChoiceSupport::Named,
            ..Accepts::OPENAI_CHAT
        },
        ..Quirks::NONE
    };
    const WORDS: Quirks = Quirks {
        accepts: Accepts {
            tool_choice: ToolChoiceSupport::Words,
            ..Accepts::OPENAI_CHAT
        },
        ..Quirks::NONE
    };
    const IGNORED: Quirks = Quirks {
        accepts: Accepts {
            tool_choice: ToolChoiceSupport::Ignored,
            ..Accepts::OPENAI_CHAT
        },
        ..Quirks::NONE
    };
    let ask = |choice| Chat {
        tools: vec![function("f", None), function("g", None)],
        tool_choice: Some(choice),
        ..Chat::default()
    };
    let allowed = |required| ToolChoice::Allowed {
        names: vec!["g".into()],
        required,
    };
    let named = || ToolChoice::Named("g".into());
    let by_name = json!({"type": "function", "function": {"name": "g"}});
    for (quirks, choice, tools, expected) in [
        (NAMED, named(), vec!["f", "g"], by_name),
        (NAMED, allowed(true), vec!["g"], json!("required")),
        (NAMED, allowed(false), vec!["g"], json!("auto")),
        (WORDS, named(), vec!["g"], json!("required")),
        (WORDS, ToolChoice::None, vec!["f", "g"], json!("none")),
        (IGNORED, ToolChoice::None, vec![], Value::Null),
        (IGNORED, ToolChoice::Auto, vec!["f", "g"], Value::Null),
        (IGNORED, allowed(false), vec!["g"], Value::Null),
    ] {
        let body = written_for(quirks, &ask(choice.clone()));
        let names: Vec<_> = body["tools"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|tool| tool["function"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            (names, &body["tool_choice"]),
            (tools, &expected),
            "{:?} {choice:?}",
            quirks.accepts.tool_choice
        );
    }
    for choice in [named(), ToolChoice::Required, allowed(true)] {
        assert_eq!(
            rejected_by(IGNORED, &ask(choice)).0.as_deref(),
            Some("tool_choice")
        );
    }
    let unknown = ToolChoice::Allowed {
        names: vec!["h".into()],
        required: true,
    };
    assert_eq!(
        rejected_by(NAMED, &ask(unknown)).0.as_deref(),
        Some("tool_choice")
    );
}

#[test]
fn requests_that_a_target_does_not_support_are_rejected_by_name() {
    let schema = || {
        Some(Format::Schema {
            name: "s".into(),
            description: None,
            schema: raw("{}"),
            strict: None,
        })
    };
    for (accepts, chat, field) in [
        (
            Accepts {
                choices: false,
                ..Accepts::OPENAI_CHAT
            },
            Chat {
                choices: Some(2),
                ..Chat::default()
            },
            "n",
        ),
        (
            Accepts {
                tools: false,
                ..Accepts::OPENAI_CHAT
            },
            Chat {
                tools: vec![function("f", None)],
                ..Chat::default()
            },
            "tools",
        ),
        (
            Accepts {
                tools: false,
                ..Accepts::OPENAI_CHAT
            },
            Chat {
                messages: vec![message(Role::Assistant, vec![past("a", false, "")])],
                ..Chat::default()
            },
            "messages[0]",
        ),
        (
            Accepts {
                formats: FormatSupport::Json,
                ..Accepts::OPENAI_CHAT
            },
            Chat {
                format: schema(),
                ..Chat::default()
            },
            "response_format",
        ),
        (
            Accepts {
                formats: FormatSupport::Schema,
                ..Accepts::OPENAI_CHAT
            },
            Chat {
                format: Some(Format::Json),
                ..Chat::default()
            },
            "response_format",
        ),
    ] {
        let quirks = Quirks {
            accepts,
            ..Quirks::NONE
        };
        assert_eq!(rejected_by(quirks, &chat).0.as_deref(), Some(field));
    }
    let one = Quirks {
        accepts: Accepts {
            choices: false,
            formats: FormatSupport::Json,
            ..Accepts::OPENAI_CHAT
        },
        ..Quirks::NONE
    };
    let body = written_for(
        one,
        &Chat {
            choices: Some(1),
            format: Some(Format::Json),
            ..Chat::default()
        },
    );
    assert_eq!(
        (&body["n"], &body["response_format"]["type"]),
        (&Value::Null, &json!("json_object"))
    );
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one conversation with every deviation of Mistral"
)]
fn mistral_requests_use_mistrals_fields() {
    let mistral = Quirks {
        no_stream_options: true,
        max_tokens: true,
        no_refusals: true,
        vocabulary: Vocabulary::Mistral,
        accepts: Accepts {
            call_ids: CallIds::Exactly(9),
            media: MediaSupport {
                file_links: true,
                file_ids: false,
                ..Accepts::OPENAI_CHAT.media
            },
            ..Accepts::OPENAI_CHAT
        },
        ..Quirks::NONE
    };
    let result = |id: &str| {
        Part::ToolResult(ToolResult {
            id: id.into(),
            name: None,
            parts: vec![text("42")],
            is_error: false,
        })
    };
    let pdf = Source::Data {
        media_type: "application/pdf".into(),
        base64: "AA==".into(),
    };
    let chat = Chat {
        messages: vec![
            message(
                Role::User,
                vec![
                    Part::File {
                        source: pdf,
                        filename: Some("a.pdf".into()),
                    },
                    Part::File {
                        source: Source::Url("https://a.example/b.pdf".into()),
                        filename: None,
                    },
                    Part::Audio {
                        data: "AA==".into(),
                        format: "mp3".into(),
                    },
                ],
            ),
            message(
                Role::Assistant,
                vec![
                    Part::Refusal("no".into()),
                    past("call_toolong_1", false, "{}"),
                    past("abcDEF123", false, "{}"),
                ],
            ),
            message(
                Role::Tool,
                vec![result("call_toolong_1"), result("abcDEF123")],
            ),
        ],
        tools: vec![function("f", None)],
        tool_choice: Some(ToolChoice::Required),
        seed: Some(7),
        max_tokens: Some(9),
        ..Chat::default()
    };
    let body = written_for(mistral, &chat);
    assert_eq!(
        (&body["random_seed"], &body["seed"], &body["tool_choice"]),
        (&json!(7), &Value::Null, &json!("any"))
    );
    assert_eq!(
        (&body["max_tokens"], &body["stream_options"]),
        (&json!(9), &Value::Null)
    );
    assert_eq!(
        body["messages"][0]["content"],
        json!([
            {"type": "document_url", "document_url": "data:application/pdf;base64,AA==", "document_name": "a.pdf"},
            {"type": "document_url", "document_url": "https://a.example/b.pdf"},
            {"type": "input_audio", "input_audio": "AA=="},
        ])
    );
    let calls = &body["messages"][1]["tool_calls"];
    let made = calls[0]["id"].as_str().unwrap();
    assert!(
        made.len() == 9 && made.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{made}"
    );
    assert_eq!(
        (&calls[1]["id"], &body["messages"][1]["content"]),
        (&json!("abcDEF123"), &json!("no"))
    );
    assert_eq!(
        (
            &body["messages"][2]["tool_call_id"],
            &body["messages"][3]["tool_call_id"]
        ),
        (&calls[0]["id"], &calls[1]["id"])
    );
    assert_eq!(
        body,
        written_for(mistral, &chat),
        "generated ids are deterministic"
    );
    let by_id = Part::File {
        source: Source::FileId("f".into()),
        filename: None,
    };
    assert_eq!(
        rejected_by(
            mistral,
            &Chat {
                messages: vec![message(Role::User, vec![by_id])],
                ..Chat::default()
            }
        )
        .0
        .as_deref(),
        Some("messages[0].content[0]")
    );
}

#[test]
fn effort_is_written_in_the_targets_form() {
    let fields = |vocabulary, effort: Option<&str>, reasoning_budget| {
        let chat = Chat {
            effort: effort.map(str::to_owned),
            reasoning_budget,
            ..Chat::default()
        };
        let mut body = written_for(
            Quirks {
                vocabulary,
                ..Quirks::NONE
            },
            &chat,
        );
        let body = body.as_object_mut().unwrap();
        body.retain(|name, _| {
            matches!(name.as_str(), "reasoning_effort" | "reasoning" | "thinking")
        });
        Value::Object(body.clone())
    };
    for (vocabulary, effort, budget, expected) in [
        (
            Vocabulary::Openai,
            Some("xhigh"),
            None,
            json!({"reasoning_effort": "xhigh"}),
        ),
        (
            Vocabulary::Openai,
            None,
            Some(0),
            json!({"reasoning_effort": "none"}),
        ),
        (Vocabulary::Openai, None, None, json!({})),
        (
            Vocabulary::Mistral,
            Some("minimal"),
            None,
            json!({"reasoning_effort": "none"}),
        ),
        (
            Vocabulary::Mistral,
            None,
            Some(5000),
            json!({"reasoning_effort": "high"}),
        ),
        (Vocabulary::Deepseek, None, None, json!({})),
        (
            Vocabulary::Deepseek,
            Some("none"),
            None,
            json!({"thinking": {"type": "disabled"}}),
        ),
        (
            Vocabulary::Deepseek,
            Some("minimal"),
            None,
            json!({"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ),
        (
            Vocabulary::Deepseek,
            None,
            Some(5000),
            json!({"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ),
        (
            Vocabulary::Deepseek,
            Some("xhigh"),
            None,
            json!({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
        ),
        (
            Vocabulary::Openrouter,
            Some("high"),
            Some(9),
            json!({"reasoning": {"effort": "high"}}),
        ),
        (
            Vocabulary::Openrouter,
            None,
            Some(5000),
            json!({"reasoning": {"max_tokens": 5000}}),
        ),
    ] {
        assert_eq!(
            fields(vocabulary, effort, budget),
            expected,
            "{vocabulary:?} {effort:?} {budget:?}"
        );
    }
}

#[test]
fn cache_marks_are_sent_to_targets_that_support_them() {
    let mark = |ttl: Option<&str>| {
        Part::CacheMark(CacheMark {
            ttl: ttl.map(str::to_owned),
        })
    };
    let result = ToolResult {
        id: "a".into(),
        name: None,
        parts: vec![text("42")],
        is_error: false,
    };
    let chat = Chat {
        messages: vec![
            message(Role::System, vec![text("rules"), mark(Some("1h"))]),
            message(
                Role::User,
                vec![mark(None), text("hi"), mark(None), text("there")],
            ),
            message(Role::Assistant, vec![past("a", false, "")]),
            message(Role::Tool, vec![Part::ToolResult(result), mark(None)]),
        ],
        tools: vec![function("f", Some(CacheMark::default()))],
        ..Chat::default()
    };
    let marked = written_for(
        Quirks {
            cache_marks: true,
            ..Quirks::NONE
        },
        &chat,
    );
    let ephemeral = json!({"type": "ephemeral"});
    assert_eq!(marked["tools"][0]["cache_control"], ephemeral);
    let text =
        |text: &str, mark: &Value| json!([{"type": "text", "text": text, "cache_control": mark}]);
    assert_eq!(
        marked["messages"][0]["content"],
        text("rules", &json!({"type": "ephemeral", "ttl": "1h"}))
    );
    assert_eq!(
        marked["messages"][1]["content"],
        json!([{"type": "text", "text": "hi", "cache_control": ephemeral}, {"type": "text", "text": "there"}])
    );
    assert_eq!(marked["messages"][3]["content"], text("42", &ephemeral));
    assert!(!written(&chat).to_string().contains("cache_control"));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "every form of past reasoning, side by side"
)]
fn reasoning_is_sent_back_to_its_own_wire_in_the_targets_form() {
    let thought = |text: &str, wire| PastReasoning {
        text: text.into(),
        signature: None,
        redacted: None,
        wire,
        on_text: false,
    };
    let signed = |token: &str, wire| PastReasoning {
        signature: Some(token.into()),
        ..thought("hm", wire)
    };
    let turn = |thoughts: Vec<PastReasoning>| {
        let parts = thoughts
            .into_iter()
            .map(Part::Reasoning)
            .chain([text("hi")])
            .collect();
        message(Role::Assistant, parts)
    };
    let back = |reasoning, model: &str, chat: &Chat| {
        let provider = Provider {
            quirks: Quirks {
                reasoning,
                ..Quirks::NONE
            },
            ..Provider::example(WireId::OpenaiChat, "")
        };
        let target = Target::example(provider, model);
        let mut body: Value =
            serde_json::from_slice(&write(chat, &target, Mode::Stream).unwrap()).unwrap();
        let turn = body["messages"][0].as_object_mut().unwrap();
        turn.retain(|name, _| name.starts_with("reasoning"));
        Value::Object(turn.clone())
    };
    let chat = |thoughts| Chat {
        messages: vec![turn(thoughts)],
        ..Chat::default()
    };
    let own = chat(vec![
        thought("one ", None),
        thought("two", Some(WireId::OpenaiChat)),
    ]);
    let others = chat(vec![
        signed("s", Some(WireId::Anthropic)),
        thought("x", Some(WireId::Gemini)),
    ]);
    assert_eq!(back(ReasoningReplay::Omitted, "m", &own), json!({}));
    assert_eq!(
        back(ReasoningReplay::Content, "m", &own),
        json!({"reasoning_content": "one two"})
    );
    assert_eq!(
        back(ReasoningReplay::Reasoning, "m", &own),
        json!({"reasoning": "one two"})
    );
    assert_eq!(
        back(ReasoningReplay::Details, "m", &own),
        json!({"reasoning": "one two"})
    );
    for reasoning in [
        ReasoningReplay::Content,
        ReasoningReplay::Reasoning,
        ReasoningReplay::Details,
        ReasoningReplay::ContentWithTools,
    ] {
        assert_eq!(back(reasoning, "m", &others), json!({}), "{reasoning:?}");
    }
    // With tools, a turn without reasoning of its own has an empty field: without the field the
    // provider would reject the request.
    let with_tools = |chat: Chat| Chat {
        tools: vec![function("f", None)],
        ..chat
    };
    assert_eq!(
        back(ReasoningReplay::ContentWithTools, "m", &own),
        json!({})
    );
    assert_eq!(
        back(ReasoningReplay::ContentWithTools, "m", &with_tools(own)),
        json!({"reasoning_content": "one two"})
    );
    assert_eq!(
        back(ReasoningReplay::ContentWithTools, "m", &with_tools(others)),
        json!({"reasoning_content": ""})
    );
    let items = chat(vec![
        signed("sig", Some(WireId::OpenaiChat)),
        PastReasoning {
            redacted: Some("secret".into()),
            ..thought("", Some(WireId::OpenaiChat))
        },
        PastReasoning {
            redacted: Some(r#"{"type":"reasoning.encrypted","data":"d","id":"rs_1"}"#.into()),
            ..thought("", Some(WireId::OpenaiChat))
        },
        signed("s", Some(WireId::Anthropic)),
    ]);
    assert_eq!(
        back(ReasoningReplay::Details, "anthropic/claude-x", &items),
        json!({"reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1"},
            {"type": "reasoning.encrypted", "data": "secret", "format": "anthropic-claude-v1"},
            {"type": "reasoning.encrypted", "data": "d", "id": "rs_1"},
        ]})
    );
}

#[test]
fn a_calls_signature_goes_back_to_this_wire_only() {
    let call = |wire| {
        let call = PastCall {
            id: "a".into(),
            name: "f".into(),
            arguments: String::new(),
            signature: Some("s".into()),
            wire,
            custom: false,
        };
        written(&Chat {
            messages: vec![message(Role::Assistant, vec![Part::ToolCall(call)])],
            ..Chat::default()
        })
    };
    let extra = |body: Value| body["messages"][0]["tool_calls"][0]["extra_content"].clone();
    assert_eq!(
        extra(call(Some(WireId::OpenaiChat))),
        json!({"google": {"thought_signature": "s"}})
    );
    assert_eq!(extra(call(Some(WireId::Gemini))), Value::Null);
}

fn target_with_options(no_stream_options: bool) -> Target {
    let provider = Provider {
        quirks: Quirks {
            no_stream_options,
            ..Quirks::default()
        },
        ..Provider::example(WireId::OpenaiChat, "https://up.example/v1")
    };
    Target::example(provider, "up\"stream")
}

fn ask(body: &'static str) -> Ask {
    Ask::example(WireId::OpenaiChat, body, Chat::default()).with_headers(&[
        ("openai-beta", "x"),
        ("traceparent", "t"),
        ("anthropic-beta", "a"),
        ("cookie", "c"),
    ])
}

fn sent(received: &'static str, no_stream_options: bool, mode: Mode) -> String {
    let draft = draft(
        &ask(received),
        &target_with_options(no_stream_options),
        mode,
    )
    .unwrap();
    String::from_utf8(draft.body.to_vec()).unwrap()
}

#[test]
fn a_stream_is_requested_with_its_usage() {
    assert_eq!(
        sent(r#"{"model":"m", "x":1.0}"#, false, Mode::Stream),
        r#"{"model":"up\"stream", "x":1.0,"stream":true,"stream_options":{"include_usage":true}}"#
    );
    assert_eq!(
        sent(
            r#"{"stream_options":{"include_obfuscation":false,"include_usage":false},"stream":false,"model":"m"}"#,
            false,
            Mode::Stream
        ),
        r#"{"stream_options":{"include_obfuscation":false,"include_usage":true},"stream":true,"model":"up\"stream"}"#
    );
    assert_eq!(
        sent(
            r#"{"model":"m","stream": true,"stream_options": { "include_usage" : true }}"#,
            false,
            Mode::Stream
        ),
        r#"{"model":"up\"stream","stream": true,"stream_options": { "include_usage" : true }}"#
    );
    assert_eq!(
        sent(
            r#"{"model":"m","stream_options":null,"stream":true}"#,
            false,
            Mode::Stream
        ),
        r#"{"model":"up\"stream","stream_options":{"include_usage":true},"stream":true}"#
    );
}

#[test]
fn targets_that_reject_stream_options_get_none() {
    assert_eq!(
        sent(r#"{"model":"m","stream":true}"#, true, Mode::Stream),
        r#"{"model":"up\"stream","stream":true}"#
    );
    assert_eq!(
        sent(
            r#"{"model":"m","stream_options":{"include_usage":true}, "x":1.0}"#,
            true,
            Mode::Stream
        ),
        r#"{"model":"up\"stream", "x":1.0,"stream":true}"#
    );
    assert_eq!(
        sent(
            r#"{"model":"m","stream":false,"stream_options":null}"#,
            true,
            Mode::Whole
        ),
        r#"{"model":"up\"stream","stream":false,"stream_options":null}"#
    );
}

#[test]
fn a_non_streaming_body_is_forwarded_unchanged() {
    assert_eq!(
        sent(r#"{"model":"m","stream":false, "n":2}"#, false, Mode::Whole),
        r#"{"model":"up\"stream","stream":false, "n":2}"#
    );
}

#[test]
fn only_this_wires_headers_are_forwarded() {
    let draft = draft(
        &ask(r#"{"model":"m"}"#),
        &target_with_options(false),
        Mode::Stream,
    )
    .unwrap();
    assert_eq!(
        draft
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["openai-beta", "traceparent"]
    );
    assert_eq!(draft.path, "/chat/completions");
}

#[test]
fn values_that_are_not_objects_are_rejected_by_name() {
    let wrong = super::draft(
        &ask(r#"{"model":"m","stream_options":1}"#),
        &target_with_options(false),
        Mode::Stream,
    )
    .unwrap_err();
    assert_eq!(
        (wrong.status.as_u16(), wrong.param.as_deref()),
        (400, Some("stream_options"))
    );
    assert_eq!(
        super::draft(&ask("[]"), &target_with_options(false), Mode::Stream)
            .unwrap_err()
            .status,
        400
    );
}
