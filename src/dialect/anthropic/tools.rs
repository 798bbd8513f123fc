//! Tools and tool choice.

use serde_json::value::RawValue;

use super::chat::mark;
use crate::dialect::object::Object;
use crate::model::chat::{Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// The tools of a body. Those with a type of their own are this API's alone.
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
    let kind = tool.string("type")?;
    match kind.filter(|kind| kind != "custom") {
        Some(kind) => Ok(Tool::Native {
            wire: WireId::Anthropic,
            kind,
            json: json.to_owned(),
        }),
        None => Ok(Tool::Function {
            name: tool.filled("name")?,
            description: tool.string("description")?,
            parameters: Some(schema(tool, "input_schema")?),
            strict: tool.read("strict", "true or false")?,
            cache: mark(tool)?,
        }),
    }
}

/// A field that must be a JSON schema, as it came.
///
/// # Errors
/// A 400 when it is no object.
pub(super) fn schema(of: &Object<'_>, name: &str) -> Result<Box<RawValue>, Fault> {
    let object = of.raw(name).filter(|value| value.get().starts_with('{'));
    object
        .map(ToOwned::to_owned)
        .ok_or_else(|| of.refuse(name, "an object"))
}

/// Whether tools must be called, and whether several may be at once.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn choice(top: &Object<'_>) -> Result<(Option<ToolChoice>, Option<bool>), Fault> {
    let Some(choice) = top.object("tool_choice")? else {
        return Ok((None, None));
    };
    let wanted = match &*choice.required("type")? {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Named(choice.filled("name")?),
        "none" => ToolChoice::None,
        _ => return Err(choice.refuse("type", "`auto`, `any`, `tool` or `none`")),
    };
    let single: bool = choice
        .read("disable_parallel_tool_use", "true or false")?
        .unwrap_or(false);
    Ok((Some(wanted), single.then_some(false)))
}
