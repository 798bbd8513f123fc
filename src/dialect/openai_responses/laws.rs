//! The laws of the dialect, over random journals.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{OpenaiResponses, ResponseView, chat};
use crate::dialect::journals::own_wire::{Parts, own_wire};
use crate::dialect::journals::{
    answer, any_journal, assert_resumes_everywhere, encoded, first_choice,
    no_call_grows_after_its_end, tail, view,
};
use crate::dialect::{Dialect as _, View};
use crate::model::chat::Part as PastPart;
use crate::model::entry::Entry;
use crate::model::event::Reason;
use crate::model::fold::{Answer, Part};
use crate::model::wire::WireId;

/// The events of one stream, folded as strictly as the official helpers do it.
#[derive(Default)]
struct Folded {
    items: BTreeMap<u64, Value>,
    ended: BTreeMap<u64, bool>,
    response: Value,
    next: u64,
}

impl Folded {
    fn of(sse: &[String]) -> Self {
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
            assert_eq!(
                (&event["type"], &event["sequence_number"]),
                (&json!(name), &json!(folded.next))
            );
            folded.next += 1;
            assert!(
                folded.response.is_null(),
                "nothing may follow the end: {block}"
            );
            folded.add(name, &event);
        }
        folded
    }

    fn add(&mut self, name: &str, event: &Value) {
        let place = event["output_index"].as_u64();
        if !matches!(name, "response.output_item.added")
            && let Some(place) = place
        {
            assert!(!self.ended[&place], "{event}");
            let id = if name == "response.output_item.done" {
                &event["item"]["id"]
            } else {
                &event["item_id"]
            };
            assert_eq!(id, &self.items[&place]["id"], "{event}");
        }
        let at = |field: &str| usize::try_from(event[field].as_u64().unwrap()).unwrap();
        match name {
            "response.output_item.added" => {
                assert_eq!(place, Some(self.items.len() as u64));
                self.items.insert(place.unwrap(), event["item"].clone());
                self.ended.insert(place.unwrap(), false);
            }
            "response.output_item.done" => {
                let (mut begun, mut ended) =
                    (self.items[&place.unwrap()].clone(), event["item"].clone());
                self.items.insert(place.unwrap(), ended.clone());
                for item in [&mut begun, &mut ended] {
                    item.as_object_mut()
                        .unwrap()
                        .retain(|name, _| name != "status" && name != "encrypted_content");
                }
                assert_eq!(
                    begun, ended,
                    "an item ends with the content that was streamed"
                );
                self.ended.insert(place.unwrap(), true);
            }
            "response.content_part.added" => {
                let parts = self.items.get_mut(&place.unwrap()).unwrap()["content"]
                    .as_array_mut()
                    .unwrap();
                assert_eq!(at("content_index"), parts.len());
                parts.push(event["part"].clone());
            }
            "response.reasoning_summary_part.added" => {
                self.items.get_mut(&place.unwrap()).unwrap()["summary"]
                    .as_array_mut()
                    .unwrap()
                    .push(event["part"].clone());
            }
            "response.output_text.delta" => {
                self.grow(event, &format!("/content/{}/text", at("content_index")));
            }
            "response.refusal.delta" => {
                self.grow(event, &format!("/content/{}/refusal", at("content_index")));
            }
            "response.reasoning_summary_text.delta" => self.grow(event, "/summary/0/text"),
            "response.function_call_arguments.delta" => self.grow(event, "/arguments"),
            "response.custom_tool_call_input.delta" => self.grow(event, "/input"),
            "response.output_text.annotation.added" => {
                let list = format!("/content/{}/annotations", at("content_index"));
                let list = self
                    .items
                    .get_mut(&place.unwrap())
                    .unwrap()
                    .pointer_mut(&list)
                    .unwrap()
                    .as_array_mut()
                    .unwrap();
                assert_eq!(at("annotation_index"), list.len());
                list.push(event["annotation"].clone());
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                assert!(self.ended.values().all(|ended| *ended), "{event}");
                let items: Vec<Value> = self.items.values().cloned().collect();
                assert_eq!(event["response"]["output"], Value::from(items));
                self.response = event["response"].clone();
            }
            _ => {}
        }
    }

    fn grow(&mut self, event: &Value, pointer: &str) {
        let item = self
            .items
            .get_mut(&event["output_index"].as_u64().unwrap())
            .unwrap();
        let text = item.pointer_mut(pointer).unwrap();
        *text = (text.as_str().unwrap().to_owned() + event["delta"].as_str().unwrap()).into();
    }
}

