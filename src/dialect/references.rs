//! References to objects in the provider's account. They may be another caller's, so that only who
//! is allowed to refers to one through us, and only on the wire that knows it.
//!
//! `file_id`s in messages are found by the walk that weighs them.

use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::Object;
use crate::codec::json::Fields;
use crate::model::ask::Reference;
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
    "container_id",
    "vector_store_ids",
    "cachedContent",
    "cached_content",
];
/// Where providers read fields of their own: `{"google": {"cached_content": …}}`.
const EXTRA: &str = "extra_body";
/// The most levels of a tool, or of what is extra, that are looked at: the object, and an object in
/// it.
const LEVELS: usize = 2;

/// The members of a tool that say what its arguments are.
const DECLARED: [&str; 4] = ["function", "parameters", "input_schema", "input_examples"];

/// Refuses a body that refers to one, at its top or in a tool.
///
/// # Errors
/// A 403 that names the field; a 400 when `tools` is no array of objects.
pub(in crate::dialect) fn refuse(top: &Object<'_>) -> Result<(), Fault> {
    find(top, "")?
        .first()
        .map_or(Ok(()), |first| Err(not_allowed(&first.path)))
}

/// The references at the top of a body and in its tools; `resolved` is a field that is resolved
/// here.
///
/// # Errors
/// A 400 when `tools` is no array of objects.
pub(in crate::dialect) fn find(top: &Object<'_>, resolved: &str) -> Result<Vec<Reference>, Fault> {
    let mut found = Vec::new();
    for (name, value) in &top.fields.list {
        // Gemini's chat completions read their own fields there. Every one that comes is looked at:
        // which counts is theirs to say.
        if name == EXTRA {
            inside(EXTRA, value, LEVELS, &mut found);
        } else if FIELDS.contains(&&**name) && name != resolved {
            found.extend(named(name.to_string(), value));
        }
    }
    let tools: Vec<&RawValue> = top
        .read("tools", "an array of objects")?
        .unwrap_or_default();
    tools
        .into_iter()
        .enumerate()
        .for_each(|(i, tool)| inside(&format!("tools[{i}]"), tool, LEVELS, &mut found));
    Ok(found)
}

/// The translation of a body, known from the beginning where it refers to such objects: there is
/// none.
pub(in crate::dialect) fn translation(references: &[Reference]) -> OnceLock<Result<Chat, Fault>> {
    references.first().map_or_else(OnceLock::new, |first| {
        OnceLock::from(Err(not_allowed(&first.path)))
    })
}

/// Notes the references in a tool. What a function declares (its parameters may have any name) is
/// not looked at, and a container that is made for this request alone is none.
fn inside(path: &str, object: &RawValue, levels: usize, found: &mut Vec<Reference>) {
    if levels == 0 || !object.get().starts_with('{') {
        return;
    }
    let members = Fields::of(object.get().as_bytes())
        .map(|fields| fields.list)
        .unwrap_or_default();
    for (name, value) in members
        .iter()
        .filter(|(name, _)| !DECLARED.contains(&&**name))
    {
        let path = format!("{path}.{name}");
        let made_here = name == "container" && value.get().starts_with('{');
        if FIELDS.contains(&&**name) && !made_here {
            found.extend(named(path, value));
        } else {
            inside(&path, value, levels - 1, found);
        }
    }
}

/// What the value of a field refers to: an id, several, or an object that has nothing but one. Of
/// anything else it is not known what it may be.
pub(in crate::dialect) fn named(path: String, value: &RawValue) -> Vec<Reference> {
    #[derive(Deserialize)]
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

/// A 403 about such a reference.
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
    fn a_provider_s_own_fields_are_looked_at() {
        let cached = r#""extra_body":{"google":{"cached\u005fcontent":"cachedContents/1"}}"#;
        assert_eq!(refused(cached).unwrap(), "extra_body.google.cached_content");
        assert_eq!(
            refused(&format!(r#"{cached},"extra_body":{{}}"#)).unwrap(),
            "extra_body.google.cached_content"
        );
        assert_eq!(
            refused(r#""extra_body":{"file_id":"f"}"#).unwrap(),
            "extra_body.file_id"
        );
        assert_eq!(
            refused(r#""extra_body":{"google":{"thinking_config":{"include_thoughts":true}}}"#),
            None
        );
        assert_eq!(refused(r#""extra_body":7"#), None);
    }

    fn refused(fields: &str) -> Option<String> {
        let body = format!("{{{fields}}}");
        refuse(&Object::body(body.as_bytes()).unwrap())
            .err()
            .map(|fault| {
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
                refused(&format!(r#""tools":[{tool}]"#)).as_deref(),
                Some(path)
            );
        }
    }

    #[test]
    fn the_ids_are_told_where_there_is_nothing_else() {
        let ids = |value: &str| {
            named("p".into(), serde_json::from_str(value).unwrap())
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
