//! Objects that a provider made on its side while it answered, by the ids that clients receive:
//! items of a response, containers, files in them. The caller that received an id may name it
//! later; no other caller may.
//!
//! Invariant: ids are read only from fields that the provider fills itself, never from fields whose
//! content a model chooses.

use std::borrow::Cow;

use bytestring::ByteString;
use memchr::memmem::find;
use serde::Deserialize;

use super::stream::Stream;
use crate::model::entry::{Entry, Payload};
use crate::model::wire::DialectId;

/// Maximum length of an object id, bytes.
const MAX_ID_BYTES: usize = 128;
/// Maximum number of object ids of one stream.
pub(super) const MAX_PER_STREAM: usize = 256;
/// Approximate memory of one id beside its own bytes: its place in the maps.
const ID_OVERHEAD: usize = 160;

impl Stream {
    /// Returns the ids of the objects that its provider made in it.
    pub(super) fn objects(&self) -> &[ByteString] {
        self.objects.get().map_or(&[], |objects| objects)
    }

    /// Sets the ids, once. Returns the bytes they take, or 0 if they were already set.
    pub(super) fn set_objects(&self, objects: Vec<ByteString>) -> usize {
        if self.objects.set(objects.into()).is_ok() {
            self.objects_bytes()
        } else {
            0
        }
    }

    /// Returns the approximate memory of the ids, bytes.
    pub(super) fn objects_bytes(&self) -> usize {
        self.objects().iter().map(|id| id.len() + ID_OVERHEAD).sum()
    }
}

/// Returns true for dialects whose clients receive ids of provider objects.
pub(super) const fn exposes_objects(dialect: DialectId) -> bool {
    matches!(dialect, DialectId::OpenaiResponses | DialectId::Anthropic)
}

/// Returns the object ids in an entry whose payload is passed on.
pub(super) fn object_ids(dialect: DialectId, entry: &Entry) -> Vec<ByteString> {
    let Some(payload) = entry
        .raw
        .as_ref()
        .filter(|payload| may_contain_ids(dialect, payload))
    else {
        return Vec::new();
    };
    let ids = match dialect {
        DialectId::OpenaiResponses => {
            serde_json::from_str::<Response<'_>>(&payload.data).map(Response::ids)
        }
        _ => serde_json::from_str::<Message<'_>>(&payload.data).map(Message::ids),
    };
    // A payload of another shape contains no ids.
    ids.unwrap_or_default()
        .into_iter()
        .filter(|id| is_valid_id(id))
        .map(|id| (&*id).into())
        .collect()
}

/// A cheap test before parsing: nearly every payload is a delta, recognisable by its event name.
fn may_contain_ids(dialect: DialectId, payload: &Payload) -> bool {
    let contains = |word: &str| find(payload.data.as_bytes(), word.as_bytes()).is_some();
    match (dialect, &*payload.name) {
        (DialectId::OpenaiResponses, "response.output_item.done") => true,
        // Whole bodies, and frames without an event name.
        (DialectId::OpenaiResponses, "") => {
            contains("response.output_item.done") || contains("\"output\"")
        }
        (DialectId::Anthropic, "" | "message_start" | "message_delta" | "content_block_start") => {
            contains("\"container\"") || contains("\"file_id\"")
        }
        _ => false,
    }
}

fn is_valid_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

type Id<'a> = Option<Cow<'a, str>>;

/// An event of a response, or a whole response body.
#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    item: Option<Item<'a>>,
    #[serde(borrow, default)]
    output: Vec<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    id: Id<'a>,
    #[serde(borrow, default)]
    container_id: Id<'a>,
    #[serde(borrow, default)]
    environment: Option<Environment<'a>>,
    #[serde(borrow, default)]
    content: Option<Vec<ContentPart<'a>>>,
}

#[derive(Deserialize)]
struct Environment<'a> {
    #[serde(borrow, default)]
    container_id: Id<'a>,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, default)]
    annotations: Vec<Annotation<'a>>,
}

#[derive(Deserialize)]
struct Annotation<'a> {
    #[serde(borrow, default)]
    container_id: Id<'a>,
    #[serde(borrow, default)]
    file_id: Id<'a>,
}

impl<'a> Response<'a> {
    fn ids(self) -> Vec<Cow<'a, str>> {
        self.item
            .into_iter()
            .chain(self.output)
            .flat_map(Item::ids)
            .collect()
    }
}

impl<'a> Item<'a> {
    fn ids(self) -> Vec<Cow<'a, str>> {
        let cited = self
            .content
            .into_iter()
            .flatten()
            .flat_map(|part| part.annotations);
        // Files in a container are made by the provider; a plain `file_citation` names an older
        // file.
        let cited = cited
            .filter(|it| it.container_id.is_some())
            .flat_map(|it| [it.container_id, it.file_id]);
        let own = [
            self.id,
            self.container_id,
            self.environment.and_then(|it| it.container_id),
        ];
        own.into_iter().chain(cited).flatten().collect()
    }
}

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

    fn ids_in(dialect: DialectId, data: &str) -> Vec<String> {
        let raw = Some(Payload {
            name: "".into(),
            data: data.into(),
        });
        object_ids(
            dialect,
            &Entry {
                raw,
                events: Default::default(),
            },
        )
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    #[test]
    fn object_ids_of_a_response_are_found() {
        let item = r#"{"id":"ci_1","type":"code_interpreter_call","container_id":"cntr_1"}"#;
        let event = format!(r#"{{"type":"response.output_item.done","item":{item}}}"#);
        assert_eq!(
            ids_in(DialectId::OpenaiResponses, &event),
            ["ci_1", "cntr_1"]
        );
        let cited = r#"{"id":"msg_1","content":[{"type":"output_text","annotations":[{"type":"container_file_citation","container_id":"cntr_2","file_id":"cfile_1"},{"type":"file_citation","file_id":"file_1"}]}]}"#;
        let shell =
            r#"{"id":"sh_1","environment":{"type":"container_reference","container_id":"cntr_3"}}"#;
        let whole = format!(r#"{{"id":"resp_1","output":[{cited},{shell}]}}"#);
        assert_eq!(
            ids_in(DialectId::OpenaiResponses, &whole),
            ["msg_1", "cntr_2", "cfile_1", "sh_1", "cntr_3"]
        );
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
            assert_eq!(ids_in(DialectId::Anthropic, data), ids, "{data}");
        }
    }

    #[test]
    fn ids_in_model_output_are_ignored() {
        for data in [
            r#"{"content":[{"type":"tool_use","input":{"container":{"id":"container_1"},"content":{"content":[{"file_id":"file_1"}]}}}]}"#,
            r#"{"content":[{"type":"text","text":"{\"container\":{\"id\":\"container_1\"}}"}]}"#,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","content":{"content":[{"file_id":"file_1"}]}}}"#,
            r#"{"container":"container_1"}"#,
            r#"{"container":{"id":"a b"}}"#,
        ] {
            assert_eq!(
                ids_in(DialectId::Anthropic, data),
                Vec::<String>::new(),
                "{data}"
            );
        }
        assert_eq!(
            ids_in(
                DialectId::OpenaiChat,
                r#"{"container":{"id":"container_1"}}"#
            ),
            Vec::<String>::new()
        );
    }
}
