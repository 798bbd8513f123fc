//! The body of a live stream: one loop reads the journal from the reader's position on, past
//! entries and new ones alike.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::heartbeat::Heartbeat;
use crate::codec::sse_writer::{EventIds, SseWriter};
use crate::dialect::{Dialect, Encode};
use crate::hub::{PastEntry, ReadStep, Reader, replay_expired};
use crate::model::event::{End, Event, Failure, Reason};

/// Number of encoded bytes after which they are handed to the connection: enough for one write, and
/// small enough to be fair to other readers of the worker.
const WRITE_SIZE: usize = 32 * 1024;

/// Creates the encoder and writer for the position of a reader. The encoder processes all earlier
/// entries with a muted writer, so that its state is that of an encoder which wrote them.
pub(super) fn encoder_at(
    reader: &Reader,
    mut encoder: Box<dyn Encode>,
    ids: Option<EventIds>,
) -> (Box<dyn Encode>, SseWriter) {
    let mut out = SseWriter::new(ids);
    out.mute(true);
    reader.visit_past(|past| {
        out.begin_entry(0, 0);
        match past {
            PastEntry::Summary(summary) => encoder.restore(summary, &mut out),
            PastEntry::Entry(entry) => encoder.write_entry(entry, &mut out),
        }
        out.end_entry();
    });
    out.mute(false);
    (encoder, out)
}

/// The stream of one reader.
pub(super) struct Live {
    reader: Reader,
    encoder: Box<dyn Encode>,
    out: SseWriter,
    heartbeat: Heartbeat,
    /// Bytes of a heartbeat in this dialect.
    heartbeat_bytes: &'static [u8],
    /// True if a heartbeat is sent first, before any entry.
    pub(super) heartbeat_due: bool,
    /// True if neighbouring deltas are merged for a slow reader.
    pub(super) merge: bool,
    ended: bool,
}

impl Live {
    pub(super) fn new(
        reader: Reader,
        encoder: Box<dyn Encode>,
        out: SseWriter,
        dialect: &dyn Dialect,
        heartbeat: Heartbeat,
    ) -> Self {
        Self {
            reader,
            encoder,
            out,
            heartbeat,
            heartbeat_bytes: dialect.heartbeat(),
            heartbeat_due: false,
            merge: true,
            ended: false,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if std::mem::take(&mut self.heartbeat_due) {
            return Poll::Ready(Some(Bytes::from_static(self.heartbeat_bytes)));
        }
        while !self.ended {
            match self.read(cx) {
                // The heartbeat is polled only while the journal has nothing new, so that a busy
                // stream costs no timer.
                Poll::Pending => {
                    return self
                        .heartbeat
                        .poll(cx)
                        .map(|()| Some(Bytes::from_static(self.heartbeat_bytes)));
                }
                Poll::Ready(ReadStep::Read) => {}
                Poll::Ready(ReadStep::Overtaken) => self.end_overtaken(),
                Poll::Ready(ReadStep::Ended) => {
                    // From now on a chat has nothing to resume, and a response with `store: false`
                    // can be removed.
                    self.reader.stream().set_read_to_end();
                    self.ended = true;
                }
            }
            // An entry may encode to nothing in this dialect: then read on instead of sending an
            // empty frame.
            if !self.out.is_empty() {
                self.heartbeat.record_sent();
                return Poll::Ready(Some(self.out.take()));
            }
        }
        Poll::Ready(None)
    }

    fn read(&mut self, cx: &Context<'_>) -> Poll<ReadStep> {
        let (encoder, out) = (&mut self.encoder, &mut self.out);
        self.reader
            .poll_read(cx, WRITE_SIZE, self.merge, |span, entry| {
                out.begin_entries(span.first, span.last, span.seen);
                encoder.write_entry(entry, out);
                out.end_entry();
                out.len()
            })
    }

    /// Ends the stream with an error, because the next entry of this reader was evicted.
    fn end_overtaken(&mut self) {
        let failure = Failure {
            fault: replay_expired(),
            passed_on: false,
        };
        self.out
            // The error gets the event id of the last entry read, so a resume from it reports the
            // gap again.
            .begin_entry(self.reader.next_seq().saturating_sub(1), 0);
        self.encoder
            .write_event(&Event::Error(Box::new(failure)), &mut self.out);
        self.encoder.write_event(
            &Event::End(Box::new(End {
                reason: Reason::Error,
                native: None,
                usage: None,
            })),
            &mut self.out,
        );
        self.out.end_entry();
        self.ended = true;
    }
}

impl http_body::Body for Live {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.poll_bytes(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
