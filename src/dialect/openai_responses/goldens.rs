//! Goldens: hand-written journals and their exact encoding.

use super::OpenaiResponses;
use crate::dialect::journals::*;
use crate::dialect::{Dialect as _, View};
use crate::model::entry::Entry;
use crate::model::event::{Event, Raw, Reason};
use crate::model::fold::Answer;
use crate::model::wire::WireId;

fn encode(view: View, journal: &[Entry]) -> String {
    encoded(OpenaiResponses.encoder(view), journal).join("\n\n")
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
        citation(0, None),
        raw(0),
        text(0, "there"),
        refusal(0, "no"),
        text(1, "a second choice"),
        call(0, 0, false, Some("dGg=")),
        call(0, 1, true, None),
        arguments(0, 0, "{\"a\":"),
        arguments(0, 1, "free \"text\""),
        arguments(0, 0, "1}"),
        Event::ToolCallEnd {
            choice: 0,
            index: 0,
        },
        Event::ToolCallEnd {
            choice: 0,
            index: 1,
        },
        finish(0, Reason::ToolCalls),
        usage(true),
        end(Reason::ToolCalls),
    ]
}

#[test]
fn a_turn_with_everything() {
    insta::assert_snapshot!(encode_translated(turn()));
}

#[test]
fn a_whole_turn_with_everything() {
    let whole = OpenaiResponses.whole(&view(1, false), &Answer::from_events(&turn()));
    insta::assert_snapshot!(String::from_utf8(whole.to_vec()).unwrap());
}

#[test]
fn a_cancelled_answer_ends_cleanly() {
    insta::assert_snapshot!(encode_translated([
        start(1),
        route(WireId::Anthropic, false),
        text(0, "Hi"),
        call(0, 0, false, None),
        arguments(0, 0, "{\"a"),
        usage(true),
        end(Reason::Cancelled),
    ]));
}

#[test]
fn an_error_before_any_content_ends_the_response() {
    insta::assert_snapshot!(encode_translated([
        start(1),
        error(false),
        end(Reason::Error)
    ]));
}

#[test]
fn items_that_a_provider_has_run_are_unchanged() {
    let raw = |data: &str| {
        Event::Raw(Box::new(Raw {
            choice: 0,
            wire: WireId::OpenaiResponses,
            data: data.into(),
        }))
    };
    insta::assert_snapshot!(encode_translated([
        start(1),
        route(WireId::OpenaiResponses, false),
        raw("{\"type\":\"web_search_call\",\n\"id\":\"ws_1\",\"status\":\"completed\"}"),
        raw("{\"logprobs\":[]}"),
        raw("{\"type\":\"response.news\"}"),
        text(0, "Hi"),
        finish(0, Reason::Length),
        usage(false),
        end(Reason::Length),
    ]));
}
