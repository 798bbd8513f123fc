//! Tools and tool choice. Both are flat here.

use serde_json::value::RawValue;

use crate::dialect::object::Object;
use crate::model::chat::{Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The tools of a body. All but functions are this API's alone.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn list(top: &Object<'_>) -> Result<Vec<Tool>, Fault> {
    let raws: Vec<&RawValue> = top
        .read("tools", "an array of objects")?
        .unwrap_or_default();
    top.objects("tools")?
        .iter()
        .zip(raws)
        .map(|(tool, json)| declared(tool, json))
        .collect()
}

fn declared(tool: &Object<'_>, json: &RawValue) -> Result<Tool, Fault> {
    let kind = tool.filled("type")?;
    if kind != "function" {
        return Ok(Tool::Native {
            wire: WireId::OpenaiResponses,
            kind,
            json: json.to_owned(),
        });
    }
    let parameters = tool.raw("parameters");
    if parameters.is_some_and(|value| !value.get().starts_with('{')) {
        return Err(tool.refuse("parameters", "an object"));
    }
    Ok(Tool::Function {
        name: tool.filled("name")?,
        description: tool.string("description")?,
        parameters: parameters.map(ToOwned::to_owned),
        strict: tool.read("strict", "true or false")?,
        cache: None,
    })
}

/// Whether tools must be called.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn choice(top: &Object<'_>) -> Result<Option<ToolChoice>, Fault> {
    let Some(value) = top.raw("tool_choice") else {
        return Ok(None);
    };
    if value.get().starts_with('"') {
        return match &*top.required("tool_choice")? {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => Err(top.refuse("tool_choice", "`none`, `auto`, `required` or an object")),
        };
    }
    let choice = top.required_object("tool_choice")?;
    match &*choice.required("type")? {
        "function" | "custom" => Ok(Some(ToolChoice::Named(choice.filled("name")?))),
        "allowed_tools" => allowed(&choice).map(Some),
        _ => Err(choice.refuse(
            "type",
            "`function`, `custom` or `allowed_tools`, for this target",
        )),
    }
}

fn allowed(choice: &Object<'_>) -> Result<ToolChoice, Fault> {
    let required = match &*choice.required("mode")? {
        "auto" => false,
        "required" => true,
        _ => return Err(choice.refuse("mode", "`auto` or `required`")),
    };
    let names = choice
        .objects("tools")?
        .iter()
        .map(name)
        .collect::<Result<_, _>>()?;
    Ok(ToolChoice::Allowed { names, required })
}

fn name(tool: &Object<'_>) -> Result<String, Fault> {
    match &*tool.required("type")? {
        "function" | "custom" => tool.filled("name"),
        _ => Err(tool.refuse("type", "`function` or `custom`, for this target")),
    }
}
