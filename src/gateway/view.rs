//! The view that a reader has of a stream.

use crate::dialect::View;
use crate::hub::{Reader, Stream};
use crate::model::wire::DialectId;

/// Returns the view of this reader.
pub(super) fn reader_view(reader: &Reader, dialect: DialectId) -> View {
    stream_view(reader.stream(), dialect)
}

/// Returns the view of any reader of a stream.
pub(super) fn stream_view(stream: &Stream, dialect: DialectId) -> View {
    View {
        start: stream.start().clone(),
        // Readers in another dialect had no request in which to ask for usage.
        include_usage: stream.head().include_usage || dialect != stream.dialect(),
        raw: dialect == stream.dialect() && stream.head().stream,
    }
}
