//! JSON schemas: of a tool's parameters, and of the answer.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::refusals;
use crate::codec::json::Fields;
use crate::model::accepts::{Accepts, FormatSupport};
use crate::model::chat::{Chat, Format};
use crate::model::fault::Fault;

/// The schema of a tool without parameters.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Returns the schema of a tool's parameters in the form that the target takes; a tool without
/// parameters gets an empty one. `at` is the position of the tool.
///
/// # Errors
/// A 400 if the target takes objects with a `type` only and the schema is no object.
pub(in crate::wire) fn parameters<'a>(
    parameters: Option<&'a RawValue>,
    accepts: &Accepts,
    at: usize,
) -> Result<Cow<'a, RawValue>, Fault> {
    let Some(parameters) = parameters else {
        return Ok(Cow::Borrowed(literal(NO_PARAMETERS)));
    };
    if !accepts.typed_schemas {
        return Ok(Cow::Borrowed(parameters));
    }
    // The schema is changed as text, so that everything else in it stays byte for byte the same.
    let fields =
        Fields::parse(parameters.get().as_bytes()).map_err(|_| refusals::parameters(at))?;
    if fields.get("type").is_some() {
        return Ok(Cow::Borrowed(parameters));
    }
    let typed = fields.with(&[("type", r#""object""#)]);
    let text = String::from_utf8(typed.into()).map_err(|_| refusals::parameters(at))?;
    RawValue::from_string(text)
        .map(Cow::Owned)
        .map_err(|_| refusals::parameters(at))
}

/// The JSON that an answer is requested as.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) enum AnswerFormat<'a> {
    /// Any JSON object.
    Json,
    /// JSON that matches a schema.
    Schema(AnswerSchema<'a>),
}

/// The schema of an answer.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct AnswerSchema<'a> {
    /// Its name.
    pub(in crate::wire) name: &'a str,
    /// Its description for the model.
    pub(in crate::wire) description: Option<&'a str>,
    /// The schema.
    pub(in crate::wire) schema: &'a RawValue,
    /// Whether the answer must match exactly.
    pub(in crate::wire) strict: Option<bool>,
}

/// Returns the format requested for the answer, or `None` for text.
///
/// # Errors
/// A 400 for a format that the target does not have, and for a schema that is announced but
/// missing.
pub(in crate::wire) fn answer_format<'a>(
    chat: &'a Chat,
    accepts: &Accepts,
) -> Result<Option<AnswerFormat<'a>>, Fault> {
    match (&chat.format, accepts.formats) {
        (None | Some(Format::Text), _) => Ok(None),
        (Some(Format::Json), FormatSupport::Schema) => Err(refusals::any_json()),
        (Some(Format::Json), _) => Ok(Some(AnswerFormat::Json)),
        (Some(Format::Schema { .. }), FormatSupport::Json) => Err(refusals::json_schema()),
        (Some(Format::Schema { schema: None, .. }), _) => Err(refusals::missing_schema()),
        (
            Some(Format::Schema {
                name,
                description,
                schema: Some(schema),
                strict,
            }),
            _,
        ) => Ok(Some(AnswerFormat::Schema(AnswerSchema {
            name,
            description: description.as_deref(),
            schema,
            strict: *strict,
        }))),
    }
}

/// Returns a JSON literal as a raw value.
pub(super) fn literal(text: &'static str) -> &'static RawValue {
    serde_json::from_str(text).expect("the literal is valid JSON")
}
