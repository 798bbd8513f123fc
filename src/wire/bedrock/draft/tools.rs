//! Tool declarations and the tool choice.
//!
//! The API has no tool choice "none": tools that must not be called are not declared. But it
//! accepts a conversation with past tool calls only together with tools. If no tool may be called,
//! the tools called so far are declared as placeholders, without parameters and with a description
//! that says that they cannot be called any more.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use super::turns::CachePoint;
use crate::codec::json::Fields;
use crate::model::chat::{Chat, Part, Tool, ToolChoice};
use crate::model::fault::Fault;

/// Description of a tool that was called before and must not be called now.
const PLACEHOLDER_DESCRIPTION: &str = "This tool cannot be called any more.";

/// Name of the placeholder if the conversation contains tool results without names.
const PLACEHOLDER_NAME: &str = "tool";

/// `toolConfig`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    tools: Vec<Declaration<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Declaration<'a> {
    ToolSpec {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        input_schema: Schema<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
    CachePoint(CachePoint<'a>),
}

#[derive(Serialize)]
struct Schema<'a> {
    json: Cow<'a, RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Choice<'a> {
    Auto {},
    Any {},
    Tool { name: &'a str },
}

/// Returns the tools that the model may call, and the tool choice.
pub(super) fn tool_config(chat: &Chat, family: Family) -> Result<Option<ToolConfig<'_>>, Fault> {
    let tools = declarations(chat, family)?;
    let (choice, must) = match &chat.tool_choice {
        None | Some(ToolChoice::None) => (None, false),
        Some(
            ToolChoice::Auto
            | ToolChoice::Allowed {
                required: false, ..
            },
        ) => (Some(Choice::Auto {}), false),
        // Tools that are not allowed are not declared, so any declared tool will do.
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => {
            (Some(Choice::Any {}), true)
        }
        Some(ToolChoice::Named(name)) => (Some(Choice::Tool { name }), true),
    };
    if !tools.is_empty() {
        return Ok(Some(ToolConfig {
            tools,
            tool_choice: choice,
        }));
    }
    // Placeholders must not be called, so they cannot satisfy this choice.
    if must {
        return Err(Fault::invalid(
            "tool_choice",
            "tool_choice: a tool must be called, but tools declares none that may be",
        ));
    }
    let tools = placeholders(chat)?;
    Ok((!tools.is_empty()).then_some(ToolConfig {
        tools,
        tool_choice: None,
    }))
}

/// Returns a placeholder for each tool that was called so far.
fn placeholders(chat: &Chat) -> Result<Vec<Declaration<'_>>, Fault> {
    let parts = || chat.messages.iter().flat_map(|message| &message.parts);
    // A set gives each tool once, in the same order for the same conversation.
    let mut names: BTreeSet<&str> = parts().filter_map(called_name).collect();
    // The API asks for tools beside results as well, even if their calls are missing.
    if names.is_empty() && parts().any(|part| matches!(part, Part::ToolResult(_))) {
        names.insert(PLACEHOLDER_NAME);
    }
    let declare = |name| {
        let input_schema = Schema {
            json: input_schema(name, None)?,
        };
        Ok(Declaration::ToolSpec {
            name,
            description: Some(PLACEHOLDER_DESCRIPTION),
            input_schema,
            strict: None,
        })
    };
    names.into_iter().map(declare).collect()
}

fn called_name(part: &Part) -> Option<&str> {
    match part {
        Part::ToolCall(call) => Some(&call.name),
        Part::ToolResult(result) => result.name.as_deref(),
        _ => None,
    }
}

/// Returns the declarations of the tools that the model may call. The API has no list of allowed
/// tools, so the others are not declared.
fn declarations(chat: &Chat, family: Family) -> Result<Vec<Declaration<'_>>, Fault> {
    let names = match &chat.tool_choice {
        // The API has no choice "none": tools that are not declared cannot be called.
        Some(ToolChoice::None) => return Ok(Vec::new()),
        Some(ToolChoice::Allowed { names, .. }) => Some(names),
        _ => None,
    };
    // A misspelt name would otherwise silently leave the model without that tool.
    if let Some(unknown) = names
        .into_iter()
        .flatten()
        .find(|name| !chat.tools.iter().any(|tool| has_name(tool, name)))
    {
        return Err(Fault::invalid(
            "tool_choice",
            format!("tool_choice: {unknown} is allowed but not declared in tools"),
        ));
    }
    let mut all = Vec::with_capacity(chat.tools.len());
    for tool in chat
        .tools
        .iter()
        .filter(|tool| names.is_none_or(|names| names.iter().any(|name| has_name(tool, name))))
    {
        declare(tool, family, &mut all)?;
    }
    Ok(all)
}

fn has_name(tool: &Tool, expected: &str) -> bool {
    match tool {
        Tool::Function { name, .. } => name == expected,
        Tool::Native { kind, .. } => kind == expected,
    }
}

fn declare<'a>(
    tool: &'a Tool,
    family: Family,
    all: &mut Vec<Declaration<'a>>,
) -> Result<(), Fault> {
    let Tool::Function {
        name,
        description,
        parameters,
        strict,
        cache,
    } = tool
    else {
        let Tool::Native { wire, kind, .. } = tool else {
            return Ok(());
        };
        return Err(invalid(&format!(
            "tools of type {kind} are supported only on the {} wire",
            wire.name()
        )));
    };
    all.push(Declaration::ToolSpec {
        name,
        description: description.as_deref().filter(|text| !text.is_empty()),
        input_schema: Schema {
            json: input_schema(name, parameters.as_deref())?,
        },
        strict: strict.filter(|strict| *strict),
    });
    // Amazon's own models do not cache tools.
    let mark = cache.as_ref().filter(|_| family.may_be_claude());
    all.extend(mark.map(|mark| Declaration::CachePoint(CachePoint::from_mark(mark, family))));
    Ok(())
}

/// Returns the schema of a tool's input. The API accepts object schemas with a `type` only, so a
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

fn invalid(what: &str) -> Fault {
    Fault::invalid("tools", format!("tools: {what}"))
}
