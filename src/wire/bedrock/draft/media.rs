//! Pictures, documents, sound and films: their formats by their media types, and the names that
//! documents must have.

use std::collections::HashMap;

use serde::Serialize;

use super::turns::Block;
use crate::model::chat::Source;

/// The longest name of a document, bytes.
const NAME_BOUND: usize = 200;

/// Where links, files of other providers, and foreign formats are refused: the words for it.
type Refused = String;

/// Something with a format and bytes.
#[derive(Serialize)]
pub(super) struct Media<'a> {
    format: &'a str,
    source: Bytes<'a>,
}

/// A document.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    format: &'a str,
    pub(super) name: String,
    source: Bytes<'a>,
}

#[derive(Serialize)]
struct Bytes<'a> {
    /// Base64.
    bytes: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Document,
    Video,
    Audio,
}

/// Media types, what they are, and what this wire calls their format.
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

/// Formats of sound that go by their own name.
const SOUNDS: [&str; 15] = [
    "mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "x-aac", "m4a", "mpeg",
    "mpga", "pcm", "webm",
];

/// Endings of file names that are not their format's.
const ENDINGS: [(&str, &str); 5] = [
    ("jpg", "jpeg"),
    ("htm", "html"),
    ("markdown", "md"),
    ("text", "txt"),
    ("json", "txt"),
];

/// The names documents have in one request: each is unlike the others.
#[derive(Default)]
pub(super) struct Names(HashMap<String, usize>);

impl Names {
    /// A name for a document: that of its file as far as the API takes its characters.
    fn give(&mut self, filename: Option<&str>) -> String {
        let name = plain_name(filename.unwrap_or_default());
        let (mut unique, mut number) = (name.clone(), self.0.get(&name).copied().unwrap_or(1));
        while self.0.contains_key(&unique) {
            number += 1;
            let suffix = format!(" ({number})");
            let room = NAME_BOUND - suffix.len();
            unique = name.get(..room).unwrap_or(&name).trim_end().to_owned() + &suffix;
        }
        self.0.insert(unique.clone(), 1);
        // Many of one name do not look for theirs from the first number on again.
        self.0.insert(name, number);
        unique
    }
}

/// Letters, digits, hyphens and brackets, with single blanks between them; hyphens for everything
/// else.
fn plain_name(filename: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "()[]-".contains(c) => c,
        c if c.is_whitespace() => ' ',
        _ => '-',
    };
    let spelled: String = filename.chars().take(NAME_BOUND).map(plain).collect();
    let words: Vec<&str> = spelled.split(' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        "document".to_owned()
    } else {
        words.join(" ")
    }
}

/// A picture.
pub(super) fn image(source: &Source) -> Result<Block<'_>, Refused> {
    let (media_type, bytes) = bytes(source)?;
    match format(media_type, None) {
        Some((Kind::Image, format)) => Ok(Block::Image(Media {
            format,
            source: bytes,
        })),
        _ => Err(format!(
            "the bedrock wire takes PNG, JPEG, GIF and WebP images, not {media_type}"
        )),
    }
}

/// A file, which may be a picture, sound or a film as well.
pub(super) fn file<'a>(
    source: &'a Source,
    filename: Option<&str>,
    names: &mut Names,
) -> Result<Block<'a>, Refused> {
    let (media_type, source) = bytes(source)?;
    match format(media_type, filename) {
        Some((Kind::Document, format)) => Ok(Block::Document(Document {
            format,
            name: names.give(filename),
            source,
        })),
        Some((Kind::Image, format)) => Ok(Block::Image(Media { format, source })),
        Some((Kind::Video, format)) => Ok(Block::Video(Media { format, source })),
        Some((Kind::Audio, format)) => Ok(Block::Audio(Media { format, source })),
        None => Err(format!(
            "the bedrock wire takes pdf, csv, doc, docx, xls, xlsx, html, txt and md files, not {media_type}"
        )),
    }
}

/// Sound.
pub(super) fn audio<'a>(data: &'a str, format: &'a str) -> Result<Block<'a>, Refused> {
    if SOUNDS.contains(&format) {
        return Ok(Block::Audio(Media {
            format,
            source: Bytes { bytes: data },
        }));
    }
    Err(format!(
        "the bedrock wire takes audio as {}, not {format}",
        SOUNDS.join(", ")
    ))
}

/// Media type and bytes; links are not fetched here, and files of other providers are unknown
/// there.
fn bytes(source: &Source) -> Result<(&str, Bytes<'_>), Refused> {
    match source {
        Source::Data { media_type, base64 } => Ok((media_type, Bytes { bytes: base64 })),
        Source::Url(_) => {
            Err("the bedrock wire takes images and files as bytes only; send a data URI".to_owned())
        }
        Source::FileId(_) => {
            Err("a file id is known to the provider that stored it only; send the bytes".to_owned())
        }
    }
}

/// What a media type is, else, where it says nothing, the ending of the file's name.
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
    if essence.starts_with("text/") {
        return Some((Kind::Document, "txt"));
    }
    let ending = filename
        .filter(|_| matches!(&*essence, "" | "application/octet-stream"))?
        .rsplit_once('.')?
        .1
        .to_ascii_lowercase();
    let ending = ENDINGS
        .iter()
        .find(|(other, _)| *other == ending)
        .map_or(&*ending, |(_, format)| format);
    by(&|_, format| format == ending)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn formats_come_from_the_media_type_else_from_the_name() {
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
    fn names_have_allowed_characters_and_are_unlike_each_other() {
        let mut names = Names::default();
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
            assert_eq!(names.give(filename), expected);
        }
        let given: HashSet<String> = (0..2000).map(|_| names.give(Some("same"))).collect();
        assert!(given.len() == 2000 && given.contains("same (2000)"));
        let long = "x".repeat(300);
        let given = [names.give(Some(&long)), names.give(Some(&long))];
        assert_ne!(given[0], given[1]);
        assert!(given.iter().all(|name| name.len() <= NAME_BOUND));
    }
}
