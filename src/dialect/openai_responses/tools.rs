//! Tools and tool choice, which are flat objects in this API.

use serde_json::value::RawValue;

use crate::dialect::object::Object;
use crate::model::chat::{Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Reads the tools of a request. Tools other than functions exist only on this API's own wire.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn list(top: &Object<'_>) -> Result<Vec<Tool>, Fault> {
    let tools = top.objects_with_json("tools")?;
    tools
        .iter()
        .map(|(tool, json)| read_tool(tool, json))
        .collect()
}

fn read_tool(tool: &Object<'_>, json: &RawValue) -> Result<Tool, Fault> {
    let kind = tool.non_empty("type")?;
    // Only this API's own wire supports other tools: their JSON is kept unchanged for it.
    if kind != "function" {
        return Ok(Tool::Native {
            wire: WireId::OpenaiResponses,
            kind,
            json: json.to_owned(),
        });
    }
    let parameters = tool.raw_object("parameters")?;
    Ok(Tool::Function {
        name: tool.non_empty("name")?,
        description: tool.string("description")?,
        parameters,
        strict: tool.read("strict", "true or false")?,
        cache: None,
    })
}

/// Reads the tool choice of a request.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn choice(top: &Object<'_>) -> Result<Option<ToolChoice>, Fault> {
    let Some(value) = top.raw("tool_choice") else {
        return Ok(None);
    };
    if value.get().starts_with('"') {
        return match &*top.required("tool_choice")? {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => Err(top.invalid("tool_choice", "`none`, `auto`, `required` or an object")),
        };
    }
    let choice = top.required_object("tool_choice")?;
    match &*choice.required("type")? {
        "function" | "custom" => Ok(Some(ToolChoice::Named(choice.non_empty("name")?))),
        "allowed_tools" => allowed(&choice).map(Some),
        _ => Err(choice.invalid(
            "type",
            "`function`, `custom` or `allowed_tools`, for this target",
        )),
    }
}

fn allowed(choice: &Object<'_>) -> Result<ToolChoice, Fault> {
    let required = match &*choice.required("mode")? {
        "auto" => false,
        "required" => true,
        _ => return Err(choice.invalid("mode", "`auto` or `required`")),
    };
    let names = choice
        .objects("tools")?
        .iter()
        .map(tool_name)
        .collect::<Result<_, _>>()?;
    Ok(ToolChoice::Allowed { names, required })
}

fn tool_name(tool: &Object<'_>) -> Result<String, Fault> {
    match &*tool.required("type")? {
        "function" | "custom" => tool.non_empty("name"),
        _ => Err(tool.invalid("type", "`function` or `custom`, for this target")),
    }
}
