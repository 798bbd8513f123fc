//! The laws of the dialect, over random journals.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Ui;
use super::messages;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::Dialect as _;
use crate::dialect::journals::{
    any_journal, arguments, assert_resumes_everywhere, call, encoded, entries, sse_events, view,
};
use crate::dialect::object::Object;
use crate::model::chat::Part as PastPart;
use crate::model::entry::Entry;
use crate::model::event::{Event, Reason};
use crate::model::fold::{Answer, Part};

/// The message that the SDK makes of a stream, folded as strictly as the SDK does it.
#[derive(Default, Debug)]
struct Message {
    id: Value,
    metadata: Value,
    parts: Vec<Value>,
    /// The ids and indexes of open parts.
    open: Vec<(String, usize)>,
    finish: Option<Value>,
    aborted: bool,
    error: Option<Value>,
    done: bool,
}

impl Message {
    fn of(sse: &[String]) -> Self {
        let mut message = Self::default();
        for block in sse {
            assert!(!message.done, "nothing may follow the end: {block}");
            let data = block.strip_prefix("data: ").expect("a nameless event");
            assert!(
                !data.contains(['\n', '\u{85}', '\u{2028}']),
                "no characters that some clients take for line ends: {data:?}"
            );
            if data == "[DONE]" {
                message.done = true;
            } else {
                message.add(&serde_json::from_str(data).unwrap());
            }
        }
        message
    }

    fn part(&mut self, chunk: &Value) -> &mut Value {
        let (_, at) = *self
            .open
            .iter()
            .find(|(id, _)| *id == chunk["id"])
            .expect("a part that has begun");
        &mut self.parts[at]
    }

    fn call(&mut self, chunk: &Value) -> &mut Value {
        self.parts
            .iter_mut()
            .find(|part| part["toolCallId"] == chunk["toolCallId"])
            .expect("a call that has begun")
    }

    fn add(&mut self, chunk: &Value) {
        let kind = chunk["type"].as_str().unwrap();
        match kind {
            "start" => {
                assert!(self.id.is_null() && self.parts.is_empty(), "it starts once");
                (self.id, self.metadata) =
                    (chunk["messageId"].clone(), chunk["messageMetadata"].clone());
            }
            "start-step" => self.parts.push(json!({"type": "step-start"})),
            "finish-step" => assert!(self.open.is_empty(), "parts are ended before the step"),
            "text-start" | "reasoning-start" => {
                let id = chunk["id"].as_str().unwrap().to_owned();
                assert!(
                    self.open.is_empty(),
                    "a part is ended before another begins"
                );
                self.open.push((id, self.parts.len()));
                let mut part =
                    json!({"type": kind.trim_end_matches("-start"), "text": "", "state": "done"});
                copy_member(&mut part, "providerMetadata", chunk);
                self.parts.push(part);
            }
            "text-delta" | "reasoning-delta" => {
                let part = self.part(chunk);
                part["text"] = (part["text"].as_str().unwrap().to_owned()
                    + chunk["delta"].as_str().unwrap())
                .into();
            }
            "text-end" | "reasoning-end" => {
                copy_member(self.part(chunk), "providerMetadata", chunk);
                self.open.clear();
            }
            "tool-input-start" => {
                let kind = format!("tool-{}", chunk["toolName"].as_str().unwrap());
                self.parts
                    .push(json!({"type": kind, "toolCallId": chunk["toolCallId"], "text": ""}));
            }
            "tool-input-delta" => {
                let part = self.call(chunk);
                part["text"] = (part["text"].as_str().unwrap().to_owned()
                    + chunk["inputTextDelta"].as_str().unwrap())
                .into();
            }
            "tool-input-available" | "tool-input-error" => {
                let part = self.call(chunk);
                let text = part.as_object_mut().unwrap().remove("text").unwrap();
                let input = &chunk["input"];
                let same = input.as_str() == text.as_str()
                    || text
                        .as_str()
                        .unwrap()
                        .trim_matches([' ', '\t', '\n', '\r'])
                        .is_empty()
                        && *input == json!({});
                assert!(
                    same || serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap()
                        == *input,
                    "{chunk}"
                );
                part["input"] = input.clone();
                part["state"] = if kind == "tool-input-error" {
                    "output-error"
                } else {
                    "input-available"
                }
                .into();
                copy_member(part, "errorText", chunk);
                if chunk["providerMetadata"].is_object() {
                    part["callProviderMetadata"] = chunk["providerMetadata"].clone();
                }
            }
            "source-url" | "data-raw" | "file" => self.parts.push(chunk.clone()),
            "finish" => {
                self.finish = Some(chunk["finishReason"].clone());
                self.metadata = chunk["messageMetadata"].clone();
            }
            "abort" => self.aborted = true,
            "error" => assert!(
                self.error.replace(chunk["errorText"].clone()).is_none(),
                "an error is written once"
            ),
            other => panic!("the SDK does not support {other}"),
        }
    }

