use proptest::prelude::*;

use super::*;
use crate::model::event::{Event, Raw, Reason, Signature, ToolCall};
use crate::model::fault::{Code, Fault};

type Outcome = Result<(Vec<Event>, Option<Usage>), DecodeError>;

fn frame(data: &str, kind: FrameKind) -> Frame {
    Frame {
        name: ByteString::new(),
        data: data.into(),
        kind,
    }
}

fn decoded(frames: &[Frame]) -> Outcome {
    let (mut decoder, mut out, mut events, mut usage) =
        (Decoder::new("seed"), Decoded::default(), Vec::new(), None);
    for frame in frames {
        out.clear();
        decoder.decode(frame, &mut out)?;
        assert!(!out.done, "only the end of the body is terminal");
        events.extend(out.events.drain(..));
        usage = out.usage.or(usage);
    }
    out.clear();
    decoder.finish(&mut out)?;
    events.extend(out.events.drain(..));
    Ok((events, usage))
}

fn decoded_whole(frames: &[&str]) -> Outcome {
    decoded(
        &frames
            .iter()
            .map(|data| frame(data, FrameKind::Whole))
            .collect::<Vec<_>>(),
    )
}

/// Returns the events of one chunk per list of parts, followed by a chunk with `STOP`.
fn parts(chunks: &[&str]) -> Vec<Event> {
    let chunk = |parts: &&str| {
        format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}}}}]}}"#)
    };
    let mut frames: Vec<String> = chunks.iter().map(chunk).collect();
    frames.push(r#"{"candidates":[{"finishReason":"STOP"}]}"#.into());
    decoded_whole(&frames.iter().map(String::as_str).collect::<Vec<_>>())
        .unwrap()
        .0
}

fn text(delta: &str) -> Event {
    Event::Text {
        choice: 0,
        delta: delta.into(),
    }
}

fn finished(choice: u16, reason: Reason, native: &str) -> Event {
    Event::Finish(Box::new(crate::model::event::Finish {
        choice,
        reason,
        native: Some(native.into()),
    }))
}

fn signature(signature: &str, on_text: bool) -> Event {
    let signature = Some(signature.into());
    Event::Signature(Box::new(Signature {
        choice: 0,
        signature,
        redacted: None,
        wire: WireId::Gemini,
        on_text,
    }))
}

fn call(index: u16, id: &str, name: &str, signature: Option<&str>, arguments: &str) -> [Event; 3] {
    let signature = signature.map(Into::into);
    [
        Event::ToolCall(Box::new(ToolCall {
            choice: 0,
            index,
            id: id.into(),
            name: name.into(),
            signature,
            custom: false,
        })),
        Event::ToolArguments {
            choice: 0,
            index,
            delta: arguments.into(),
        },
        Event::ToolCallEnd { choice: 0, index },
    ]
}

fn fault(outcome: Outcome) -> Fault {
    match outcome {
        Err(DecodeError::Upstream(fault)) => *fault,
        other => panic!("expected an upstream error, got {other:?}"),
    }
}

#[test]
fn text_thoughts_and_signatures_are_decoded() {
    let events = parts(&[
        r#"{"text":"Hm","thought":true}"#,
        r#"{"text":"mm","thought":true,"thoughtSignature":"c2ln"}"#,
        r#"{"text":"Hi \u003cb>"},{"text":""}"#,
        r#"{"text":"","thought_signature":"dGV4dA=="}"#,
    ]);
    let thought = |delta: &str| Event::Reasoning {
        choice: 0,
        delta: delta.into(),
    };
    let expected = [
        thought("Hm"),
        thought("mm"),
        signature("c2ln", false),
        text("Hi <b>"),
        signature("dGV4dA==", true),
        finished(0, Reason::Stop, "STOP"),
    ];
    assert_eq!(events, expected);
}

#[test]
fn plain_text_is_a_slice_of_the_frame() {
    let frame = frame(
        r#"{"candidates":[{"content":{"parts":[{"text":"plain"}]}}]}"#,
        FrameKind::Whole,
    );
    let mut out = Decoded::default();
    Decoder::new("seed").decode(&frame, &mut out).unwrap();
    let [Event::Text { delta, .. }] = &out.events[..] else {
        panic!("{:?}", out.events)
    };
    let range = frame.data.as_ptr() as usize..frame.data.as_ptr() as usize + frame.data.len();
    assert!(range.contains(&(delta.as_ptr() as usize)));
}

