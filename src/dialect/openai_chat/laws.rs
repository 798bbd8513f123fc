//! The laws of the dialect, over random journals.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{OpenaiChat, chat};
use crate::dialect::journals::{any_journal, assert_resumes_everywhere, encoded, sse_events, view};
use crate::dialect::{Dialect as _, View};
use crate::model::chat::{Part as PastPart, PastReasoning};
use crate::model::entry::Entry;
use crate::model::event::{Event, Reason};
use crate::model::fold::{Answer, Part};

/// The chunks of one stream, folded as a client does it.
#[derive(Default)]
struct Folded {
    choices: Vec<Choice>,
    usage: Option<Value>,
    error: Option<Value>,
    done: bool,
}

#[derive(Default, Debug)]
struct Choice {
    begun: bool,
    text: String,
    reasoning: String,
    refusal: String,
    details: Vec<Value>,
    annotations: Vec<Value>,
    calls: Vec<Value>,
    finish: Option<String>,
    own: Option<String>,
}

impl Folded {
    fn of(sse: &[String], view: &View) -> Self {
        let mut folded = Self::default();
        for block in sse {
            assert!(
                !folded.done && folded.error.is_none(),
                "nothing may follow the end: {block}"
            );
            let data = block.strip_prefix("data: ").expect("a nameless event");
            assert!(
                !data.contains(['\n', '\u{85}', '\u{2028}']),
                "no characters that some clients take for line ends: {data:?}"
            );
            if data == "[DONE]" {
                folded.done = true;
            } else {
                folded.add(&serde_json::from_str(data).unwrap(), view);
            }
        }
        folded
    }

    fn add(&mut self, chunk: &Value, view: &View) {
        if let Some(error) = chunk.get("error") {
            self.error = Some(error.clone());
            return;
        }
        assert_eq!(chunk["id"], format!("chatcmpl-{}", view.start.stream));
        assert_eq!(
            (&chunk["object"], &chunk["model"]),
            (&json!("chat.completion.chunk"), &json!("smart"))
        );
        assert_eq!(chunk["created"], view.start.created);
        if let Some(usage) = chunk.get("usage") {
            assert_eq!(chunk["choices"], json!([]));
            assert!(
                self.usage.replace(usage.clone()).is_none(),
                "usage comes once"
            );
        }
        for choice in chunk["choices"].as_array().unwrap() {
            let at = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            self.choices
                .resize_with(self.choices.len().max(at + 1), Choice::default);
            self.choices[at].add(choice, chunk["sluicegate"]["reason"].as_str());
        }
    }
}

fn join(list: &mut Vec<Value>, more: &Value) {
    for item in more.as_array().into_iter().flatten() {
        assert_eq!(item["index"], list.len(), "items are numbered");
        list.push(item.clone());
    }
}

