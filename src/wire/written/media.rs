//! Pictures and files of a message.
//!
//! These wires have no documents: a file of text goes as its words, a picture as a picture, any
//! other file not at all.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Place;
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// What a picture or a file is to these wires.
pub(in crate::wire) enum Media<'a> {
    /// The bytes of a picture.
    Picture {
        /// Its media type.
        media_type: Cow<'a, str>,
        /// The bytes.
        base64: &'a str,
    },
    /// Where a picture is.
    Link(&'a str),
    /// A file of text.
    Words {
        /// Its name.
        title: Option<&'a str>,
        /// What it says.
        text: String,
    },
}

impl Media<'_> {
    /// A file's words as part of a message, under its name.
    pub(in crate::wire) fn told(title: Option<&str>, text: &str) -> String {
        title.map_or_else(|| text.to_owned(), |title| format!("{title}:\n{text}"))
    }
}

/// What `part` is.
pub(in crate::wire) fn media(part: &Part, place: Place) -> Result<Media<'_>, Fault> {
    match part {
        Part::Image {
            source: Source::Data { media_type, base64 },
            ..
        } => Ok(Media::Picture {
            media_type: plain(media_type),
            base64,
        }),
        Part::Image {
            source: Source::Url(url),
            ..
        } => Ok(Media::Link(url)),
        Part::File {
            source: Source::Data { media_type, base64 },
            filename,
        } => file(plain(media_type), base64, filename.as_deref(), place),
        Part::File {
            source: Source::Url(_),
            ..
        } => Err(place
            .untaken("takes no link to a file, and links are not fetched here; send its bytes")),
        Part::Image {
            source: Source::FileId(_),
            ..
        }
        | Part::File {
            source: Source::FileId(_),
            ..
        } => {
            Err(place
                .refuse("a file id is known to the provider that stored it only; send the bytes"))
        }
        Part::Audio { .. } => {
            Err(place.untaken("takes no audio; send a transcript or choose another model"))
        }
        _ => Err(place.refuse("this part cannot stand in a message of this role")),
    }
}

fn file<'a>(
    media_type: Cow<'a, str>,
    base64: &'a str,
    title: Option<&'a str>,
    place: Place,
) -> Result<Media<'a>, Fault> {
    if media_type.starts_with("image/") {
        return Ok(Media::Picture { media_type, base64 });
    }
    let is_text = media_type.starts_with("text/")
        || matches!(
            &*media_type,
            "application/json" | "application/xml" | "application/yaml"
        );
    if !is_text {
        return Err(place.untaken(&format!(
            "takes text and images, not {media_type}; send the text of the file"
        )));
    }
    let bytes = STANDARD
        .decode(base64.trim())
        .map_err(|_| place.refuse("a file is not valid base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| place.refuse("a text file is not UTF-8"))?;
    Ok(Media::Words {
        title: title.filter(|title| !title.is_empty()),
        text,
    })
}

/// A media type without its parameters.
fn plain(media_type: &str) -> Cow<'_, str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
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

    const PLACE: Place = Place {
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
    fn pictures_and_words_are_told_apart() {
        for picture in [
            Part::Image {
                source: data("Image/PNG; a=b", "AA=="),
                detail: None,
            },
            file(data("image/png", "AA==")),
        ] {
            let Ok(Media::Picture { media_type, base64 }) = media(&picture, PLACE) else {
                panic!("a picture")
            };
            assert_eq!((&*media_type, base64), ("image/png", "AA=="));
        }
        let link = Part::Image {
            source: Source::Url("https://a.example/b.png".into()),
            detail: None,
        };
        assert!(matches!(
            media(&link, PLACE),
            Ok(Media::Link("https://a.example/b.png"))
        ));
        for media_type in ["text/markdown; charset=utf-8", "application/json"] {
            let file = file(data(media_type, "w6k="));
            let Ok(Media::Words { title, text }) = media(&file, PLACE) else {
                panic!("words")
            };
            assert_eq!((title, &*text), (Some("notes.md"), "é"));
            assert_eq!(Media::told(title, &text), "notes.md:\né");
        }
        assert_eq!(Media::told(None, "é"), "é");
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let id = || Source::FileId("file-1".into());
        for (part, words) in [
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
            let Err(fault) = media(&part, PLACE) else {
                panic!("{words}")
            };
            assert_eq!(
                (fault.status.as_u16(), fault.param.as_deref()),
                (400, Some("messages[1]"))
            );
            assert!(fault.message.contains(words), "{}", fault.message);
        }
    }
}
