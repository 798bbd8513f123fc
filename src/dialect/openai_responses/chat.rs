//! Translates a Responses request into the provider-neutral chat, for targets on another wire.
//!
//! Unknown fields are ignored. Options are omitted if their absence does not change the meaning of
//! the answer: how reasoning is summarized, what a response includes, obfuscation, truncation (a
//! prompt that is too long is an error then), cache options, and `max_tool_calls` (tools that a
//! provider runs are rejected anyway). State that the provider would store is stored here. Fields
//! that change the meaning of the answer, and that no other wire supports, are listed in
//! `unsupported`.

use super::{items, tools};
use crate::dialect::object::Object;
use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;

/// Top-level fields read here or in [`parse`](super::parse); each may occur once.
pub(super) const FIELDS: &[&str] = &[
    "model",
    "input",
    "instructions",
    "stream",
    "store",
    "background",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "max_output_tokens",
    "temperature",
    "top_p",
    "top_logprobs",
    "include",
    "reasoning",
    "text",
    "metadata",
    "user",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
    "context_management",
    "moderation",
];

/// Translates a whole request body.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn translate(body: &[u8]) -> Result<Chat, Fault> {
    let top = Object::from_body(body)?;
    let reasoning = top.object("reasoning")?;
    let text = top.object("text")?;
    let included: Vec<String> = top
        .read("include", "an array of strings")?
        .unwrap_or_default();
    let top_logprobs: Option<u32> = top.read("top_logprobs", "a non-negative integer")?;
    let (messages, origins) = items::messages(&top)?;
    Ok(Chat {
        messages,
        origins,
        tools: tools::list(&top)?,
        tool_choice: tools::choice(&top)?,
        parallel_tools: top.read("parallel_tool_calls", "true or false")?,
        max_tokens: max_tokens(&top)?,
        temperature: top.read("temperature", "a number")?,
        top_p: top.read("top_p", "a number")?,
        format: text.as_ref().map_or(Ok(None), format)?,
        verbosity: text
            .as_ref()
            .map_or(Ok(None), |text| text.string("verbosity"))?,
        effort: reasoning.map_or(Ok(None), |reasoning| reasoning.string("effort"))?,
        // This API requests log probabilities by `include`.
        logprobs: included
            .iter()
            .any(|it| it == "message.output_text.logprobs")
            .then_some(true),
        // 0 means that none were requested.
        top_logprobs: top_logprobs.filter(|count| *count > 0),
        user: user(&top)?,
        service_tier: top.string("service_tier")?,
        cache_key: top.string("prompt_cache_key")?,
        metadata: metadata(&top)?,
        unsupported: unsupported(&top),
        ..Chat::default()
    })
}

/// Returns the end user that a request names.
pub(super) fn user(top: &Object<'_>) -> Result<Option<String>, Fault> {
    // `safety_identifier` replaces `user` in this API.
    Ok(top.string("safety_identifier")?.or(top.string("user")?))
}

/// Returns the maximum number of output tokens.
///
/// # Errors
/// A 400 if it is not a positive integer.
pub(super) fn max_tokens(top: &Object<'_>) -> Result<Option<u64>, Fault> {
    match top.read("max_output_tokens", "a positive integer")? {
        Some(0) => Err(top.invalid("max_output_tokens", "a positive integer")),
        max => Ok(max),
    }
}

fn metadata(top: &Object<'_>) -> Result<Option<Box<serde_json::value::RawValue>>, Fault> {
    top.object("metadata")?;
    Ok(top
        .raw("metadata")
        .filter(|value| value.get() != "{}")
        .map(ToOwned::to_owned))
}

fn format(text: &Object<'_>) -> Result<Option<Format>, Fault> {
    let Some(format) = text.object("format")? else {
        return Ok(None);
    };
    match &*format.required("type")? {
        "text" => Ok(Some(Format::Text)),
        "json_object" => Ok(Some(Format::Json)),
        "json_schema" => {
            let schema = format.required_raw_object("schema")?;
            Ok(Some(Format::Schema {
                name: format.non_empty("name")?,
                description: format.string("description")?,
                schema: Some(schema),
                strict: format.read("strict", "true or false")?,
            }))
        }
        _ => Err(format.invalid(
            "type",
            "`text`, `json_object` or `json_schema`, for this target",
        )),
    }
}

