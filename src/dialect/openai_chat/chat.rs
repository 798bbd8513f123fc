//! Translates a Chat Completions body to the neutral [`Chat`], for targets that speak another wire.
//!
//! Unknown fields are ignored. Fields that change the answer and that no other wire supports are
//! listed by name in `unsupported`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{cache, tools, turns};
use crate::dialect::object::Object;
use crate::model::chat::{Chat, Format, Message, Origin};
use crate::model::fault::Fault;

/// Top-level fields that are read here or in `parse`; each may occur once.
pub(in crate::dialect) const FIELDS: &[&str] = &[
    "model",
    "models",
    "fallbacks",
    "messages",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "stop",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "verbosity",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "safety_identifier",
    "user",
    "service_tier",
    "metadata",
    "cache_control",
    "prompt_cache_key",
    "parallel_tool_calls",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "moderation",
];

/// Maximum number of choices that OpenAI accepts.
const MAX_CHOICES: u16 = 128;

/// Translates a complete body.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn translate(body: &[u8]) -> Result<Chat, Fault> {
    let top = Object::from_body(body)?;
    let (messages, origins) = turns::messages(&top)?;
    settings(&top, messages, origins)
}

/// Translates everything but the messages of a body.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(in crate::dialect) fn settings(
    top: &Object<'_>,
    messages: Vec<Message>,
    origins: Vec<Origin>,
) -> Result<Chat, Fault> {
    let (effort, reasoning_budget) = reasoning(top)?;
    Ok(Chat {
        messages,
        origins,
        tools: tools::list(top)?,
        tool_choice: tools::choice(top)?,
        parallel_tools: top.read("parallel_tool_calls", "true or false")?,
        max_tokens: max_tokens(top)?,
        temperature: number(top, "temperature")?,
        top_p: number(top, "top_p")?,
        top_k: top.read("top_k", "a non-negative integer")?,
        seed: top.read("seed", "an integer")?,
        presence_penalty: number(top, "presence_penalty")?,
        frequency_penalty: number(top, "frequency_penalty")?,
        stop: stop(top)?,
        choices: choices(top)?,
        format: format(top)?,
        effort,
        reasoning_budget,
        verbosity: top.string("verbosity")?,
        logprobs: top.read("logprobs", "true or false")?,
        top_logprobs: top.read("top_logprobs", "a non-negative integer")?,
        logit_bias: top.raw_object("logit_bias")?,
        user: user(top)?,
        service_tier: top.string("service_tier")?,
        cache: cache::mark(top)?,
        cache_key: top.string("prompt_cache_key")?,
        metadata: top.raw_object("metadata")?,
        unsupported: unsupported(top)?,
    })
}

/// Reads the maximum number of output tokens. `max_completion_tokens` replaces the older
/// `max_tokens`.
///
/// # Errors
/// A 400 when the value is not a positive integer.
pub(in crate::dialect) fn max_tokens(top: &Object<'_>) -> Result<Option<u64>, Fault> {
    // Both fields are checked, even if only one of them counts.
    let mut found = None;
    for name in ["max_completion_tokens", "max_tokens"] {
        let max: Option<u64> = top.read(name, "a positive integer")?;
        if max == Some(0) {
            return Err(top.invalid(name, "a positive integer"));
        }
        found = found.or(max);
    }
    Ok(found)
}

/// Reads the number of choices; `None` where it is absent.
///
/// # Errors
/// A 400 when the value is not an integer from 1 to 128.
pub(super) fn choices(top: &Object<'_>) -> Result<Option<u16>, Fault> {
    const EXPECTED: &str = "an integer from 1 to 128";
    let n: Option<u16> = top.read("n", EXPECTED)?;
    if n.is_some_and(|n| !(1..=MAX_CHOICES).contains(&n)) {
        Err(top.invalid("n", EXPECTED))
    } else {
        Ok(n)
    }
}

fn number(top: &Object<'_>, name: &str) -> Result<Option<f64>, Fault> {
    top.read(name, "a number")
}

/// Reads the reasoning effort and budget (tokens): OpenAI's `reasoning_effort`, and the forms of
/// compatible APIs, `reasoning {effort, max_tokens}` and `thinking {type, budget_tokens}`.
fn reasoning(top: &Object<'_>) -> Result<(Option<String>, Option<u64>), Fault> {
    const TOKENS: &str = "a non-negative integer";
    // OpenAI's own field wins over the forms of compatible APIs.
    let (mut effort, mut budget) = (top.string("reasoning_effort")?, None);
    if let Some(reasoning) = top.object("reasoning")? {
        effort = effort.or(reasoning.string("effort")?);
        budget = reasoning.read("max_tokens", TOKENS)?;
    }
    if let Some(thinking) = top.object("thinking")? {
        budget = budget.or(thinking.read("budget_tokens", TOKENS)?);
        let off = thinking.text("type")?.as_deref() == Some("disabled");
        effort = effort.or_else(|| off.then(|| "none".to_owned()));
    }
    Ok((effort, budget))
}

