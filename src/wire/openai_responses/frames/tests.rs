use bytestring::ByteString;
use proptest::prelude::*;

use super::*;
use crate::model::event::{Citation, Raw, Signature};
use crate::model::fault::Code;
use crate::model::fold::{Answer, Choice, Part};
use crate::model::usage::Usage;
use crate::model::wire::WireId;

fn frame(name: &str, data: &str) -> Frame {
    Frame {
        name: name.into(),
        data: data.into(),
        kind: FrameKind::Whole,
    }
}

/// Decodes a stream of payloads. Returns its events, its last usage, and the result of its end.
fn run<'a>(
    payloads: impl IntoIterator<Item = &'a str>,
) -> (Vec<Event>, Option<Usage>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new("seed");
    let (mut out, mut events, mut usage) = (Decoded::default(), Vec::new(), None);
    for data in payloads {
        out.clear();
        let result = decoder.decode(&frame("", data), &mut out);
        usage = out.usage.or(usage);
        if let Err(error) = result {
            return (events, usage, Err(error));
        }
        events.extend(out.events.drain(..));
    }
    out.clear();
    (events, usage, decoder.finish(&mut out))
}

/// Decodes payloads between a start and a proper end, and returns the choice.
fn choice(content: &[String]) -> Choice {
    let (events, _, end) = run([START]
        .into_iter()
        .chain(content.iter().map(String::as_str))
        .chain([COMPLETED]));
    end.unwrap();
    Answer::from_events(&events).choices.remove(0)
}

fn parts(content: &[String]) -> Vec<Part> {
    choice(content).parts
}

fn reason_of(end: &str) -> (Reason, String) {
    let (events, _, ended) = run([START, end]);
    ended.unwrap();
    let finish = Answer::from_events(&events)
        .choices
        .remove(0)
        .finish
        .unwrap();
    (finish.reason, finish.native.unwrap().to_string())
}

fn fault(payloads: &[&str]) -> Fault {
    match run(payloads.iter().copied()).2 {
        Err(DecodeError::Upstream(fault)) => *fault,
        other => panic!("an error is expected: {other:?}"),
    }
}

const START: &str = r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","status":"in_progress","error":null,"output":[],"usage":null}}"#;
const COMPLETED: &str = r#"{"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","status":"completed","output":[],
    "usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":3},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2}}}}"#;

