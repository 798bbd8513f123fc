//! A stream as its journal grows: one cursor loop for what was and what comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use super::heartbeat::Heartbeat;
use crate::codec::sse_writer::{Ids, SseWriter};
use crate::dialect::{Dialect, Encode};
use crate::hub::{Past, Reader, Step, expired};
use crate::model::event::{End, Event, Failure, Reason};

/// Bytes spelled before they are handed to the connection: enough for one write, little enough to
/// be fair.
const ENOUGH: usize = 32 * 1024;

/// An encoder and its writer where this reader stands: run silently over all that came before.
pub(super) fn caught_up(
    reader: &Reader,
    mut encoder: Box<dyn Encode>,
    ids: Option<Ids>,
) -> (Box<dyn Encode>, SseWriter) {
    let mut out = SseWriter::new(ids);
    out.mute(true);
    reader.show_past(|past| {
        out.begin_entry(0, 0);
        match past {
            Past::Summary(summary) => encoder.remember(summary, &mut out),
            Past::Entry(entry) => encoder.entry(entry, &mut out),
        }
        out.end_entry();
    });
    out.mute(false);
    (encoder, out)
}

/// One reader's stream.
pub(super) struct Live {
    reader: Reader,
    encoder: Box<dyn Encode>,
    out: SseWriter,
    heartbeat: Heartbeat,
    /// What a heartbeat is in this dialect.
    beat: &'static [u8],
    /// A heartbeat is due at once.
    pub(super) beat_now: bool,
    /// A slow reader may be sent neighbouring deltas as one.
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
            beat: dialect.heartbeat(),
            beat_now: false,
            merge: true,
            ended: false,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if std::mem::take(&mut self.beat_now) {
            return Poll::Ready(Some(Bytes::from_static(self.beat)));
        }
        while !self.ended {
            match self.read(cx) {
                Poll::Pending => {
                    return self
                        .heartbeat
                        .poll(cx)
                        .map(|()| Some(Bytes::from_static(self.beat)));
                }
                Poll::Ready(Step::Read) => {}
                Poll::Ready(Step::Overtaken) => self.overtaken(),
                Poll::Ready(Step::Ended) => {
                    self.reader.stream().set_end_read();
                    self.ended = true;
                }
            }
            if !self.out.is_empty() {
                self.heartbeat.sent();
                return Poll::Ready(Some(self.out.take()));
            }
        }
        Poll::Ready(None)
    }

    fn read(&mut self, cx: &Context<'_>) -> Poll<Step> {
        let (encoder, out) = (&mut self.encoder, &mut self.out);
        self.reader
            .poll_read(cx, ENOUGH, self.merge, |shown, entry| {
                out.begin_entries(shown.first, shown.last, shown.seen);
                encoder.entry(entry, out);
                out.end_entry();
                out.len()
            })
    }

    /// What the reader wants next is no longer kept: it is told, and that is its end.
    fn overtaken(&mut self) {
        let failure = Failure {
            fault: expired(),
            passed_on: false,
        };
        self.out
            .begin_entry(self.reader.next_seq().saturating_sub(1), 0);
        self.encoder
            .event(&Event::Error(Box::new(failure)), &mut self.out);
        self.encoder.event(
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
