//! Tools and tool choice.

use serde_json::value::RawValue;

use super::cache::mark;
use crate::dialect::object::Object;
use crate::model::chat::{Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Reads the tools of a body. A tool with a type of its own exists in this API alone.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn list(top: &Object<'_>) -> Result<Vec<Tool>, Fault> {
    let tools = top.objects_with_json("tools")?;
    tools
        .iter()
        .map(|(tool, json)| declared(tool, json))
        .collect()
}

fn declared(tool: &Object<'_>, json: &RawValue) -> Result<Tool, Fault> {
    let kind = tool.string("type")?;
    // `custom` is the explicit type of an ordinary tool.
    match kind.filter(|kind| kind != "custom") {
        Some(kind) => Ok(Tool::Native {
            wire: WireId::Anthropic,
            kind,
            json: json.to_owned(),
        }),
        None => Ok(Tool::Function {
            name: tool.non_empty("name")?,
            description: tool.string("description")?,
            parameters: Some(tool.required_raw_object("input_schema")?),
            strict: tool.read("strict", "true or false")?,
            cache: mark(tool)?,
        }),
    }
}

/// Reads whether tools must be called, and whether parallel calls are allowed.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn choice(top: &Object<'_>) -> Result<(Option<ToolChoice>, Option<bool>), Fault> {
    let Some(choice) = top.object("tool_choice")? else {
        return Ok((None, None));
    };
    let tool_choice = match &*choice.required("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Named(choice.non_empty("name")?),
        "none" => ToolChoice::None,
        _ => return Err(choice.invalid("type", "`auto`, `any`, `tool` or `none`")),
    };
    let single: bool = choice
        .read("disable_parallel_tool_use", "true or false")?
        .unwrap_or(false);
    // Parallel calls are the default, so only their absence is an option of the request.
    Ok((Some(tool_choice), single.then_some(false)))
}
