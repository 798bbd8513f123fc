//! Cuts AWS event streams (`application/vnd.amazon.eventstream`) into frames.
//!
//! A message is a prelude (its length, its headers' length, a checksum of these two), headers, a
//! payload, and a checksum of everything before it; all numbers are big-endian.
//!
//! Invariants: no length is believed before its checksum was right; a message is checksummed once,
//! when all of it is there; frames are slices of the input; what is kept never exceeds
//! [`HEADERS_BOUND`] and [`PAYLOAD_BOUND`]; any split of the same bytes gives the same frames.

mod headers;

use bytes::{BufMut as _, Bytes, BytesMut};
use bytestring::ByteString;
use crc32fast::Hasher;

use self::headers::Headers;
use super::{FRAME_BOUND, Frame, FrameError, FrameKind, Framing, json, text};

/// The most bytes of headers a message may have: the format's own bound.
pub const HEADERS_BOUND: usize = 128 * 1024;

/// The most bytes of payload a message may have; the format's own bound is 24 MiB.
pub const PAYLOAD_BOUND: usize = FRAME_BOUND;

/// Two lengths and their checksum.
const PRELUDE: usize = 12;
/// A checksum.
const CHECKSUM: usize = 4;

/// The framing of AWS event streams.
#[derive(Debug, Default)]
pub struct AwsEventStream {
    /// The prelude of the message at the front of the buffer, once it was there and found right.
    begun: Option<Prelude>,
}

impl Framing for AwsEventStream {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let prelude = match self.begun {
            Some(prelude) => prelude,
            None => match Prelude::read(buf)? {
                Some(prelude) => *self.begun.insert(prelude),
                None => return Ok(None),
            },
        };
        if buf.len() < prelude.total {
            return Ok(None);
        }
        self.begun = None;
        prelude
            .frame(&buf.split_to(prelude.total).freeze())
            .map(Some)
    }

    /// Nothing of a message that was cut off can be trusted: it is told as an empty frame.
    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        self.begun = None;
        let rest = buf.split();
        (!rest.is_empty()).then(|| Frame {
            name: ByteString::new(),
            data: ByteString::new(),
            kind: FrameKind::Unended,
        })
    }
}

/// How long a message is, and where its parts are.
#[derive(Debug, Clone, Copy)]
struct Prelude {
    /// Bytes of the whole message, at least those of its prelude, headers and checksum.
    total: usize,
    /// Bytes of its headers.
    headers: usize,
    /// The checksum of the two lengths, from which that of the message goes on.
    checksum: u32,
}

impl Prelude {
    /// The prelude at the front of `bytes`, once it is there as a whole.
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

    /// What `message` says, which is all of it.
    fn frame(self, message: &Bytes) -> Result<Frame, FrameError> {
        let (covered, checksum) = message.split_at(self.total - CHECKSUM);
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

/// The frame of a message: an event by its type, an exception or error by its own name.
fn frame(headers: &Headers<'_>, payload: &Bytes, message: &Bytes) -> Frame {
    let (name, data, kind) = match headers.message_type {
        Some("exception") => (
            headers.exception_type,
            text::of_bytes(payload),
            FrameKind::Exception,
        ),
        Some("error") => (
            headers.error_code,
            told(headers.error_message),
            FrameKind::Exception,
        ),
        _ => (
            headers.event_type,
            text::of_bytes(payload),
            FrameKind::Whole,
        ),
    };
    let name = name
        .map(|name| text::of_bytes(&message.slice_ref(name.as_bytes())))
        .unwrap_or_default();
    Frame { name, data, kind }
}

/// An error without a payload, in the shape of those that have one.
fn told(words: Option<&str>) -> ByteString {
    let mut data = BytesMut::new();
    data.put_slice(b"{\"message\":");
    json::put_str(&mut data, words.unwrap_or_default());
    data.put_u8(b'}');
    text::of_bytes(&data.freeze())
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A length, which on no platform is larger than can be counted: bounds are checked against far
/// smaller ones.
fn length(bytes: &[u8]) -> usize {
    usize::try_from(number(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