#[test]
fn complete_calls_keep_their_arguments_byte_for_byte() {
    let events = parts(&[concat!(
        r#"{"functionCall":{"name":"a","args":{"b": 1, "a":[1.50]}},"thoughtSignature":"c2ln"},"#,
        r#"{"functionCall":{"id":"x1","name":"b"}},{"functionCall":{"id":"","name":"b","args":{}}}"#
    )]);
    let mut expected = call(
        0,
        "call_seed_0",
        "a",
        Some("c2ln"),
        r#"{"b": 1, "a":[1.50]}"#,
    )
    .to_vec();
    expected.extend(call(1, "x1", "b", None, "{}"));
    expected.extend(call(2, "call_seed_2", "b", None, "{}"));
    expected.push(finished(0, Reason::ToolCalls, "STOP"));
    assert_eq!(events, expected);
}

#[test]
fn calls_in_pieces_are_joined() {
    let events = parts(&[
        r#"{"functionCall":{"name":"read","willContinue":true},"thoughtSignature":"c2ln"}"#,
        r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.id","stringValue":"A","willContinue":true}],"willContinue":true}}"#,
        r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.id","stringValue":"\""}],"willContinue":true}}"#,
        r#"{"functionCall":{"willContinue":true}}"#,
        r#"{"functionCall":{}}"#,
        r#"{"functionCall":{}}"#,
        r#"{"functionCall":{"name":"write","willContinue":true}}"#,
        r#"{"functionCall":{"name":"open","willContinue":true}}"#,
        r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.n[0]","numberValue":0.5}],"willContinue":true}}"#,
    ]);
    let mut expected = call(0, "call_seed_0", "read", Some("c2ln"), r#"{"id":"A\""}"#).to_vec();
    expected.extend(call(1, "call_seed_1", "write", None, "{}"));
    expected.extend(call(2, "call_seed_2", "open", None, r#"{"n":[0.5]}"#));
    expected.push(finished(0, Reason::ToolCalls, "STOP"));
    assert_eq!(events, expected, "the end of the body closes the last call");
}

#[test]
fn arguments_without_a_call_are_malformed() {
    for piece in [
        r#"{"args":{}}"#,
        r#"{"name":"","args":{}}"#,
        r#"{"partialArgs":[{"jsonPath":"$.a","boolValue":true}]}"#,
    ] {
        let chunk =
            format!(r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{piece}}}]}}}}]}}"#);
        assert!(
            matches!(decoded_whole(&[&chunk]), Err(DecodeError::Malformed { .. })),
            "{piece}"
        );
    }
}

