//! An answer under way: its bytes become frames, frames become entries.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::Ending;
use super::answer::{Answer, AttemptContext};
use super::clock::Running;
use super::closing::Accounting;
use super::finishing::Unfinished;
use super::transport::Body;
use crate::codec::{Frame, Framing};
use crate::model::ask::Ask;
use crate::model::entry::{Entry, Payload};
use crate::model::event::{Event, Events, Route};
use crate::model::fault::{Code, Fault};
use crate::model::target::OnCancel;
use crate::wire::{Decode, DecodeError, Decoded, Wire};

/// How long an answer that is complete may take to end its body, so that its connection can be used
/// again.
const TAIL: Duration = Duration::from_millis(500);

/// Room made for bytes at a time: some tokens share one allocation, and little of it lies idle.
const BLOCK: usize = 2048;

/// An answer under way.
pub(super) struct Live {
    pub(super) ask: Arc<Ask>,
    pub(super) route: Route,
    pub(super) body: Body,
    pub(super) framing: Box<dyn Framing>,
    pub(super) decoder: Box<dyn Decode>,
    pub(super) running: Running,
    pub(super) buf: BytesMut,
    pub(super) decoded: Decoded,
    /// Content or the terminal marker has come.
    pub(super) decided: bool,
    /// The terminal marker has come.
    pub(super) done: bool,
    /// How it failed behind its first content, in the same read: told when that is journaled.
    pub(super) failed: Option<Ending>,
    /// Entries not yet journaled.
    pub(super) entries: Vec<Entry>,
    on_cancel: OnCancel,
}

