//! Checks the requirements of the standard, at every split of the input.

use futures_util::StreamExt as _;
use proptest::prelude::*;

use super::*;

/// Feeds the pieces and returns all frames, including those of `finish`.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Frame>, FrameError> {
    let mut framing = Sse::default();
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        while let Some(frame) = framing.next(&mut buf)? {
            frames.push(frame);
        }
    }
    while let Some(frame) = framing.finish(&mut buf) {
        frames.push(frame);
    }
    Ok(frames)
}

fn whole(input: &[u8]) -> Vec<Frame> {
    feed([input]).unwrap()
}

/// Returns the frames of an input. Asserts that they are the same when it is split in two at any
/// byte, and byte by byte.
fn every_split(input: &[u8]) -> Vec<Frame> {
    let frames = whole(input);
    assert_eq!(feed(input.chunks(1)).unwrap(), frames, "byte by byte");
    for at in 0..=input.len() {
        let (head, tail) = input.split_at(at);
        assert_eq!(feed([head, tail]).unwrap(), frames, "split at {at}");
    }
    frames
}

/// Asserts the complete events of an input.
fn expect(input: &str, events: &[(&str, &str)]) {
    let frames = every_split(input.as_bytes());
    let seen: Vec<_> = frames
        .iter()
        .filter(|f| f.kind == FrameKind::Whole)
        .map(|f| (&*f.name, &*f.data))
        .collect();
    assert_eq!(seen, events, "{input:?}");
}

#[test]
fn one_byte_order_mark_is_stripped_and_no_other() {
    expect(
        "\u{feff}data:1\n\n\u{feff}data:2\n\ndata:3\n\n",
        &[("", "1"), ("", "3")],
    );
    expect(
        "\u{feff}\u{feff}data:1\n\ndata:2\n\ndata:3\n\n",
        &[("", "2"), ("", "3")],
    );
}

#[test]
fn comments_are_ignored_whatever_they_contain() {
    let long = "x".repeat(2048);
    let input =
        format!("data:1\r:\0\n:\r\ndata:2\n:{long}\rdata:3\n:data:fail\r:{long}\ndata:4\n\n\n");
    expect(&input, &[("", "1\n2\n3\n4")]);
}

#[test]
fn an_event_without_its_blank_line_is_unterminated() {
    let frames = every_split(b"retry:1000\ndata:test1\n\nid:test\ndata:test2");
    assert_eq!(
        frames
            .iter()
            .map(|f| (&*f.data, f.kind))
            .collect::<Vec<_>>(),
        [
            ("test1", FrameKind::Whole),
            ("test2", FrameKind::Unterminated)
        ]
    );
}

#[test]
fn data_fields_may_be_empty_or_bare() {
    expect(
        "data:\n\ndata\ndata\n\ndata:test\n\n",
        &[("", ""), ("", "\n"), ("", "test")],
    );
}

#[test]
fn an_event_name_applies_to_one_event() {
    expect(
        "event:test\ndata:x\n\ndata:x\n\n",
        &[("test", "x"), ("", "x")],
    );
    expect("event: \ndata:data\n\n", &[("", "data")]);
    expect("event:lost\n\ndata:x\n\n", &[("", "x")]);
    expect("event:a\nevent:b\ndata:x\n\n", &[("b", "x")]);
}

#[test]
fn ids_and_retries_are_ignored() {
    expect(
        "id: 1\nretry:3000\nretry:1000x\nretry\ndata:x\nid:a\0b\n\nid: 7\n\n",
        &[("", "x")],
    );
}

#[test]
fn field_names_are_compared_exactly() {
    let input = "data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n";
    expect(input, &[("", "\0\n 2\n1\n3\n\n4")]);
}

#[test]
fn unknown_fields_are_ignored() {
    expect(
        "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        &[("", "test\n\ntest")],
    );
}

#[test]
fn one_leading_space_is_removed_and_no_tab() {
    expect(
        "data:\ttest\rdata: \ndata:test\n\n",
        &[("", "\ttest\n\ntest")],
    );
}

#[test]
fn every_line_end_is_supported_and_crlf_is_one() {
    expect(
        "data:test\r\ndata\ndata:test\r\n\r",
        &[("", "test\n\ntest")],
    );
    expect(
        "data:1\r\n\r\ndata:2\r\rdata:3\n\n",
        &[("", "1"), ("", "2"), ("", "3")],
    );
    expect("data:1\r\ndata:2\r\n\r\n", &[("", "1\n2")]);
}

#[test]
fn nul_is_a_character() {
    expect("data:\0\n\n\n\n", &[("", "\0")]);
}

#[test]
fn text_is_utf8_at_any_split() {
    expect("data:ok…😀\nevent:é\n\n", &[("é", "ok…😀")]);
    let frames = every_split(b"data: a\xe2\x82\ndata: \xffb\n\n");
    assert_eq!(&*frames[0].data, "a\u{fffd}\n\u{fffd}b");
}

#[test]
fn only_events_with_data_are_dispatched() {
    let input = "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n";
    expect(input, &[("", "msg\nmsg"), ("", ""), ("", "end")]);
    expect(
        "\n\n\n\n\n\n: PROCESSING\n\nevent: x\n\ndata:{}\n\n",
        &[("", "{}")],
    );
}

#[test]
fn stray_lines_are_returned_at_the_end() {
    let frames = every_split(b"data:1\n\nerror: {\"a\":1}\n\n{\n  \"error\": {\n} ]\nfoo: bar\n\n");
    assert_eq!(frames.len(), 2);
    assert_eq!(&*frames[1].data, "error: {\"a\":1}\n{\n  \"error\": {\n} ]");
    assert_eq!(frames[1].kind, FrameKind::Stray);
}