#[test]
fn other_parts_become_raw_events() {
    let code = r#"{"executableCode": {"code":"1","language":"PYTHON"}, "thoughtSignature":"c2ln"}"#;
    let image = r#"{"inlineData":{"mimeType":"image/png","data":"aA=="}}"#;
    let events = parts(&[
        &format!(r#"{{"text":"a"}},{code},{{}}"#),
        image,
        r#"{"toolResponse":{"id":"1"}},{"videoMetadata":null}"#,
    ]);
    let raw = |data: &str| {
        Event::Raw(Box::new(Raw {
            choice: 0,
            wire: WireId::Gemini,
            data: data.into(),
        }))
    };
    let last = finished(0, Reason::Stop, "STOP");
    assert_eq!(
        events,
        [
            text("a"),
            raw(code),
            raw(image),
            raw(r#"{"toolResponse":{"id":"1"}}"#),
            last
        ]
    );
}

#[test]
fn choices_are_separate_and_each_must_end() {
    let first = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"text":"b"}]}}]}"#;
    let ends = r#"{"candidates":[{"index":1,"finishReason":"MAX_TOKENS"},{"index":0,"finishReason":"OTHER"}]}"#;
    let (events, _) = decoded_whole(&[first, ends]).unwrap();
    let second = Event::Text {
        choice: 1,
        delta: "b".into(),
    };
    assert_eq!(
        events,
        [
            text("a"),
            second,
            finished(0, Reason::Error, "OTHER"),
            finished(1, Reason::Length, "MAX_TOKENS")
        ]
    );
    let one = r#"{"candidates":[{"index":1,"finishReason":"STOP"}]}"#;
    assert!(matches!(
        decoded_whole(&[first, one]),
        Err(DecodeError::CutShort)
    ));
    assert!(matches!(
        decoded_whole(&[r#"{"candidates":[{"index":128}]}"#]),
        Err(DecodeError::Malformed { .. })
    ));
    assert!(matches!(
        decoded_whole(&[r#"{"candidates":[{"index":4294967296}]}"#]),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn the_last_finish_reason_counts_when_the_body_ends() {
    let stop = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;
    let (events, _) =
        decoded_whole(&[stop, stop, r#"{"candidates":[{"finishReason":2}]}"#]).unwrap();
    assert_eq!(
        events,
        [text("a"), text("a"), finished(0, Reason::Length, "2")]
    );
    let late = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
    assert_eq!(fault(decoded_whole(&[stop, late])).code, Code::Overloaded);
}

#[test]
fn a_body_without_a_finish_reason_was_cut_short() {
    for frames in [
        &[][..],
        &[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":null}]}"#],
        &["{}"],
        &["[DONE]"],
    ] {
        assert!(
            matches!(decoded_whole(frames), Err(DecodeError::CutShort)),
            "{frames:?}"
        );
    }
}

#[test]
fn a_blocked_prompt_ends_with_content_filter() {
    let (events, usage) = decoded_whole(&[
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}"#,
    ])
    .unwrap();
    assert_eq!(events, [finished(0, Reason::ContentFilter, "SAFETY")]);
    assert_eq!(usage.and_then(|usage| usage.input), Some(3));
    let begun = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#;
    let (events, _) = decoded_whole(&[begun, r#"{"prompt_feedback":{"block_reason":4}}"#]).unwrap();
    assert_eq!(events, [text("a"), finished(0, Reason::ContentFilter, "4")]);
    let unset = r#"{"promptFeedback":{"blockReason":"BLOCK_REASON_UNSPECIFIED"}}"#;
    assert!(matches!(
        decoded_whole(&[unset]),
        Err(DecodeError::CutShort)
    ));
}

#[test]
fn an_answer_with_no_successful_choice_is_an_upstream_error() {
    let failed = r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed: print(secret)"}]}"#;
    let fault = fault(decoded_whole(&[failed]));
    assert_eq!((fault.code, fault.retryable), (Code::UpstreamError, true));
    assert!(fault.message.contains("MALFORMED_FUNCTION_CALL") && !fault.message.contains("secret"));
}

#[test]
fn the_last_usage_counts_and_includes_thoughts_in_the_output() {
    let (_, usage) = decoded_whole(&[
        r#"{"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10}}"#,
        r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":"5","thoughtsTokenCount":7,
            "toolUsePromptTokenCount":3,"cachedContentTokenCount":4,"totalTokenCount":25}}"#,
        r#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
    ])
    .unwrap();
    let expected = Usage {
        input: Some(13),
        output: Some(12),
        cached_input: Some(4),
        reasoning: Some(7),
        ..Usage::default()
    };
    assert_eq!(usage, Some(expected));
}

#[test]
fn errors_are_found_in_every_frame_kind() {
    let error =
        "{\n  \"error\": {\n    \"code\": 429,\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}";
    let good = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;
    let list = format!("[{error}\n]");
    let beside = format!("noise\n{error}\nmore noise");
    for (data, kind) in [
        (error, FrameKind::Whole),
        (&list, FrameKind::Whole),
        (error, FrameKind::Unterminated),
        (error, FrameKind::Stray),
        (&list, FrameKind::Stray),
        (&beside, FrameKind::Stray),
    ] {
        let outcome = decoded(&[frame(good, FrameKind::Whole), frame(data, kind)]);
        assert_eq!(fault(outcome).code, Code::RateLimited, "{kind:?} {data}");
    }
}

#[test]
fn a_truncated_end_is_cut_short() {
    let good = frame(
        r#"{"candidates":[{"finishReason":"STOP"}]}"#,
        FrameKind::Whole,
    );
    let cut = r#"{"candidates":[{"content":{"parts":[{"text":"a"#;
    for kind in [FrameKind::Unterminated, FrameKind::Stray] {
        assert!(
            matches!(
                decoded(&[good.clone(), frame(cut, kind)]),
                Err(DecodeError::CutShort)
            ),
            "{kind:?}"
        );
    }
    let whole = frame(&good.data, FrameKind::Unterminated);
    assert_eq!(
        decoded(&[whole]).unwrap().0,
        [finished(0, Reason::Stop, "STOP")]
    );
    assert!(decoded(&[good, frame("words {beside} it", FrameKind::Stray)]).is_ok());
}

#[test]
fn foreign_markers_are_skipped() {
    for data in ["", " ", "[DONE]"] {
        let mut out = Decoded::default();
        Decoder::new("seed")
            .decode(&frame(data, FrameKind::Whole), &mut out)
            .unwrap();
        assert!(out.marker && out.events.is_empty());
    }
}

#[test]
fn alternative_encodings_are_read() {
    let (events, usage) = decoded_whole(&[concat!(
        "{\n \"candidates\": [\n {\"index\": 0.0, \"content\": {\"role\": null, \"parts\": null},\n",
        " \"finish_reason\": 1, \"citationMetadata\": null}\n ],\n",
        " \"usage_metadata\": {\"prompt_token_count\": 2.0, \"thoughts_token_count\": null}, \"error\": null, \"x\": [1]}"
    )])
    .unwrap();
    assert_eq!(events, [finished(0, Reason::Stop, "1")]);
    assert_eq!(
        usage,
        Some(Usage {
            input: Some(2),
            ..Usage::default()
        })
    );
    assert_eq!(
        parts(&[r#"{"text":"\ud83d!"}"#])[0].output_bytes(),
        "\u{fffd}!".len() as u64
    );
}

#[test]
fn errors_about_unreadable_json_quote_no_content() {
    for data in [
        "{\"candidates\":\"secret\"}",
        "secret",
        "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":{\"secret\":1}}]}}]}",
        "7",
    ] {
        let error = decoded_whole(&[data]).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{data}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("1".to_owned()),
        Just("\"STOP\"".to_owned()),
        Just("{}".to_owned())
    ];
    let names = "candidates|content|parts|text|functionCall|name|args|partialArgs|jsonPath|index|finishReason|error|code|thoughtSignature\
        |promptFeedback|blockReason|groundingMetadata|groundingSupports|groundingChunks|groundingChunkIndices|citationMetadata|citations";
    leaf.prop_recursive(6, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3)
                .prop_map(|list| format!("[{}]", list.join(","))),
            proptest::collection::vec((names, inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> = fields
                    .into_iter()
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// Generates a chunk of up to two candidates with valid parts.
fn chunk() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just(r#"{"text":"a"}"#),
        Just(r#"{"text":"","thoughtSignature":"cw=="}"#),
        Just(r#"{"functionCall":{"name":"f","args":{"a":1}}}"#),
        Just(r#"{"functionCall":{"name":"g","willContinue":true}}"#),
        Just(
            r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.a[1]","stringValue":"x"}],"willContinue":true}}"#
        ),
        Just(r#"{"functionCall":{}}"#),
        Just(r#"{"executableCode":{}}"#),
    ];
    let candidate = (
        0..2u8,
        proptest::collection::vec(parts, 0..4),
        any::<bool>(),
    )
        .prop_map(|(index, parts, end)| {
            let end = if end { r#","finishReason":"STOP""# } else { "" };
            format!(
                r#"{{"index":{index},"content":{{"parts":[{}]}}{end}}}"#,
                parts.join(",")
            )
        });
    proptest::collection::vec(candidate, 0..3)
        .prop_map(|all| format!(r#"{{"candidates":[{}]}}"#, all.join(",")))
}

/// Returns true if calls have names, are numbered in order and precede their arguments, and
/// each choice ends once, after all of its content.
fn is_well_ordered(events: &[Event]) -> bool {
    let (mut calls, mut ended) = (
        std::collections::HashMap::<u16, u16>::new(),
        std::collections::HashSet::new(),
    );
    let mut fits = |event: &Event| match event {
        Event::Finish(it) => ended.insert(it.choice),
        event if ended.contains(&event.choice()) => false,
        Event::ToolCall(it) => {
            let next = calls.entry(it.choice).or_default();
            *next += 1;
            it.index + 1 == *next && !it.name.is_empty() && !it.id.is_empty()
        }
        Event::ToolArguments {
            choice,
            index,
            delta,
        } => {
            calls.get(choice) == Some(&(index + 1))
                && serde_json::from_str::<&RawValue>(delta).is_ok()
        }
        Event::ToolCallEnd { choice, index } => calls.get(choice) == Some(&(index + 1)),
        _ => true,
    };
    events.iter().all(&mut fits) && !ended.is_empty()
}

proptest! {
    #[test]
    fn no_input_panics_and_events_are_well_ordered(frames in proptest::collection::vec((prop_oneof![1 => json(), 9 => chunk()], 0..3u8), 0..6)) {
        let kinds = [FrameKind::Whole, FrameKind::Unterminated, FrameKind::Stray];
        let frames: Vec<Frame> = frames.iter().map(|(data, kind)| frame(data, kinds[usize::from(*kind)])).collect();
        if let Ok((events, _)) = decoded(&frames) {
            prop_assert!(is_well_ordered(&events), "{events:?}");
        }
    }
}
