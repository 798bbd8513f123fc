use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::model::chat::{
    CacheMark, Message, Part, PastCall, PastReasoning, Role, Source, Tool, ToolChoice, ToolResult,
};
use crate::model::learned::Lesson;
use crate::model::target::Provider;
use crate::wire::Wire as _;
use crate::wire::openai_responses::OpenaiResponses;

fn target_named(model: &str) -> Target {
    let provider = Provider::example(WireId::OpenaiResponses, "https://up.example/v1");
    Target::example(provider, model)
}

fn ask(shape: WireId, body: &'static str, chat: Chat) -> Ask {
    Ask::example(shape, body, chat).with_headers(&[
        ("openai-beta", "x"),
        ("traceparent", "t"),
        ("anthropic-beta", "a"),
        ("cookie", "c"),
    ])
}

/// Drafts a request for a target of which nothing has been learned.
fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    super::draft(ask, target, &Learned::default(), mode)
}

/// Returns the body written from a chat for a model.
fn body_for(model: &str, chat: Chat) -> Value {
    let draft = draft(
        &ask(WireId::OpenaiChat, "", chat),
        &target_named(model),
        Mode::Stream,
    )
    .unwrap();
    serde_json::from_slice(&draft.body).unwrap()
}

fn body(chat: Chat) -> Value {
    body_for("gpt-5", chat)
}

/// Returns `param` and message of the 400 for a chat that must be rejected.
fn rejected(chat: Chat) -> (String, String) {
    let fault = draft(
        &ask(WireId::OpenaiChat, "", chat),
        &target_named("gpt-5"),
        Mode::Stream,
    )
    .unwrap_err();
    assert_eq!(fault.status.as_u16(), 400);
    (fault.param.unwrap(), fault.message)
}

fn message(role: Role, parts: Vec<Part>) -> Message {
    Message {
        role,
        name: Some("ann".into()),
        parts,
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.into())
}

fn chat(messages: Vec<Message>) -> Chat {
    Chat {
        messages,
        ..Chat::default()
    }
}

fn hi() -> Chat {
    chat(vec![message(Role::User, vec![text("hi")])])
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.into()).unwrap()
}

fn function(name: &str, parameters: Option<&str>, strict: Option<bool>) -> Tool {
    Tool::Function {
        name: name.into(),
        description: Some("d".into()),
        parameters: parameters.map(raw),
        strict,
        cache: None,
    }
}

fn custom(json: &str) -> Tool {
    Tool::Native {
        wire: WireId::OpenaiChat,
        kind: "custom".into(),
        json: raw(json),
    }
}

