//! Answers with the events of a stream, from the position of a reader on.

use http::Response;

use super::call::Call;
use super::headers;
use super::heartbeat::Heartbeat;
use super::live::{self, Live};
use super::reply::Reply;
use super::view::reader_view;
use crate::codec::sse_writer::EventIds;
use crate::dialect;
use crate::hub::Reader;
use crate::model::wire::DialectId;

/// Answers with the events from the position of a reader on. A HEAD request gets the head only.
pub(super) fn follow(
    call: &Call<'_>,
    reader: Reader,
    dialect: DialectId,
    ids: bool,
) -> Response<Reply> {
    let stream = reader.stream().clone();
    if call.head_only() {
        reader.leave();
        return headers::event_stream(&stream, Reply::empty());
    }
    let live = live_stream(call, reader, dialect, ids);
    headers::event_stream(&stream, Reply::live(live))
}

/// Creates the stream of a reader in a dialect, from the reader's position on.
pub(super) fn live_stream(call: &Call<'_>, reader: Reader, dialect: DialectId, ids: bool) -> Live {
    let codec = dialect::of(dialect);
    let view = reader_view(&reader, dialect);
    // Raw replies pass payloads on unchanged.
    let passed_on = view.raw && dialect.wire().is_some();
    let ids = ids.then(|| EventIds {
        stream: reader.stream().id().as_str().to_owned().into(),
        dialect: dialect.name(),
    });
    let (encoder, out) = live::encoder_at(&reader, codec.encoder(view), ids);
    let heartbeat = Heartbeat::new(call.snapshot.settings.heartbeat);
    let mut live = Live::new(reader, encoder, out, codec, heartbeat);
    live.merge = !passed_on && codec.profile().mergeable;
    live
}
