//! Tools, and whether they must be called.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::turns::Ephemeral;
use crate::codec::json::Fields;
use crate::model::chat::{Chat, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Declared<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Cow<'a, RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<Ephemeral<'a>>,
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

/// The tools the model may call. This wire has no list of allowed ones: the others are not
/// declared.
pub(super) fn declared(chat: &Chat) -> Result<Vec<Declared<'_>>, Fault> {
    let Some(ToolChoice::Allowed { names, .. }) = &chat.tool_choice else {
        return chat.tools.iter().map(declare).collect();
    };
    if let Some(unknown) = names
        .iter()
        .find(|name| !chat.tools.iter().any(|tool| goes_by(tool, name)))
    {
        return Err(Fault::invalid(
            "tool_choice",
            format!("tool_choice: {unknown} is allowed but not declared in tools"),
        ));
    }
    let allowed = |tool: &&Tool| names.iter().any(|name| goes_by(tool, name));
    chat.tools.iter().filter(allowed).map(declare).collect()
}

fn goes_by(tool: &Tool, wanted: &str) -> bool {
    match tool {
        Tool::Function { name, .. } => name == wanted,
        Tool::Native { kind, .. } => kind == wanted,
    }
}

fn declare(tool: &Tool) -> Result<Declared<'_>, Fault> {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            cache,
        } => Ok(Declared::Function {
            name,
            description: description.as_deref().filter(|text| !text.is_empty()),
            input_schema: input_schema(name, parameters.as_deref())?,
            strict: strict.filter(|strict| *strict),
            cache_control: cache.as_ref().map(Ephemeral::of),
        }),
        Tool::Native {
            wire: WireId::Anthropic,
            json,
            ..
        } => Ok(Declared::Native(json)),
        Tool::Native { wire, kind, .. } => Err(invalid(&format!(
            "tools of type {kind} exist on the {} wire only",
            wire.name()
        ))),
    }
}

/// The schema, which here must be that of an object, and say so.
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
    let fields = Fields::of(text.as_bytes()).map_err(|_| not_object())?;
    if let Some(parameters) = parameters.filter(|_| fields.get("type").is_some()) {
        return Ok(Cow::Borrowed(parameters));
    }
    let typed = fields.with(&[("type", r#""object""#)]);
    let text = String::from_utf8(typed.into()).map_err(|_| not_object())?;
    RawValue::from_string(text)
        .map(Cow::Owned)
        .map_err(|_| not_object())
}

/// Whether tools must be called; said only where there are any (`untooled` is false).
pub(super) fn choice(chat: &Chat, untooled: bool) -> Result<Option<Choice<'_>>, Fault> {
    let (kind, name) = match &chat.tool_choice {
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => ("any", None),
        Some(ToolChoice::Named(name)) => ("tool", Some(name.as_str())),
        Some(
            ToolChoice::Auto
            | ToolChoice::Allowed {
                required: false, ..
            },
        ) => ("auto", None),
        None if chat.parallel_tools == Some(false) => ("auto", None),
        None => return Ok(None),
    };
    if untooled {
        let must = matches!(kind, "any" | "tool");
        return if must {
            Err(Fault::invalid(
                "tool_choice",
                "tool_choice: no tool to be called is declared in tools",
            ))
        } else {
            Ok(None)
        };
    }
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
