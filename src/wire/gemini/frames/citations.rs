//! Decodes sources (`citationMetadata` and `groundingMetadata`), which arrive late and repeatedly.
//!
//! Invariants: a source is emitted once; the memory of emitted sources is bounded. Gemini's spans
//! count bytes, the spans of events count characters.

mod char_offsets;

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use self::char_offsets::CharOffsets;
use super::content::Sink;
use crate::codec::lenient::{Count, List, RawList, Text};
use crate::model::event::{Citation, Event};

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

    /// Emits the sources of a `citationMetadata` object.
    pub(super) fn citation_metadata(&mut self, metadata: &RawValue, out: &mut Sink<'_>) {
        let Ok(CitationMetadata {
            sources: RawList(sources),
        }) = serde_json::from_str(metadata.get())
        else {
            // Metadata of another shape is passed on rather than lost.
            return self.raw_once(metadata, out);
        };
        for json in sources {
            let Ok(source) = serde_json::from_str::<Source<'_>>(json.get()) else {
                self.raw_once(json, out);
                continue;
            };
            if self.is_new(json.get(), "") {
                let span = self.text.span(source.start_index.0, source.end_index.0);
                out.citation(json, source.uri, source.title, None, span);
            }
        }
    }

    /// Emits the sources of a `groundingMetadata` object: one citation for each source of each
    /// supported segment, one for each source that supports none, and the object itself as a raw
    /// event if it contains search queries or the search entry point, which clients must display.
    pub(super) fn grounding_metadata(&mut self, metadata: &RawValue, out: &mut Sink<'_>) {
        let Ok(grounding) = serde_json::from_str::<GroundingMetadata<'_>>(metadata.get()) else {
            return self.raw_once(metadata, out);
        };
        let mut used = HashSet::new();
        // Supports go first, because they determine which chunks belong to a segment.
        for json in &grounding.supports.0 {
            self.grounding_support(json, &grounding, &mut used, out);
        }
        for (_, json) in grounding
            .chunks
            .0
            .iter()
            .enumerate()
            .filter(|(at, _)| !used.contains(at))
        {
            if self.is_new(json.get(), "") {
                let source = chunk_source(json);
                out.citation(json, source.uri, source.title, source.text, None);
            }
        }
        if grounding.web_search_queries.is_some() || grounding.search_entry_point.is_some() {
            self.raw_once(metadata, out);
        }
    }

    fn grounding_support(
        &mut self,
        json: &RawValue,
        grounding: &GroundingMetadata<'_>,
        used: &mut HashSet<usize>,
        out: &mut Sink<'_>,
    ) {
        let Ok(support) = serde_json::from_str::<Support<'_>>(json.get()) else {
            return self.raw_once(json, out);
        };
        let segment = support.segment.unwrap_or_default();
        let span = self.text.span(segment.start_index.0, segment.end_index.0);
        for index in support
            .indices
            .0
            .iter()
            .filter_map(|count| usize::try_from(count.0?).ok())
        {
            let chunk = grounding.chunks.0.get(index);
            used.insert(index);
            // One support may name several chunks: each pair of support and chunk is one citation.
            if self.is_new(json.get(), chunk.map_or("", |it| it.get())) {
                let source = chunk.map(|it| chunk_source(it)).unwrap_or_default();
                out.citation(json, source.uri, source.title, source.text, span);
            }
        }
    }

    /// Emits a value that has no normalized form, unless it was emitted before.
    pub(super) fn raw_once(&mut self, value: &RawValue, out: &mut Sink<'_>) {
        if value.get() != "{}" && self.is_new(value.get(), "raw") {
            out.raw(value);
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

impl Sink<'_> {
    fn citation(
        &mut self,
        json: &RawValue,
        url: Option<Text<'_>>,
        title: Option<Text<'_>>,
        quote: Option<Text<'_>>,
        span: Option<(u32, u32)>,
    ) {
        let frame = self.frame;
        let non_empty = |text: Option<Text<'_>>| {
            text.filter(|text| !text.is_empty())
                .map(|text| text.share(frame))
        };
        let citation = Citation {
            choice: self.choice,
            url: non_empty(url),
            title: non_empty(title),
            quote: non_empty(quote),
            span,
            data: frame.slice_ref(json.get()),
        };
        self.events.push(Event::Citation(Box::new(citation)));
    }
}

