//! Tool declarations and the tool choice.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::turns::CacheControl;
use crate::codec::json::Fields;
use crate::model::chat::{Chat, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Declaration<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Cow<'a, RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
    },
    Native(&'a RawValue),
}

#[derive(Serialize)]
pub(super) struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disable_parallel_tool_use: Option<bool>,
}

/// Returns the declarations of the tools that the model may call. This wire has no list of allowed
/// tools, so the others are not declared.
pub(super) fn declarations(chat: &Chat) -> Result<Vec<Declaration<'_>>, Fault> {
    let Some(ToolChoice::Allowed { names, .. }) = &chat.tool_choice else {
        return chat.tools.iter().map(declare).collect();
    };
    // A misspelt name would otherwise silently leave the model without that tool.
    if let Some(unknown) = names
        .iter()
        .find(|name| !chat.tools.iter().any(|tool| has_name(tool, name)))
    {
        return Err(Fault::invalid(
            "tool_choice",
            format!("tool_choice: {unknown} is allowed but not declared in tools"),
        ));
    }
    let allowed = |tool: &&Tool| names.iter().any(|name| has_name(tool, name));
    chat.tools.iter().filter(allowed).map(declare).collect()
}

fn has_name(tool: &Tool, expected: &str) -> bool {
    match tool {
        Tool::Function { name, .. } => name == expected,
        Tool::Native { kind, .. } => kind == expected,
    }
}

fn declare(tool: &Tool) -> Result<Declaration<'_>, Fault> {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            cache,
        } => Ok(Declaration::Function {
            name,
            description: description.as_deref().filter(|text| !text.is_empty()),
            input_schema: input_schema(name, parameters.as_deref())?,
            strict: strict.filter(|strict| *strict),
            cache_control: cache.as_ref().map(CacheControl::from_mark),
        }),
        Tool::Native {
            wire: WireId::Anthropic,
            json,
            ..
        } => Ok(Declaration::Native(json)),
        Tool::Native { wire, kind, .. } => Err(invalid(&format!(
            "tools of type {kind} are supported only on the {} wire",
            wire.name()
        ))),
    }
}

/// Returns the schema of a tool's input. This wire accepts object schemas with a `type` only, so a
/// missing `type` is added.
fn input_schema<'a>(
    name: &str,
    parameters: Option<&'a RawValue>,
) -> Result<Cow<'a, RawValue>, Fault> {
    let text = parameters.map_or(r#"{"type":"object","properties":{}}"#, RawValue::get);
    let not_object = || {
        invalid(&format!(
            "the parameters of {name} are not a JSON schema object"
        ))
    };
    // The schema is changed as text, so that everything else in it stays byte for byte the same.
    let fields = Fields::parse(text.as_bytes()).map_err(|_| not_object())?;
    if let Some(parameters) = parameters.filter(|_| fields.get("type").is_some()) {
        return Ok(Cow::Borrowed(parameters));
    }
    let typed = fields.with(&[("type", r#""object""#)]);
    let text = String::from_utf8(typed.into()).map_err(|_| not_object())?;
    RawValue::from_string(text)
        .map(Cow::Owned)
        .map_err(|_| not_object())
}

/// Returns the tool choice, which is sent only together with tools (`without_tools` is false).
pub(super) fn tool_choice(chat: &Chat, without_tools: bool) -> Result<Option<Choice<'_>>, Fault> {
    let (kind, name) = match &chat.tool_choice {
        Some(ToolChoice::None) => ("none", None),
        // Tools that are not allowed are not declared, so any declared tool will do.
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_str())),
        Some(
            ToolChoice::Auto
            | ToolChoice::Allowed {
                required: false, ..
            },
        ) => ("auto", None),
        // The switch for parallel calls is a member of the choice, so there must be one.
        None if chat.parallel_tools == Some(false) => ("auto", None),
        None => return Ok(None),
    };
    if without_tools {
        let must = matches!(kind, "any" | "tool");
        return if must {
            Err(Fault::invalid(
                "tool_choice",
                "tool_choice: a tool must be called, but tools declares none that may be",
            ))
        } else {
            Ok(None)
        };
    }
    // Without any call there are no parallel ones.
    let single = (chat.parallel_tools == Some(false) && kind != "none").then_some(true);
    Ok(Some(Choice {
        kind,
        name,
        disable_parallel_tool_use: single,
    }))
}

fn invalid(what: &str) -> Fault {
    Fault::invalid("tools", format!("tools: {what}"))
}
