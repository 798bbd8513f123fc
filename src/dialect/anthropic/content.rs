//! The content of turns of users and tools: a string, or blocks.
//!
//! Text documents and search results become text between two tag lines that name them, because most
//! targets support no other form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::cache::mark;
use crate::dialect::object::Object;
use crate::model::chat::{Part, Source};
use crate::model::fault::Fault;

/// The content in a field.
pub(super) enum Content<'a> {
    Text(String),
    Blocks(Vec<Object<'a>>),
}

/// Reads the content in a field; `None` where the field is absent.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn read<'a>(object: &Object<'a>, name: &str) -> Result<Option<Content<'a>>, Fault> {
    match object.raw(name).map(RawValue::get) {
        None => Ok(None),
        Some(json) if json.starts_with('"') => {
            object.required(name).map(|text| Some(Content::Text(text)))
        }
        Some(json) if json.starts_with('[') => object
            .objects(name)
            .map(|blocks| Some(Content::Blocks(blocks))),
        Some(_) => Err(object.invalid(name, "a string or an array of blocks")),
    }
}

/// Converts content to parts, each followed by its cache mark. Thinking and tool calls are not
/// allowed in it.
///
/// # Errors
/// A 400 that names the field and what was expected.
pub(super) fn parts(content: Content<'_>) -> Result<Vec<Part>, Fault> {
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

/// Appends the parts of one block, and its cache mark.
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
            return Err(block.invalid(
                "type",
                "`text`, `image`, `document` or `search_result` here, for this target",
            ));
        }
    }
    parts.extend(mark(block)?.map(Part::CacheMark));
    Ok(())
}

/// Parses the source of an image or a PDF.
fn source(source: &Object<'_>) -> Result<Source, Fault> {
    match &*source.required("type")? {
        "base64" => Ok(Source::Data {
            media_type: source.non_empty("media_type")?,
            base64: source.non_empty("data")?,
        }),
        "url" => Ok(Source::Url(source.non_empty("url")?)),
        _ => Err(source.invalid("type", "`base64` or `url`, for this target")),
    }
}

fn document(block: &Object<'_>, parts: &mut Vec<Part>) -> Result<(), Fault> {
    let (title, context) = (block.string("title")?, block.string("context")?);
    let source = block.required_object("source")?;
    let kind = source.required("type")?;
    // PDFs and links to files stay files, which many targets accept.
    if !matches!(&*kind, "text" | "content") {
        parts.extend(context.map(Part::Text));
        parts.push(Part::File {
            source: self::source(&source)?,
            filename: title,
        });
        return Ok(());
    }
    let inner = if kind == "text" {
        vec![Part::Text(text(&source)?)]
    } else {
        inner_parts(&source)?
    };
    wrap(
        "document",
        &[("title", title), ("context", context)],
        inner,
        parts,
    );
    Ok(())
}

/// Reads the text of a document. Some clients send it as base64, with a media type that says so.
fn text(source: &Object<'_>) -> Result<String, Fault> {
    let data = source.required("data")?;
    // The API defines `text/plain` only; base64 that does not decode to UTF-8 is kept as text.
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
    wrap("search_result", &labels, inner_parts(block)?, parts);
    Ok(())
}

/// Reads the content of a document or a search result. It may hold only text and images, which
/// bounds the nesting.
fn inner_parts(object: &Object<'_>) -> Result<Vec<Part>, Fault> {
    let content = read(object, "content")?
        .ok_or_else(|| object.invalid("content", "a string or an array of blocks"))?;
    if let Content::Blocks(blocks) = &content {
        for inner in blocks {
            if !matches!(&*inner.required("type")?, "text" | "image") {
                return Err(inner.invalid(
                    "type",
                    "`text` or `image` inside a document or a search result",
                ));
            }
        }
    }
    parts(content)
}

/// Appends `inner` between an opening and a closing tag.
fn wrap(tag: &str, labels: &[(&str, Option<String>)], inner: Vec<Part>, parts: &mut Vec<Part>) {
    let mut head = format!("<{tag}");
    for (name, value) in labels {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            // JSON quoting keeps the quotes and line breaks of a label inside the tag.
            head.push_str(&format!(" {name}={}", serde_json::Value::from(value)));
        }
    }
    head.push('>');
    // One text stays one part, so that the tags and the text are not split over several parts.
    if let [Part::Text(text)] = &inner[..] {
        parts.push(Part::Text(format!("{head}\n{text}\n</{tag}>")));
        return;
    }
    parts.push(Part::Text(head));
    parts.extend(inner);
    parts.push(Part::Text(format!("</{tag}>")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Part>, Fault> {
        let body = format!(r#"{{"content":{json}}}"#);
        super::parts(super::read(&Object::from_body(body.as_bytes()).unwrap(), "content")?.unwrap())
    }

    /// Describes each part: a text as it is, anything else by its kind.
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
    fn every_kind_of_block_is_read() {
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
    fn text_documents_and_search_results_are_tagged() {
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
    fn errors_name_the_invalid_field() {
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
    fn nested_blocks_are_rejected_at_the_second_level() {
        let levels = 100_000;
        let nested =
            r#"[{"type":"search_result","content":"#.repeat(levels) + "[]" + &"}]".repeat(levels);
        assert_eq!(
            read(&nested).unwrap_err().param.as_deref(),
            Some("content[0].content[0].type")
        );
    }
}
