//! Writes `tools` and `tool_choice`.
//!
//! If a target supports fewer forms of `tool_choice`, the same choice is expressed by offering
//! fewer tools: one tool that must be called becomes that tool alone with `required`.

use super::request::{CacheControl, Encoded, Function};
use crate::model::accepts::ToolChoiceSupport;
use crate::model::chat::{Chat, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::quirks::{Quirks, Vocabulary};
use crate::model::wire::WireId;

/// The tools offered to the model, and the choice among them.
pub(super) struct Offer<'a> {
    pub(super) tools: Vec<Encoded<'a>>,
    pub(super) choice: Option<Encoded<'a>>,
}

/// Returns the tools and the choice of a chat in the form that a target supports.
pub(super) fn offer(chat: &Chat, quirks: Quirks) -> Result<Offer<'_>, Fault> {
    if !quirks.accepts.tools {
        return no_tools(chat);
    }
    let (only, choice) = match &chat.tool_choice {
        Some(wanted) => narrowed(wanted, quirks)?,
        None => (None, None),
    };
    // `tool_choice` names functions only, so a narrowed offer contains no native tools.
    let offered = |tool: &&Tool| {
        only.is_none_or(|names| matches!(tool, Tool::Function { name, .. } if names.contains(name)))
    };
    let tools = chat
        .tools
        .iter()
        .filter(offered)
        .map(|it| tool(it, quirks))
        .collect::<Result<Vec<_>, _>>()?;
    // Fail here rather than force a call with an empty list of tools.
    if only.is_some_and(|names| !names.is_empty()) && tools.is_empty() {
        return Err(Fault::invalid(
            "tool_choice",
            "`tool_choice` names no tool of `tools`: declare the tool or correct its name",
        ));
    }
    Ok(Offer { choice, tools })
}

/// Returns the empty offer for a target without tool support.
fn no_tools(chat: &Chat) -> Result<Offer<'_>, Fault> {
    if !chat.tools.is_empty() {
        return Err(Fault::invalid(
            "tools",
            "this target does not support tools: leave them out, or choose another model",
        ));
    }
    Ok(Offer {
        tools: Vec::new(),
        choice: None,
    })
}

/// The names of the functions to offer (`None` for all tools), and the `tool_choice` to send.
type Narrowed<'a> = (Option<&'a [String]>, Option<Encoded<'a>>);

fn narrowed(choice: &ToolChoice, quirks: Quirks) -> Result<Narrowed<'_>, Fault> {
    // Mistral names it `any`.
    let required = Encoded::Word(if quirks.vocabulary == Vocabulary::Mistral {
        "any"
    } else {
        "required"
    });
    Ok(match (choice, quirks.accepts.tool_choice) {
        // A target that ignores `tool_choice` calls no tool only if none is offered.
        (ToolChoice::None, ToolChoiceSupport::Ignored) => (Some(&[]), None),
        (ToolChoice::Auto, ToolChoiceSupport::Ignored) => (None, None),
        (
            ToolChoice::Allowed {
                names,
                required: false,
            },
            ToolChoiceSupport::Ignored,
        ) => (Some(names), None),
        (_, ToolChoiceSupport::Ignored) => {
            let message = "this target cannot force a tool call: leave `tool_choice` out, or \
                           choose another model";
            return Err(Fault::invalid("tool_choice", message));
        }
        (ToolChoice::None, _) => (None, Some(Encoded::Word("none"))),
        (ToolChoice::Auto, _) => (None, Some(Encoded::Word("auto"))),
        (ToolChoice::Required, _) => (None, Some(required)),
        // If only this tool is offered, `required` selects it.
        (ToolChoice::Named(name), ToolChoiceSupport::Words) => {
            (Some(std::slice::from_ref(name)), Some(required))
        }
        (ToolChoice::Named(name), _) => (None, Some(Encoded::function(Function::named(name)))),
        (ToolChoice::Allowed { names, required }, ToolChoiceSupport::All) => {
            (None, Some(Encoded::allowed(names, *required)))
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
        ) => (Some(names), Some(Encoded::Word("auto"))),
    })
}

fn tool(tool: &Tool, quirks: Quirks) -> Result<Encoded<'_>, Fault> {
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
            Ok(Encoded::function_with_cache(
                function,
                cache
                    .as_ref()
                    .filter(|_| quirks.cache_marks)
                    .map(CacheControl::from_mark),
            ))
        }
        Tool::Native {
            wire: WireId::OpenaiChat,
            json,
            ..
        } => Ok(Encoded::Raw(json)),
        Tool::Native { kind, .. } => Err(Fault::invalid(
            "tools",
            format!(
                "the {} wire does not support tools of type `{kind}`: use functions",
                WireId::OpenaiChat.name()
            ),
        )),
    }
}
