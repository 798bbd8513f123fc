//! Writes a chat as a `generateContent` request.

use std::fmt::Write as _;

use bytes::Bytes;

use super::request::{
    Body, Function, FunctionCalling, GenerationConfig, Thinking, Tool, ToolConfig,
};
use super::turns;
use crate::model::ask::Ask;
use crate::model::chat::{self, Chat, Format, ToolChoice};
use crate::model::fault::{Code, Fault};
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::request::{TRACEPARENT, forwarded_headers};
use crate::wire::{Draft, Mode};

/// Maximum number of stop sequences that Gemini accepts.
const MAX_STOP_SEQUENCES: usize = 5;

/// Returns the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::Gemini) {
        // The model is in the path, so the body needs no change.
        ask.body.clone()
    } else {
        encode(ask.chat()?, target.upstream_model())?
    };
    Ok(Draft {
        path: path(target.upstream_model(), mode),
        headers: forwarded_headers(ask, &[TRACEPARENT]),
        body,
    })
}

/// Returns the path of a request for `model`. A name without a collection is put under `models/`;
/// `tunedModels/` is the other collection.
pub(super) fn path(model: &str, mode: Mode) -> String {
    let (folder, name) = match model.split_once('/') {
        Some((folder @ ("models" | "tunedModels"), name)) => (folder, name),
        _ => ("models", model),
    };
    let mut path = format!("/{folder}/");
    // The name may come from the client: percent-encode every byte that could end or leave its
    // path segment.
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let written = write!(path, "%{byte:02X}");
            debug_assert!(written.is_ok(), "writing to a string cannot fail");
        }
    }
    path.push_str(match mode {
        Mode::Stream => ":streamGenerateContent?alt=sse",
        Mode::Whole => ":generateContent",
    });
    path
}

fn encode(chat: &Chat, model: &str) -> Result<Bytes, Fault> {
    to_json(&body(chat, model)?)
}

/// Returns the request body in this wire's form.
pub(super) fn body<'a>(chat: &'a Chat, model: &str) -> Result<Body<'a>, Fault> {
    reject_unsupported(chat)?;
    let (system_instruction, contents) = turns::contents(chat, model)?;
    Ok(Body {
        system_instruction,
        contents,
        tools: tools(&chat.tools)?,
        tool_config: chat
            .tool_choice
            .as_ref()
            .filter(|_| !chat.tools.is_empty())
            .map(tool_config),
        generation_config: generation_config(chat, model)?,
        service_tier: chat
            .service_tier
            .as_deref()
            // Other dialects' tiers (`auto`, `default`) do not exist here; the tier is a hint.
            .filter(|tier| matches!(*tier, "flex" | "priority")),
    })
}

/// Encodes the request body as JSON.
pub(super) fn to_json(body: &Body<'_>) -> Result<Bytes, Fault> {
    let json = serde_json::to_vec(body).map_err(|_| {
        Fault::new(
            Code::InternalError,
            "the request for gemini cannot be written as JSON",
        )
    })?;
    Ok(json.into())
}

fn reject_unsupported(chat: &Chat) -> Result<(), Fault> {
    if let Some(field) = chat.unsupported.first() {
        return Err(Fault::invalid(
            *field,
            format!("{field} is not supported by this model's provider (gemini); leave it out"),
        ));
    }
    // An empty object biases nothing, so it is accepted and left out.
    let biased = chat
        .logit_bias
        .as_ref()
        .is_some_and(|bias| bias.get().contains(':'));
    if biased {
        return Err(Fault::invalid(
            "logit_bias",
            "logit_bias is not supported by this model's provider (gemini); leave it out",
        ));
    }
    Ok(())
}

