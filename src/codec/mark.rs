//! Removes the byte order mark that may be at the start of a text.

use bytes::{Buf as _, BytesMut};

const MARK: &[u8] = b"\xef\xbb\xbf";

/// The start of an input, which may be a byte order mark.
#[derive(Debug, Default)]
pub(super) struct Start {
    decided: bool,
}

impl Start {
    /// Removes one byte order mark. Returns false until enough bytes have arrived to decide.
    pub(super) fn remove_mark(&mut self, buf: &mut BytesMut) -> bool {
        if self.decided {
            return true;
        }
        // The first bytes of a byte order mark: the next ones decide.
        if buf.len() < MARK.len() && MARK.starts_with(buf) {
            return false;
        }
        if buf.starts_with(MARK) {
            buf.advance(MARK.len());
        }
        self.decided = true;
        true
    }

    /// Returns true once the start was read.
    pub(super) fn is_decided(&self) -> bool {
        self.decided
    }
}
