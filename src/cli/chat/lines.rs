//! Converts bytes from any server to lines that eventsource-stream handles safely.
//!
//! Invariants: one leading BOM is dropped; bytes that are not UTF-8 become U+FFFD; every line ends
//! in one LF, whatever it ended in; no event exceeds the bound; each byte is examined once. (The
//! crate alone panics on a leading BOM, stalls on an invalid byte, has no bound, and rescans an
//! endless line at every read.)

use std::fmt;

use futures_util::stream::{self, Stream, StreamExt as _};

use crate::codec::FRAME_BOUND;

/// The error that ends the lines.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError<E: fmt::Display> {
    /// An event exceeds the bound.
    #[error("the server sent an event larger than {FRAME_BOUND} bytes")]
    TooLong,
    /// The connection failed.
    #[error("{0}")]
    Cut(E),
}

/// Returns the lines of `body` without comments. The first item is always an empty comment, so that
/// the crate does not treat a second BOM as the beginning of the stream.
pub(super) fn lines<S, B, E>(body: S) -> impl Stream<Item = Result<String, LineError<E>>>
where
    S: Stream<Item = Result<B, E>>,
    B: AsRef<[u8]>,
    E: fmt::Display,
{
    let mut splitter = LineSplitter::new(FRAME_BOUND);
    let body = body.map(move |read| {
        let items = match read {
            Ok(bytes) => splitter.feed(bytes.as_ref()),
            Err(error) => vec![Err(LineError::Cut(error))],
        };
        stream::iter(items)
    });
    stream::iter([Ok(":\n".to_owned())]).chain(body.flatten())
}

struct LineSplitter {
    bound: usize,
    /// The incomplete last line.
    pending: Vec<u8>,
    /// Size of the current event in returned lines, bytes.
    event: usize,
    first_line: bool,
    /// True if the last byte was a CR, which ended its line: a following LF belongs to it.
    skip_lf: bool,
}

impl LineSplitter {
    const fn new(bound: usize) -> Self {
        Self {
            bound,
            pending: Vec::new(),
            event: 0,
            first_line: true,
            skip_lf: false,
        }
    }

    /// Returns the lines that end in `bytes`.
    fn feed<E: fmt::Display>(&mut self, mut bytes: &[u8]) -> Vec<Result<String, LineError<E>>> {
        let mut lines = Vec::new();
        if self.skip_lf && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.skip_lf = false;
        }
        while let Some((line, rest)) = self.next_line(bytes) {
            lines.extend(line.map(Ok));
            bytes = rest;
        }
        self.pending.extend_from_slice(bytes);
        // The incomplete line counts as well: an endless one would never be returned.
        if self.event + self.pending.len() > self.bound {
            lines.push(Err(LineError::TooLong));
        }
        lines
    }

    /// Returns the next line (`None` inside for a comment), and the bytes after it.
    fn next_line<'a>(&mut self, bytes: &'a [u8]) -> Option<(Option<String>, &'a [u8])> {
        let (head, tail) = bytes.split_at_checked(memchr::memchr2(b'\n', b'\r', bytes)?)?;
        self.pending.extend_from_slice(head);
        let rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..))?;
        self.skip_lf = tail == b"\r";
        Some((self.end_line(), rest))
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.pending);
        let text = if std::mem::take(&mut self.first_line) {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line)
        } else {
            &line
        };
        if text.starts_with(b":") {
            return None;
        }
        self.event = if text.is_empty() {
            0
        } else {
            self.event + text.len() + 1
        };
        let mut text = String::from_utf8_lossy(text).into_owned();
        text.push('\n');
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use eventsource_stream::Eventsource as _;
    use proptest::prelude::*;

    use super::*;

    type Read = Result<Vec<u8>, &'static str>;

    /// Returns the events as (id, name, data), and the error that ended them.
    async fn events(reads: Vec<Read>) -> (Vec<(String, String, String)>, Option<String>) {
        let mut events = Vec::new();
        let mut source = Box::pin(lines(stream::iter(reads)).eventsource());
        while let Some(next) = source.next().await {
            match next {
                Ok(event) => events.push((event.id, event.event, event.data)),
                Err(error) => return (events, Some(error.to_string())),
            }
        }
        (events, None)
    }

    fn all(reads: Vec<Read>) -> (Vec<(String, String, String)>, Option<String>) {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(events(reads))
    }

    fn event(id: &str, name: &str, data: &str) -> (String, String, String) {
        (id.into(), name.into(), data.into())
    }

    const INPUT: &[u8] =
        b"\xef\xbb\xbfdata: \xff\xc3\xa9\r\n\r\n: heartbeat\nevent: text\rdata:1\rdata: \xe2\x82\xac\nid: a.1\n\ndata: lost";

    fn expected() -> Vec<(String, String, String)> {
        vec![
            event("", "message", "\u{fffd}é"),
            event("a.1", "text", "1\n€"),
        ]
    }

    #[test]
    fn any_split_gives_the_same_events() {
        for at in 0..=INPUT.len() {
            let (head, tail) = INPUT.split_at(at);
            assert_eq!(
                all(vec![Ok(head.into()), Ok(tail.into())]),
                (expected(), None),
                "cut at {at}"
            );
        }
        assert_eq!(
            all(INPUT.iter().map(|&byte| Ok(vec![byte])).collect()),
            (expected(), None)
        );
    }

    #[test]
    fn a_second_bom_is_text() {
        let twice = b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\ndata: 2\n\n";
        assert_eq!(
            all(vec![Ok(twice.to_vec())]),
            (vec![event("", "message", "2")], None)
        );
    }

    #[test]
    fn a_cut_is_reported_after_the_events_before_it() {
        let (events, error) = all(vec![Ok(b"data: 1\n\ndata: 2\n".to_vec()), Err("reset")]);
        assert_eq!(events, vec![event("", "message", "1")]);
        assert!(error.unwrap().contains("reset"));
    }

    #[test]
    fn an_endless_line_ends_at_the_bound() {
        let piece = vec![b'x'; FRAME_BOUND / 4 + 1];
        let (events, error) = all(vec![
            Ok(b"data: ".to_vec()),
            Ok(piece.clone()),
            Ok(piece.clone()),
            Ok(piece.clone()),
            Ok(piece),
        ]);
        assert_eq!(events, vec![]);
        assert!(error.unwrap().contains("larger than"));
    }

    #[test]
    fn an_endless_event_ends_at_the_bound_and_comments_do_not_count() {
        let mut splitter = LineSplitter::new(64);
        for _ in 0..100 {
            assert!(splitter.feed::<&str>(b": heartbeat\n").is_empty());
        }
        assert!((0..100).any(|_| {
            splitter
                .feed::<&str>(b"data: 1\n")
                .iter()
                .any(Result::is_err)
        }));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(reads in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\xef\xbb\xbf\n\r: data\xffid\0".to_vec()), 0..12), 0..12)) {
            let whole = reads.concat();
            prop_assert_eq!(all(reads.into_iter().map(Ok).collect()), all(vec![Ok(whole)]));
        }
    }
}
