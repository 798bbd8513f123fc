//! Tool declarations and the tool choice.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::fault::Fault;
use crate::model::quirks::{Quirks, Vocabulary};
use crate::model::wire::WireId;
use crate::wire::kit::tools::{self, Choice, Declared, Offer, Offered};
use crate::wire::openai_chat::turns::CacheControl;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Declaration<'a> {
    Function(MarkedFunction<'a>),
    Native(&'a RawValue),
}

/// The declaration of a function with its cache mark.
#[skip_serializing_none]
#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
pub(super) struct MarkedFunction<'a> {
    function: Function<'a>,
    cache_control: Option<CacheControl<'a>>,
}

#[skip_serializing_none]
#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: Option<&'a str>,
    parameters: Option<Cow<'a, RawValue>>,
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum ToolChoice<'a> {
    Word(&'static str),
    Named(NamedFunction<'a>),
    Allowed(AllowedTools<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
pub(super) struct NamedFunction<'a> {
    function: Name<'a>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

impl<'a> NamedFunction<'a> {
    fn new(name: &'a str) -> Self {
        let function = Name { name };
        Self { function }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "allowed_tools")]
pub(super) struct AllowedTools<'a> {
    allowed_tools: Allowed<'a>,
}

#[derive(Serialize)]
struct Allowed<'a> {
    mode: &'static str,
    tools: Vec<NamedFunction<'a>>,
}

/// Returns the declarations of the tools that are offered.
pub(super) fn declarations<'a>(
    offer: &Offer<'a>,
    quirks: &Quirks,
) -> Result<Vec<Declaration<'a>>, Fault> {
    let declare = |offered: &Offered<'a>| {
        let declared = offered.declare(WireId::OpenaiChat, &quirks.accepts)?;
        Ok(match declared {
            Declared::Native(json) => Declaration::Native(json),
            Declared::Function(function) => Declaration::Function(MarkedFunction {
                cache_control: CacheControl::from_mark(function.cache, quirks),
                function: written(function),
            }),
        })
    };
    offer.tools.iter().map(declare).collect()
}

fn written(function: tools::Function<'_>) -> Function<'_> {
    Function {
        name: function.name,
        description: function.description,
        // A function without parameters needs no schema here.
        parameters: function.has_parameters.then_some(function.parameters),
        strict: function.strict,
    }
}

/// Returns the tool choice in the vendor's words.
pub(super) fn tool_choice(choice: Choice<'_>, vocabulary: Vocabulary) -> ToolChoice<'_> {
    match choice {
        Choice::None => ToolChoice::Word("none"),
        Choice::Auto => ToolChoice::Word("auto"),
        Choice::Required if vocabulary == Vocabulary::Mistral => ToolChoice::Word("any"),
        Choice::Required => ToolChoice::Word("required"),
        Choice::Named(name) => ToolChoice::Named(NamedFunction::new(name)),
        Choice::Allowed { names, required } => {
            let mode = if required { "required" } else { "auto" };
            let tools = names.iter().map(|name| NamedFunction::new(name)).collect();
            let allowed_tools = Allowed { mode, tools };
            ToolChoice::Allowed(AllowedTools { allowed_tools })
        }
    }
}
