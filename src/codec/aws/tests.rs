use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::DateTime;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use proptest::prelude::*;

use super::*;

const SMALLEST: &str = "000000100000000005c248eb7d98c8ff";
const STOP: &str = "0000007a00000051ca2c46650b3a6576656e742d7479706507000b6d65737361676553746f700d3a636f6e74656e742d747970650700106170706c\
    69636174696f6e2f6a736f6e0d3a6d6573736167652d747970650700056576656e747b2273746f70526561736f6e223a22656e645f7475726e227d5fbf09fc";
const THROTTLED: &str = "0000008800000061de0175f40f3a657863657074696f6e2d747970650700137468726f74746c696e67457863657074696f6e0d3a636f6e74\
    656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d6573736167652d74797065070009657863657074696f6e7b226d657373616765223a22\
    736c6f7720646f776e227d832ee072";

fn bytes(hex: &str) -> Vec<u8> {
    let hex: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    hex.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn whole(name: &str, data: &str) -> Frame {
    Frame {
        name: name.into(),
        data: data.into(),
        kind: FrameKind::Whole,
    }
}

fn exception(name: &str, data: &str) -> Frame {
    Frame {
        kind: FrameKind::Exception,
        ..whole(name, data)
    }
}

/// Returns all frames of an input that arrives in these pieces, and the error that ended it.
fn frames(pieces: &[&[u8]]) -> (Vec<Frame>, Option<FrameError>) {
    let (mut framing, mut buf, mut out) = (AwsEventStream::default(), BytesMut::new(), Vec::new());
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match framing.next(&mut buf) {
                Ok(Some(frame)) => out.push(frame),
                Ok(None) => break,
                Err(error) => return (out, Some(error)),
            }
        }
    }
    while let Some(frame) = framing.finish(&mut buf) {
        out.push(frame);
    }
    (out, None)
}

fn text(name: &'static str, value: &str) -> Header {
    Header::new(name, HeaderValue::String(value.to_owned().into()))
}

fn message_bytes(headers: &[Header], payload: &[u8]) -> Vec<u8> {
    let message = headers.iter().cloned().fold(
        Message::new(Bytes::copy_from_slice(payload)),
        Message::add_header,
    );
    let mut out = Vec::new();
    write_message_to(&message, &mut out).unwrap();
    out
}

/// Returns a prelude with a valid checksum.
fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    let checksum = crc32fast::hash(&lengths).to_be_bytes();
    [lengths, checksum.to_vec()].concat()
}

