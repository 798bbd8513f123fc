//! Decodes citations.

use serde_json::value::RawValue;

use super::super::shape::Citation;
use crate::codec::lenient::Text;
use crate::wire::kit::sink::{Sink, Source};

/// Writes the event of a citation. One in an unknown shape is still carried unchanged.
pub(super) fn write_citation(json: &RawValue, sink: &mut Sink<'_>) {
    let mut source = Source::default();
    if let Ok(cited) = serde_json::from_str::<Citation<'_>>(json.get()) {
        let web = cited.location.and_then(|location| location.web);
        // `source` may be any name of a source; only a link is a URL.
        let link = cited.source.filter(|source| {
            source.as_str().starts_with("https://") || source.as_str().starts_with("http://")
        });
        source.url = sink.slice(web.and_then(|web| web.url).or(link).as_ref());
        source.title = sink.slice(cited.title.as_ref());
        let quotes = cited.source_content.0.into_iter();
        let quotes: Vec<Text<'_>> = quotes.filter_map(|quote| quote.text).collect();
        // A single text stays a slice of the frame; several have to be copied.
        source.quote = match quotes.as_slice() {
            [single] => sink.slice(Some(single)),
            several => Some(several.iter().map(Text::as_str).collect::<String>())
                .filter(|text| !text.is_empty())
                .map(Into::into),
        };
    }
    sink.citation(json, source);
}
