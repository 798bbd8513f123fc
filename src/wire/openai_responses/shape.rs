//! The JSON objects of the wire, read leniently and only as far as needed.
//!
//! A member is kept as raw JSON and parsed when its event needs it. A member of an unexpected type
//! counts as absent, and unused members are skipped. Nothing here implements `Debug`, because these
//! are completions.

use serde::Deserialize;

pub(super) use crate::codec::lenient::Json;
use crate::model::wire::WireId;
use crate::wire::DecodeError;

/// One event of the stream.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Json<'a>,
    pub(super) output_index: Json<'a>,
    pub(super) content_index: Json<'a>,
    pub(super) summary_index: Json<'a>,
    pub(super) delta: Json<'a>,
    pub(super) logprobs: Json<'a>,
    pub(super) text: Json<'a>,
    pub(super) refusal: Json<'a>,
    pub(super) arguments: Json<'a>,
    pub(super) input: Json<'a>,
    pub(super) annotation: Json<'a>,
    pub(super) item: Json<'a>,
    pub(super) response: Json<'a>,
    pub(super) error: Json<'a>,
}

/// A response, from a terminal event or a non-streaming answer.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Response<'a> {
    pub(super) status: Json<'a>,
    pub(super) error: Json<'a>,
    pub(super) incomplete_details: Json<'a>,
    pub(super) output: Json<'a>,
    pub(super) usage: Json<'a>,
}

/// `incomplete_details`.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Incomplete<'a> {
    pub(super) reason: Json<'a>,
}

/// An item of the output.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Item<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Json<'a>,
    pub(super) id: Json<'a>,
    pub(super) call_id: Json<'a>,
    pub(super) name: Json<'a>,
    pub(super) arguments: Json<'a>,
    pub(super) input: Json<'a>,
    pub(super) content: Json<'a>,
    pub(super) summary: Json<'a>,
    pub(super) encrypted_content: Json<'a>,
}

/// A part of a message or of reasoning.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Part<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Json<'a>,
    pub(super) text: Json<'a>,
    pub(super) refusal: Json<'a>,
    pub(super) annotations: Json<'a>,
}

/// The fields of an annotation of any kind.
#[derive(Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub(super) struct Source<'a> {
    pub(super) url: Json<'a>,
    pub(super) title: Json<'a>,
    pub(super) filename: Json<'a>,
    pub(super) start_index: Json<'a>,
    pub(super) end_index: Json<'a>,
}

/// Returns the error for a frame that is not valid for this wire.
pub(super) fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed {
        wire: WireId::OpenaiResponses.name(),
        what: what.into(),
    }
}

/// Returns the error for JSON that cannot be parsed: its position, without any content.
pub(super) fn invalid_json(error: &serde_json::Error) -> DecodeError {
    malformed(format!(
        "invalid JSON at line {} column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_contain_no_content() {
        let Err(error) = serde_json::from_str::<Event<'_>>(r#"{"delta":"a secret"#) else {
            panic!("the JSON is cut")
        };
        assert!(!invalid_json(&error).to_string().contains("secret"));
    }
}
