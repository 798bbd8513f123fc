//! The laws of the dialect, over random journals.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Anthropic, chat};
use crate::dialect::journals::own_wire::{Parts, own_wire};
use crate::dialect::journals::{
    answer, any_journal, arguments, assert_resumes_everywhere, call, encoded, end, entries, finish,
    first_choice, no_call_grows_after_its_end, reasoning, route, signature, start, tail, text,
    usage, view,
};
use crate::dialect::{Dialect as _, View};
use crate::model::chat::{Part as PastPart, PastReasoning};
use crate::model::entry::Entry;
use crate::model::event::{Event, Reason};
use crate::model::fold::{Answer, Part};
use crate::model::wire::WireId;

/// The events of one stream, folded as strictly as clients do it.
#[derive(Default)]
struct Folded {
    message: Value,
    open: bool,
    input: String,
    error: Option<Value>,
    own: Value,
    over: bool,
}

impl Folded {
    fn of(sse: &[String], view: &View) -> Self {
        let mut folded = Self::default();
        for block in sse {
            let (name, data) = block
                .strip_prefix("event: ")
                .unwrap()
                .split_once("\ndata: ")
                .unwrap();
            assert!(
                !data.contains(['\n', '\u{85}', '\u{2028}']),
                "no characters that some clients take for line ends: {data:?}"
            );
            let event: Value = serde_json::from_str(data).unwrap();
            assert_eq!(event["type"], name);
            assert!(
                !folded.over && folded.error.is_none(),
                "nothing may follow the end: {block}"
            );
            folded.add(&event, view);
        }
        folded
    }

    fn add(&mut self, event: &Value, view: &View) {
        let kind = event["type"].as_str().unwrap();
        assert_eq!(
            self.message.is_null(),
            matches!(kind, "message_start") || kind == "error" && self.message.is_null(),
            "{event}"
        );
        match kind {
            "message_start" => {
                self.message = event["message"].clone();
                assert_eq!(
                    (&self.message["id"], &self.message["model"]),
                    (
                        &json!(format!("msg_{}", view.start.stream)),
                        &json!("smart")
                    )
                );
            }
            "content_block_start" => self.begin(event),
            "content_block_delta" => {
                assert_eq!(
                    (self.open, &event["index"]),
                    (true, &json!(self.content().len() - 1))
                );
                self.delta(&event["delta"]);
            }
            "content_block_stop" => {
                assert_eq!(
                    (self.open, &event["index"]),
                    (true, &json!(self.content().len() - 1))
                );
                self.stop();
            }
            "message_delta" => self.ending(event),
            "message_stop" => self.over = !self.message["stop_reason"].is_null(),
            "error" => self.error = Some(event["error"].clone()),
            _ => panic!("{event}"),
        }
    }

    fn content(&mut self) -> &mut Vec<Value> {
        self.message["content"].as_array_mut().unwrap()
    }

    fn begin(&mut self, event: &Value) {
        assert!(
            !std::mem::replace(&mut self.open, true),
            "one block at a time: {event}"
        );
        assert_eq!(event["index"], self.content().len());
        self.content().push(event["content_block"].clone());
    }

    fn delta(&mut self, delta: &Value) {
        let piece = |name: &str| delta[name].as_str().unwrap().to_owned();
        let (kind, field) = match delta["type"].as_str().unwrap() {
            "text_delta" => ("text", "text"),
            "thinking_delta" => ("thinking", "thinking"),
            "signature_delta" => ("thinking", "signature"),
            "input_json_delta" => {
                assert_eq!(self.content().last().unwrap()["type"], "tool_use");
                return self.input.push_str(&piece("partial_json"));
            }
            "citations_delta" => {
                let block = self.content().last_mut().unwrap();
                assert_eq!(block["type"], "text");
                let mut citations = block["citations"].as_array().cloned().unwrap_or_default();
                citations.push(delta["citation"].clone());
                block["citations"] = citations.into();
                return;
            }
            _ => panic!("{delta}"),
        };
        let block = self.content().last_mut().unwrap();
        assert_eq!(block["type"], kind);
        block[field] = (block[field].as_str().unwrap().to_owned() + &piece(field)).into();
    }

    fn stop(&mut self) {
        self.open = false;
        let input = std::mem::take(&mut self.input);
        if !input.is_empty() {
            let read = serde_json::from_str(&input).ok().filter(Value::is_object);
            let empty = input.trim().is_empty() || input.trim() == "null";
            let read = read.unwrap_or_else(|| {
                if empty {
                    json!({})
                } else {
                    json!({"INVALID_JSON": input})
                }
            });
            self.content().last_mut().unwrap()["input"] = read;
        }
    }

