//! Cuts newline-delimited JSON into frames, one per line. Ollama sends it.
//!
//! Invariants: each byte is searched for a line end once; a frame is a slice of the input, without
//! surrounding white space; pending bytes never exceed [`FRAME_BOUND`]; every split of the same
//! bytes gives the same frames. Lines end with LF or CRLF. Blank lines and a byte order mark before
//! the first line are skipped. The decoder decides whether a line is JSON.

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;
use memchr::memchr;

use super::mark::Start;
use super::{FRAME_BOUND, Frame, FrameError, FrameKind, Framing, text};

/// The framing of newline-delimited JSON.
#[derive(Debug, Default)]
pub struct Ndjson {
    start: Start,
    /// Number of bytes of the incomplete line that were searched for its end.
    searched: usize,
}

impl Framing for Ndjson {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if !self.start.remove_mark(buf) {
            return Ok(None);
        }
        while let Some(end) = self.line_end(buf)? {
            let line = buf.split_to(end).freeze();
            buf.advance(1);
            if let Some(frame) = frame(&line, FrameKind::Whole) {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        self.searched = 0;
        frame(&buf.split().freeze(), FrameKind::Unterminated)
    }
}

impl Ndjson {
    /// Returns the length of the line at the front, if it is complete.
    fn line_end(&mut self, buf: &[u8]) -> Result<Option<usize>, FrameError> {
        let unsearched = buf.get(self.searched..).unwrap_or_default();
        let end = memchr(b'\n', unsearched).map(|at| self.searched + at);
        self.searched = if end.is_some() { 0 } else { buf.len() };
        if end.unwrap_or(buf.len()) > FRAME_BOUND {
            Err(FrameError::TooLong { bound: FRAME_BOUND })
        } else {
            Ok(end)
        }
    }
}

/// Returns the frame of a line without surrounding white space (such as the CR before its LF), or
/// `None` if the line is blank.
fn frame(line: &Bytes, kind: FrameKind) -> Option<Frame> {
    let trimmed = line.trim_ascii();
    (!trimmed.is_empty()).then(|| Frame {
        name: ByteString::new(),
        data: text::from_bytes(&line.slice_ref(trimmed)),
        kind,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns kind and payload of all frames of an input that arrives in these pieces.
    fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(FrameKind, String)> {
        let (mut framing, mut buf, mut out) = (Ndjson::default(), BytesMut::new(), Vec::new());
        let mut keep = |frame: Frame| out.push((frame.kind, frame.data.to_string()));
        for piece in pieces {
            buf.extend_from_slice(piece);
            while let Some(frame) = framing.next(&mut buf).unwrap() {
                keep(frame);
            }
        }
        while let Some(frame) = framing.finish(&mut buf) {
            keep(frame);
        }
        out
    }

    fn whole(text: &str) -> (FrameKind, String) {
        (FrameKind::Whole, text.into())
    }

    fn unterminated(text: &str) -> (FrameKind, String) {
        (FrameKind::Unterminated, text.into())
    }

    #[test]
    fn lines_end_with_lf_or_crlf_and_blank_ones_are_skipped() {
        let body = "\u{feff}\n \r\n{\"a\":\"é\\n\"}\n\t\n {\"b\": 1} \r\n\r\n{\"c\":\"\r\"}\n";
        assert_eq!(
            frames([body.as_bytes()]),
            [
                whole("{\"a\":\"é\\n\"}"),
                whole("{\"b\": 1}"),
                whole("{\"c\":\"\r\"}")
            ]
        );
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let body = "\u{feff}{\"a\":1}\r\n\r\n{\"b\":\"😀\"}\n{\"c\"".as_bytes();
        let expected = [
            whole("{\"a\":1}"),
            whole("{\"b\":\"😀\"}"),
            unterminated("{\"c\""),
        ];
        for cut in 0..=body.len() {
            let (a, b) = body.split_at(cut);
            assert_eq!(frames([a, b]), expected, "{cut}");
        }
        assert_eq!(frames(body.chunks(1)), expected);
    }

    #[test]
    fn a_last_line_without_an_end_is_unterminated() {
        assert_eq!(
            frames([&b"{}\n{\"done\":true}"[..]]),
            [whole("{}"), unterminated("{\"done\":true}")]
        );
        assert_eq!(frames([&b"{}\n \r"[..]]), [whole("{}")]);
        assert_eq!(frames([&b""[..]]), []);
        assert_eq!(
            frames([&b"\xef\xbb"[..]]),
            [unterminated("\u{fffd}")],
            "an incomplete byte order mark is content"
        );
    }

    #[test]
    fn one_byte_order_mark_is_stripped_and_no_other() {
        assert_eq!(
            frames(["\u{feff}\u{feff}{}\n\u{feff}{}\n".as_bytes()]),
            [whole("\u{feff}{}"), whole("\u{feff}{}")]
        );
    }

    #[test]
    fn invalid_utf8_is_replaced_and_valid_bytes_are_shared() {
        assert_eq!(
            frames([&b"{\"a\":\"\xff\"}\n"[..]]),
            [whole("{\"a\":\"\u{fffd}\"}")]
        );
        let mut buf = BytesMut::from(&b" {\"a\":1}\r\n"[..]);
        let place = buf.as_ptr_range();
        let frame = Ndjson::default().next(&mut buf).unwrap().unwrap();
        assert!(place.contains(&frame.data.as_bytes().as_ptr()));
    }

    #[test]
    fn lines_above_the_bound_are_rejected_complete_or_not() {
        let long = vec![b'x'; FRAME_BOUND + 1];
        for body in [long.clone(), [long, b"\n".to_vec()].concat()] {
            let mut buf = BytesMut::from(&body[..]);
            assert_eq!(
                Ndjson::default().next(&mut buf),
                Err(FrameError::TooLong { bound: FRAME_BOUND })
            );
        }
        let mut buf = BytesMut::from(&[vec![b'x'; FRAME_BOUND], b"\n".to_vec()].concat()[..]);
        assert_eq!(
            Ndjson::default()
                .next(&mut buf)
                .unwrap()
                .unwrap()
                .data
                .len(),
            FRAME_BOUND
        );
    }

    #[test]
    fn no_byte_is_searched_twice() {
        let (mut framing, mut buf) = (Ndjson::default(), BytesMut::from(&b"{\"a\""[..]));
        assert_eq!(framing.next(&mut buf), Ok(None));
        assert_eq!(framing.searched, buf.len());
        buf.extend_from_slice(b":1}\n{");
        assert!(framing.next(&mut buf).unwrap().is_some());
        assert_eq!((framing.searched, &buf[..]), (0, &b"{"[..]));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            bytes in prop::collection::vec(prop::sample::select(b"\xef\xbb\xbf\r\n {}a\"\xc3\xa9".to_vec()), 0..60),
            cuts in prop::collection::vec(0usize..70, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.insert(0, 0);
            cuts.push(bytes.len());
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(frames(pieces), frames([&bytes[..]]));
        }

        #[test]
        fn lines_are_returned_unchanged(lines in prop::collection::vec(r#"\{"k":"([a-z{}é]|\\"|\\n)*"\}"#, 0..5), crlf in any::<bool>()) {
            let end = if crlf { "\r\n" } else { "\n" };
            let body: String = lines.iter().flat_map(|line| [line, end]).collect();
            let expected: Vec<_> = lines.iter().map(|line| whole(line)).collect();
            prop_assert_eq!(frames([body.as_bytes()]), expected);
        }
    }
}
