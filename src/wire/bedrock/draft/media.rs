//! Images, documents, audio and video: their formats, derived from media types, and the unique
//! names that documents must have.

use std::collections::HashMap;

use serde::Serialize;

use super::turns::Block;
use crate::model::chat::Source;

/// Maximum length of a document name, bytes.
const MAX_NAME_LEN: usize = 200;

/// The error message for a part that cannot be sent, without its position in the request.
type Rejection = String;

/// An image, audio or video block.
#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'a str,
    source: Bytes<'a>,
}

/// A document block.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'a str,
    pub(super) name: String,
    source: Bytes<'a>,
}

#[derive(Serialize)]
struct Bytes<'a> {
    /// The data, base64.
    bytes: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Document,
    Video,
    Audio,
}

/// Media types, their kinds, and their formats on this wire.
const FORMATS: [(&str, Kind, &str); 41] = [
    ("image/png", Kind::Image, "png"),
    ("image/jpeg", Kind::Image, "jpeg"),
    ("image/jpg", Kind::Image, "jpeg"),
    ("image/gif", Kind::Image, "gif"),
    ("image/webp", Kind::Image, "webp"),
    ("application/pdf", Kind::Document, "pdf"),
    ("text/csv", Kind::Document, "csv"),
    ("application/msword", Kind::Document, "doc"),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Kind::Document,
        "docx",
    ),
    ("application/vnd.ms-excel", Kind::Document, "xls"),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Kind::Document,
        "xlsx",
    ),
    ("text/html", Kind::Document, "html"),
    ("text/markdown", Kind::Document, "md"),
    ("text/x-markdown", Kind::Document, "md"),
    ("text/plain", Kind::Document, "txt"),
    ("application/json", Kind::Document, "txt"),
    ("application/xml", Kind::Document, "txt"),
    ("application/yaml", Kind::Document, "txt"),
    ("video/mp4", Kind::Video, "mp4"),
    ("video/quicktime", Kind::Video, "mov"),
    ("video/x-matroska", Kind::Video, "mkv"),
    ("video/webm", Kind::Video, "webm"),
    ("video/x-flv", Kind::Video, "flv"),
    ("video/mpeg", Kind::Video, "mpeg"),
    ("video/x-ms-wmv", Kind::Video, "wmv"),
    ("video/3gpp", Kind::Video, "three_gp"),
    ("audio/mpeg", Kind::Audio, "mp3"),
    ("audio/mp3", Kind::Audio, "mp3"),
    ("audio/wav", Kind::Audio, "wav"),
    ("audio/wave", Kind::Audio, "wav"),
    ("audio/x-wav", Kind::Audio, "wav"),
    ("audio/flac", Kind::Audio, "flac"),
    ("audio/x-flac", Kind::Audio, "flac"),
    ("audio/aac", Kind::Audio, "aac"),
    ("audio/opus", Kind::Audio, "opus"),
    ("audio/ogg", Kind::Audio, "ogg"),
    ("audio/mp4", Kind::Audio, "m4a"),
    ("audio/m4a", Kind::Audio, "m4a"),
    ("audio/x-m4a", Kind::Audio, "m4a"),
    ("audio/webm", Kind::Audio, "webm"),
    ("audio/pcm", Kind::Audio, "pcm"),
];

/// Audio formats that this wire accepts by their name.
const AUDIO_FORMATS: [&str; 15] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
    "mpga", "pcm", "webm",
];

/// File name extensions that differ from the name of their format.
const EXTENSION_ALIASES: [(&str, &str); 5] = [
    ("jpg", "jpeg"),
    ("htm", "html"),
    ("markdown", "md"),
    ("text", "txt"),
    ("json", "txt"),
];

/// The names of the documents in one request: each is unique.
#[derive(Default)]
pub(super) struct DocumentNames(HashMap<String, usize>);

impl DocumentNames {
    /// Returns a unique name for a document: its file name in the characters that the API accepts.
    fn unique_name(&mut self, filename: Option<&str>) -> String {
        let name = allowed_name(filename.unwrap_or_default());
        // The first document keeps its name; later ones are numbered from 2.
        let (mut unique, mut number) = (name.clone(), self.0.get(&name).copied().unwrap_or(1));
        while self.0.contains_key(&unique) {
            number += 1;
            let suffix = format!(" ({number})");
            // The suffix must fit within the maximum length.
            let room = MAX_NAME_LEN - suffix.len();
            unique = name.get(..room).unwrap_or(&name).trim_end().to_owned() + &suffix;
        }
        self.0.insert(unique.clone(), 1);
        // Remember the last number, so that many files of one name do not count from 1 each time.
        self.0.insert(name, number);
        unique
    }
}

/// Replaces every character but letters, digits, brackets and single spaces by a hyphen. The API
/// accepts no others.
fn allowed_name(filename: &str) -> String {
    let replace = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "()[]-".contains(c) => c,
        c if c.is_whitespace() => ' ',
        _ => '-',
    };
    // After the replacement all characters are ASCII, so characters and bytes count the same.
    let replaced: String = filename.chars().take(MAX_NAME_LEN).map(replace).collect();
    let parts: Vec<&str> = replaced
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect();
    if parts.is_empty() {
        "document".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Writes an image block.
pub(super) fn image(source: &Source) -> Result<Block<'_>, Rejection> {
    let (media_type, bytes) = bytes(source)?;
    match format(media_type, None) {
        Some((Kind::Image, format)) => Ok(Block::Image(Media {
            format,
            source: bytes,
        })),
        _ => Err(format!(
            "the bedrock wire supports PNG, JPEG, GIF and WebP images, not {media_type}"
        )),
    }
}

