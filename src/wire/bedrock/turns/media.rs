//! Images, documents, audio and video: their formats, derived from media types, and the unique
//! names that documents must have.

use std::collections::HashMap;

use serde::Serialize;

use super::Block;
use crate::model::accepts::Accepts;
use crate::model::fault::Fault;
use crate::wire::kit::media::{self, Data, essence};
use crate::wire::kit::turns::Placed;

/// Maximum length of a document name, bytes.
const MAX_NAME_LEN: usize = 200;

/// An image, audio or video block.
#[derive(Serialize)]
pub(in crate::wire::bedrock) struct Media<'a> {
    format: &'a str,
    source: Bytes<'a>,
}

/// A document block.
#[derive(Serialize)]
pub(in crate::wire::bedrock) struct Document<'a> {
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

/// Writes an image, a file or audio as the block of its kind.
///
/// # Errors
/// A 400 with the position of a part that the target does not take.
pub(super) fn block<'a>(
    placed: Placed<'a>,
    accepts: &Accepts,
    names: &mut DocumentNames,
) -> Result<Block<'a>, Fault> {
    let (part, position) = (placed.part, placed.position);
    let (data, filename) = match media::read(part, &accepts.media, position)? {
        media::Media::Image(data, _) => (data, None),
        media::Media::File(data, filename) => (data, filename),
        media::Media::Audio(bytes, format) => {
            let source = Bytes { bytes };
            return Ok(Block::Audio(Media { format, source }));
        }
        _ => return Err(position.misplaced(part)),
    };
    match file(data, filename, names) {
        None => Err(position.file_type(&data.essence())),
        // The API takes audio in turns of the user only, also if it is attached as a file.
        Some(Block::Audio(_)) if !accepts.media.audio.has(position.role) => {
            Err(position.misplaced(part))
        }
        Some(block) => Ok(block),
    }
}

/// Writes a file as a document block, or as an image, video or audio block if it is one. Clients
/// attach media of all kinds as files; the format decides on the block.
fn file<'a>(
    data: Data<'a>,
    filename: Option<&str>,
    names: &mut DocumentNames,
) -> Option<Block<'a>> {
    let (kind, format) = format(data.media_type, filename)?;
    let source = Bytes { bytes: data.base64 };
    Some(match kind {
        Kind::Document => Block::Document(Document {
            format,
            name: names.unique_name(filename),
            source,
        }),
        Kind::Image => Block::Image(Media { format, source }),
        Kind::Video => Block::Video(Media { format, source }),
        Kind::Audio => Block::Audio(Media { format, source }),
    })
}

/// Returns kind and format of a media type or, for a type that is generic, of the file extension.
fn format(media_type: &str, filename: Option<&str>) -> Option<(Kind, &'static str)> {
    let essence = essence(media_type);
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
