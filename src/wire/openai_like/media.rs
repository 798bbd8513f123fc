//! Converts the images and files of a message.
//!
//! These wires do not support documents: a text file is sent as text and an image file as an image;
//! any other file is rejected.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::MessagePosition;
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// An image or file as these wires accept it.
pub(in crate::wire) enum Media<'a> {
    /// The data of an image.
    Image {
        /// The media type, without parameters.
        media_type: Cow<'a, str>,
        /// The data in base64.
        base64: &'a str,
    },
    /// The URL of an image.
    Link(&'a str),
    /// A text file.
    Text {
        /// The file name, if it has one.
        title: Option<&'a str>,
        /// The content.
        text: String,
    },
}

impl Media<'_> {
    /// Returns the text of a file for a message, below its name.
    pub(in crate::wire) fn titled_text(title: Option<&str>, text: &str) -> String {
        title.map_or_else(|| text.to_owned(), |title| format!("{title}:\n{text}"))
    }
}

/// Converts an image or file part.
///
/// # Errors
/// A 400 that names the message for parts that these wires do not support.
pub(in crate::wire) fn media(part: &Part, position: MessagePosition) -> Result<Media<'_>, Fault> {
    match part {
        Part::Image {
            source: Source::Data { media_type, base64 },
            ..
        } => Ok(Media::Image {
            media_type: without_parameters(media_type),
            base64,
        }),
        Part::Image {
            source: Source::Url(url),
            ..
        } => Ok(Media::Link(url)),
        Part::File {
            source: Source::Data { media_type, base64 },
            filename,
        } => file(
            without_parameters(media_type),
            base64,
            filename.as_deref(),
            position,
        ),
        Part::File {
            source: Source::Url(_),
            ..
        } => Err(position.unsupported(
            "does not support links to files, and links are not fetched here; send the data",
        )),
        Part::Image {
            source: Source::FileId(_),
            ..
        }
        | Part::File {
            source: Source::FileId(_),
            ..
        } => Err(position.invalid(
            "a file id is only valid at the provider that stores the file; send the data",
        )),
        Part::Audio { .. } => Err(position
            .unsupported("does not support audio; send a transcript or choose another model")),
        _ => Err(position.invalid("a message of this role cannot contain this part")),
    }
}

fn file<'a>(
    media_type: Cow<'a, str>,
    base64: &'a str,
    title: Option<&'a str>,
    position: MessagePosition,
) -> Result<Media<'a>, Fault> {
    // Clients may send an image as a file; these wires accept images only as images.
    if media_type.starts_with("image/") {
        return Ok(Media::Image { media_type, base64 });
    }
    let is_text = media_type.starts_with("text/")
        || matches!(
            &*media_type,
            "application/json" | "application/xml" | "application/yaml"
        );
    if !is_text {
        return Err(position.unsupported(&format!(
            "supports text and image files, not {media_type}; send the text of the file"
        )));
    }
    let bytes = STANDARD
        .decode(base64.trim())
        .map_err(|_| position.invalid("a file is not valid base64"))?;
    let text =
        String::from_utf8(bytes).map_err(|_| position.invalid("a text file is not UTF-8"))?;
    Ok(Media::Text {
        title: title.filter(|title| !title.is_empty()),
        text,
    })
}

/// Returns a media type in lower case and without parameters.
fn without_parameters(media_type: &str) -> Cow<'_, str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    // Media types are case-insensitive, and are compared in lower case.
    if essence.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(essence.to_ascii_lowercase())
    } else {
        Cow::Borrowed(essence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::wire::WireId;

    const POSITION: MessagePosition = MessagePosition {
        wire: WireId::Ollama,
        at: 1,
    };

    fn data(media_type: &str, base64: &str) -> Source {
        Source::Data {
            media_type: media_type.into(),
            base64: base64.into(),
        }
    }

    fn file(source: Source) -> Part {
        Part::File {
            source,
            filename: Some("notes.md".into()),
        }
    }

    #[test]
    fn images_links_and_text_files_are_converted() {
        for image in [
            Part::Image {
                source: data("Image/PNG; a=b", "AA=="),
                detail: None,
            },
            file(data("image/png", "AA==")),
        ] {
            let Ok(Media::Image { media_type, base64 }) = media(&image, POSITION) else {
                panic!("an image is expected")
            };
            assert_eq!((&*media_type, base64), ("image/png", "AA=="));
        }
        let link = Part::Image {
            source: Source::Url("https://a.example/b.png".into()),
            detail: None,
        };
        assert!(matches!(
            media(&link, POSITION),
            Ok(Media::Link("https://a.example/b.png"))
        ));
        for media_type in ["text/markdown; charset=utf-8", "application/json"] {
            let file = file(data(media_type, "w6k="));
            let Ok(Media::Text { title, text }) = media(&file, POSITION) else {
                panic!("a text file is expected")
            };
            assert_eq!((title, &*text), (Some("notes.md"), "é"));
            assert_eq!(Media::titled_text(title, &text), "notes.md:\né");
        }
        assert_eq!(Media::titled_text(None, "é"), "é");
    }

    #[test]
    fn unsupported_parts_are_rejected() {
        let id = || Source::FileId("file-1".into());
        for (part, expected) in [
            (
                Part::Audio {
                    data: "AA==".into(),
                    format: "wav".into(),
                },
                "audio",
            ),
            (
                Part::Image {
                    source: id(),
                    detail: None,
                },
                "file id",
            ),
            (file(id()), "file id"),
            (file(Source::Url("https://a.example/b.pdf".into())), "link"),
            (file(data("application/pdf", "JVBE")), "application/pdf"),
            (file(data("text/plain", "%%")), "base64"),
            (file(data("text/plain", "/w==")), "UTF-8"),
            (Part::Refusal("no".into()), "role"),
        ] {
            let Err(fault) = media(&part, POSITION) else {
                panic!("{expected}")
            };
            assert_eq!(
                (fault.status.as_u16(), fault.param.as_deref()),
                (400, Some("messages[1]"))
            );
            assert!(fault.message.contains(expected), "{}", fault.message);
        }
    }
}