fn assert_same_content(folded: &Folded, answer: &Answer) {
    let (reason, choice) = (answer.reason().unwrap(), first_choice(answer));
    let status = folded.response["status"].as_str().unwrap();
    assert_eq!(status == "failed", reason == Reason::Error);
    assert_eq!(status == "cancelled", reason == Reason::Cancelled);
    let joined_text = |list: &str, field: &str| -> String {
        let parts = folded
            .items
            .values()
            .flat_map(|item| item[list].as_array().into_iter().flatten());
        parts.filter_map(|part| part[field].as_str()).collect()
    };
    assert_eq!(
        (
            joined_text("summary", "text"),
            joined_text("content", "refusal")
        ),
        (choice.reasoning(), choice.refusal())
    );
    assert_eq!(joined_text("content", "text"), choice.text());
    let calls = folded
        .items
        .values()
        .filter(|item| item["call_id"].is_string());
    let calls: Vec<(&str, &str)> = calls
        .map(|it| {
            (
                it["call_id"].as_str().unwrap(),
                it["name"].as_str().unwrap(),
            )
        })
        .collect();
    let made = choice.parts.iter().filter_map(|part| {
        if let Part::ToolCall { id, name, .. } = part {
            Some((&**id, &**name))
        } else {
            None
        }
    });
    assert_eq!(calls, made.collect::<Vec<_>>());
    let used = answer.usage.unwrap();
    let usage_field = |name: &str| folded.response["usage"][name].as_u64();
    if reason != Reason::Error {
        assert_eq!(
            (usage_field("input_tokens"), usage_field("output_tokens")),
            (used.input, used.output)
        );
    }
}

