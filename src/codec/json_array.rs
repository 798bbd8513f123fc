//! Cuts a JSON array that arrives in pieces into frames, one per element. Gemini sends such an
//! array without `alt=sse`.
//!
//! Invariants: every byte is scanned once, whatever the split; a frame is a slice of the input and
//! never larger than the bound. Only objects are elements: a bare object (an error body) is one
//! frame, and so is each object after the array. From the first byte that begins anything else, the
//! rest of the input is stray.

use bytes::{Buf as _, Bytes, BytesMut};
use bytestring::ByteString;

use super::{FRAME_BOUND, Frame, FrameError, FrameKind, Framing, text};

/// The framing of a JSON array.
#[derive(Debug, Default)]
pub struct JsonArray {
    front: Front,
    /// Number of scanned bytes of the element at the front of the buffer. One more than the buffer
    /// contains if its last byte is a backslash: the escaped byte is skipped when it arrives.
    scanned: usize,
    depth: usize,
    in_string: bool,
}

/// The kind of input at the front of the buffer.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Front {
    /// Brackets, commas and white space, which are dropped.
    #[default]
    Between,
    /// An object, which is an element.
    Element,
    /// Input that is not part of the format, kept until the end.
    Stray,
}

impl Framing for JsonArray {
    fn next(&mut self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if self.front == Front::Between {
            self.begin(buf);
        }
        let end = if self.front == Front::Element {
            self.scan(buf)
        } else {
            None
        };
        match end {
            Some(end) if end <= FRAME_BOUND => {
                *self = Self::default();
                Ok(Some(frame(&buf.split_to(end).freeze(), FrameKind::Whole)))
            }
            None if buf.len() <= FRAME_BOUND => Ok(None),
            _ => Err(FrameError::TooLong { bound: FRAME_BOUND }),
        }
    }

    fn finish(&mut self, buf: &mut BytesMut) -> Option<Frame> {
        let kind = if self.front == Front::Stray {
            FrameKind::Stray
        } else {
            FrameKind::Unterminated
        };
        *self = Self::default();
        let rest = buf.split().freeze();
        (!rest.is_empty()).then(|| frame(&rest, kind))
    }
}

impl JsonArray {
    /// Drops separators and determines the kind of the input that follows.
    fn begin(&mut self, buf: &mut BytesMut) {
        let separators = buf.iter().take_while(|byte| is_separator(**byte)).count();
        buf.advance(separators);
        self.front = match buf.first() {
            None => Front::Between,
            Some(b'{') => Front::Element,
            Some(_) => Front::Stray,
        };
    }

    /// Scans the bytes received since the last call. Returns the length of the element once it is
    /// complete.
    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(rest) = bytes.get(self.scanned..).filter(|rest| !rest.is_empty()) {
            if self.in_string {
                self.scan_string(rest);
            } else {
                self.scan_structure(rest);
            }
            if self.depth == 0 && !self.in_string {
                return Some(self.scanned);
            }
        }
        None
    }

    /// Scans to the end of a string, or to after its next escape.
    fn scan_string(&mut self, rest: &[u8]) {
        let Some(at) = memchr::memchr2(b'"', b'\\', rest) else {
            self.scanned += rest.len();
            return;
        };
        let escape = rest.get(at) == Some(&b'\\');
        self.in_string = escape;
        // The byte after a backslash is skipped: it may be a quote that does not end the string.
        self.scanned += at + if escape { 2 } else { 1 };
    }

    /// Scans to after the next quote, or to after the bracket that ends the element.
    fn scan_structure(&mut self, rest: &[u8]) {
        for byte in rest {
            self.scanned += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                // An element begins with a bracket, so that the depth is at least 1 here.
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
            if self.in_string || self.depth == 0 {
                return;
            }
        }
    }
}

/// Returns true for brackets and commas of the array, white space, and the bytes of a byte order
/// mark.
const fn is_separator(byte: u8) -> bool {
    matches!(
        byte,
        b'[' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf
    )
}

