//! Images, files and audio of messages, checked against what the target takes.
//!
//! Invariant: media that a target does not take are refused with their position; no data is left
//! out or fetched.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::refusals::Position;
use crate::model::accepts::{FileSupport, MediaSupport};
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// Data in base64, with the media type that the client stated.
#[derive(Debug, Clone, Copy)]
pub(in crate::wire) struct Data<'a> {
    /// The media type, unchanged.
    pub(in crate::wire) media_type: &'a str,
    /// The data.
    pub(in crate::wire) base64: &'a str,
}

impl<'a> Data<'a> {
    /// Returns the media type in lower case and without parameters.
    pub(in crate::wire) fn essence(self) -> Cow<'a, str> {
        essence(self.media_type)
    }

    /// Returns the data as a URI.
    pub(in crate::wire) fn uri(self) -> String {
        format!("data:{};base64,{}", self.essence(), self.base64)
    }
}

/// An image, file or audio that the target takes.
#[derive(Debug)]
pub(in crate::wire) enum Media<'a> {
    /// An image.
    Image(Data<'a>, Option<&'a str>),
    /// A link to an image, with the level of detail.
    ImageLink(&'a str, Option<&'a str>),
    /// The id of a stored image, which no wire that uses the kit takes.
    ImageId,
    /// The text of a file, with its name.
    Text(String, Option<&'a str>),
    /// The data of a file, with its name.
    File(Data<'a>, Option<&'a str>),
    /// A link to a file, with its name.
    FileLink(&'a str, Option<&'a str>),
    /// The id of a stored file, with its name.
    FileId(&'a str, Option<&'a str>),
    /// Audio in base64, and its format.
    Audio(&'a str, &'a str),
}

/// Returns the image, file or audio of a part.
///
/// # Errors
/// A 400 with the position of the part if the target does not take it there, or if it is neither
/// image nor file nor audio.
pub(in crate::wire) fn read<'a>(
    part: &'a Part,
    takes: &MediaSupport,
    position: Position,
) -> Result<Media<'a>, Fault> {
    match part {
        Part::Image { source, detail } => image(part, source, detail.as_deref(), takes, position),
        Part::File { source, filename } => {
            let filename = filename.as_deref().filter(|name| !name.is_empty());
            file(part, source, filename, takes, position)
        }
        Part::Audio { data, format } => audio(part, data, format, takes, position),
        _ => Err(position.misplaced(part)),
    }
}

fn image<'a>(
    part: &Part,
    source: &'a Source,
    detail: Option<&'a str>,
    takes: &MediaSupport,
    position: Position,
) -> Result<Media<'a>, Fault> {
    if !takes.images.has(position.role) {
        return Err(position.misplaced(part));
    }
    match source {
        Source::Url(url) if takes.image_links => Ok(Media::ImageLink(url, detail)),
        Source::Url(_) => Err(position.link(part)),
        Source::FileId(_) if takes.image_ids => Ok(Media::ImageId),
        Source::FileId(_) => Err(position.file_id(part)),
        Source::Data { media_type, base64 } => {
            let data = Data { media_type, base64 };
            let types = takes.image_types;
            if !types.is_empty() && !types.contains(&&*data.essence()) {
                return Err(position.image_type(&data.essence()));
            }
            Ok(Media::Image(data, detail))
        }
    }
}

fn file<'a>(
    part: &Part,
    source: &'a Source,
    filename: Option<&'a str>,
    takes: &MediaSupport,
    position: Position,
) -> Result<Media<'a>, Fault> {
    let placed = |media| {
        if takes.files.has(position.role) {
            Ok(media)
        } else {
            Err(position.misplaced(part))
        }
    };
    match source {
        Source::Url(url) if takes.file_links => placed(Media::FileLink(url, filename)),
        Source::Url(_) => Err(position.link(part)),
        Source::FileId(id) if takes.file_ids => placed(Media::FileId(id, filename)),
        Source::FileId(_) => Err(position.file_id(part)),
        Source::Data { media_type, base64 } => {
            let (data, support) = (Data { media_type, base64 }, takes.file_data);
            let kind = data.essence();
            let text = is_text(&kind);
            match support {
                FileSupport::Files => placed(Media::File(data, filename)),
                // Clients attach images as files.
                _ if kind.starts_with("image/") => image(part, source, None, takes, position),
                FileSupport::FilesAndImages => placed(Media::File(data, filename)),
                FileSupport::PdfTextAndImages if kind == "application/pdf" => {
                    placed(Media::File(data, filename))
                }
                FileSupport::PdfTextAndImages if text => {
                    placed(Media::Text(decode_text(base64, position)?, filename))
                }
                FileSupport::TextAndImages if text => {
                    Ok(Media::Text(decode_text(base64, position)?, filename))
                }
                FileSupport::PdfTextAndImages | FileSupport::TextAndImages => {
                    Err(position.file_type(&kind))
                }
            }
        }
    }
}

