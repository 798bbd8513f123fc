//! What people and tools say: a string, or blocks.
//!
//! Documents of text and search results become text, as most targets know no others: with a line
//! before that says what they are, and one behind.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::chat::mark;
use crate::dialect::object::Object;
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// What stands in a field for content.
pub(super) enum Content<'a> {
    Text(String),
    Blocks(Vec<Object<'a>>),
}

/// The content in a field; none where it is absent.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn of<'a>(object: &Object<'a>, name: &str) -> Result<Option<Content<'a>>, Fault> {
    match object.raw(name).map(RawValue::get) {
        None => Ok(None),
        Some(json) if json.starts_with('"') => {
            object.required(name).map(|text| Some(Content::Text(text)))
        }
        Some(json) if json.starts_with('[') => object
            .objects(name)
            .map(|blocks| Some(Content::Blocks(blocks))),
        Some(_) => Err(object.refuse(name, "a string or an array of blocks")),
    }
}

/// The parts of content that holds nothing but what was said, each with its mark.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn said(content: Content<'_>) -> Result<Vec<Part>, Fault> {
    let blocks = match content {
        Content::Text(text) => return Ok(vec![Part::Text(text)]),
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::new();
    for object in &blocks {
        block(object, &mut parts)?;
    }
    Ok(parts)
}

/// One block of what was said, and its mark.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn block(block: &Object<'_>, parts: &mut Vec<Part>) -> Result<(), Fault> {
    match &*block.required("type")? {
        "text" => parts.push(Part::Text(block.required("text")?)),
        "image" => parts.push(Part::Image {
            source: source(&block.required_object("source")?)?,
            detail: None,
        }),
        "document" => document(block, parts)?,
        "search_result" => search_result(block, parts)?,
        _ => {
            return Err(block.refuse(
                "type",
                "`text`, `image`, `document` or `search_result` here, for this target",
            ));
        }
    }
    parts.extend(mark(block)?.map(Part::CacheMark));
    Ok(())
}

/// Where the bytes of an image or a PDF are.
fn source(source: &Object<'_>) -> Result<Source, Fault> {
    match &*source.required("type")? {
        "base64" => Ok(Source::Data {
            media_type: source.filled("media_type")?,
            base64: source.filled("data")?,
        }),
        "url" => Ok(Source::Url(source.filled("url")?)),
        _ => Err(source.refuse("type", "`base64` or `url`, for this target")),
    }
}

fn document(block: &Object<'_>, parts: &mut Vec<Part>) -> Result<(), Fault> {
    let (title, context) = (block.string("title")?, block.string("context")?);
    let source = block.required_object("source")?;
    let kind = source.required("type")?;
    if !matches!(&*kind, "text" | "content") {
        parts.extend(context.map(Part::Text));
        parts.push(Part::File {
            source: self::source(&source)?,
            filename: title,
        });
        return Ok(());
    }
    let inside = if kind == "text" {
        vec![Part::Text(text(&source)?)]
    } else {
        required(&source)?
    };
    wrap(
        "document",
        &[("title", title), ("context", context)],
        inside,
        parts,
    );
    Ok(())
}

/// The text of a document; some clients send it as base64 all the same.
fn text(source: &Object<'_>) -> Result<String, Fault> {
    let data = source.required("data")?;
    let encoded = source
        .text("media_type")?
        .is_some_and(|kind| kind.ends_with(";base64"));
    let decoded = encoded
        .then(|| STANDARD.decode(&data).ok())
        .flatten()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(decoded.unwrap_or(data))
}

fn search_result(block: &Object<'_>, parts: &mut Vec<Part>) -> Result<(), Fault> {
    let labels = [
        ("title", block.string("title")?),
        ("source", block.string("source")?),
    ];
    wrap("search_result", &labels, required(block)?, parts);
    Ok(())
}

/// What is inside a document or a search result: texts and images alone, so that nothing nests
/// without end.
fn required(of: &Object<'_>) -> Result<Vec<Part>, Fault> {
    let content = self::of(of, "content")?
        .ok_or_else(|| of.refuse("content", "a string or an array of blocks"))?;
    if let Content::Blocks(blocks) = &content {
        for inner in blocks {
            if !matches!(&*inner.required("type")?, "text" | "image") {
                return Err(inner.refuse(
                    "type",
                    "`text` or `image` inside a document or a search result",
                ));
            }
        }
    }
    said(content)
}

