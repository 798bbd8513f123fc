//! Small recordings of compatible servers' deviations, one deviation each.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::codec::Framing as _;
use crate::codec::sse::Sse;
use crate::model::event::{Event, Finish, Signature};
use crate::model::fault::{Code, Fault, Side};
use crate::model::fold::{Answer, Part};

/// The result of decoding a stream up to its end or its failure.
struct Outcome {
    events: Vec<Event>,
    usage: Option<Usage>,
    end: Result<(), DecodeError>,
    markers: usize,
    usage_only: usize,
}

impl Outcome {
    fn answer(&self) -> Answer {
        Answer::from_events(&self.events)
    }

    fn fault(&self) -> &Fault {
        match &self.end {
            Err(DecodeError::Upstream(fault)) => fault,
            other => panic!("expected an upstream's fault, got {other:?}"),
        }
    }
}

fn decode_body(body: &str) -> Outcome {
    let (mut framing, mut decoder, mut out) =
        (Sse::default(), Decoder::new("seed"), Decoded::default());
    let mut buf = BytesMut::from(body);
    let mut outcome = Outcome {
        events: Vec::new(),
        usage: None,
        end: Ok(()),
        markers: 0,
        usage_only: 0,
    };
    loop {
        let frame = framing
            .next(&mut buf)
            .unwrap()
            .or_else(|| framing.finish(&mut buf));
        out.clear();
        outcome.end = match &frame {
            Some(frame) => decoder.decode(frame, &mut out),
            None => decoder.finish(&mut out),
        };
        outcome.usage = out.usage.or(outcome.usage);
        outcome.markers += usize::from(out.marker);
        outcome.usage_only += usize::from(out.usage_only);
        outcome.events.extend(out.events.drain(..));
        if frame.is_none() || out.done || outcome.end.is_err() {
            return outcome;
        }
    }
}

/// Decodes payloads, each in an SSE event, followed by `[DONE]`.
fn payloads(payloads: &[&str]) -> Outcome {
    let body: String = payloads
        .iter()
        .chain(&["[DONE]"])
        .map(|data| format!("data: {data}\n\n"))
        .collect();
    decode_body(&body)
}

/// Decodes deltas of choice 0, followed by a finish reason and `[DONE]`.
fn deltas(deltas: &[&str]) -> Outcome {
    let mut list: Vec<String> = deltas
        .iter()
        .map(|delta| format!(r#"{{"choices":[{{"index":0,"delta":{delta}}}]}}"#))
        .collect();
    list.push(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#.to_owned());
    let outcome = payloads(&list.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(outcome.end.is_ok(), "{:?}", outcome.end);
    outcome
}

/// Returns id, name and arguments of the calls of choice 0.
fn calls(outcome: &Outcome) -> Vec<(String, String, String)> {
    let answer = outcome.answer();
    let calls = answer.choices[0]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall {
                id,
                name,
                arguments,
                ..
            } => Some((id.to_string(), name.to_string(), arguments.clone())),
            _ => None,
        });
    calls.collect()
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

fn finish(outcome: &Outcome) -> Option<Reason> {
    outcome
        .answer()
        .choices
        .first()
        .and_then(|choice| choice.finish.as_ref().map(|finish| finish.reason))
}

#[test]
fn text_is_a_slice_of_its_frame() {
    let data = ByteString::from(
        r#"{"choices":[{"index":0,"delta":{"content":"plain","role":"assistant"}}]}"#,
    );
    let mut out = Decoded::default();
    Decoder::new("s").read_chunk(&data, &mut out).unwrap();
    let [Event::Text { choice: 0, delta }] = &out.events[..] else {
        panic!("one text")
    };
    assert!(data.as_bytes().as_ptr_range().contains(&delta.as_ptr()));
}

#[test]
fn an_ordinary_stream_is_decoded() {
    let outcome = payloads(&[
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"a\n"},"logprobs":null,"finish_reason":null}],"obfuscation":"x"}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"b"}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
        r#"{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},"service_tier":"x"}"#,
    ]);
    assert_eq!(outcome.answer().choices[0].text(), "a\nb");
    assert_eq!(
        outcome.answer().choices[0].finish,
        Some(Finish {
            choice: 0,
            reason: Reason::Length,
            native: Some("length".into())
        })
    );
    assert_eq!(
        (
            outcome.usage.unwrap().total(),
            outcome.usage_only,
            outcome.markers
        ),
        (Some(3), 1, 1)
    );
    assert!(outcome.end.is_ok());
}