impl Choice {
    fn add(&mut self, choice: &Value, own: Option<&str>) {
        let delta = &choice["delta"];
        assert!(self.finish.is_none(), "nothing follows the finish_reason");
        assert_eq!(
            delta["role"] == "assistant",
            !self.begun,
            "the role comes first and once"
        );
        self.begun = true;
        for (field, name) in [
            (&mut self.text, "content"),
            (&mut self.reasoning, "reasoning_content"),
            (&mut self.refusal, "refusal"),
        ] {
            field.push_str(delta[name].as_str().unwrap_or_default());
        }
        join(&mut self.details, &delta["reasoning_details"]);
        join(&mut self.annotations, &delta["annotations"]);
        delta["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .for_each(|call| self.call(call));
        self.finish = choice["finish_reason"].as_str().map(Into::into);
        self.own = own.map(Into::into);
    }

    fn call(&mut self, piece: &Value) {
        let at = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
        if at == self.calls.len() {
            assert!(piece["id"].is_string() && piece["type"].is_string());
            self.calls.push(piece.clone());
            return;
        }
        assert!(piece.get("id").is_none(), "an id comes once");
        let (kind, input) = if self.calls[at]["type"] == "custom" {
            ("custom", "input")
        } else {
            ("function", "arguments")
        };
        let known = self.calls[at][kind][input].as_str().unwrap().to_owned();
        self.calls[at][kind][input] = (known + piece[kind][input].as_str().unwrap()).into();
    }

    /// Returns the choice as the message of a whole answer.
    fn message(&self) -> Value {
        let text = |text: &str| {
            if text.is_empty() {
                Value::Null
            } else {
                text.into()
            }
        };
        let mut message = json!({"role": "assistant", "content": text(&self.text), "refusal": text(&self.refusal)});
        if !self.reasoning.is_empty() {
            message["reasoning_content"] = self.reasoning.clone().into();
        }
        let unnumbered = |list: &[Value]| {
            let mut list = list.to_vec();
            list.iter_mut()
                .for_each(|item| drop(item.as_object_mut().unwrap().remove("index")));
            Value::from(list)
        };
        for (name, list) in [
            ("tool_calls", &self.calls),
            ("annotations", &self.annotations),
        ] {
            if !list.is_empty() {
                message[name] = unnumbered(list);
            }
        }
        if !self.details.is_empty() {
            message["reasoning_details"] = self.details.clone().into();
        }
        message
    }
}

/// Returns the calls of a choice in the JSON of the dialect.
fn expected_calls(parts: &[Part]) -> Vec<Value> {
    let call = |part: &Part| match part {
        Part::ToolCall {
            index,
            id,
            name,
            arguments,
            signature,
            custom,
        } => {
            let (kind, input) = if *custom {
                ("custom", "input")
            } else {
                ("function", "arguments")
            };
            let mut call = json!({"index": index, "id": &**id, "type": kind, kind: {"name": &**name, input: arguments}});
            if let Some(signature) = signature {
                call["extra_content"] = json!({"google": {"thought_signature": &**signature}});
            }
            Some(call)
        }
        _ => None,
    };
    parts.iter().filter_map(call).collect()
}

fn assert_same_content(folded: &Folded, answer: &Answer, asked: u16) {
    let reason = answer.reason().unwrap();
    assert_eq!(folded.done, reason != Reason::Error);
    assert_eq!(folded.error.is_some(), reason == Reason::Error);
    assert_eq!(folded.usage.is_some(), reason != Reason::Error);
    let no_content = reason == Reason::Cancelled
        && folded
            .choices
            .iter()
            .all(|choice| choice.message() == Choice::default().message());
    assert!(!no_content || folded.choices.iter().any(|choice| choice.begun));
    if reason == Reason::Stop {
        assert_eq!(
            folded.choices.len(),
            usize::from(asked),
            "every choice has a finish_reason"
        );
    }
    for (at, choice) in answer.choices.iter().enumerate() {
        let empty = Choice::default();
        let written = folded.choices.get(at).unwrap_or(&empty);
        assert_eq!(
            (&written.text, &written.reasoning, &written.refusal),
            (&choice.text(), &choice.reasoning(), &choice.refusal())
        );
        assert_eq!(written.calls, expected_calls(&choice.parts));
        let cited = choice
            .parts
            .iter()
            .filter(|part| matches!(part, Part::Citation(it) if it.url.is_some()));
        assert_eq!(written.annotations.len(), cited.count());
        assert_same_signatures(&written.details, &choice.parts);
        match reason {
            Reason::Stop => assert_eq!(
                written.finish.as_deref(),
                choice.finish.as_ref().map(|finish| finish.reason.name())
            ),
            Reason::Cancelled if written.begun => assert_eq!(
                (written.finish.as_deref(), written.own.as_deref()),
                (Some("stop"), Some("cancelled"))
            ),
            _ => assert_eq!(written.finish, None),
        }
    }
}

fn assert_same_signatures(details: &[Value], parts: &[Part]) {
    let signed: Vec<_> = parts
        .iter()
        .filter_map(|part| {
            if let Part::Signature(it) = part {
                Some(it)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(details.len(), signed.len());
    for (item, signature) in details.iter().zip(signed) {
        assert_eq!(item["signature"].as_str(), signature.signature.as_deref());
        assert_eq!(item["data"].as_str(), signature.redacted.as_deref());
        assert_eq!(item["on_text"] == true, signature.on_text);
    }
}

/// Asserts that a message which a client sends back is read as the choice was.
fn assert_round_trip(message: &Value, parts: &[Part]) {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "?"}, message]});
    let chat = chat::translate(body.to_string().as_bytes()).unwrap();
    let back = chat
        .messages
        .get(1)
        .map(|turn| turn.parts.as_slice())
        .unwrap_or_default();
    let past = |on_text: bool| {
        let of = move |part: &PastPart| {
            if let PastPart::Reasoning(it) = part {
                Some(it.clone())
            } else {
                None
            }
        };
        back.iter()
            .filter_map(of)
            .filter(move |it| it.on_text == on_text)
            .collect::<Vec<PastReasoning>>()
    };
    let joined =
        |part: fn(&Part) -> Option<&str>| parts.iter().filter_map(part).collect::<String>();
    let reasoning = joined(|part| {
        if let Part::Reasoning(text) = part {
            Some(text)
        } else {
            None
        }
    });
    assert_eq!(
        past(false)
            .iter()
            .map(|it| it.text.as_str())
            .collect::<String>(),
        reasoning
    );
    let text = back.iter().filter_map(|part| {
        if let PastPart::Text(text) = part {
            Some(text.as_str())
        } else {
            None
        }
    });
    assert_eq!(
        text.collect::<String>(),
        joined(|part| if let Part::Text(text) = part {
            Some(text)
        } else {
            None
        })
    );
    for on_text in [false, true] {
        let signed = parts.iter().enumerate().filter_map(|(at, part)| {
            if let Part::Signature(it) = part {
                Some((at, it))
            } else {
                None
            }
        });
        let signed: Vec<_> = signed.filter(|(_, it)| it.on_text == on_text).collect();
        let marked: Vec<_> = past(on_text)
            .into_iter()
            .filter(|it| it.signature.is_some() || it.redacted.is_some())
            .collect();
        assert_eq!(marked.len(), signed.len());
        for (back, (at, it)) in marked.iter().zip(signed) {
            assert_eq!(
                (back.signature.as_deref(), back.redacted.as_deref()),
                (it.signature.as_deref(), it.redacted.as_deref())
            );
            assert_eq!(back.wire, Some(it.wire));
            if let (Some(Part::Reasoning(text)), None, false) =
                (parts[..at].last(), &it.redacted, on_text)
            {
                assert!(back.text.ends_with(text), "{back:?} signs {text:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_resumed_reader_gets_exactly_the_rest((choices, journal) in any_journal(false)) {
        assert_resumes_everywhere(|| OpenaiChat.encoder(view(choices, false)), &journal);
    }

    #[test]
    fn a_resumed_raw_reader_gets_exactly_the_rest((choices, journal) in any_journal(true)) {
        assert_resumes_everywhere(|| OpenaiChat.encoder(view(choices, true)), &journal);
    }

    #[test]
    fn the_chunks_hold_the_content_of_the_events((choices, journal) in any_journal(false)) {
        let view = view(choices, false);
        let folded = Folded::of(&encoded(OpenaiChat.encoder(view.clone()), &journal), &view);
        let answer = Answer::from_events(journal.iter().flat_map(|entry| &entry.events));
        assert_same_content(&folded, &answer, choices);
    }

    #[test]
    fn the_whole_answer_is_the_fold_of_its_chunks_and_round_trips((choices, journal) in any_journal(false)) {
        let view = view(choices, false);
        let folded = Folded::of(&encoded(OpenaiChat.encoder(view.clone()), &journal), &view);
        let answer = Answer::from_events(journal.iter().flat_map(|entry| &entry.events));
        if answer.reason() != Some(Reason::Stop) {
            return Ok(());
        }
        let whole: Value = serde_json::from_slice(&OpenaiChat.whole(&view, &answer)).unwrap();
        assert_eq!(Some(&whole["usage"]), folded.usage.as_ref());
        assert_eq!(whole["choices"].as_array().unwrap().len(), folded.choices.len());
        for ((whole, written), choice) in whole["choices"].as_array().unwrap().iter().zip(&folded.choices).zip(&answer.choices) {
            assert_eq!(whole["message"], written.message());
            assert_eq!(whole["finish_reason"].as_str(), written.finish.as_deref());
            assert_round_trip(&whole["message"], &choice.parts);
        }
    }

    #[test]
    fn payloads_pass_unchanged_and_only_our_end_is_added((choices, journal) in any_journal(true)) {
        let sse = encoded(OpenaiChat.encoder(view(choices, true)), &journal);
        let raws: Vec<String> = journal.iter().filter_map(raw_block).collect();
        assert_eq!(sse[..raws.len()], raws);
        let ours = &sse[raws.len()..];
        let end = journal.iter().flat_map(|entry| &entry.events).find_map(|event| if let Event::End(end) = event { Some(end.reason) } else { None });
        match end.unwrap() {
            Reason::Cancelled => assert!(ours.len() > 2 && ours.last().unwrap() == "data: [DONE]"),
            Reason::Error => assert!(ours.len() == 1 && ours[0].starts_with("data: {\"error\":")),
            _ => assert_eq!(ours, ["data: [DONE]"]),
        }
    }
}

fn raw_block(entry: &Entry) -> Option<String> {
    entry
        .raw
        .as_ref()
        .map(|raw| sse_events(&format!("data: {}\n\n", raw.data)).concat())
}
