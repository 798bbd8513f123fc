//! Writes the parts of a turn as the pieces of a message's `content`.

use super::Context;
use super::request::{Audio, CacheControl, Content, File, ImageLink, Piece};
use crate::model::chat::{CacheMark, Part, Source};
use crate::model::fault::Fault;
use crate::model::quirks::{Hints, Vocabulary};

/// Returns the parts as `content`: a string if they are a single text, else a list of pieces.
pub(super) fn content<'a>(parts: &'a [Part], context: Context<'_>) -> Result<Content<'a>, Fault> {
    let mut pieces = Vec::with_capacity(parts.len());
    for part in parts {
        add(part, context, &mut pieces)?;
    }
    Ok(Content::from_pieces(pieces))
}

/// Adds one part to `pieces`. Reasoning is skipped, because it goes into fields of the message.
pub(super) fn add<'a>(
    part: &'a Part,
    context: Context<'_>,
    pieces: &mut Vec<Piece<'a>>,
) -> Result<(), Fault> {
    pieces.push(match part {
        // A refusal gets here only if the target has no field for it.
        Part::Text(text) | Part::Refusal(text) => Piece::Text {
            text,
            cache_control: None,
        },
        Part::Image { source, detail } => {
            let detail = context
                .quirks
                .lacks
                .unless(Hints::DETAIL, detail.as_deref());
            Piece::ImageUrl {
                image_url: ImageLink {
                    url: image(source)?,
                    detail,
                },
            }
        }
        Part::File { source, filename } => {
            file(source, filename.as_deref(), context.quirks.vocabulary)?
        }
        // Mistral takes the base64 string itself, without the name of its format.
        Part::Audio { data, .. } if context.quirks.vocabulary == Vocabulary::Mistral => {
            Piece::InputAudio {
                input_audio: Audio::Data(data),
            }
        }
        Part::Audio { data, format } => Piece::InputAudio {
            input_audio: Audio::WithFormat { data, format },
        },
        Part::Reasoning(_) => return Ok(()),
        Part::CacheMark(it) => {
            if context.quirks.cache_marks {
                mark_last_text(pieces, it);
            }
            return Ok(());
        }
        Part::ToolCall(_) => {
            return Err(Fault::invalid(
                "messages",
                "a tool call is allowed in assistant messages only",
            ));
        }
        Part::ToolResult(_) => {
            return Err(Fault::invalid(
                "messages",
                "a tool result is allowed in user and tool messages only",
            ));
        }
    });
    Ok(())
}

/// Puts the cache mark on the last piece if it is text; other pieces cannot carry one.
pub(super) fn mark_last_text(pieces: &mut [Piece<'_>], mark: &CacheMark) {
    if let Some(Piece::Text { cache_control, .. }) = pieces.last_mut() {
        *cache_control = Some(CacheControl::from_mark(mark));
    }
}

fn image(source: &Source) -> Result<String, Fault> {
    match source {
        Source::Url(url) => Ok(url.clone()),
        Source::Data { media_type, base64 } => Ok(data_uri(media_type, base64)),
        Source::FileId(_) => Err(Fault::invalid(
            "messages",
            "this target does not accept images by file id: send a data URI or a link",
        )),
    }
}

fn file<'a>(
    source: &'a Source,
    filename: Option<&'a str>,
    vocabulary: Vocabulary,
) -> Result<Piece<'a>, Fault> {
    let openai_file = |file_id, file_data| {
        Ok(Piece::File {
            file: File {
                file_id,
                file_data,
                filename,
            },
        })
    };
    let unsupported = |how: &str, instead: &str| {
        Err(Fault::invalid(
            "messages",
            format!("this target does not accept files by {how}: send {instead}"),
        ))
    };
    match (source, vocabulary) {
        (Source::FileId(_), Vocabulary::Mistral) => unsupported("id", "the file's data or a link"),
        (Source::FileId(id), _) => openai_file(Some(id.as_str()), None),
        (Source::Data { media_type, base64 }, Vocabulary::Mistral) => Ok(Piece::DocumentUrl {
            document_url: data_uri(media_type, base64),
            document_name: filename,
        }),
        (Source::Data { media_type, base64 }, _) => {
            openai_file(None, Some(data_uri(media_type, base64)))
        }
        (Source::Url(url), Vocabulary::Mistral) => Ok(Piece::DocumentUrl {
            document_url: url.clone(),
            document_name: filename,
        }),
        // `OpenRouter` takes a link in place of the data.
        (Source::Url(url), Vocabulary::Openrouter) => openai_file(None, Some(url.clone())),
        (Source::Url(_), _) => unsupported("link", "the file's data"),
    }
}

fn data_uri(media_type: &str, base64: &str) -> String {
    format!("data:{media_type};base64,{base64}")
}
