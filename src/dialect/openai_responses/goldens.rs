//! Hand-written journals and their exact spelling.

use super::OpenaiResponses;
use crate::dialect::journals::*;
use crate::dialect::{Dialect as _, View};
use crate::model::entry::Entry;
use crate::model::event::{Event, Raw, Reason};
use crate::model::fold::Answer;
use crate::model::wire::WireId;

fn spell(view: View, journal: &[Entry]) -> String {
    spelled(OpenaiResponses.encoder(view), journal).join("\n\n")
}

fn translated(events: impl IntoIterator<Item = Event>) -> String {
    spell(view(1, false), &entries(events))
}

/// Everything that Gemini, say, may come to.
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
fn everything_an_answer_may_hold() {
    insta::assert_snapshot!(translated(turn()));
}

#[test]
fn the_whole_of_it() {
    let whole = OpenaiResponses.whole(&view(1, false), &Answer::of(&turn()));
    insta::assert_snapshot!(String::from_utf8(whole.to_vec()).unwrap());
}

#[test]
fn a_cancelled_answer_ends_cleanly() {
    insta::assert_snapshot!(translated([
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
fn an_error_is_the_end_whenever_it_comes() {
    insta::assert_snapshot!(translated([start(1), error(false), end(Reason::Error)]));
}

#[test]
fn what_a_provider_ran_is_the_item_that_it_was() {
    let raw = |data: &str| {
        Event::Raw(Box::new(Raw {
            choice: 0,
            wire: WireId::OpenaiResponses,
            data: data.into(),
        }))
    };
    insta::assert_snapshot!(translated([
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
