use proptest::prelude::*;

use super::*;
use crate::model::event::{Citation, Event, Raw, Reason, Signature};
use crate::model::fault::Code;
use crate::model::fold::{Answer, Part};
use crate::model::usage::Usage;

const START: (&str, &str) = ("messageStart", r#"{"p":"abcd","role":"assistant"}"#);
const STOP: (&str, &str) = ("messageStop", r#"{"p":"ab","stopReason":"end_turn"}"#);
const METADATA: (&str, &str) = (
    "metadata",
    r#"{"metrics":{"latencyMs":9},"p":"a","usage":{"inputTokens":7,"outputTokens":12,"serverToolUsage":{},"totalTokens":19}}"#,
);

fn frame(name: &str, data: &str) -> Frame {
    Frame {
        name: name.into(),
        data: data.into(),
        kind: FrameKind::Whole,
    }
}

fn truncated() -> Frame {
    Frame {
        kind: FrameKind::Unterminated,
        ..frame("", "")
    }
}

/// Decodes these frames; returns the events, the last usage and the result.
fn run(frames: &[Frame]) -> (Vec<Event>, Option<Usage>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new("seed");
    let (mut out, mut events, mut usage) = (Decoded::default(), Vec::new(), None);
    for frame in frames {
        out.clear();
        if let Err(error) = decoder.decode(frame, &mut out) {
            return (events, usage, Err(error));
        }
        events.extend(out.events.drain(..));
        usage = out.usage.or(usage);
    }
    out.clear();
    let end = decoder.finish(&mut out);
    events.extend(out.events.drain(..));
    (events, usage, end)
}

fn frames(pairs: &[(&str, &str)]) -> Vec<Frame> {
    pairs.iter().map(|(name, data)| frame(name, data)).collect()
}

/// Decodes this content between a start and a proper end; returns the parts of the answer.
fn parts(content: &[(&str, &str)]) -> Vec<Part> {
    let (events, _, end) = run(&frames(&[&[START], content, &[STOP, METADATA]].concat()));
    end.unwrap();
    Answer::from_events(&events).choices.remove(0).parts
}

fn delta(index: u32, delta: &str) -> String {
    format!(r#"{{"contentBlockIndex":{index},"delta":{delta},"p":"abcdefghij"}}"#)
}

fn begin(index: u32, start: &str) -> String {
    format!(r#"{{"contentBlockIndex":{index},"p":"ab","start":{start}}}"#)
}

fn stop(index: u32) -> String {
    format!(r#"{{"contentBlockIndex":{index},"p":"a"}}"#)
}

fn raw(data: &str) -> Part {
    Part::Raw(Raw {
        choice: 0,
        wire: WireId::Bedrock,
        data: data.into(),
    })
}

fn call(index: u16, id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall {
        index,
        id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
        signature: None,
        custom: false,
    }
}

fn signature(signature: Option<&str>, redacted: Option<&str>) -> Part {
    let of = |text: Option<&str>| text.map(ByteString::from);
    Part::Signature(Signature {
        choice: 0,
        signature: of(signature),
        redacted: of(redacted),
        wire: WireId::Bedrock,
        on_text: false,
    })
}

fn finish(events: &[Event]) -> Vec<(Reason, Option<&str>)> {
    events
        .iter()
        .filter_map(|it| {
            if let Event::Finish(it) = it {
                Some((it.reason, it.native.as_deref()))
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn text_needs_no_start_and_empty_pieces_are_skipped() {
    let pieces = [
        r#"{"text":""}"#,
        r#"{"text":"Hi "}"#,
        r#"{"text":"<thinking>\n"}"#,
    ]
    .map(|piece| delta(0, piece));
    let content: Vec<(&str, &str)> = pieces
        .iter()
        .map(|piece| ("contentBlockDelta", piece.as_str()))
        .collect();
    assert_eq!(parts(&content), [Part::Text("Hi <thinking>\n".into())]);
    let edges = [
        ("contentBlockStart", begin(0, r#"{"text":{}}"#)),
        ("contentBlockStart", begin(0, "{ }")),
    ];
    for (name, start) in &edges {
        assert_eq!(
            parts(&[(name, start), content[1]]),
            [Part::Text("Hi ".into())]
        );
    }
}

#[test]
fn text_is_a_slice_of_the_frame() {
    let frame = frame("contentBlockDelta", &delta(0, r#"{"text":"plain é"}"#));
    let mut out = Decoded::default();
    Decoder::new("s").decode(&frame, &mut out).unwrap();
    let Some(Event::Text { delta, .. }) = out.events.first() else {
        panic!("{:?}", out.events)
    };
    assert!(
        frame
            .data
            .as_bytes()
            .as_ptr_range()
            .contains(&delta.as_bytes().as_ptr())
    );
}

#[test]
fn usage_comes_after_the_stop_and_includes_the_cache() {
    let metadata = r#"{"usage":{"cacheReadInputTokenCount":3,"cacheReadInputTokens":3,"cacheWriteInputTokens":4,"inputTokens":7,
        "outputTokens":12,"cacheDetails":[{"ttl":"5m","inputTokens":4}],"totalTokens":26}}"#;
    let (events, usage, end) = run(&frames(&[START, STOP, ("metadata", metadata)]));
    end.unwrap();
    let expected = Usage {
        input: Some(14),
        output: Some(12),
        cached_input: Some(3),
        cache_write: Some(4),
        ..Usage::default()
    };
    assert_eq!(usage, Some(expected));
    assert_eq!(finish(&events), [(Reason::Stop, Some("end_turn"))]);
    for odd in ["{}", r#"{"usage":null}"#] {
        let (events, usage, end) = run(&frames(&[STOP, ("metadata", odd)]));
        end.unwrap();
        assert_eq!((usage, events.len()), (None, 1));
    }
}

#[test]
fn the_stream_is_done_after_both_metadata_and_stop() {
    let mut decoder = Decoder::new("seed");
    let mut out = Decoded::default();
    for (name, data) in [METADATA, START, STOP] {
        assert!(!out.done && out.events.is_empty());
        decoder.decode(&frame(name, data), &mut out).unwrap();
    }
    assert!(out.done);
    out.clear();
    decoder
        .decode(
            &frame("contentBlockDelta", &delta(0, r#"{"text":"late"}"#)),
            &mut out,
        )
        .unwrap();
    assert!(
        out.marker && out.events.is_empty(),
        "nothing follows the end"
    );
}

#[test]
fn a_body_that_ends_before_stop_and_metadata_was_cut_short() {
    for pairs in [&[][..], &[START], &[START, METADATA], &[START, STOP]] {
        let (events, _, end) = run(&frames(pairs));
        assert!(
            matches!(end, Err(DecodeError::CutShort)) && finish(&events).is_empty(),
            "{pairs:?}"
        );
    }
    let (events, _, end) = run(&[frames(&[START, STOP]), vec![truncated()]].concat());
    assert!(matches!(end, Err(DecodeError::CutShort)) && finish(&events).is_empty());
}

#[test]
fn stop_reasons_are_normalized() {
    for (native, reason) in [
        ("end_turn", Reason::Stop),
        ("stop_sequence", Reason::Stop),
        ("max_tokens", Reason::Length),
        ("model_context_window_exceeded", Reason::Length),
        ("tool_use", Reason::ToolCalls),
        ("content_filtered", Reason::ContentFilter),
        ("guardrail_intervened", Reason::ContentFilter),
        ("malformed_model_output", Reason::Error),
        ("malformed_tool_use", Reason::Error),
        ("brand_new", Reason::Stop),
    ] {
        let (events, ..) = run(&frames(&[
            ("messageStop", &format!(r#"{{"stopReason":"{native}"}}"#)),
            METADATA,
        ]));
        assert_eq!(finish(&events), [(reason, Some(native))]);
    }
    assert_eq!(
        finish(&run(&frames(&[("messageStop", "{}"), METADATA])).0),
        [(Reason::Stop, None)]
    );
}

#[test]
fn calls_are_numbered_and_ended() {
    let content = [
        ("contentBlockDelta", delta(0, r#"{"text":"Let me see."}"#)),
        ("contentBlockStop", stop(0)),
        (
            "contentBlockStart",
            begin(1, r#"{"toolUse":{"name":"look","toolUseId":"tooluse_a"}}"#),
        ),
        ("contentBlockDelta", delta(1, r#"{"toolUse":{"input":""}}"#)),
        (
            "contentBlockDelta",
            delta(1, r#"{"toolUse":{"input":"{\"at\": "}}"#),
        ),
        (
            "contentBlockDelta",
            delta(1, r#"{"toolUse":{"input":"1}"}}"#),
        ),
        ("contentBlockStop", stop(1)),
        (
            "contentBlockStart",
            begin(
                2,
                r#"{"toolUse":{"name":"count","toolUseId":"","type":"tool_use"}}"#,
            ),
        ),
    ];
    let content: Vec<(&str, &str)> = content
        .iter()
        .map(|(name, data)| (*name, data.as_str()))
        .collect();
    let expected = [
        Part::Text("Let me see.".into()),
        call(0, "tooluse_a", "look", r#"{"at": 1}"#),
        call(1, "call_seed_1", "count", ""),
    ];
    assert_eq!(parts(&content), expected);
    let (events, ..) = run(&frames(
        &[&content[..], &[("messageStop", "{}"), METADATA]].concat(),
    ));
    let ends: Vec<u16> = events
        .iter()
        .filter_map(|it| {
            if let Event::ToolCallEnd { index, .. } = it {
                Some(*index)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        ends,
        [0, 1],
        "the call of a block that never stopped is ended too"
    );
    assert_eq!(finish(&events), [(Reason::ToolCalls, None)]);
}

#[test]
fn calls_that_a_server_runs_are_raw() {
    let (used, result) = (
        r#"{"toolUse":{"name":"nova_code_interpreter","toolUseId":"s","type":"server_tool_use"}}"#,
        r#"{"toolResult":{"toolUseId":"s"}}"#,
    );
    let content = [
        ("contentBlockStart", begin(0, used)),
        (
            "contentBlockDelta",
            delta(0, r#"{"toolUse":{"input":"{\"snippet\":\"1\"}"}}"#),
        ),
        ("contentBlockStop", stop(0)),
        ("contentBlockStart", begin(1, result)),
        (
            "contentBlockDelta",
            delta(1, r#"{"toolResult":[{"json":{"stdOut":"1"}}]}"#),
        ),
        ("contentBlockStop", stop(1)),
        (
            "contentBlockStart",
            begin(
                2,
                r#"{"toolUse":{"name":"final","toolUseId":"f","type":"tool_use"}}"#,
            ),
        ),
        ("contentBlockStop", stop(2)),
    ];
    let content: Vec<(&str, &str)> = content
        .iter()
        .map(|(name, data)| (*name, data.as_str()))
        .collect();
    let expected = [
        raw(used),
        raw(r#"{"toolUse":{"input":"{\"snippet\":\"1\"}"}}"#),
        raw(result),
        raw(r#"{"toolResult":[{"json":{"stdOut":"1"}}]}"#),
        call(0, "f", "final", ""),
    ];
    assert_eq!(parts(&content), expected);
}

#[test]
fn content_without_a_normalized_form_is_raw() {
    for (name, data, kept) in [
        (
            "contentBlockStart",
            begin(0, r#"{"image":{"format":"png"}}"#),
            r#"{"image":{"format":"png"}}"#,
        ),
        (
            "contentBlockDelta",
            delta(0, r#"{"image":{"source":{"bytes":"AA=="}}}"#),
            r#"{"image":{"source":{"bytes":"AA=="}}}"#,
        ),
        (
            "contentBlockDelta",
            delta(0, r#"{"aNewKind":[1]}"#),
            r#"{"aNewKind":[1]}"#,
        ),
        (
            "contentBlockDelta",
            delta(0, r#"{"toolUse":{"input":"{}"}}"#),
            r#"{"toolUse":{"input":"{}"}}"#,
        ),
        (
            "contentBlockStart",
            begin(0, r#"{"toolUse":{"toolUseId":"x","name":""}}"#),
            r#"{"toolUse":{"toolUseId":"x","name":""}}"#,
        ),
    ] {
        assert_eq!(parts(&[(name, &data)]), [raw(kept)]);
    }
    assert_eq!(
        parts(&[
            ("contentBlockDelta", &delta(0, "{}")),
            ("aNewEvent", "{\"x\":1}"),
            ("initial-response", "")
        ]),
        []
    );
}

#[test]
fn reasoning_has_text_a_signature_or_neither() {
    let content = [
        delta(0, r#"{"reasoningContent":{"text":"h"}}"#),
        delta(0, r#"{"reasoningContent":{"text":"m"}}"#),
        delta(0, r#"{"reasoningContent":{"signature":"U2ln"}}"#),
        delta(1, r#"{"reasoningContent":{"redactedContent":"UjE="}}"#),
        delta(2, r#"{"reasoningContent":{"redactedContent":"UjI="}}"#),
        delta(3, r#"{"reasoningContent":{"text":""}}"#),
        delta(4, r#"{"text":"so"}"#),
    ];
    let content: Vec<(&str, &str)> = content
        .iter()
        .map(|data| ("contentBlockDelta", data.as_str()))
        .collect();
    let expected = [
        Part::Reasoning("hm".into()),
        signature(Some("U2ln"), None),
        signature(None, Some("UjE=")),
        signature(None, Some("UjI=")),
        Part::Text("so".into()),
    ];
    assert_eq!(parts(&content), expected);
}

#[test]
fn citations_are_read_and_unreadable_ones_are_kept() {
    let cited = |data: &str, url: Option<&str>, title: Option<&str>, quote: Option<&str>| {
        let of = |text: Option<&str>| text.map(ByteString::from);
        Part::Citation(Citation {
            choice: 0,
            url: of(url),
            title: of(title),
            quote: of(quote),
            span: None,
            data: data.into(),
        })
    };
    let document = r#"{"location":{"documentChar":{"documentIndex":0,"end":73,"start":0}},"sourceContent":[{"text":"A "},{"text":"b."}],"title":"facts"}"#;
    let web = r#"{"location":{"web":{"domain":"a.example","url":"https://a.example/b"}},"sourceContent":[{"text":"A"}],"source":"x"}"#;
    for (data, url, title, quote) in [
        (document, None, Some("facts"), Some("A b.")),
        (web, Some("https://a.example/b"), None, Some("A")),
        (
            r#"{"source":"https://c.example/","title":""}"#,
            Some("https://c.example/"),
            None,
            None,
        ),
        (
            r#"{"source":"S3 bucket","location":{"documentPage":{"start":1}}}"#,
            None,
            None,
            None,
        ),
        (r#"{"title":7}"#, None, None, None),
    ] {
        let piece = delta(0, &format!(r#"{{"citation":{data}}}"#));
        assert_eq!(
            parts(&[("contentBlockDelta", &piece)]),
            [cited(data, url, title, quote)]
        );
    }
}

#[test]
fn an_exception_ends_the_stream_at_any_position() {
    let text = delta(0, r#"{"text":"Hi"}"#);
    for (name, kind, code) in [
        (
            "throttlingException",
            FrameKind::Exception,
            Code::RateLimited,
        ),
        (
            "modelStreamErrorException",
            FrameKind::Exception,
            Code::UpstreamError,
        ),
        (
            "serviceUnavailableException",
            FrameKind::Exception,
            Code::Overloaded,
        ),
        (
            "validationException",
            FrameKind::Exception,
            Code::InvalidRequest,
        ),
        ("InternalFailure", FrameKind::Exception, Code::UpstreamError),
        (
            "internalServerException",
            FrameKind::Whole,
            Code::UpstreamError,
        ),
    ] {
        for before in [
            vec![],
            frames(&[START, ("contentBlockDelta", &text)]),
            frames(&[START, STOP]),
        ] {
            let failure = Frame {
                kind,
                ..frame(name, r#"{"message":"it broke"}"#)
            };
            let (events, _, end) =
                run(&[before, vec![failure], frames(&[STOP, METADATA])].concat());
            let Err(DecodeError::Upstream(fault)) = end else {
                panic!("{name}: {end:?}")
            };
            assert_eq!(fault.code, code, "{name}");
            assert!(fault.message.contains("it broke") && finish(&events).is_empty());
        }
    }
}

#[test]
fn unreadable_payloads_are_malformed_and_errors_contain_no_content() {
    for (name, data) in [
        ("contentBlockDelta", "secret"),
        ("contentBlockDelta", "{}"),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"text":["secret"]}}"#,
        ),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":0,"start":"secret"}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":"secret"}"#),
        ("messageStop", r#"{"stopReason":{"secret":1}}"#),
        ("metadata", r#"{"usage":"secret"}"#),
    ] {
        let (.., end) = run(&frames(&[(name, data), STOP, METADATA]));
        let Err(error @ DecodeError::Malformed { .. }) = end else {
            panic!("{name}: {end:?}")
        };
        assert!(
            !error.to_string().contains("secret") && error.to_string().contains("bedrock"),
            "{error}"
        );
    }
}

#[test]
fn open_blocks_are_bounded() {
    let all: Vec<String> = (0..300)
        .map(|index| begin(index, r#"{"toolUse":{"toolUseId":"x","name":"f"}}"#))
        .collect();
    let all: Vec<(&str, &str)> = all
        .iter()
        .map(|data| ("contentBlockStart", data.as_str()))
        .collect();
    assert!(matches!(
        run(&frames(&all)).2,
        Err(DecodeError::Malformed { .. })
    ));
    let again: Vec<(&str, &str)> = all[..1].iter().cycle().take(300).copied().collect();
    assert_eq!(
        parts(&again).len(),
        300,
        "a block at the same index stops the one before"
    );
}

proptest! {
    #[test]
    fn any_payloads_decode_without_panic(
        events in proptest::collection::vec((0usize..8, r#"(\{|\}|"|:|,|\[|\]|delta|start|text|toolUse|input|name|contentBlockIndex|[0-9]|é|\\){0,24}"#), 0..12),
    ) {
        const NAMES: [&str; 8] =
            ["", "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "odd"];
        let all: Vec<Frame> = events.iter().map(|(name, data)| frame(NAMES[*name], data)).collect();
        let (events, _, end) = run(&all);
        let finishes = finish(&events).len();
        prop_assert_eq!(finishes, usize::from(end.is_ok()));
    }
}