    fn ending(&mut self, event: &Value) {
        assert!(!self.open, "blocks are stopped before this event: {event}");
        self.message["stop_reason"] = event["delta"]["stop_reason"].clone();
        self.message["usage"] = event["usage"].clone();
        self.own = event["sluicegate"].clone();
    }
}

/// Joins the texts of all blocks of a type.
fn joined_text(message: &Value, kind: &str) -> String {
    let blocks = message["content"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|block| block["type"] == kind);
    blocks.map(|block| block[kind].as_str().unwrap()).collect()
}

fn assert_same_content(folded: &Folded, answer: &Answer) {
    let reason = answer.reason().unwrap();
    let choice = first_choice(answer);
    assert_eq!(
        (folded.over, folded.error.is_some()),
        (reason != Reason::Error, reason == Reason::Error)
    );
    assert_eq!(
        folded.own["reason"] == "cancelled",
        reason == Reason::Cancelled
    );
    assert_eq!(joined_text(&folded.message, "thinking"), choice.reasoning());
    let parts = choice.parts.iter().filter_map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(
        joined_text(&folded.message, "text"),
        parts.collect::<String>()
    );
    let calls = folded.message["content"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|block| block["type"] == "tool_use");
    let calls: Vec<(&str, &str)> = calls
        .map(|block| {
            (
                block["id"].as_str().unwrap(),
                block["name"].as_str().unwrap(),
            )
        })
        .collect();
    let expected: Vec<(&str, &str)> = choice
        .parts
        .iter()
        .filter_map(|part| {
            if let Part::ToolCall { id, name, .. } = part {
                Some((&**id, &**name))
            } else {
                None
            }
        })
        .collect();
    assert_eq!(calls, expected);
    if reason != Reason::Error {
        let used = answer.usage.unwrap();
        let count = |name: &str| folded.message["usage"][name].as_u64();
        let input = count("input_tokens").unwrap()
            + count("cache_read_input_tokens").unwrap_or(0)
            + count("cache_creation_input_tokens").unwrap_or(0);
        assert_eq!(
            (Some(input), count("output_tokens")),
            (used.input, used.output)
        );
        assert_eq!(folded.own["estimated"] == true, used.estimated);
    }
}

/// Asserts that a message which a client sends back is read as the answer was, except for thinking
/// without a signature.
fn assert_round_trip(message: &Value, parts: &[Part]) {
    let turn = json!({"role": "assistant", "content": message["content"]});
    let body = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "?"}, turn]});
    let chat = chat::translate(body.to_string().as_bytes()).unwrap();
    let back = chat
        .messages
        .get(1)
        .map(|turn| turn.parts.as_slice())
        .unwrap_or_default();
    let joined =
        |part: fn(&Part) -> Option<&str>| parts.iter().filter_map(part).collect::<String>();
    let text = back.iter().filter_map(|part| {
        if let PastPart::Text(text) = part {
            Some(text.as_str())
        } else {
            None
        }
    });
    assert_eq!(
        text.collect::<String>(),
        joined(
            |part| if let Part::Text(text) | Part::Refusal(text) = part {
                Some(text)
            } else {
                None
            }
        )
    );
    let past: Vec<PastReasoning> = back
        .iter()
        .filter_map(|part| {
            if let PastPart::Reasoning(it) = part {
                Some(it.clone())
            } else {
                None
            }
        })
        .collect();
    let signed: Vec<_> = parts
        .iter()
        .enumerate()
        .filter_map(|(at, part)| {
            if let Part::Signature(it) = part {
                Some((at, it))
            } else {
                None
            }
        })
        .collect();
    // An empty signature counts as no signature.
    let signed: Vec<_> = signed
        .into_iter()
        .filter(|(_, it)| it.wire != WireId::Anthropic || it.signature.as_deref() != Some(""))
        .collect();
    assert_eq!(past.len(), signed.len());
    for (back, (at, it)) in past.iter().zip(signed) {
        assert_eq!(
            (back.signature.as_deref(), back.redacted.as_deref()),
            (it.signature.as_deref(), it.redacted.as_deref())
        );
        assert_eq!((back.wire, back.on_text), (Some(it.wire), it.on_text));
        if let (Some(Part::Reasoning(text)), None, false) =
            (parts[..at].last(), &it.redacted, it.on_text)
        {
            assert!(back.text.ends_with(text), "{back:?} signs {text:?}");
        }
    }
    let calls = back.iter().filter_map(|part| {
        if let PastPart::ToolCall(call) = part {
            Some((call.id.clone(), call.signature.clone()))
        } else {
            None
        }
    });
    let made = parts.iter().filter_map(|part| match part {
        Part::ToolCall { id, signature, .. } => {
            Some((id.to_string(), signature.as_ref().map(ToString::to_string)))
        }
        _ => None,
    });
    assert_eq!(calls.collect::<Vec<_>>(), made.collect::<Vec<_>>());
}