fn stop(top: &Object<'_>) -> Result<Vec<String>, Fault> {
    const EXPECTED: &str = "a string or an array of strings";
    match top.raw("stop") {
        None => Ok(Vec::new()),
        Some(value) if value.get().starts_with('"') => Ok(vec![top.required("stop")?]),
        Some(_) => Ok(top.read("stop", EXPECTED)?.unwrap_or_default()),
    }
}

/// Reads the end user that the request names.
pub(super) fn user(top: &Object<'_>) -> Result<Option<String>, Fault> {
    // OpenAI is replacing `user` with `safety_identifier`.
    Ok(top.string("safety_identifier")?.or(top.string("user")?))
}

fn format(top: &Object<'_>) -> Result<Option<Format>, Fault> {
    let Some(format) = top.object("response_format")? else {
        return Ok(None);
    };
    match &*format.required("type")? {
        "text" => Ok(Some(Format::Text)),
        "json_object" => Ok(Some(Format::Json)),
        "json_schema" => schema(&format.required_object("json_schema")?).map(Some),
        _ => Err(format.invalid(
            "type",
            "`text`, `json_object` or `json_schema` for this target",
        )),
    }
}

fn schema(schema: &Object<'_>) -> Result<Format, Fault> {
    Ok(Format::Schema {
        name: schema.non_empty("name")?,
        description: schema.string("description")?,
        schema: schema.raw_object("schema")?,
        strict: schema.read("strict", "true or false")?,
    })
}