#[test]
fn choices_are_kept_separate() {
    let outcome = payloads(&[
        r#"{"choices":[{"index":1,"delta":{"content":"B"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"A"}},{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}"#,
    ]);
    let answer = outcome.answer();
    assert_eq!(
        (&*answer.choices[0].text(), &*answer.choices[1].text()),
        ("A", "Bb")
    );
    let ends: Vec<_> = answer
        .choices
        .iter()
        .map(|choice| choice.finish.as_ref().unwrap().reason)
        .collect();
    assert_eq!(ends, [Reason::Length, Reason::Stop]);
    assert!(matches!(
        payloads(&[r#"{"choices":[{"index":128,"delta":{}}]}"#]).end,
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn unusual_chunks_are_decoded() {
    let outcome = payloads(&[
        r#"{"choices":[],"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0}]}"#,
        r#"{"choices":null}"#,
        r#"{}"#,
        r#"{"choices":[{"delta":null}]}"#,
        r#"{"choices":[{"index":0,"content_filter_results":{"hate":{"filtered":false}},"finish_reason":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"a","role":null,"tool_calls":null,"token_id":5},"text":"a","seed":null}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"message":{"content":"ab"},"finish_reason":""}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[],"refusal":"","content":null,"content":"c"},"finish_reason":{"type":"stop"}}]}"#,
    ]);
    assert_eq!(outcome.answer().choices[0].text(), "abc");
    assert_eq!(
        (
            finish(&outcome),
            outcome.answer().choices[0].parts.len(),
            outcome.usage_only
        ),
        (Some(Reason::Stop), 1, 0)
    );
}

#[test]
fn a_message_without_a_delta_is_decoded() {
    let outcome = payloads(&[
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"whole"},"finish_reason":"stop"}]}"#,
    ]);
    assert_eq!(outcome.answer().choices[0].text(), "whole");
}

#[test]
fn half_a_surrogate_pair_becomes_one_replacement_character() {
    assert_eq!(
        deltas(&[r#"{"content":"a\ud83d"}"#, r#"{"content":"\ude00b"}"#])
            .answer()
            .choices[0]
            .text(),
        "a\u{fffd}\u{fffd}b"
    );
}

#[test]
fn reasoning_is_decoded_once_under_any_name() {
    for delta in [
        r#"{"reasoning_content":"hm"}"#,
        r#"{"reasoning":"hm","content":null}"#,
        r#"{"reasoning":"hm","reasoning_content":"hm"}"#,
        r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","index":0}]}"#,
        r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.summary","summary":"hm"}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","text":"hm","signature":null}]}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}],"closed":true}]}"#,
    ] {
        let outcome = deltas(&[delta, r#"{"content":"yes","reasoning":null}"#]);
        let choice = &outcome.answer().choices[0];
        assert_eq!(
            (&*choice.reasoning(), &*choice.text(), choice.parts.len()),
            ("hm", "yes", 2),
            "{delta}"
        );
    }
    let repeated = deltas(&[
        r#"{"reasoning":"hm"}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","text":"hm"}]}"#,
    ]);
    assert_eq!(repeated.answer().choices[0].reasoning(), "hm");
}

#[test]
fn signatures_and_encrypted_blocks_are_kept() {
    let outcome = deltas(&[
        r#"{"reasoning":"hm","reasoning_details":[{"type":"reasoning.text","text":"hm","signature":""}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.text","signature":"sig","format":"anthropic-claude-v1","index":0}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"secret\n","id":"r"}]}"#,
        r#"{"reasoning_details":[{"type":"reasoning.server_tool_call","name":"x"}]}"#,
    ]);
    let signature = Signature {
        choice: 0,
        signature: Some("sig".into()),
        redacted: None,
        wire: WireId::OpenaiChat,
        on_text: false,
    };
    let item = r#"{"data":"secret\n","id":"r","type":"reasoning.encrypted"}"#;
    let redacted = Signature {
        signature: None,
        redacted: Some(item.into()),
        ..signature
    };
    let parts = &outcome.answer().choices[0].parts;
    assert_eq!(
        parts[..3],
        [
            Part::Reasoning("hm".into()),
            Part::Signature(signature),
            Part::Signature(redacted)
        ]
    );
    assert!(
        matches!(&parts[3], Part::Raw(raw) if *raw.data == *r#"{"reasoning_details":[{"type":"reasoning.server_tool_call","name":"x"}]}"#)
    );
}

#[test]
fn content_may_be_a_list_and_a_string() {
    let outcome = deltas(&[
        r#"{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"a"},{"type":"reference","reference_ids":[1]}]}"#,
        r#"{"content":[{"type":"image_url","image_url":{"url":"x"}}]}"#,
        r#"{"content":"b"}"#,
    ]);
    let choice = &outcome.answer().choices[0];
    assert_eq!((&*choice.reasoning(), &*choice.text()), ("hm", "ab"));
    assert!(
        choice.parts.iter().any(|part| matches!(part, Part::Citation(it) if *it.data == *r#"{"type":"reference","reference_ids":[1]}"#))
    );
    assert!(choice.parts.iter().any(|part| matches!(part, Part::Raw(it) if it.data.starts_with(r#"{"content":[{"type":"image_url""#))));
}

#[test]
fn unknown_members_become_raw_events() {
    let outcome = deltas(&[
        r#"{"audio":{"id":"a","data":"AA=="},"graph_data":{"sources":null},"list":[],"channel":"x"}"#,
        r#"{"images":[{"type":"image_url"}]}"#,
    ]);
    let raws: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Raw(raw) = event {
                Some(&*raw.data)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        raws,
        [
            r#"{"audio":{"id":"a","data":"AA=="}}"#,
            r#"{"images":[{"type":"image_url"}]}"#
        ]
    );
}

#[test]
fn refusal_deltas_are_decoded() {
    assert_eq!(
        deltas(&[r#"{"refusal":"I "}"#, r#"{"refusal":"can't"}"#])
            .answer()
            .choices[0]
            .refusal(),
        "I can't"
    );
}

#[test]
fn fragments_of_interleaved_calls_are_assigned_by_index() {
    let outcome = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]}"#,
        r#"{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}},{"index":1,"id":"","function":{"arguments":"}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":null,"function":{"name":null,"arguments":"1}"}}]}"#,
    ]);
    assert_eq!(
        calls(&outcome),
        [call("a", "f", r#"{"x":1}"#), call("b", "g", "{}")]
    );
    let tail: Vec<_> = outcome.events.iter().rev().take(3).collect();
    assert!(matches!(
        tail[..],
        [
            Event::Finish(_),
            Event::ToolCallEnd { index: 1, .. },
            Event::ToolCallEnd { index: 0, .. }
        ]
    ));
}

#[test]
fn complete_calls_without_an_index_are_kept_separate() {
    let two = r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"f","arguments":"{\"y\":2}"}}]}"#;
    assert_eq!(
        calls(&deltas(&[two])),
        [call("a", "f", "{}"), call("b", "f", r#"{"y":2}"#)]
    );
    let fragments = [
        r#"{"tool_calls":[{"id":"a","function":{"name":"f"}}]}"#,
        r#"{"tool_calls":[{"function":{"arguments":"{\"x\""}}]}"#,
        r#"{"tool_calls":[{"function":{"arguments":":1}"}}]}"#,
        r#"{"tool_calls":[{"function":{"name":"g","arguments":"{}"}}]}"#,
    ];
    assert_eq!(
        calls(&deltas(&fragments)),
        [call("a", "f", r#"{"x":1}"#), call("call_seed_1", "g", "{}")]
    );
}

#[test]
fn calls_with_one_repeated_index_are_kept_separate() {
    let with_ids = [
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"y\":2}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":" "}}]}"#,
    ];
    assert_eq!(
        calls(&deltas(&with_ids)),
        [call("a", "f", "{}"), call("b", "f", r#"{"y":2} "#)]
    );
    let without = [
        r#"{"tool_calls":[{"index":0,"id":"","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":null,"function":{"name":"f","arguments":"{\"x\":2}"}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"g","arguments":"{}"}}]}"#,
    ];
    let want = [
        call("call_seed_0", "f", r#"{"x":1}"#),
        call("call_seed_1", "f", r#"{"x":2}"#),
        call("call_seed_2", "g", "{}"),
    ];
    assert_eq!(calls(&deltas(&without)), want);
    let repeating = [
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":":1}"}}]}"#,
    ];
    assert_eq!(calls(&deltas(&repeating)), [call("a", "f", r#"{"x":1}"#)]);
}

#[test]
fn arguments_come_in_every_form() {
    for (json, text) in [
        ("null", ""),
        (r#""""#, ""),
        (r#""null""#, "null"),
        (r#"{"a": 1}"#, r#"{"a": 1}"#),
        (r#""{\"a\":\"\\n\"}""#, r#"{"a":"\n"}"#),
    ] {
        let delta = format!(
            r#"{{"tool_calls":[{{"index":3,"id":"a","function":{{"name":"f","arguments":{json}}}}}]}}"#
        );
        assert_eq!(calls(&deltas(&[&delta])), [call("a", "f", text)], "{json}");
    }
}

#[test]
fn a_call_is_held_until_its_name_arrives() {
    let outcome = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{\"x\""}}]}"#,
        r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":":1}"}}]}"#,
    ]);
    assert_eq!(calls(&outcome), [call("a", "f", r#"{"x":1}"#)]);
    let late_id = deltas(&[
        r#"{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"late","function":{"arguments":"{}"}}]}"#,
    ]);
    assert_eq!(calls(&late_id), [call("call_seed_0", "f", "{}")]);
    let never = deltas(&[r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{}"}}]}"#]);
    assert!(
        matches!(&never.answer().choices[0].parts[..], [Part::Raw(raw)] if raw.data.contains("tool_calls"))
    );
}

#[test]
fn legacy_calls_custom_calls_and_signatures_are_decoded() {
    let legacy = payloads(&[
        r#"{"choices":[{"index":0,"delta":{"content":null,"function_call":{"name":"f","arguments":""}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"function_call":{"arguments":"{}"}}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"function_call"}]}"#,
    ]);
    assert_eq!(
        (calls(&legacy), finish(&legacy)),
        (
            vec![call("call_seed_0", "f", "{}")],
            Some(Reason::ToolCalls)
        )
    );
    let custom = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"f","input":"go "}}]}"#,
        r#"{"tool_calls":[{"index":0,"custom":{"input":"on"}}]}"#,
    ]);
    assert!(matches!(&custom.events[0], Event::ToolCall(call) if call.custom));
    assert_eq!(calls(&custom), [call("a", "f", "go on")]);
    let signed = deltas(&[
        r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#,
    ]);
    assert!(
        matches!(&signed.events[0], Event::ToolCall(call) if call.signature.as_deref() == Some("s"))
    );
}

#[test]
fn calls_are_bounded() {
    let many: Vec<String> = (0..600)
        .map(|n| format!(r#"{{"index":{n},"id":"i{n}","function":{{"name":"f"}}}}"#))
        .collect();
    let outcome = payloads(&[&format!(
        r#"{{"choices":[{{"delta":{{"tool_calls":[{}]}}}}]}}"#,
        many.join(",")
    )]);
    assert!(matches!(outcome.end, Err(DecodeError::Malformed { .. })));
    let nameless = format!(
        r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":0,"function":{{"arguments":"{}"}}}}]}}}}]}}"#,
        "x".repeat(600_000)
    );
    assert!(matches!(
        payloads(&[&nameless, &nameless]).end,
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn annotations_are_citations() {
    let outcome = deltas(&[
        r#"{"annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example","title":"A","content":"q","start_index":1,"end_index":4}}]}"#,
    ]);
    let Event::Citation(it) = &outcome.events[0] else {
        panic!("a citation")
    };
    assert_eq!(
        (
            it.url.as_deref(),
            it.title.as_deref(),
            it.quote.as_deref(),
            it.span
        ),
        (
            Some("https://a.example"),
            Some("A"),
            Some("q"),
            Some((1, 4))
        )
    );
    assert!(it.data.starts_with(r#"{"type":"url_citation""#));
}

#[test]
fn repeated_sources_are_emitted_once_and_the_last_lists_win() {
    let outcome = payloads(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"citations":["https://old.example"]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}],"citations":["https://a.example","https://b.example","https://b.example"],"search_results":[{"url":"https://a.example","title":"A","date":null}]}"#,
        r#"{"choices":[],"citations":["https://a.example","https://b.example"],"search_results":null,"usage":{"prompt_tokens":1}}"#,
    ]);
    let links: Vec<_> = outcome
        .events
        .iter()
        .filter_map(|event| {
            if let Event::Citation(it) = event {
                it.url.as_deref()
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        (links, outcome.usage_only),
        (vec!["https://a.example", "https://b.example"], 0)
    );
    assert!(matches!(outcome.events.last(), Some(Event::Finish(_))));
}

#[test]
fn the_last_of_repeated_finish_reasons_counts() {
    let outcome = payloads(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"length"}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":""},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1}}"#,
    ]);
    let ends = outcome
        .events
        .iter()
        .filter(|event| matches!(event, Event::Finish(_)))
        .count();
    assert_eq!((ends, finish(&outcome)), (1, Some(Reason::ToolCalls)));
}

#[test]
fn finish_reasons_are_mapped() {
    for (word, reason) in [
        ("stop", Reason::Stop),
        ("eos_token", Reason::Stop),
        ("something_new", Reason::Stop),
        ("model_length", Reason::Length),
        ("content_filter", Reason::ContentFilter),
        ("abort", Reason::Cancelled),
    ] {
        let outcome = payloads(&[&format!(
            r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{word}"}}]}}"#
        )]);
        let answer = outcome.answer();
        let finish = answer.choices[0].finish.as_ref().unwrap();
        assert_eq!(
            (finish.reason, finish.native.as_deref()),
            (reason, Some(word))
        );
    }
    let failed = payloads(&[
        r#"{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"insufficient_system_resource"}]}"#,
    ]);
    assert_eq!(
        (failed.fault().code, failed.markers),
        (Code::UpstreamError, 1)
    );
    assert!(
        !failed
            .events
            .iter()
            .any(|event| matches!(event, Event::Finish(_)))
    );
}

#[test]
fn usage_is_found_in_every_place_and_the_last_wins() {
    let body = r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}"#;
    for payload in [
        format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop"}}],"usage":{body}}}"#),
        format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"stop","usage":{body}}}]}}"#),
        format!(r#"{{"choices":[],"x_groq":{{"id":"r","usage":{body}}},"usage":{body}}}"#),
        format!(r#"{{"choices":[],"x_groq":{{"id":"r","usage":{body}}}}}"#),
    ] {
        let outcome = payloads(&[
            r#"{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#,
            &payload,
        ]);
        assert_eq!(outcome.usage.unwrap().output, Some(2), "{payload}");
    }
}

#[test]
fn usage_only_payloads_are_marked() {
    let usage = r#""usage":{"prompt_tokens":5}"#;
    for (payload, left_out) in [
        (
            format!(r#"{{"id":"","choices":[],"p":"abc",{usage},"x_groq":{{}}}}"#),
            1,
        ),
        (
            format!(r#"{{"choices":[],{usage},"prompt_filter_results":[]}}"#),
            1,
        ),
        (
            format!(r#"{{"choices":[],{usage},"timings":{{"predicted_n":2}}}}"#),
            0,
        ),
        (format!(r#"{{"choices":[{{"delta":{{}}}}],{usage}}}"#), 0),
        (r#"{"choices":[],"usage":null}"#.to_owned(), 0),
    ] {
        assert_eq!(payloads(&[&payload]).usage_only, left_out, "{payload}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of error shapes")]
fn errors_are_found_in_every_shape() {
    let plain = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    for (payload, code, status) in [
        (
            r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#,
            "upstream_error",
            502,
        ),
        (
            r#"{"error":{"message":"m","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            "context_length_exceeded",
            400,
        ),
        (
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            "insufficient_quota",
            429,
        ),
        (
            r#"{"error":{"message":"m","code":"content_filter"}}"#,
            "content_filter",
            400,
        ),
        (
            r#"{"error":{"message":"m","code":429}}"#,
            "rate_limited",
            429,
        ),
        (
            r#"{"error":{"message":"m","code":"401"}}"#,
            "upstream_auth",
            502,
        ),
        (
            r#"{"error":{"message":"m","code":502,"metadata":{"error_type":"provider_unavailable"}},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
            "upstream_error",
            502,
        ),
        (
            r#"{"error":{"message":"m","code":400,"metadata":{"error_type":"context_length_exceeded"}}}"#,
            "context_length_exceeded",
            400,
        ),
        (
            r#"{"error":"the text","error_type":"overloaded"}"#,
            "overloaded",
            503,
        ),
        (
            r#"{"choices":[],"x_groq":{"error":"over_capacity"}}"#,
            "upstream_error",
            502,
        ),
        (
            r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
            "invalid_request",
            400,
        ),
        (r#"{"detail":"m"}"#, "upstream_error", 502),
        (
            r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"m"}}"#,
            "upstream_error",
            502,
        ),
        (
            r#"[{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}]"#,
            "overloaded",
            503,
        ),
    ] {
        let outcome = payloads(&[plain, payload]);
        assert_eq!(
            (
                outcome.fault().client_code(),
                outcome.fault().status.as_u16()
            ),
            (code, status),
            "{payload}"
        );
        assert_eq!(
            (outcome.answer().choices[0].text(), outcome.markers),
            ("a".to_owned(), 0),
            "the payload is passed on: {payload}"
        );
    }
    assert!(
        payloads(&[
            plain,
            r#"{"choices":[],"error":null}"#,
            r#"{"choices":[],"error":{}}"#
        ])
        .end
        .is_ok()
    );
}

#[test]
fn an_error_under_its_own_event_name_is_an_error() {
    let outcome =
        decode_body("event: error\ndata: {\"message\":\"m\",\"code\":\"rate_limit_exceeded\"}\n\n");
    assert_eq!(
        (outcome.fault().code, outcome.fault().side, outcome.markers),
        (Code::RateLimited, Side::Upstream, 0)
    );
    let text = decode_body("event: error\ndata: out of memory\n\n");
    assert!(text.fault().message.contains("out of memory"));
    assert_eq!(text.markers, 1, "text that is not JSON is not passed on");
}

#[test]
fn an_error_outside_of_events_is_an_error() {
    let begun = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n";
    for stray in [
        "error: {\"error\":{\"message\":\"m\",\"code\":503}}\n\n",
        "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"m\"\n  }\n}\n",
        "junk\n{\"error\":{\"code\":503}}",
    ] {
        let outcome = decode_body(&format!("{begun}{stray}"));
        assert_eq!(
            (outcome.fault().code, outcome.markers),
            (Code::Overloaded, 1),
            "{stray}"
        );
    }
    assert!(
        decode_body(&format!("{begun}error: out of memory\n"))
            .fault()
            .message
            .contains("out of memory")
    );
    assert!(decode_body(&format!("{begun}some junk\n")).end.is_ok());
}

#[test]
fn only_a_complete_stream_is_a_success() {
    let chunk = |index: u16, finish: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{index},\"delta\":{{\"content\":\"a\"}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    assert!(matches!(decode_body("").end, Err(DecodeError::CutShort)));
    assert!(matches!(
        decode_body(&chunk(0, "null")).end,
        Err(DecodeError::CutShort)
    ));
    assert!(matches!(
        decode_body(&[chunk(0, "\"stop\""), chunk(1, "null")].concat()).end,
        Err(DecodeError::CutShort)
    ));
    assert!(
        decode_body(&[chunk(0, "\"stop\""), chunk(1, "\"stop\"")].concat())
            .end
            .is_ok()
    );
    let marked = decode_body(&[chunk(0, "null"), "data:[DONE]\n\n".to_owned()].concat());
    assert_eq!(
        (finish(&marked), marked.end.is_ok()),
        (Some(Reason::Stop), true)
    );
    assert_eq!(
        marked.answer().choices[0].finish.as_ref().unwrap().native,
        None
    );
}

#[test]
fn a_last_event_without_its_blank_line_counts_if_it_is_complete() {
    assert!(
        decode_body(
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}"
        )
        .end
        .is_ok()
    );
    assert!(
        decode_body("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]")
            .end
            .is_ok()
    );
    let cut = decode_body(
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"con",
    );
    assert_eq!(cut.answer().choices[0].text(), "a");
    assert!(matches!(cut.end, Err(DecodeError::CutShort)) && cut.markers == 1);
}

#[test]
fn events_without_json_are_markers_and_broken_json_is_an_error() {
    let outcome = decode_body(
        "data: ping\n\ndata:\n\ndata: [START]\n\ndata: [1]\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    );
    assert_eq!((outcome.markers, outcome.end.is_ok()), (3, true));
    let broken = decode_body("data: {\"choices\":[{\"delta\":{\"content\":\"secret\n\n");
    let Err(error @ DecodeError::Malformed { .. }) = &broken.end else {
        panic!("malformed")
    };
    assert!(!error.to_string().contains("secret"));
}

proptest! {
    #[test]
    fn no_body_breaks_the_decoder(body in prop::collection::vec(prop::sample::select(vec![
        "data: ", "{\"choices\":", "[{\"index\":0,", "\"delta\":{", "\"content\":", "\"tool_calls\":[", "\"a\"", "null", "1e99", "-1", "}", "]", "{", "[", ",", "\n\n",
        "\"error\":", "\"usage\":", "\\ud800", "\"function\":", "\"finish_reason\":", "[DONE]", "error: ", "event: error\n", "é",
    ]), 0..40)) {
        let outcome = decode_body(&body.concat());
        let ends = outcome.events.iter().filter(|event| matches!(event, Event::Finish(_))).count();
        prop_assert!(outcome.end.is_ok() == (ends > 0));
    }

    #[test]
    fn no_json_breaks_the_decoder(json in any_json()) {
        let data = ByteString::from(format!(r#"{{"choices":[{{"index":0,"delta":{json},"finish_reason":{json}}}],"usage":{json},"citations":{json},"x_groq":{json}}}"#));
        let mut decoder = Decoder::new("s");
        let mut out = Decoded::default();
        if decoder.read_chunk(&data, &mut out).is_ok() {
            let _ended = decoder.complete(&mut out);
        }
    }
}

/// Generates JSON with this wire's field names and values of any type.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let names = [
        "content",
        "reasoning",
        "reasoning_details",
        "tool_calls",
        "function",
        "arguments",
        "id",
        "index",
        "name",
        "annotations",
        "type",
        "text",
        "audio",
    ];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i32>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z\\\\\"é]{0,6}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::Array),
            prop::collection::vec((prop::sample::select(names.to_vec()), inner), 0..5).prop_map(
                |members| members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            ),
        ]
    })
}