fn added(place: u32, item: &str) -> String {
    format!(r#"{{"type":"response.output_item.added","output_index":{place},"item":{item}}}"#)
}

fn done(place: u32, item: &str) -> String {
    format!(r#"{{"type":"response.output_item.done","output_index":{place},"item":{item}}}"#)
}

/// Returns the payload of an event with these fields after `output_index`.
fn event(kind: &str, place: u32, fields: &str) -> String {
    format!(r#"{{"type":"response.{kind}","item_id":"any","output_index":{place},{fields}}}"#)
}

fn text(place: u32, part: u32, delta: &str) -> String {
    event(
        "output_text.delta",
        place,
        &format!(r#""content_index":{part},"delta":{delta:?},"logprobs":[],"obfuscation":"xx""#),
    )
}

fn arguments(place: u32, delta: &str) -> String {
    event(
        "function_call_arguments.delta",
        place,
        &format!(r#""delta":{delta:?}"#),
    )
}

fn function(id: &str, arguments: &str) -> String {
    format!(
        r#"{{"type":"function_call","id":"fc_{id}","call_id":"{id}","name":"f","arguments":{arguments:?}}}"#
    )
}

fn message(text: &str) -> String {
    format!(
        r#"{{"type":"message","id":"msg","role":"assistant","content":[{{"type":"output_text","text":{text:?},"annotations":[]}}]}}"#
    )
}

fn call(index: u16, id: &str, arguments: &str) -> Part {
    Part::ToolCall {
        index,
        id: id.into(),
        name: "f".into(),
        arguments: arguments.into(),
        signature: None,
        custom: false,
    }
}

fn carried(data: &str) -> Part {
    Part::Raw(Raw {
        choice: 0,
        wire: WireId::OpenaiResponses,
        data: data.into(),
    })
}

fn signature(id: Option<&str>, data: &str) -> Part {
    let (signature, redacted) = (id.map(ByteString::from), Some(data.into()));
    Part::Signature(Signature {
        choice: 0,
        signature,
        redacted,
        wire: WireId::OpenaiResponses,
        on_text: false,
    })
}

#[test]
fn streamed_text_is_emitted_once() {
    let content = [
        added(0, r#"{"type":"message","id":"a","content":[]}"#),
        event(
            "content_part.added",
            0,
            r#""content_index":0,"part":{"type":"output_text","text":""}"#,
        ),
        r#"{"type":"keepalive","sequence_number":3}"#.to_owned(),
        text(0, 0, "Hi \n"),
        r#"{"type":"response.queued","response":{"status":"queued"}}"#.to_owned(),
        text(0, 0, ""),
        text(0, 0, "there"),
        event(
            "output_text.done",
            0,
            r#""content_index":0,"text":"Hi \nthere""#,
        ),
        event(
            "content_part.done",
            0,
            r#""content_index":0,"part":{"type":"output_text","text":"Hi \nthere"}"#,
        ),
        done(0, &message("Hi \nthere")),
    ];
    let (events, usage, end) = run([START]
        .into_iter()
        .chain(content.iter().map(String::as_str))
        .chain([COMPLETED, "[DONE]"]));
    end.unwrap();
    let text = |delta: &str| Event::Text {
        choice: 0,
        delta: delta.into(),
    };
    let finish = Finish {
        choice: 0,
        reason: Reason::Stop,
        native: Some("completed".into()),
    };
    assert_eq!(
        events,
        [
            text("Hi \n"),
            text("there"),
            Event::Finish(Box::new(finish))
        ]
    );
    let usage = usage.unwrap();
    assert_eq!(
        (
            usage.input,
            usage.cached_input,
            usage.output,
            usage.reasoning
        ),
        (Some(10), Some(3), Some(5), Some(2))
    );
}

#[test]
fn deltas_are_slices_of_the_frame() {
    let frame = frame("response.output_text.delta", &text(0, 0, "plain"));
    let mut out = Decoded::default();
    Decoder::new("s").decode(&frame, &mut out).unwrap();
    let [Event::Text { delta, .. }] = &out.events[..] else {
        panic!("one text event is expected: {:?}", out.events)
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
fn text_that_was_not_streamed_is_emitted_at_the_end() {
    let opened = added(0, r#"{"type":"message","content":[]}"#);
    let part = event("output_text.done", 0, r#""content_index":0,"text":"whole""#);
    for content in [
        vec![opened.clone(), part.clone(), done(0, &message("whole"))],
        vec![opened, done(0, &message("whole"))],
        vec![done(0, &message("whole"))],
        vec![part, done(0, &message("whole"))],
        vec![
            text(0, 0, "wh"),
            text(0, 0, "ole"),
            done(0, &message("whole")),
        ],
        // The part has another index in its events than in its item.
        vec![
            text(0, 1, "whole"),
            event("output_text.done", 0, r#""content_index":1,"text":"whole""#),
            done(0, &message("whole")),
        ],
    ] {
        assert_eq!(parts(&content), [Part::Text("whole".into())], "{content:?}");
    }
}

#[test]
fn parts_that_were_not_streamed_are_emitted_after_those_that_were() {
    let item = |parts: &str| format!(r#"{{"type":"message","content":[{parts}]}}"#);
    let text_part = |text: &str| {
        format!(
            r#"{{"type":"output_text","text":{text:?},"annotations":[{{"type":"url_citation","url":"https://a.b","start_index":0,"end_index":1}}]}}"#
        )
    };
    let refused = r#"{"type":"refusal","refusal":"No."}"#;
    let contents = |content: &[String]| {
        let describe = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Refusal(text) => format!("refused: {text}"),
            Part::Citation(it) => format!("{:?}", it.span.unwrap()),
            other => panic!("{other:?}"),
        };
        parts(content).iter().map(describe).collect::<Vec<_>>()
    };
    let both = item(&format!("{},{refused}", text_part("one")));
    assert_eq!(
        contents(&[text(0, 0, "one"), done(0, &both)]),
        ["one", "(0, 1)", "refused: No."]
    );
    let second = item(&format!("{},{}", text_part("one"), text_part("two")));
    assert_eq!(
        contents(&[text(0, 0, "one"), done(0, &second)]),
        ["one", "(0, 1)", "two", "(3, 4)"]
    );
    assert_eq!(
        contents(&[text(0, 1, "two"), done(0, &second)]),
        ["twoone", "(3, 4)", "(0, 1)"]
    );
    // With foreign indexes, the number of streamed parts decides which parts are left.
    assert_eq!(
        contents(&[text(0, 7, "one"), text(0, 8, "two"), done(0, &second)]),
        ["onetwo", "(0, 1)", "(3, 4)"]
    );
}

#[test]
fn an_output_that_was_not_streamed_is_emitted_at_the_end() {
    let whole = |items: &str| {
        format!(
            r#"{{"type":"response.completed","response":{{"status":"completed","output":[{items}]}}}}"#
        )
    };
    let (message, function) = (message("hi"), function("a", "{}"));
    let end = whole(&format!("{message},{function}"));
    let (events, _, ended) = run([START, &end]);
    ended.unwrap();
    assert_eq!(
        Answer::from_events(&events).choices[0].parts,
        [Part::Text("hi".into()), call(0, "a", "{}")]
    );
    // Streamed content is not emitted again, but open items are ended.
    let before = [
        text(0, 0, "hi"),
        added(1, &function.replace("{}", "")),
        arguments(1, "{}"),
    ];
    let (events, _, ended) = run([START]
        .into_iter()
        .chain(before.iter().map(String::as_str))
        .chain([&*end]));
    ended.unwrap();
    assert_eq!(
        Answer::from_events(&events).choices[0].parts,
        [Part::Text("hi".into()), call(0, "a", "{}")]
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::ToolCallEnd { .. }))
            .count(),
        1
    );
    let call_without_content = [text(0, 0, "hi"), added(1, r#"{"type":"function_call"}"#)];
    let (events, _, ended) = run(call_without_content
        .iter()
        .map(String::as_str)
        .chain([&*end]));
    ended.unwrap();
    assert_eq!(
        Answer::from_events(&events).choices[0].parts,
        [Part::Text("hi".into()), call(0, "a", "{}")]
    );
}

#[test]
fn refusals_are_events_of_their_own() {
    let refused = r#"{"type":"message","content":[{"type":"refusal","refusal":"Sorry."}]}"#;
    let streamed = [
        event("refusal.delta", 0, r#""content_index":0,"delta":"Sor""#),
        event("refusal.delta", 0, r#""content_index":0,"delta":"ry.""#),
        event("refusal.done", 0, r#""content_index":0,"refusal":"Sorry.""#),
        done(0, refused),
    ];
    for content in [&streamed[..], &streamed[2..], &streamed[3..]] {
        let choice = choice(content);
        assert_eq!(choice.parts, [Part::Refusal("Sorry.".into())]);
        assert_eq!(choice.finish.unwrap().reason, Reason::Stop);
    }
}

#[test]
fn reasoning_is_read_from_summaries_or_text_and_signed_at_its_end() {
    let sealed = r#"{"type":"reasoning","id":"rs_2","summary":[{"type":"summary_text","text":"one"},{"type":"summary_text","text":"two"}],
        "encrypted_content":"final"}"#;
    let summaries = [
        added(
            0,
            r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"early"}"#,
        ),
        event(
            "reasoning_summary_part.added",
            0,
            r#""summary_index":0,"part":{"type":"summary_text","text":""}"#,
        ),
        event(
            "reasoning_summary_text.delta",
            0,
            r#""summary_index":0,"delta":"one""#,
        ),
        event(
            "reasoning_summary_text.done",
            0,
            r#""summary_index":0,"text":"one""#,
        ),
        event(
            "reasoning_summary_part.done",
            0,
            r#""summary_index":0,"part":{"type":"summary_text","text":"one"}"#,
        ),
        event(
            "reasoning_summary_text.done",
            0,
            r#""summary_index":1,"text":"two""#,
        ),
        done(0, sealed),
    ];
    let expected = [
        Part::Reasoning("onetwo".into()),
        signature(Some("rs_2"), "final"),
    ];
    assert_eq!(parts(&summaries), expected);
    assert_eq!(parts(&[done(0, sealed)]), expected);
    let words = r#"{"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"encrypted_content":"x"}"#;
    let thoughts = [
        event(
            "reasoning_part.added",
            0,
            r#""content_index":0,"part":{"type":"reasoning_text","text":""}"#,
        ),
        event(
            "reasoning_text.delta",
            0,
            r#""content_index":0,"delta":"hm""#,
        ),
        event("reasoning_text.done", 0, r#""content_index":0,"text":"hm""#),
        done(0, words),
    ];
    for content in [&thoughts[..], &thoughts[2..], &thoughts[3..]] {
        assert_eq!(
            parts(content),
            [Part::Reasoning("hm".into()), signature(None, "x")]
        );
    }
    assert_eq!(
        parts(&[done(
            0,
            r#"{"type":"reasoning","id":"rs","summary":[],"encrypted_content":null}"#
        )]),
        []
    );
}

#[test]
fn interleaved_calls_are_numbered_in_order_of_appearance() {
    let content = [
        text(0, 0, "ok"),
        added(1, &function("a", "")),
        added(2, &function("b", "")),
        arguments(2, "{\"y\":"),
        arguments(1, "{\"x\""),
        arguments(2, "2}"),
        arguments(1, ":1}"),
        event(
            "function_call_arguments.done",
            1,
            r#""arguments":"{\"x\":1}""#,
        ),
        done(2, &function("b", "{\"y\":2}")),
        done(1, &function("a", "{\"x\":1}")),
    ];
    let choice = choice(&content);
    assert_eq!(
        choice.parts,
        [
            Part::Text("ok".into()),
            call(0, "a", "{\"x\":1}"),
            call(1, "b", "{\"y\":2}")
        ]
    );
    assert_eq!(choice.finish.unwrap().reason, Reason::ToolCalls);
}

#[test]
fn arguments_may_arrive_whole() {
    let opened = added(0, &function("a", ""));
    let whole = event("function_call_arguments.done", 0, r#""arguments":"{}""#);
    let object = r#"{"type":"function_call","call_id":"a","name":"f","arguments":{"x": 1}}"#;
    assert_eq!(
        parts(&[opened.clone(), whole.clone(), done(0, &function("a", "{}"))]),
        [call(0, "a", "{}")]
    );
    assert_eq!(
        parts(&[
            added(0, &function("a", "{}")),
            done(0, &function("a", "{}"))
        ]),
        [call(0, "a", "{}")]
    );
    assert_eq!(parts(&[opened.clone(), whole]), [call(0, "a", "{}")]);
    assert_eq!(parts(&[done(0, &function("a", ""))]), [call(0, "a", "")]);
    assert_eq!(
        parts(&[opened, done(0, object)]),
        [call(0, "a", "{\"x\": 1}")]
    );
}

#[test]
fn custom_tools_accept_free_text() {
    let item = |input: &str| {
        format!(r#"{{"type":"custom_tool_call","call_id":"c","name":"f","input":{input:?}}}"#)
    };
    let streamed = [
        added(0, &item("")),
        event("custom_tool_call_input.delta", 0, r#""delta":"go ""#),
        event("custom_tool_call_input.delta", 0, r#""delta":"on""#),
        event("custom_tool_call_input.done", 0, r#""input":"go on""#),
        done(0, &item("go on")),
    ];
    for content in [
        &streamed[..],
        &[streamed[0].clone(), streamed[3].clone()],
        &streamed[4..],
    ] {
        let choice = choice(content);
        assert!(
            matches!(&choice.parts[..], [Part::ToolCall { arguments, custom: true, .. }] if arguments == "go on"),
            "{:?}",
            choice.parts
        );
        assert_eq!(choice.finish.unwrap().reason, Reason::ToolCalls);
    }
}

#[test]
fn calls_without_an_id_or_a_name_wait_for_their_end() {
    let unnamed = [
        added(0, r#"{"type":"function_call","call_id":"a","name":""}"#),
        arguments(0, "{"),
        arguments(0, "}"),
    ];
    let named = [&unnamed[..], &[done(0, &function("a", "{}"))]].concat();
    assert_eq!(parts(&named), [call(0, "a", "{}")]);
    let without_id = r#"{"type":"function_call","name":"f","arguments":"{}"}"#;
    assert_eq!(
        parts(&[
            added(0, without_id),
            arguments(0, "{}"),
            done(0, without_id)
        ]),
        [call(0, "call_seed_0", "{}")]
    );
    let nameless = r#"{"type":"function_call","call_id":"a","arguments":"{}"}"#;
    assert_eq!(
        parts(&[added(0, nameless), done(0, nameless)]),
        [carried(nameless)]
    );
    let (.., end) = run(unnamed.iter().map(String::as_str).chain([COMPLETED]));
    assert!(
        matches!(end, Err(DecodeError::Malformed { .. })),
        "a call is never lost silently: {end:?}"
    );
}

#[test]
fn every_call_ends_once_before_the_finish() {
    let content = [
        added(0, &function("a", "")),
        added(1, &function("b", "")),
        done(1, &function("b", "{}")),
    ];
    let (events, ..) = run(content.iter().map(String::as_str).chain([COMPLETED]));
    let ends: Vec<_> = events
        .iter()
        .filter_map(|it| {
            if let Event::ToolCallEnd { index, .. } = it {
                Some(*index)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(ends, [1, 0]);
    assert!(matches!(events.last(), Some(Event::Finish(_))));
}

#[test]
fn items_that_all_have_index_zero_are_distinguished() {
    let content = [
        added(0, r#"{"type":"message","content":[]}"#),
        text(0, 0, "hi"),
        added(0, &function("a", "")),
        arguments(0, "{}"),
        done(0, &message("hi")),
        done(0, &function("a", "{}")),
        added(0, &function("b", "")),
        arguments(0, "[]"),
        done(0, &function("b", "[]")),
    ];
    assert_eq!(
        parts(&content),
        [
            Part::Text("hi".into()),
            call(0, "a", "{}"),
            call(1, "b", "[]")
        ]
    );
}

#[test]
fn tools_of_the_provider_are_carried_once() {
    let search =
        r#"{"type":"web_search_call","id":"ws","status":"completed","action":{"query":"q"}}"#;
    let code = r#"{"type":"code_interpreter_call","id":"ci","code":"1+1","outputs":[{"type":"logs","logs":"2"}]}"#;
    let content = [
        added(
            0,
            r#"{"type":"web_search_call","id":"ws","status":"in_progress"}"#,
        ),
        event("web_search_call.in_progress", 0, r#""sequence_number":4"#),
        event("web_search_call.searching", 0, r#""sequence_number":5"#),
        event("web_search_call.completed", 0, r#""sequence_number":6"#),
        done(0, search),
        added(1, r#"{"type":"code_interpreter_call","id":"ci","code":""}"#),
        event(
            "code_interpreter_call_code.delta",
            1,
            r#""delta":"1+1","obfuscation":"x""#,
        ),
        event("code_interpreter_call_code.done", 1, r#""code":"1+1""#),
        done(1, code),
        done(2, r#"{"type":"compaction","encrypted_content":"c"}"#),
    ];
    let expected = [
        carried(search),
        carried(code),
        carried(r#"{"type":"compaction","encrypted_content":"c"}"#),
    ];
    let choice = choice(&content);
    assert_eq!(choice.parts, expected);
    assert_eq!(
        choice.finish.unwrap().reason,
        Reason::Stop,
        "the provider runs these tools itself"
    );
}

#[test]
fn partial_images_are_carried() {
    let partial = event(
        "image_generation_call.partial_image",
        0,
        r#""partial_image_index":0,"partial_image_b64":"AAAA""#,
    );
    let item = r#"{"type":"image_generation_call","id":"ig","result":"BBBB"}"#;
    let content = [
        added(0, r#"{"type":"image_generation_call"}"#),
        partial.clone(),
        done(0, item),
    ];
    assert_eq!(parts(&content), [carried(&partial), carried(item)]);
}

#[test]
fn unknown_content_is_carried_and_progress_is_not() {
    let audio = r#"{"type":"response.audio.delta","response_id":"r","delta":"AAAA"}"#;
    let odd = event("glow.shown", 0, r#""glow":{"x":1}"#);
    let foreign = r#"{"type":"some.delta","delta":"x"}"#;
    let part = r#"{"type":"message","content":[{"type":"output_glow","glow":1}]}"#;
    let content = [
        audio.to_owned(),
        r#"{"type":"response.audio.done","response_id":"r","sequence_number":3}"#.to_owned(),
        odd.clone(),
        event(
            "glow.in_progress",
            0,
            r#""sequence_number":3,"glow":null,"empty":[],"none":"","count":3"#,
        ),
        r#"{"type":"response.steer.done","response":{"id":"r"}}"#.to_owned(),
        r#"{"type":"rate_limits","limits":[1]}"#.to_owned(),
        foreign.to_owned(),
        done(1, part),
    ];
    assert_eq!(
        parts(&content),
        [
            carried(audio),
            carried(&odd),
            carried(foreign),
            carried(r#"{"type":"output_glow","glow":1}"#)
        ]
    );
}

#[test]
fn log_probabilities_are_carried_with_their_text() {
    let delta = r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"The","logprobs":[{"token":"The"}]}"#;
    assert_eq!(
        parts(&[delta.to_owned()]),
        [
            Part::Text("The".into()),
            carried(r#"{"logprobs":[{"token":"The"}]}"#)
        ]
    );
}

#[test]
fn spans_of_citations_count_from_the_start_of_the_answer() {
    let link =
        r#"{"type":"url_citation","url":"https://a.b","title":"T","start_index":1,"end_index":3}"#;
    let file = r#"{"type":"container_file_citation","file_id":"f","filename":"plot.png","start_index":0,"end_index":2}"#;
    let bare = r#"{"type":"url_citation","url":"https://c.d"}"#;
    let cited = |place, part, annotation: &str| {
        event(
            "output_text.annotation.added",
            place,
            &format!(r#""content_index":{part},"annotation_index":0,"annotation":{annotation}"#),
        )
    };
    let annotated = |text: &str, all: &str| {
        format!(
            r#"{{"type":"message","content":[{{"type":"output_text","text":{text:?},"annotations":[{all}]}}]}}"#
        )
    };
    let content = [
        text(0, 0, "été"),
        cited(0, 0, link),
        done(0, &annotated("été", link)),
        text(1, 0, "two"),
        done(1, &annotated("two", &format!("{file},{bare},7"))),
    ];
    let citation = |url: Option<&str>, title: Option<&str>, span, data: &str| {
        let of = |text: Option<&str>| text.map(ByteString::from);
        Part::Citation(Citation {
            choice: 0,
            url: of(url),
            title: of(title),
            quote: None,
            span,
            data: data.into(),
        })
    };
    let expected = [
        Part::Text("été".into()),
        citation(Some("https://a.b"), Some("T"), Some((1, 3)), link),
        Part::Text("two".into()),
        citation(None, Some("plot.png"), Some((3, 5)), file),
        citation(Some("https://c.d"), None, None, bare),
        citation(None, None, None, "7"),
    ];
    assert_eq!(parts(&content), expected);
}

#[test]
fn terminal_events_give_a_reason() {
    let ended = |kind: &str, response: &str| {
        reason_of(&format!(
            r#"{{"type":"response.{kind}","response":{{{response}}}}}"#
        ))
    };
    let incomplete = |reason: &str| {
        ended(
            "incomplete",
            &format!(r#""status":"incomplete","incomplete_details":{{"reason":"{reason}"}}"#),
        )
    };
    let word = |reason, word: &str| (reason, word.to_owned());
    assert_eq!(
        ended("completed", r#""status":"completed""#),
        word(Reason::Stop, "completed")
    );
    assert_eq!(ended("completed", ""), word(Reason::Stop, "completed"));
    assert_eq!(
        ended("completed", r#""status":"in_progress""#),
        word(Reason::Stop, "completed")
    );
    assert_eq!(
        ended("done", r#""status":"completed""#),
        word(Reason::Stop, "completed")
    );
    assert_eq!(
        ended("cancelled", r#""status":"cancelled""#),
        word(Reason::Cancelled, "cancelled")
    );
    assert_eq!(
        ended("completed", r#""status":"incomplete""#),
        word(Reason::Length, "incomplete")
    );
    assert_eq!(
        incomplete("max_output_tokens"),
        word(Reason::Length, "max_output_tokens")
    );
    assert_eq!(
        incomplete("content_filter"),
        word(Reason::ContentFilter, "content_filter")
    );
    assert_eq!(
        incomplete("max_messages"),
        word(Reason::Stop, "max_messages")
    );
    assert_eq!(incomplete("steered"), word(Reason::Stop, "steered"));
    assert_eq!(incomplete("brand_new"), word(Reason::Length, "brand_new"));
    assert_eq!(
        reason_of(r#"{"type":"response.completed"}"#),
        word(Reason::Stop, "completed")
    );
}

#[test]
fn an_incomplete_answer_with_calls_is_incomplete() {
    let end = r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"output_tokens":16}}}"#;
    let (events, usage, _) = run([&*added(0, &function("a", "")), &*arguments(0, "{\"x"), end]);
    let choice = Answer::from_events(&events).choices.remove(0);
    assert_eq!(
        (choice.parts, choice.finish.unwrap().reason),
        (vec![call(0, "a", "{\"x")], Reason::Length)
    );
    assert_eq!(usage.unwrap().output, Some(16));
}

#[test]
fn errors_of_every_shape_end_the_stream() {
    let failed = r#"{"type":"response.failed","response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow down"},"usage":{"input_tokens":4}}}"#;
    for (error, code) in [
        (
            r#"{"type":"error","sequence_number":3,"code":"server_error","message":"it broke","param":null}"#,
            Code::UpstreamError,
        ),
        (
            r#"{"type":"error","error":{"type":"server_error","code":"server_error","message":"it broke"}}"#,
            Code::UpstreamError,
        ),
        (
            r#"{"type":"error","error":{"type":"invalid_request_error","code":"invalid_prompt","message":"it broke"}}"#,
            Code::InvalidRequest,
        ),
        (
            r#"{"type":"error","code":"server_is_overloaded","message":"it broke"}"#,
            Code::Overloaded,
        ),
        (r#"{"type":"error"}"#, Code::UpstreamError),
        (
            r#"{"type":"response.error","error":{"code":"image_parse_error","message":"it broke"}}"#,
            Code::InvalidRequest,
        ),
        (
            r#"{"error":{"message":"it broke","code":503}}"#,
            Code::Overloaded,
        ),
        (r#"{"detail":"it broke"}"#, Code::UpstreamError),
        (
            r#"{"type":"response.completed","response":{"status":"failed","error":{"code":"server_error","message":"x"}}}"#,
            Code::UpstreamError,
        ),
        (r#"{"type":"response.failed"}"#, Code::UpstreamError),
        (failed, Code::RateLimited),
    ] {
        for before in [
            vec![],
            vec![START],
            vec![
                START,
                r#"{"type":"response.output_text.delta","delta":"a"}"#,
            ],
        ] {
            assert_eq!(
                fault(&[&before[..], &[error, COMPLETED]].concat()).code,
                code,
                "{error}"
            );
        }
    }
    assert_eq!(
        run([failed]).1.unwrap().input,
        Some(4),
        "the usage of a failed response is read"
    );
}

#[test]
fn errors_as_text_or_stray_lines_are_recognized() {
    let mut out = Decoded::default();
    for frame in [
        frame("error", "it broke"),
        frame("error", r#"{"message":"it broke"}"#),
        frame("error", r#"["it broke"]"#),
        Frame {
            kind: FrameKind::Stray,
            ..frame("", "{\n \"error\": {\"message\": \"it broke\"}\n}\nbye")
        },
        Frame {
            kind: FrameKind::Stray,
            ..frame("", "error: {\"error\":{\"message\":\"it broke\"}}")
        },
    ] {
        let decoded = Decoder::new("s").decode(&frame, &mut out);
        assert!(
            matches!(decoded, Err(DecodeError::Upstream(_))),
            "{}: {decoded:?}",
            frame.data
        );
    }
    let noise = Frame {
        kind: FrameKind::Stray,
        ..frame("", "hello {")
    };
    out.clear();
    Decoder::new("s").decode(&noise, &mut out).unwrap();
    assert!(out.marker);
}

#[test]
fn only_a_terminal_event_completes_the_stream() {
    for end in [
        &[][..],
        &[START],
        &[START, "[DONE]"],
        &[
            START,
            r#"{"type":"response.output_text.done","text":"a"}"#,
            "[DONE]",
        ],
    ] {
        assert!(
            matches!(run(end.iter().copied()).2, Err(DecodeError::CutShort)),
            "{end:?}"
        );
    }
}

#[test]
fn an_unterminated_last_event_counts_if_its_json_is_complete() {
    for (data, ends) in [
        (COMPLETED, true),
        (r#"{"type":"response.comp"#, false),
        (r#"{"type":"response.completed""#, false),
    ] {
        let mut decoder = Decoder::new("s");
        let mut out = Decoded::default();
        decoder
            .decode(
                &Frame {
                    kind: FrameKind::Unterminated,
                    ..frame("response.completed", data)
                },
                &mut out,
            )
            .unwrap();
        assert_eq!(
            (
                out.done,
                out.marker,
                decoder.finish(&mut Decoded::default()).is_ok()
            ),
            (ends, !ends, ends),
            "{data}"
        );
    }
}

#[test]
fn foreign_markers_are_ignored() {
    let mut decoder = Decoder::new("s");
    let mut out = Decoded::default();
    for data in ["[DONE]", "", "null", START, COMPLETED, "[DONE]"] {
        out.clear();
        decoder.decode(&frame("", data), &mut out).unwrap();
        assert_eq!(
            (out.marker, out.done),
            (!data.starts_with('{'), data == COMPLETED),
            "{data}"
        );
        assert!(!out.usage_only);
    }
}

#[test]
fn the_event_name_replaces_a_missing_type() {
    let mut out = Decoded::default();
    let mut decoder = Decoder::new("s");
    decoder
        .decode(
            &frame("response.output_text.delta", r#"{"delta":"a"}"#),
            &mut out,
        )
        .unwrap();
    decoder
        .decode(&frame("response.completed", "{}"), &mut out)
        .unwrap();
    assert!(out.done && out.events.len() == 2);
}

#[test]
fn invalid_json_is_malformed_and_not_quoted() {
    for broken in [
        r#"{"type":"response.output_text.delta","delta":"a secret"#,
        r#"{"type":"x" "delta":"a secret"}"#,
    ] {
        let (.., end) = run([START, broken, COMPLETED]);
        let Err(error @ DecodeError::Malformed { .. }) = end else {
            panic!("{broken}: {end:?}")
        };
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn lone_surrogates_are_replaced() {
    assert_eq!(
        parts(&[r#"{"type":"response.output_text.delta","delta":"a\ud83d"}"#.to_owned()]),
        [Part::Text("a\u{fffd}".into())]
    );
}

#[test]
fn open_items_and_parts_are_bounded() {
    let items: Vec<String> = (0..10_000)
        .map(|place| added(place, r#"{"type":"message"}"#))
        .collect();
    let parts: Vec<String> = (0..10_000).map(|part| text(0, part, "a")).collect();
    for many in [items, parts] {
        assert!(matches!(
            run(many.iter().map(String::as_str)).2,
            Err(DecodeError::Malformed { .. })
        ));
    }
    let one_by_one: Vec<String> = (0..10_000)
        .flat_map(|place| [text(place, 0, "a"), done(place, &message("a"))])
        .collect();
    assert_eq!(choice(&one_by_one).text().len(), 10_000);
}

/// Matches any value of a member.
const ANY: &str = r#"null|0|7|-1|"a"|""|\[\]|\[1\]|\{\}|\{"type":"(message|reasoning|function_call|custom_tool_call|x)"(,"name":"n")?(,"call_id":"c")?(,"arguments":("\{"|\{\}|1))?(,"content":\[\{"type":"(output_text|refusal|y)","text":"t","annotations":\[\{\}\]\}\])?(,"summary":\[\{"text":"s"\}\])?(,"encrypted_content":"e")?\}|\{"status":"(completed|failed|incomplete)","output":\[\{"type":"(message|function_call)","name":"n","content":\[\]\}\]\}"#;

const KINDS: &str = "response\\.((output_text|refusal|reasoning_text|reasoning_summary_text|function_call_arguments|custom_tool_call_input|x)\\.(delta|done)|output_item\\.(added|done)|output_text\\.annotation\\.added|completed|incomplete|failed|created)|error|x|";

proptest! {
    #[test]
    fn no_frames_panic(frames in prop::collection::vec((KINDS, prop::collection::vec((
        "output_index|content_index|summary_index|delta|text|refusal|arguments|input|item|annotation|response|error|logprobs", ANY), 0..5)), 0..12)) {
        let payloads: Vec<String> = frames.iter().map(|(kind, fields)| {
            let fields: String = fields.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
            format!("{{\"type\":\"{kind}\"{fields}}}")
        }).collect();
        let (events, _, end) = run(payloads.iter().map(String::as_str).chain([COMPLETED]));
        let finishes = events.iter().filter(|event| matches!(event, Event::Finish(_))).count();
        prop_assert_eq!(finishes, usize::from(end.is_ok()), "{:?}", payloads);
        for event in &events {
            if let Event::ToolCall(call) = event {
                prop_assert!(!call.id.is_empty() && !call.name.is_empty());
            }
        }
        if end.is_ok() {
            let begun = events.iter().filter(|event| matches!(event, Event::ToolCall(_))).count();
            let ended = events.iter().filter(|event| matches!(event, Event::ToolCallEnd { .. })).count();
            prop_assert_eq!(begun, ended, "{:?}", payloads);
        }
    }

    #[test]
    fn no_text_panics(data in ".{0,40}", name in "[a-z_.]{0,8}") {
        let mut out = Decoded::default();
        if Decoder::new("s").decode(&frame(&name, &data), &mut out).is_ok() {
            prop_assert!(out.events.is_empty());
        }
    }
}
