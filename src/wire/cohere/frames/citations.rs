//! Decodes citations.
//!
//! Each source becomes one event: the first carries the whole citation, each other one carries the
//! source itself. Cohere counts characters from the start of a content block, events count them
//! from the start of the answer.

use bytestring::ByteString;
use serde_json::Value;
use serde_json::value::RawValue;

use super::super::shape::Citation;
use crate::codec::lenient::Text;
use crate::wire::kit::sink::{Sink, Source};

/// Writes the events of a citation. A citation that cannot be read is still carried unchanged.
/// `texts` are the text blocks of the answer: index, and number of characters before the block.
pub(super) fn write_citation(json: &RawValue, texts: &[(u32, u32)], sink: &mut Sink<'_>) {
    let cited = serde_json::from_str::<Citation<'_>>(json.get()).ok();
    let span = cited.as_ref().and_then(|cited| span(cited, texts));
    let sources = cited.map(|it| it.sources.0).unwrap_or_default();
    // A citation without sources still becomes one event.
    sink.citation(json, source(sources.first().copied(), span));
    for json in sources.iter().skip(1) {
        sink.citation(json, source(Some(json), span));
    }
}

/// Returns the cited span of the answer, in characters. Tool plans and thinking are not part of the
/// answer, so their citations have no span.
fn span(cited: &Citation<'_>, texts: &[(u32, u32)]) -> Option<(u32, u32)> {
    let kind = cited.kind.as_ref().map(Text::as_str);
    if kind.is_some_and(|kind| kind != "TEXT_CONTENT") {
        return None;
    }
    // Without a block index, the positions count from the first text block.
    let before = match cited.content_index {
        Some(index) => texts.iter().find(|(at, _)| *at == index.0)?.1,
        None => texts.first().map_or(0, |(_, before)| *before),
    };
    Some((
        before.checked_add(cited.start.small()?)?,
        before.checked_add(cited.end.small()?)?,
    ))
}

/// Returns the fields of a source. URL and title are those of the document, or those in a tool's
/// output, which may have them.
fn source(json: Option<&RawValue>, span: Option<(u32, u32)>) -> Source {
    let source: Value = json
        .and_then(|it| serde_json::from_str(it.get()).ok())
        .unwrap_or_default();
    let document = source.get("document");
    let origin = document.or_else(|| source.get("tool_output"));
    let text = |name: &str| {
        origin?
            .get(name)?
            .as_str()
            .filter(|text| !text.is_empty())
            .map(ByteString::from)
    };
    Source {
        // The `url` of a document may be a file name instead.
        url: text("url").filter(|url| url.starts_with("http")),
        title: text("title"),
        // Only a document's text is quoted; a tool's output is not a quotation.
        quote: text("snippet")
            .or_else(|| text("text"))
            .filter(|_| document.is_some()),
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Event, Events};
    use crate::model::wire::WireId;

    type CitationParts = (
        Option<String>,
        Option<String>,
        Option<String>,
        Option<(u32, u32)>,
        String,
    );

    fn read_citation(json: &str, texts: &[(u32, u32)]) -> Vec<CitationParts> {
        let (data, mut out) = (ByteString::from(json), Events::new());
        let sink = &mut Sink::new(WireId::Cohere, &data, &mut out);
        write_citation(serde_json::from_str(&data).unwrap(), texts, sink);
        let own = |text: Option<ByteString>| text.map(|text| text.to_string());
        out.into_iter()
            .map(|event| match event {
                Event::Citation(it) => (
                    own(it.url),
                    own(it.title),
                    own(it.quote),
                    it.span,
                    it.data.to_string(),
                ),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn every_source_becomes_an_event() {
        let (page, tool, other) = (
            r#"{"type":"document","id":"d","document":{"url":"https://a.example","title":"A","snippet":"S"}}"#,
            r#"{"type":"tool","id":"t:0","tool_output":{"content":"15°C","text":"not a quote"}}"#,
            r#"{"type":"document","id":"e","document":{"text":"T","url":"file.txt"}}"#,
        );
        let whole = format!(
            r#"{{"start":3,"end":5,"text":"ok","sources":[{page},{tool},{other}],"type":"TEXT_CONTENT"}}"#
        );
        let span = Some((3, 5));
        let expected: [CitationParts; 3] = [
            (
                some("https://a.example"),
                some("A"),
                some("S"),
                span,
                whole.clone(),
            ),
            (None, None, None, span, tool.into()),
            (None, None, some("T"), span, other.into()),
        ];
        assert_eq!(read_citation(&whole, &[(0, 0)]), expected);
    }

    #[test]
    fn spans_count_from_the_start_of_the_answer() {
        let span = |members: &str| {
            read_citation(
                &format!(r#"{{"start":1,"end":4{members}}}"#),
                &[(1, 0), (3, 10)],
            )[0]
            .3
        };
        assert_eq!(span(""), Some((1, 4)));
        assert_eq!(span(r#","content_index":1"#), Some((1, 4)));
        assert_eq!(span(r#","content_index":3"#), Some((11, 14)));
        assert_eq!(span(r#","content_index":0"#), None);
        assert_eq!(span(r#","type":"PLAN""#), None);
        assert_eq!(
            span(r#","type":"THINKING_CONTENT","content_index":1"#),
            None
        );
        assert_eq!(read_citation(r#"{"start":1}"#, &[])[0].3, None);
        assert_eq!(
            read_citation(r#"{"start":4294967295,"end":4294967295}"#, &[(0, 9)])[0].3,
            None
        );
    }

    #[test]
    fn unreadable_citations_are_carried_unchanged() {
        for json in [
            r#"{"sources":7}"#,
            r#"{"sources":[8]}"#,
            "[]",
            r#"{"start":-1,"sources":[{"document":[]}]}"#,
        ] {
            assert_eq!(
                read_citation(json, &[]),
                [(None, None, None, None, json.to_owned())]
            );
        }
    }
}
