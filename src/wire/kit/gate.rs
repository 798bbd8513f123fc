//! The checks before a frame is decoded, and the end of a stream.
//!
//! A decoder has one [`Gate`]. It asks [`Gate::admit`] (or [`Gate::is_over`], if not every payload
//! of its wire is a JSON object) about each frame, calls [`Gate::complete`] at the wire's terminal
//! marker, and [`Gate::finish`] at the end of the body.
//!
//! Invariants: nothing is decoded after the terminal marker; a body that ends before it is cut
//! short; a frame that is not decoded is a marker for raw readers.

use serde_json::value::RawValue;

use crate::codec::{Frame, FrameKind};
use crate::wire::{DecodeError, Decoded};

/// The state of a stream: complete or not.
#[derive(Default)]
pub(in crate::wire) struct Gate {
    done: bool,
}

/// The handling of a frame.
pub(in crate::wire) enum Admitted {
    /// A JSON object, or the beginning of one if the body ended inside it.
    Object,
    /// Text outside of the format: a marker of another wire, or an error that a failing server
    /// wrote into the body.
    Foreign,
    /// Nothing to decode, because the answer is already complete.
    Nothing,
}

impl Gate {
    /// Checks a frame of a wire whose payloads are all JSON objects.
    pub(in crate::wire) fn admit(&self, frame: &Frame, out: &mut Decoded) -> Admitted {
        if self.is_over(out) {
            return Admitted::Nothing;
        }
        let is_object = frame.data.trim_ascii_start().starts_with('{');
        if is_object && frame.kind != FrameKind::Stray {
            return Admitted::Object;
        }
        out.marker = true;
        Admitted::Foreign
    }

    /// Returns true after the terminal marker. Routers append the terminal marker of another wire.
    pub(in crate::wire) fn is_over(&self, out: &mut Decoded) -> bool {
        out.marker |= self.done;
        self.done
    }

    /// Completes the stream: the wire's terminal marker has arrived.
    pub(in crate::wire) fn complete(&mut self, out: &mut Decoded) {
        self.done = true;
        out.done = true;
    }

    /// Checks that the stream was complete when its body ended.
    ///
    /// # Errors
    /// When the terminal marker has not arrived.
    pub(in crate::wire) fn finish(&self) -> Result<(), DecodeError> {
        if self.done {
            Ok(())
        } else {
            Err(DecodeError::CutShort)
        }
    }
}

/// Returns true, and marks the frame, if the body ended inside it. Such a frame is skipped if it
/// cannot be read: [`Gate::finish`] decides whether the answer is complete without it.
pub(in crate::wire) fn skip_cut(frame: &Frame, out: &mut Decoded) -> bool {
    let is_cut = frame.kind == FrameKind::Unterminated;
    out.marker |= is_cut;
    is_cut
}

/// Returns the first JSON object in text outside of the format, such as `error: {…}`.
pub(in crate::wire) fn first_object(text: &str) -> Option<&RawValue> {
    let json = text.find('{').and_then(|at| text.get(at..))?;
    let mut values = serde_json::Deserializer::from_str(json).into_iter();
    values.next()?.ok()
}
