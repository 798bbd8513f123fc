//! Content of messages and tool outputs: a string, or an array of parts.

use serde_json::value::RawValue;

use crate::dialect::media::{is_data_uri, source};
use crate::dialect::object::Object;
use crate::dialect::openai_chat::media_type_for;
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// Reads the parts of a content field.
///
/// # Errors
/// A 400 that names the field and the expected value.
pub(super) fn read(object: &Object<'_>, name: &str) -> Result<Vec<Part>, Fault> {
    match object.raw(name).map(RawValue::get) {
        Some(json) if json.starts_with('"') => Ok(vec![Part::Text(object.required(name)?)]),
        Some(json) if json.starts_with('[') => object.objects(name)?.iter().map(part).collect(),
        _ => Err(object.invalid(name, "a string or an array of parts")),
    }
}

fn part(part: &Object<'_>) -> Result<Part, Fault> {
    match &*part.required("type")? {
        "input_text" | "output_text" | "text" => Ok(Part::Text(part.required("text")?)),
        "refusal" => Ok(Part::Refusal(part.required("refusal")?)),
        "input_image" => Ok(Part::Image { source: source(part, "image_url")?, detail: part.string("detail")? }),
        "input_file" => file(part),
        "input_audio" => {
            let audio = part.required_object("input_audio")?;
            Ok(Part::Audio { data: audio.non_empty("data")?, format: audio.non_empty("format")? })
        }
        _ => {
            Err(part
                .invalid("type", "`input_text`, `output_text`, `refusal`, `input_image`, `input_file` or `input_audio`, for this target"))
        }
    }
}

fn file(part: &Object<'_>) -> Result<Part, Fault> {
    let filename = part.string("filename")?;
    if part.raw("file_url").is_some() {
        return Ok(Part::File {
            source: Source::Url(part.non_empty("file_url")?),
            filename,
        });
    }
    let data = part.non_empty("file_data")?;
    let source = if is_data_uri(&data) {
        source(part, "file_data")?
    } else {
        Source::Data {
            // Bare base64 carries no media type: the file name is the only hint.
            media_type: media_type_for(filename.as_deref().unwrap_or_default()).to_owned(),
            base64: data,
        }
    };
    Ok(Part::File { source, filename })
}
