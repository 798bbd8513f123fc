//! Goldens: hand-written journals and their exact encoding.

use super::Anthropic;
use crate::dialect::journals::*;
use crate::dialect::{Dialect as _, View};
use crate::model::entry::{Entry, Payload};
use crate::model::event::{Citation, Event, Finish, Raw, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::fold::Answer;
use crate::model::wire::WireId;

fn encode(view: View, journal: &[Entry]) -> String {
    encoded(Anthropic.encoder(view), journal).join("\n\n")
}

fn encode_translated(events: impl IntoIterator<Item = Event>) -> String {
    encode(view(1, false), &entries(events))
}

/// A turn with every kind of content that Gemini can produce.
fn turn() -> Vec<Event> {
    vec![
        start(1),
        route(WireId::Gemini, false),
        reasoning(0, "hm, "),
        reasoning(0, "é"),
        signature(0, "c2ln", WireId::Gemini, false),
        text(0, "Hi \"you\"\n"),
        citation(0, Some("https://example.com/a")),
        raw(0),
        text(0, "there"),
        signature(0, "dGV4dA", WireId::Gemini, true),
        refusal(0, "no"),
        text(1, "a second choice"),
        call(0, 0, false, Some("dGg=")),
        arguments(0, 0, "{\"a\":"),
        arguments(0, 0, "1}"),
        Event::ToolCallEnd {
            choice: 0,
            index: 0,
        },
        call(0, 1, true, None),
        arguments(0, 1, "free \"text\""),
        Event::ToolCallEnd {
            choice: 0,
            index: 1,
        },
        finish(0, Reason::ToolCalls),
        usage(true),
        end(Reason::ToolCalls),
    ]
}

/// Content that only the own wire of Anthropic produces.
fn own() -> Vec<Event> {
    let source = Citation {
        choice: 0,
        url: None,
        title: None,
        quote: None,
        span: None,
        data: "{\"type\":\"page_location\",\n\"x\":1}".into(),
    };
    let raw = |data: &str| {
        Event::Raw(Box::new(Raw {
            choice: 0,
            wire: WireId::Anthropic,
            data: data.into(),
        }))
    };
    let paused = Finish {
        choice: 0,
        reason: Reason::Stop,
        native: Some("pause_turn".into()),
    };
    vec![
        start(1),
        route(WireId::Anthropic, false),
        raw(r#"{"type":"a_stray_delta"}"#),
        signature(0, "S1", WireId::Anthropic, false),
        reasoning(0, "hm"),
        signature(0, "S2", WireId::Anthropic, false),
        redacted(0, "ZW5j", WireId::Anthropic),
        raw(r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#),
        raw(r#"{"type":"input_json_delta","partial_json":"{\"q\":"}"#),
        raw(r#"{"type":"input_json_delta","partial_json":"1}"}"#),
        raw(r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[]}"#),
        text(0, "found"),
        Event::Citation(Box::new(source)),
        Event::Finish(Box::new(paused)),
        usage(false),
        end(Reason::Stop),
    ]
}

#[test]
fn a_turn_with_everything() {
    insta::assert_snapshot!(encode_translated(turn()));
}

#[test]
fn a_whole_turn_with_everything() {
    let whole = Anthropic.whole(&view(1, false), &Answer::from_events(&turn()));
    insta::assert_snapshot!(std::str::from_utf8(&whole).unwrap());
}

#[test]
fn content_of_the_own_wire_is_written_unchanged() {
    insta::assert_snapshot!(encode_translated(own()));
}

#[test]
fn a_whole_turn_of_anthropics_own_wire() {
    insta::assert_snapshot!(
        std::str::from_utf8(&Anthropic.whole(&view(1, false), &Answer::from_events(&own())))
            .unwrap()
    );
}

#[test]
fn overlapping_calls_are_written_one_after_another() {
    let ended = |index| Event::ToolCallEnd { choice: 0, index };
    insta::assert_snapshot!(encode_translated([
        start(1),
        route(WireId::OpenaiChat, false),
        call(0, 0, false, None),
        call(0, 1, false, None),
        arguments(0, 0, "{\"a\""),
        arguments(0, 1, "{\"b\""),
        arguments(0, 1, ":"),
        text(0, "so"),
        arguments(0, 0, ":1}"),
        text(0, "!"),
        arguments(0, 1, "2}"),
        call(0, 2, false, Some("sig")),
        ended(0),
        arguments(0, 2, "{}"),
        ended(2),
        ended(1),
        finish(0, Reason::ToolCalls),
        usage(false),
        end(Reason::ToolCalls),
    ]));
}

#[test]
fn a_refusal_is_text_with_its_own_stop_reason() {
    insta::assert_snapshot!(encode_translated([
        start(1),
        route(WireId::OpenaiChat, false),
        refusal(0, "I "),
        refusal(0, "won't"),
        finish(0, Reason::Stop),
        end(Reason::Stop)
    ]));
}

#[test]
fn a_whole_answer_that_was_cancelled() {
    let events = [
        start(1),
        route(WireId::OpenaiChat, false),
        text(0, "Hel"),
        usage(true),
        end(Reason::Cancelled),
    ];
    insta::assert_snapshot!(
        std::str::from_utf8(&Anthropic.whole(&view(1, false), &Answer::from_events(&events)))
            .unwrap()
    );
}

#[test]
fn input_that_is_no_object_is_wrapped_as_documented() {
    let whole = |input: &str| {
        let events = [
            start(1),
            call(0, 0, false, None),
            arguments(0, 0, input),
            end(Reason::Length),
        ];
        let whole: serde_json::Value = serde_json::from_slice(
            &Anthropic.whole(&view(1, false), &Answer::from_events(&events)),
        )
        .unwrap();
        whole["content"][0]["input"].to_string()
    };
    assert_eq!(whole("{\"a\":"), r#"{"INVALID_JSON":"{\"a\":"}"#);
    assert_eq!(
        (whole(""), whole("null"), whole(" {\"a\":1} ")),
        ("{}".into(), "{}".into(), r#"{"a":1}"#.into())
    );
}

#[test]
fn cancelled_before_any_content() {
    insta::assert_snapshot!(encode_translated([start(1), end_without_usage()]));
}

#[test]
fn cancelled_in_the_middle_of_a_call() {
    let ended = Event::ToolCallEnd {
        choice: 0,
        index: 0,
    };
    let events = [
        start(1),
        route(WireId::OpenaiChat, false),
        call(0, 0, false, None),
        arguments(0, 0, "{"),
        call(0, 1, false, None),
        ended,
    ];
    insta::assert_snapshot!(encode_translated(
        events
            .into_iter()
            .chain([usage(true), end(Reason::Cancelled)])
    ));
}

fn end_without_usage() -> Event {
    Event::End(Box::new(crate::model::event::End {
        reason: Reason::Cancelled,
        native: None,
        usage: None,
    }))
}

#[test]
fn an_error_stops_the_block_and_the_stream() {
    insta::assert_snapshot!(encode_translated([
        start(1),
        route(WireId::Gemini, false),
        text(0, "a"),
        error(false),
        usage(true),
        end(Reason::Error)
    ]));
}

#[test]
fn an_end_with_an_error_reports_the_error() {
    let sse = encode_translated([
        start(1),
        text(0, "a"),
        finish(0, Reason::Error),
        end(Reason::Error),
    ]);
    assert!(sse.ends_with(r#""message":"the upstream ended the answer with an error; try again","details":{"error_code":"upstream_error"},"code":"upstream_error"}}"#), "{sse}");
}

#[test]
fn overload_keeps_its_type_in_the_stream() {
    let failure = crate::model::event::Failure {
        fault: Fault::new(Code::Overloaded, "later"),
        passed_on: false,
    };
    let sse = encode_translated([
        start(1),
        Event::Error(Box::new(failure)),
        end(Reason::Error),
    ]);
    assert!(
        sse.starts_with(
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
        ),
        "{sse}"
    );
}

const START: &str =
    r#"{"type":"message_start","message":{"id":"msg_up","usage":{"input_tokens":1}}   }"#;
const BLOCK_START: &str =
    r#"{ "type": "content_block_start", "index": 3, "content_block": {"type":"text","text":""} }"#;
const HELLO: &str = r#"{"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"Hello"},"x":1}"#;
const BLOCK_STOP: &str = r#"{"type":"content_block_stop","index":3}"#;

fn named_payload_entry(name: &str, data: &str, events: impl IntoIterator<Item = Event>) -> Entry {
    Entry {
        raw: Some(Payload {
            name: name.into(),
            data: data.into(),
        }),
        ..payload_entry(data, events)
    }
}

/// A stream of the own wire with these payloads.
fn own_wire(payloads: &[&str]) -> Vec<Entry> {
    let mut journal = entries([start(1), route(WireId::Anthropic, true)]);
    journal.extend(payloads.iter().map(|data| {
        let json: serde_json::Value = serde_json::from_str(data).unwrap();
        let content = (*data == HELLO).then(|| text(0, "Hello"));
        named_payload_entry(json["type"].as_str().unwrap(), data, content)
    }));
    journal
}

fn encode_raw(journal: &[Entry]) -> Vec<String> {
    encoded(Anthropic.encoder(view(1, true)), journal)
}

#[test]
fn a_payload_without_a_name_is_sent_under_its_type() {
    let mut journal = own_wire(&[]);
    journal
        .extend([START, HELLO, r#"{"type":"a\nb"}"#].map(|data| named_payload_entry("", data, [])));
    let sent = encode_raw(&journal);
    assert!(
        sent[0].starts_with("event: message_start\n")
            && sent[1].starts_with("event: content_block_delta\n"),
        "{sent:?}"
    );
    assert_eq!(sent[2], r#"data: {"type":"a\nb"}"#);
}

#[test]
fn streams_that_we_end_are_closed_by_our_events() {
    let ended = |payloads: &[&str], last: Vec<Event>| {
        let mut journal = own_wire(payloads);
        journal.extend(entries(last));
        encode_raw(&journal)[payloads.len()..].join("\n\n")
    };
    let cancelled = || vec![usage(true), end(Reason::Cancelled)];
    insta::assert_snapshot!(
        "raw_cancelled_with_a_block_open",
        ended(&[START, BLOCK_START, HELLO], cancelled())
    );
    let between = ended(&[START, BLOCK_START, HELLO, BLOCK_STOP], cancelled());
    assert!(
        between.starts_with("event: message_delta\n") && !between.contains("message_start"),
        "{between}"
    );
    assert!(ended(&[], cancelled()).starts_with("event: message_start\n"));
    let failed = ended(
        &[START, BLOCK_START, HELLO],
        vec![error(false), end(Reason::Error)],
    );
    assert!(
        failed.starts_with("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":3}\n\nevent: error\n"),
        "{failed}"
    );
}

#[test]
fn more_than_the_buffer_holds_is_an_error() {
    let mut journal = entries([
        start(1),
        route(WireId::OpenaiChat, false),
        call(0, 0, false, None),
        call(0, 1, false, None),
    ]);
    journal.extend((0..5).map(|_| {
        Entry::new(
            [arguments(0, 1, &"x".repeat(1 << 20))]
                .into_iter()
                .collect(),
        )
    }));
    journal.extend(entries([end(Reason::ToolCalls)]));
    let sent = encoded(Anthropic.encoder(view(1, false)), &journal);
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert!(
        sent[2].starts_with("event: content_block_stop\n"),
        "{}",
        sent[2]
    );
    assert!(
        sent[3].starts_with("event: error\n")
            && sent[3].contains("parallel tool calls are too large"),
        "{}",
        sent[3]
    );
}