fn audio<'a>(
    part: &Part,
    data: &'a str,
    format: &'a str,
    takes: &MediaSupport,
    position: Position,
) -> Result<Media<'a>, Fault> {
    if !takes.audio.has(position.role) {
        return Err(position.misplaced(part));
    }
    let formats = takes.audio_formats;
    if !formats.is_empty() && !formats.contains(&format) {
        return Err(position.audio_format(format));
    }
    Ok(Media::Audio(data, format))
}

/// Returns the text of a file below its name, for wires without files.
pub(in crate::wire) fn titled_text(text: String, title: Option<&str>) -> String {
    match title {
        Some(title) => format!("{title}:\n{text}"),
        None => text,
    }
}

/// Returns a media type in lower case and without parameters.
pub(in crate::wire) fn essence(media_type: &str) -> Cow<'_, str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    // Media types are case-insensitive, and are compared in lower case.
    if essence.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(essence.to_ascii_lowercase())
    } else {
        Cow::Borrowed(essence)
    }
}

/// Returns true for the media type, without parameters, of a text.
fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        // Formats that are text despite their media type.
        || matches!(
            media_type,
            "application/json" | "application/xml" | "application/yaml"
        )
}

fn decode_text(base64: &str, position: Position) -> Result<String, Fault> {
    let bytes = STANDARD
        .decode(base64.trim())
        .map_err(|_| position.base64())?;
    String::from_utf8(bytes).map_err(|_| position.utf8())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::accepts::Accepts;
    use crate::model::chat::Role;
    use crate::model::wire::WireId;

    const POSITION: Position = Position {
        message: 0,
        content: Some(0),
        role: Role::User,
    };

    fn file(media_type: &str, base64: &str) -> Part {
        Part::File {
            source: Source::Data {
                media_type: media_type.into(),
                base64: base64.into(),
            },
            filename: Some("notes.md".into()),
        }
    }

    #[test]
    fn a_file_is_read_as_what_the_target_takes() {
        let read = |wire, media_type, base64| {
            let part = file(media_type, base64);
            match read(&part, &Accepts::of(wire).media, POSITION).unwrap() {
                Media::Image(data, None) => format!("image {}", data.uri()),
                Media::Text(text, title) => titled_text(text, title),
                Media::File(data, title) => format!("file {title:?} {}", data.essence()),
                other => format!("{other:?}"),
            }
        };
        for (wire, media_type, base64, expected) in [
            (
                WireId::Ollama,
                "Image/PNG; a=b",
                "AA==",
                "image data:image/png;base64,AA==",
            ),
            (
                WireId::Cohere,
                "text/markdown; charset=utf-8",
                "w6k=",
                "notes.md:\né",
            ),
            (
                WireId::Anthropic,
                "application/json",
                "w6k=",
                "notes.md:\né",
            ),
            (
                WireId::Anthropic,
                "Application/PDF",
                "AA==",
                "file Some(\"notes.md\") application/pdf",
            ),
            (
                WireId::Bedrock,
                "image/png",
                "AA==",
                "image data:image/png;base64,AA==",
            ),
            (
                WireId::OpenaiChat,
                "image/png",
                "AA==",
                "file Some(\"notes.md\") image/png",
            ),
        ] {
            assert_eq!(read(wire, media_type, base64), expected, "{wire:?}");
        }
        assert_eq!(titled_text("é".to_owned(), None), "é");
    }

    #[test]
    fn audio_has_a_format_that_the_target_takes() {
        let takes = Accepts::of(WireId::Bedrock).media;
        for (format, taken) in [("wav", true), ("amr", false)] {
            let audio = Part::Audio {
                data: "AA==".into(),
                format: format.into(),
            };
            assert_eq!(read(&audio, &takes, POSITION).is_ok(), taken, "{format}");
        }
    }
}