/// Generates journals with overlapping calls, and other content between their deltas.
fn overlapping_calls() -> impl Strategy<Value = Vec<Entry>> {
    let seed = (0u8..9, any::<prop::sample::Index>(), "[a-c\"\\\\é{}]{0,3}");
    (prop::collection::vec(seed, 0..24), any::<bool>()).prop_map(|(seeds, completed)| {
        let (mut events, mut open, mut begun) = (
            vec![start(1), route(WireId::OpenaiChat, false)],
            Vec::new(),
            0,
        );
        for (kind, which, content) in seeds {
            match kind {
                0 | 1 => {
                    events.push(call(
                        0,
                        begun,
                        content.len() == 1,
                        (content.len() == 2).then_some("sig"),
                    ));
                    open.push(begun);
                    begun += 1;
                }
                2..=4 if !open.is_empty() => {
                    events.push(arguments(0, open[which.index(open.len())], &content));
                }
                5 if !open.is_empty() => events.push(Event::ToolCallEnd {
                    choice: 0,
                    index: open.swap_remove(which.index(open.len())),
                }),
                6 => events.push(reasoning(0, &content)),
                7 => events.push(signature(0, &content, WireId::Gemini, content.len() == 3)),
                _ => events.push(text(0, &content)),
            }
        }
        events.extend(
            open.into_iter()
                .map(|index| Event::ToolCallEnd { choice: 0, index }),
        );
        let reason = if completed {
            Reason::ToolCalls
        } else {
            Reason::Cancelled
        };
        events.extend(completed.then(|| finish(0, reason)));
        entries(events.into_iter().chain([usage(false), end(reason)]))
    })
}

/// Makes the summary that the hub keeps of evicted entries.
fn summary(journal: &[Entry]) -> Entry {
    let mut stripped_events: Vec<Event> = Vec::new();
    for event in journal.iter().flat_map(|entry| &entry.events) {
        let stripped = match event {
            Event::Text { .. } => text(0, ""),
            Event::Reasoning { .. } => reasoning(0, ""),
            Event::ToolArguments { index, .. } => arguments(0, *index, ""),
            other => other.clone(),
        };
        if matches!(
            stripped,
            Event::Signature(_) | Event::ToolCall(_) | Event::ToolCallEnd { .. }
        ) || stripped_events.last() != Some(&stripped)
        {
            stripped_events.push(stripped);
        }
    }
    Entry::new(stripped_events.into_iter().collect())
}

fn frames(parts: &Parts) -> Vec<Value> {
    let mut frames = vec![
        json!({"type": "message_start", "message": {"id": "m", "content": [], "usage": {"input_tokens": 1}}}),
        json!({"type": "ping"}),
    ];
    for (index, (kind, pieces)) in parts.iter().enumerate() {
        let (block, tag, field) = match kind {
            0 => (json!({"type": "text", "text": ""}), "text_delta", "text"),
            1 => (
                json!({"type": "thinking", "thinking": "", "signature": ""}),
                "thinking_delta",
                "thinking",
            ),
            2 => (
                json!({"type": "tool_use", "id": format!("t{index}"), "name": "f", "input": {}}),
                "input_json_delta",
                "partial_json",
            ),
            _ => (
                json!({"type": "server_tool_use", "id": "s", "name": "f", "input": {}}),
                "input_json_delta",
                "partial_json",
            ),
        };
        frames.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        frames.extend(
            pieces.iter().map(|piece| json!({"type": "content_block_delta", "index": index, "delta": {"type": tag, field: piece}})),
        );
        frames.push(json!({"type": "content_block_stop", "index": index}));
    }
    frames.push(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}));
    frames.push(json!({"type": "message_stop"}));
    frames
}

