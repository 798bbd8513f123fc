//! Goldens: hand-written journals and their exact encoding.

use super::OpenaiChat;
use crate::dialect::journals::*;
use crate::dialect::{Dialect as _, View};
use crate::model::entry::Entry;
use crate::model::event::{Event, Reason};
use crate::model::fold::Answer;
use crate::model::wire::WireId;

fn encode(view: View, journal: &[Entry]) -> String {
    encoded(OpenaiChat.encoder(view), journal).join("\n\n")
}

fn encode_translated(choices: u16, events: impl IntoIterator<Item = Event>) -> String {
    encode(view(choices, false), &entries(events))
}

fn turn() -> Vec<Event> {
    vec![
        start(1),
        route(WireId::Anthropic, false),
        reasoning(0, "hm, "),
        reasoning(0, "é"),
        signature(0, "c2ln", WireId::Anthropic, false),
        redacted(0, "ZW5j", WireId::Anthropic),
        text(0, "Hi \"you\"\n"),
        refusal(0, "no"),
        citation(0, Some("https://example.com/a")),
        citation(0, None),
        raw(0),
        call(0, 0, false, Some("dGg=")),
        arguments(0, 0, "{\"a\":"),
        arguments(0, 0, "1}"),
        Event::ToolCallEnd {
            choice: 0,
            index: 0,
        },
        call(0, 1, true, None),
        arguments(0, 1, "free"),
        finish(0, Reason::ToolCalls),
        usage(true),
        end(Reason::ToolCalls),
    ]
}

#[test]
fn a_turn_with_everything() {
    insta::assert_snapshot!(encode_translated(1, turn()));
}

#[test]
fn a_whole_turn_with_everything() {
    let whole = OpenaiChat.whole(&view(1, false), &Answer::from_events(&turn()));
    insta::assert_snapshot!(std::str::from_utf8(&whole).unwrap());
}

#[test]
fn a_whole_answer_that_was_cancelled() {
    let events = [
        start(1),
        text(0, "Hel"),
        usage(true),
        end(Reason::Cancelled),
    ];
    insta::assert_snapshot!(
        std::str::from_utf8(&OpenaiChat.whole(&view(1, false), &Answer::from_events(&events)))
            .unwrap()
    );
}

#[test]
fn cancelled_before_any_content() {
    insta::assert_snapshot!(encode_translated(2, [start(2), end(Reason::Cancelled)]));
}

#[test]
fn cancelled_with_one_choice_open() {
    let events = [
        start(2),
        text(0, "a"),
        text(1, "b"),
        finish(1, Reason::Stop),
        usage(false),
        end(Reason::Cancelled),
    ];
    insta::assert_snapshot!(encode_translated(2, events));
}

#[test]
fn nothing_is_written_after_an_error() {
    insta::assert_snapshot!(encode_translated(
        1,
        [
            start(1),
            text(0, "a"),
            usage(true),
            error(false),
            usage(true),
            end(Reason::Error)
        ]
    ));
}

