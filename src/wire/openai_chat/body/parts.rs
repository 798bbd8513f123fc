//! The pieces of a turn.

use super::Manner;
use super::spelling::{Content, Ephemeral, File, Link, Piece, Sound};
use crate::model::chat::{CacheMark, Part, Source};
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Spelling};

/// What is said, as text where it is no more than that.
pub(super) fn content<'a>(parts: &'a [Part], manner: Manner<'_>) -> Result<Content<'a>, Fault> {
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        add(part, manner, &mut pieces)?;
    }
    Ok(Content::of(pieces))
}

/// Adds one part. Reasoning is brought back beside the content, if at all.
pub(super) fn add<'a>(
    part: &'a Part,
    manner: Manner<'_>,
    pieces: &mut Vec<Piece<'a>>,
) -> Result<(), Fault> {
    pieces.push(match part {
        Part::Text(text) | Part::Refusal(text) => Piece::Text {
            text,
            cache_control: None,
        },
        Part::Image { source, detail } => {
            let detail = manner.quirks.lacks.unless(Hints::DETAIL, detail.as_deref());
            Piece::ImageUrl {
                image_url: Link {
                    url: image(source)?,
                    detail,
                },
            }
        }
        Part::File { source, filename } => {
            file(source, filename.as_deref(), manner.quirks.spelling)?
        }
        Part::Audio { data, .. } if manner.quirks.spelling == Spelling::Mistral => {
            Piece::InputAudio {
                input_audio: Sound::Bare(data),
            }
        }
        Part::Audio { data, format } => Piece::InputAudio {
            input_audio: Sound::Of { data, format },
        },
        Part::Reasoning(_) => return Ok(()),
        Part::CacheMark(it) => {
            if manner.quirks.cache_marks {
                mark(pieces, it);
            }
            return Ok(());
        }
        Part::ToolCall(_) => {
            return Err(Fault::invalid(
                "messages",
                "a tool call stands in a turn that is not the model's",
            ));
        }
        Part::ToolResult(_) => {
            return Err(Fault::invalid(
                "messages",
                "a tool result stands in a turn that is not the person's",
            ));
        }
    });
    Ok(())
}

/// Marks the text at the end: other pieces carry no mark.
pub(super) fn mark(pieces: &mut [Piece<'_>], mark: &CacheMark) {
    if let Some(Piece::Text { cache_control, .. }) = pieces.last_mut() {
        *cache_control = Some(Ephemeral::of(mark));
    }
}

fn image(source: &Source) -> Result<String, Fault> {
    match source {
        Source::Url(url) => Ok(url.clone()),
        Source::Data { media_type, base64 } => Ok(data_uri(media_type, base64)),
        Source::FileId(_) => Err(Fault::invalid(
            "messages",
            "this target takes no image by file id: send its bytes or a link",
        )),
    }
}

fn file<'a>(
    source: &'a Source,
    filename: Option<&'a str>,
    spelling: Spelling,
) -> Result<Piece<'a>, Fault> {
    let plain = |file_id, file_data| {
        Ok(Piece::File {
            file: File {
                file_id,
                file_data,
                filename,
            },
        })
    };
    let unable = |how: &str, instead: &str| {
        Err(Fault::invalid(
            "messages",
            format!("this target takes no file by {how}: send {instead}"),
        ))
    };
    match (source, spelling) {
        (Source::FileId(_), Spelling::Mistral) => unable("id", "its bytes or a link"),
        (Source::FileId(id), _) => plain(Some(id.as_str()), None),
        (Source::Data { media_type, base64 }, Spelling::Mistral) => Ok(Piece::DocumentUrl {
            document_url: data_uri(media_type, base64),
            document_name: filename,
        }),
        (Source::Data { media_type, base64 }, _) => plain(None, Some(data_uri(media_type, base64))),
        (Source::Url(url), Spelling::Mistral) => Ok(Piece::DocumentUrl {
            document_url: url.clone(),
            document_name: filename,
        }),
        (Source::Url(url), Spelling::Openrouter) => plain(None, Some(url.clone())),
        (Source::Url(_), _) => unable("link", "its bytes"),
    }
}

fn data_uri(media_type: &str, base64: &str) -> String {
    format!("data:{media_type};base64,{base64}")
}