fn result(id: &str, parts: Vec<Part>) -> Message {
    message(
        Role::Tool,
        vec![Part::ToolResult(ToolResult {
            id: id.into(),
            name: None,
            parts,
            is_error: true,
        })],
    )
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

fn url() -> Source {
    Source::Url("https://x.test/a".into())
}

#[test]
fn a_body_of_this_shape_is_forwarded_unchanged() {
    let shaped = |body, mode| {
        let draft = draft(
            &ask(WireId::OpenaiResponses, body, Chat::default()),
            &target_named("up\"m"),
            mode,
        )
        .unwrap();
        String::from_utf8(draft.body.to_vec()).unwrap()
    };
    assert_eq!(
        shaped(r#"{ "model":"m", "stream":false,"x":1.0 }"#, Mode::Stream),
        r#"{ "model":"up\"m", "stream":true,"x":1.0 }"#
    );
    assert_eq!(
        shaped(r#"{"model":"m","stream": true}"#, Mode::Stream),
        r#"{"model":"up\"m","stream": true}"#
    );
    assert_eq!(
        shaped(r#"{"model":"m","input":[]}"#, Mode::Whole),
        r#"{"model":"up\"m","input":[]}"#
    );
    assert_eq!(
        shaped(r#"{"model":"m","stream":true}"#, Mode::Whole),
        r#"{"model":"up\"m","stream":false}"#
    );
    let wrong = draft(
        &ask(WireId::OpenaiResponses, "[]", Chat::default()),
        &target_named("m"),
        Mode::Stream,
    )
    .unwrap_err();
    assert_eq!(wrong.status.as_u16(), 400);
}

#[test]
fn a_written_request_stores_nothing_at_the_provider() {
    let drafted = draft(
        &ask(WireId::OpenaiChat, "", hi()),
        &target_named("gpt-5"),
        Mode::Stream,
    )
    .unwrap();
    assert_eq!(drafted.path, "/responses");
    assert_eq!(
        drafted
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        ["openai-beta", "traceparent"]
    );
    let expected = json!({"model": "gpt-5", "input": [{"type": "message", "role": "user", "content": "hi"}],
        "include": ["reasoning.encrypted_content"], "store": false, "stream": true});
    assert_eq!(
        serde_json::from_slice::<Value>(&drafted.body).unwrap(),
        expected
    );
    let whole = draft(
        &ask(WireId::OpenaiChat, "", hi()),
        &target_named("gpt-5"),
        Mode::Whole,
    )
    .unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&whole.body).unwrap()["stream"],
        false
    );
}

#[test]
fn models_without_reasoning_are_not_asked_for_it() {
    for (model, asked) in [
        ("o4-mini", true),
        ("gpt-5.6", true),
        ("grok-4", true),
        ("openai.gpt-oss-120b", true),
        ("gpt-4o-mini", false),
        ("openai/gpt-4.1", false),
        ("openai.gpt-4.1", false),
        ("gpt-3.5-turbo", false),
        ("gpt-5-chat-latest", false),
        ("chatgpt-4o-latest", false),
    ] {
        assert_eq!(
            body_for(model, hi()).get("include").is_some(),
            asked,
            "{model}"
        );
    }
}

#[test]
fn leading_instructions_are_separate_and_later_ones_stay_in_place() {
    let messages = || {
        vec![
            message(
                Role::System,
                vec![text("one"), Part::CacheMark(CacheMark::default())],
            ),
            message(Role::System, vec![text(""), text("two")]),
            message(Role::User, vec![text("a"), text("b")]),
            message(Role::System, vec![text("three")]),
            message(Role::User, vec![]),
        ]
    };
    let body_of = |format| {
        body(Chat {
            format,
            ..chat(messages())
        })
    };
    let written = body_of(None);
    assert_eq!(written["instructions"], "one\n\ntwo");
    let rest = [
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}),
        json!({"type": "message", "role": "developer", "content": "three"}),
        json!({"type": "message", "role": "user", "content": ""}),
    ];
    assert_eq!(written["input"], json!(rest));
    let with_json = body_of(Some(Format::Json));
    assert_eq!(with_json.get("instructions"), None);
    assert_eq!(
        with_json["input"][0],
        json!({"type": "message", "role": "developer", "content": "one"})
    );
    assert_eq!(with_json["input"].as_array().unwrap().len(), 5);
    let alone = body(chat(vec![message(Role::System, vec![text("only")])]));
    assert_eq!(
        (alone.get("instructions"), &alone["input"][0]["content"]),
        (None, &json!("only"))
    );
}

#[test]
fn past_turns_are_items_in_order() {
    let ours = Some(WireId::OpenaiResponses);
    let messages = vec![
        message(Role::User, vec![text("q")]),
        message(
            Role::Assistant,
            vec![
                past("words", None, None, ours),
                past("", Some("rs_1"), Some("E1"), ours),
                past("", None, Some("E2"), ours),
                past("foreign", Some("S"), Some("D"), Some(WireId::Anthropic)),
                past("nobody's", None, Some("D"), None),
                text("said"),
                text(""),
                Part::Refusal("no".into()),
                call("c1", "{\"x\":1}", false),
                call("c2", "", false),
                call("c3", "free\n", true),
            ],
        ),
        result("c1", vec![text("r")]),
        result(
            "c2",
            vec![
                text("see"),
                Part::Image {
                    source: data("image/png"),
                    detail: None,
                },
            ],
        ),
        result("c3", vec![]),
        message(
            Role::Assistant,
            vec![text("done"), past("", Some("rs_9"), Some("E9"), ours)],
        ),
    ];
    let expected = json!([
        {"type": "message", "role": "user", "content": "q"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E1"},
        {"type": "reasoning", "summary": [], "encrypted_content": "E2"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "said"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{\"x\":1}"},
        {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c3", "name": "f", "input": "free\n"},
        {"type": "function_call_output", "call_id": "c1", "output": "r"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"}]},
        {"type": "custom_tool_call_output", "call_id": "c3", "output": ""},
        {"type": "message", "role": "assistant", "content": "done"},
    ]);
    assert_eq!(body(chat(messages))["input"], expected);
}

#[test]
fn replaced_ids_are_the_same_for_call_and_result() {
    let long = "x".repeat(65);
    let odd = ["functions.f:0", "é", &long, ""];
    let calls = odd.iter().map(|id| call(id, "{}", false)).collect();
    let answers = odd.iter().map(|id| result(id, vec![text("r")]));
    let messages = [
        message(Role::User, vec![text("q")]),
        message(Role::Assistant, calls),
    ]
    .into_iter()
    .chain(answers)
    .collect();
    let written = body(chat(messages));
    let ids: Vec<&str> = written["input"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["call_id"].as_str())
        .collect();
    let (called, answered) = ids.split_at(odd.len());
    assert_eq!(called, answered);
    for (at, id) in called.iter().enumerate() {
        assert!(
            id.len() <= 64
                && id.starts_with("call_")
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            "{id}"
        );
        assert!(!called[..at].contains(id), "ids tell calls apart");
    }
    assert_eq!(
        called[0], "call_d6bdd4de328a22edd610f9548b4f419f",
        "the same for ever"
    );
}

#[test]
fn media_parts_are_converted() {
    let file = |source, filename: Option<&str>| Part::File {
        source,
        filename: filename.map(Into::into),
    };
    let id = || Source::FileId("file-1".into());
    let written = body(chat(vec![message(
        Role::User,
        vec![
            Part::Image {
                source: url(),
                detail: Some("low".into()),
            },
            Part::Image {
                source: id(),
                detail: None,
            },
            file(url(), Some("a.pdf")),
            file(id(), Some("a.pdf")),
            file(data("application/pdf"), None),
            file(data("text/csv"), Some("t.csv")),
            file(data("text/csv"), None),
            file(data("image/png"), Some("p.png")),
            Part::Audio {
                data: "AA==".into(),
                format: "wav".into(),
            },
        ],
    )]));
    let expected = json!([
        {"type": "input_image", "image_url": "https://x.test/a", "detail": "low"},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "file_url": "https://x.test/a"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_file", "filename": "file.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_file", "filename": "t.csv", "file_data": "data:text/csv;base64,AA=="},
        {"type": "input_file", "filename": "file", "file_data": "data:text/csv;base64,AA=="},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]);
    assert_eq!(written["input"][0]["content"], expected);
}

#[test]
fn unsupported_parts_of_messages_are_rejected() {
    let image = || Part::Image {
        source: url(),
        detail: None,
    };
    let audio = || Part::Audio {
        data: "AA==".into(),
        format: "wav".into(),
    };
    let nested = || {
        Part::ToolResult(ToolResult {
            id: "1".into(),
            name: None,
            parts: Vec::new(),
            is_error: false,
        })
    };
    for (messages, text) in [
        (vec![message(Role::Assistant, vec![image()])], "images"),
        (vec![message(Role::Assistant, vec![nested()])], "images"),
        (vec![result("1", vec![audio()])], "tool result"),
        (vec![result("1", vec![nested()])], "tool result"),
        (
            vec![message(Role::User, vec![call("1", "", false)])],
            "tool calls",
        ),
        (
            vec![message(Role::User, vec![past("", None, None, None)])],
            "reasoning",
        ),
    ] {
        let (param, message) = rejected(chat(messages));
        assert_eq!(param, "messages");
        assert!(
            message.starts_with("messages[0]: ") && message.contains(text),
            "{message}"
        );
    }
}

#[test]
fn tools_are_flat_and_always_have_strict() {
    let tools = vec![
        function(
            "f",
            Some(r#"{"type":"object","properties":{"x":{}}}"#),
            Some(true),
        ),
        function("g", None, None),
        custom(
            r#"{"type":"custom","custom":{"name":"c","description":"e\u00e9","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"a\nb"}}}}"#,
        ),
        custom(r#"{"type":"custom","custom":{"name":"d","format":{"type":"text"}}}"#),
        custom(
            r#"{"type":"custom","custom":{"name":"e","format":{"type":"grammar","syntax":"regex","definition":"a+"}}}"#,
        ),
        Tool::Native {
            wire: WireId::OpenaiResponses,
            kind: "web_search".into(),
            json: raw(r#"{"type":"web_search"}"#),
        },
    ];
    let expected = json!([
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {"x": {}}}, "strict": true},
        {"type": "function", "name": "g", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": false},
        {"type": "custom", "name": "c", "description": "eé", "format": {"type": "grammar", "syntax": "lark", "definition": "a\nb"}},
        {"type": "custom", "name": "d", "format": {"type": "text"}},
        {"type": "custom", "name": "e", "format": {"type": "grammar", "syntax": "regex", "definition": "a+"}},
        {"type": "web_search"},
    ]);
    assert_eq!(body(Chat { tools, ..hi() })["tools"], expected);
    let native = |wire, kind: &str| Tool::Native {
        wire,
        kind: kind.into(),
        json: raw("{}"),
    };
    for tool in [
        native(WireId::Gemini, "google_search"),
        native(WireId::OpenaiChat, "web_search"),
        custom(r#"{"type":"custom"}"#),
    ] {
        assert_eq!(
            rejected(Chat {
                tools: vec![tool],
                ..hi()
            })
            .0,
            "tools"
        );
    }
}

#[test]
fn tool_choices_are_written() {
    let chosen = |tool_choice, parallel_tools| {
        let tools = vec![
            function("f", None, None),
            custom(r#"{"type":"custom","custom":{"name":"c"}}"#),
        ];
        let body = body(Chat {
            tools,
            tool_choice,
            parallel_tools,
            ..hi()
        });
        (
            body["tool_choice"].clone(),
            body["parallel_tool_calls"].clone(),
        )
    };
    assert_eq!(chosen(None, None), (Value::Null, Value::Null));
    assert_eq!(
        chosen(Some(ToolChoice::None), Some(false)),
        (json!("none"), json!(false))
    );
    assert_eq!(
        chosen(Some(ToolChoice::Auto), Some(true)),
        (json!("auto"), json!(true))
    );
    assert_eq!(
        chosen(Some(ToolChoice::Required), None).0,
        json!("required")
    );
    assert_eq!(
        chosen(Some(ToolChoice::Named("f".into())), None).0,
        json!({"type": "function", "name": "f"})
    );
    assert_eq!(
        chosen(Some(ToolChoice::Named("c".into())), None).0,
        json!({"type": "custom", "name": "c"})
    );
    let tools = json!([{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}]);
    for (required, mode) in [(true, "required"), (false, "auto")] {
        let allowed = ToolChoice::Allowed {
            names: vec!["f".into(), "c".into()],
            required,
        };
        assert_eq!(
            chosen(Some(allowed), None).0,
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        );
    }
    let untooled = |choice| {
        body(Chat {
            tool_choice: Some(choice),
            parallel_tools: Some(false),
            ..hi()
        })
    };
    assert_eq!(untooled(ToolChoice::Auto).get("tool_choice"), None);
    assert_eq!(untooled(ToolChoice::Required)["tool_choice"], "required");
    assert_eq!(untooled(ToolChoice::None).get("parallel_tool_calls"), None);
}

#[test]
fn options_have_this_wires_names() {
    let chat = Chat {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(5),
        max_tokens: Some(3),
        seed: Some(1),
        presence_penalty: Some(1.0),
        frequency_penalty: Some(1.0),
        choices: Some(1),
        logprobs: Some(true),
        top_logprobs: Some(2),
        logit_bias: Some(raw("{}")),
        user: Some("u".into()),
        service_tier: Some("flex".into()),
        cache: Some(CacheMark::default()),
        cache_key: Some("k".into()),
        metadata: Some(raw(r#"{"a":"b"}"#)),
        effort: Some("high".into()),
        reasoning_budget: Some(1),
        verbosity: Some("low".into()),
        ..hi()
    };
    let mut written = body(chat);
    written.as_object_mut().unwrap().remove("input");
    let expected = json!({"model": "gpt-5", "max_output_tokens": 16, "temperature": 0.5, "top_p": 0.9, "top_logprobs": 2,
        "reasoning": {"effort": "high", "summary": "auto"}, "text": {"verbosity": "low"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "store": false, "metadata": {"a": "b"},
        "service_tier": "flex", "prompt_cache_key": "k", "safety_identifier": "u", "stream": true});
    assert_eq!(written, expected);
    assert_eq!(
        body(Chat {
            max_tokens: Some(17),
            ..hi()
        })["max_output_tokens"],
        17
    );
}

#[test]
fn a_budget_becomes_an_effort() {
    let auto = json!("auto");
    for (budget, effort) in [
        (0, "none"),
        (1024, "low"),
        (8000, "medium"),
        (32_000, "high"),
    ] {
        let written = &body(Chat {
            reasoning_budget: Some(budget),
            ..hi()
        })["reasoning"];
        assert_eq!(
            (&written["effort"], written.get("summary")),
            (&json!(effort), (budget > 0).then_some(&auto))
        );
    }
    assert_eq!(body(hi()).get("reasoning"), None);
}

#[test]
fn summaries_are_requested_until_the_target_has_rejected_them() {
    let reasoning = |learned: &Learned| {
        let thinking = Chat {
            effort: Some("low".into()),
            ..hi()
        };
        let draft = super::draft(
            &ask(WireId::OpenaiChat, "", thinking),
            &target_named("gpt-5"),
            learned,
            Mode::Stream,
        )
        .unwrap();
        serde_json::from_slice::<Value>(&draft.body).unwrap()["reasoning"].clone()
    };
    let refusal = |body: &str| {
        OpenaiResponses.refusal(StatusCode::BAD_REQUEST, &HeaderMap::new(), body.as_bytes())
    };
    let other = r#"{"error":{"message":"no such effort","type":"invalid_request_error","param":"reasoning.effort","code":"unsupported_value"}}"#;
    assert_eq!(OpenaiResponses.lesson(&refusal(other)), None);
    let mut learned = Learned::default();
    assert_eq!(
        reasoning(&learned),
        json!({"effort": "low", "summary": "auto"})
    );
    let unverified = r#"{"error":{"message":"Your organization must be verified to generate reasoning summaries.","type":"invalid_request_error","param":"reasoning.summary","code":"unsupported_value"}}"#;
    let lesson = OpenaiResponses.lesson(&refusal(unverified)).unwrap();
    assert_eq!(lesson, Lesson::NoSummaries);
    learned.add(lesson);
    assert_eq!(reasoning(&learned), json!({"effort": "low"}));
}

#[test]
fn answer_formats_are_flat() {
    let form = |format| {
        body(Chat {
            format: Some(format),
            ..hi()
        })
        .get("text")
        .cloned()
    };
    let schema = |schema: Option<&str>, strict| Format::Schema {
        name: "n".into(),
        description: Some("d".into()),
        schema: schema.map(raw),
        strict,
    };
    assert_eq!(form(Format::Text), None);
    assert_eq!(
        form(Format::Json),
        Some(json!({"format": {"type": "json_object"}}))
    );
    let flat = json!({"type": "json_schema", "name": "n", "description": "d", "schema": {"type": "object"}, "strict": true});
    assert_eq!(
        form(schema(Some(r#"{"type":"object"}"#), Some(true))),
        Some(json!({"format": flat}))
    );
    assert_eq!(
        rejected(Chat {
            format: Some(schema(None, None)),
            ..hi()
        })
        .0,
        "response_format"
    );
}

#[test]
fn unsupported_options_are_rejected_by_name() {
    assert_eq!(
        rejected(Chat {
            unsupported: vec!["audio", "prediction"],
            ..hi()
        })
        .0,
        "audio"
    );
    assert_eq!(
        rejected(Chat {
            choices: Some(2),
            ..hi()
        })
        .0,
        "n"
    );
    assert_eq!(
        rejected(Chat {
            stop: vec!["X".into()],
            ..hi()
        })
        .0,
        "stop"
    );
}
