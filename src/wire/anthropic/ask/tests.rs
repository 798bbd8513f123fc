use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::model::chat::{
    Format, Message, Part, PastCall, PastReasoning, Role, Source, Tool, ToolChoice, ToolResult,
};
use crate::model::target::Provider;

fn target() -> Target {
    let provider = Provider::example(WireId::Anthropic, "https://upstream.test/v1");
    Target::example(provider, "claude")
}

fn ask(shape: WireId, body: &'static str, chat: Chat) -> Ask {
    Ask::example(shape, body, chat).with_headers(&[
        ("anthropic-version", "2026-10-21"),
        ("anthropic-beta", "b"),
        ("traceparent", "t"),
        ("cookie", "c"),
    ])
}

fn names(draft: &Draft) -> Vec<(&str, &str)> {
    draft
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect()
}

/// Returns the body written for a chat.
fn body(chat: Chat) -> Value {
    let draft = draft(&ask(WireId::OpenaiChat, "", chat), &target(), Mode::Stream).unwrap();
    serde_json::from_slice(&draft.body).unwrap()
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

fn hi() -> Chat {
    Chat {
        messages: vec![chat_message(Role::User, vec![text("hi")])],
        ..Chat::default()
    }
}

fn with(parts: Vec<Part>) -> Chat {
    Chat {
        messages: vec![chat_message(Role::User, parts)],
        ..Chat::default()
    }
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

fn data(media_type: &str, base64: &str) -> Source {
    Source::Data {
        media_type: media_type.into(),
        base64: base64.into(),
    }
}

fn file(source: Source) -> Part {
    Part::File {
        source,
        filename: Some("notes".into()),
    }
}

#[test]
fn a_cache_mark_stays_on_its_block_when_the_block_between_is_left_out() {
    let mark = || Part::CacheMark(crate::model::chat::CacheMark::default());
    let foreign = past("thought", Some("s"), None, Some(WireId::Gemini));
    let model = chat_message(Role::Assistant, vec![text("said"), foreign, mark()]);
    let user = chat_message(
        Role::User,
        vec![result("c", vec![text("r")], false), text(""), mark()],
    );
    let body = body(Chat {
        messages: vec![chat_message(Role::User, vec![text("hi")]), model, user],
        ..Chat::default()
    });
    for at in [1, 2] {
        assert_eq!(
            body["messages"][at]["content"][0]["cache_control"]["type"], "ephemeral",
            "{body}"
        );
    }
}

#[test]
fn a_body_of_this_shape_is_sent_unchanged() {
    let shaped = |body, mode| {
        draft(
            &ask(WireId::Anthropic, body, Chat::default()),
            &target(),
            mode,
        )
        .unwrap()
    };
    let draft = shaped(
        r#"{ "model":"smart", "stream":false,"x":1.0 }"#,
        Mode::Stream,
    );
    assert_eq!(
        &draft.body[..],
        br#"{ "model":"claude", "stream":true,"x":1.0 }"#
    );
    assert_eq!(draft.path, "/messages");
    assert_eq!(
        names(&draft),
        [
            ("anthropic-version", "2026-10-21"),
            ("anthropic-beta", "b"),
            ("traceparent", "t")
        ]
    );
    assert_eq!(
        &shaped(r#"{"model":"smart"}"#, Mode::Whole).body[..],
        br#"{"model":"claude"}"#
    );
    assert_eq!(
        &shaped(r#"{"model":"smart","stream":true}"#, Mode::Whole).body[..],
        br#"{"model":"claude","stream":false}"#
    );
}

#[test]
fn a_count_request_keeps_the_body() {
    let draft = count(
        &ask(
            WireId::Anthropic,
            r#"{ "model":"smart","x":1.0 }"#,
            Chat::default(),
        ),
        &target(),
    )
    .unwrap()
    .unwrap();
    assert_eq!(
        (&*draft.path, &draft.body[..]),
        (
            "/messages/count_tokens",
            br#"{ "model":"claude","x":1.0 }"#.as_slice()
        )
    );
    assert_eq!(
        names(&draft)[..2],
        [("anthropic-version", "2026-10-21"), ("anthropic-beta", "b")]
    );
    assert!(count(&ask(WireId::OpenaiChat, "", hi()), &target()).is_none());
}

#[test]
fn a_translated_request_has_the_default_version_and_no_betas() {
    let draft = draft(&ask(WireId::OpenaiChat, "", hi()), &target(), Mode::Stream).unwrap();
    assert_eq!(
        names(&draft),
        [("traceparent", "t"), ("anthropic-version", "2023-06-01")]
    );
    let expected = json!({"model": "claude", "max_tokens": 8192, "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
    assert_eq!(
        serde_json::from_slice::<Value>(&draft.body).unwrap(),
        expected
    );
}

#[test]
fn turns_alternate_and_system_text_is_separate() {
    let messages = vec![
        chat_message(Role::System, vec![text("one")]),
        chat_message(Role::User, vec![text("a")]),
        chat_message(Role::User, vec![text(""), text("b")]),
        chat_message(Role::System, vec![text("two")]),
        chat_message(Role::Assistant, vec![text("c"), Part::Refusal("no".into())]),
        chat_message(Role::User, vec![text("d")]),
    ];
    let body = body(Chat {
        messages,
        ..Chat::default()
    });
    let text_block = |text| json!({"type": "text", "text": text});
    assert_eq!(
        body["system"],
        json!([text_block("one"), text_block("two")])
    );
    let turns = json!([
        {"role": "user", "content": [text_block("a"), text_block("b")]},
        {"role": "assistant", "content": [text_block("c"), text_block("no")]},
        {"role": "user", "content": [text_block("d")]},
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
                        source: data("image/png", "AA=="),
                        detail: None,
                    },
                ],
                false,
            )],
        ),
        chat_message(Role::Tool, vec![result("2", vec![], true)]),
    ];
    let body = body(Chat {
        messages,
        ..Chat::default()
    });
    let uses = json!([
        {"type": "tool_use", "id": "c_2e1", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "2", "name": "f", "input": {}},
        {"type": "tool_use", "id": "3", "name": "f", "input": {"input": "free\n"}},
    ]);
    assert_eq!(body["messages"][0]["content"], uses);
    let image = json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}});
    let answers = json!([
        {"type": "tool_result", "tool_use_id": "c_2e1", "content": [{"type": "text", "text": "r"}, image]},
        {"type": "tool_result", "tool_use_id": "2", "is_error": true},
        {"type": "text", "text": "well?"},
    ]);
    assert_eq!(body["messages"][1]["content"], answers);
}

