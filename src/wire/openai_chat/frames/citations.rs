//! Reads sources: those of a delta, and those at the top level of payloads. Providers repeat the
//! latter on each payload, so only the last lists are written, once, at the end.
//!
//! Invariant: holds at most the newest list of each kind, as slices of their payloads.

use std::collections::BTreeSet;

use bytestring::ByteString;
use serde_json::value::RawValue;

use crate::codec::lenient::{Count, Json};
use crate::model::event::Events;
use crate::model::wire::WireId;
use crate::wire::kit::sink::{Sink, Source};
use crate::wire::openai_chat::shape::{self, Chunk};

/// Writes a source as a citation.
pub(super) fn write_citation(json: &RawValue, sink: &mut Sink<'_>) {
    let source = read_source(json, sink);
    sink.citation(json, source);
}

/// Reads a source: an object, or its link alone.
fn read_source(json: &RawValue, sink: &Sink<'_>) -> Source {
    let mut source: shape::Source<'_> = Json::new(json).read();
    // OpenAI nests the source under its type; others send its members directly.
    if let Some(inner) = source.url_citation.take() {
        source = *inner;
    }
    let place = |at: Count| u32::try_from(at.0?).ok();
    Source {
        url: sink
            .share(source.url)
            .or_else(|| Json::new(json).piece(sink.frame)),
        title: sink.share(source.title),
        quote: sink.share(source.quote),
        span: place(source.start).zip(place(source.end)),
    }
}

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

    /// Writes the sources: search results first, because they contain more, then the links that no
    /// result had.
    pub(super) fn write(&mut self, choice: u16, out: &mut Events) {
        let mut seen = BTreeSet::new();
        for list in [&mut self.results, &mut self.citations] {
            let list = std::mem::take(list);
            let sources: Vec<&RawValue> = serde_json::from_str(&list).unwrap_or_default();
            let sink = &mut Sink::new(WireId::OpenaiChat, &list, out).with_choice(choice);
            for json in sources {
                let source = read_source(json, sink);
                // A source without a URL cannot be recognized as a duplicate and is always kept.
                if source.url.clone().is_none_or(|url| seen.insert(url)) {
                    sink.citation(json, source);
                }
            }
        }
    }
}
