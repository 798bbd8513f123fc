//! The ids in payloads of OpenAI's Responses API that clients may name later: that of the response
//! and those of the objects that the provider made on its side (items, containers, files in them).
//!
//! Invariant: ids are read only from fields that the provider fills itself, never from fields whose
//! content a model chooses.

use std::borrow::Cow;

use bytestring::ByteString;
use memchr::memmem::find;
use serde::Deserialize;

use crate::model::entry::Payload;

/// Returns the id in a payload: that of a whole response, or of the response in an event.
pub(super) fn response_id(payload: &Payload) -> Option<ByteString> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        response: Option<Inner<'a>>,
    }
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
    }
    let body: Body<'_> = serde_json::from_str(&payload.data).ok()?;
    // An event contains the response; a whole body is the response itself.
    let id = body.response.and_then(|response| response.id).or(body.id)?;
    Some((&*id).into())
}

/// Returns the ids of the objects in a payload.
pub(super) fn object_ids(payload: &Payload) -> Vec<ByteString> {
    if !may_contain_ids(payload) {
        return Vec::new();
    }
    // A payload of another shape contains no ids.
    let ids = serde_json::from_str::<Response<'_>>(&payload.data).map(Response::ids);
    let ids = ids.unwrap_or_default().into_iter();
    ids.map(|id| (&*id).into()).collect()
}

/// A cheap test before parsing: nearly every payload is a delta, recognisable by its event name.
fn may_contain_ids(payload: &Payload) -> bool {
    let contains = |word: &str| find(payload.data.as_bytes(), word.as_bytes()).is_some();
    match &*payload.name {
        "response.output_item.done" => true,
        // Whole bodies, and frames without an event name.
        "" => contains("response.output_item.done") || contains("\"output\""),
        _ => false,
    }
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
    fn object_ids_of_a_response_are_found() {
        let item = r#"{"id":"ci_1","type":"code_interpreter_call","container_id":"cntr_1"}"#;
        let event = format!(r#"{{"type":"response.output_item.done","item":{item}}}"#);
        assert_eq!(ids_in(&event), ["ci_1", "cntr_1"]);
        let cited = r#"{"id":"msg_1","content":[{"type":"output_text","annotations":[{"type":"container_file_citation","container_id":"cntr_2","file_id":"cfile_1"},{"type":"file_citation","file_id":"file_1"}]}]}"#;
        let shell =
            r#"{"id":"sh_1","environment":{"type":"container_reference","container_id":"cntr_3"}}"#;
        let whole = format!(r#"{{"id":"resp_1","output":[{cited},{shell}]}}"#);
        assert_eq!(
            ids_in(&whole),
            ["msg_1", "cntr_2", "cfile_1", "sh_1", "cntr_3"]
        );
    }

    #[test]
    fn the_response_id_is_found_in_an_event_and_in_a_whole_body() {
        let id_in = |data: &'static str| {
            response_id(&Payload {
                name: "".into(),
                data: data.into(),
            })
        };
        for data in [
            r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
            r#"{"id":"resp_1","output":[]}"#,
        ] {
            assert_eq!(id_in(data).as_deref(), Some("resp_1"));
        }
        for data in [r#"{"type":"x"}"#, "{"] {
            assert_eq!(id_in(data), None, "{data}");
        }
    }
}