fn unsupported(top: &Object<'_>) -> Vec<&'static str> {
    ["context_management", "moderation"]
        .into_iter()
        // An empty list requests nothing.
        .filter(|name| top.raw(name).is_some_and(|value| value.get() != "[]"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chat::{Tool, ToolChoice};
    use crate::model::wire::WireId;

    fn read(fields: &str) -> Result<Chat, Fault> {
        translate(format!(r#"{{"model":"m","input":"hi",{fields}}}"#).as_bytes())
    }

    #[test]
    fn options_are_read() {
        let chat = read(
            r#""max_output_tokens":50,"temperature":0.5,"top_p":1,"parallel_tool_calls":false,"reasoning":{"effort":"low","summary":"auto"},
               "text":{"format":{"type":"json_schema","name":"n","schema":{"a":1},"strict":true},"verbosity":"high"},"user":"u","safety_identifier":"s",
               "service_tier":"flex","prompt_cache_key":"k","metadata":{"a":"b"},"truncation":"auto","include":["reasoning.encrypted_content"],"moderation":{}"#,
        )
        .unwrap();
        assert_eq!(
            (
                chat.max_tokens,
                chat.temperature,
                chat.top_p,
                chat.parallel_tools
            ),
            (Some(50), Some(0.5), Some(1.0), Some(false))
        );
        assert_eq!(
            (
                chat.effort.as_deref(),
                chat.verbosity.as_deref(),
                chat.user.as_deref()
            ),
            (Some("low"), Some("high"), Some("s"))
        );
        assert_eq!(
            (chat.service_tier.as_deref(), chat.cache_key.as_deref()),
            (Some("flex"), Some("k"))
        );
        assert!(
            matches!(chat.format, Some(Format::Schema { name, strict: Some(true), .. }) if name == "n")
        );
        assert_eq!(
            (chat.metadata.unwrap().get(), chat.unsupported),
            (r#"{"a":"b"}"#, vec!["moderation"])
        );
    }

    #[test]
    fn flat_tools_are_read() {
        let chat = read(
            r#""tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":true},{"type":"custom","name":"g"},{"type":"web_search"}]"#,
        )
        .unwrap();
        assert!(
            matches!(&chat.tools[0], Tool::Function { name, strict: Some(true), parameters: Some(_), .. } if name == "f")
        );
        assert!(
            matches!(&chat.tools[1], Tool::Native { wire: WireId::OpenaiResponses, kind, .. } if kind == "custom")
        );
        assert!(matches!(&chat.tools[2], Tool::Native { kind, .. } if kind == "web_search"));
        for (choice, expected) in [
            (r#""none""#, ToolChoice::None),
            (r#""required""#, ToolChoice::Required),
            (
                r#"{"type":"function","name":"f"}"#,
                ToolChoice::Named("f".into()),
            ),
            (
                r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"}]}"#,
                ToolChoice::Allowed {
                    names: vec!["f".into()],
                    required: true,
                },
            ),
        ] {
            assert_eq!(
                read(&format!(r#""tool_choice":{choice}"#))
                    .unwrap()
                    .tool_choice,
                Some(expected)
            );
        }
    }

    #[test]
    fn errors_name_the_invalid_field() {
        for (fields, param) in [
            (r#""tools":[{"name":"f"}]"#, "tools[0].type"),
            (
                r#""tools":[{"type":"function","name":"f","parameters":[]}]"#,
                "tools[0].parameters",
            ),
            (r#""tool_choice":"some""#, "tool_choice"),
            (r#""tool_choice":{"type":"web_search"}"#, "tool_choice.type"),
            (
                r#""text":{"format":{"type":"grammar"}}"#,
                "text.format.type",
            ),
            (
                r#""text":{"format":{"type":"json_schema","name":"n"}}"#,
                "text.format.schema",
            ),
            (r#""metadata":7"#, "metadata"),
        ] {
            assert_eq!(
                read(fields).unwrap_err().param.as_deref(),
                Some(param),
                "{fields}"
            );
        }
    }
}
