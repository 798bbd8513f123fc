//! Writes a request for this wire from the neutral chat.
//!
//! A request that the target does not support is rejected with a 400 that names the field; a forced
//! tool call is one. Options whose absence changes no meaning are left out silently: parallel tool
//! calls, strictness of tools, the size of a thinking budget, verbosity, service tier, image
//! detail, labels, end users, cache marks, participants' names, and a tool result's error flag (the
//! text of the result reports the error).

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
use crate::wire::kit::{refusals, tools};
use crate::wire::{Draft, Mode};

/// Writes the request for `target`.
pub(super) fn draft(ask: &Ask, target: &Target, mode: Mode) -> Result<Draft, Fault> {
    let body = if ask.shape == Some(WireId::Ollama) {
        let fields = request::own_fields(&ask.body)?;
        request::own_body(&fields, target, mode, StreamDefault::Unknown, &[])
    } else {
        request::to_json(&body(ask.chat()?, target, mode)?)?
    };
    Ok(Draft {
        path: "/api/chat".to_owned(),
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
    format: Option<OutputFormat<'a>>,
    think: Option<Think>,
    #[serde(skip_serializing_if = "Options::is_empty")]
    options: Options<'a>,
    logprobs: Option<bool>,
    top_logprobs: Option<u32>,
    stream: bool,
}

fn body<'a>(chat: &'a Chat, target: &'a Target, mode: Mode) -> Result<Body<'a>, Fault> {
    let accepts = target.accepts();
    request::check_options(chat, accepts)?;
    let logprobs = chat.logprobs.filter(|wanted| *wanted);
    Ok(Body {
        model: target.upstream_model(),
        messages: turns::write(chat, accepts)?,
        // This wire has no `tool_choice`: the offer is the whole choice.
        tools: tools::offer(chat, accepts)?.functions(WireId::Ollama, accepts)?,
        format: answer_format(chat, accepts)?.map(OutputFormat::from),
        think: think(chat)?,
        options: Options::from_chat(chat),
        logprobs,
        top_logprobs: chat.top_logprobs.filter(|_| logprobs.is_some()),
        // Always written, because Ollama streams by default.
        stream: mode == Mode::Stream,
    })
}

#[derive(Serialize)]
#[serde(untagged)]
enum OutputFormat<'a> {
    Json(&'static str),
    Schema(&'a RawValue),
}

impl<'a> From<AnswerFormat<'a>> for OutputFormat<'a> {
    fn from(format: AnswerFormat<'a>) -> Self {
        match format {
            AnswerFormat::Json => Self::Json("json"),
            AnswerFormat::Schema(wanted) => Self::Schema(wanted.schema),
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Think {
    Enabled(bool),
    Level(&'static str),
}

/// Returns the `think` option. It is set only if the client asks for thinking, because models
/// without thinking reject the option in any form.
fn think(chat: &Chat) -> Result<Option<Think>, Fault> {
    let level = match chat.effort.as_deref() {
        None => None,
        Some("none") => Some(Think::Enabled(false)),
        // `minimal` and `xhigh` do not exist on this wire: send the nearest level.
        Some("minimal" | "low") => Some(Think::Level("low")),
        Some("medium") => Some(Think::Level("medium")),
        Some("high" | "xhigh") => Some(Think::Level("high")),
        Some("max") => Some(Think::Level("max")),
        Some(_) => return Err(refusals::effort()),
    };
    Ok(match (chat.reasoning_budget, level) {
        (Some(0), _) => Some(Think::Enabled(false)),
        // This wire has no token budget: a positive one only turns thinking on.
        (Some(_), None | Some(Think::Enabled(_))) => Some(Think::Enabled(true)),
        (_, level) => level,
    })
}

#[skip_serializing_none]
#[derive(Serialize, Default, PartialEq)]
struct Options<'a> {
    num_predict: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
}

impl<'a> Options<'a> {
    fn from_chat(chat: &'a Chat) -> Self {
        Self {
            num_predict: chat.max_tokens,
            temperature: chat.temperature,
            top_p: chat.top_p,
            top_k: chat.top_k,
            seed: chat.seed,
            stop: &chat.stop,
            presence_penalty: chat.presence_penalty,
            frequency_penalty: chat.frequency_penalty,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::chat::{CacheMark, Format, Message, Part, Role, Tool, ToolChoice};
    use crate::model::target::Provider;

    fn drafted(shape: WireId, body: &'static str, chat: Chat, mode: Mode) -> Result<Draft, Fault> {
        let ask = Ask::example(shape, body, chat)
            .with_headers(&[("traceparent", "t"), ("openai-beta", "b")]);
        let provider = Provider::example(WireId::Ollama, "http://127.0.0.1:11434");
        draft(&ask, &Target::example(provider, "qwen3:4b"), mode)
    }

    /// Returns the body that a chat becomes, without model, messages and stream.
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

    fn rejected_field(chat: Chat) -> String {
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
            name: Some("ann".into()),
            parts: vec![Part::Text("hi".into())],
        }]
    }

    fn function(name: &str) -> Tool {
        Tool::Function {
            name: name.into(),
            description: None,
            parameters: None,
            strict: Some(true),
            cache: Some(CacheMark::default()),
        }
    }

    fn schema(schema: Option<Value>) -> Option<Format> {
        let schema = schema.map(|it| RawValue::from_string(it.to_string()).unwrap());
        Some(Format::Schema {
            name: "n".into(),
            description: None,
            schema,
            strict: Some(true),
        })
    }

    #[test]
    fn a_body_of_this_wires_shape_is_forwarded_unchanged() {
        let body = r#"{ "model":"smart","x":1.0 }"#;
        let draft = drafted(WireId::Ollama, body, Chat::default(), Mode::Stream).unwrap();
        assert_eq!(
            (&*draft.path, &draft.body[..]),
            (
                "/api/chat",
                &br#"{ "model":"qwen3:4b","x":1.0 ,"stream":true}"#[..]
            )
        );
        let draft = drafted(
            WireId::Ollama,
            r#"{"stream":true,"model":""}"#,
            Chat::default(),
            Mode::Whole,
        )
        .unwrap();
        assert_eq!(&draft.body[..], br#"{"stream":false,"model":"qwen3:4b"}"#);
        assert!(drafted(WireId::Ollama, "[]", Chat::default(), Mode::Whole).is_err());
    }

    #[test]
    fn options_that_were_not_requested_are_absent() {
        let draft = drafted(
            WireId::OpenaiChat,
            "",
            Chat {
                messages: hi(),
                ..Chat::default()
            },
            Mode::Stream,
        )
        .unwrap();
        let expected = json!({"model": "qwen3:4b", "messages": [{"role": "user", "content": "hi"}], "stream": true});
        assert_eq!(
            serde_json::from_slice::<Value>(&draft.body).unwrap(),
            expected
        );
        let names: Vec<&str> = draft
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(names, ["traceparent"]);
        let draft = drafted(
            WireId::OpenaiChat,
            "",
            Chat {
                messages: hi(),
                ..Chat::default()
            },
            Mode::Whole,
        )
        .unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&draft.body).unwrap()["stream"],
            false
        );
    }

    #[test]
    fn sampling_settings_become_options() {
        let chat = Chat {
            max_tokens: Some(9),
            temperature: Some(0.5),
            top_p: Some(0.9),
            top_k: Some(40),
            seed: Some(-7),
            stop: vec!["x".into()],
            presence_penalty: Some(0.1),
            frequency_penalty: Some(-0.2),
            logprobs: Some(true),
            top_logprobs: Some(3),
            choices: Some(1),
            ..Chat::default()
        };
        let expected = json!({
            "options": {"num_predict": 9, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": -7, "stop": ["x"],
                "presence_penalty": 0.1, "frequency_penalty": -0.2},
            "logprobs": true, "top_logprobs": 3});
        assert_eq!(options(chat), expected);
        assert_eq!(
            options(Chat {
                logprobs: Some(false),
                top_logprobs: Some(3),
                ..Chat::default()
            }),
            json!({})
        );
    }

    #[test]
    fn think_is_set_by_effort_or_budget() {
        let think = |effort: Option<&str>, reasoning_budget| {
            options(Chat {
                effort: effort.map(Into::into),
                reasoning_budget,
                ..Chat::default()
            })
            .get("think")
            .cloned()
        };
        for (effort, expected) in [
            ("none", json!(false)),
            ("minimal", json!("low")),
            ("low", json!("low")),
            ("medium", json!("medium")),
            ("high", json!("high")),
            ("xhigh", json!("high")),
            ("max", json!("max")),
        ] {
            assert_eq!(think(Some(effort), None), Some(expected), "{effort}");
        }
        assert_eq!(think(None, None), None);
        assert_eq!(think(None, Some(2000)), Some(json!(true)));
        assert_eq!(think(None, Some(0)), Some(json!(false)));
        assert_eq!(think(Some("high"), Some(2000)), Some(json!("high")));
        assert_eq!(think(Some("none"), Some(2000)), Some(json!(true)));
        assert_eq!(
            rejected_field(Chat {
                effort: Some("some".into()),
                ..Chat::default()
            }),
            "reasoning_effort"
        );
    }

    #[test]
    fn output_formats_are_written() {
        let shape = json!({"type": "object"});
        assert_eq!(
            options(Chat {
                format: schema(Some(shape.clone())),
                ..Chat::default()
            }),
            json!({"format": shape})
        );
        assert_eq!(
            options(Chat {
                format: Some(Format::Json),
                ..Chat::default()
            }),
            json!({"format": "json"})
        );
        assert_eq!(
            options(Chat {
                format: Some(Format::Text),
                ..Chat::default()
            }),
            json!({})
        );
        assert_eq!(
            rejected_field(Chat {
                format: schema(None),
                ..Chat::default()
            }),
            "response_format"
        );
    }

    #[test]
    fn a_forced_tool_call_is_rejected() {
        let tools = |choice| Chat {
            tools: vec![function("a"), function("b")],
            tool_choice: choice,
            ..Chat::default()
        };
        let count = |choice| {
            options(tools(choice))
                .get("tools")
                .map_or(0, |list| list.as_array().unwrap().len())
        };
        let allowed = |required| {
            Some(ToolChoice::Allowed {
                names: vec!["b".into()],
                required,
            })
        };
        for (choice, declared) in [
            (None, 2),
            (Some(ToolChoice::Auto), 2),
            (allowed(false), 1),
            (Some(ToolChoice::None), 0),
        ] {
            assert_eq!(count(choice), declared);
        }
        for choice in [
            Some(ToolChoice::Required),
            Some(ToolChoice::Named("a".into())),
            allowed(true),
        ] {
            assert_eq!(rejected_field(tools(choice)), "tool_choice");
        }
    }
}
