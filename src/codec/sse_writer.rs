//! Spells SSE events, with ids that name stream and position where they are asked for.
//!
//! Invariants: an event is written in one piece, ended by one blank line; every event carries data;
//! the last event of an entry carries the entry's position, an earlier one position and part. Of
//! entries that were merged into one, the last event carries the position of the last; an earlier
//! one stands in the first.

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};

/// Writes the events of journal entries into one buffer.
#[derive(Debug)]
pub struct SseWriter {
    buf: BytesMut,
    ids: Option<Ids>,
    /// The entry at hand; of merged ones the first, and the last.
    first: u64,
    last: u64,
    /// Events begun in this entry.
    begun: u32,
    /// Where the open event began.
    open_at: usize,
    /// Events of this entry that the reader has already seen.
    seen: u32,
    /// Nothing is written: the encoder only learns what came before.
    muted: bool,
}

/// How ids are spelled.
#[derive(Debug, Clone)]
pub struct Ids {
    /// The stream they name.
    pub stream: Bytes,
    /// The dialect in which parts are valid.
    pub dialect: &'static str,
}

impl SseWriter {
    /// A writer of events, with ids where given.
    #[must_use]
    pub fn new(ids: Option<Ids>) -> Self {
        Self {
            buf: BytesMut::new(),
            ids,
            first: 0,
            last: 0,
            begun: 0,
            open_at: 0,
            seen: 0,
            muted: false,
        }
    }

    /// From here on (or no longer) nothing is kept of what is written.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// True where the next event of this entry would reach the reader.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        !self.muted && self.begun >= self.seen
    }

    /// The entry with this number follows; its first `seen` events are left out, as the reader has
    /// them.
    pub fn begin_entry(&mut self, seq: u64, seen: u32) {
        self.begin_entries(seq, seq, seen);
    }

    /// The entries from `first` to `last` follow as one; of the first of them `seen` events are
    /// left out.
    pub fn begin_entries(&mut self, first: u64, last: u64, seen: u32) {
        (self.first, self.last) = (first, last);
        self.begun = 0;
        self.seen = seen;
    }

    /// The entry is spelled: its last event gets the entry's own position.
    pub fn end_entry(&mut self) {
        if self.begun > 0 {
            self.close(true);
        }
    }

    /// Begins an event; what is then written to the returned buffer is its data, in one line.
    pub fn event(&mut self, name: &str) -> &mut BytesMut {
        self.begin();
        if !name.is_empty() {
            self.buf.put_slice(b"event: ");
            self.buf.put_slice(name.as_bytes());
            self.buf.put_u8(b'\n');
        }
        self.buf.put_slice(b"data: ");
        &mut self.buf
    }

    /// Like [`SseWriter::event`], with a reconnection time in milliseconds.
    pub fn event_with_retry(&mut self, name: &str, retry_ms: u32) -> &mut BytesMut {
        self.begin();
        let named = write!(
            (&mut self.buf).writer(),
            "event: {name}\nretry: {retry_ms}\ndata: "
        );
        debug_assert!(named.is_ok(), "a buffer takes what is written to it");
        &mut self.buf
    }

    /// A payload that is passed on as it came: one `data:` line for each of its lines.
    pub fn payload(&mut self, name: &str, data: &str) {
        let size = data.len() + name.len() + 24;
        self.buf.reserve(size);
        let buf = self.event(name);
        if memchr::memchr2(b'\n', b'\r', data.as_bytes()).is_none() {
            buf.put_slice(data.as_bytes());
            return;
        }
        put_lines(buf, data);
    }

    /// What was written since the last call; empty where nothing was.
    pub fn take(&mut self) -> Bytes {
        self.buf.split().freeze()
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// True where nothing waits to be taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    fn begin(&mut self) {
        if self.begun > 0 {
            self.close(false);
        }
        self.begun += 1;
        self.open_at = self.buf.len();
    }

    fn close(&mut self, last: bool) {
        if self.muted || self.begun <= self.seen {
            self.buf.truncate(self.open_at);
            return;
        }
        self.buf.put_u8(b'\n');
        if let Some(ids) = &self.ids {
            self.buf.put_slice(b"id: ");
            self.buf.put_slice(&ids.stream);
            self.buf.put_u8(b'.');
            let seq = if last { self.last } else { self.first };
            self.buf
                .put_slice(itoa::Buffer::new().format(seq).as_bytes());
            if !last {
                self.buf.put_u8(b'.');
                self.buf
                    .put_slice(itoa::Buffer::new().format(self.begun - 1).as_bytes());
                self.buf.put_u8(b'.');
                self.buf.put_slice(ids.dialect.as_bytes());
            }
            self.buf.put_u8(b'\n');
        }
        self.buf.put_u8(b'\n');
    }
}

#[expect(clippy::string_slice, reason = "a line break is one ASCII byte")]
/// Writes `data` with every line break (LF, CR, CRLF) beginning a new `data:` line.
fn put_lines(buf: &mut BytesMut, data: &str) {
    let mut rest = data;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
        let (line, tail) = rest.split_at(at);
        buf.put_slice(line.as_bytes());
        buf.put_slice(b"\ndata: ");
        rest = tail.strip_prefix("\r\n").unwrap_or(&tail[1..]);
    }
    buf.put_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Ids {
        Ids {
            stream: Bytes::from_static(b"abc"),
            dialect: "events",
        }
    }

    #[test]
    fn the_last_event_of_an_entry_carries_its_position() {
        let mut out = SseWriter::new(Some(ids()));
        out.begin_entry(7, 0);
        out.event("text").put_slice(b"{}");
        out.event("").put_slice(b"[1]");
        out.end_entry();
        assert_eq!(
            &out.take()[..],
            b"event: text\ndata: {}\nid: abc.7.0.events\n\ndata: [1]\nid: abc.7\n\n"
        );
    }

    #[test]
    fn an_event_inside_merged_entries_stands_in_the_first() {
        let mut out = SseWriter::new(Some(ids()));
        out.begin_entries(7, 9, 0);
        out.event("a").put_slice(b"1");
        out.event("b").put_slice(b"2");
        out.end_entry();
        assert_eq!(
            &out.take()[..],
            b"event: a\ndata: 1\nid: abc.7.0.events\n\nevent: b\ndata: 2\nid: abc.9\n\n"
        );
    }

    #[test]
    fn what_the_reader_has_seen_is_left_out() {
        let mut out = SseWriter::new(Some(ids()));
        out.begin_entry(7, 1);
        out.event("a").put_slice(b"1");
        out.event("b").put_slice(b"2");
        out.end_entry();
        assert_eq!(&out.take()[..], b"event: b\ndata: 2\nid: abc.7\n\n");
        out.mute(true);
        out.begin_entry(8, 0);
        out.event("c").put_slice(b"3");
        out.end_entry();
        assert!(out.take().is_empty());
    }

    #[test]
    fn line_breaks_become_lines() {
        let mut out = SseWriter::new(None);
        out.begin_entry(0, 0);
        out.payload("x", "a\r\nb\rc\nd\n");
        out.end_entry();
        assert_eq!(
            &out.take()[..],
            b"event: x\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        );
    }
}
