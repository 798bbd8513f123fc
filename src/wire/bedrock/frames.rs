//! Decodes the events of a ConverseStream.
//!
//! Invariants: the stream is complete once `messageStop` and `metadata` have arrived, in any order;
//! the one `Finish` is emitted then, after all content. A body that ends earlier was cut short. An
//! exception ends the stream at any position. Unknown event types are not errors.

mod blocks;
mod citations;
mod ending;
mod usage;
mod whole;

use bytestring::ByteString;

use self::blocks::Blocks;
use super::refusal;
use super::shape::{BlockDelta, BlockEdge, MessageStop, Metadata};
use crate::codec::{Frame, FrameKind};
use crate::model::wire::WireId;
use crate::wire::kit::gate::Gate;
use crate::wire::kit::sink::{self, Sink};
use crate::wire::{Decode, DecodeError, Decoded};

pub(super) use self::whole::read_whole;

/// The decoder of one stream.
pub(super) struct Decoder {
    gate: Gate,
    blocks: Blocks,
    /// True once `messageStop` has arrived.
    has_stopped: bool,
    /// The stop reason that it contained.
    stop_reason: Option<ByteString>,
    /// True once `metadata` has arrived.
    has_metadata: bool,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        if self.gate.is_over(out) {
            return Ok(());
        }
        match frame.kind {
            FrameKind::Whole => self.read_event(frame, out)?,
            FrameKind::Exception => return Err(exception(frame)),
            // A truncated message contains nothing that can be decoded.
            FrameKind::Unterminated | FrameKind::Stray => out.marker = true,
        }
        Ok(())
    }

    /// Also an error after `messageStop`: without `metadata` the answer is not known to be complete.
    fn finish(&mut self, _: &mut Decoded) -> Result<(), DecodeError> {
        self.gate.finish()
    }
}

impl Decoder {
    /// Returns a decoder. Ids that the provider does not send are made from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            gate: Gate::default(),
            blocks: Blocks::new(seed),
            has_stopped: false,
            stop_reason: None,
            has_metadata: false,
        }
    }

    fn read_event(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let (name, data) = (&*frame.name, &frame.data);
        let sink = &mut Sink::new(WireId::Bedrock, data, &mut out.events);
        match name {
            "contentBlockDelta" => {
                let piece: BlockDelta<'_> = sink::read(WireId::Bedrock, data, name)?;
                self.blocks.delta(&piece, sink)?;
            }
            "contentBlockStart" => {
                let edge: BlockEdge<'_> = sink::read(WireId::Bedrock, data, name)?;
                if let Some(start) = edge.start {
                    self.blocks.start(edge.index(), start, sink)?;
                }
            }
            "contentBlockStop" => {
                let edge: BlockEdge<'_> = sink::read(WireId::Bedrock, data, name)?;
                self.blocks.stop(edge.index(), sink);
            }
            "messageStop" => {
                let stop: MessageStop<'_> = sink::read(WireId::Bedrock, data, name)?;
                self.has_stopped = true;
                self.stop_reason = stop.stop_reason.map(|native| native.share(data));
            }
            "metadata" => {
                let metadata: Metadata = sink::read(WireId::Bedrock, data, name)?;
                // Without counts the stream still ends here; its usage is estimated elsewhere.
                out.usage = metadata.usage.as_ref().map(usage::read_usage);
                self.has_metadata = true;
            }
            // A failure may also arrive as an ordinary event under an exception's name.
            _ if name.ends_with("Exception") => return Err(exception(frame)),
            _ => {}
        }
        // `metadata`, with the usage, comes after `messageStop`: finishing earlier would lose it.
        if self.has_metadata && self.has_stopped {
            self.complete(frame, out);
        }
        Ok(())
    }

    fn complete(&mut self, frame: &Frame, out: &mut Decoded) {
        // Nothing may follow the `Finish`, so blocks that the server left open stop before it.
        let sink = &mut Sink::new(WireId::Bedrock, &frame.data, &mut out.events);
        self.blocks.stop_all(sink);
        let has_calls = self.blocks.has_calls();
        sink.push(ending::finish(self.stop_reason.take(), has_calls));
        self.gate.complete(out);
    }
}

fn exception(frame: &Frame) -> DecodeError {
    DecodeError::Upstream(Box::new(refusal::read_payload(&frame.name, &frame.data)))
}

#[cfg(test)]
mod tests;
