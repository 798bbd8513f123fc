//! Tools and tool choice, including the legacy `functions` and `function_call`.

use serde_json::value::RawValue;

use super::cache;
use crate::dialect::object::Object;
use crate::model::chat::{CacheMark, Tool, ToolChoice};
use crate::model::fault::Fault;
use crate::model::wire::WireId;

/// Reads the tools of a body.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn list(top: &Object<'_>) -> Result<Vec<Tool>, Fault> {
    let tools = top.objects_with_json("tools")?;
    let declared = tools.iter().map(|(tool, json)| declared(tool, json));
    let legacy = top.objects("functions")?;
    declared.chain(legacy.iter().map(function)).collect()
}

fn declared(tool: &Object<'_>, json: &RawValue) -> Result<Tool, Fault> {
    let kind = tool.non_empty("type")?;
    if kind == "function" {
        let mark = cache::mark(tool)?;
        return Ok(with_mark(
            function(&tool.required_object("function")?)?,
            mark,
        ));
    }
    // Other kinds of tools exist in this API alone.
    Ok(Tool::Native {
        wire: WireId::OpenaiChat,
        kind,
        json: json.to_owned(),
    })
}

/// Sets the cache mark of a tool, which stands beside its function.
fn with_mark(mut tool: Tool, mark: Option<CacheMark>) -> Tool {
    if let (Tool::Function { cache, .. }, Some(mark)) = (&mut tool, mark) {
        *cache = Some(mark);
    }
    tool
}

fn function(function: &Object<'_>) -> Result<Tool, Fault> {
    Ok(Tool::Function {
        name: function.non_empty("name")?,
        description: function.string("description")?,
        parameters: function.raw_object("parameters")?,
        strict: function.read("strict", "true or false")?,
        cache: cache::mark(function)?,
    })
}

/// Reads whether tools must be called, and which.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn choice(top: &Object<'_>) -> Result<Option<ToolChoice>, Fault> {
    // `tool_choice` replaces the legacy `function_call`, so it wins.
    if let Some(value) = top.raw("tool_choice") {
        return if is_text(value) {
            keyword(top, "tool_choice").map(Some)
        } else {
            choice_object(&top.required_object("tool_choice")?).map(Some)
        };
    }
    match top.raw("function_call") {
        None => Ok(None),
        Some(value) if is_text(value) => keyword(top, "function_call").map(Some),
        Some(_) => Ok(Some(ToolChoice::Named(
            top.required_object("function_call")?.non_empty("name")?,
        ))),
    }
}

fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"')
}

fn keyword(top: &Object<'_>, name: &str) -> Result<ToolChoice, Fault> {
    match &*top.required(name)? {
        "none" => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        // Mistral's name for `required`.
        "required" | "any" => Ok(ToolChoice::Required),
        _ => Err(top.invalid(name, "`none`, `auto`, `required` or an object")),
    }
}

fn choice_object(choice: &Object<'_>) -> Result<ToolChoice, Fault> {
    let kind = choice.required("type")?;
    match &*kind {
        "function" | "custom" => Ok(ToolChoice::Named(
            choice.required_object(&kind)?.non_empty("name")?,
        )),
        "allowed_tools" => allowed(&choice.required_object("allowed_tools")?),
        _ => Err(choice.invalid("type", "`function`, `custom` or `allowed_tools`")),
    }
}

fn allowed(allowed: &Object<'_>) -> Result<ToolChoice, Fault> {
    let required = match &*allowed.required("mode")? {
        "auto" => false,
        "required" => true,
        _ => return Err(allowed.invalid("mode", "`auto` or `required`")),
    };
    let names = allowed
        .objects("tools")?
        .iter()
        .map(allowed_name)
        .collect::<Result<_, _>>()?;
    Ok(ToolChoice::Allowed { names, required })
}

fn allowed_name(tool: &Object<'_>) -> Result<String, Fault> {
    let kind = tool.required("type")?;
    match &*kind {
        "function" | "custom" => tool.required_object(&kind)?.non_empty("name"),
        _ => Err(tool.invalid("type", "`function` or `custom` for this target")),
    }
}
