use serde_json::{Value, json};

use super::*;
use crate::model::chat::{Format, Message, Part, Role, Tool, ToolChoice};
use crate::model::target::Provider;

fn raw(value: &Value) -> Box<serde_json::value::RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// Returns a chat with the single message `hi`.
fn hi() -> Chat {
    Chat {
        messages: vec![Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Text("hi".into())],
        }],
        ..Chat::default()
    }
}

fn body(chat: &Chat, model: &str) -> Value {
    let provider = Provider::example(WireId::Gemini, "https://example.com/v1beta");
    let target = Target::example(provider, model);
    serde_json::to_value(super::body(chat, &target).unwrap()).unwrap()
}

/// Returns the `generationConfig` that a chat becomes.
fn config(chat: Chat, model: &str) -> Value {
    body(
        &Chat {
            messages: hi().messages,
            ..chat
        },
        model,
    )["generationConfig"]
        .clone()
}

#[test]
fn a_minimal_chat_is_a_minimal_body() {
    let expected =
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {}});
    assert_eq!(body(&hi(), "gemini-3.5-flash"), expected);
}

#[test]
fn sampling_settings_are_written() {
    let chat = Chat {
        temperature: Some(0.5),
        top_p: Some(0.25),
        top_k: Some(4),
        max_tokens: Some(9),
        stop: vec!["a".into(), "b".into()],
        seed: Some(-1),
        presence_penalty: Some(0.5),
        frequency_penalty: Some(-0.5),
        choices: Some(2),
        logprobs: Some(true),
        top_logprobs: Some(3),
        ..Chat::default()
    };
    let expected = json!({
        "temperature": 0.5, "topP": 0.25, "topK": 4, "maxOutputTokens": 9, "stopSequences": ["a", "b"], "seed": -1,
        "presencePenalty": 0.5, "frequencyPenalty": -0.5, "candidateCount": 2, "responseLogprobs": true, "logprobs": 3
    });
    assert_eq!(config(chat, "m"), expected);
    assert_eq!(
        config(
            Chat {
                choices: Some(1),
                logprobs: Some(false),
                top_logprobs: Some(1),
                ..Chat::default()
            },
            "m"
        ),
        json!({})
    );
}

#[test]
fn effort_becomes_a_level_and_before_gemini_3_a_budget() {
    let effort = |effort: &str, model| {
        config(
            Chat {
                effort: Some(effort.into()),
                ..Chat::default()
            },
            model,
        )["thinkingConfig"]
            .clone()
    };
    for (word, level) in [
        ("minimal", "MINIMAL"),
        ("low", "LOW"),
        ("medium", "MEDIUM"),
        ("high", "HIGH"),
        ("xhigh", "HIGH"),
        ("max", "HIGH"),
    ] {
        assert_eq!(
            effort(word, "gemini-3.5-flash"),
            json!({"includeThoughts": true, "thinkingLevel": level})
        );
    }
    assert_eq!(
        effort("none", "gemini-3.5-flash"),
        json!({"thinkingBudget": 0})
    );
    assert_eq!(
        effort("low", "models/gemini-2.5-flash"),
        json!({"includeThoughts": true, "thinkingBudget": 1024})
    );
    assert_eq!(
        effort("max", "gemini-2.5-pro"),
        json!({"includeThoughts": true, "thinkingBudget": 24576})
    );
    let both = Chat {
        effort: Some("low".into()),
        reasoning_budget: Some(77),
        ..Chat::default()
    };
    assert_eq!(
        config(both, "m")["thinkingConfig"],
        json!({"includeThoughts": true, "thinkingBudget": 77})
    );
}

#[test]
fn output_formats_are_written() {
    let schema = json!({"type": "object", "$ref": "#/x"});
    let format = Format::Schema {
        name: "n".into(),
        description: None,
        schema: Some(raw(&schema)),
        strict: Some(true),
    };
    let expected = json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
    assert_eq!(
        config(
            Chat {
                format: Some(format),
                ..Chat::default()
            },
            "m"
        ),
        expected
    );
    let expected = json!({"responseMimeType": "application/json"});
    assert_eq!(
        config(
            Chat {
                format: Some(Format::Json),
                ..Chat::default()
            },
            "m"
        ),
        expected
    );
    assert_eq!(
        config(
            Chat {
                format: Some(Format::Text),
                ..Chat::default()
            },
            "m"
        ),
        json!({})
    );
}

fn function(name: &str) -> Tool {
    let parameters = Some(raw(&json!({"type": "object"})));
    Tool::Function {
        name: name.into(),
        description: Some("d".into()),
        parameters,
        strict: Some(true),
        cache: None,
    }
}

#[test]
fn functions_are_declared_in_one_list() {
    let search = Tool::Native {
        wire: WireId::Gemini,
        kind: "googleSearch".into(),
        json: raw(&json!({"googleSearch": {}})),
    };
    let bare = Tool::Function {
        name: "b".into(),
        description: None,
        parameters: None,
        strict: None,
        cache: None,
    };
    let tools = vec![search, function("a"), bare];
    let expected = json!([
        {"functionDeclarations": [{"name": "a", "description": "d", "parametersJsonSchema": {"type": "object"}}, {"name": "b"}]},
        {"googleSearch": {}}
    ]);
    assert_eq!(body(&Chat { tools, ..hi() }, "m")["tools"], expected);
}

#[test]
fn tool_choices_are_written() {
    let names = || vec!["a".to_owned()];
    for (choice, expected) in [
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Auto, json!({"mode": "AUTO"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
        (
            ToolChoice::Named("a".into()),
            json!({"mode": "ANY", "allowedFunctionNames": ["a"]}),
        ),
        (
            ToolChoice::Allowed {
                names: names(),
                required: true,
            },
            json!({"mode": "ANY", "allowedFunctionNames": ["a"]}),
        ),
        (
            ToolChoice::Allowed {
                names: names(),
                required: false,
            },
            json!({"mode": "VALIDATED", "allowedFunctionNames": ["a"]}),
        ),
    ] {
        let chat = Chat {
            tools: vec![function("a")],
            tool_choice: Some(choice),
            ..hi()
        };
        assert_eq!(
            body(&chat, "m")["toolConfig"]["functionCallingConfig"],
            expected
        );
    }
    assert_eq!(
        body(
            &Chat {
                tool_choice: Some(ToolChoice::None),
                ..hi()
            },
            "m"
        )
        .get("toolConfig"),
        None
    );
}

#[test]
fn hints_are_left_out() {
    let chat = Chat {
        parallel_tools: Some(false),
        verbosity: Some("low".into()),
        user: Some("u".into()),
        metadata: Some(raw(&json!({"a": "b"}))),
        logit_bias: Some(raw(&json!({}))),
        service_tier: Some("auto".into()),
        ..hi()
    };
    assert_eq!(body(&chat, "m"), body(&hi(), "m"));
    assert_eq!(
        body(
            &Chat {
                service_tier: Some("flex".into()),
                ..hi()
            },
            "m"
        )["serviceTier"],
        "flex"
    );
}
