//! Writes a request for this wire from the neutral chat.
//!
//! A request for something that the target does not support is rejected with a 400 that names it.
//! Options whose absence does not change the meaning are left out silently: parallel tool calls,
//! efforts (models that can think do so unless it is disabled), `top_logprobs`, verbosity, service
//! tier, labels, end users, cache marks, names of participants, and the error flag of tool results
//! (their text states the error). Penalties, `top_p` and `top_k` are clamped to the API's ranges.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use super::turns;
use crate::model::ask::Ask;
use crate::model::chat::Chat;
use crate::model::fault::Fault;
use crate::model::target::Target;
use crate::model::wire::WireId;
use crate::wire::kit::declarations::Declaration;
use crate::wire::kit::request::{self, StreamDefault, TRACEPARENT};
use crate::wire::kit::schema::{AnswerFormat, answer_format};
use crate::wire::kit::tools::{self, Choice};
use crate::wire::{Draft, Mode};

/// Maximum `k` that the API accepts: the number of candidates to sample from.
const MAX_K: u64 = 500;

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::Cohere) {
        let fields = request::own_fields(&ask.body)?;
        request::own_body(&fields, target, mode, StreamDefault::Unknown, &[])
    } else {
        request::to_json(&body(ask.chat()?, target, mode)?)?
    };
    Ok(Draft {
        path: "/chat".to_owned(),
        headers: request::forwarded_headers(ask, &[TRACEPARENT]),
        body,
    })
}

#[skip_serializing_none]
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<turns::Message<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Declaration<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict_tools: bool,
    tool_choice: Option<&'static str>,
    response_format: Option<ResponseFormat<'a>>,
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(flatten)]
    sampling: Sampling,
    logprobs: Option<bool>,
    thinking: Option<Thinking>,
    stream: bool,
}

fn body<'a>(chat: &'a Chat, target: &'a Target, mode: Mode) -> Result<Body<'a>, Fault> {
    let accepts = target.accepts();
    request::check_options(chat, accepts)?;
    let offer = tools::offer(chat, accepts)?;
    let tool_choice = tool_choice(offer.choice);
    let tools = offer.functions(WireId::Cohere, accepts)?;
    Ok(Body {
        model: target.upstream_model(),
        messages: turns::write(chat, accepts)?,
        // The API has one switch for all tools, so one strict tool makes all of them strict.
        strict_tools: tools.iter().any(|tool| tool.strict),
        tool_choice,
        tools,
        response_format: answer_format(chat, accepts)?.map(ResponseFormat::from),
        max_tokens: chat.max_tokens,
        stop_sequences: &chat.stop,
        sampling: Sampling::from_chat(chat),
        logprobs: chat.logprobs.filter(|wanted| *wanted),
        thinking: thinking(chat),
        stream: mode == Mode::Stream,
    })
}