/// Writes a file as a document block, or as an image, video or audio block if it is one.
pub(super) fn file<'a>(
    source: &'a Source,
    filename: Option<&str>,
    names: &mut DocumentNames,
) -> Result<Block<'a>, Rejection> {
    let (media_type, source) = bytes(source)?;
    // Clients attach media of all kinds as files; the format decides on the block.
    match format(media_type, filename) {
        Some((Kind::Document, format)) => Ok(Block::Document(Document {
            format,
            name: names.unique_name(filename),
            source,
        })),
        Some((Kind::Image, format)) => Ok(Block::Image(Media { format, source })),
        Some((Kind::Video, format)) => Ok(Block::Video(Media { format, source })),
        Some((Kind::Audio, format)) => Ok(Block::Audio(Media { format, source })),
        None => Err(format!(
            "the bedrock wire supports pdf, csv, doc, docx, xls, xlsx, html, txt and md files, not {media_type}"
        )),
    }
}

/// Writes an audio block.
pub(super) fn audio<'a>(data: &'a str, format: &'a str) -> Result<Block<'a>, Rejection> {
    if AUDIO_FORMATS.contains(&format) {
        return Ok(Block::Audio(Media {
            format,
            source: Bytes { bytes: data },
        }));
    }
    Err(format!(
        "the bedrock wire supports audio as {}, not {format}",
        AUDIO_FORMATS.join(", ")
    ))
}

/// Returns media type and data. URLs are rejected because nothing is fetched here; file ids are
/// rejected because AWS does not know the files of other providers.
fn bytes(source: &Source) -> Result<(&str, Bytes<'_>), Rejection> {
    match source {
        Source::Data { media_type, base64 } => Ok((media_type, Bytes { bytes: base64 })),
        Source::Url(_) => Err(
            "the bedrock wire supports images and files as bytes only; send a data URI".to_owned(),
        ),
        Source::FileId(_) => Err(
            "only the provider that stored a file knows its file id; send the bytes instead"
                .to_owned(),
        ),
    }
}

/// Returns kind and format of a media type or, for a type that is generic, of the file extension.
fn format(media_type: &str, filename: Option<&str>) -> Option<(Kind, &'static str)> {
    let essence = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let by = |wanted: &dyn Fn(&str, &str) -> bool| {
        FORMATS
            .iter()
            .find(|(media, _, format)| wanted(media, format))
            .map(|(_, kind, format)| (*kind, *format))
    };
    if let Some(known) = by(&|media, _| media == essence) {
        return Some(known);
    }
    // Every other text, such as source code, is a plain text document.
    if essence.starts_with("text/") {
        return Some((Kind::Document, "txt"));
    }
    // Only a generic type gives way to the extension: a file name must not override a real type.
    let extension = filename
        .filter(|_| matches!(&*essence, "" | "application/octet-stream"))?
        .rsplit_once('.')?
        .1
        .to_ascii_lowercase();
    let extension = EXTENSION_ALIASES
        .iter()
        .find(|(other, _)| *other == extension)
        .map_or(&*extension, |(_, format)| format);
    by(&|_, format| format == extension)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_format_comes_from_the_media_type_else_from_the_file_name() {
        for (media_type, filename, expected) in [
            ("image/PNG", None, Some((Kind::Image, "png"))),
            (
                "text/plain; charset=utf-8",
                Some("a.pdf"),
                Some((Kind::Document, "txt")),
            ),
            ("text/x-rust", None, Some((Kind::Document, "txt"))),
            (
                "application/octet-stream",
                Some("Report.DOCX"),
                Some((Kind::Document, "docx")),
            ),
            ("", Some("photo.jpg"), Some((Kind::Image, "jpeg"))),
            (
                "application/octet-stream",
                Some("film.mp4"),
                Some((Kind::Video, "mp4")),
            ),
            ("application/octet-stream", Some("noending"), None),
            ("application/zip", Some("a.pdf"), None),
        ] {
            assert_eq!(
                format(media_type, filename),
                expected,
                "{media_type} {filename:?}"
            );
        }
    }

    #[test]
    fn document_names_have_allowed_characters_and_are_unique() {
        let mut names = DocumentNames::default();
        for (filename, expected) in [
            (
                Some("Q3 report (final) [v2].pdf"),
                "Q3 report (final) [v2]-pdf",
            ),
            (Some("a_b\u{a0} \tc.é"), "a-b c--"),
            (None, "document"),
            (Some("  "), "document (2)"),
            (Some("document"), "document (3)"),
        ] {
            assert_eq!(names.unique_name(filename), expected);
        }
        let given: HashSet<String> = (0..2000).map(|_| names.unique_name(Some("same"))).collect();
        assert!(given.len() == 2000 && given.contains("same (2000)"));
        let long = "x".repeat(300);
        let given = [
            names.unique_name(Some(&long)),
            names.unique_name(Some(&long)),
        ];
        assert_ne!(given[0], given[1]);
        assert!(given.iter().all(|name| name.len() <= MAX_NAME_LEN));
    }
}