fn unsupported(top: &Object<'_>) -> Result<Vec<&'static str>, Fault> {
    #[derive(Deserialize)]
    struct Word<'a>(#[serde(borrow)] Cow<'a, str>);
    let modalities: Vec<Word<'_>> = top
        .read("modalities", "an array of strings")?
        .unwrap_or_default();
    // Text alone is what every wire produces.
    let other = modalities
        .iter()
        .any(|Word(word)| word != "text")
        .then_some("modalities");
    let named = ["audio", "prediction", "web_search_options", "moderation"]
        .into_iter()
        .filter(|name| top.raw(name).is_some());
    Ok(other.into_iter().chain(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chat::{Tool, ToolChoice};

    const MESSAGES: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    fn read(fields: &str) -> Chat {
        translate(format!("{{{MESSAGES},{fields}}}").as_bytes()).unwrap()
    }

    fn refused(fields: &str) -> (Option<String>, String) {
        let fault = translate(format!("{{{MESSAGES},{fields}}}").as_bytes()).unwrap_err();
        assert_eq!(fault.status, 400);
        (fault.param, fault.message)
    }

    #[test]
    fn settings_are_read() {
        let chat = read(
            r#""max_tokens":5,"temperature":0.5,"top_p":1,"top_k":3,"seed":-7,"presence_penalty":1,"frequency_penalty":-1,"n":2,
               "reasoning_effort":"high","verbosity":"low","logprobs":true,"top_logprobs":3,"logit_bias":{"5":-100},"user":"u",
               "safety_identifier":"s","service_tier":"flex","metadata":{"a":"b"},"parallel_tool_calls":false,"unknown":{"x":[]}"#,
        );
        assert_eq!(
            (
                chat.max_tokens,
                chat.temperature,
                chat.top_p,
                chat.top_k,
                chat.seed
            ),
            (Some(5), Some(0.5), Some(1.0), Some(3), Some(-7))
        );
        assert_eq!(
            (chat.presence_penalty, chat.frequency_penalty, chat.choices),
            (Some(1.0), Some(-1.0), Some(2))
        );
        assert_eq!(
            (
                chat.effort.as_deref(),
                chat.verbosity.as_deref(),
                chat.user.as_deref()
            ),
            (Some("high"), Some("low"), Some("s"))
        );
        assert_eq!(
            (chat.logprobs, chat.top_logprobs, chat.parallel_tools),
            (Some(true), Some(3), Some(false))
        );
        assert_eq!(chat.logit_bias.unwrap().get(), r#"{"5":-100}"#);
        assert_eq!(chat.metadata.unwrap().get(), r#"{"a":"b"}"#);
        assert_eq!(chat.service_tier.as_deref(), Some("flex"));
        assert!(chat.unsupported.is_empty() && chat.stop.is_empty());
    }

    #[test]
    fn stop_is_a_string_or_a_list() {
        assert_eq!(read(r#""stop":"a""#).stop, ["a"]);
        assert_eq!(read(r#""stop":["a","b"]"#).stop, ["a", "b"]);
        assert!(read(r#""stop":null"#).stop.is_empty());
        assert_eq!(
            refused(r#""stop":[1]"#).1,
            "`stop` must be a string or an array of strings"
        );
    }

    #[test]
    fn reasoning_options_have_several_forms() {
        let asked = |fields| {
            let chat = read(fields);
            (chat.effort, chat.reasoning_budget)
        };
        assert_eq!(
            asked(r#""reasoning":{"effort":"low","max_tokens":9}"#),
            (Some("low".into()), Some(9))
        );
        assert_eq!(
            asked(r#""thinking":{"type":"enabled","budget_tokens":2048}"#),
            (None, Some(2048))
        );
        assert_eq!(
            asked(r#""thinking":{"type":"disabled"}"#),
            (Some("none".into()), None)
        );
    }

    #[test]
    fn formats_are_read() {
        assert!(matches!(
            read(r#""response_format":{"type":"text"}"#).format,
            Some(Format::Text)
        ));
        assert!(matches!(
            read(r#""response_format":{"type":"json_object"}"#).format,
            Some(Format::Json)
        ));
        let schema = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type": "object"},"strict":true}}"#;
        let Some(Format::Schema {
            name,
            schema: Some(schema),
            strict: Some(true),
            description: None,
        }) = read(schema).format
        else {
            panic!("a schema")
        };
        assert_eq!((&*name, schema.get()), ("n", r#"{"type": "object"}"#));
        assert_eq!(
            refused(r#""response_format":{"type":"grammar"}"#)
                .0
                .as_deref(),
            Some("response_format.type")
        );
        let nameless = r#""response_format":{"type":"json_schema","json_schema":{}}"#;
        assert_eq!(
            refused(nameless).0.as_deref(),
            Some("response_format.json_schema.name")
        );
    }

    #[test]
    fn fields_that_no_other_wire_supports_are_listed() {
        let fields = r#""modalities":["text","audio"],"audio":{"voice":"x"},"prediction":{},"web_search_options":{},"moderation":{}"#;
        assert_eq!(
            read(fields).unsupported,
            [
                "modalities",
                "audio",
                "prediction",
                "web_search_options",
                "moderation"
            ]
        );
        assert!(
            read(r#""modalities":["text"],"audio":null"#)
                .unsupported
                .is_empty()
        );
    }

    #[test]
    fn tools_are_read() {
        let chat = read(
            r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}},{"type":"custom","custom":{"name":"c"}}],
               "functions":[{"name":"old","description":"d"}]"#,
        );
        let [
            Tool::Function {
                name,
                parameters: Some(parameters),
                ..
            },
            Tool::Native { kind, json, .. },
            Tool::Function { name: old, .. },
        ] = &chat.tools[..]
        else {
            panic!("three tools")
        };
        assert_eq!(
            (&**name, parameters.get(), &**kind, &**old),
            ("f", r#"{"type":"object"}"#, "custom", "old")
        );
        assert_eq!(json.get(), r#"{"type":"custom","custom":{"name":"c"}}"#);
        for (fields, param) in [
            (r#""tools":{}"#, "tools"),
            (r#""tools":[1]"#, "tools[0]"),
            (r#""tools":[{"type":"function"}]"#, "tools[0].function"),
            (
                r#""tools":[{"type":"function","function":{"name":""}}]"#,
                "tools[0].function.name",
            ),
            (
                r#""tools":[{"type":"function","function":{"name":"f","parameters":[]}}]"#,
                "tools[0].function.parameters",
            ),
        ] {
            assert_eq!(refused(fields).0.as_deref(), Some(param), "{fields}");
        }
    }

    #[test]
    fn tool_choices_are_read() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for (json, choice) in [
            (r#""none""#, ToolChoice::None),
            (r#""auto""#, ToolChoice::Auto),
            (r#""required""#, ToolChoice::Required),
            (
                r#"{"type":"function","function":{"name":"f"}}"#,
                ToolChoice::Named("f".into()),
            ),
            (
                r#"{"type":"custom","custom":{"name":"c"}}"#,
                ToolChoice::Named("c".into()),
            ),
            (
                r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
                ToolChoice::Allowed {
                    names: named(&["f"]),
                    required: true,
                },
            ),
        ] {
            assert_eq!(
                read(&format!(r#""tool_choice":{json}"#)).tool_choice,
                Some(choice),
                "{json}"
            );
        }
        assert_eq!(
            read(r#""function_call":{"name":"f"}"#).tool_choice,
            Some(ToolChoice::Named("f".into()))
        );
        assert_eq!(
            read(r#""function_call":"none""#).tool_choice,
            Some(ToolChoice::None)
        );
        assert_eq!(
            refused(r#""tool_choice":"always""#).0.as_deref(),
            Some("tool_choice")
        );
        assert_eq!(
            refused(r#""tool_choice":{"type":"x"}"#).0.as_deref(),
            Some("tool_choice.type")
        );
    }

    #[test]
    fn wrong_types_are_rejected() {
        for (field, value) in [
            ("temperature", "\"hot\""),
            ("top_k", "-1"),
            ("seed", "1.5"),
            ("logit_bias", "[]"),
            ("metadata", "\"a\""),
            ("verbosity", "1"),
            ("parallel_tool_calls", "\"no\""),
            ("modalities", "\"text\""),
        ] {
            assert_eq!(
                refused(&format!("\"{field}\":{value}")).0.as_deref(),
                Some(field)
            );
        }
    }
}