/// Returns the word of a tool choice. The API has none for its default, `auto`.
fn tool_choice(choice: Option<Choice<'_>>) -> Option<&'static str> {
    match choice? {
        Choice::None => Some("NONE"),
        Choice::Required => Some("REQUIRED"),
        Choice::Auto | Choice::Named(_) | Choice::Allowed { .. } => None,
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_object")]
struct ResponseFormat<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<&'a RawValue>,
}

impl<'a> From<AnswerFormat<'a>> for ResponseFormat<'a> {
    fn from(format: AnswerFormat<'a>) -> Self {
        let json_schema = match format {
            AnswerFormat::Json => None,
            AnswerFormat::Schema(wanted) => Some(wanted.schema),
        };
        Self { json_schema }
    }
}

#[skip_serializing_none]
#[derive(Serialize)]
struct Sampling {
    temperature: Option<f64>,
    p: Option<f64>,
    k: Option<u64>,
    seed: Option<u64>,
    frequency_penalty: Option<f64>,
    presence_penalty: Option<f64>,
}

impl Sampling {
    fn from_chat(chat: &Chat) -> Self {
        let penalty = |penalty: Option<f64>| penalty.map(|it| it.clamp(0.0, 1.0));
        Self {
            temperature: chat.temperature,
            // These options are hints: values out of range are clamped, not rejected.
            p: chat.top_p.map(|it| it.clamp(0.01, 0.99)),
            k: chat.top_k.map(|it| it.min(MAX_K)),
            // The API accepts no negative seeds. Any mapping serves: the same seed has to give the
            // same sample, its value has no meaning.
            seed: chat.seed.map(i64::unsigned_abs),
            frequency_penalty: penalty(chat.frequency_penalty),
            presence_penalty: penalty(chat.presence_penalty),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Thinking {
    Enabled { token_budget: u64 },
    Disabled,
}

/// Returns the thinking option: enabled with the requested budget, disabled if the client wants no
/// thinking, else absent.
fn thinking(chat: &Chat) -> Option<Thinking> {
    match (chat.reasoning_budget, chat.effort.as_deref()) {
        (Some(0), _) | (None, Some("none")) => Some(Thinking::Disabled),
        (Some(token_budget), _) => Some(Thinking::Enabled { token_budget }),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{CacheMark, Format, Message, Part, Role, Tool, ToolChoice};
    use crate::model::target::Provider;

    fn drafted(shape: WireId, body: &'static str, chat: Chat, mode: Mode) -> Result<Draft, Fault> {
        let ask = Ask::example(shape, body, chat);
        let provider = Provider::example(WireId::Cohere, "https://api.cohere.com/v2");
        draft(&ask, &Target::example(provider, "command-a"), mode)
    }

    /// Returns the body written for a chat, without model, messages and stream.
    fn options(chat: Chat) -> Value {
        let draft = drafted(
            WireId::OpenaiChat,
            "",
            Chat {
                messages: hi(),
                ..chat
            },
            Mode::Stream,
        )
        .unwrap();
        let mut body: Value = serde_json::from_slice(&draft.body).unwrap();
        ["model", "messages", "stream"]
            .iter()
            .for_each(|name| assert!(body.as_object_mut().unwrap().remove(*name).is_some()));
        body
    }

    fn rejected(chat: Chat) -> String {
        let fault = drafted(
            WireId::OpenaiChat,
            "",
            Chat {
                messages: hi(),
                ..chat
            },
            Mode::Stream,
        )
        .unwrap_err();
        assert_eq!(fault.status.as_u16(), 400);
        fault.param.unwrap()
    }

    fn hi() -> Vec<Message> {
        vec![Message {
            role: Role::User,
            name: None,
            parts: vec![Part::Text("hi".into())],
        }]
    }

    fn function(name: &str, strict: Option<bool>) -> Tool {
        Tool::Function {
            name: name.into(),
            description: None,
            parameters: None,
            strict,
            cache: Some(CacheMark::default()),
        }
    }

    fn raw(json: &str) -> Option<Box<RawValue>> {
        Some(RawValue::from_string(json.into()).unwrap())
    }

    #[test]
    fn a_body_of_this_shape_is_sent_unchanged() {
        let draft = drafted(
            WireId::Cohere,
            r#"{ "model":"smart","k":0 }"#,
            Chat::default(),
            Mode::Stream,
        )
        .unwrap();
        assert_eq!(
            (&*draft.path, &draft.body[..]),
            (
                "/chat",
                &br#"{ "model":"command-a","k":0 ,"stream":true}"#[..]
            )
        );
    }

    #[test]
    fn a_plain_chat_is_written_without_options() {
        for (mode, stream) in [(Mode::Stream, true), (Mode::Whole, false)] {
            let draft = drafted(
                WireId::OpenaiChat,
                "",
                Chat {
                    messages: hi(),
                    ..Chat::default()
                },
                mode,
            )
            .unwrap();
            let expected = json!({"model": "command-a", "messages": [{"role": "user", "content": "hi"}], "stream": stream});
            assert_eq!(
                serde_json::from_slice::<Value>(&draft.body).unwrap(),
                expected
            );
        }
    }

    #[test]
    fn options_are_renamed_and_clamped() {
        let chat = Chat {
            max_tokens: Some(9),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            seed: Some(7),
            stop: vec!["x".into()],
            presence_penalty: Some(0.1),
            frequency_penalty: Some(0.2),
            logprobs: Some(true),
            top_logprobs: Some(3),
            ..Chat::default()
        };
        let expected = json!({"max_tokens": 9, "temperature": 0.5, "p": 0.9, "k": 40, "seed": 7, "stop_sequences": ["x"],
            "presence_penalty": 0.1, "frequency_penalty": 0.2, "logprobs": true});
        assert_eq!(options(chat), expected);
        let chat = Chat {
            top_p: Some(1.0),
            top_k: Some(9000),
            seed: Some(-7),
            presence_penalty: Some(-2.0),
            frequency_penalty: Some(2.0),
            logprobs: Some(false),
            ..Chat::default()
        };
        assert_eq!(
            options(chat),
            json!({"p": 0.99, "k": 500, "seed": 7, "presence_penalty": 0.0, "frequency_penalty": 1.0})
        );
    }

    #[test]
    fn thinking_is_enabled_with_a_budget_or_disabled() {
        let thinking = |effort: Option<&str>, reasoning_budget| {
            options(Chat {
                effort: effort.map(Into::into),
                reasoning_budget,
                ..Chat::default()
            })
        };
        let off = json!({"thinking": {"type": "disabled"}});
        assert_eq!(thinking(Some("none"), None), off);
        assert_eq!(thinking(Some("high"), Some(0)), off);
        assert_eq!(
            thinking(Some("none"), Some(500)),
            json!({"thinking": {"type": "enabled", "token_budget": 500}})
        );
        assert_eq!(thinking(Some("high"), None), json!({}));
    }

    #[test]
    fn response_formats_are_translated() {
        let schema = |schema| {
            Some(Format::Schema {
                name: "n".into(),
                description: None,
                schema,
                strict: Some(true),
            })
        };
        let expected =
            json!({"response_format": {"type": "json_object", "json_schema": {"type": "object"}}});
        assert_eq!(
            options(Chat {
                format: schema(raw(r#"{"type":"object"}"#)),
                ..Chat::default()
            }),
            expected
        );
        assert_eq!(
            options(Chat {
                format: Some(Format::Json),
                ..Chat::default()
            }),
            json!({"response_format": {"type": "json_object"}})
        );
        assert_eq!(
            options(Chat {
                format: Some(Format::Text),
                ..Chat::default()
            }),
            json!({})
        );
        assert_eq!(
            rejected(Chat {
                format: schema(None),
                ..Chat::default()
            }),
            "response_format"
        );
    }

    #[test]
    fn tool_choices_are_translated() {
        let tools = |choice| Chat {
            tools: vec![function("a", None), function("b", Some(false))],
            tool_choice: choice,
            ..Chat::default()
        };
        let allowed = |required| {
            Some(ToolChoice::Allowed {
                names: vec!["b".into()],
                required,
            })
        };
        for (choice, word, declared) in [
            (None, json!(null), 2),
            (Some(ToolChoice::Auto), json!(null), 2),
            (Some(ToolChoice::None), json!("NONE"), 2),
            (Some(ToolChoice::Required), json!("REQUIRED"), 2),
            (Some(ToolChoice::Named("a".into())), json!("REQUIRED"), 1),
            (allowed(true), json!("REQUIRED"), 1),
            (allowed(false), json!(null), 1),
        ] {
            let body = options(tools(choice.clone()));
            assert_eq!(
                (
                    &body["tool_choice"],
                    body["tools"].as_array().unwrap().len()
                ),
                (&word, declared),
                "{choice:?}"
            );
            assert_eq!(body.get("strict_tools"), None);
        }
        assert_eq!(
            options(Chat {
                tool_choice: Some(ToolChoice::None),
                ..Chat::default()
            }),
            json!({})
        );
        assert_eq!(
            rejected(Chat {
                tool_choice: Some(ToolChoice::Required),
                ..Chat::default()
            }),
            "tool_choice"
        );
        let strict = Chat {
            tools: vec![function("a", None), function("b", Some(true))],
            ..Chat::default()
        };
        assert_eq!(options(strict.clone())["strict_tools"], true);
        let only = |name: &str| Chat {
            tool_choice: Some(ToolChoice::Named(name.into())),
            ..strict.clone()
        };
        assert_eq!(
            (
                options(only("a")).get("strict_tools"),
                &options(only("b"))["strict_tools"]
            ),
            (None, &json!(true))
        );
    }

    #[test]
    fn unsupported_fields_are_rejected_by_name() {
        assert_eq!(
            rejected(Chat {
                stop: vec!["x".into(); 6],
                ..Chat::default()
            }),
            "stop"
        );
        assert_eq!(
            rejected(Chat {
                choices: Some(2),
                ..Chat::default()
            }),
            "n"
        );
        assert_eq!(
            rejected(Chat {
                unsupported: vec!["web_search_options"],
                ..Chat::default()
            }),
            "web_search_options"
        );
        assert_eq!(
            rejected(Chat {
                logit_bias: raw(r#"{"1":-100}"#),
                ..Chat::default()
            }),
            "logit_bias"
        );
        let advice = Chat {
            parallel_tools: Some(false),
            verbosity: Some("low".into()),
            user: Some("u".into()),
            service_tier: Some("flex".into()),
            cache: Some(CacheMark::default()),
            metadata: raw(r#"{"a":"b"}"#),
            ..Chat::default()
        };
        assert_eq!(options(advice), json!({}));
    }
}