#[test]
fn past_thinking_is_sent_first_and_only_to_its_own_wire() {
    let parts = vec![
        text("said"),
        past("hm", Some("S"), None, Some(WireId::Anthropic)),
        past("", None, Some("R"), Some(WireId::Anthropic)),
        past("unsigned", None, None, Some(WireId::Anthropic)),
        past("foreign", Some("S"), None, Some(WireId::Gemini)),
        past("nobody's", Some("S"), None, None),
    ];
    let body = body(Chat {
        messages: vec![
            chat_message(Role::User, vec![text("q")]),
            chat_message(Role::Assistant, parts),
        ],
        ..Chat::default()
    });
    let expected = json!([
        {"type": "thinking", "thinking": "hm", "signature": "S"},
        {"type": "redacted_thinking", "data": "R"},
        {"type": "text", "text": "said"},
    ]);
    assert_eq!(body["messages"][1]["content"], expected);
}

#[test]
fn files_become_images_documents_or_text() {
    let url = || Source::Url("https://x.test/a".into());
    let body = body(with(vec![
        Part::Image {
            source: url(),
            detail: Some("low".into()),
        },
        file(url()),
        file(data("Application/PDF; x=y", "JVBE")),
        file(data("text/markdown", "w6k=")),
        file(data("image/png", "AA==")),
    ]));
    let expected = json!([
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a"}},
        {"type": "document", "source": {"type": "url", "url": "https://x.test/a"}, "title": "notes"},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}, "title": "notes"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "é"}, "title": "notes"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
    ]);
    assert_eq!(body["messages"][0]["content"], expected);
}

