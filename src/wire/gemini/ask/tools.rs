//! Tool declarations and the tool choice.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_with::skip_serializing_none;

use crate::model::accepts::Accepts;
use crate::model::fault::Fault;
use crate::model::wire::WireId;
use crate::wire::kit::tools::{Choice, Declared, Offer};

/// An entry of `tools`.
#[derive(Serialize)]
pub(super) enum Declaration<'a> {
    /// All functions of the request.
    #[serde(rename = "functionDeclarations")]
    Functions(Vec<Function<'a>>),
    /// A tool that only Gemini has, unchanged.
    #[serde(untagged)]
    Native(&'a RawValue),
}

#[skip_serializing_none]
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Function<'a> {
    name: &'a str,
    description: Option<&'a str>,
    /// The other member, `parameters`, would take only a subset of OpenAPI.
    parameters_json_schema: Option<Cow<'a, RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'a> {
    function_calling_config: FunctionCalling<'a>,
}

/// A mode, and the functions that it is limited to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FunctionCalling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allowed_function_names: Vec<&'a str>,
}

/// Returns the declarations of the tools that are offered.
pub(super) fn declarations<'a>(
    offer: &Offer<'a>,
    accepts: &Accepts,
) -> Result<Vec<Declaration<'a>>, Fault> {
    let (mut functions, mut all) = (Vec::new(), Vec::new());
    for offered in &offer.tools {
        match offered.declare(WireId::Gemini, accepts)? {
            Declared::Native(json) => all.push(Declaration::Native(json)),
            Declared::Function(function) => functions.push(Function {
                name: function.name,
                description: function.description,
                parameters_json_schema: function.has_parameters.then_some(function.parameters),
            }),
        }
    }
    if !functions.is_empty() {
        all.insert(0, Declaration::Functions(functions));
    }
    Ok(all)
}

/// Returns the tool choice.
pub(super) fn tool_config(choice: Choice<'_>) -> ToolConfig<'_> {
    let (mode, allowed_function_names) = match choice {
        Choice::None => ("NONE", Vec::new()),
        Choice::Auto => ("AUTO", Vec::new()),
        Choice::Required => ("ANY", Vec::new()),
        Choice::Named(name) => ("ANY", vec![name]),
        // AUTO does not accept names; VALIDATED is AUTO with names.
        Choice::Allowed { names, required } => (
            if required { "ANY" } else { "VALIDATED" },
            names.iter().map(String::as_str).collect(),
        ),
    };
    ToolConfig {
        function_calling_config: FunctionCalling {
            mode,
            allowed_function_names,
        },
    }
}
