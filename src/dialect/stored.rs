//! References to objects in the provider's account. They may be another caller's, so that only who is allowed to refers to
//! one through us, and only on the wire that knows it.
//!
//! `file_id`s in messages are found by the walk that weighs them.

use std::sync::OnceLock;

use serde_json::value::RawValue;

use super::object::Object;
use crate::codec::json::Fields;
use crate::model::chat::Chat;
use crate::model::fault::{Code, Fault};

/// The names under which a body refers to such an object; each may come once.
pub(in crate::dialect) const FIELDS: &[&str] = &[
    "previous_response_id",
    "conversation",
    "prompt",
    "file_id",
    "file_ids",
    "container",
    "vector_store_ids",
    "cachedContent",
    "cached_content",
];
/// Where providers read fields of their own: `{"google": {"cached_content": …}}`.
const EXTRA: &str = "extra_body";
/// The most levels of a tool, or of what is extra, that are looked at: the object, and an object in it.
const LEVELS: usize = 2;

/// The members of a tool that say what its arguments are.
const DECLARED: [&str; 4] = ["function", "parameters", "input_schema", "input_examples"];

/// Refuses a body that refers to one, at its top or in a tool.
///
/// # Errors
/// A 403 that names the field; a 400 when `tools` is no array of objects.
pub(in crate::dialect) fn refuse(top: &Object<'_>) -> Result<(), Fault> {
    find(top, "")?.map_or(Ok(()), |path| Err(not_allowed(&path)))
}

/// The path of the first reference at the top of a body or in a tool; `resolved` is a field that is resolved here.
///
/// # Errors
/// A 400 when `tools` is no array of objects.
pub(in crate::dialect) fn find(top: &Object<'_>, resolved: &str) -> Result<Option<String>, Fault> {
    if let Some(name) = FIELDS.iter().find(|name| **name != resolved && top.raw(name).is_some()) {
        return Ok(Some((*name).to_owned()));
    }
    // Gemini's chat completions read their own fields there. Every one that comes is looked at: which counts is theirs to say.
    let mut extras = top.fields.list.iter().filter(|(name, _)| name == EXTRA);
    if let Some(path) = extras.find_map(|(_, value)| reference(value, LEVELS)) {
        return Ok(Some(format!("{EXTRA}.{path}")));
    }
    let tools: Vec<&RawValue> = top.read("tools", "an array of objects")?.unwrap_or_default();
    let in_tool = |(i, tool)| reference(tool, LEVELS).map(|path| format!("tools[{i}].{path}"));
    Ok(tools.into_iter().enumerate().find_map(in_tool))
}

/// The translation of a body, known from the beginning where it refers to such an object: there is none.
pub(in crate::dialect) fn translation(reference: Option<&str>) -> OnceLock<Result<Chat, Fault>> {
    reference.map_or_else(OnceLock::new, |path| OnceLock::from(Err(not_allowed(path))))
}

/// The path of a reference in a tool. What a function declares (its parameters may have any name) is not looked at, and
/// a container that is made for this request alone is none.
fn reference(object: &RawValue, levels: usize) -> Option<String> {
    if levels == 0 || !object.get().starts_with('{') {
        return None;
    }
    let members = Fields::of(object.get().as_bytes()).map(|fields| fields.list).unwrap_or_default();
    members.iter().filter(|(name, value)| !DECLARED.contains(&&**name) && value.get() != "null").find_map(|(name, value)| {
        let named = FIELDS.contains(&&**name);
        let made_here = name == "container" && value.get().starts_with('{');
        if named && !made_here {
            return Some(name.to_string());
        }
        reference(value, levels - 1).map(|path| format!("{name}.{path}"))
    })
}

/// A 403 about such a reference.
#[must_use]
pub fn not_allowed(path: &str) -> Fault {
    let message = format!("`{path}` refers to an object in the provider's account; send the content itself");
    Fault::new(Code::FieldNotAllowed, message).with_param(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_s_own_fields_are_looked_at() {
        let cached = r#""extra_body":{"google":{"cached\u005fcontent":"cachedContents/1"}}"#;
        assert_eq!(refused(cached).unwrap(), "extra_body.google.cached_content");
        assert_eq!(refused(&format!(r#"{cached},"extra_body":{{}}"#)).unwrap(), "extra_body.google.cached_content");
        assert_eq!(refused(r#""extra_body":{"file_id":"f"}"#).unwrap(), "extra_body.file_id");
        assert_eq!(refused(r#""extra_body":{"google":{"thinking_config":{"include_thoughts":true}}}"#), None);
        assert_eq!(refused(r#""extra_body":7"#), None);
    }

    fn refused(fields: &str) -> Option<String> {
        let body = format!("{{{fields}}}");
        refuse(&Object::body(body.as_bytes()).unwrap()).err().map(|fault| {
            assert_eq!(fault.code, Code::FieldNotAllowed);
            fault.param.unwrap()
        })
    }

    #[test]
    fn references_are_found_at_the_top_and_in_tools() {
        for name in FIELDS {
            assert_eq!(refused(&format!(r#""{name}":"x""#)).as_deref(), Some(*name));
            assert_eq!(refused(&format!(r#""{name}":null"#)), None);
        }
        for (tool, path) in [
            (r#"{"type":"file_search","vector_store_ids":["v"]}"#, "tools[0].vector_store_ids"),
            (r#"{"type":"file_search","file_search":{"vector_store_\u0069ds":["v"]}}"#, "tools[0].file_search.vector_store_ids"),
            (r#"{"type":"code_interpreter","container":"c"}"#, "tools[0].container"),
            (r#"{"type":"code_interpreter","container":{"type":"auto","file_ids":["f"]}}"#, "tools[0].container.file_ids"),
        ] {
            assert_eq!(refused(&format!(r#""tools":[{tool}]"#)).as_deref(), Some(path));
        }
    }

    #[test]
    fn what_a_function_declares_is_its_own() {
        for tool in [
            r#"{"type":"function","function":{"name":"f","parameters":{"properties":{"file_id":{}}},"container":"c"}}"#,
            r#"{"type":"code_interpreter","container":{"type":"auto"}}"#,
            r#"{"type":"custom","name":"prompt"}"#,
        ] {
            assert_eq!(refused(&format!(r#""tools":[{tool}]"#)), None, "{tool}");
        }
    }
}