proptest! {
    #[test]
    fn a_resumed_reader_gets_exactly_the_rest((choices, journal) in any_journal(false)) {
        assert_resumes_everywhere(|| Anthropic.encoder(view(choices, false)), &journal);
    }

    #[test]
    fn a_resumed_reader_of_overlapping_calls_gets_exactly_the_rest(journal in overlapping_calls()) {
        assert_resumes_everywhere(|| Anthropic.encoder(view(1, false)), &journal);
    }

    #[test]
    fn a_resumed_raw_reader_gets_exactly_the_rest(journal in own_wire(WireId::Anthropic, 0..3, frames)) {
        assert_resumes_everywhere(|| Anthropic.encoder(view(1, true)), &journal);
    }

    #[test]
    fn a_reader_after_evicted_entries_gets_the_rest_or_an_error(journal in overlapping_calls(), (evicted, from) in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let evicted = evicted.index(journal.len());
        let seq = evicted + from.index(journal.len() - evicted);
        let read = |evicted: usize| {
            tail(Anthropic.encoder(view(1, false)), &summary(&journal[..evicted]), &journal, evicted, seq)
        };
        let (whole, got) = (read(0), read(evicted));
        if whole != got {
            let (last, rest) = got.split_last().unwrap();
            prop_assert!(last.starts_with("event: error\n") && last.contains("replay_expired"), "{got:?}");
            let written = rest.iter().zip(&whole).take_while(|(got, whole)| got == whole).count();
            prop_assert!(rest[written..].iter().all(|block| block.contains("content_block_stop")), "{got:?} instead of {whole:?}");
        }
    }

    #[test]
    fn the_blocks_hold_the_content_of_the_events((choices, journal) in any_journal(false)) {
        let view = view(choices, false);
        assert_same_content(&Folded::of(&encoded(Anthropic.encoder(view.clone()), &journal), &view), &answer(&journal));
    }

    #[test]
    fn overlapping_calls_are_written_completely(journal in overlapping_calls()) {
        let view = view(1, false);
        assert_same_content(&Folded::of(&encoded(Anthropic.encoder(view.clone()), &journal), &view), &answer(&journal));
    }

    #[test]
    fn the_whole_answer_is_the_fold_of_its_events_and_round_trips(journal in prop_oneof![any_journal(false).prop_map(|(_, journal)| journal), overlapping_calls()]) {
        let view = view(1, false);
        let folded = Folded::of(&encoded(Anthropic.encoder(view.clone()), &journal), &view);
        let answer = answer(&journal);
        if answer.reason() == Some(Reason::Error) || !no_call_grows_after_its_end(&journal) {
            return Ok(());
        }
        let mut whole: Value = serde_json::from_slice(&Anthropic.whole(&view, &answer)).unwrap();
        let own = whole.as_object_mut().unwrap().remove("sluicegate").unwrap_or_default();
        prop_assert_eq!(&whole, &folded.message);
        prop_assert_eq!(own, folded.own);
        assert_round_trip(&whole, &first_choice(&answer).parts);
    }

    #[test]
    fn payloads_pass_unchanged_and_only_our_end_is_added(journal in own_wire(WireId::Anthropic, 0..3, frames)) {
        let sse = encoded(Anthropic.encoder(view(1, true)), &journal);
        let raws: Vec<String> = journal.iter().filter_map(|entry| entry.raw.as_ref()).map(|raw| format!("event: {}\ndata: {}", raw.name, raw.data)).collect();
        prop_assert_eq!(&sse[..raws.len()], &raws);
        let begun = raws.iter().filter(|block| block.starts_with("event: content_block_start")).count();
        let open = begun > raws.iter().filter(|block| block.starts_with("event: content_block_stop")).count();
        let names: Vec<&str> = sse[raws.len()..].iter().map(|block| block.lines().next().unwrap().strip_prefix("event: ").unwrap()).collect();
        let stop = open.then_some("content_block_stop");
        let expected: Vec<&str> = match answer(&journal).reason().unwrap() {
            Reason::Cancelled => raws.is_empty().then_some("message_start").into_iter().chain(stop).chain(["message_delta", "message_stop"]).collect(),
            Reason::Error => stop.into_iter().chain(["error"]).collect(),
            _ => Vec::new(),
        };
        prop_assert_eq!(names, expected);
    }

    #[test]
    fn a_translated_stream_of_the_own_wire_has_the_same_content(journal in own_wire(WireId::Anthropic, 0..3, frames)) {
        let view = view(1, false);
        let sse = encoded(Anthropic.encoder(view.clone()), &journal);
        // Deltas of a server tool are passed on unchanged, and this fold does not know them.
        if !sse.iter().any(|block| block.contains("server_tool_use")) {
            assert_same_content(&Folded::of(&sse, &view), &answer(&journal));
        }
    }
}