#[test]
fn an_unterminated_line_counts_at_the_end() {
    let frames = every_split(b"data: [DONE]");
    assert_eq!(
        (&*frames[0].data, frames[0].kind),
        ("[DONE]", FrameKind::Unterminated)
    );
    assert_eq!(every_split(b"{\"error\":1}")[0].kind, FrameKind::Stray);
    assert_eq!(every_split(b"\xef\xbb"), []);
    assert_eq!(every_split(b": half a comment"), []);
}

#[test]
fn stray_lines_are_bounded() {
    let frames = whole("{ stray\n".repeat(STRAY_BOUND).as_bytes());
    assert_eq!(frames[0].data.len(), STRAY_BOUND);
}

#[test]
fn an_event_with_one_data_line_is_a_slice_of_the_input() {
    let mut buf = BytesMut::from(&b"data: {\"a\":1}\n\ndata: {\"b\":2}\n\n"[..]);
    let range = buf.as_ptr_range();
    let mut framing = Sse::default();
    for _ in 0..2 {
        let frame = framing.next(&mut buf).unwrap().unwrap();
        assert!(range.contains(&frame.data.as_bytes().as_ptr()));
    }
}

#[test]
fn an_endless_line_ends_with_an_error_at_the_bound() {
    for start in ["data: ", "event: ", "foo", "data: a\ndata: b"] {
        let mut framing = Sse::default();
        let mut buf = BytesMut::from(start);
        let piece = [b'x'; 64 * 1024];
        let failed = (0..=FRAME_BOUND / piece.len()).find_map(|_| {
            buf.extend_from_slice(&piece);
            framing.next(&mut buf).err()
        });
        assert_eq!(failed, Some(FrameError::TooLong { bound: FRAME_BOUND }));
        assert!(buf.len() <= FRAME_BOUND + piece.len());
    }
}

#[test]
fn endless_data_lines_end_with_an_error_at_the_bound() {
    let line = format!("data:{}\n", "x".repeat(64 * 1024));
    let pieces = std::iter::repeat_n(line.as_bytes(), FRAME_BOUND / line.len() + 2);
    assert_eq!(
        feed(pieces),
        Err(FrameError::TooLong { bound: FRAME_BOUND })
    );
}

#[test]
fn a_frame_at_the_bound_is_accepted() {
    let input = format!("data:{}\n\n", "x".repeat(FRAME_BOUND - 5));
    assert_eq!(whole(input.as_bytes())[0].data.len(), FRAME_BOUND - 5);
    let longer = format!("data:{}\n\n", "x".repeat(FRAME_BOUND - 4));
    assert!(feed([longer.as_bytes()]).is_err());
}

#[test]
fn an_endless_comment_uses_no_memory() {
    let mut framing = Sse::default();
    let mut buf = BytesMut::from(&b":"[..]);
    for _ in 0..1024 {
        buf.extend_from_slice(&[b'x'; 1024]);
        assert_eq!(framing.next(&mut buf), Ok(None));
        assert!(buf.is_empty());
    }
    buf.extend_from_slice(b"data:no\r\ndata:yes\n\n");
    assert_eq!(&*framing.next(&mut buf).unwrap().unwrap().data, "yes");
}

#[test]
fn no_byte_is_searched_twice() {
    let mut framing = Sse::default();
    let mut buf = BytesMut::from(&b"data: "[..]);
    for n in 1..=1024_usize {
        buf.extend_from_slice(&[b'x'; 1024]);
        assert_eq!(framing.next(&mut buf), Ok(None));
        assert_eq!(
            framing.searched,
            6 + n * 1024,
            "the next search begins where this one stopped"
        );
    }
    buf.extend_from_slice(b"\n\n");
    assert_eq!(
        framing.next(&mut buf).unwrap().unwrap().data.len(),
        1024 * 1024
    );
}

/// Generates pieces of difficult inputs.
fn snippet() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n"]).prop_map(str::to_owned),
        4 => prop::sample::select(vec!["data", "data:", "data: ", "event:", "event: x", "id:1", "retry:5", ":", ": c", "foo:", " "])
            .prop_map(str::to_owned),
        2 => "[a-z{}\":é😀\u{0}\t ]{0,12}",
    ]
}

fn oracle(input: &str) -> Vec<(String, String)> {
    let once =
        futures_util::stream::iter([Ok::<_, std::convert::Infallible>(input.as_bytes().to_vec())]);
    let events = futures_util::FutureExt::now_or_never(
        eventsource_stream::EventStream::new(once).collect::<Vec<_>>(),
    );
    let events = events.expect("the input is there");
    let name = |name: String| {
        if name == "message" {
            String::new()
        } else {
            name
        }
    };
    events
        .into_iter()
        .map(|event| event.unwrap())
        .map(|event| (name(event.event), event.data))
        .collect()
}

proptest! {
    #[test]
    fn agrees_with_eventsource_stream(snippets in prop::collection::vec(snippet(), 0..40)) {
        // The first line prevents a panic of the oracle on a leading byte order mark.
        let input = format!(": begin\n{}\n\n", snippets.concat());
        let ours: Vec<_> = whole(input.as_bytes()).into_iter().filter(|f| f.kind == FrameKind::Whole)
            .map(|f| (f.name.to_string(), f.data.to_string())).collect();
        prop_assert_eq!(ours, oracle(&input));
    }

    #[test]
    fn any_split_gives_the_same_frames(
        snippets in prop::collection::vec(snippet(), 0..30),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let input = snippets.concat().into_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        at.extend([0, input.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &input[pair[0]..pair[1]]);
        prop_assert_eq!(feed(pieces).unwrap(), whole(&input));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(feed(bytes.chunks(1)).unwrap(), whole(&bytes));
    }
}
