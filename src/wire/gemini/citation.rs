//! Sources: `citationMetadata` and `groundingMetadata`, which come late, and again and again.
//!
//! Invariants: a source that was told is not told again; what is remembered for that is bounded.
//! Gemini counts bytes, events count characters.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::characters::Characters;
use super::choice::Sink;
use super::schema::{Count, List, Text};
use crate::model::event::{Citation, Event};

/// The most sources of one choice that are remembered as told: answers have some dozens.
const TOLD_BOUND: usize = 4096;

/// What one choice has told of its sources, and the text they refer to.
#[derive(Default)]
pub(super) struct Sources {
    told: HashSet<u64>,
    text: Characters,
}

impl Sources {
    /// Text of the answer, in order.
    pub(super) fn text(&mut self, delta: &str) {
        self.text.push(delta);
    }

    /// A `citationMetadata` object.
    pub(super) fn cited(&mut self, metadata: &RawValue, out: &mut Sink<'_>) {
        let Ok(Cited {
            sources: List(sources),
        }) = serde_json::from_str(metadata.get())
        else {
            return self.once(metadata, out);
        };
        for json in sources {
            let Ok(source) = serde_json::from_str::<Source<'_>>(json.get()) else {
                self.once(json, out);
                continue;
            };
            if self.is_news(json.get(), "") {
                let span = self.text.span(source.start_index.0, source.end_index.0);
                out.citation(json, source.uri, source.title, None, span);
            }
        }
    }

    /// A `groundingMetadata` object: one citation for each source of each supported segment, one
    /// for each source that supports none, and the object itself where it says more (searches, the
    /// entry point that must be shown).
    pub(super) fn grounded(&mut self, metadata: &RawValue, out: &mut Sink<'_>) {
        let Ok(grounding) = serde_json::from_str::<Grounding<'_>>(metadata.get()) else {
            return self.once(metadata, out);
        };
        let mut used = HashSet::new();
        for json in &grounding.supports.0 {
            self.supported(json, &grounding, &mut used, out);
        }
        for (_, json) in grounding
            .chunks
            .0
            .iter()
            .enumerate()
            .filter(|(at, _)| !used.contains(at))
        {
            if self.is_news(json.get(), "") {
                let place = place(json);
                out.citation(json, place.uri, place.title, place.text, None);
            }
        }
        if grounding.web_search_queries.is_some() || grounding.search_entry_point.is_some() {
            self.once(metadata, out);
        }
    }

    fn supported(
        &mut self,
        json: &RawValue,
        grounding: &Grounding<'_>,
        used: &mut HashSet<usize>,
        out: &mut Sink<'_>,
    ) {
        let Ok(support) = serde_json::from_str::<Support<'_>>(json.get()) else {
            return self.once(json, out);
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
            if self.is_news(json.get(), chunk.map_or("", |it| it.get())) {
                let place = chunk.map(|it| place(it)).unwrap_or_default();
                out.citation(json, place.uri, place.title, place.text, span);
            }
        }
    }

    /// A value with no normalized form that may come again.
    pub(super) fn once(&mut self, value: &RawValue, out: &mut Sink<'_>) {
        if value.get() != "{}" && self.is_news(value.get(), "raw") {
            out.raw(value);
        }
    }

    fn is_news(&mut self, json: &str, beside: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        (json, beside).hash(&mut hasher);
        let hash = hasher.finish();
        !self.told.contains(&hash) && (self.told.len() >= TOLD_BOUND || self.told.insert(hash))
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
        let said = |text: Option<Text<'_>>| {
            text.filter(|text| !text.0.is_empty())
                .map(|text| text.share(frame))
        };
        let citation = Citation {
            choice: self.choice,
            url: said(url),
            title: said(title),
            quote: said(quote),
            span,
            data: frame.slice_ref(json.get()),
        };
        self.events.push(Event::Citation(Box::new(citation)));
    }
}