#[derive(Deserialize)]
struct CitationMetadata<'a> {
    #[serde(
        borrow,
        default,
        rename = "citations",
        alias = "citationSources",
        alias = "citation_sources"
    )]
    sources: RawList<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    #[serde(default, alias = "start_index")]
    start_index: Count,
    #[serde(default, alias = "end_index")]
    end_index: Count,
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroundingMetadata<'a> {
    #[serde(
        borrow,
        default,
        rename = "groundingChunks",
        alias = "grounding_chunks"
    )]
    chunks: RawList<'a>,
    #[serde(
        borrow,
        default,
        rename = "groundingSupports",
        alias = "grounding_supports"
    )]
    supports: RawList<'a>,
    #[serde(borrow, alias = "web_search_queries")]
    web_search_queries: Option<&'a RawValue>,
    #[serde(borrow, alias = "search_entry_point")]
    search_entry_point: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Support<'a> {
    #[serde(borrow)]
    segment: Option<Source<'a>>,
    #[serde(
        default,
        rename = "groundingChunkIndices",
        alias = "grounding_chunk_indices"
    )]
    indices: List<Count>,
}

#[derive(Deserialize, Default)]
struct ChunkSource<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// Parses the source of a grounding chunk of any kind: `web`, `retrievedContext`, `maps`.
fn chunk_source<'a>(chunk: &'a RawValue) -> ChunkSource<'a> {
    // The kind is the name of a member, so kinds that are newer than this code are read too.
    type Kinds<'a> = std::collections::BTreeMap<Cow<'a, str>, &'a RawValue>;
    let kinds: Kinds<'a> = serde_json::from_str(chunk.get()).unwrap_or_default();
    kinds
        .into_values()
        .find_map(|it| serde_json::from_str(it.get()).ok())
        .unwrap_or_default()
}

impl Default for Source<'_> {
    fn default() -> Self {
        Self {
            start_index: Count(None),
            end_index: Count(None),
            uri: None,
            title: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;

    use super::*;
    use crate::model::event::Events;

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
                &mut Sink {
                    frame: &frame,
                    choice: 0,
                    events: &mut events,
                },
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
        let (citations, values) = decoded(
            "é… ok",
            &[&first, &first, &both],
            Sources::citation_metadata,
        );
        let expected: [DecodedCitation; 2] = [
            (some("https://a.example"), some("A"), None, None, a.into()),
            (None, None, None, None, b.into()),
        ];
        assert_eq!(
            (citations, values),
            (expected.to_vec(), vec![]),
            "bytes 3 and 5 are inside characters"
        );
        let (citations, _) = decoded("éok.", &[&both], Sources::citation_metadata);
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
        let (citations, values) =
            decoded("abc", &["{}", &whole, &whole], Sources::grounding_metadata);
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
        for read in [Sources::citation_metadata, Sources::grounding_metadata] {
            assert_eq!(
                decoded("", &["7", "7"], read),
                (vec![], vec!["7".to_owned()])
            );
        }
        assert_eq!(
            decoded("", &[r#"{"citations":[8]}"#], Sources::citation_metadata).1,
            ["8"]
        );
        assert_eq!(
            decoded(
                "",
                &[r#"{"groundingSupports":[9]}"#],
                Sources::grounding_metadata
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
        sources.citation_metadata(
            raw(&frame),
            &mut Sink {
                frame: &frame,
                choice: 0,
                events: &mut events,
            },
        );
        assert_eq!(
            (events.len(), sources.emitted.len()),
            (MAX_EMITTED + 9, MAX_EMITTED)
        );
    }
}
