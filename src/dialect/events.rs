//! The dialect `events`, Sluicegate's own: every event under its own name, with small JSON.
//!
//! Invariants: no event is omitted; every stream that ends has exactly one `end`; unknown values
//! are null. Requests and error responses have OpenAI's shape.

mod encode;
mod whole;

use bytes::Bytes;
use http::HeaderMap;

use super::{Dialect, DialectProfile, Encode, Operation, View, openai_chat};
use crate::model::ask::Ask;
use crate::model::fault::Fault;
use crate::model::fold::Answer;
use crate::model::wire::DialectId;

/// The dialect `events`.
#[derive(Debug, Clone, Copy)]
pub struct Events;

static PROFILE: DialectProfile = DialectProfile {
    operations: &[
        ("", &[Operation::Generate, Operation::ListStreams]),
        ("/{id}", &[Operation::ReadStream, Operation::ForgetStream]),
        ("/{id}/cancel", &[Operation::CancelStream]),
        ("/{id}/ticket", &[Operation::IssueTicket]),
    ],
    answers_at_once: true,
    ids_by_default: true,
    detachable: true,
    whole_is_status: true,
    ..DialectProfile::plain("/v1/streams")
};

impl Dialect for Events {
    fn id(&self) -> DialectId {
        DialectId::Events
    }

    fn profile(&self) -> &'static DialectProfile {
        &PROFILE
    }

    fn parse(&self, headers: &HeaderMap, body: Bytes) -> Result<Ask, Fault> {
        openai_chat::parse_for(DialectId::Events, headers, body)
    }

    fn encoder(&self, view: View) -> Box<dyn Encode> {
        Box::new(encode::Encoder::new(&view))
    }

    /// Returns only the content: `text`, `reasoning`, `refusal` and `tool_calls`. The gateway
    /// writes the status JSON around it.
    fn whole(&self, _: &View, answer: &Answer) -> Bytes {
        whole::body(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::journals::{entries, *};
    use super::*;
    use crate::model::entry::Entry;
    use crate::model::event::{Event, Reason};
    use crate::model::fold::Answer;
    use crate::model::wire::WireId;

    fn golden(choices: u16, events: impl IntoIterator<Item = Event>) -> String {
        encoded(Events.encoder(view(choices, false)), &entries(events)).join("\n\n")
    }

    #[test]
    fn every_event_has_its_own_name() {
        let content = [
            reasoning(0, "hm"),
            signature(0, "c2ln", WireId::Anthropic, false),
            redacted(0, "ZW5j", WireId::Anthropic),
            text(0, "Hi \"you\"\n"),
            refusal(0, "no"),
            citation(0, Some("https://example.com/a")),
            citation(0, None),
            raw(0),
            call(0, 0, false, Some("dGg=")),
            arguments(0, 0, "{}"),
            Event::ToolCallEnd {
                choice: 0,
                index: 0,
            },
        ];
        let ending = [
            finish(0, Reason::ToolCalls),
            usage(true),
            end(Reason::ToolCalls),
        ];
        let all = [start(1), route(WireId::Anthropic, false)]
            .into_iter()
            .chain(content)
            .chain(ending);
        insta::assert_snapshot!(golden(1, all));
    }

    #[test]
    fn every_choice_of_several_has_its_end() {
        let all = [
            start(2),
            text(0, "a"),
            text(1, "b"),
            finish(1, Reason::Length),
            usage(false),
            end(Reason::Cancelled),
        ];
        insta::assert_snapshot!(golden(2, all));
    }

    #[test]
    fn an_error_is_followed_by_usage_and_end() {
        insta::assert_snapshot!(golden(
            1,
            [
                start(1),
                text(0, "a"),
                error(true),
                usage(true),
                end(Reason::Error)
            ]
        ));
    }

    #[test]
    fn the_content_of_an_answer_is_written() {
        let events = [
            start(1),
            text(0, "Hi"),
            reasoning(0, "hm"),
            call(0, 0, false, None),
            arguments(0, 0, "{}"),
        ];
        let body = Events.whole(&view(1, false), &Answer::from_events(&events));
        insta::assert_snapshot!(std::str::from_utf8(&body).unwrap());
        let events = [start(2), text(1, "b"), finish(1, Reason::Stop)];
        insta::assert_snapshot!(
            std::str::from_utf8(&Events.whole(&view(2, false), &Answer::from_events(&events)))
                .unwrap()
        );
    }

    /// Returns the name and the data of every event.
    fn named_events(choices: u16, journal: &[Entry]) -> Vec<(String, Value)> {
        let event = |block: String| {
            let (name, rest) = block
                .strip_prefix("event: ")
                .unwrap()
                .split_once('\n')
                .unwrap();
            let data = rest
                .strip_prefix("retry: 1000\n")
                .filter(|_| name == "start")
                .unwrap_or(rest)
                .strip_prefix("data: ")
                .unwrap();
            assert!(!data.contains(['\n', '\r', '\u{85}', '\u{2028}']));
            (name.to_owned(), serde_json::from_str(data).unwrap())
        };
        encoded(Events.encoder(view(choices, false)), journal)
            .into_iter()
            .map(event)
            .collect()
    }

    proptest! {
        #[test]
        fn a_resumed_reader_gets_exactly_the_rest((choices, journal) in any_journal(false)) {
            assert_resumes_everywhere(|| Events.encoder(view(choices, false)), &journal);
        }

        #[test]
        fn no_event_is_omitted((choices, journal) in any_journal(false)) {
            let events_written = named_events(choices, &journal);
            let events: Vec<&Event> = journal.iter().flat_map(|entry| &entry.events).collect();
            let written = events.iter().filter(|event| !matches!(event, Event::Finish(_))).count();
            prop_assert_eq!(events_written.iter().filter(|(name, _)| name != "choice_end").count(), written);
            prop_assert_eq!(&events_written.last().unwrap().0, "end");
            prop_assert_eq!(events_written.iter().filter(|(name, _)| name == "end").count(), 1);
            let answer = Answer::from_events(events.iter().copied());
            for (number, choice) in answer.choices.iter().enumerate() {
                let of = |(name, data): &(String, Value), wanted: &str| {
                    (name == wanted && data["choice"].as_u64().unwrap_or(0) == number as u64).then(|| data["delta"].as_str().map(str::to_owned))?
                };
                prop_assert_eq!(events_written.iter().filter_map(|it| of(it, "text")).collect::<String>(), choice.text());
                prop_assert_eq!(events_written.iter().filter_map(|it| of(it, "reasoning")).collect::<String>(), choice.reasoning());
                prop_assert_eq!(events_written.iter().filter_map(|it| of(it, "refusal")).collect::<String>(), choice.refusal());
                let ends = events_written.iter().filter(|(name, data)| name == "choice_end" && data["choice"] == number).count();
                let due = choices > 1 && (choice.finish.is_some() || !choice.parts.is_empty());
                prop_assert!(ends <= 1 && (ends == 1) >= due);
            }
        }
    }
}
