//! The content of messages.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_with::skip_serializing_none;

use crate::model::chat::{CacheMark, Part};
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Quirks, Vocabulary};
use crate::wire::kit::media::{self, Media};
use crate::wire::kit::turns::Placed;

/// The content of a message. None, or a single text, is written as a string.
#[derive(Default)]
pub(super) struct Content<'a>(Vec<Piece<'a>>);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [] => to.serialize_str(""),
            [
                Piece::Text {
                    text,
                    cache_control: None,
                },
            ] => to.serialize_str(text),
            pieces => to.collect_seq(pieces),
        }
    }
}

/// A typed piece of a message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl<'a>>,
    },
    ImageUrl {
        image_url: ImageLink<'a>,
    },
    InputAudio {
        input_audio: Audio<'a>,
    },
    File {
        file: File<'a>,
    },
    /// A document in Mistral's form.
    DocumentUrl {
        document_url: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        document_name: Option<&'a str>,
    },
}

/// A mark up to which the prompt may be cached.
#[skip_serializing_none]
#[derive(Serialize)]
#[serde(tag = "type", rename = "ephemeral")]
pub(in crate::wire::openai_chat) struct CacheControl<'a> {
    ttl: Option<&'a str>,
}

impl<'a> CacheControl<'a> {
    /// Returns the mark, if the target supports marks.
    pub(in crate::wire::openai_chat) fn from_mark(
        mark: Option<&'a CacheMark>,
        quirks: &Quirks,
    ) -> Option<Self> {
        let ttl = mark.filter(|_| quirks.cache_marks)?.ttl.as_deref();
        Some(Self { ttl })
    }
}

/// The link or data URI of an image.
#[skip_serializing_none]
#[derive(Serialize)]
struct ImageLink<'a> {
    url: Cow<'a, str>,
    detail: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Audio<'a> {
    /// The data in base64 and its format, as OpenAI takes them.
    WithFormat { data: &'a str, format: &'a str },
    /// The data alone, as Mistral takes it.
    Data(&'a str),
}

/// A document, by its id or its data.
#[skip_serializing_none]
#[derive(Serialize, Default)]
struct File<'a> {
    file_id: Option<&'a str>,
    file_data: Option<Cow<'a, str>>,
    filename: Option<&'a str>,
}

impl<'a> Content<'a> {
    /// Adds a part that every message may contain.
    pub(super) fn push(&mut self, placed: Placed<'a>, quirks: &Quirks) -> Result<(), Fault> {
        match placed.part {
            // A refusal gets here only if the target has no field for it.
            Part::Text(text) | Part::Refusal(text) => self.push_text(text.into()),
            Part::CacheMark(mark) => self.mark_last_text(mark, quirks),
            part => {
                let media = media::read(part, &quirks.accepts.media, placed.position)?;
                self.push_media(media, quirks)
                    .ok_or_else(|| placed.position.misplaced(part))?;
            }
        }
        Ok(())
    }

    /// Returns true if there is no part.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn push_text(&mut self, text: Cow<'a, str>) {
        self.0.push(Piece::Text {
            text,
            cache_control: None,
        });
    }

    /// Puts the cache mark on the last piece if it is text; other pieces cannot carry one.
    fn mark_last_text(&mut self, mark: &'a CacheMark, quirks: &Quirks) {
        if let Some(Piece::Text { cache_control, .. }) = self.0.last_mut() {
            *cache_control = CacheControl::from_mark(Some(mark), quirks);
        }
    }

    /// Adds an image, file or audio; `None` if this wire has no form for it.
    fn push_media(&mut self, media: Media<'a>, quirks: &Quirks) -> Option<()> {
        let detail = |detail| quirks.lacks.unless(Hints::DETAIL, detail);
        let image = |url, level| Piece::ImageUrl {
            image_url: ImageLink {
                url,
                detail: detail(level),
            },
        };
        let is_mistral = quirks.vocabulary == Vocabulary::Mistral;
        self.0.push(match media {
            Media::Image(data, level) => image(data.uri().into(), level),
            Media::ImageLink(url, level) => image(url.into(), level),
            Media::File(data, name) => document(data.uri().into(), name, is_mistral),
            // `OpenRouter` takes a link in place of the data.
            Media::FileLink(url, name) => document(url.into(), name, is_mistral),
            Media::FileId(id, filename) => Piece::File {
                file: File {
                    file_id: Some(id),
                    filename,
                    ..File::default()
                },
            },
            // Mistral takes the base64 string itself, without the name of its format.
            Media::Audio(data, _) if is_mistral => Piece::InputAudio {
                input_audio: Audio::Data(data),
            },
            Media::Audio(data, format) => Piece::InputAudio {
                input_audio: Audio::WithFormat { data, format },
            },
            Media::Text(text, title) => {
                self.push_text(media::titled_text(text, title).into());
                return Some(());
            }
            Media::ImageId => return None,
        });
        Some(())
    }
}

fn document<'a>(url: Cow<'a, str>, name: Option<&'a str>, is_mistral: bool) -> Piece<'a> {
    if is_mistral {
        return Piece::DocumentUrl {
            document_url: url,
            document_name: name,
        };
    }
    Piece::File {
        file: File {
            file_data: Some(url),
            filename: name,
            ..File::default()
        },
    }
}
