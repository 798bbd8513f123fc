//! Decodes citations.

use serde_json::value::RawValue;

use super::super::shape::Citation;
use crate::wire::kit::sink::{Sink, Source};

/// Writes the event of a citation. A citation that cannot be read is still carried unchanged. It
/// has no span: its positions are positions in the source, not in the answer.
pub(super) fn write_citation(json: &RawValue, sink: &mut Sink<'_>) {
    let mut source = Source::default();
    if let Ok(cited) = serde_json::from_str::<Citation<'_>>(json.get()) {
        // `source` may be any name of a source; only a link is a URL.
        let link = sink.slice(cited.source.as_ref());
        let link = link.filter(|link| link.starts_with("http"));
        source.url = sink.slice(cited.url.as_ref()).or(link);
        let title = sink.slice(cited.title.as_ref());
        source.title = title.or_else(|| sink.slice(cited.document_title.as_ref()));
        source.quote = sink.slice(cited.cited_text.as_ref());
    }
    sink.citation(json, source);
}
