//! An answer in progress: decodes its bytes into frames and the frames into entries.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::Ending;
use super::answer::{Answer, AttemptContext};
use super::clock::RunningClocks;
use super::closing::Accounting;
use super::transport::Body;
use crate::codec::{Frame, Framing};
use crate::model::ask::Ask;
use crate::model::entry::{Entry, Payload};
use crate::model::event::{Event, Events, Route};
use crate::model::fault::{Code, Fault};
use crate::model::target::OnCancel;
use crate::wire::{Decode, DecodeError, Decoded, Wire};

/// Maximum time a complete answer may take to end its body, so that its connection can be reused.
const MAX_TAIL: Duration = Duration::from_millis(500);

/// Bytes reserved in the read buffer at a time: several tokens share one allocation, and little of
/// it stays unused.
const BUFFER_BLOCK: usize = 2048;

/// An answer in progress.
pub(super) struct LiveAnswer {
    pub(super) ask: Arc<Ask>,
    pub(super) route: Route,
    pub(super) body: Body,
    pub(super) framing: Box<dyn Framing>,
    pub(super) decoder: Box<dyn Decode>,
    pub(super) running: RunningClocks,
    pub(super) buf: BytesMut,
    pub(super) decoded: Decoded,
    /// Content or the terminal marker has been received.
    pub(super) decided: bool,
    /// The terminal marker has been received.
    pub(super) done: bool,
    /// A failure after the first content that came in the same read; reported once the content is
    /// journaled.
    pub(super) deferred_failure: Option<Ending>,
    /// Entries decoded but not yet journaled.
    pub(super) entries: Vec<Entry>,
    pub(super) on_cancel: OnCancel,
}

impl LiveAnswer {
    /// Creates a streamed answer. Nothing of its body has been read.
    pub(super) fn new(answer: Answer) -> Self {
        let framing = answer.wire.framing(answer.content_type());
        let request_id = answer.request_id();
        let Answer {
            context,
            wire,
            running,
            body,
            ..
        } = answer;
        let route = new_route(&context, wire, request_id, context.ask.head.stream);
        Self::build(&context, wire, route, body, framing, running)
    }

    /// Creates an answer that came as one body. The caller adds its entry.
    pub(super) fn complete(
        context: &AttemptContext,
        wire: &'static dyn Wire,
        request_id: Option<ByteString>,
        running: RunningClocks,
    ) -> Self {
        let route = new_route(context, wire, request_id, !context.ask.head.stream);
        // The body has been read and dropped; an empty one takes its place.
        let body = Body::Http(reqwest::Body::default());
        Self {
            done: true,
            decided: true,
            ..Self::build(context, wire, route, body, wire.framing(""), running)
        }
    }

    fn build(
        context: &AttemptContext,
        wire: &'static dyn Wire,
        route: Route,
        body: Body,
        framing: Box<dyn Framing>,
        running: RunningClocks,
    ) -> Self {
        Self {
            ask: context.ask.clone(),
            route,
            body,
            framing,
            decoder: wire.decoder(&context.target, context.stream.id().as_str()),
            running,
            buf: BytesMut::new(),
            decoded: Decoded::default(),
            decided: false,
            done: false,
            deferred_failure: None,
            entries: Vec::new(),
            on_cancel: context.target.provider.on_cancel,
        }
    }

    /// Decodes received bytes. New entries are appended to `entries`, including those decoded
    /// before a failure.
    pub(super) fn receive(
        &mut self,
        chunk: &Bytes,
        accounting: &mut Accounting,
    ) -> Result<(), Ending> {
        self.running.bytes_received();
        // Reserve whole blocks: payloads are slices of this buffer, which can only be reused once
        // all of them are dropped.
        if self.buf.capacity() - self.buf.len() < chunk.len() {
            self.buf.reserve(chunk.len().max(BUFFER_BLOCK));
        }
        self.buf.extend_from_slice(chunk);
        let before = self.entries.len();
        let result = self.drain(accounting);
        // Also after a failure: the entries before it are journaled.
        accounting.count(self.entries.get(before..).unwrap_or_default());
        result
    }

    fn drain(&mut self, accounting: &mut Accounting) -> Result<(), Ending> {
        while !self.done {
            match self.framing.next(&mut self.buf) {
                Ok(Some(frame)) => self.decode_frame(frame, accounting)?,
                Ok(None) => break,
                Err(error) => {
                    return Err(Fault::new(
                        Code::UpstreamError,
                        format!("cannot decode the upstream's stream: {error}"),
                    )
                    .into());
                }
            }
        }
        Ok(())
    }

