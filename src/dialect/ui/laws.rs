//! The laws of the dialect, over made-up journals.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Ui;
use super::messages;
use crate::codec::sse_writer::SseWriter;
use crate::dialect::Dialect as _;
use crate::dialect::journals::{
    arguments, blocks, call, entries, journals, resumes_everywhere, spelled, view,
};
use crate::dialect::object::Object;
use crate::model::chat::Part as Said;
use crate::model::entry::Entry;
use crate::model::event::{Event, Reason};
use crate::model::fold::{Answer, Part};

/// The message that the SDK makes of a stream, as strict as it is.
#[derive(Default, Debug)]
struct Message {
    id: Value,
    metadata: Value,
    parts: Vec<Value>,
    /// The ids of parts that grow, and where they stand.
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
                "one line for every reader of lines: {data:?}"
            );
            if data == "[DONE]" {
                message.done = true;
            } else {
                message.take(&serde_json::from_str(data).unwrap());
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

    fn take(&mut self, chunk: &Value) {
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
                keep(&mut part, "providerMetadata", chunk);
                self.parts.push(part);
            }
            "text-delta" | "reasoning-delta" => {
                let part = self.part(chunk);
                part["text"] = (part["text"].as_str().unwrap().to_owned()
                    + chunk["delta"].as_str().unwrap())
                .into();
            }
            "text-end" | "reasoning-end" => {
                keep(self.part(chunk), "providerMetadata", chunk);
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
                keep(part, "errorText", chunk);
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
                "an error is told once"
            ),
            other => panic!("the SDK knows no {other}"),
        }
    }

    fn json(&self) -> Value {
        json!({"id": self.id, "role": "assistant", "metadata": self.metadata, "parts": self.parts})
    }
}

fn keep(part: &mut Value, name: &str, chunk: &Value) {
    if !chunk[name].is_null() {
        part[name] = chunk[name].clone();
    }
}

/// Parts in a row that say the same kind of thing were one part of the answer.
fn joined(parts: &[Said], of: fn(&Said) -> Option<&str>) -> String {
    parts.iter().filter_map(of).collect()
}

/// What a page brings back of an answer is what the answer was.
fn comes_back(message: &Value, said: &[Part]) {
    let body = json!({"messages": [message]});
    let mut turns = Vec::new();
    messages::read(
        &Object::body(body.to_string().as_bytes()).unwrap(),
        &mut turns,
    )
    .unwrap();
    let back: Vec<Said> = turns.into_iter().flat_map(|turn| turn.parts).collect();
    let words = |of: fn(&Part) -> Option<&str>| said.iter().filter_map(of).collect::<String>();
    assert_eq!(
        joined(&back, |it| if let Said::Text(text) = it {
            Some(text)
        } else {
            None
        }),
        words(|it| if let Part::Text(text) = it {
            Some(text)
        } else {
            None
        })
    );
    assert_eq!(
        joined(&back, |it| if let Said::Reasoning(past) = it {
            Some(&past.text)
        } else {
            None
        }),
        words(|it| if let Part::Reasoning(text) = it {
            Some(text)
        } else {
            None
        })
    );
    let marks = |parts: &[Said]| {
        let mark = |it: &Said| match it {
            Said::Reasoning(past) if past.signature.is_some() || past.redacted.is_some() => Some((
                past.signature.clone(),
                past.redacted.clone(),
                past.wire,
                past.on_text,
            )),
            _ => None,
        };
        parts.iter().filter_map(mark).collect::<Vec<_>>()
    };
    let signed = said.iter().filter_map(|it| {
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
    assert_eq!(marks(&back), expected);
}

/// A page must never run a tool with arguments of which a part is missing.
#[test]
fn a_call_whose_beginning_was_let_go_is_an_error() {
    for (custom, tail) in [(false, ""), (false, "{}"), (true, "end"), (true, "")] {
        let (mut encoder, mut out) = (Ui.encoder(view(1, false)), SseWriter::new(None));
        out.mute(true);
        out.begin_entry(0, 0);
        encoder.remember(
            &Entry::of(
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
            encoder.entry(entry, &mut out);
            out.end_entry();
        }
        let told = blocks(std::str::from_utf8(&out.take()).unwrap());
        let last: Value =
            serde_json::from_str(told.last().unwrap().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(
            (&last["type"], &last["input"]),
            (&json!("tool-input-error"), &json!(tail)),
            "{told:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_resumed_reader_gets_exactly_the_rest((choices, journal) in journals(false)) {
        resumes_everywhere(|| Ui.encoder(view(choices, false)), &journal);
    }

    #[test]
    fn the_message_is_the_whole_answer_and_comes_back((choices, journal) in journals(false)) {
        let view = view(choices, false);
        let message = Message::of(&spelled(Ui.encoder(view.clone()), &journal));
        let answer = Answer::of(journal.iter().flat_map(|entry| &entry.events));
        let reason = answer.reason().unwrap();
        assert!(message.done);
        assert_eq!((message.aborted, message.error.is_some()), (reason == Reason::Cancelled, reason == Reason::Error));
        assert_eq!(message.finish.is_some(), reason != Reason::Cancelled);
        if reason == Reason::Stop {
            let whole: Value = serde_json::from_slice(&Ui.whole(&view, &answer)).unwrap();
            assert_eq!(message.json(), whole);
            comes_back(&whole, answer.choices.first().map(|it| it.parts.as_slice()).unwrap_or_default());
        }
    }
}
