//! Translates a Messages body to the neutral [`Chat`], for targets that speak another wire.
//!
//! Unknown fields are ignored. Options that do not change the meaning of the answer are skipped:
//! the display of thinking, adaptive thinking (other targets decide on their own as well),
//! citations, fallbacks, speed, context management, diagnostics, billing, and how a tool is
//! streamed, loaded or called. Fields that change the answer and that no other wire supports are
//! listed by name in `unsupported`.

use super::cache::mark;
use super::{tools, turns};
use crate::dialect::object::Object;
use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;

/// Top-level fields that are read here or in `parse`; each may occur once.
pub(super) const FIELDS: &[&str] = &[
    "model",
    "messages",
    "max_tokens",
    "stream",
    "system",
    "tools",
    "tool_choice",
    "stop_sequences",
    "temperature",
    "top_p",
    "top_k",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "service_tier",
    "cache_control",
    "fallbacks",
    "thread",
    "mcp_servers",
    "inference_geo",
];

/// The name of a schema for APIs that require one; this API has none.
const FORMAT_NAME: &str = "answer";

/// Translates a complete body.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn translate(body: &[u8]) -> Result<Chat, Fault> {
    let top = Object::from_body(body)?;
    let output = top.object("output_config")?;
    let (thinking, reasoning_budget) = thinking(&top)?;
    let effort = output
        .as_ref()
        .map(|output| output.string("effort"))
        .transpose()?
        .flatten();
    let (tool_choice, parallel_tools) = tools::choice(&top)?;
    let (messages, origins) = turns::messages(&top)?;
    Ok(Chat {
        messages,
        origins,
        tools: tools::list(&top)?,
        tool_choice,
        parallel_tools,
        max_tokens: max_tokens(&top)?,
        temperature: top.read("temperature", "a number")?,
        top_p: top.read("top_p", "a number")?,
        top_k: top.read("top_k", "a non-negative integer")?,
        stop: top
            .read("stop_sequences", "an array of strings")?
            .unwrap_or_default(),
        format: format(&top, output.as_ref())?,
        // Disabled thinking wins over an effort.
        effort: thinking.or(effort),
        reasoning_budget,
        user: user(&top)?,
        service_tier: service_tier(&top)?,
        cache: mark(&top)?,
        unsupported: unsupported(&top)?,
        ..Chat::default()
    })
}

/// Reads `max_tokens`. Zero is valid only over the own wire, where it warms the prompt cache.
fn max_tokens(top: &Object<'_>) -> Result<Option<u64>, Fault> {
    match top.read("max_tokens", "a positive integer")? {
        Some(0) => Err(top.invalid("max_tokens", "a positive integer for this target")),
        max => Ok(max),
    }
}

/// Reads `thinking` as an effort (`none` if thinking is disabled) and a budget, tokens.
fn thinking(top: &Object<'_>) -> Result<(Option<String>, Option<u64>), Fault> {
    let Some(thinking) = top.object("thinking")? else {
        return Ok((None, None));
    };
    match &*thinking.required("type")? {
        "disabled" => Ok((Some("none".to_owned()), None)),
        "enabled" => Ok((None, thinking.read("budget_tokens", "a positive integer")?)),
        // Without a budget the target decides how much it thinks.
        "adaptive" | "between_tools" => Ok((None, None)),
        _ => Err(thinking.invalid(
            "type",
            "`enabled`, `adaptive`, `between_tools` or `disabled`",
        )),
    }
}

/// Reads the schema of the answer; older requests have it at the top level. The API always enforces
/// it, so it is strict.
fn format(top: &Object<'_>, output: Option<&Object<'_>>) -> Result<Option<Format>, Fault> {
    let named = output
        .map(|output| output.object("format"))
        .transpose()?
        .flatten();
    let Some(format) =
        named.map_or_else(|| top.object("output_format"), |format| Ok(Some(format)))?
    else {
        return Ok(None);
    };
    if format.required("type")? != "json_schema" {
        return Err(format.invalid("type", "`json_schema`"));
    }
    let schema = format.required_raw_object("schema")?;
    Ok(Some(Format::Schema {
        name: FORMAT_NAME.to_owned(),
        description: None,
        schema: Some(schema),
        strict: Some(true),
    }))
}