/// Parts between two lines that say what they are.
fn wrap(tag: &str, labels: &[(&str, Option<String>)], inside: Vec<Part>, parts: &mut Vec<Part>) {
    let mut head = format!("<{tag}");
    for (name, value) in labels {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            head.push_str(&format!(" {name}={}", serde_json::Value::from(value)));
        }
    }
    head.push('>');
    if let [Part::Text(text)] = &inside[..] {
        parts.push(Part::Text(format!("{head}\n{text}\n</{tag}>")));
        return;
    }
    parts.push(Part::Text(head));
    parts.extend(inside);
    parts.push(Part::Text(format!("</{tag}>")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Part>, Fault> {
        let body = format!(r#"{{"content":{json}}}"#);
        said(of(&Object::body(body.as_bytes()).unwrap(), "content")?.unwrap())
    }

    /// Texts as they are, anything else by its kind.
    fn short(json: &str) -> Vec<String> {
        let short = |part| match part {
            Part::Text(text) => text,
            Part::Image {
                source: Source::Data { media_type, base64 },
                ..
            } => format!("image {media_type} {base64}"),
            Part::Image {
                source: Source::Url(url),
                ..
            } => format!("image {url}"),
            Part::File {
                source: Source::Data { media_type, base64 },
                filename,
            } => format!("file {media_type} {base64} {filename:?}"),
            Part::File {
                source: Source::Url(url),
                filename,
            } => format!("file {url} {filename:?}"),
            Part::CacheMark(mark) => format!("mark {:?}", mark.ttl),
            part => panic!("{part:?}"),
        };
        read(json).unwrap().into_iter().map(short).collect()
    }

    #[test]
    fn every_block_is_read() {
        assert_eq!(short(r#""a\nb""#), ["a\nb"]);
        assert_eq!(
            short(
                r#"[{"type":"text","text":"t","cache_control":{"type":"ephemeral","ttl":"1h"}},
                    {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QQ=="}},{"type":"image","source":{"type":"url","url":"u"}},
                    {"type":"document","title":"T","context":"C","source":{"type":"base64","media_type":"application/pdf","data":"QQ=="}},
                    {"type":"document","source":{"type":"url","url":"u"}}]"#
            ),
            [
                "t",
                r#"mark Some("1h")"#,
                "image image/png QQ==",
                "image u",
                "C",
                r#"file application/pdf QQ== Some("T")"#,
                "file u None"
            ]
        );
    }

    #[test]
    fn documents_of_text_and_search_results_say_what_they_are() {
        let text = r#"[{"type":"document","title":"a \"b\"","context":"","source":{"type":"text","media_type":"text/plain","data":"words"}}]"#;
        assert_eq!(
            short(text),
            ["<document title=\"a \\\"b\\\"\">\nwords\n</document>"]
        );
        let several = r#"[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"u"}}]}}]"#;
        assert_eq!(
            short(several),
            ["<document>", "x", "image u", "</document>"]
        );
        let found = r#"[{"type":"search_result","source":"https://a","title":"T","content":[{"type":"text","text":"x"}],"citations":{"enabled":true}}]"#;
        assert_eq!(
            short(found),
            ["<search_result title=\"T\" source=\"https://a\">\nx\n</search_result>"]
        );
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (json, param) in [
            ("7", "content"),
            ("[7]", "content[0]"),
            (r#"[{"text":"a"}]"#, "content[0].type"),
            (r#"[{"type":"server_tool_use"}]"#, "content[0].type"),
            (r#"[{"type":"text"}]"#, "content[0].text"),
            (r#"[{"type":"image"}]"#, "content[0].source"),
            (
                r#"[{"type":"image","source":{"type":"base64","media_type":"image/png"}}]"#,
                "content[0].source.data",
            ),
            (
                r#"[{"type":"image","source":{"type":"text"}}]"#,
                "content[0].source.type",
            ),
            (
                r#"[{"type":"document","source":{"type":"content"}}]"#,
                "content[0].source.content",
            ),
            (
                r#"[{"type":"search_result","source":"s","title":"t"}]"#,
                "content[0].content",
            ),
        ] {
            assert_eq!(
                read(json).unwrap_err().param.as_deref(),
                Some(param),
                "{json}"
            );
        }
    }

    #[test]
    fn blocks_inside_blocks_are_refused_at_the_second_however_many_there_are() {
        let levels = 100_000;
        let nested =
            r#"[{"type":"search_result","content":"#.repeat(levels) + "[]" + &"}]".repeat(levels);
        assert_eq!(
            read(&nested).unwrap_err().param.as_deref(),
            Some("content[0].content[0].type")
        );
    }
}
