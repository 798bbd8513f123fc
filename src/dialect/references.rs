//! References to objects in the provider's account. An object may belong to another caller, so only
//! callers with permission may refer to one through us, and only on the wire that defines it.
//!
//! The estimate of a prompt finds the `file_id`s in messages, as it walks over them anyway.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::Object;
use crate::codec::json::Fields;
use crate::model::ask::Reference;
use crate::model::chat::Chat;
use crate::model::fault::{Code, Fault};

/// Fields of a body that refer to such an object; each may occur once.
pub(in crate::dialect) const FIELDS: &[&str] = &[
    "previous_response_id",
    "conversation",
    "prompt",
    "file_id",
    "file_ids",
    "container",
    "container_id",
    "vector_store_ids",
    "cachedContent",
    "cached_content",
];
/// The field in which some providers read fields of their own: `{"google": {"cached_content": …}}`.
const EXTRA: &str = "extra_body";
/// Maximum depth searched in a tool or in the extra fields: the object, and objects directly in it.
const LEVELS: usize = 2;

/// Members of a tool that declare its arguments.
const DECLARED: [&str; 4] = ["function", "parameters", "input_schema", "input_examples"];

/// Rejects a body that refers to such an object, at its top level or in a tool.
///
/// # Errors
/// A 403 that names the field; a 400 when `tools` is not an array.
pub(in crate::dialect) fn reject(top: &Object<'_>) -> Result<(), Fault> {
    find(top, "")?
        .first()
        .map_or(Ok(()), |first| Err(not_allowed(&first.path)))
}

/// Returns the references at the top level of a body and in its tools. The field `resolved` is
/// skipped, because we resolve it ourselves.
///
/// # Errors
/// A 400 when `tools` is not an array.
pub(in crate::dialect) fn find(top: &Object<'_>, resolved: &str) -> Result<Vec<Reference>, Fault> {
    let mut found = Vec::new();
    for (name, value) in &top.fields.list {
        // Gemini's OpenAI-compatible endpoint reads its own fields there. Repeated fields are all
        // searched, because the upstream decides which of them counts.
        if name == EXTRA {
            collect(EXTRA, value, LEVELS, &mut found);
        } else if FIELDS.contains(&&**name) && name != resolved {
            found.extend(from_value(name.to_string(), value));
        }
    }
    let tools: Vec<&RawValue> = top
        .read("tools", "an array of objects")?
        .unwrap_or_default();
    tools
        .into_iter()
        .enumerate()
        .for_each(|(i, tool)| collect(&format!("tools[{i}]"), tool, LEVELS, &mut found));
    Ok(found)
}

/// Returns the cell for the translated request. A body with references has no translation, so its
/// cell is filled with the error from the start.
pub(in crate::dialect) fn translation(references: &[Reference]) -> OnceLock<Result<Chat, Fault>> {
    references.first().map_or_else(OnceLock::new, |first| {
        OnceLock::from(Err(not_allowed(&first.path)))
    })
}

/// Collects the references in an object, at most `levels` deep. The declaration of a function is
/// skipped, because its parameters may have any name. A `container` that is an object is created
/// for this request alone, and is not a reference itself.
fn collect(path: &str, object: &RawValue, levels: usize, found: &mut Vec<Reference>) {
    // Bounds the recursion over content that clients control.
    if levels == 0 || !object.get().starts_with('{') {
        return;
    }
    let members = Fields::parse(object.get().as_bytes())
        .map(|fields| fields.list)
        .unwrap_or_default();
    for (name, value) in members
        .iter()
        .filter(|(name, _)| !DECLARED.contains(&&**name))
    {
        let path = format!("{path}.{name}");
        let is_new = name == "container" && value.get().starts_with('{');
        if FIELDS.contains(&&**name) && !is_new {
            found.extend(from_value(path, value));
        } else {
            collect(&path, value, levels - 1, found);
        }
    }
}

/// Parses the value of a field that refers to objects: an id, several ids, or an object with an
/// `id` and nothing else. Any other value is a reference with an unknown id.
pub(in crate::dialect) fn from_value(path: String, value: &RawValue) -> Vec<Reference> {
    #[derive(Deserialize)]
    // An object with other members may refer to more than its `id`, so the id alone is not enough
    // to judge it.
    #[serde(untagged, deny_unknown_fields)]
    enum Named {
        Nothing,
        One(String),
        Many(Vec<String>),
        Object { id: String },
    }
    match serde_json::from_str(value.get()) {
        Ok(Named::Nothing) => Vec::new(),
        Ok(Named::One(id) | Named::Object { id }) => vec![Reference { path, id: Some(id) }],
        Ok(Named::Many(ids)) => ids
            .into_iter()
            .map(|id| Reference {
                path: path.clone(),
                id: Some(id),
            })
            .collect(),
        Err(_) => vec![Reference { path, id: None }],
    }
}

