//! The tools that are offered, and whether they must be called.
//!
//! Where a target knows fewer ways to choose, the same is said by offering fewer tools: one tool
//! that must be called is that tool alone, and `required`.

use super::spelling::{Ephemeral, Function, Spelled};
use crate::model::chat::{Chat, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::quirks::{Quirks, Spelling, ToolChoices};
use crate::model::wire::WireId;

/// What is offered.
pub(super) struct Offer<'a> {
    pub(super) tools: Vec<Spelled<'a>>,
    pub(super) choice: Option<Spelled<'a>>,
}

/// The tools of a chat, as a target takes them.
pub(super) fn offer(chat: &Chat, quirks: Quirks) -> Result<Offer<'_>, Fault> {
    if quirks.no_tools {
        return toolless(chat);
    }
    let (only, choice) = match &chat.tool_choice {
        Some(wanted) => narrowed(wanted, quirks)?,
        None => (None, None),
    };
    let offered = |tool: &&Tool| {
        only.is_none_or(|names| matches!(tool, Tool::Function { name, .. } if names.contains(name)))
    };
    let tools = chat
        .tools
        .iter()
        .filter(offered)
        .map(|it| tool(it, quirks))
        .collect::<Result<Vec<_>, _>>()?;
    if only.is_some_and(|names| !names.is_empty()) && tools.is_empty() {
        return Err(Fault::invalid(
            "tool_choice",
            "`tool_choice` names no tool that is among `tools`",
        ));
    }
    Ok(Offer { choice, tools })
}

/// What is offered to a target that calls none.
fn toolless(chat: &Chat) -> Result<Offer<'_>, Fault> {
    if !chat.tools.is_empty() {
        return Err(Fault::invalid(
            "tools",
            "this target calls no tools: leave them out, or choose another model",
        ));
    }
    Ok(Offer {
        tools: Vec::new(),
        choice: None,
    })
}

/// The tools that are left, where not all of them, and what is then said of the choice.
type Narrowed<'a> = (Option<&'a [String]>, Option<Spelled<'a>>);

fn narrowed(choice: &ToolChoice, quirks: Quirks) -> Result<Narrowed<'_>, Fault> {
    let required = Spelled::Word(if quirks.spelling == Spelling::Mistral {
        "any"
    } else {
        "required"
    });
    Ok(match (choice, quirks.tool_choice) {
        (ToolChoice::None, ToolChoices::Ignored) => (Some(&[]), None),
        (ToolChoice::Auto, ToolChoices::Ignored) => (None, None),
        (
            ToolChoice::Allowed {
                names,
                required: false,
            },
            ToolChoices::Ignored,
        ) => (Some(names), None),
        (_, ToolChoices::Ignored) => {
            let message = "this target cannot be made to call a tool: leave `tool_choice` out, or choose another model";
            return Err(Fault::invalid("tool_choice", message));
        }
        (ToolChoice::None, _) => (None, Some(Spelled::Word("none"))),
        (ToolChoice::Auto, _) => (None, Some(Spelled::Word("auto"))),
        (ToolChoice::Required, _) => (None, Some(required)),
        (ToolChoice::Named(name), ToolChoices::Words) => {
            (Some(std::slice::from_ref(name)), Some(required))
        }
        (ToolChoice::Named(name), _) => (None, Some(Spelled::function(Function::named(name)))),
        (ToolChoice::Allowed { names, required }, ToolChoices::All) => {
            (None, Some(Spelled::allowed(names, *required)))
        }
        (
            ToolChoice::Allowed {
                names,
                required: true,
            },
            _,
        ) => (Some(names), Some(required)),
        (
            ToolChoice::Allowed {
                names,
                required: false,
            },
            _,
        ) => (Some(names), Some(Spelled::Word("auto"))),
    })
}

fn tool(tool: &Tool, quirks: Quirks) -> Result<Spelled<'_>, Fault> {
    match tool {
        Tool::Function {
            name,
            description,
            parameters,
            strict,
            cache,
        } => {
            let (description, parameters) = (description.as_deref(), parameters.as_deref());
            let function = Function {
                name,
                description,
                parameters,
                strict: *strict,
            };
            Ok(Spelled::marked(
                function,
                cache
                    .as_ref()
                    .filter(|_| quirks.cache_marks)
                    .map(Ephemeral::of),
            ))
        }
        Tool::Native {
            wire: WireId::OpenaiChat,
            json,
            ..
        } => Ok(Spelled::Raw(json)),
        Tool::Native { kind, .. } => Err(Fault::invalid(
            "tools",
            format!(
                "a tool of type `{kind}` cannot be translated to {}",
                WireId::OpenaiChat.name()
            ),
        )),
    }
}
