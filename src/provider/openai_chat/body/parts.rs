//! The pieces of a turn.

use super::spelling::{Content, File, Link, Piece, Sound};
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// What is said, as text where it is no more than that.
pub(super) fn content(parts: &[Part]) -> Result<Content<'_>, Fault> {
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        pieces.extend(piece(part)?);
    }
    Ok(Content::of(pieces))
}

/// One piece; none for reasoning, which is not brought back on this wire.
pub(super) fn piece(part: &Part) -> Result<Option<Piece<'_>>, Fault> {
    Ok(Some(match part {
        Part::Text(text) | Part::Refusal(text) => Piece::Text { text },
        Part::Image { source, detail } => Piece::ImageUrl { image_url: Link { url: image(source)?, detail: detail.as_deref() } },
        Part::File { source, filename } => Piece::File { file: file(source, filename.as_deref())? },
        Part::Audio { data, format } => Piece::InputAudio { input_audio: Sound { data, format } },
        Part::Reasoning(_) => return Ok(None),
        Part::ToolCall(_) => return Err(Fault::invalid("messages", "a tool call stands in a turn that is not the model's")),
        Part::ToolResult(_) => return Err(Fault::invalid("messages", "a tool result stands in a turn that is not the person's")),
    }))
}

fn image(source: &Source) -> Result<String, Fault> {
    match source {
        Source::Url(url) => Ok(url.clone()),
        Source::Data { media_type, base64 } => Ok(data_uri(media_type, base64)),
        Source::FileId(_) => Err(Fault::invalid("messages", "this target takes no image by file id: send its bytes or a link")),
    }
}

fn file<'a>(source: &'a Source, filename: Option<&'a str>) -> Result<File<'a>, Fault> {
    match source {
        Source::FileId(id) => Ok(File { file_id: Some(id), file_data: None, filename }),
        Source::Data { media_type, base64 } => Ok(File { file_id: None, file_data: Some(data_uri(media_type, base64)), filename }),
        Source::Url(_) => Err(Fault::invalid("messages", "this target takes no file by link: send its bytes")),
    }
}

fn data_uri(media_type: &str, base64: &str) -> String {
    format!("data:{media_type};base64,{base64}")
}
