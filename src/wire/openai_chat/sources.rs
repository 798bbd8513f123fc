//! Sources that stand at the top of payloads and are repeated on each of them: the last ones are
//! told, once.
//!
//! Invariant: keeps at most the two newest lists, as slices of their payloads.

use std::collections::BTreeSet;

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::shape::{Chunk, Source, Word};
use super::speech::Speech;
use crate::model::event::{Citation, Event, Events};

/// The newest sources.
#[derive(Default)]
pub(super) struct Sources {
    citations: ByteString,
    results: ByteString,
}

impl Sources {
    /// Remembers the payload's lists in place of older ones.
    pub(super) fn see(&mut self, chunk: &Chunk<'_>, data: &ByteString) {
        if let Some(list) = chunk.citations {
            self.citations = data.slice_ref(list.get());
        }
        if let Some(list) = chunk.search_results {
            self.results = data.slice_ref(list.get());
        }
    }

    /// Tells them: results first, as they say more; links that none of them had follow.
    pub(super) fn tell(&mut self, choice: u16, out: &mut Events) {
        let mut seen = BTreeSet::new();
        let results = std::mem::take(&mut self.results);
        for json in list_of(&results) {
            let source: Source<'_> = serde_json::from_str(json.get()).unwrap_or_default();
            if source
                .url
                .said()
                .is_none_or(|url| seen.insert(url.into_owned()))
            {
                Speech {
                    data: &results,
                    choice,
                    out,
                }
                .citation(json);
            }
        }
        let citations = std::mem::take(&mut self.citations);
        for json in list_of(&citations) {
            let link: Word<'_> = serde_json::from_str(json.get()).unwrap_or_default();
            match link.said() {
                Some(url) if seen.insert(url.clone().into_owned()) => {
                    let speech = Speech {
                        data: &citations,
                        choice,
                        out,
                    };
                    let (url, data) = (Some(speech.piece(url)), citations.slice_ref(json.get()));
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
                None => {
                    let source: Source<'_> = serde_json::from_str(json.get()).unwrap_or_default();
                    if source
                        .url
                        .said()
                        .is_none_or(|url| seen.insert(url.into_owned()))
                    {
                        Speech {
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

fn list_of(json: &str) -> Vec<&RawValue> {
    serde_json::from_str(json).unwrap_or_default()
}
