//! An answer that is not streamed: one body, which becomes one entry.

use bytes::BytesMut;
use bytestring::ByteString;
use tokio::time::timeout_at;

use super::Ending;
use super::answer::{Answer, AttemptContext, collect};
use super::clock::Running;
use super::closing::Accounting;
use super::finishing::Unfinished;
use super::live::Live;
use super::transport::Body;
use crate::hub::Cause;
use crate::model::entry::{Entry, Payload};
use crate::model::fault::{Code, Fault};
use crate::model::target::OnCancel;
use crate::wire::{DecodeError, Wire};

/// An answer's body that is read, at the most.
const BYTES: usize = 64 * 1024 * 1024;

/// An answer in one body, being read.
pub(super) struct Whole {
    context: AttemptContext,
    wire: &'static dyn Wire,
    request_id: Option<ByteString>,
    body: Body,
    text: BytesMut,
    running: Running,
}

impl Whole {
    pub(super) fn new(answer: Answer) -> Self {
        let request_id = answer.request_id();
        let Answer {
            context,
            wire,
            running,
            body,
            ..
        } = answer;
        Self {
            context,
            wire,
            request_id,
            body,
            text: BytesMut::new(),
            running,
        }
    }

    /// Reads it to its end. Whoever stops may go on later.
    pub(super) async fn read(&mut self) -> Result<(), Fault> {
        let (at, clock) = self.running.next();
        timeout_at(at, collect(&mut self.body, &mut self.text, BYTES))
            .await
            .map_err(|_| clock.ran_out(&self.running.clocks))?
    }

    /// It is cancelled: it may have to be read on.
    pub(super) fn stopped(self: Box<Self>, cause: Cause) -> Ending {
        let finishes = self.context.target.provider.on_cancel == OnCancel::Finish;
        Ending::Cancelled(cause, finishes.then_some(Unfinished::Whole(self)))
    }

    /// What it says, once it is read.
    pub(super) fn decode(self, accounting: &mut Accounting) -> Result<Box<Live>, Fault> {
        let Self {
            context,
            wire,
            request_id,
            body,
            text,
            running,
        } = self;
        drop(body);
        let text = text.freeze();
        let (events, usage) = wire
            .whole(&text, context.stream.id().as_str())
            .map_err(|error| match error {
                DecodeError::Upstream(fault) => *fault,
                other => Fault::new(Code::UpstreamError, other.to_string()),
            })?;
        let mut live = Live::done(&context, wire, request_id, running);
        let raw = if live.route.raw {
            let data = ByteString::try_from(text).map_err(|_| {
                Fault::new(Code::UpstreamError, "the upstream's answer is not UTF-8")
            })?;
            Some(Payload {
                name: ByteString::new(),
                data,
            })
        } else {
            None
        };
        live.entries.push(Entry { raw, events });
        accounting.usage = usage;
        accounting.count(&live.entries);
        accounting.first_content = Some(std::time::Instant::now());
        Ok(Box::new(live))
    }
}