#[test]
fn tools_have_an_object_schema() {
    let tools = vec![
        function("none", None),
        function("empty", Some("{}")),
        function(
            "full",
            Some(r#"{"type":"object","properties":{"x":{"type":"integer"}}}"#),
        ),
        Tool::Native {
            wire: WireId::Anthropic,
            kind: "web_search_1".into(),
            json: raw(r#"{"type":"web_search_1","name":"w"}"#),
        },
    ];
    let expected = json!([
        {"name": "none", "input_schema": {"type": "object", "properties": {}}},
        {"name": "empty", "input_schema": {"type": "object"}},
        {"name": "full", "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        {"type": "web_search_1", "name": "w"},
    ]);
    assert_eq!(body(Chat { tools, ..hi() })["tools"], expected);
}

#[test]
fn tool_choices_are_translated() {
    let chosen = |choice, parallel_tools| {
        let body = body(Chat {
            tools: vec![function("f", None), function("g", None)],
            tool_choice: choice,
            parallel_tools,
            ..hi()
        });
        (
            body["tool_choice"].clone(),
            body["tools"].as_array().unwrap().len(),
        )
    };
    let allowed = |required| {
        Some(ToolChoice::Allowed {
            names: vec!["g".into()],
            required,
        })
    };
    assert_eq!(chosen(None, None), (Value::Null, 2));
    assert_eq!(
        chosen(None, Some(false)),
        (
            json!({"type": "auto", "disable_parallel_tool_use": true}),
            2
        )
    );
    assert_eq!(
        chosen(Some(ToolChoice::None), Some(false)),
        (json!({"type": "none"}), 2)
    );
    assert_eq!(
        chosen(Some(ToolChoice::Auto), Some(true)),
        (json!({"type": "auto"}), 2)
    );
    assert_eq!(
        chosen(Some(ToolChoice::Required), None),
        (json!({"type": "any"}), 2)
    );
    let named = json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true});
    assert_eq!(
        chosen(Some(ToolChoice::Named("f".into())), Some(false)),
        (named, 2)
    );
    assert_eq!(chosen(allowed(true), None), (json!({"type": "any"}), 1));
    assert_eq!(chosen(allowed(false), None), (json!({"type": "auto"}), 1));
    assert_eq!(
        body(Chat {
            tool_choice: Some(ToolChoice::Auto),
            ..hi()
        })
        .get("tool_choice"),
        None
    );
}

#[test]
fn sampling_is_clamped_and_limits_are_sent() {
    let chat = Chat {
        temperature: Some(1.7),
        top_p: Some(1.0),
        top_k: Some(5),
        max_tokens: Some(9),
        stop: vec!["X".into()],
        user: Some("u".into()),
        seed: Some(1),
        ..hi()
    };
    let mut body = body(chat);
    body.as_object_mut().unwrap().remove("messages");
    let expected = json!({"model": "claude", "max_tokens": 9, "temperature": 1.0, "top_k": 5, "stop_sequences": ["X"],
        "metadata": {"user_id": "u"}, "stream": true});
    assert_eq!(body, expected);
}

#[test]
fn thinking_and_effort_are_translated() {
    let thought = |effort: Option<&str>, reasoning_budget| {
        let body = body(Chat {
            effort: effort.map(Into::into),
            reasoning_budget,
            temperature: Some(0.5),
            ..hi()
        });
        (
            body["thinking"].clone(),
            body["output_config"].clone(),
            body["max_tokens"].clone(),
            body.get("temperature").is_some(),
        )
    };
    assert_eq!(
        thought(Some("none"), None),
        (json!({"type": "disabled"}), Value::Null, json!(8192), true)
    );
    assert_eq!(
        thought(Some("minimal"), None),
        (Value::Null, json!({"effort": "low"}), json!(8192), true)
    );
    assert_eq!(
        thought(Some("xhigh"), None),
        (Value::Null, json!({"effort": "xhigh"}), json!(8192), true)
    );
    let budget = |tokens| json!({"type": "enabled", "budget_tokens": tokens});
    assert_eq!(
        thought(None, Some(2000)),
        (budget(2000), Value::Null, json!(10192), false)
    );
    assert_eq!(
        thought(None, Some(5)),
        (budget(1024), Value::Null, json!(9216), false)
    );
    assert_eq!(
        thought(None, Some(0)),
        (json!({"type": "disabled"}), Value::Null, json!(8192), true)
    );
}

#[test]
fn a_schema_is_sent() {
    let schema = |schema: Option<&str>| Format::Schema {
        name: "n".into(),
        description: None,
        schema: schema.map(raw),
        strict: Some(true),
    };
    let body = body(Chat {
        format: Some(schema(Some(r#"{"type":"object"}"#))),
        ..hi()
    });
    assert_eq!(
        body["output_config"],
        json!({"format": {"type": "json_schema", "schema": {"type": "object"}}})
    );
}