fn tools(tools: &[chat::Tool]) -> Result<Vec<Tool<'_>>, Fault> {
    let (mut functions, mut all) = (Vec::new(), Vec::new());
    for (at, tool) in tools.iter().enumerate() {
        match tool {
            chat::Tool::Function {
                name,
                description,
                parameters,
                ..
            } => {
                // `parameters` would take only a subset of OpenAPI; this member takes JSON Schema.
                let parameters_json_schema = parameters.as_deref();
                functions.push(Function {
                    name,
                    description: description.as_deref(),
                    parameters_json_schema,
                });
            }
            chat::Tool::Native {
                wire: WireId::Gemini,
                json,
                ..
            } => all.push(Tool::Native(json)),
            chat::Tool::Native { kind, .. } => {
                let message = format!(
                    "tools[{at}]: this model's provider (gemini) does not support tools of type \
                     {kind:?}; use functions"
                );
                return Err(Fault::invalid(format!("tools[{at}].type"), message));
            }
        }
    }
    if !functions.is_empty() {
        all.insert(0, Tool::Functions(functions));
    }
    Ok(all)
}

fn tool_config(choice: &ToolChoice) -> ToolConfig<'_> {
    let (mode, allowed_function_names) = match choice {
        ToolChoice::None => ("NONE", Vec::new()),
        ToolChoice::Auto => ("AUTO", Vec::new()),
        ToolChoice::Required => ("ANY", Vec::new()),
        ToolChoice::Named(name) => ("ANY", vec![name.as_str()]),
        // AUTO does not accept names; VALIDATED is AUTO with names.
        ToolChoice::Allowed { names, required } => (
            if *required { "ANY" } else { "VALIDATED" },
            names.iter().map(String::as_str).collect(),
        ),
    };
    ToolConfig {
        function_calling_config: FunctionCalling {
            mode,
            allowed_function_names,
        },
    }
}

fn generation_config<'a>(chat: &'a Chat, model: &str) -> Result<GenerationConfig<'a>, Fault> {
    if chat.stop.len() > MAX_STOP_SEQUENCES {
        let message = format!(
            "stop: this model's provider (gemini) accepts at most {MAX_STOP_SEQUENCES} sequences, \
             not {}; send fewer",
            chat.stop.len()
        );
        return Err(Fault::invalid("stop", message));
    }
    let (response_mime_type, response_json_schema) = match &chat.format {
        None | Some(Format::Text) => (None, None),
        Some(Format::Json) => (Some("application/json"), None),
        Some(Format::Schema { schema, .. }) => (Some("application/json"), schema.as_deref()),
    };
    Ok(GenerationConfig {
        temperature: chat.temperature,
        top_p: chat.top_p,
        top_k: chat.top_k,
        max_output_tokens: chat.max_tokens,
        stop_sequences: &chat.stop,
        seed: chat.seed,
        presence_penalty: chat.presence_penalty,
        frequency_penalty: chat.frequency_penalty,
        candidate_count: chat.choices.filter(|count| *count > 1),
        response_logprobs: chat.logprobs.filter(|wanted| *wanted),
        logprobs: chat.top_logprobs.filter(|_| chat.logprobs == Some(true)),
        response_mime_type,
        response_json_schema,
        thinking_config: thinking_config(chat, model)?,
    })
}

/// Returns the thinking configuration for the chat's budget or effort. A budget is more precise
/// than an effort and takes precedence.
fn thinking_config(chat: &Chat, model: &str) -> Result<Option<Thinking>, Fault> {
    if let Some(budget) = chat.reasoning_budget {
        return Ok(Some(with_budget(budget)));
    }
    let Some(effort) = chat.effort.as_deref() else {
        return Ok(None);
    };
    let (level, budget) = match effort {
        // There is no level for "off": only a budget of 0 turns thinking off.
        "none" => return Ok(Some(with_budget(0))),
        "minimal" => ("MINIMAL", 1024),
        "low" => ("LOW", 1024),
        "medium" => ("MEDIUM", 8192),
        "high" | "xhigh" | "max" => ("HIGH", 24576),
        _ => {
            let message =
                "reasoning_effort: expected none, minimal, low, medium, high, xhigh or max";
            return Err(Fault::invalid("reasoning_effort", message));
        }
    };
    if is_before_gemini_3(model) {
        return Ok(Some(with_budget(budget)));
    }
    Ok(Some(Thinking {
        include_thoughts: Some(true),
        thinking_level: Some(level),
        thinking_budget: None,
    }))
}

