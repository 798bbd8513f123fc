//! Writes tools and the tool choice. This wire writes both as flat objects; chat completions wrap
//! them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::chat::{Chat, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Declared<'a> {
    Known(Known<'a>),
    /// A tool of this wire's own, unchanged.
    Native(&'a RawValue),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Known<'a> {
    Function {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        description: Option<&'a str>,
        parameters: Parameters<'a>,
        /// Always written, because the default is true on this wire and false in chat completions.
        strict: bool,
    },
    Custom(Custom<'a>),
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Parameters<'a> {
    Schema(&'a RawValue),
    None {
        #[serde(rename = "type")]
        kind: &'static str,
        properties: NoProperties,
    },
}

#[derive(Serialize)]
pub(super) struct NoProperties {}

/// A tool that accepts free text.
#[derive(Serialize, Deserialize)]
pub(super) struct Custom<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    format: Option<TextFormat<'a>>,
}

/// The text that a custom tool accepts. In chat completions the grammar is a nested object.
#[derive(Serialize, Deserialize)]
struct TextFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, skip_serializing)]
    grammar: Option<Grammar<'a>>,
    #[serde(borrow, flatten)]
    flat: Grammar<'a>,
}

#[derive(Serialize, Deserialize)]
struct Grammar<'a> {
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    syntax: Option<Cow<'a, str>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    definition: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Choice<'a> {
    Word(&'static str),
    Named(Named<'a>),
    Allowed {
        #[serde(rename = "type")]
        kind: &'static str,
        mode: &'static str,
        tools: Vec<Named<'a>>,
    },
}

#[derive(Serialize)]
pub(super) struct Named<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
}

/// Returns the declarations of all tools.
///
/// # Errors
/// A 400 for a tool that exists on another wire only.
pub(super) fn declare_tools(chat: &Chat) -> Result<Vec<Declared<'_>>, Fault> {
    chat.tools.iter().map(declare_tool).collect()
}

fn declare_tool(tool: &Tool) -> Result<Declared<'_>, Fault> {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            ..
        } => {
            let no_parameters = || Parameters::None {
                kind: "object",
                properties: NoProperties {},
            };
            let parameters = parameters
                .as_deref()
                .map_or_else(no_parameters, Parameters::Schema);
            let (description, strict) = (description.as_deref(), strict.unwrap_or(false));
            Ok(Declared::Known(Known::Function {
                name,
                description,
                parameters,
                strict,
            }))
        }
        Tool::Native {
            wire: WireId::OpenaiResponses,
            json,
            ..
        } => Ok(Declared::Native(json)),
        Tool::Native {
            wire: WireId::OpenaiChat,
            kind,
            json,
        } if kind == "custom" => custom(json),
        Tool::Native { wire, kind, .. } => Err(Fault::invalid(
            "tools",
            format!(
                "tools: tools of type {kind} exist on the {} wire only",
                wire.name()
            ),
        )),
    }
}

/// Converts a custom tool of chat completions to the flat shape of this wire.
fn custom(json: &RawValue) -> Result<Declared<'_>, Fault> {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        custom: Custom<'a>,
    }
    let mut wrapped: Wrapped<'_> = serde_json::from_str(json.get()).map_err(|_| {
        let message =
            "tools: a custom tool needs an object `custom` with a `name` and optionally a `format`";
        Fault::invalid("tools", message)
    })?;
    if let Some(format) = &mut wrapped.custom.format
        && let Some(grammar) = format.grammar.take()
    {
        // Chat completions nest the grammar; here its fields belong to `format`.
        format.flat = grammar;
    }
    Ok(Declared::Known(Known::Custom(wrapped.custom)))
}

/// Returns the tool choice. Without tools, only a choice that requires a call is written, so that
/// the API rejects the contradiction.
pub(super) fn tool_choice<'a>(chat: &'a Chat, declared: &[Declared<'_>]) -> Option<Choice<'a>> {
    match chat.tool_choice.as_ref()? {
        ToolChoice::None | ToolChoice::Auto if declared.is_empty() => None,
        ToolChoice::None => Some(Choice::Word("none")),
        ToolChoice::Auto => Some(Choice::Word("auto")),
        ToolChoice::Required => Some(Choice::Word("required")),
        ToolChoice::Named(name) => Some(Choice::Named(named(name, declared))),
        ToolChoice::Allowed { names, required } => {
            let tools = names.iter().map(|name| named(name, declared)).collect();
            Some(Choice::Allowed {
                kind: "allowed_tools",
                mode: if *required { "required" } else { "auto" },
                tools,
            })
        }
    }
}

/// Returns a reference to a tool by name. Its kind is taken from the declaration.
fn named<'a>(name: &'a str, declared: &[Declared<'_>]) -> Named<'a> {
    let is_custom = |tool: &Declared<'_>| matches!(tool, Declared::Known(Known::Custom(custom)) if custom.name == name);
    Named {
        kind: if declared.iter().any(is_custom) {
            "custom"
        } else {
            "function"
        },
        name,
    }
}