/// Asserts that a response which a client sends back is read as the answer was, except for
/// reasoning without a signature.
fn assert_round_trip(output: &Value, parts: &[Part]) {
    let body = json!({"model": "m", "input": output});
    let messages = chat::translate(body.to_string().as_bytes())
        .unwrap()
        .messages;
    let back: Vec<&PastPart> = messages.iter().flat_map(|turn| &turn.parts).collect();
    let text: String = back
        .iter()
        .filter_map(|part| {
            if let PastPart::Text(text) = part {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        text,
        parts
            .iter()
            .filter_map(|part| if let Part::Text(text) = part {
                Some(text.as_str())
            } else {
                None
            })
            .collect::<String>()
    );
    let past = back.iter().filter_map(|part| {
        if let PastPart::Reasoning(it) = part {
            Some(it)
        } else {
            None
        }
    });
    let past: Vec<_> = past
        .map(|it| {
            (
                it.signature.clone(),
                it.redacted.clone(),
                it.wire,
                it.on_text,
            )
        })
        .collect();
    let signed = parts.iter().filter_map(|part| {
        if let Part::Signature(it) = part {
            Some(it)
        } else {
            None
        }
    });
    let string = |text: &Option<bytestring::ByteString>| text.as_ref().map(ToString::to_string);
    let signed: Vec<_> = signed
        .map(|it| {
            (
                string(&it.signature),
                string(&it.redacted),
                Some(it.wire),
                it.on_text,
            )
        })
        .collect();
    assert_eq!(past, signed);
    let calls = back.iter().filter_map(|part| {
        if let PastPart::ToolCall(it) = part {
            Some((it.id.clone(), it.signature.clone()))
        } else {
            None
        }
    });
    let made = parts.iter().filter_map(|part| match part {
        Part::ToolCall { id, signature, .. } => Some((id.to_string(), string(signature))),
        _ => None,
    });
    assert_eq!(calls.collect::<Vec<_>>(), made.collect::<Vec<_>>());
}

/// Removes the status of items, which only the stream knows: it depends on which items were cut
/// off.
fn without_status(mut response: Value) -> Value {
    for item in response["output"].as_array_mut().into_iter().flatten() {
        item.as_object_mut().unwrap().remove("status");
    }
    response
}

fn frames(parts: &Parts) -> Vec<Value> {
    let mut frames = vec![
        json!({"type": "response.created", "response": {"id": "resp_up", "object": "response", "status": "in_progress", "output": []}}),
    ];
    let mut output = Vec::new();
    for (place, (kind, pieces)) in parts.iter().enumerate() {
        let whole = pieces.concat();
        let (name, mut item) = match kind {
            0 => (
                "response.output_text.delta",
                json!({"type": "message", "role": "assistant", "content": []}),
            ),
            1 => (
                "response.reasoning_summary_text.delta",
                json!({"type": "reasoning", "summary": []}),
            ),
            2 => (
                "response.function_call_arguments.delta",
                json!({"type": "function_call", "call_id": format!("c{place}"), "name": "f", "arguments": ""}),
            ),
            _ => (
                "response.custom_tool_call_input.delta",
                json!({"type": "custom_tool_call", "call_id": format!("c{place}"), "name": "f", "input": ""}),
            ),
        };
        item["id"] = format!("item_{place}").into();
        frames.push(
            json!({"type": "response.output_item.added", "output_index": place, "item": item}),
        );
        let at = |kind: &str| json!({"type": kind, "item_id": format!("item_{place}"), "output_index": place, "content_index": 0, "summary_index": 0});
        let part = match kind {
            0 => Some((
                "response.content_part",
                json!({"type": "output_text", "text": "", "annotations": []}),
                "text",
            )),
            1 => Some((
                "response.reasoning_summary_part",
                json!({"type": "summary_text", "text": ""}),
                "text",
            )),
            _ => None,
        };
        if let Some((name, part, _)) = &part {
            let mut begun = at(&format!("{name}.added"));
            begun["part"] = part.clone();
            frames.push(begun);
        }
        for piece in pieces {
            frames.push(
                json!({"type": name, "item_id": item["id"], "output_index": place, "content_index": 0, "summary_index": 0, "delta": piece}),
            );
        }
        let field = part
            .as_ref()
            .map_or(if *kind == 2 { "arguments" } else { "input" }, |part| {
                part.2
            });
        let mut all = at(&name.replace(".delta", ".done"));
        all[field] = whole.as_str().into();
        frames.push(all);
        if let Some((name, mut part, field)) = part {
            let mut ended = at(&format!("{name}.done"));
            part[field] = whole.as_str().into();
            ended["part"] = part;
            frames.push(ended);
        }
        match kind {
            0 => {
                item["content"] =
                    json!([{"type": "output_text", "text": whole, "annotations": []}]);
            }
            1 => item["summary"] = json!([{"type": "summary_text", "text": whole}]),
            2 => item["arguments"] = whole.into(),
            _ => item["input"] = whole.into(),
        }
        frames.push(
            json!({"type": "response.output_item.done", "output_index": place, "item": item}),
        );
        output.push(item);
    }
    frames.push(
        json!({"type": "response.completed", "response": {"id": "resp_up", "object": "response", "status": "completed", "output": output}}),
    );
    for (number, frame) in frames.iter_mut().enumerate() {
        frame["sequence_number"] = number.into();
    }
    frames
}

proptest! {
    #[test]
    fn a_resumed_reader_gets_exactly_the_rest((choices, journal) in any_journal(false)) {
        assert_resumes_everywhere(|| OpenaiResponses.encoder(view(choices, false)), &journal);
    }

    #[test]
    fn a_resumed_raw_reader_gets_exactly_the_rest(journal in own_wire(WireId::OpenaiResponses, 1..3, frames)) {
        assert_resumes_everywhere(|| OpenaiResponses.encoder(view(1, true)), &journal);
    }

    #[test]
    fn the_items_hold_the_content_of_the_events((choices, journal) in any_journal(false)) {
        assert_same_content(&Folded::of(&encoded(OpenaiResponses.encoder(view(choices, false)), &journal)), &answer(&journal));
    }

    #[test]
    fn a_translated_stream_of_the_own_wire_has_the_same_content(journal in own_wire(WireId::OpenaiResponses, 1..3, frames)) {
        assert_same_content(&Folded::of(&encoded(OpenaiResponses.encoder(view(1, false)), &journal)), &answer(&journal));
    }

    #[test]
    fn the_whole_answer_is_the_fold_of_its_events_and_round_trips((choices, journal) in any_journal(false)) {
        let view = view(choices, false);
        let folded = Folded::of(&encoded(OpenaiResponses.encoder(view.clone()), &journal));
        let answer = answer(&journal);
        if answer.reason() == Some(Reason::Error) || !no_call_grows_after_its_end(&journal) {
            return Ok(());
        }
        let whole: Value = serde_json::from_slice(&OpenaiResponses.whole(&view, &answer)).unwrap();
        prop_assert_eq!(without_status(whole.clone()), without_status(folded.response));
        assert_round_trip(&whole["output"], &first_choice(&answer).parts);
    }

    #[test]
    fn a_response_that_is_read_equals_the_one_in_its_stream((raw, journal) in prop_oneof![own_wire(WireId::OpenaiResponses, 1..3, frames).prop_map(|it| (true, it)), any_journal(false).prop_map(|(_, it)| (false, it))]) {
        let mut response_view = ResponseView::new(view(1, raw));
        let mut number = 0;
        for entry in &journal {
            response_view.read(entry);
            prop_assert!(response_view.next_number() >= number);
            number = response_view.next_number();
        }
        let sse = encoded(OpenaiResponses.encoder(view(1, raw)), &journal);
        prop_assert_eq!(number, sse.len() as u64);
        let last: Value = serde_json::from_str(sse.last().unwrap().split_once("data: ").unwrap().1).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<Value>(&response_view.object()).unwrap(), &last["response"]);
    }

    #[test]
    fn payloads_pass_unchanged_and_only_our_end_is_added(journal in own_wire(WireId::OpenaiResponses, 1..3, frames)) {
        let sse = encoded(OpenaiResponses.encoder(view(1, true)), &journal);
        let raws: Vec<String> = journal.iter().filter_map(|entry| entry.raw.as_ref()).map(|raw| format!("event: {}\ndata: {}", raw.name, raw.data)).collect();
        prop_assert_eq!(&sse[..raws.len()], &raws);
        let count = |name: &str| raws.iter().filter(|block| block.starts_with(&format!("event: {name}\n"))).count();
        let open = count("response.output_item.added") - count("response.output_item.done");
        let names: Vec<&str> = sse[raws.len()..].iter().map(|block| block.lines().next().unwrap().strip_prefix("event: ").unwrap()).collect();
        let begun = if raws.is_empty() { vec!["response.created", "response.in_progress"] } else { Vec::new() };
        let calls = |kind: &str| raws.iter().filter(|block| block.contains("output_item.added") && block.contains(&format!("\"type\":\"{kind}\""))).count();
        let due = [
            ("response.output_text.done", count("response.content_part.added")),
            ("response.content_part.done", count("response.content_part.added")),
            ("response.reasoning_summary_text.done", count("response.reasoning_summary_part.added")),
            ("response.reasoning_summary_part.done", count("response.reasoning_summary_part.added")),
            ("response.function_call_arguments.done", calls("function_call")),
            ("response.custom_tool_call_input.done", calls("custom_tool_call")),
        ];
        let mut closed: Vec<&str> = due.into_iter().flat_map(|(name, begun)| vec![name; begun - count(name)]).collect();
        closed.extend(vec!["response.output_item.done"; open]);
        let expected: Vec<&str> = match answer(&journal).reason().unwrap() {
            Reason::Cancelled => begun.into_iter().chain(closed).chain(["response.incomplete"]).collect(),
            Reason::Error => begun.into_iter().chain(closed).chain(["response.failed"]).collect(),
            _ => Vec::new(),
        };
        prop_assert_eq!(names, expected);
        for (number, block) in sse.iter().enumerate() {
            let tag = format!("\"sequence_number\":{number}");
            prop_assert!(block.contains(&tag), "{} in {}", tag, block);
        }
    }

    #[test]
    fn a_reader_after_evicted_entries_gets_the_rest_or_an_error((_, journal) in any_journal(false), (evicted, from) in any::<(prop::sample::Index, prop::sample::Index)>()) {
        let evicted = evicted.index(journal.len());
        let seq = evicted + from.index(journal.len() - evicted);
        let read = |evicted: usize| {
            let events = journal[..evicted].iter().flat_map(|entry| &entry.events);
            let summary = Entry::new(events.cloned().collect());
            tail(OpenaiResponses.encoder(view(1, false)), &summary, &journal, evicted, seq)
        };
        let (whole, got) = (read(0), read(evicted));
        if whole != got {
            let [error] = &got[..] else { panic!("{got:?} instead of {whole:?}") };
            prop_assert!(error.starts_with("event: response.failed\n") && error.contains("replay_expired"), "{}", error);
        }
    }
}

#[test]
fn a_view_of_an_empty_journal_is_a_response() {
    let object: Value =
        serde_json::from_slice(&ResponseView::new(View { ..view(1, false) }).object()).unwrap();
    assert_eq!(
        (&object["object"], &object["status"], &object["output"]),
        (&json!("response"), &json!("in_progress"), &json!([]))
    );
}