fn with_budget(budget: u64) -> Thinking {
    Thinking {
        // With thinking off, thoughts must not be requested.
        include_thoughts: (budget > 0).then_some(true),
        thinking_level: None,
        thinking_budget: Some(budget),
    }
}

/// Returns true for models that reject function calls without a signature: Gemini 3 and later.
pub(super) fn requires_signatures(model: &str) -> bool {
    base_name(model).starts_with("gemini-") && !is_before_gemini_3(model)
}

/// Returns true for models that reject thinking levels: those before Gemini 3.
fn is_before_gemini_3(model: &str) -> bool {
    let name = base_name(model);
    name.starts_with("gemini-1") || name.starts_with("gemini-2")
}

fn base_name(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{Message, Part, Role};

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
        serde_json::from_slice(&encode(chat, model).unwrap()).unwrap()
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

    fn rejected(chat: Chat) -> (u16, Option<String>) {
        let fault = encode(
            &Chat {
                messages: hi().messages,
                ..chat
            },
            "m",
        )
        .unwrap_err();
        assert!(fault.ends_route());
        (fault.status.as_u16(), fault.param)
    }

    #[test]
    fn the_model_name_cannot_leave_its_path_segment() {
        assert_eq!(
            path("gemini-3.5-flash", Mode::Stream),
            "/models/gemini-3.5-flash:streamGenerateContent?alt=sse"
        );
        assert_eq!(path("models/x", Mode::Whole), "/models/x:generateContent");
        assert_eq!(
            path("tunedModels/my-1", Mode::Whole),
            "/tunedModels/my-1:generateContent"
        );
        assert_eq!(
            path("../x?a#b:c %é", Mode::Whole),
            "/models/..%2Fx%3Fa%23b%3Ac%20%25%C3%A9:generateContent"
        );
    }

    #[test]
    fn a_minimal_chat_is_a_minimal_body() {
        let expected = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {}});
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
        assert_eq!(
            rejected(Chat {
                effort: Some("some".into()),
                ..Chat::default()
            }),
            (400, Some("reasoning_effort".into()))
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
        let expected =
            json!({"responseMimeType": "application/json", "responseJsonSchema": schema});
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

    fn function(name: &str) -> chat::Tool {
        let parameters = Some(raw(&json!({"type": "object"})));
        chat::Tool::Function {
            name: name.into(),
            description: Some("d".into()),
            parameters,
            strict: Some(true),
            cache: None,
        }
    }

    #[test]
    fn functions_are_declared_in_one_list() {
        let search = chat::Tool::Native {
            wire: WireId::Gemini,
            kind: "googleSearch".into(),
            json: raw(&json!({"googleSearch": {}})),
        };
        let bare = chat::Tool::Function {
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
    fn unsupported_fields_are_rejected_by_name() {
        let native = chat::Tool::Native {
            wire: WireId::OpenaiChat,
            kind: "custom".into(),
            json: raw(&json!({})),
        };
        assert_eq!(
            rejected(Chat {
                tools: vec![function("a"), native],
                ..Chat::default()
            }),
            (400, Some("tools[1].type".into()))
        );
        assert_eq!(
            rejected(Chat {
                unsupported: vec!["prediction", "store"],
                ..Chat::default()
            }),
            (400, Some("prediction".into()))
        );
        assert_eq!(
            rejected(Chat {
                stop: vec!["x".into(); 6],
                ..Chat::default()
            }),
            (400, Some("stop".into()))
        );
        assert_eq!(
            rejected(Chat {
                logit_bias: Some(raw(&json!({"1": 5}))),
                ..Chat::default()
            }),
            (400, Some("logit_bias".into()))
        );
        assert_eq!(
            encode(&Chat::default(), "m").unwrap_err().param.as_deref(),
            Some("messages")
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
}