#[test]
fn the_published_vectors_are_read() {
    assert_eq!(frames(&[&bytes(SMALLEST)]), (vec![whole("", "")], None));
    assert_eq!(
        frames(&[&bytes(STOP)]),
        (
            vec![whole("messageStop", r#"{"stopReason":"end_turn"}"#)],
            None
        )
    );
    assert_eq!(
        frames(&[&bytes(THROTTLED)]),
        (
            vec![exception(
                "throttlingException",
                r#"{"message":"slow down"}"#
            )],
            None
        )
    );
}

#[test]
fn an_error_without_payload_gets_one() {
    let headers = [
        text(":error-code", "InternalFailure"),
        text(":error-message", "a \"bad\" day"),
        text(":message-type", "error"),
    ];
    assert_eq!(
        frames(&[&message_bytes(&headers, b"")]).0,
        [exception(
            "InternalFailure",
            r#"{"message":"a \"bad\" day"}"#
        )]
    );
    assert_eq!(
        frames(&[&message_bytes(&headers[2..], b"")]).0,
        [exception("", r#"{"message":""}"#)]
    );
}

#[test]
fn every_split_gives_the_same_frames() {
    let body = [bytes(STOP), bytes(SMALLEST), bytes(THROTTLED)].concat();
    let expected = frames(&[&body]);
    assert_eq!(expected.0.len(), 3);
    for cut in 0..=body.len() {
        let (a, b) = body.split_at(cut);
        assert_eq!(frames(&[a, b]), expected, "{cut}");
    }
    let single: Vec<&[u8]> = body.chunks(1).collect();
    assert_eq!(frames(&single), expected);
}

#[test]
fn a_cut_message_gives_an_empty_frame() {
    let body = [bytes(STOP), bytes(THROTTLED)].concat();
    let first = bytes(STOP).len();
    let unended = Frame {
        kind: FrameKind::Unterminated,
        ..whole("", "")
    };
    for end in 0..body.len() {
        let (got, error) = frames(&[&body[..end]]);
        let expected: Vec<Frame> = match end {
            0 => vec![],
            _ if end < first => vec![unended.clone()],
            _ if end == first => vec![whole("messageStop", r#"{"stopReason":"end_turn"}"#)],
            _ => vec![
                whole("messageStop", r#"{"stopReason":"end_turn"}"#),
                unended.clone(),
            ],
        };
        assert_eq!((got, error), (expected, None), "{end}");
    }
}

#[test]
fn one_changed_byte_is_detected() {
    let body = bytes(STOP);
    for at in 0..body.len() {
        for change in 1..=255 {
            let mut changed = body.clone();
            changed[at] ^= change;
            let part = if at < PRELUDE { "prelude" } else { "message" };
            assert_eq!(
                frames(&[&changed]),
                (vec![], Some(FrameError::Corrupt { part })),
                "{at} {change}"
            );
        }
    }
}

#[test]
fn invalid_lengths_are_rejected_with_the_prelude() {
    for (total, headers) in [(0, 0), (15, 0), (16, 1), (16, u32::MAX), (100, 85)] {
        let expected = FrameError::Lengths {
            total: total as usize,
            headers: headers as usize,
        };
        assert_eq!(frames(&[&prelude(total, headers)]).1, Some(expected));
    }
    let (payload, headers) = (
        u32::try_from(PAYLOAD_BOUND).unwrap(),
        u32::try_from(HEADERS_BOUND).unwrap(),
    );
    for (total, headers, bound) in [
        (16 + payload + 1, 0, PAYLOAD_BOUND),
        (u32::MAX, 0, PAYLOAD_BOUND),
        (16 + headers + 1, headers + 1, HEADERS_BOUND),
        (u32::MAX, u32::MAX - 16, HEADERS_BOUND),
    ] {
        assert_eq!(
            frames(&[&prelude(total, headers)]).1,
            Some(FrameError::TooLong { bound })
        );
    }
    let unended = vec![Frame {
        kind: FrameKind::Unterminated,
        ..whole("", "")
    }];
    assert_eq!(
        frames(&[&prelude(16 + payload + headers, headers)]),
        (unended, None),
        "the largest there may be"
    );
}

#[test]
fn the_largest_message_is_read() {
    let payload = vec![b'x'; PAYLOAD_BOUND];
    let body = message_bytes(&[text(":event-type", "e")], &payload);
    let pieces: Vec<&[u8]> = body.chunks(1 << 16).collect();
    let (got, error) = frames(&pieces);
    assert_eq!(
        (got.len(), got[0].data.len(), error),
        (1, PAYLOAD_BOUND, None)
    );
}

#[test]
fn invalid_headers_are_rejected() {
    let twice = message_bytes(&[text("a", "1"), text("a", "2")], b"{}");
    assert_eq!(
        frames(&[&twice]).1,
        Some(FrameError::Headers {
            what: "a name occurs twice"
        })
    );
    let mut torn = prelude(18, 2);
    torn.extend([5, b'a']);
    torn.extend(crc32fast::hash(&torn).to_be_bytes());
    assert_eq!(
        frames(&[&torn]).1,
        Some(FrameError::Headers {
            what: "the last one is incomplete"
        })
    );
}

#[test]
fn frames_are_slices_of_the_input() {
    let mut buf = BytesMut::from(&bytes(STOP)[..]);
    let read = buf.as_ptr_range();
    let frame = AwsEventStream::default().next(&mut buf).unwrap().unwrap();
    for text in [&frame.name, &frame.data] {
        assert!(read.contains(&text.as_bytes().as_ptr()));
    }
}

#[test]
fn an_incomplete_message_is_not_checked_twice() {
    let body = bytes(STOP);
    let (mut framing, mut buf) = (AwsEventStream::default(), BytesMut::from(&body[..40]));
    assert_eq!(framing.next(&mut buf), Ok(None));
    buf[0] = 0xff;
    assert_eq!(
        framing.next(&mut buf),
        Ok(None),
        "the prelude was read before"
    );
    buf[0] = 0;
    buf.extend_from_slice(&body[40..]);
    assert!(framing.next(&mut buf).unwrap().is_some());
}

#[test]
fn invalid_utf8_is_replaced() {
    assert_eq!(
        frames(&[&message_bytes(&[], b"a\xffb")]).0,
        [whole("", "a\u{fffd}b")]
    );
}

fn value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Int16),
        any::<i32>().prop_map(HeaderValue::Int32),
        any::<i64>().prop_map(HeaderValue::Int64),
        proptest::collection::vec(any::<u8>(), 0..40)
            .prop_map(|bytes| HeaderValue::ByteArray(bytes.into())),
        ".{0,12}".prop_map(|text| HeaderValue::String(text.into())),
        any::<u32>()
            .prop_map(|seconds| HeaderValue::Timestamp(DateTime::from_secs(seconds.into()))),
        any::<u128>().prop_map(HeaderValue::Uuid),
    ]
}

/// Generates a message written by Amazon's own crate, and its frame.
fn message() -> impl Strategy<Value = (Vec<u8>, Frame)> {
    let kind = prop_oneof![Just("event"), Just("exception")];
    let others = proptest::collection::btree_map("[a-z]{0,9}", value(), 0..4);
    (kind, "[a-zA-Z]{0,20}", others, ".{0,60}").prop_map(|(kind, name, others, payload)| {
        let named = if kind == "event" {
            ":event-type"
        } else {
            ":exception-type"
        };
        let mut headers: Vec<Header> = others
            .into_iter()
            .map(|(name, value)| Header::new(name, value))
            .collect();
        headers.insert(headers.len() / 2, text(named, &name));
        headers.push(text(":message-type", kind));
        let frame = if kind == "event" {
            whole(&name, &payload)
        } else {
            exception(&name, &payload)
        };
        (message_bytes(&headers, payload.as_bytes()), frame)
    })
}

proptest! {
    #[test]
    fn messages_of_amazons_own_crate_are_read_at_any_split(
        messages in proptest::collection::vec(message(), 0..4),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let body: Vec<u8> = messages.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.insert(0, 0);
        cuts.push(body.len());
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
        let expected: Vec<Frame> = messages.into_iter().map(|(_, frame)| frame).collect();
        prop_assert_eq!(frames(&pieces), (expected, None));
    }

    #[test]
    fn a_changed_byte_never_gives_another_frame(
        (body, expected) in message(),
        at in any::<prop::sample::Index>(),
        change in 1u8..,
    ) {
        let mut changed = [body.clone(), body].concat();
        let at = at.index(changed.len() / 2);
        changed[at] ^= change;
        let (got, error) = frames(&[&changed]);
        prop_assert_eq!(got, Vec::<Frame>::new(), "{:?}", expected);
        let found = matches!(error, Some(FrameError::Corrupt { .. }));
        prop_assert!(found, "{:?}", error);
    }

    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200), lengths in any::<(u8, u8)>()) {
        frames(&[&body]);
        let lied = [prelude(lengths.0.into(), lengths.1.into()), body.clone()].concat();
        frames(&[&lied]);
        let total = u32::try_from(PRELUDE + body.len() + CHECKSUM).unwrap();
        let mut sealed = prelude(total, u32::from(lengths.1) % (total - 15));
        sealed.extend(body);
        sealed.extend(crc32fast::hash(&sealed).to_be_bytes());
        let error = frames(&[&sealed]).1;
        let as_expected = matches!(error, None | Some(FrameError::Headers { .. }));
        prop_assert!(as_expected, "{:?}", error);
    }
}
