//! What a provider has made in its own account while it answered, by the ids that clients are told:
//! items of a response, containers, files in them. Who was told may name them later; nobody else
//! may.
//!
//! Invariant: ids are read only where a provider writes them of its own, never where a model may
//! write what it likes.

use std::borrow::Cow;

use bytestring::ByteString;
use memchr::memmem::find;
use serde::Deserialize;

use super::stream::Stream;
use crate::model::entry::{Entry, Payload};
use crate::model::wire::DialectId;

/// The longest such id, bytes.
const LONGEST: usize = 128;
/// The most of one stream.
pub(super) const MOST: usize = 256;
/// What one costs beside its bytes, about: its place in the maps.
const OVERHEAD: usize = 160;

impl Stream {
    /// What its provider made in it.
    pub(super) fn objects(&self) -> &[ByteString] {
        self.objects.get().map_or(&[], |objects| objects)
    }

    /// Notes that, once; says how many bytes it takes.
    pub(super) fn set_objects(&self, objects: Vec<ByteString>) -> usize {
        if self.objects.set(objects.into()).is_ok() {
            self.objects_bytes()
        } else {
            0
        }
    }

    /// The bytes it takes, about.
    pub(super) fn objects_bytes(&self) -> usize {
        self.objects().iter().map(|id| id.len() + OVERHEAD).sum()
    }
}

/// True where clients of a dialect are told of any.
pub(super) const fn made_in(dialect: DialectId) -> bool {
    matches!(dialect, DialectId::OpenaiResponses | DialectId::Anthropic)
}

/// The ids in an entry that is passed on.
pub(super) fn of(dialect: DialectId, entry: &Entry) -> Vec<ByteString> {
    let Some(payload) = entry
        .raw
        .as_ref()
        .filter(|payload| may_hold(dialect, payload))
    else {
        return Vec::new();
    };
    let ids = match dialect {
        DialectId::OpenaiResponses => {
            serde_json::from_str::<Response<'_>>(&payload.data).map(Response::ids)
        }
        _ => serde_json::from_str::<Message<'_>>(&payload.data).map(Message::ids),
    };
    // What is no such JSON holds none.
    ids.unwrap_or_default()
        .into_iter()
        .filter(|id| good(id))
        .map(|id| (&*id).into())
        .collect()
}

/// A quick look, as nearly every payload is a delta, and says so by its name.
fn may_hold(dialect: DialectId, payload: &Payload) -> bool {
    let holds = |word: &str| find(payload.data.as_bytes(), word.as_bytes()).is_some();
    match (dialect, &*payload.name) {
        (DialectId::OpenaiResponses, "response.output_item.done") => true,
        (DialectId::OpenaiResponses, "") => {
            holds("response.output_item.done") || holds("\"output\"")
        }
        (DialectId::Anthropic, "" | "message_start" | "message_delta" | "content_block_start") => {
            holds("\"container\"") || holds("\"file_id\"")
        }
        _ => false,
    }
}

fn good(id: &str) -> bool {
    (1..=LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

type Id<'a> = Option<Cow<'a, str>>;

/// An event of a response, or a whole one.
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
    content: Option<Vec<Words<'a>>>,
}

#[derive(Deserialize)]
struct Environment<'a> {
    #[serde(borrow, default)]
    container_id: Id<'a>,
}

#[derive(Deserialize)]
struct Words<'a> {
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
            .flat_map(|words| words.annotations);
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

/// An event of a message, or a whole one.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    message: Option<Held<'a>>,
    #[serde(borrow, default)]
    delta: Option<Held<'a>>,
    #[serde(borrow, default)]
    container: Option<Container<'a>>,
    #[serde(borrow, default)]
    content_block: Option<Block<'a>>,
    #[serde(borrow, default)]
    content: Vec<Block<'a>>,
}

#[derive(Deserialize)]
struct Held<'a> {
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

/// What code has given.
#[derive(Deserialize)]
struct Outcome<'a> {
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
        let held = [self.message, self.delta]
            .into_iter()
            .flatten()
            .filter_map(|held| held.container);
        let containers = held.chain(self.container).filter_map(|it| it.id);
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
        let content = self
            .content
            .filter(|_| self.kind.ends_with("code_execution_tool_result"));
        let outcome =
            content.and_then(|content| serde_json::from_str::<Outcome<'a>>(content.get()).ok());
        outcome
            .into_iter()
            .flat_map(|it| it.content)
            .filter_map(|it| it.file_id)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(dialect: DialectId, data: &str) -> Vec<String> {
        let raw = Some(Payload {
            name: "".into(),
            data: data.into(),
        });
        of(
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
    fn what_a_response_has_made_is_known() {
        let item = r#"{"id":"ci_1","type":"code_interpreter_call","container_id":"cntr_1"}"#;
        let event = format!(r#"{{"type":"response.output_item.done","item":{item}}}"#);
        assert_eq!(told(DialectId::OpenaiResponses, &event), ["ci_1", "cntr_1"]);
        let cited = r#"{"id":"msg_1","content":[{"type":"output_text","annotations":[{"type":"container_file_citation","container_id":"cntr_2","file_id":"cfile_1"},{"type":"file_citation","file_id":"file_1"}]}]}"#;
        let shell =
            r#"{"id":"sh_1","environment":{"type":"container_reference","container_id":"cntr_3"}}"#;
        let whole = format!(r#"{{"id":"resp_1","output":[{cited},{shell}]}}"#);
        assert_eq!(
            told(DialectId::OpenaiResponses, &whole),
            ["msg_1", "cntr_2", "cfile_1", "sh_1", "cntr_3"]
        );
    }

    #[test]
    fn what_a_message_has_made_is_known() {
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
            assert_eq!(told(DialectId::Anthropic, data), ids, "{data}");
        }
    }

    #[test]
    fn what_a_model_writes_is_not() {
        for data in [
            r#"{"content":[{"type":"tool_use","input":{"container":{"id":"container_1"},"content":{"content":[{"file_id":"file_1"}]}}}]}"#,
            r#"{"content":[{"type":"text","text":"{\"container\":{\"id\":\"container_1\"}}"}]}"#,
            r#"{"type":"content_block_start","content_block":{"type":"tool_use","content":{"content":[{"file_id":"file_1"}]}}}"#,
            r#"{"container":"container_1"}"#,
            r#"{"container":{"id":"a b"}}"#,
        ] {
            assert_eq!(
                told(DialectId::Anthropic, data),
                Vec::<String>::new(),
                "{data}"
            );
        }
        assert_eq!(
            told(
                DialectId::OpenaiChat,
                r#"{"container":{"id":"container_1"}}"#
            ),
            Vec::<String>::new()
        );
    }
}
