//! Writes SSE events, optionally with ids that name a stream and a position.
//!
//! Invariants: an event is written in one piece and ends with one blank line; every event has data;
//! the id of the last event of an entry is the entry's position, and the id of an earlier event has
//! the position and the event's number in the entry. If entries are merged, the last event has the
//! position of the last entry, and earlier events have that of the first.

use std::io::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};

/// Writes the events of journal entries into one buffer.
#[derive(Debug)]
pub struct SseWriter {
    buf: BytesMut,
    ids: Option<EventIds>,
    /// The current entry, or the first of the merged entries.
    first: u64,
    /// The current entry, or the last of the merged entries.
    last: u64,
    /// Number of events started in this entry.
    started: u32,
    /// Offset of the open event in the buffer, bytes.
    open_at: usize,
    /// Number of events of this entry that the reader has already received.
    seen: u32,
    /// True while output is discarded: the encoder only processes entries to update its state.
    muted: bool,
}

/// The settings of event ids.
#[derive(Debug, Clone)]
pub struct EventIds {
    /// The id of the stream.
    pub stream: Bytes,
    /// The dialect in which event numbers inside an entry are valid.
    pub dialect: &'static str,
}

impl SseWriter {
    /// Returns a writer. Events have ids if `ids` is given.
    #[must_use]
    pub fn new(ids: Option<EventIds>) -> Self {
        Self {
            buf: BytesMut::new(),
            ids,
            first: 0,
            last: 0,
            started: 0,
            open_at: 0,
            seen: 0,
            muted: false,
        }
    }

    /// Starts or stops discarding all output.
    pub fn mute(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Returns true if the next event of this entry will be sent to the reader.
    #[must_use]
    pub fn reaches_reader(&self) -> bool {
        !self.muted && self.started >= self.seen
    }

    /// Starts the entry with this number. Its first `seen` events are left out: the reader has
    /// received them.
    pub fn begin_entry(&mut self, seq: u64, seen: u32) {
        self.begin_entries(seq, seq, seen);
    }

    /// Starts the entries from `first` to `last` as a single entry. Its first `seen` events are
    /// left out.
    pub fn begin_entries(&mut self, first: u64, last: u64, seen: u32) {
        (self.first, self.last) = (first, last);
        self.started = 0;
        self.seen = seen;
    }

    /// Ends the entry. The id of its last event is the position of the entry.
    pub fn end_entry(&mut self) {
        if self.started > 0 {
            self.close(true);
        }
    }

    /// Starts an event and returns the buffer for its data, which must be a single line.
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

    /// Starts an event like [`SseWriter::event`], with a reconnection time in milliseconds.
    pub fn event_with_retry(&mut self, name: &str, retry_ms: u32) -> &mut BytesMut {
        self.begin();
        let written = write!(
            (&mut self.buf).writer(),
            "event: {name}\nretry: {retry_ms}\ndata: "
        );
        debug_assert!(written.is_ok(), "writing to a buffer never fails");
        &mut self.buf
    }

    /// Writes an event whose data is forwarded unchanged, with one `data:` line for each line.
    pub fn payload(&mut self, name: &str, data: &str) {
        let size = data.len() + name.len() + 24;
        self.buf.reserve(size);
        let buf = self.event(name);
        if memchr::memchr2(b'\n', b'\r', data.as_bytes()).is_none() {
            buf.put_slice(data.as_bytes());
            return;
        }
        // A line break inside a `data:` line would end the field.
        put_lines(buf, data);
    }

    /// Returns the output since the last call; empty if there is none.
    pub fn take(&mut self) -> Bytes {
        self.buf.split().freeze()
    }

    /// Returns the number of bytes that were not taken yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len()
    }

    /// Returns true if there is no output to take.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// Ends the previous event of the entry and starts the next one.
    fn begin(&mut self) {
        if self.started > 0 {
            self.close(false);
        }
        self.started += 1;
        self.open_at = self.buf.len();
    }

    /// Ends the open event with its id, or removes it if the reader must not receive it.
    fn close(&mut self, last: bool) {
        if self.muted || self.started <= self.seen {
            // The encoder always writes its events, so that they are counted for later ids.
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
                    .put_slice(itoa::Buffer::new().format(self.started - 1).as_bytes());
                self.buf.put_u8(b'.');
                self.buf.put_slice(ids.dialect.as_bytes());
            }
            self.buf.put_u8(b'\n');
        }
        self.buf.put_u8(b'\n');
    }
}

#[expect(clippy::string_slice, reason = "a line break is one ASCII byte")]
/// Writes `data` so that every line break (LF, CR, CRLF) starts a new `data:` line.
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

    fn ids() -> EventIds {
        EventIds {
            stream: Bytes::from_static(b"abc"),
            dialect: "events",
        }
    }

    #[test]
    fn the_last_event_of_an_entry_has_its_position() {
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
    fn events_inside_merged_entries_have_the_first_position() {
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
    fn events_that_the_reader_has_received_are_left_out() {
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
    fn line_breaks_start_data_lines() {
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