/// Returns a 403 about the reference at `path`.
#[must_use]
pub fn not_allowed(path: &str) -> Fault {
    let message =
        format!("`{path}` refers to an object in the provider's account; send the content itself");
    Fault::new(Code::FieldNotAllowed, message).with_param(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_providers_are_searched() {
        let cached = r#""extra_body":{"google":{"cached\u005fcontent":"cachedContents/1"}}"#;
        assert_eq!(
            rejected(cached).unwrap(),
            "extra_body.google.cached_content"
        );
        assert_eq!(
            rejected(&format!(r#"{cached},"extra_body":{{}}"#)).unwrap(),
            "extra_body.google.cached_content"
        );
        assert_eq!(
            rejected(r#""extra_body":{"file_id":"f"}"#).unwrap(),
            "extra_body.file_id"
        );
        assert_eq!(
            rejected(r#""extra_body":{"google":{"thinking_config":{"include_thoughts":true}}}"#),
            None
        );
        assert_eq!(rejected(r#""extra_body":7"#), None);
    }

    fn rejected(fields: &str) -> Option<String> {
        let body = format!("{{{fields}}}");
        reject(&Object::from_body(body.as_bytes()).unwrap())
            .err()
            .map(|fault| {
                assert_eq!(fault.code, Code::FieldNotAllowed);
                fault.param.unwrap()
            })
    }

    #[test]
    fn references_are_found_at_the_top_and_in_tools() {
        for name in FIELDS {
            assert_eq!(
                rejected(&format!(r#""{name}":"x""#)).as_deref(),
                Some(*name)
            );
            assert_eq!(rejected(&format!(r#""{name}":null"#)), None);
        }
        for (tool, path) in [
            (
                r#"{"type":"file_search","vector_store_ids":["v"]}"#,
                "tools[0].vector_store_ids",
            ),
            (
                r#"{"type":"file_search","file_search":{"vector_store_\u0069ds":["v"]}}"#,
                "tools[0].file_search.vector_store_ids",
            ),
            (
                r#"{"type":"code_interpreter","container":"c"}"#,
                "tools[0].container",
            ),
            (
                r#"{"type":"shell","environment":{"type":"container_reference","container_id":"c"}}"#,
                "tools[0].environment.container_id",
            ),
            (
                r#"{"type":"code_interpreter","container":{"type":"auto","file_ids":["f"]}}"#,
                "tools[0].container.file_ids",
            ),
        ] {
            assert_eq!(
                rejected(&format!(r#""tools":[{tool}]"#)).as_deref(),
                Some(path)
            );
        }
    }

    #[test]
    fn ids_are_known_where_the_value_holds_nothing_else() {
        let ids = |value: &str| {
            from_value("p".into(), serde_json::from_str(value).unwrap())
                .into_iter()
                .map(|it| it.id)
                .collect::<Vec<_>>()
        };
        let known = |id: &str| Some(id.to_owned());
        assert_eq!(ids(r#""a""#), [known("a")]);
        assert_eq!(ids(r#"["a","b"]"#), [known("a"), known("b")]);
        assert_eq!(ids(r#"{"id":"a"}"#), [known("a")]);
        assert_eq!(ids("null"), []);
        for more in [
            r#"{"id":"a","skills":[]}"#,
            r#"{"id":"a","id":"b"}"#,
            r#"["a",7]"#,
            "7",
        ] {
            assert_eq!(ids(more), [None], "{more}");
        }
    }

    #[test]
    fn declarations_of_functions_are_not_searched() {
        for tool in [
            r#"{"type":"function","function":{"name":"f","parameters":{"properties":{"file_id":{}}},"container":"c"}}"#,
            r#"{"type":"code_interpreter","container":{"type":"auto"}}"#,
            r#"{"type":"custom","name":"prompt"}"#,
        ] {
            assert_eq!(rejected(&format!(r#""tools":[{tool}]"#)), None, "{tool}");
        }
    }
}