/// Reads the end user that the request names.
pub(super) fn user(top: &Object<'_>) -> Result<Option<String>, Fault> {
    top.object("metadata")?
        .map_or(Ok(None), |metadata| metadata.string("user_id"))
}

/// Reads the service tier in the terms of other providers. `auto` is their default, so it is not
/// sent.
fn service_tier(top: &Object<'_>) -> Result<Option<String>, Fault> {
    // `standard_only` asks for the tier that other providers call `default`.
    let standard = top.text("service_tier")?.as_deref() == Some("standard_only");
    Ok(standard.then(|| "default".to_owned()))
}

fn unsupported(top: &Object<'_>) -> Result<Vec<&'static str>, Fault> {
    let servers = top.objects("mcp_servers")?;
    // `global` is the default: it restricts nothing.
    let confined = top
        .text("inference_geo")?
        .is_some_and(|geo| geo != "global");
    Ok([
        ("mcp_servers", !servers.is_empty()),
        ("inference_geo", confined),
    ]
    .into_iter()
    .filter_map(|(name, asked)| asked.then_some(name))
    .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chat::{CacheMark, Tool, ToolChoice};
    use crate::model::wire::WireId;

    const MESSAGES: &str = r#""model":"m","messages":[{"role":"user","content":"hi"}]"#;

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
            r#""max_tokens":5,"temperature":0.5,"top_p":1,"top_k":3,"stop_sequences":["a","b"],"metadata":{"user_id":"u"},
               "service_tier":"standard_only","cache_control":{"type":"ephemeral","ttl":"1h"},"unknown":{"x":[]}"#,
        );
        assert_eq!(
            (chat.max_tokens, chat.temperature, chat.top_p, chat.top_k),
            (Some(5), Some(0.5), Some(1.0), Some(3))
        );
        assert_eq!(
            (
                chat.stop,
                chat.user.as_deref(),
                chat.service_tier.as_deref()
            ),
            (vec!["a".into(), "b".into()], Some("u"), Some("default"))
        );
        assert_eq!(
            chat.cache,
            Some(CacheMark {
                ttl: Some("1h".into())
            })
        );
        assert!(chat.unsupported.is_empty() && chat.choices.is_none() && chat.metadata.is_none());
        assert_eq!(read(r#""service_tier":"auto""#).service_tier, None);
    }

    #[test]
    fn thinking_becomes_a_budget_or_an_effort() {
        let asked = |fields| {
            let chat = read(fields);
            (chat.effort, chat.reasoning_budget)
        };
        assert_eq!(
            asked(r#""thinking":{"type":"enabled","budget_tokens":2048}"#),
            (None, Some(2048))
        );
        assert_eq!(
            asked(r#""thinking":{"type":"adaptive","display":"omitted"}"#),
            (None, None)
        );
        assert_eq!(
            asked(r#""thinking":{"type":"adaptive"},"output_config":{"effort":"xhigh"}"#),
            (Some("xhigh".into()), None)
        );
        assert_eq!(
            asked(r#""thinking":{"type":"disabled"},"output_config":{"effort":"low"}"#),
            (Some("none".into()), None)
        );
        assert_eq!(
            refused(r#""thinking":{"type":"often"}"#).0.as_deref(),
            Some("thinking.type")
        );
    }

    #[test]
    fn a_schema_is_strict_in_either_place() {
        for fields in [
            r#""output_config":{"format":{"type":"json_schema","schema":{"type": "object"}}}"#,
            r#""output_format":{"type":"json_schema","schema":{"type": "object"}}"#,
        ] {
            let Some(Format::Schema {
                schema: Some(schema),
                strict: Some(true),
                ..
            }) = read(fields).format
            else {
                panic!("{fields}")
            };
            assert_eq!(schema.get(), r#"{"type": "object"}"#);
        }
        assert_eq!(
            refused(r#""output_config":{"format":{"type":"grammar"}}"#)
                .0
                .as_deref(),
            Some("output_config.format.type")
        );
        assert_eq!(
            refused(r#""output_config":{"format":{"type":"json_schema"}}"#)
                .0
                .as_deref(),
            Some("output_config.format.schema")
        );
    }

    #[test]
    fn fields_that_no_other_wire_supports_are_listed() {
        assert_eq!(
            read(r#""mcp_servers":[{"url":"x"}],"inference_geo":"us""#).unsupported,
            ["mcp_servers", "inference_geo"]
        );
        assert!(
            read(r#""mcp_servers":[],"inference_geo":"global","fallbacks":[],"speed":"fast""#)
                .unsupported
                .is_empty()
        );
        assert_eq!(
            refused(r#""max_tokens":0"#).1,
            "`max_tokens` must be a positive integer for this target"
        );
    }

    #[test]
    fn tools_are_read() {
        let chat = read(
            r#""tools":[{"name":"f","description":"d","input_schema":{"type":"object"},"strict":true,"cache_control":{"type":"ephemeral"},
                "defer_loading":true},{"type":"custom","name":"g","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}]"#,
        );
        let [
            Tool::Function {
                name,
                parameters: Some(parameters),
                strict,
                cache,
                ..
            },
            Tool::Function { name: bare, .. },
            native,
        ] = &chat.tools[..]
        else {
            panic!("three tools")
        };
        assert_eq!(
            (&**name, parameters.get(), *strict, cache, &**bare),
            (
                "f",
                r#"{"type":"object"}"#,
                Some(true),
                &Some(CacheMark::default()),
                "g"
            )
        );
        assert!(
            matches!(native, Tool::Native { wire: WireId::Anthropic, kind, json } if kind == "web_search_20250305" && json.get().contains("web_search"))
        );
        for (fields, param) in [
            (r#""tools":{}"#, "tools"),
            (r#""tools":[1]"#, "tools[0]"),
            (r#""tools":[{"input_schema":{}}]"#, "tools[0].name"),
            (r#""tools":[{"name":"f"}]"#, "tools[0].input_schema"),
            (
                r#""tools":[{"name":"f","input_schema":[]}]"#,
                "tools[0].input_schema",
            ),
        ] {
            assert_eq!(refused(fields).0.as_deref(), Some(param), "{fields}");
        }
    }

    #[test]
    fn tool_choices_are_read() {
        for (choice, expected, parallel) in [
            (r#"{"type":"auto"}"#, ToolChoice::Auto, None),
            (
                r#"{"type":"any","disable_parallel_tool_use":true}"#,
                ToolChoice::Required,
                Some(false),
            ),
            (
                r#"{"type":"tool","name":"f","disable_parallel_tool_use":false}"#,
                ToolChoice::Named("f".into()),
                None,
            ),
            (r#"{"type":"none"}"#, ToolChoice::None, None),
        ] {
            let chat = read(&format!("\"tool_choice\":{choice}"));
            assert_eq!(
                (chat.tool_choice, chat.parallel_tools),
                (Some(expected), parallel),
                "{choice}"
            );
        }
        assert_eq!(
            refused(r#""tool_choice":"auto""#).0.as_deref(),
            Some("tool_choice")
        );
        assert_eq!(
            refused(r#""tool_choice":{"type":"tool"}"#).0.as_deref(),
            Some("tool_choice.name")
        );
        assert_eq!(
            refused(r#""tool_choice":{"type":"some"}"#).0.as_deref(),
            Some("tool_choice.type")
        );
    }
}
