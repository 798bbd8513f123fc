//! Cuts AWS event streams (`application/vnd.amazon.eventstream`) into frames.
//!
//! A message is a prelude (its length, its headers' length, a checksum of these two), headers, a
//! payload, and a checksum of everything before it; all numbers are big-endian.
//!
//! Invariants: no length is used before its checksum was verified; the checksum of a message is
//! computed once, when the message is complete; frames are slices of the input; pending bytes never
//! exceed [`HEADERS_BOUND`] and [`PAYLOAD_BOUND`]; every split of the same bytes gives the same
//! frames.

mod headers;

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use crc32fast::Hasher;

use self::headers::Headers;
use super::{FRAME_BOUND, Frame, FrameError, FrameKind, Framing, json, text};

/// Maximum size of a message's headers, bytes: the format's own bound.
pub const HEADERS_BOUND: usize = 128 * 1024;

/// Maximum size of a message's payload, bytes. The format's own bound is 24 MiB.
pub const PAYLOAD_BOUND: usize = FRAME_BOUND;

/// Size of a prelude, bytes: two lengths and their checksum.
const PRELUDE: usize = 12;
/// Size of a checksum, bytes.
const CHECKSUM: usize = 4;

/// The framing of AWS event streams.
#[derive(Debug, Default)]
pub struct AwsEventStream {
    /// The verified prelude of the message at the front of the buffer.
    prelude: Option<Prelude>,
}

impl Framing for AwsEventStream {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let prelude = match self.prelude {
            Some(prelude) => prelude,
            None => match Prelude::read(buf)? {
                // Kept until the message is complete, so that its lengths are verified only once.
                Some(prelude) => *self.prelude.insert(prelude),
                None => return Ok(None),
            },
        };
        if buf.len() < prelude.total {
            return Ok(None);
        }
        self.prelude = None;
        prelude
            .frame(&buf.split_to(prelude.total).freeze())
            .map(Some)
    }

    /// Returns an empty frame for a message that was cut off: without its checksum no part of it
    /// can be trusted.
    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        self.prelude = None;
        let rest = buf.split();
        (!rest.is_empty()).then(|| Frame {
            name: ByteString::new(),
            data: ByteString::new(),
            kind: FrameKind::Unterminated,
        })
    }
}

/// The lengths of a message and its headers.
#[derive(Debug, Clone, Copy)]
struct Prelude {
    /// Length of the message, bytes. At least that of its prelude, headers and checksum.
    total: usize,
    /// Length of the headers, bytes.
    headers: usize,
    /// The checksum of the two lengths. The checksum of the message continues from it.
    checksum: u32,
}

impl Prelude {
    /// Reads the prelude at the front of `bytes`. Returns `None` while it is incomplete.
    fn read(bytes: &[u8]) -> Result<Option<Self>, FrameError> {
        let Some(prelude) = bytes.get(..PRELUDE) else {
            return Ok(None);
        };
        let (lengths, checksum) = prelude.split_at(PRELUDE - CHECKSUM);
        let checksum = number(checksum);
        if crc32fast::hash(lengths) != checksum {
            return Err(FrameError::Corrupt { part: "prelude" });
        }
        let (total, headers) = lengths.split_at(lengths.len() / 2);
        Self {
            total: length(total),
            headers: length(headers),
            checksum,
        }
        .checked()
        .map(Some)
    }

    /// Checks the lengths against each other and the bounds.
    fn checked(self) -> Result<Self, FrameError> {
        let Self { total, headers, .. } = self;
        let payload = total
            .checked_sub(PRELUDE + CHECKSUM)
            .and_then(|rest| rest.checked_sub(headers));
        match payload {
            None => Err(FrameError::Lengths { total, headers }),
            Some(_) if headers > HEADERS_BOUND => Err(FrameError::TooLong {
                bound: HEADERS_BOUND,
            }),
            Some(payload) if payload > PAYLOAD_BOUND => Err(FrameError::TooLong {
                bound: PAYLOAD_BOUND,
            }),
            Some(_) => Ok(self),
        }
    }

    /// Verifies and reads `message`, which is complete.
    fn frame(self, message: &Bytes) -> Result<Frame, FrameError> {
        let (covered, checksum) = message.split_at(self.total - CHECKSUM);
        // The message's checksum covers the prelude's, so that it starts there instead of at 0.
        let mut hasher = Hasher::new_with_initial(self.checksum);
        hasher.update(covered.get(PRELUDE - CHECKSUM..).unwrap_or_default());
        if hasher.finalize() != number(checksum) {
            return Err(FrameError::Corrupt { part: "message" });
        }
        let (headers, payload) = covered.split_at(PRELUDE + self.headers);
        let headers = Headers::read(headers.get(PRELUDE..).unwrap_or_default())?;
        Ok(frame(&headers, &message.slice_ref(payload), message))
    }
}

/// Returns the frame of a message, named by the type of its event, exception or error.
fn frame(headers: &Headers<'_>, payload: &Bytes, message: &Bytes) -> Frame {
    let (name, data, kind) = match headers.message_type {
        Some("exception") => (
            headers.exception_type,
            text::from_bytes(payload),
            FrameKind::Exception,
        ),
        Some("error") => (
            headers.error_code,
            error_payload(headers.error_message),
            FrameKind::Exception,
        ),
        _ => (
            headers.event_type,
            text::from_bytes(payload),
            FrameKind::Whole,
        ),
    };
    let name = name
        .map(|name| text::from_bytes(&message.slice_ref(name.as_bytes())))
        .unwrap_or_default();
    Frame { name, data, kind }
}

/// Returns a payload for an error without one, in the shape of an exception's payload.
fn error_payload(message: Option<&str>) -> ByteString {
    let mut data = BytesMut::new();
    data.put_slice(b"{\"message\":");
    json::put_str(&mut data, message.unwrap_or_default());
    data.put_u8(b'}');
    text::from_bytes(&data.freeze())
}

/// Reads a big-endian number.
fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Reads a length. Saturates on platforms where `usize` has fewer than 32 bits.
fn length(bytes: &[u8]) -> usize {
    usize::try_from(number(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
