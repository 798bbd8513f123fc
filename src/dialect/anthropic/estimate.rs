//! Estimates the size of a prompt in one walk over the messages, the system prompt and the tools,
//! without translating it. The walk also finds references to the provider's account.

use serde_json::value::RawValue;

use crate::codec::json::Fields;
use crate::dialect::estimate::{Estimate, elements, members, messages};
use crate::dialect::object::{Object, must_be};
use crate::model::fault::Fault;

/// Maximum depth of nested content that is searched. The deepest content that the API defines is a
/// file in a document in a tool result.
const LEVELS: u8 = 8;

/// Returns the estimate of a request, and the files in the provider's account that it refers to.
///
/// # Errors
/// A 400 when `messages` is not a non-empty array of objects.
pub(super) fn input(top: &Object<'_>) -> Result<Estimate, Fault> {
    let mut estimate = Estimate::default();
    for (i, message) in messages(top)?.into_iter().enumerate() {
        let path = format!("messages[{i}]");
        let fields =
            Fields::parse(message.get().as_bytes()).map_err(|_| must_be(&path, "an object"))?;
        // Repeated fields are all counted and searched, because it is unknown which of them an
        // upstream reads.
        for (_, value) in fields.list.iter().filter(|(name, _)| name == "content") {
            content(&mut estimate, &format!("{path}.content"), value, LEVELS);
        }
    }
    if let Some(system) = top.raw("system") {
        content(&mut estimate, "system", system, LEVELS);
    }
    // Tools are counted as JSON too: models read their schemas.
    estimate.bytes += top.raw("tools").map_or(0, |tools| tools.get().len() as u64);
    Ok(estimate)
}

/// Adds content: a string, blocks, or one block.
fn content(estimate: &mut Estimate, path: &str, value: &RawValue, levels: u8) {
    // Bounds the recursion: a body may nest far deeper than any valid request.
    if levels == 0 {
        return;
    }
    estimate.add_text(value);
    // Some tool results hold one block instead of a list.
    block(estimate, path, value, levels);
    for (i, element) in elements(value).into_iter().enumerate() {
        block(estimate, &format!("{path}[{i}]"), element, levels);
    }
}

fn block(estimate: &mut Estimate, path: &str, json: &RawValue, levels: u8) {
    for (name, value) in members(json) {
        match &*name {
            "text" | "thinking" | "title" | "context" => estimate.add_text(value),
            // The input of a tool call is counted as JSON, as the model reads it.
            "input" => estimate.bytes += value.get().len() as u64,
            "content" => content(estimate, &format!("{path}.content"), value, levels - 1),
            "source" => source(estimate, &format!("{path}.source"), value, levels - 1),
            "file_id" => estimate.add_reference(format!("{path}.file_id"), value),
            _ => {}
        }
    }
}

/// Adds the source of an image or a document: text counts by its length, everything else as an
/// image.
fn source(estimate: &mut Estimate, path: &str, json: &RawValue, levels: u8) {
    let members = members(json);
    let is = |kind: &str| {
        members
            .iter()
            .any(|(name, value)| name == "type" && value.get() == kind)
    };
    if is("\"text\"") {
        members
            .iter()
            .filter(|(name, _)| name == "data")
            .for_each(|(_, value)| estimate.add_text(value));
    } else if !is("\"content\"") && !members.is_empty() {
        // A source of content is no image itself: its blocks are counted below.
        estimate.images += 1;
    }
    content(estimate, path, json, levels);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ask::Reference;

    fn estimated(fields: &str) -> Result<Estimate, Fault> {
        input(&Object::from_body(format!("{{{fields}}}").as_bytes()).unwrap())
    }

    fn tokens(fields: &str) -> Result<u64, Fault> {
        estimated(fields).map(|estimate| estimate.tokens())
    }

    fn messages(content: &str) -> String {
        format!(r#""messages":[{{"role":"user","content":{content}}}]"#)
    }

    #[test]
    fn all_text_counts_and_an_image_counts_a_thousand_tokens() {
        for (content, expected) in [
            (r#""12345678""#, 2),
            (r#"[{"type":"text","text":"12345"}]"#, 2),
            (
                r#"[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAAAAAAAAAA"}}]"#,
                1000,
            ),
            (
                r#"[{"type":"document","title":"1234","source":{"type":"text","media_type":"text/plain","data":"1234"}}]"#,
                2,
            ),
            (
                r#"[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"12345678"},{"type":"image","source":{"type":"url","url":"x"}}]}}]"#,
                1002,
            ),
            (
                r#"[{"type":"tool_use","id":"a","name":"f","input":{"a":1}}]"#,
                2,
            ),
            (
                r#"[{"type":"tool_result","tool_use_id":"a","content":[{"type":"text","text":"1234"}]},{"type":"tool_result","content":"1234"}]"#,
                2,
            ),
            (
                r#"[{"type":"thinking","thinking":"1234","signature":"AAAAAAAAAAAAAAAA"}]"#,
                1,
            ),
            ("[]", 0),
        ] {
            assert_eq!(tokens(&messages(content)).unwrap(), expected, "{content}");
        }
        assert_eq!(
            tokens(&format!(
                r#"{},"system":"1234","tools":[1234567]"#,
                messages(r#""""#)
            ))
            .unwrap(),
            4
        );
        assert_eq!(
            tokens(&format!(
                r#"{},"system":[{{"type":"text","text":"12345678"}}]"#,
                messages(r#""""#)
            ))
            .unwrap(),
            2
        );
    }

    #[test]
    fn files_in_the_account_are_found_at_any_place() {
        for (block, path) in [
            (
                r#"{"type":"image","source":{"type":"file","file_id":"f"}}"#,
                "source.file_id",
            ),
            (
                r#"{"type":"document","source":{"type":"file","f\u0069le_id":"f","file_id":null}}"#,
                "source.file_id",
            ),
            (r#"{"type":"container_upload","file_id":"f"}"#, "file_id"),
            (
                r#"{"type":"tool_result","content":[{"type":"image","source":{"file_id":"f"}}]}"#,
                "content[0].source.file_id",
            ),
            (
                r#"{"type":"document","source":{"type":"content","content":[{"source":{"file_id":"f"}}]}}"#,
                "source.content[0].source.file_id",
            ),
            (
                r#"{"type":"code_execution_tool_result","content":{"content":[{"file_id":"f"}]}}"#,
                "content.content[0].file_id",
            ),
        ] {
            let found = estimated(&messages(&format!("[{block}]")))
                .unwrap()
                .references;
            let expected = Reference {
                path: format!("messages[0].content[0].{path}"),
                id: Some("f".to_owned()),
            };
            assert_eq!(found, [expected], "{block}");
        }
        for block in [
            r#"{"type":"tool_use","id":"a","name":"f","input":{"file_id":"f","source":{"file_id":"f"}}}"#,
            r#"{"type":"image","source":{"type":"base64","file_id":null}}"#,
        ] {
            assert_eq!(
                estimated(&messages(&format!("[{block}]")))
                    .unwrap()
                    .references,
                [],
                "{block}"
            );
        }
    }

    #[test]
    fn deeply_nested_content_is_accepted() {
        let deep = format!("{}{}", r#"{"content":["#.repeat(200), "]}".repeat(200));
        assert!(tokens(&messages(&format!("[{deep}]"))).is_ok());
        for fields in [
            "",
            r#""messages":[]"#,
            r#""messages":"hi""#,
            r#""messages":[7]"#,
        ] {
            assert_eq!(tokens(fields).unwrap_err().status.as_u16(), 400, "{fields}");
        }
    }
}
