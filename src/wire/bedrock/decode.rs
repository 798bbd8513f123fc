//! The events of a ConverseStream.
//!
//! Invariants: the one `Finish` comes when the stream is complete, behind all content: with
//! `messageStop` and `metadata`, in whichever order. A body that ends before both have come was cut
//! short. An exception ends it wherever it stands. Unknown kinds of events are no error.

use bytestring::ByteString;

use super::blocks::Blocks;
use super::refusal;
use super::shape::{self, Edge, MessageStop, Metadata, Piece, Text};
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Event, Events, Finish, Reason};
use crate::wire::{Decode, DecodeError, Decoded};

/// The state of one stream.
pub(super) struct Decoder {
    blocks: Blocks,
    /// What `messageStop` said.
    ending: Option<Ending>,
    /// `metadata` has come.
    metered: bool,
    done: bool,
}

impl Decoder {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            blocks: Blocks::new(seed),
            ending: None,
            metered: false,
            done: false,
        }
    }

    fn event(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let (name, data) = (&*frame.name, &frame.data);
        match name {
            "contentBlockDelta" => {
                let piece: Piece<'_> = shape::read(data, name)?;
                self.blocks.piece(&piece, data, &mut out.events)?;
            }
            "contentBlockStart" => {
                let edge: Edge<'_> = shape::read(data, name)?;
                if let Some(start) = edge.start {
                    self.blocks.begin(
                        edge.content_block_index.unwrap_or_default(),
                        start,
                        data,
                        &mut out.events,
                    )?;
                }
            }
            "contentBlockStop" => {
                let edge: Edge<'_> = shape::read(data, name)?;
                self.blocks.end(
                    edge.content_block_index.unwrap_or_default(),
                    &mut out.events,
                );
            }
            "messageStop" => {
                let stop: MessageStop<'_> = shape::read(data, name)?;
                self.ending = Some(Ending::of(stop.stop_reason.as_ref(), data));
            }
            "metadata" => {
                let metadata: Metadata = shape::read(data, name)?;
                out.usage = metadata.usage.map(|counts| counts.usage());
                self.metered = true;
            }
            _ if name.ends_with("Exception") => return Err(failed(frame)),
            _ => {}
        }
        if self.metered && self.ending.is_some() {
            self.complete(&mut out.events);
            out.done = true;
        }
        Ok(())
    }

    fn complete(&mut self, out: &mut Events) {
        self.blocks.end_all(out);
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
            _ if self.done => out.marker = true,
            FrameKind::Whole => self.event(frame, out)?,
            FrameKind::Exception => return Err(failed(frame)),
            FrameKind::Unended | FrameKind::Stray => out.marker = true,
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Decoded) -> Result<(), DecodeError> {
        if self.done {
            Ok(())
        } else {
            Err(DecodeError::CutShort)
        }
    }
}

fn failed(frame: &Frame) -> DecodeError {
    DecodeError::Upstream(Box::new(refusal::told(&frame.name, &frame.data)))
}

/// How the answer ended, as far as it was told.
#[derive(Default)]
pub(super) struct Ending(Option<(Reason, ByteString)>);

impl Ending {
    /// What a stop reason says.
    pub(super) fn of(native: Option<&Text<'_>>, frame: &ByteString) -> Self {
        Self(native.map(|native| (shape::reason(native.as_str()), native.of(frame))))
    }

    /// The `Finish` of the one choice.
    pub(super) fn finish(self, has_calls: bool) -> Event {
        let untold = if has_calls {
            Reason::ToolCalls
        } else {
            Reason::Stop
        };
        let (reason, native) = self
            .0
            .map_or((untold, None), |(reason, native)| (reason, Some(native)));
        Event::Finish(Box::new(Finish {
            choice: 0,
            reason,
            native,
        }))
    }
}

#[cfg(test)]
mod tests;
