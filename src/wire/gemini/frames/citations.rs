//! Decodes sources (`citationMetadata` and `groundingMetadata`), which arrive late and repeatedly.
//!
//! Invariants: a source is emitted once; the memory of emitted sources is bounded. Gemini's spans
//! count bytes, the spans of events count characters.

mod char_offsets;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::value::RawValue;

use self::char_offsets::CharOffsets;
use super::super::shape::{CitationMetadata, CitationSource, Grounding, GroundingSource, Support};
use crate::wire::kit::sink::{Sink, Source};

/// Maximum number of emitted sources that one choice remembers. Answers have some dozens.
const MAX_EMITTED: usize = 4096;

/// The sources that one choice has emitted, and the text they refer to.
#[derive(Default)]
pub(super) struct Sources {
    /// Hashes of the emitted sources.
    emitted: HashSet<u64>,
    text: CharOffsets,
}

impl Sources {
    /// Adds the next text delta of the answer.
    pub(super) fn push_text(&mut self, delta: &str) {
        self.text.push(delta);
    }

    /// Writes the sources of a `citationMetadata` object.
    pub(super) fn write_citations(&mut self, metadata: &RawValue, sink: &mut Sink<'_>) {
        let Ok(CitationMetadata { sources }) = serde_json::from_str(metadata.get()) else {
            // Metadata of another shape is passed on rather than lost.
            return self.write_raw(metadata, sink);
        };
        for json in sources.0 {
            let Ok(cited) = serde_json::from_str::<CitationSource<'_>>(json.get()) else {
                self.write_raw(json, sink);
                continue;
            };
            let source = Source {
                url: sink.share(cited.uri),
                title: sink.share(cited.title),
                quote: None,
                span: self.text.span(cited.start_index.0, cited.end_index.0),
            };
            self.write_citation(json, "", source, sink);
        }
    }

    /// Writes the sources of a `groundingMetadata` object: one citation for each source of each
    /// supported segment, one for each source that supports none, and the object itself as a raw
    /// event if it contains search queries or the search entry point, which clients must display.
    pub(super) fn write_grounding(&mut self, metadata: &RawValue, sink: &mut Sink<'_>) {
        let Ok(grounding) = serde_json::from_str::<Grounding<'_>>(metadata.get()) else {
            return self.write_raw(metadata, sink);
        };
        let mut used = HashSet::new();
        // Supports go first, because they determine which chunks belong to a segment.
        for json in &grounding.supports.0 {
            self.write_support(json, &grounding, &mut used, sink);
        }
        let chunks = grounding.chunks.0.iter().enumerate();
        for (_, json) in chunks.filter(|(at, _)| !used.contains(at)) {
            let source = chunk_source(json, None, sink);
            self.write_citation(json, "", source, sink);
        }
        if grounding.web_search_queries.is_some() || grounding.search_entry_point.is_some() {
            self.write_raw(metadata, sink);
        }
    }

    fn write_support(
        &mut self,
        json: &RawValue,
        grounding: &Grounding<'_>,
        used: &mut HashSet<usize>,
        sink: &mut Sink<'_>,
    ) {
        let Ok(support) = serde_json::from_str::<Support<'_>>(json.get()) else {
            return self.write_raw(json, sink);
        };
        let segment = support.segment.unwrap_or_default();
        let span = self.text.span(segment.start_index.0, segment.end_index.0);
        let indices = support.indices.0.iter();
        for index in indices.filter_map(|count| usize::try_from(count.0?).ok()) {
            used.insert(index);
            // One support may name several chunks: each pair of support and chunk is one citation.
            let chunk = grounding.chunks.0.get(index);
            let source = chunk.map(|chunk| chunk_source(chunk, span, sink));
            let source = source.unwrap_or_else(|| Source {
                span,
                ..Source::default()
            });
            self.write_citation(json, chunk.map_or("", |it| it.get()), source, sink);
        }
    }

    /// Writes a citation, unless it was written before. `context` distinguishes citations with the
    /// same JSON.
    fn write_citation(
        &mut self,
        json: &RawValue,
        context: &str,
        source: Source,
        sink: &mut Sink<'_>,
    ) {
        if self.is_new(json.get(), context) {
            sink.citation(json, source);
        }
    }

    /// Writes a value that has no normalized form, unless it was written before.
    pub(super) fn write_raw(&mut self, value: &RawValue, sink: &mut Sink<'_>) {
        if value.get() != "{}" && self.is_new(value.get(), "raw") {
            sink.raw(value);
        }
    }

    /// Records a source and returns true if it was not recorded before. `context` distinguishes
    /// equal JSON that is emitted in different ways.
    fn is_new(&mut self, json: &str, context: &str) -> bool {
        // A hash in place of the JSON keeps the memory per source small.
        let mut hasher = DefaultHasher::new();
        (json, context).hash(&mut hasher);
        let hash = hasher.finish();
        // With a full memory a source may be emitted twice, which is better than not at all.
        !self.emitted.contains(&hash)
            && (self.emitted.len() >= MAX_EMITTED || self.emitted.insert(hash))
    }
}