#[derive(Deserialize)]
struct Cited<'a> {
    #[serde(
        borrow,
        default,
        rename = "citations",
        alias = "citationSources",
        alias = "citation_sources"
    )]
    sources: List<&'a RawValue>,
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
struct Grounding<'a> {
    #[serde(
        borrow,
        default,
        rename = "groundingChunks",
        alias = "grounding_chunks"
    )]
    chunks: List<&'a RawValue>,
    #[serde(
        borrow,
        default,
        rename = "groundingSupports",
        alias = "grounding_supports"
    )]
    supports: List<&'a RawValue>,
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
struct Place<'a> {
    #[serde(borrow)]
    uri: Option<Text<'a>>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
}

/// What can be read from a grounding chunk, whatever its kind is called: `web`, `retrievedContext`,
/// `maps`.
fn place<'a>(chunk: &'a RawValue) -> Place<'a> {
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

    type Told = (
        Option<String>,
        Option<String>,
        Option<String>,
        Option<(u32, u32)>,
        String,
    );

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    /// What is told of these metadata, one after the other, behind that text: citations, and raw
    /// values by their data.
    fn told(
        text: &str,
        all: &[&str],
        read: fn(&mut Sources, &RawValue, &mut Sink<'_>),
    ) -> (Vec<Told>, Vec<String>) {
        let (mut sources, mut citations, mut values) = (Sources::default(), Vec::new(), Vec::new());
        sources.text(text);
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
    fn citations_are_told_once_in_characters() {
        let (a, b) = (
            r#"{"startIndex":3,"endIndex":5,"uri":"https://a.example","title":"A"}"#,
            r#"{"endIndex":3,"uri":"","license":"mit"}"#,
        );
        let first = format!(r#"{{"citationSources":[{a}]}}"#);
        let both = format!(r#"{{"citations":[{a},{b}]}}"#);
        let (citations, values) = told("é… ok", &[&first, &first, &both], Sources::cited);
        let expected: [Told; 2] = [
            (some("https://a.example"), some("A"), None, None, a.into()),
            (None, None, None, None, b.into()),
        ];
        assert_eq!(
            (citations, values),
            (expected.to_vec(), vec![]),
            "bytes 3 and 5 are no beginnings of characters"
        );
        let (citations, _) = told("éok.", &[&both], Sources::cited);
        assert_eq!(citations[0].3, Some((2, 4)));
        assert_eq!(citations[1].3, Some((0, 2)));
    }

    #[test]
    fn grounding_names_a_source_for_each_segment() {
        let web = r#"{"web":{"uri":"https://a.example","title":"A"}}"#;
        let file = r#"{"retrievedContext":{"text":"Words.","title":"B"}}"#;
        let unused = r#"{"web":{"uri":"https://c.example"}}"#;
        let support = r#"{"segment":{"endIndex":2,"text":"ab"},"groundingChunkIndices":[0,1]}"#;
        let lost = r#"{"segment":{"startIndex":1,"endIndex":2},"groundingChunkIndices":[9]}"#;
        let whole = format!(
            r#"{{"groundingChunks":[{web},{file},{unused}],"groundingSupports":[{support},{lost}],"webSearchQueries":["q"]}}"#
        );
        let (citations, values) = told("abc", &["{}", &whole, &whole], Sources::grounded);
        let expected: [Told; 4] = [
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
    fn what_has_another_shape_is_passed_on() {
        for read in [Sources::cited, Sources::grounded] {
            assert_eq!(told("", &["7", "7"], read), (vec![], vec!["7".to_owned()]));
        }
        assert_eq!(told("", &[r#"{"citations":[8]}"#], Sources::cited).1, ["8"]);
        assert_eq!(
            told("", &[r#"{"groundingSupports":[9]}"#], Sources::grounded).1,
            ["9"]
        );
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many: Vec<String> = (0..TOLD_BOUND + 9)
            .map(|at| format!(r#"{{"endIndex":{at}}}"#))
            .collect();
        let json = format!(r#"{{"citations":[{}]}}"#, many.join(","));
        let mut sources = Sources::default();
        let (frame, mut events) = (ByteString::from(json), Events::new());
        sources.cited(
            raw(&frame),
            &mut Sink {
                frame: &frame,
                choice: 0,
                events: &mut events,
            },
        );
        assert_eq!(
            (events.len(), sources.told.len()),
            (TOLD_BOUND + 9, TOLD_BOUND)
        );
    }
}
