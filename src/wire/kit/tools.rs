//! The tools that a request offers, and the choice among them, in the form that the target takes.
//!
//! Invariant: if a target has fewer forms of `tool_choice`, the same choice is expressed by
//! offering fewer tools; a choice that cannot be expressed is refused.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{refusals, schema};
use crate::model::accepts::{Accepts, ToolChoiceSupport};
use crate::model::chat::{CacheMark, Chat, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The tools offered to the model, and the choice among them.
#[derive(Debug)]
pub(in crate::wire) struct Offer<'a> {
    /// The tools, in the client's order.
    pub(in crate::wire) tools: Vec<Offered<'a>>,
    /// The choice to send. `None` if there are no tools, or if the target decides by itself.
    pub(in crate::wire) choice: Option<Choice<'a>>,
}

/// A tool that is offered.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Offered<'a> {
    /// Its position in the client's request.
    pub(in crate::wire) at: usize,
    /// The tool.
    pub(in crate::wire) tool: &'a Tool,
}

/// The choice among the tools that are offered. It has only the forms that the target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire) enum Choice<'a> {
    /// No tool may be called.
    None,
    /// The model decides.
    Auto,
    /// At least one tool must be called.
    Required,
    /// This tool must be called.
    Named(&'a str),
    /// Only these tools may be called.
    Allowed {
        /// The names of the tools.
        names: &'a [String],
        /// True if one of them must be called.
        required: bool,
    },
}

/// The declaration of a tool.
#[derive(Debug)]
pub(in crate::wire) enum Declared<'a> {
    /// A function.
    Function(Function<'a>),
    /// A tool of the wire's own, unchanged.
    Native(&'a RawValue),
}

/// The declaration of a function.
#[derive(Debug)]
pub(in crate::wire) struct Function<'a> {
    /// The name.
    pub(in crate::wire) name: &'a str,
    /// The description for the model; never empty.
    pub(in crate::wire) description: Option<&'a str>,
    /// The JSON schema of its arguments; the empty one if the client sent none.
    pub(in crate::wire) parameters: Cow<'a, RawValue>,
    /// True if the client sent a schema.
    pub(in crate::wire) has_parameters: bool,
    /// Whether arguments must match the schema.
    pub(in crate::wire) strict: Option<bool>,
    /// The prompt may be cached up to this tool.
    pub(in crate::wire) cache: Option<&'a CacheMark>,
}

/// Returns the tools of a chat and the choice among them, for a target that takes these.
///
/// # Errors
/// A 400 for tools or a choice that the target does not have, for a choice of undeclared tools, and
/// for a forced call without a tool.
pub(in crate::wire) fn offer<'a>(chat: &'a Chat, accepts: &Accepts) -> Result<Offer<'a>, Fault> {
    if !accepts.tools && !chat.tools.is_empty() {
        return Err(refusals::tools());
    }
    if chat.tools.is_empty() && must_call(chat) {
        return Err(refusals::no_tool_to_call());
    }
    let (only, choice) = match &chat.tool_choice {
        Some(wanted) => narrowed(wanted, accepts)?,
        None => (None, None),
    };
    let only_named = |named: &&String| !chat.tools.iter().any(|tool| name(tool) == **named);
    // A misspelt name would otherwise silently leave the model without that tool.
    if let Some(unknown) = only.into_iter().flatten().find(only_named) {
        return Err(refusals::undeclared_tool(unknown));
    }
    let all = chat.tools.iter().enumerate();
    let tools: Vec<_> = all
        .filter(|(_, tool)| only.is_none_or(|names| names.iter().any(|named| named == name(tool))))
        .map(|(at, tool)| Offered { at, tool })
        .collect();
    if tools.is_empty() && must_call(chat) {
        return Err(refusals::no_tool_to_call());
    }
    let sent = !tools.is_empty() && accepts.tool_choice != ToolChoiceSupport::Ignored;
    let choice = choice.filter(|_| sent);
    Ok(Offer { tools, choice })
}

/// Returns true if the client requires a call.
fn must_call(chat: &Chat) -> bool {
    matches!(
        &chat.tool_choice,
        Some(
            ToolChoice::Required
                | ToolChoice::Named(_)
                | ToolChoice::Allowed { required: true, .. }
        )
    )
}

/// The names of the tools to offer (`None` for all tools), and the choice to send.
type Narrowed<'a> = (Option<&'a [String]>, Option<Choice<'a>>);

