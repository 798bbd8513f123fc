//! The content of a turn: a string, or parts.

use serde_json::value::RawValue;

use super::cache;
use crate::dialect::media::{is_data_uri, source};
use crate::dialect::object::Object;
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// Reads the content of a turn that must have one.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn required(message: &Object<'_>) -> Result<Vec<Part>, Fault> {
    optional(message)?.ok_or_else(|| message.invalid("content", EXPECTED))
}

/// Reads the content of a turn; `None` where it is absent.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn optional(message: &Object<'_>) -> Result<Option<Vec<Part>>, Fault> {
    match message.raw("content").map(RawValue::get) {
        None => Ok(None),
        Some(json) if json.starts_with('"') => {
            Ok(Some(vec![Part::Text(message.required("content")?)]))
        }
        Some(json) if json.starts_with('[') => {
            let mut parts = Vec::new();
            for object in message.objects("content")? {
                parts.push(part(&object)?);
                // A mark covers the prompt up to its part, that part included.
                parts.extend(cache::mark(&object)?.map(Part::CacheMark));
            }
            Ok(Some(parts))
        }
        Some(_) => Err(message.invalid("content", EXPECTED)),
    }
}

const EXPECTED: &str = "a string or an array of parts";

fn part(part: &Object<'_>) -> Result<Part, Fault> {
    match &*part.required("type")? {
        "text" => part.required("text").map(Part::Text),
        "refusal" => part.required("refusal").map(Part::Refusal),
        "image_url" => image(part),
        "file" => file(&part.required_object("file")?),
        "input_audio" => audio(&part.required_object("input_audio")?),
        _ => Err(part.invalid(
            "type",
            "`text`, `image_url`, `file`, `input_audio` or `refusal` for this target",
        )),
    }
}

/// Reads an image. `image_url` is an object; some clients send the bare URL.
fn image(part: &Object<'_>) -> Result<Part, Fault> {
    if part
        .raw("image_url")
        .is_some_and(|value| value.get().starts_with('"'))
    {
        return Ok(Part::Image {
            source: source(part, "image_url")?,
            detail: None,
        });
    }
    let image = part.required_object("image_url")?;
    Ok(Part::Image {
        source: source(&image, "url")?,
        detail: image.string("detail")?,
    })
}

fn file(file: &Object<'_>) -> Result<Part, Fault> {
    let filename = file.string("filename")?;
    if let Some(id) = file.string("file_id")? {
        return Ok(Part::File {
            source: Source::FileId(id),
            filename,
        });
    }
    let data = file.non_empty("file_data")?;
    // OpenAI takes both a data URI and bare base64.
    let source = if is_data_uri(&data) {
        source(file, "file_data")?
    } else {
        Source::Data {
            media_type: media_type_for(filename.as_deref().unwrap_or_default()).to_owned(),
            base64: data,
        }
    };
    Ok(Part::File { source, filename })
}

fn audio(audio: &Object<'_>) -> Result<Part, Fault> {
    Ok(Part::Audio {
        data: audio.non_empty("data")?,
        format: audio.non_empty("format")?,
    })
}

/// Returns the media type of a file by the extension of its name. Needed for bare base64, which
/// carries no type.
pub(in crate::dialect) fn media_type_for(filename: &str) -> &'static str {
    match filename
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase())
        .as_deref()
    {
        Some("pdf") => "application/pdf",
        Some("txt") => "text/plain",
        Some("md") => "text/markdown",
        Some("csv") => "text/csv",
        Some("html") => "text/html",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(json: &str) -> Result<Vec<Part>, Fault> {
        let body = format!(r#"{{"content":{json}}}"#);
        required(&Object::from_body(body.as_bytes()).unwrap())
    }

    #[test]
    fn a_string_is_one_text() {
        assert!(matches!(&parts(r#""a\nb""#).unwrap()[..], [Part::Text(text)] if text == "a\nb"));
    }

    #[test]
    fn every_kind_of_part_is_read() {
        let read = parts(
            r#"[{"type":"text","text":"t"},{"type":"refusal","refusal":"r"},
                {"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"low"}},
                {"type":"image_url","image_url":{"url":"DATA:image/PNG;charset=x;base64,QUJD"}},{"type":"image_url","image_url":"https://example.com/b"},
                {"type":"file","file":{"file_data":"data:application/pdf;base64,QQ==","filename":"a.pdf"}},{"type":"file","file":{"file_data":"QQ==","filename":"a.TXT"}},
                {"type":"input_audio","input_audio":{"data":"QQ==","format":"wav"}}]"#,
        );
        let read = read.unwrap();
        let [
            Part::Text(_),
            Part::Refusal(_),
            linked,
            data,
            bare,
            pdf,
            txt,
            Part::Audio { format, .. },
        ] = &read[..]
        else {
            panic!("{read:?}")
        };
        assert!(
            matches!(linked, Part::Image { source: Source::Url(url), detail: Some(detail) } if url.ends_with(".png") && detail == "low")
        );
        assert!(
            matches!(data, Part::Image { source: Source::Data { media_type, base64 }, .. } if media_type == "image/png" && base64 == "QUJD")
        );
        assert!(matches!(
            bare,
            Part::Image {
                source: Source::Url(_),
                detail: None
            }
        ));
        assert!(
            matches!(pdf, Part::File { source: Source::Data { media_type, base64 }, .. } if media_type == "application/pdf" && base64 == "QQ==")
        );
        assert!(
            matches!(txt, Part::File { source: Source::Data { media_type, .. }, .. } if media_type == "text/plain")
        );
        assert_eq!(format, "wav");
    }

    #[test]
    fn a_cache_mark_follows_its_part() {
        let read = parts(
            r#"[{"type":"text","text":"t","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"u"},
                {"type":"text","text":"v","prompt_cache_breakpoint":{"mode":"explicit"}}]"#,
        );
        let read = read.unwrap();
        let [
            Part::Text(_),
            Part::CacheMark(first),
            Part::Text(_),
            Part::Text(_),
            Part::CacheMark(second),
        ] = &read[..]
        else {
            panic!("{read:?}")
        };
        assert_eq!(
            (first.ttl.as_deref(), second.ttl.as_deref()),
            (Some("1h"), None)
        );
    }

    #[test]
    fn errors_name_the_invalid_field() {
        for (json, param) in [
            ("null", "content"),
            ("7", "content"),
            ("[7]", "content[0]"),
            (r#"[{"text":"a"}]"#, "content[0].type"),
            (r#"[{"type":"video_url"}]"#, "content[0].type"),
            (r#"[{"type":"text"}]"#, "content[0].text"),
            (r#"[{"type":"image_url"}]"#, "content[0].image_url"),
            (
                r#"[{"type":"image_url","image_url":{"url":""}}]"#,
                "content[0].image_url.url",
            ),
            (
                r#"[{"type":"image_url","image_url":{"url":"data:image/png,abc"}}]"#,
                "content[0].image_url.url",
            ),
            (
                r#"[{"type":"image_url","image_url":{"url":"data:;base64,QQ=="}}]"#,
                "content[0].image_url.url",
            ),
            (
                r#"[{"type":"file","file":{}}]"#,
                "content[0].file.file_data",
            ),
            (
                r#"[{"type":"input_audio","input_audio":{"data":"QQ=="}}]"#,
                "content[0].input_audio.format",
            ),
        ] {
            assert_eq!(
                parts(json).unwrap_err().param.as_deref(),
                Some(param),
                "{json}"
            );
        }
    }
}
