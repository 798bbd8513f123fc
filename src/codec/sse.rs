//! Cuts server-sent events into frames, by the rules of the WHATWG HTML standard.
//!
//! Invariants: a byte is searched for a line end once; an event of one `data:` line is a slice of
//! the input; what is kept never exceeds [`FRAME_BOUND`] (comments are kept not at all, stray lines
//! up to [`STRAY_BOUND`]); any split of the same bytes gives the same frames. Ids and reconnection
//! times are read over.

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::{memchr, memchr2};

use super::text::of_bytes as text;
use super::{FRAME_BOUND, Frame, FrameError, FrameKind, Framing};

/// The most bytes of stray lines that are kept: enough for any error object.
pub const STRAY_BOUND: usize = 64 * 1024;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// The framing of server-sent events.
#[derive(Default)]
pub struct Sse {
    /// The beginning, where a byte order mark may stand, is behind us.
    begun: bool,
    /// The last line ended with CR: an LF that follows belongs to it.
    after_cr: bool,
    /// Inside a comment whose end has not come: its bytes are dropped.
    in_comment: bool,
    /// How much of the unfinished line has been searched.
    searched: usize,
    name: ByteString,
    data: Data,
    stray: Vec<u8>,
}

impl std::fmt::Debug for Sse {
    /// Never shows content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sse")
            .field("searched", &self.searched)
            .field("pending", &self.data.len())
            .finish_non_exhaustive()
    }
}

impl Framing for Sse {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if !self.begin(buf) {
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
        if self.begun && !self.in_comment && !rest.is_empty() {
            self.field(rest);
        }
        if !self.stray.is_empty() {
            let data = text(&std::mem::take(&mut self.stray).into());
            return Some(Frame {
                name: ByteString::new(),
                data,
                kind: FrameKind::Stray,
            });
        }
        self.dispatch(FrameKind::Unended)
    }
}

impl Sse {
    /// Strips one byte order mark. False while it cannot be told whether there is one.
    fn begin(&mut self, buf: &mut BytesMut) -> bool {
        if self.begun {
            return true;
        }
        if buf.len() < BOM.len() && BOM.starts_with(buf) {
            return false;
        }
        if buf.starts_with(BOM) {
            buf.advance(BOM.len());
        }
        self.begun = true;
        true
    }

    /// The next line that is no comment, without its end.
    fn line(&mut self, buf: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        loop {
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
                return self.unfinished(buf);
            };
            self.searched = 0;
            self.in_comment = false;
            if !comment {
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

    /// What is there of a line stays for the next time, but not if it is a comment.
    fn unfinished(&mut self, buf: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
        if self.in_comment {
            buf.clear();
            self.searched = 0;
            return Ok(None);
        }
        self.searched = buf.len();
        self.check(buf.len())?;
        Ok(None)
    }

    fn check(&self, line: usize) -> Result<(), FrameError> {
        if line + self.data.len() > FRAME_BOUND {
            Err(FrameError::TooLong { bound: FRAME_BOUND })
        } else {
            Ok(())
        }
    }

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

/// The `data` lines since the last blank line.
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

/// Leaves of a line what stands behind its colon and one space.
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
