//! Bytes: framing of input, encoding of output. Depends on no other module of this crate except for
//! ids in `model`.
//!
//! Invariants: frames are slices of the input; pending bytes are bounded; a scan resumes where it
//! stopped, so that every split of the same bytes costs about the same and gives the same frames.

pub mod aws;
pub mod date;
pub mod json;
pub mod json_array;
pub mod lenient;
mod mark;
pub mod members;
pub mod ndjson;
pub mod quantity;
pub mod sse;
pub mod sse_writer;
pub mod text;

use bytes::BytesMut;
use bytestring::ByteString;

/// Maximum size of a frame, bytes. A larger one ends its stream with an error.
///
/// The longest frames in recordings are images of about 100 KB; base64 images and files reach
/// several MB.
pub const FRAME_BOUND: usize = 16 * 1024 * 1024;

/// One frame of an upstream's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The event's name if the framing has one (SSE, AWS), or the type of an exception; else empty.
    pub name: ByteString,
    /// The payload. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub data: ByteString,
    /// The kind of the frame.
    pub kind: FrameKind,
}

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A complete frame.
    Whole,
    /// The rest of an input that ended inside a frame, such as an SSE event without its blank line.
    /// The SSE standard discards it; a decoder may check whether its payload is complete.
    Unterminated,
    /// Lines that are not part of the format, kept (bounded) until the end of the input: some
    /// providers write an error object directly into the body, or in a field named `error`.
    Stray,
    /// A failure that the framing itself distinguishes from events (AWS). Its type is the name, and
    /// the payload is a JSON object with a `message`.
    Exception,
}

/// The reason that an input could not be cut into frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame is larger than the bound.
    #[error("a single frame is larger than {bound} bytes")]
    TooLong {
        /// The bound, bytes.
        bound: usize,
    },
    /// A checksum is wrong.
    #[error("the checksum of a {part} is wrong: bytes were lost or changed in transit")]
    Corrupt {
        /// The checked part: `prelude` or `message`.
        part: &'static str,
    },
    /// The length of a message is smaller than that of its parts.
    #[error("a message of {total} bytes cannot have {headers} bytes of headers")]
    Lengths {
        /// The declared length of the message, bytes.
        total: usize,
        /// The declared length of its headers, bytes.
        headers: usize,
    },
    /// The headers of a message are not valid.
    #[error("the headers of a message are not valid: {what}")]
    Headers {
        /// The problem, without any content.
        what: &'static str,
    },
}

/// Cuts bytes into frames.
pub trait Framing: Send {
    /// Removes the next complete frame from `buf`. Returns `None` when more bytes are needed.
    ///
    /// # Errors
    /// When a frame, complete or not, is larger than [`FRAME_BOUND`] or is not valid. No frame
    /// follows after that.
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError>;

    /// Returns the rest of an input that has ended, one frame per call, until `None`. Before that,
    /// [`Framing::next`] must be called until it returns `None`.
    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame>;
}
