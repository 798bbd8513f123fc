//! The ids in payloads of Anthropic's Messages API of the objects that the provider made on its
//! side: containers and the files of code executions.
//!
//! Invariant: ids are read only from fields that the provider fills itself, never from fields whose
//! content a model chooses.

use std::borrow::Cow;

use bytestring::ByteString;
use memchr::memmem::find;
use serde::Deserialize;

use crate::model::entry::Payload;

/// Returns the ids of the objects in a payload.
pub(super) fn object_ids(payload: &Payload) -> Vec<ByteString> {
    if !may_contain_ids(payload) {
        return Vec::new();
    }
    // A payload of another shape contains no ids.
    let ids = serde_json::from_str::<Message<'_>>(&payload.data).map(Message::ids);
    let ids = ids.unwrap_or_default().into_iter();
    ids.map(|id| (&*id).into()).collect()
}

/// A cheap test before parsing: nearly every payload is a delta, recognisable by its event name.
fn may_contain_ids(payload: &Payload) -> bool {
    let contains = |word: &str| find(payload.data.as_bytes(), word.as_bytes()).is_some();
    match &*payload.name {
        "" | "message_start" | "message_delta" | "content_block_start" => {
            contains("\"container\"") || contains("\"file_id\"")
        }
        _ => false,
    }
}

type Id<'a> = Option<Cow<'a, str>>;

/// An event of a message, or a whole message body.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    message: Option<ContainerHolder<'a>>,
    #[serde(borrow, default)]
    delta: Option<ContainerHolder<'a>>,
    #[serde(borrow, default)]
    container: Option<Container<'a>>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
struct ContainerHolder<'a> {
    #[serde(borrow, default)]
    container: Option<Container<'a>>,
}

#[derive(Deserialize)]
struct Container<'a> {
    #[serde(borrow, default)]
    id: Id<'a>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a serde_json::value::RawValue>,
}

/// The result of a code execution.
#[derive(Deserialize)]
struct ToolResult<'a> {
    #[serde(borrow, default)]
    content: Vec<Output<'a>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    file_id: Id<'a>,
}

impl<'a> Message<'a> {
    fn ids(self) -> Vec<Cow<'a, str>> {
        let holder = [self.message, self.delta]
            .into_iter()
            .flatten()
            .filter_map(|holder| holder.container);
        let containers = holder.chain(self.container).filter_map(|it| it.id);
        containers
            .chain(
                self.content_block
                    .into_iter()
                    .chain(self.content)
                    .flat_map(Block::files),
            )
            .collect()
    }
}

impl<'a> Block<'a> {
    fn files(self) -> Vec<Cow<'a, str>> {
        // Only results of the provider's own tools: the content of other blocks is chosen by the
        // model.
        let content = self
            .content
            .filter(|_| self.kind.ends_with("code_execution_tool_result"));
        let result =
            content.and_then(|content| serde_json::from_str::<ToolResult<'a>>(content.get()).ok());
        result
            .into_iter()
            .flat_map(|it| it.content)
            .filter_map(|it| it.file_id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids_in(data: &str) -> Vec<ByteString> {
        object_ids(&Payload {
            name: "".into(),
            data: data.into(),
        })
    }

    #[test]
    fn object_ids_of_a_message_are_found() {
        for (data, ids) in [
            (
                r#"{"type":"message_start","message":{"container":{"id":"container_1"}}}"#,
                vec!["container_1"],
            ),
            (
                r#"{"type":"message_delta","delta":{"container":{"id":"container_1","expires_at":"x"}}}"#,
                vec!["container_1"],
            ),
            (
                r#"{"type":"message_start","message":{"container":null}}"#,
                vec![],
            ),
            (
                r#"{"type":"content_block_start","content_block":{"type":"bash_code_execution_tool_result","content":{"content":[{"type":"bash_code_execution_output","file_id":"file_1"}]}}}"#,
                vec!["file_1"],
            ),
        ] {
            assert_eq!(ids_in(data), ids, "{data}");
        }
    }

    #[test]
    fn ids_in_model_output_are_ignored() {
        for data in [
            r#"{"content":[{"type":"tool_use","input":{"container":{"id":"container_1"},"content":{"content":[{"file_id":"file_1"}]}}}]}"#,
            r#"{"content":[{"type":"text","text":"{\"container\":{\"id\":\"container_1\"}}"}]}"#,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","content":{"content":[{"file_id":"file_1"}]}}}"#,
            r#"{"container":"container_1"}"#,
        ] {
            assert_eq!(ids_in(data), [] as [&str; 0], "{data}");
        }
    }
}
