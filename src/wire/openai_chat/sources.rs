//! Decodes the sources at the top level of payloads. Providers repeat them on each payload, so only
//! the last lists are emitted, once, at the end.
//!
//! Invariant: holds at most the newest list of each kind, as slices of their payloads.

use std::collections::BTreeSet;

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::delta::ChoiceWriter;
use super::shape::{Chunk, Source};
use crate::codec::lenient::{Maybe, Text};
use crate::model::event::{Citation, Event, Events};

/// The newest lists of sources, as JSON; empty if none has come.
#[derive(Default)]
pub(super) struct Sources {
    citations: ByteString,
    results: ByteString,
}

impl Sources {
    /// Records the payload's lists in place of older ones.
    pub(super) fn record(&mut self, chunk: &Chunk<'_>, data: &ByteString) {
        if let Some(list) = chunk.citations {
            self.citations = data.slice_ref(list.get());
        }
        if let Some(list) = chunk.search_results {
            self.results = data.slice_ref(list.get());
        }
    }

    /// Emits the sources: search results first, because they contain more, then the links that no
    /// result had.
    pub(super) fn emit(&mut self, choice: u16, out: &mut Events) {
        let mut seen = BTreeSet::new();
        let results = std::mem::take(&mut self.results);
        for json in items(&results) {
            // A source without a URL cannot be recognized as a duplicate and is always kept.
            let source: Source<'_> = serde_json::from_str(json.get()).unwrap_or_default();
            if source
                .url
                .non_empty()
                .is_none_or(|url| seen.insert(url.into_owned()))
            {
                ChoiceWriter {
                    data: &results,
                    choice,
                    out,
                }
                .citation(json);
            }
        }
        let citations = std::mem::take(&mut self.citations);
        for json in items(&citations) {
            let link: Maybe<Text<'_>> = serde_json::from_str(json.get()).unwrap_or_default();
            match link.non_empty() {
                Some(url) if seen.insert(url.clone().into_owned()) => {
                    let writer = ChoiceWriter {
                        data: &citations,
                        choice,
                        out,
                    };
                    let (url, data) = (Some(writer.slice(url)), citations.slice_ref(json.get()));
                    out.push(Event::Citation(Box::new(Citation {
                        choice,
                        url,
                        title: None,
                        quote: None,
                        span: None,
                        data,
                    })));
                }
                Some(_) => {}
                // An entry may be an object instead of a link.
                None => {
                    let source: Source<'_> = serde_json::from_str(json.get()).unwrap_or_default();
                    if source
                        .url
                        .non_empty()
                        .is_none_or(|url| seen.insert(url.into_owned()))
                    {
                        ChoiceWriter {
                            data: &citations,
                            choice,
                            out,
                        }
                        .citation(json);
                    }
                }
            }
        }
    }
}

fn items(json: &str) -> Vec<&RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}