/// Returns the source in a grounding chunk of any kind: `web`, `retrievedContext`, `maps`.
fn chunk_source(chunk: &RawValue, span: Option<(u32, u32)>, sink: &Sink<'_>) -> Source {
    // The kind is the name of a member, so kinds that are newer than this code are read too.
    type Kinds<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;
    let kinds: Kinds<'_> = serde_json::from_str(chunk.get()).unwrap_or_default();
    let source: Option<GroundingSource<'_>> = kinds
        .into_values()
        .find_map(|it| serde_json::from_str(it.get()).ok());
    let source = source.unwrap_or_default();
    Source {
        url: sink.share(source.uri),
        title: sink.share(source.title),
        quote: sink.share(source.text),
        span,
    }
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;

    use super::*;
    use crate::model::event::{Event, Events};
    use crate::model::wire::WireId;

    type DecodedCitation = (
        Option<String>,
        Option<String>,
        Option<String>,
        Option<(u32, u32)>,
        String,
    );

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    /// Decodes these metadata objects in order, after that text; returns the citations and the data
    /// of the raw events.
    fn decoded(
        text: &str,
        all: &[&str],
        read: fn(&mut Sources, &RawValue, &mut Sink<'_>),
    ) -> (Vec<DecodedCitation>, Vec<String>) {
        let (mut sources, mut citations, mut values) = (Sources::default(), Vec::new(), Vec::new());
        sources.push_text(text);
        for json in all {
            let (frame, mut events) = (ByteString::from(*json), Events::new());
            read(
                &mut sources,
                raw(&frame),
                &mut Sink::new(WireId::Gemini, &frame, &mut events),
            );
            for event in events {
                match event {
                    Event::Citation(it) => {
                        let own = |text: Option<ByteString>| text.map(|text| text.to_string());
                        citations.push((
                            own(it.url),
                            own(it.title),
                            own(it.quote),
                            it.span,
                            it.data.to_string(),
                        ));
                    }
                    Event::Raw(it) => values.push(it.data.to_string()),
                    other => panic!("{other:?}"),
                }
            }
        }
        (citations, values)
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn citations_are_emitted_once_with_character_spans() {
        let (a, b) = (
            r#"{"startIndex":3,"endIndex":5,"uri":"https://a.example","title":"A"}"#,
            r#"{"endIndex":3,"uri":"","license":"mit"}"#,
        );
        let first = format!(r#"{{"citationSources":[{a}]}}"#);
        let both = format!(r#"{{"citations":[{a},{b}]}}"#);
        let (citations, values) =
            decoded("é… ok", &[&first, &first, &both], Sources::write_citations);
        let expected: [DecodedCitation; 2] = [
            (some("https://a.example"), some("A"), None, None, a.into()),
            (None, None, None, None, b.into()),
        ];
        assert_eq!(
            (citations, values),
            (expected.to_vec(), vec![]),
            "bytes 3 and 5 are inside characters"
        );
        let (citations, _) = decoded("éok.", &[&both], Sources::write_citations);
        assert_eq!(citations[0].3, Some((2, 4)));
        assert_eq!(citations[1].3, Some((0, 2)));
    }

    #[test]
    fn each_supported_segment_has_its_sources() {
        let web = r#"{"web":{"uri":"https://a.example","title":"A"}}"#;
        let file = r#"{"retrievedContext":{"text":"Words.","title":"B"}}"#;
        let unused = r#"{"web":{"uri":"https://c.example"}}"#;
        let support = r#"{"segment":{"endIndex":2,"text":"ab"},"groundingChunkIndices":[0,1]}"#;
        let lost = r#"{"segment":{"startIndex":1,"endIndex":2},"groundingChunkIndices":[9]}"#;
        let whole = format!(
            r#"{{"groundingChunks":[{web},{file},{unused}],"groundingSupports":[{support},{lost}],"webSearchQueries":["q"]}}"#
        );
        let (citations, values) = decoded("abc", &["{}", &whole, &whole], Sources::write_grounding);
        let expected: [DecodedCitation; 4] = [
            (
                some("https://a.example"),
                some("A"),
                None,
                Some((0, 2)),
                support.into(),
            ),
            (
                None,
                some("B"),
                some("Words."),
                Some((0, 2)),
                support.into(),
            ),
            (None, None, None, Some((1, 2)), lost.into()),
            (some("https://c.example"), None, None, None, unused.into()),
        ];
        assert_eq!(citations, expected);
        assert_eq!(values, [whole]);
    }

    #[test]
    fn metadata_of_another_shape_becomes_raw_events() {
        for read in [Sources::write_citations, Sources::write_grounding] {
            assert_eq!(
                decoded("", &["7", "7"], read),
                (vec![], vec!["7".to_owned()])
            );
        }
        assert_eq!(
            decoded("", &[r#"{"citations":[8]}"#], Sources::write_citations).1,
            ["8"]
        );
        assert_eq!(
            decoded(
                "",
                &[r#"{"groundingSupports":[9]}"#],
                Sources::write_grounding
            )
            .1,
            ["9"]
        );
    }

    #[test]
    fn the_memory_of_emitted_sources_is_bounded() {
        let many: Vec<String> = (0..MAX_EMITTED + 9)
            .map(|at| format!(r#"{{"endIndex":{at}}}"#))
            .collect();
        let json = format!(r#"{{"citations":[{}]}}"#, many.join(","));
        let mut sources = Sources::default();
        let (frame, mut events) = (ByteString::from(json), Events::new());
        sources.write_citations(
            raw(&frame),
            &mut Sink::new(WireId::Gemini, &frame, &mut events),
        );
        assert_eq!(
            (events.len(), sources.emitted.len()),
            (MAX_EMITTED + 9, MAX_EMITTED)
        );
    }
}
