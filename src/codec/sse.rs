//! Cuts server-sent events into frames, by the rules of the WHATWG HTML standard.
//!
//! Invariants: each byte is searched for a line end once; an event with a single `data:` line is a
//! slice of the input; pending bytes never exceed [`FRAME_BOUND`] (comments are not kept, stray
//! lines up to [`STRAY_BOUND`]); every split of the same bytes gives the same frames. Ids and
//! reconnection times are ignored.

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::{memchr, memchr2};

use super::mark::Start;
use super::text::from_bytes as text;
use super::{FRAME_BOUND, Frame, FrameError, FrameKind, Framing};

/// Maximum size of the stray lines that are kept, bytes: enough for any error object.
pub const STRAY_BOUND: usize = 64 * 1024;

/// The framing of server-sent events.
#[derive(Default)]
pub struct Sse {
    start: Start,
    /// True after a line that ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    /// True inside an incomplete comment, whose bytes are dropped.
    in_comment: bool,
    /// Number of bytes of the incomplete line that were searched for its end.
    searched: usize,
    name: ByteString,
    data: Data,
    stray: Vec<u8>,
}

impl std::fmt::Debug for Sse {
    /// Formats lengths only: the bytes are completions.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sse")
            .field("searched", &self.searched)
            .field("pending", &self.data.len())
            .finish_non_exhaustive()
    }
}

impl Framing for Sse {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if !self.start.remove_mark(buf) {
            return Ok(None);
        }
        while let Some(line) = self.line(buf)? {
            if line.is_empty() {
                if let Some(frame) = self.dispatch(FrameKind::Whole) {
                    return Ok(Some(frame));
                }
            } else {
                self.field(line);
            }
        }
        Ok(None)
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        let rest = buf.split();
        self.searched = 0;
        // Before the start is decided, the rest is only the beginning of a byte order mark.
        if self.start.is_decided() && !self.in_comment && !rest.is_empty() {
            self.field(rest);
        }
        // Stray lines come first: they can contain the error that ended the stream.
        if !self.stray.is_empty() {
            let data = text(&std::mem::take(&mut self.stray).into());
            return Some(Frame {
                name: ByteString::new(),
                data,
                kind: FrameKind::Stray,
            });
        }
        self.dispatch(FrameKind::Unterminated)
    }
}

impl Sse {
    /// Removes the next complete line that is not a comment, without its end.
    fn line(&mut self, buf: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        loop {
            // The line was returned at its CR, without waiting for the next byte.
            if self.after_cr && !buf.is_empty() {
                self.after_cr = false;
                if buf.first() == Some(&b'\n') {
                    buf.advance(1);
                }
            }
            let comment = self.in_comment || buf.first() == Some(&b':');
            let unsearched = buf.get(self.searched..).unwrap_or_default();
            let Some(end) = memchr2(b'\n', b'\r', unsearched).map(|at| self.searched + at) else {
                self.in_comment = comment;
                return self.incomplete_line(buf);
            };
            self.searched = 0;
            self.in_comment = false;
            if !comment {
                // Comments are dropped as they arrive, so that only other lines need a bound.
                self.check(end)?;
            }
            self.after_cr = buf.get(end) == Some(&b'\r');
            let line = buf.split_to(end);
            buf.advance(1);
            if !comment {
                return Ok(Some(line));
            }
        }
    }

    /// Keeps an incomplete line for the next call, unless it is a comment.
    fn incomplete_line(&mut self, buf: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        if self.in_comment {
            buf.clear();
            self.searched = 0;
            return Ok(None);
        }
        self.searched = buf.len();
        self.check(buf.len())?;
        Ok(None)
    }

    /// Checks that the pending event with a line of this length is within the bound.
    fn check(&self, line: usize) -> Result<(), FrameError> {
        if line + self.data.len() > FRAME_BOUND {
            Err(FrameError::TooLong { bound: FRAME_BOUND })
        } else {
            Ok(())
        }
    }

    /// Processes a line that is neither empty nor a comment.
    fn field(&mut self, mut line: BytesMut) {
        let colon = memchr(b':', &line);
        match line.get(..colon.unwrap_or(line.len())).unwrap_or_default() {
            b"data" => {
                skip_to_value(&mut line, colon);
                self.data.add(line.freeze());
            }
            b"event" => {
                skip_to_value(&mut line, colon);
                self.name = text(&line.freeze());
            }
            b"id" | b"retry" | b"" => {}
            // Unknown fields are ignored, as the standard requires, unless they can be part of an
            // error that the server wrote directly into the body.
            name => {
                if colon.is_none() || name == b"error" || looks_like_json(&line) {
                    self.keep_stray(&line);
                }
            }
        }
    }

    fn keep_stray(&mut self, line: &[u8]) {
        if !self.stray.is_empty() && self.stray.len() < STRAY_BOUND {
            self.stray.push(b'\n');
        }
        let room = STRAY_BOUND - self.stray.len();
        self.stray
            .extend_from_slice(line.get(..room).unwrap_or(line));
    }

    /// Ends the event. Returns `None` if it has no data: the standard discards it, with its name.
    fn dispatch(&mut self, kind: FrameKind) -> Option<Frame> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data).join()?;
        Some(Frame {
            name,
            data: text(&data),
            kind,
        })
    }
}

/// The `data` lines since the last blank line, without a copy while there is only one.
#[derive(Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }

    fn add(&mut self, line: Bytes) {
        match self {
            Self::None => *self = Self::One(line),
            Self::One(first) => {
                let mut lines = BytesMut::with_capacity(first.len() + line.len() + 1);
                lines.extend_from_slice(first);
                append(&mut lines, &line);
                *self = Self::Many(lines);
            }
            Self::Many(lines) => append(lines, &line),
        }
    }

    fn join(self) -> Option<Bytes> {
        match self {
            Self::None => None,
            Self::One(line) => Some(line),
            Self::Many(lines) => Some(lines.freeze()),
        }
    }
}

fn append(lines: &mut BytesMut, line: &[u8]) {
    lines.extend_from_slice(b"\n");
    lines.extend_from_slice(line);
}

/// Cuts a line to its value: the bytes after the colon and one space.
fn skip_to_value(line: &mut BytesMut, colon: Option<usize>) {
    line.advance(colon.map_or(line.len(), |at| at + 1));
    if line.first() == Some(&b' ') {
        line.advance(1);
    }
}

fn looks_like_json(line: &[u8]) -> bool {
    matches!(
        line.trim_ascii_start().first(),
        Some(b'{' | b'}' | b'[' | b']' | b'"')
    )
}

#[cfg(test)]
mod tests;