fn narrowed<'a>(choice: &'a ToolChoice, accepts: &Accepts) -> Result<Narrowed<'a>, Fault> {
    use ToolChoiceSupport as Support;
    let support = accepts.tool_choice;
    Ok(match choice {
        ToolChoice::None if accepts.tool_choice_none && support != Support::Ignored => {
            (None, Some(Choice::None))
        }
        // A tool that is not offered cannot be called.
        ToolChoice::None => (Some(&[]), None),
        ToolChoice::Auto => (None, Some(Choice::Auto)),
        ToolChoice::Required
        | ToolChoice::Named(_)
        | ToolChoice::Allowed { required: true, .. }
            if support == Support::Ignored =>
        {
            return Err(refusals::forced_call());
        }
        ToolChoice::Required => (None, Some(Choice::Required)),
        // If only this tool is offered, `required` selects it.
        ToolChoice::Named(name) if support == Support::Words => {
            (Some(std::slice::from_ref(name)), Some(Choice::Required))
        }
        ToolChoice::Named(name) => (None, Some(Choice::Named(name))),
        ToolChoice::Allowed { names, required } if support == Support::All => {
            let required = *required;
            (None, Some(Choice::Allowed { names, required }))
        }
        // Tools that are not allowed are not offered, so any offered tool will do.
        ToolChoice::Allowed { names, required } => {
            let word = if *required {
                Choice::Required
            } else {
                Choice::Auto
            };
            (Some(names), Some(word))
        }
    })
}

fn name(tool: &Tool) -> &str {
    match tool {
        Tool::Function { name, .. } => name,
        Tool::Native { kind, .. } => kind,
    }
}

impl<'a> Offered<'a> {
    /// Returns the declaration of the tool for a wire.
    ///
    /// # Errors
    /// A 400 for a tool that only another wire has, and for a schema that the target does not take.
    pub(in crate::wire) fn declare(
        self,
        wire: WireId,
        accepts: &Accepts,
    ) -> Result<Declared<'a>, Fault> {
        match self.tool {
            Tool::Function {
                name,
                description,
                parameters,
                strict,
                cache,
            } => Ok(Declared::Function(Function {
                name,
                description: description.as_deref().filter(|text| !text.is_empty()),
                parameters: schema::parameters(parameters.as_deref(), accepts, self.at)?,
                has_parameters: parameters.is_some(),
                strict: *strict,
                cache: cache.as_ref(),
            })),
            Tool::Native {
                wire: own, json, ..
            } if *own == wire => Ok(Declared::Native(json)),
            Tool::Native { kind, .. } => Err(refusals::native_tool(self.at, kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, description: &str) -> Tool {
        Tool::Function {
            name: name.into(),
            description: Some(description.into()),
            parameters: None,
            strict: None,
            cache: None,
        }
    }

    /// Returns the names that are offered, and the choice.
    fn offered(choice: &ToolChoice, accepts: &Accepts) -> Result<String, Fault> {
        let chat = Chat {
            tools: vec![function("a", ""), function("b", "")],
            tool_choice: Some(choice.clone()),
            ..Chat::default()
        };
        let offer = offer(&chat, accepts)?;
        let names: Vec<&str> = offer.tools.iter().map(|it| name(it.tool)).collect();
        Ok(format!("{} {:?}", names.join(","), offer.choice))
    }

    #[test]
    fn a_choice_is_expressed_by_the_offer_if_the_target_has_no_word_for_it() {
        use ToolChoiceSupport::{All, Ignored, Named, Words};
        let allowed = |required| ToolChoice::Allowed {
            names: vec!["b".into()],
            required,
        };
        let only_b =
            |required| format!("a,b Some(Allowed {{ names: [\"b\"], required: {required} }})");
        let one = ToolChoice::Named("a".into());
        for (choice, all, named, words, ignored) in [
            (
                ToolChoice::Auto,
                "a,b Some(Auto)",
                "a,b Some(Auto)",
                "a,b Some(Auto)",
                Some("a,b None"),
            ),
            (
                ToolChoice::None,
                "a,b Some(None)",
                "a,b Some(None)",
                "a,b Some(None)",
                Some(" None"),
            ),
            (
                ToolChoice::Required,
                "a,b Some(Required)",
                "a,b Some(Required)",
                "a,b Some(Required)",
                None,
            ),
            (
                one,
                "a,b Some(Named(\"a\"))",
                "a,b Some(Named(\"a\"))",
                "a Some(Required)",
                None,
            ),
            (
                allowed(false),
                &only_b(false),
                "b Some(Auto)",
                "b Some(Auto)",
                Some("b None"),
            ),
            (
                allowed(true),
                &only_b(true),
                "b Some(Required)",
                "b Some(Required)",
                None,
            ),
        ] {
            for (tool_choice, expected) in [
                (All, Some(all)),
                (Named, Some(named)),
                (Words, Some(words)),
                (Ignored, ignored),
            ] {
                let accepts = Accepts {
                    tool_choice,
                    ..Accepts::OPENAI_CHAT
                };
                let offered = offered(&choice, &accepts);
                assert_eq!(
                    offered.ok().as_deref(),
                    expected,
                    "{choice:?} {tool_choice:?}"
                );
            }
        }
        let words = Accepts {
            tool_choice: Words,
            ..Accepts::OPENAI_CHAT
        };
        let unknown = offered(&ToolChoice::Named("c".into()), &words).unwrap_err();
        assert_eq!(unknown.param.as_deref(), Some("tool_choice"));
        let without_none = Accepts {
            tool_choice_none: false,
            ..Accepts::OPENAI_CHAT
        };
        assert_eq!(
            offered(&ToolChoice::None, &without_none).unwrap(),
            " None",
            "a tool that is not offered cannot be called"
        );
    }
}
