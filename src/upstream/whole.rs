//! An answer that is not streamed: one body, which becomes one entry.

use bytes::BytesMut;
use bytestring::ByteString;
use tokio::time::timeout_at;

use super::answer::{Answer, AttemptContext};
use super::clock::RunningClocks;
use super::closing::Accounting;
use super::live::LiveAnswer;
use super::transport::Body;
use crate::model::entry::{Entry, Payload};
use crate::model::fault::{Code, Fault};
use crate::wire::{DecodeError, Wire};

/// Maximum size of the body, bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// An answer in one body, in progress.
pub(super) struct WholeAnswer {
    pub(super) context: AttemptContext,
    wire: &'static dyn Wire,
    request_id: Option<ByteString>,
    body: Body,
    text: BytesMut,
    running: RunningClocks,
}

impl WholeAnswer {
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

    /// Reads the body to its end. It can be cancelled and called again.
    pub(super) async fn read(&mut self) -> Result<(), Fault> {
        let (at, clock) = self.running.next_expiry();
        timeout_at(at, self.body.collect(&mut self.text, MAX_BYTES))
            .await
            .map_err(|_| clock.timeout_fault(&self.running.clocks))?
    }

    /// Decodes the complete body.
    pub(super) fn decode(self, accounting: &mut Accounting) -> Result<Box<LiveAnswer>, Fault> {
        let Self {
            context,
            wire,
            request_id,
            body,
            text,
            running,
        } = self;
        // Return the connection to the pool before decoding.
        drop(body);
        let text = text.freeze();
        let (events, usage) = wire
            .whole(&text, context.stream.id().as_str())
            .map_err(|error| match error {
                DecodeError::Upstream(fault) => *fault,
                other => Fault::new(Code::UpstreamError, other.to_string()),
            })?;
        let mut live = LiveAnswer::complete(&context, wire, request_id, running);
        let raw = if live.route.raw {
            // Raw payloads are JSON, so a body that is not UTF-8 cannot be passed on.
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
