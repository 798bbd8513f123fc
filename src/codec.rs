//! Bytes: framing of what comes in, spelling of what goes out. Imports nothing of ours but the
//! vocabulary's ids.
//!
//! Invariants: frames are slices of what was read; pending bytes are bounded; a scan resumes where
//! it stopped, so that any split of the same bytes costs about the same and gives the same frames.

pub mod aws;
pub mod date;
pub mod json;
pub mod json_array;
pub mod members;
pub mod ndjson;
pub mod sse;
pub mod sse_writer;
pub mod text;

use bytes::BytesMut;
use bytestring::ByteString;

/// The most bytes one frame may have before its stream is ended with an error.
///
/// The longest frames seen in recordings are images of some 100 KB; base64 images and files reach
/// several MB.
pub const FRAME_BOUND: usize = 16 * 1024 * 1024;

/// One frame of an upstream's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The event's name where the framing has one (SSE, AWS); else empty. Of an exception, its
    /// type.
    pub name: ByteString,
    /// The payload. Bytes that were not UTF-8 have become U+FFFD.
    pub data: ByteString,
    /// What it is.
    pub kind: FrameKind,
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A whole frame, properly ended.
    Whole,
    /// The last event of an input that ended before its final blank line. The standard discards it;
    /// a decoder may look whether it is complete all the same.
    Unended,
    /// Lines that are no part of the format, kept (bounded) until the end of input: some providers
    /// write an error object bare into the body, or under a field of its own name.
    Stray,
    /// A failure that the framing itself tells apart from events (AWS): its type is the name, and
    /// the payload a JSON object with a `message`.
    Exception,
}

/// Why an input could not be framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame outgrew the bound.
    #[error("a single frame is larger than {bound} bytes")]
    TooLong {
        /// The bound that was passed.
        bound: usize,
    },
    /// A checksum does not fit.
    #[error("the checksum of a {part} does not fit: bytes were lost or changed on the way")]
    Corrupt {
        /// What it is of.
        part: &'static str,
    },
    /// A message says it is shorter than its own parts.
    #[error("a message of {total} bytes cannot have {headers} bytes of headers")]
    Lengths {
        /// Its whole length, as told.
        total: usize,
        /// That of its headers, as told.
        headers: usize,
    },
    /// The headers of a message are not what the format has there.
    #[error("the headers of a message cannot be read: {what}")]
    Headers {
        /// What is wrong with them; no content.
        what: &'static str,
    },
}

/// Cuts bytes into frames.
pub trait Framing: Send {
    /// The next whole frame in `buf`, which is consumed with it; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When a frame, whole or not, is larger than [`FRAME_BOUND`], or is not what the format has.
    /// Nothing is cut after that.
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError>;

    /// The input has ended: what is left, one frame a call, until `None`. First [`Framing::next`]
    /// is called until it gives none.
    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame>;
}