#[test]
fn an_end_with_an_error_reports_the_error() {
    let sse = encode_translated(
        1,
        [
            start(1),
            text(0, "a"),
            finish(0, Reason::Error),
            end(Reason::Error),
        ],
    );
    let last = sse.rsplit("\n\n").next().unwrap();
    assert!(
        last.starts_with(r#"data: {"error":{"message":"the upstream ended"#),
        "{last}"
    );
}

#[test]
fn a_choice_that_failed_beside_others_is_marked() {
    let events = [
        start(2),
        text(0, "a"),
        text(1, "b"),
        finish(0, Reason::Stop),
        finish(1, Reason::Error),
        end(Reason::Stop),
    ];
    let sse = encode_translated(2, events);
    assert!(
        sse.contains(
            r#"{"index":1,"delta":{},"finish_reason":"stop"}],"sluicegate":{"reason":"error"}}"#
        ),
        "{sse}"
    );
}

#[test]
fn usage_is_written_only_on_request() {
    let without_usage = View {
        include_usage: false,
        ..view(1, false)
    };
    assert!(!encode(without_usage, &entries(turn())).contains("usage"));
}

const ROLE: &str = r#"{"id":"up-1","created":7,"model":"acme-1","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}"#;
const HELLO: &str =
    r#"{"id":"up-1","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"id":"up-1","choices":[{"index":0,"delta":{}, "finish_reason" : "stop"}]}"#;
const USED: &str = r#"{"id":"up-1","choices":[],"usage":{"prompt_tokens":1}}"#;
const FILTER: &str = r#"{"id":"","model":"","choices":[],"prompt_filter_results":[]}"#;

/// Returns the SSE events after the payloads of a raw stream that was cancelled after them.
fn cancelled_after(payloads: &[&str], with_finish: bool) -> String {
    let mut journal = entries([start(1), route(WireId::OpenaiChat, true)]);
    for payload in payloads {
        let content = payload.contains("content").then(|| text(0, "Hello"));
        journal.push(payload_entry(payload, content));
    }
    journal.extend(entries(
        with_finish
            .then(|| finish(0, Reason::Cancelled))
            .into_iter()
            .chain([usage(true), end(Reason::Cancelled)]),
    ));
    encoded(OpenaiChat.encoder(view(1, true)), &journal)[payloads.len()..].join("\n\n")
}

#[test]
fn a_cancelled_raw_stream_is_closed_under_the_upstreams_id() {
    for with_finish in [false, true] {
        insta::assert_snapshot!(
            "raw_cancelled",
            cancelled_after(&[FILTER, ROLE, HELLO], with_finish)
        );
    }
}

#[test]
fn a_role_chunk_that_was_passed_on_is_not_repeated() {
    assert_eq!(
        cancelled_after(&[ROLE], false),
        cancelled_after(&[ROLE, HELLO], false)
    );
}

#[test]
fn passed_on_payloads_are_not_repeated() {
    assert_eq!(
        cancelled_after(&[ROLE, HELLO, STOP, USED], false),
        "data: [DONE]"
    );
    let usage_only = cancelled_after(&[ROLE, HELLO, STOP], false);
    assert_eq!(usage_only.matches("data: ").count(), 2);
    assert!(
        usage_only.contains(r#""choices":[],"usage":{"prompt_tokens":12,"#),
        "{usage_only}"
    );
}

#[test]
fn a_raw_stream_without_payloads_is_opened_and_closed() {
    let sse = cancelled_after(&[], false);
    assert!(
        sse.contains(r#""delta":{"role":"assistant","content":""}"#)
            && sse.contains(r#""model":"smart""#),
        "{sse}"
    );
}

#[test]
fn nothing_follows_an_error_payload_that_was_passed_on() {
    let payload = r#"{"error":{"message":"boom"}}"#;
    let mut journal = entries([start(1), route(WireId::OpenaiChat, true)]);
    journal.push(payload_entry(payload, [error(true)]));
    journal.extend(entries([usage(true), end(Reason::Error)]));
    assert_eq!(
        encoded(OpenaiChat.encoder(view(1, true)), &journal),
        [format!("data: {payload}")]
    );
    let translated = encoded(OpenaiChat.encoder(view(1, false)), &journal);
    assert_eq!(translated.len(), 1);
    assert!(
        translated[0].contains("the upstream failed"),
        "{translated:?}"
    );
}

#[test]
fn a_fallback_to_another_wire_is_translated() {
    let journal = entries([
        start(1),
        route(WireId::Gemini, false),
        text(0, "a"),
        finish(0, Reason::Stop),
        end(Reason::Stop),
    ]);
    assert_eq!(
        encode(view(1, true), &journal),
        encode(view(1, false), &journal)
    );
}

#[test]
fn a_complete_raw_stream_without_a_finish_reason_is_unchanged() {
    let mut journal = entries([start(1), route(WireId::OpenaiChat, true)]);
    journal.extend([
        payload_entry(ROLE, []),
        payload_entry(HELLO, [text(0, "Hello")]),
    ]);
    journal.extend(entries([end(Reason::Stop)]));
    let expected = [ROLE, HELLO, "[DONE]"].map(|payload| format!("data: {payload}"));
    assert_eq!(
        encoded(OpenaiChat.encoder(view(1, true)), &journal),
        expected
    );
}

#[test]
fn a_finish_reason_beside_content_closes_the_choice() {
    let last = r#"{"id":"up-1","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":"length"}],"usage":{"prompt_tokens":1}}"#;
    assert_eq!(cancelled_after(&[ROLE, HELLO, last], false), "data: [DONE]");
}

#[test]
fn a_signature_is_that_of_the_block_just_ended() {
    let signed = |before: Vec<Event>| {
        encode_translated(
            1,
            before
                .into_iter()
                .chain([signature(0, "s", WireId::Anthropic, false)]),
        )
    };
    assert!(
        signed(vec![reasoning(0, "a"), text(0, "x"), reasoning(0, "bc")])
            .contains(r#""range":[1,3]"#)
    );
    assert!(
        signed(vec![
            reasoning(0, "a"),
            call(0, 0, false, None),
            reasoning(0, "bc")
        ])
        .contains(r#""range":[1,3]"#)
    );
    assert!(
        signed(vec![
            reasoning(0, "a"),
            redacted(0, "d", WireId::Anthropic),
            reasoning(0, "bc")
        ])
        .contains(r#""range":[1,3]"#)
    );
    assert!(
        signed(vec![
            reasoning(0, "a"),
            citation(0, None),
            reasoning(0, "bc")
        ])
        .contains(r#""range":[0,3]"#)
    );
}
