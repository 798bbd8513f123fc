//! An answer under way: its bytes become frames, frames become entries.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

use super::Ending;
use super::clock::Running;
use super::closing::Tally;
use super::transport::Body;
use crate::codec::{Frame, Framing};
use crate::model::ask::Ask;
use crate::model::entry::{Entry, Payload};
use crate::model::event::{Event, Route};
use crate::model::fault::{Code, Fault};
use crate::model::wire::Wire;
use crate::provider::{Decode, DecodeError, Decoded};

/// How long an answer that is complete may take to end its body, so that its connection can be used again.
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
}

impl Live {
    /// Takes bytes in. Entries are added to `entries`, also those before a failure.
    pub(super) fn take(&mut self, chunk: &Bytes, tally: &mut Tally) -> Result<(), Ending> {
        self.running.byte();
        if self.buf.capacity() - self.buf.len() < chunk.len() {
            self.buf.reserve(chunk.len().max(BLOCK));
        }
        self.buf.extend_from_slice(chunk);
        let before = self.entries.len();
        let result = self.drain(tally);
        tally.count(self.entries.get(before..).unwrap_or_default());
        result
    }

    fn drain(&mut self, tally: &mut Tally) -> Result<(), Ending> {
        while !self.done {
            match self.framing.next(&mut self.buf) {
                Ok(Some(frame)) => self.frame(frame, tally)?,
                Ok(None) => break,
                Err(error) => return Err(Fault::new(Code::UpstreamError, format!("the upstream's stream: {error}")).into()),
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: Frame, tally: &mut Tally) -> Result<(), Ending> {
        self.decoded.clear();
        let result = self.decoder.decode(&frame, &mut self.decoded);
        let decoded = &mut self.decoded;
        if decoded.usage.is_some() {
            tally.usage = decoded.usage;
        }
        if let Err(error) = result {
            return Err(self.failed(error, frame));
        }
        self.done = decoded.done;
        if !self.decided && (decoded.done || decoded.events.iter().any(Event::is_content)) {
            self.decided = true;
            self.running.content();
        }
        let withheld = decoded.marker || decoded.usage_only && !self.ask.include_usage || frame.data.is_empty();
        let raw = (self.route.raw && !withheld).then(|| Payload { name: frame.name, data: frame.data });
        // What is left out of a raw stream keeps its number; elsewhere nothing came of it.
        if raw.is_some() || !decoded.events.is_empty() || self.route.raw && decoded.usage_only {
            self.entries.push(Entry { raw, events: std::mem::take(&mut decoded.events) });
        }
        Ok(())
    }

    fn failed(&self, error: DecodeError, frame: Frame) -> Ending {
        match error {
            DecodeError::Upstream(fault) => {
                let passed_on = self.route.raw && !self.decoded.marker && !frame.data.is_empty();
                let payload = passed_on.then_some(Payload { name: frame.name, data: frame.data });
                Ending::Failed(fault, payload)
            }
            other => Fault::new(Code::UpstreamError, other.to_string()).into(),
        }
    }

    /// The body has ended: what is left of it, and whether it was complete.
    pub(super) fn end(&mut self, tally: &mut Tally) -> Result<(), Ending> {
        let before = self.entries.len();
        let result = self.end_frames(tally);
        tally.count(self.entries.get(before..).unwrap_or_default());
        result
    }

    fn end_frames(&mut self, tally: &mut Tally) -> Result<(), Ending> {
        while let Some(frame) = self.framing.finish(&mut self.buf) {
            self.frame(frame, tally)?;
        }
        if self.done {
            return Ok(());
        }
        self.decoded.clear();
        let finished = self.decoder.finish(&mut self.decoded);
        if !self.decoded.events.is_empty() {
            self.entries.push(Entry::of(std::mem::take(&mut self.decoded.events)));
        }
        match finished {
            Ok(()) => {
                self.done = true;
                self.decided = true;
                if self.decoded.usage.is_some() {
                    tally.usage = self.decoded.usage;
                }
                Ok(())
            }
            Err(DecodeError::Upstream(fault)) => Err(Ending::Failed(fault, None)),
            Err(error) => Err(Fault::new(Code::UpstreamError, error.to_string()).into()),
        }
    }

    /// A failure before the first content is the attempt's; one behind it belongs to the answer, however the bytes were
    /// cut into reads.
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
        Entry::of(smallvec::smallvec![Event::Route(Box::new(self.route.clone()))])
    }

    /// Reads what is left of a complete answer's body, for a moment, so that its connection can serve again.
    pub(super) fn retire(mut self: Box<Self>) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if let Poll::Ready(None) = self.body.poll_chunk(&mut cx) {
            return;
        }
        let Body::Http(_) = self.body else { return };
        tokio::spawn(async move {
            let tail = async { while let Some(Ok(_)) = self.body.chunk().await {} };
            // Ended or not: the connection is given back or closed when the body is dropped.
            drop(tokio::time::timeout(TAIL, tail).await);
        });
    }
}

/// What the journal says of a target.
pub(super) fn route(ask: &Ask, provider: &ByteString, model: &ByteString, wire: Wire, request_id: Option<ByteString>) -> Route {
    Route { provider: provider.clone(), model: model.clone(), wire, raw: ask.tongue.wire() == Some(wire), request_id }
}