impl Live {
    /// A streamed answer, of which nothing was read yet.
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
        let route = route(&context, wire, request_id, context.ask.stream);
        Self::of(&context, wire, route, body, framing, running)
    }

    /// An answer that came as one body, whose entry is still to be put in.
    pub(super) fn done(
        context: &AttemptContext,
        wire: &'static dyn Wire,
        request_id: Option<ByteString>,
        running: Running,
    ) -> Self {
        let route = route(context, wire, request_id, !context.ask.stream);
        let body = Body::Http(reqwest::Body::default());
        Self {
            done: true,
            decided: true,
            ..Self::of(context, wire, route, body, wire.framing(""), running)
        }
    }

    fn of(
        context: &AttemptContext,
        wire: &'static dyn Wire,
        route: Route,
        body: Body,
        framing: Box<dyn Framing>,
        running: Running,
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
            failed: None,
            entries: Vec::new(),
            on_cancel: context.target.provider.on_cancel,
        }
    }

    /// Takes bytes in. Entries are added to `entries`, also those before a failure.
    pub(super) fn take(
        &mut self,
        chunk: &Bytes,
        accounting: &mut Accounting,
    ) -> Result<(), Ending> {
        self.running.byte();
        if self.buf.capacity() - self.buf.len() < chunk.len() {
            self.buf.reserve(chunk.len().max(BLOCK));
        }
        self.buf.extend_from_slice(chunk);
        let before = self.entries.len();
        let result = self.drain(accounting);
        accounting.count(self.entries.get(before..).unwrap_or_default());
        result
    }

    fn drain(&mut self, accounting: &mut Accounting) -> Result<(), Ending> {
        while !self.done {
            match self.framing.next(&mut self.buf) {
                Ok(Some(frame)) => self.frame(frame, accounting)?,
                Ok(None) => break,
                Err(error) => {
                    return Err(Fault::new(
                        Code::UpstreamError,
                        format!("the upstream's stream: {error}"),
                    )
                    .into());
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: Frame, accounting: &mut Accounting) -> Result<(), Ending> {
        self.decoded.clear();
        let result = self.decoder.decode(&frame, &mut self.decoded);
        let decoded = &mut self.decoded;
        if decoded.usage.is_some() {
            accounting.usage = decoded.usage;
        }
        if let Err(error) = result {
            return Err(self.failed(error, frame));
        }
        self.done = decoded.done;
        if !self.decided && (decoded.done || decoded.events.iter().any(Event::is_content)) {
            self.decided = true;
            self.running.content();
        }
        let withheld = decoded.marker
            || decoded.usage_only && !self.ask.include_usage
            || frame.data.is_empty();
        let raw = (self.route.raw && !withheld).then(|| Payload {
            name: frame.name,
            data: frame.data,
        });
        // What is left out of a raw stream keeps its number; elsewhere nothing came of it.
        if raw.is_some() || !decoded.events.is_empty() || self.route.raw && decoded.usage_only {
            self.entries.push(Entry {
                raw,
                events: std::mem::take(&mut decoded.events),
            });
        }
        Ok(())
    }

    fn failed(&mut self, error: DecodeError, frame: Frame) -> Ending {
        match error {
            DecodeError::Upstream(fault) => {
                let passed_on = self.route.raw && !self.decoded.marker && !frame.data.is_empty();
                let payload = passed_on.then_some(Payload {
                    name: frame.name,
                    data: frame.data,
                });
                if !self.decoded.unspoken {
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

    /// The body has ended: what is left of it, and whether it was complete.
    pub(super) fn end(&mut self, accounting: &mut Accounting) -> Result<(), Ending> {
        let before = self.entries.len();
        let result = self.end_frames(accounting);
        accounting.count(self.entries.get(before..).unwrap_or_default());
        result
    }

    fn end_frames(&mut self, accounting: &mut Accounting) -> Result<(), Ending> {
        while let Some(frame) = self.framing.finish(&mut self.buf) {
            self.frame(frame, accounting)?;
        }
        if self.done {
            return Ok(());
        }
        self.decoded.clear();
        let finished = self.decoder.finish(&mut self.decoded);
        if !self.decoded.events.is_empty() {
            self.entries
                .push(Entry::of(std::mem::take(&mut self.decoded.events)));
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

    /// A failure before the first content is the attempt's; one behind it belongs to the answer,
    /// however the bytes were cut into reads.
    pub(super) fn unless_decided(&mut self, read: Result<(), Ending>) -> Result<(), Ending> {
        match read {
            Err(ending) if self.decided => {
                self.failed = Some(ending);
                Ok(())
            }
            read => read,
        }
    }

    /// The entry that says who answers.
    pub(super) fn route_entry(&self) -> Entry {
        Entry::of(smallvec::smallvec![Event::Route(Box::new(
            self.route.clone()
        ))])
    }

    /// It is to end like that: by a cancel it may have to be read on.
    pub(super) fn stopped(self: Box<Self>, ending: Ending) -> Ending {
        match ending {
            Ending::Cancelled(cause, _) if self.on_cancel == OnCancel::Finish => {
                Ending::Cancelled(cause, Some(Unfinished::Stream(self)))
            }
            other => other,
        }
    }

    /// Reads what is left of a complete answer's body, for a moment, so that its connection can
    /// serve again.
    pub(super) fn retire(mut self: Box<Self>) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(None) = self.body.poll_chunk(&mut cx) {
            return;
        }
        if !self.body.has_connection() {
            return;
        }
        tokio::spawn(async move {
            let tail = async { while let Some(Ok(_)) = self.body.chunk().await {} };
            // Ended or not: the connection is given back or closed when the body is dropped.
            drop(tokio::time::timeout(TAIL, tail).await);
        });
    }
}

/// What the journal says of who answers. What comes is passed on as it is where it has the form
/// that was asked for, and the client speaks as the upstream does.
fn route(
    context: &AttemptContext,
    wire: &'static dyn Wire,
    request_id: Option<ByteString>,
    as_asked: bool,
) -> Route {
    let (target, wire) = (&context.target, wire.id());
    let raw = as_asked && context.ask.dialect.wire() == Some(wire);
    Route {
        provider: target.provider.name.clone(),
        model: target.model.clone(),
        wire,
        raw,
        request_id,
    }
}