    fn json(&self) -> Value {
        json!({"id": self.id, "role": "assistant", "metadata": self.metadata, "parts": self.parts})
    }
}

fn copy_member(part: &mut Value, name: &str, chunk: &Value) {
    if !chunk[name].is_null() {
        part[name] = chunk[name].clone();
    }
}

/// Joins the texts of all parts of a kind: the SDK may split one part of the answer into several.
fn joined(parts: &[PastPart], of: fn(&PastPart) -> Option<&str>) -> String {
    parts.iter().filter_map(of).collect()
}

/// Asserts that a message which a page sends back is read as the answer was.
fn assert_round_trip(message: &Value, parts: &[Part]) {
    let body = json!({"messages": [message]});
    let mut turns = Vec::new();
    messages::read(
        &Object::from_body(body.to_string().as_bytes()).unwrap(),
        &mut turns,
        &mut Vec::new(),
    )
    .unwrap();
    let back: Vec<PastPart> = turns.into_iter().flat_map(|turn| turn.parts).collect();
    let text_of = |of: fn(&Part) -> Option<&str>| parts.iter().filter_map(of).collect::<String>();
    assert_eq!(
        joined(&back, |it| if let PastPart::Text(text) = it {
            Some(text)
        } else {
            None
        }),
        text_of(|it| if let Part::Text(text) = it {
            Some(text)
        } else {
            None
        })
    );
    assert_eq!(
        joined(&back, |it| if let PastPart::Reasoning(past) = it {
            Some(&past.text)
        } else {
            None
        }),
        text_of(|it| if let Part::Reasoning(text) = it {
            Some(text)
        } else {
            None
        })
    );
    let signatures = |parts: &[PastPart]| {
        let signature = |it: &PastPart| match it {
            PastPart::Reasoning(past) if past.signature.is_some() || past.redacted.is_some() => {
                Some((
                    past.signature.clone(),
                    past.redacted.clone(),
                    past.wire,
                    past.on_text,
                ))
            }
            _ => None,
        };
        parts.iter().filter_map(signature).collect::<Vec<_>>()
    };
    let signed = parts.iter().filter_map(|it| {
        if let Part::Signature(it) = it {
            Some(it)
        } else {
            None
        }
    });
    let expected: Vec<_> = signed
        .map(|it| {
            (
                it.signature.as_deref().map(str::to_owned),
                it.redacted.as_deref().map(str::to_owned),
                Some(it.wire),
                it.on_text,
            )
        })
        .collect();
    assert_eq!(signatures(&back), expected);
}

/// A page must never run a tool if a part of the arguments is missing.
#[test]
fn a_call_whose_beginning_was_evicted_is_an_error() {
    for (custom, tail) in [(false, ""), (false, "{}"), (true, "end"), (true, "")] {
        let (mut encoder, mut out) = (Ui.encoder(view(1, false)), SseWriter::new(None));
        out.mute(true);
        out.begin_entry(0, 0);
        encoder.restore(
            &Entry::new(
                [call(0, 0, custom, None), arguments(0, 0, "")]
                    .into_iter()
                    .collect(),
            ),
            &mut out,
        );
        out.end_entry();
        out.mute(false);
        let (call, choice) = (0, 0);
        for (seq, entry) in (1..).zip(&entries([
            arguments(choice, call, tail),
            Event::ToolCallEnd {
                choice,
                index: call,
            },
        ])) {
            out.begin_entry(seq, 0);
            encoder.write_entry(entry, &mut out);
            out.end_entry();
        }
        let chunks = sse_events(std::str::from_utf8(&out.take()).unwrap());
        let last: Value =
            serde_json::from_str(chunks.last().unwrap().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(
            (&last["type"], &last["input"]),
            (&json!("tool-input-error"), &json!(tail)),
            "{chunks:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_resumed_reader_gets_exactly_the_rest((choices, journal) in any_journal(false)) {
        assert_resumes_everywhere(|| Ui.encoder(view(choices, false)), &journal);
    }

    #[test]
    fn the_message_is_the_whole_answer_and_round_trips((choices, journal) in any_journal(false)) {
        let view = view(choices, false);
        let message = Message::of(&encoded(Ui.encoder(view.clone()), &journal));
        let answer = Answer::from_events(journal.iter().flat_map(|entry| &entry.events));
        let reason = answer.reason().unwrap();
        assert!(message.done);
        assert_eq!((message.aborted, message.error.is_some()), (reason == Reason::Cancelled, reason == Reason::Error));
        assert_eq!(message.finish.is_some(), reason != Reason::Cancelled);
        if reason == Reason::Stop {
            let whole: Value = serde_json::from_slice(&Ui.whole(&view, &answer)).unwrap();
            assert_eq!(message.json(), whole);
            assert_round_trip(&whole, answer.choices.first().map(|it| it.parts.as_slice()).unwrap_or_default());
        }
    }
}