fn frame(bytes: &Bytes, kind: FrameKind) -> Frame {
    Frame {
        name: ByteString::new(),
        data: text::from_bytes(bytes),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns kind and payload of all frames of an input that arrives in these pieces.
    fn frames(pieces: &[&[u8]]) -> Vec<(FrameKind, String)> {
        let (mut framing, mut buf, mut out) = (JsonArray::default(), BytesMut::new(), Vec::new());
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

    #[test]
    fn an_array_becomes_its_elements() {
        let body =
            "[{\n  \"a\": [1, {\"b\": \"}]\\\"{\\\\\"}]\r\n}\n,\r\n{\"c\":\"é\"}\n,\r\n{}]\n";
        assert_eq!(
            frames(&[body.as_bytes()]),
            [
                whole("{\n  \"a\": [1, {\"b\": \"}]\\\"{\\\\\"}]\r\n}"),
                whole("{\"c\":\"é\"}"),
                whole("{}")
            ]
        );
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let body = "[{\"a\":\"\\\\\\\"}\"}\n,\r\n{\"b\":{\"c\":[\"[\"]}}\n]{\"error\":1} x";
        let expected = [
            whole("{\"a\":\"\\\\\\\"}\"}"),
            whole("{\"b\":{\"c\":[\"[\"]}}"),
            whole("{\"error\":1}"),
            (FrameKind::Stray, "x".into()),
        ];
        for cut in 0..=body.len() {
            let (a, b) = body.as_bytes().split_at(cut);
            assert_eq!(frames(&[a, b]), expected, "{cut}");
        }
        let single: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(frames(&single), expected);
    }

    #[test]
    fn a_bare_object_is_one_frame() {
        assert_eq!(
            frames(&[b"\xef\xbb\xbf{\"error\": {}}\n"]),
            [whole("{\"error\": {}}")]
        );
    }

    #[test]
    fn the_rest_at_the_end_has_its_kind() {
        assert_eq!(
            frames(&[b"[{\"a\":1},{\"b\":"]),
            [
                whole("{\"a\":1}"),
                (FrameKind::Unterminated, "{\"b\":".into())
            ]
        );
        assert_eq!(
            frames(&[b"<html>{}</html>"]),
            [(FrameKind::Stray, "<html>{}</html>".into())]
        );
        assert_eq!(frames(&[b" [\r\n", b"] "]), []);
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        assert_eq!(
            frames(&[b"{\"a\":\"\xff\"}"]),
            [whole("{\"a\":\"\u{fffd}\"}")]
        );
    }

    #[test]
    fn frames_above_the_bound_are_rejected_complete_or_not() {
        let long = [b"{\"a\":\"".to_vec(), vec![b'x'; FRAME_BOUND]].concat();
        let whole = [long.clone(), b"\"}".to_vec()].concat();
        for body in [long, whole, vec![b'x'; FRAME_BOUND + 1]] {
            let mut buf = BytesMut::from(&body[..]);
            assert_eq!(
                JsonArray::default().next(&mut buf),
                Err(FrameError::TooLong { bound: FRAME_BOUND })
            );
        }
    }

    #[test]
    fn no_byte_is_scanned_twice() {
        let (mut framing, mut buf) = (JsonArray::default(), BytesMut::from(&b"[{\"a\":\"b"[..]));
        assert_eq!(framing.next(&mut buf), Ok(None));
        assert_eq!(framing.scanned, buf.len());
        buf.extend_from_slice(b"c\\");
        assert_eq!(framing.next(&mut buf), Ok(None));
        assert_eq!(framing.scanned, buf.len() + 1);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_frames(
            body in r#"(\[|\]|\{|\}|,|"|\\|[a-c]|é|\n| |:|1){0,60}"#,
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let bytes = body.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.insert(0, 0);
            cuts.push(bytes.len());
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(frames(&pieces), frames(&[bytes]));
        }

        #[test]
        fn valid_elements_are_returned_unchanged(elements in proptest::collection::vec(r#"\{"k":"([a-z{}\[\],]|\\"|\\\\)*"\}"#, 0..5)) {
            let body = format!("[{}\n]", elements.join("\n,\r\n"));
            let expected: Vec<_> = elements.iter().map(|element| whole(element)).collect();
            prop_assert_eq!(frames(&[body.as_bytes()]), expected);
        }
    }
}
