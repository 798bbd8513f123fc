//! Decodes the events of a ConverseStream.
//!
//! Invariants: the stream is complete once `messageStop` and `metadata` have arrived, in any order;
//! the one `Finish` is emitted then, after all content. A body that ends earlier was cut short. An
//! exception ends the stream at any position. Unknown event types are not errors.

use bytestring::ByteString;

use super::blocks::Blocks;
use super::refusal;
use super::shape::{self, BlockDelta, BlockEdge, MessageStop, Metadata, Text};
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Event, Events, Finish, Reason};
use crate::wire::{Decode, DecodeError, Decoded};

/// The decoder of one stream.
pub(super) struct Decoder {
    blocks: Blocks,
    /// The stop reason, once `messageStop` has arrived.
    ending: Option<Ending>,
    /// True once `metadata` has arrived.
    has_metadata: bool,
    done: bool,
}

impl Decoder {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            blocks: Blocks::new(seed),
            ending: None,
            has_metadata: false,
            done: false,
        }
    }

    fn read_event(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let (name, data) = (&*frame.name, &frame.data);
        match name {
            "contentBlockDelta" => {
                let piece: BlockDelta<'_> = shape::read(data, name)?;
                self.blocks.delta(&piece, data, &mut out.events)?;
            }
            "contentBlockStart" => {
                let edge: BlockEdge<'_> = shape::read(data, name)?;
                if let Some(start) = edge.start {
                    self.blocks.start(
                        edge.content_block_index.map_or(0, |index| index.0),
                        start,
                        data,
                        &mut out.events,
                    )?;
                }
            }
            "contentBlockStop" => {
                let edge: BlockEdge<'_> = shape::read(data, name)?;
                self.blocks.stop(
                    edge.content_block_index.map_or(0, |index| index.0),
                    &mut out.events,
                );
            }
            "messageStop" => {
                let stop: MessageStop<'_> = shape::read(data, name)?;
                self.ending = Some(Ending::from_native(stop.stop_reason.as_ref(), data));
            }
            "metadata" => {
                let metadata: Metadata = shape::read(data, name)?;
                // Without counts the stream still ends here; its usage is estimated elsewhere.
                out.usage = metadata.usage.map(|counts| counts.usage());
                self.has_metadata = true;
            }
            // A failure may also arrive as an ordinary event under an exception's name.
            _ if name.ends_with("Exception") => return Err(exception(frame)),
            _ => {}
        }
        // `metadata`, with the usage, comes after `messageStop`: finishing earlier would lose it.
        if self.has_metadata && self.ending.is_some() {
            self.complete(&mut out.events);
            out.done = true;
        }
        Ok(())
    }

    fn complete(&mut self, out: &mut Events) {
        // Nothing may follow the `Finish`, so blocks that the server left open stop before it.
        self.blocks.stop_all(out);
        out.push(
            self.ending
                .take()
                .unwrap_or_default()
                .finish(self.blocks.has_calls()),
        );
        self.done = true;
    }
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        match frame.kind {
            // Nothing after the end belongs to the answer.
            _ if self.done => out.marker = true,
            FrameKind::Whole => self.read_event(frame, out)?,
            FrameKind::Exception => return Err(exception(frame)),
            // A truncated message contains nothing that can be decoded.
            FrameKind::Unterminated | FrameKind::Stray => out.marker = true,
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Decoded) -> Result<(), DecodeError> {
        if self.done {
            Ok(())
        } else {
            // Also after `messageStop`: without `metadata` the answer is not known to be complete.
            Err(DecodeError::CutShort)
        }
    }
}

fn exception(frame: &Frame) -> DecodeError {
    DecodeError::Upstream(Box::new(refusal::read_payload(&frame.name, &frame.data)))
}

/// The stop reason of the answer, as far as it is known.
#[derive(Default)]
pub(super) struct Ending(Option<(Reason, ByteString)>);

impl Ending {
    /// Reads a stop reason.
    pub(super) fn from_native(native: Option<&Text<'_>>, frame: &ByteString) -> Self {
        Self(native.map(|native| {
            (
                shape::finish_reason(native.as_str()),
                native.slice_of(frame),
            )
        }))
    }

    /// Returns the `Finish` of the only choice.
    pub(super) fn finish(self, has_calls: bool) -> Event {
        // Without a stop reason only the content can tell why the answer ended.
        let default = if has_calls {
            Reason::ToolCalls
        } else {
            Reason::Stop
        };
        let (reason, native) = self
            .0
            .map_or((default, None), |(reason, native)| (reason, Some(native)));
        Event::Finish(Box::new(Finish {
            choice: 0,
            reason,
            native,
        }))
    }
}

#[cfg(test)]
mod tests;
