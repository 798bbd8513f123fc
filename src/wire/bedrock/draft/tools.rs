//! Tools, and whether they must be called.
//!
//! The API has no word for "call none": tools that must not be called are not declared. But it
//! takes a conversation with tool calls only beside tools. Where none may be called, those that
//! were are declared as withheld: they take nothing, and say that they cannot be called any more.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use super::turns::CachePoint;
use crate::codec::json::Fields;
use crate::model::chat::{Chat, Part, Tool, ToolChoice};
use crate::model::fault::Fault;

/// What a tool says of itself that was called before and may not be called now.
const WITHHELD: &str = "This tool cannot be called any more.";

/// A tool whose results alone are there.
const NAMELESS: &str = "tool";

/// `toolConfig`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config<'a> {
    tools: Vec<Declared<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Declared<'a> {
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

/// What the model may call, and whether it must.
pub(super) fn config(chat: &Chat, family: Family) -> Result<Option<Config<'_>>, Fault> {
    let tools = declared(chat, family)?;
    let (choice, must) = match &chat.tool_choice {
        None | Some(ToolChoice::None) => (None, false),
        Some(
            ToolChoice::Auto
            | ToolChoice::Allowed {
                required: false, ..
            },
        ) => (Some(Choice::Auto {}), false),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => {
            (Some(Choice::Any {}), true)
        }
        Some(ToolChoice::Named(name)) => (Some(Choice::Tool { name }), true),
    };
    if !tools.is_empty() {
        return Ok(Some(Config {
            tools,
            tool_choice: choice,
        }));
    }
    if must {
        return Err(Fault::invalid(
            "tool_choice",
            "tool_choice: no tool to be called is declared in tools",
        ));
    }
    let tools = withheld(chat)?;
    Ok((!tools.is_empty()).then_some(Config {
        tools,
        tool_choice: None,
    }))
}

/// The tools that were called so far, each once.
fn withheld(chat: &Chat) -> Result<Vec<Declared<'_>>, Fault> {
    let parts = || chat.messages.iter().flat_map(|message| &message.parts);
    let mut names: BTreeSet<&str> = parts().filter_map(called).collect();
    if names.is_empty() && parts().any(|part| matches!(part, Part::ToolResult(_))) {
        names.insert(NAMELESS);
    }
    let declare = |name| {
        let input_schema = Schema {
            json: input_schema(name, None)?,
        };
        Ok(Declared::ToolSpec {
            name,
            description: Some(WITHHELD),
            input_schema,
            strict: None,
        })
    };
    names.into_iter().map(declare).collect()
}

fn called(part: &Part) -> Option<&str> {
    match part {
        Part::ToolCall(call) => Some(&call.name),
        Part::ToolResult(result) => result.name.as_deref(),
        _ => None,
    }
}

/// The tools that the model may call. There is no list of allowed ones: the others are not
/// declared.
fn declared(chat: &Chat, family: Family) -> Result<Vec<Declared<'_>>, Fault> {
    let names = match &chat.tool_choice {
        Some(ToolChoice::None) => return Ok(Vec::new()),
        Some(ToolChoice::Allowed { names, .. }) => Some(names),
        _ => None,
    };
    if let Some(unknown) = names
        .into_iter()
        .flatten()
        .find(|name| !chat.tools.iter().any(|tool| goes_by(tool, name)))
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
        .filter(|tool| names.is_none_or(|names| names.iter().any(|name| goes_by(tool, name))))
    {
        declare(tool, family, &mut all)?;
    }
    Ok(all)
}

fn goes_by(tool: &Tool, wanted: &str) -> bool {
    match tool {
        Tool::Function { name, .. } => name == wanted,
        Tool::Native { kind, .. } => kind == wanted,
    }
}

fn declare<'a>(tool: &'a Tool, family: Family, all: &mut Vec<Declared<'a>>) -> Result<(), Fault> {
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
            "tools of type {kind} exist on the {} wire only",
            wire.name()
        )));
    };
    all.push(Declared::ToolSpec {
        name,
        description: description.as_deref().filter(|text| !text.is_empty()),
        input_schema: Schema {
            json: input_schema(name, parameters.as_deref())?,
        },
        strict: strict.filter(|strict| *strict),
    });
    // Amazon's own models cache no tools.
    let mark = cache.as_ref().filter(|_| family.may_be_claude());
    all.extend(mark.map(|mark| Declared::CachePoint(CachePoint::of(mark, family))));
    Ok(())
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

fn invalid(what: &str) -> Fault {
    Fault::invalid("tools", format!("tools: {what}"))
}