    fn decode_frame(&mut self, frame: Frame, accounting: &mut Accounting) -> Result<(), Ending> {
        self.decoded.clear();
        let result = self.decoder.decode(&frame, &mut self.decoded);
        let decoded = &mut self.decoded;
        // Usage is a total, so the latest replaces the previous one. A frame that reports an error
        // may contain it too.
        if decoded.usage.is_some() {
            accounting.usage = decoded.usage;
        }
        if let Err(error) = result {
            return Err(self.decode_failure(error, frame));
        }
        self.done = decoded.done;
        if !self.decided && (decoded.done || decoded.events.iter().any(Event::is_content)) {
            self.decided = true;
            self.running.content_received();
        }
        // Raw readers do not get terminal markers (each encoder writes its own), usage chunks that
        // the client did not ask for, and frames without data.
        let withheld = decoded.marker
            || decoded.usage_only && !self.ask.head.include_usage
            || frame.data.is_empty();
        let raw = (self.route.raw && !withheld).then(|| Payload {
            name: frame.name,
            data: frame.data,
        });
        // A usage chunk left out of a raw stream still takes an entry number, as the numbers are
        // the same for all readers. Other frames that decode to nothing take none.
        if raw.is_some() || !decoded.events.is_empty() || self.route.raw && decoded.usage_only {
            self.entries.push(Entry {
                raw,
                events: std::mem::take(&mut decoded.events),
            });
        }
        Ok(())
    }

    fn decode_failure(&mut self, error: DecodeError, frame: Frame) -> Ending {
        match error {
            DecodeError::Upstream(fault) => {
                let passed_on = self.route.raw && !self.decoded.marker && !frame.data.is_empty();
                let payload = passed_on.then_some(Payload {
                    name: frame.name,
                    data: frame.data,
                });
                // An error payload that clients of the dialect recognise ends the stream by itself.
                // Any other one is passed on as an ordinary payload, and the dialect's own error
                // follows.
                if !self.decoded.nonstandard_error {
                    return Ending::Failed(fault, payload);
                }
                self.entries.extend(payload.map(|raw| Entry {
                    raw: Some(raw),
                    events: Events::new(),
                }));
                Ending::Failed(fault, None)
            }
            other => Fault::new(Code::UpstreamError, other.to_string()).into(),
        }
    }

    /// Decodes the rest of the body after its end, and checks that the answer is complete.
    pub(super) fn end(&mut self, accounting: &mut Accounting) -> Result<(), Ending> {
        let before = self.entries.len();
        let result = self.end_frames(accounting);
        accounting.count(self.entries.get(before..).unwrap_or_default());
        result
    }

    fn end_frames(&mut self, accounting: &mut Accounting) -> Result<(), Ending> {
        while let Some(frame) = self.framing.finish(&mut self.buf) {
            self.decode_frame(frame, accounting)?;
        }
        if self.done {
            return Ok(());
        }
        self.decoded.clear();
        let finished = self.decoder.finish(&mut self.decoded);
        if !self.decoded.events.is_empty() {
            self.entries
                .push(Entry::new(std::mem::take(&mut self.decoded.events)));
        }
        match finished {
            Ok(()) => {
                self.done = true;
                self.decided = true;
                if self.decoded.usage.is_some() {
                    accounting.usage = self.decoded.usage;
                }
                Ok(())
            }
            Err(DecodeError::Upstream(fault)) => Err(Ending::Failed(fault, None)),
            Err(error) => Err(Fault::new(Code::UpstreamError, error.to_string()).into()),
        }
    }

    /// Returns a failure before the first content as a failure of the attempt. A later one belongs
    /// to the answer and is kept in `deferred_failure`, so that the result does not depend on how
    /// the bytes were split into reads.
    pub(super) fn defer_if_decided(&mut self, read: Result<(), Ending>) -> Result<(), Ending> {
        match read {
            Err(ending) if self.decided => {
                self.deferred_failure = Some(ending);
                Ok(())
            }
            read => read,
        }
    }

    /// Returns the entry that names the provider and the model.
    pub(super) fn route_entry(&self) -> Entry {
        Entry::new(smallvec::smallvec![Event::Route(Box::new(
            self.route.clone()
        ))])
    }

    /// Reads the rest of the body of a complete answer for a short time, so that its connection can
    /// be reused.
    pub(super) fn retire(mut self: Box<Self>) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // Usually the body has already ended, and no task is needed.
        if let Poll::Ready(None) = self.body.poll_chunk(&mut cx) {
            return;
        }
        if !self.body.has_connection() {
            return;
        }
        // In a separate task, so that the journal can end at once.
        tokio::spawn(async move {
            let tail = async { while let Some(Ok(_)) = self.body.chunk().await {} };
            // Whether the body ended in time or not, dropping it returns or closes the connection.
            drop(tokio::time::timeout(MAX_TAIL, tail).await);
        });
    }
}

/// Returns the route event of an answer. Payloads are passed on unchanged (`raw`) when the answer
/// has the requested form and the dialect of the client is the same as the wire.
fn new_route(
    context: &AttemptContext,
    wire: &'static dyn Wire,
    request_id: Option<ByteString>,
    as_asked: bool,
) -> Route {
    let (target, wire) = (&context.target, wire.id());
    let raw = as_asked && context.ask.head.dialect.wire() == Some(wire);
    Route {
        provider: target.provider.name.clone(),
        model: target.model.clone(),
        wire,
        raw,
        request_id,
    }
}
