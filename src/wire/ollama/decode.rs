//! The lines of a chat.
//!
//! Invariants: `done: true` alone completes it; the one `Finish` comes with it. A line with an
//! `error` ends it wherever it stands. Calls come whole, over several lines, and are numbered in
//! their order. State is a few flags.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::refusal;
use super::shape::{self, Call, Line, Message};
use crate::codec::json::says_something;
use crate::codec::text::Text;
use crate::codec::{Frame, FrameKind};
use crate::model::chat::made_call_id;
use crate::model::event::{Event, Events, Finish, Raw, Reason, Signature, ToolCall};
use crate::model::fault::{Code, Fault};
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::{Decode, DecodeError, Decoded};

/// The member that thinking comes in, and goes back in: what stands for the signature that this
/// wire does not have.
pub(super) const THINKING: &str = "thinking";

/// The state of one stream.
pub(super) struct Decoder {
    /// What made ids begin with.
    seed: Box<str>,
    /// Tool calls so far.
    calls: u16,
    /// Thinking has come, and nothing behind it.
    thinking: bool,
    /// Anything at all was said.
    said: bool,
    done: bool,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        if self.done || matches!(&*frame.data, "[DONE]" | "null") {
            out.marker = true;
            return Ok(());
        }
        match self.line(&frame.data, out) {
            Err(DecodeError::Malformed { .. }) if frame.kind == FrameKind::Unended => {
                // A line that was cut off says that the answer was.
                out.marker = true;
                Ok(())
            }
            read => read,
        }
    }

    fn finish(&mut self, _out: &mut Decoded) -> Result<(), DecodeError> {
        if self.done {
            Ok(())
        } else {
            Err(DecodeError::CutShort)
        }
    }
}

impl Decoder {
    /// A decoder that makes the ids which the provider does not send from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            calls: 0,
            thinking: false,
            said: false,
            done: false,
        }
    }

    /// One object.
    pub(super) fn line(&mut self, data: &ByteString, out: &mut Decoded) -> Result<(), DecodeError> {
        let line: Line<'_> = serde_json::from_str(data)
            .map_err(|error| DecodeError::unreadable(WireId::Ollama, "a line", &error))?;
        if line.error.is_some_and(says_something) {
            return Err(DecodeError::Upstream(Box::new(refusal::told(data))));
        }
        if let Some(message) = &line.message {
            self.message(message, data, &mut out.events)?;
        }
        if let Some(logprobs) = line.logprobs.filter(|value| says_something(value)) {
            self.push(raw("logprobs", logprobs), &mut out.events);
        }
        if line.done == Some(true) {
            self.complete(&line, data, out)?;
        }
        Ok(())
    }

    fn message(
        &mut self,
        message: &Message<'_>,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        if let Some(words) = message.thinking.as_ref().filter(|words| !words.is_empty()) {
            self.said = true;
            self.thinking = true;
            out.push(Event::Reasoning {
                choice: 0,
                delta: words.of(data),
            });
        }
        if let Some(text) = message.content.as_ref().filter(|text| !text.is_empty()) {
            self.push(
                Event::Text {
                    choice: 0,
                    delta: text.of(data),
                },
                out,
            );
        }
        for (name, value) in &message.rest {
            self.push(raw(name, value), out);
        }
        message
            .tool_calls
            .iter()
            .flatten()
            .try_for_each(|json| self.call(json, data, out))
    }

    /// What is said behind thinking ends it: then comes the mark that says who thought.
    fn push(&mut self, event: Event, out: &mut Events) {
        self.end_thinking(out);
        self.said = true;
        out.push(event);
    }

    fn end_thinking(&mut self, out: &mut Events) {
        if std::mem::take(&mut self.thinking) {
            let signature = Some(ByteString::from_static(THINKING));
            out.push(Event::Signature(Box::new(Signature {
                choice: 0,
                signature,
                redacted: None,
                wire: WireId::Ollama,
                on_text: false,
            })));
        }
    }

    fn call(
        &mut self,
        json: &RawValue,
        data: &ByteString,
        out: &mut Events,
    ) -> Result<(), DecodeError> {
        let call: Call<'_> = serde_json::from_str(json.get())
            .map_err(|error| DecodeError::unreadable(WireId::Ollama, "a tool call", &error))?;
        let function = call.function.as_ref();
        let Some(name) = function
            .and_then(|it| it.name.as_ref())
            .filter(|name| !name.is_empty())
        else {
            self.push(raw("tool_calls", json), out);
            return Ok(());
        };
        let index = self.calls;
        self.calls = index.checked_add(1).ok_or_else(|| {
            DecodeError::malformed(WireId::Ollama, "more tool calls than can be counted")
        })?;
        let id = call
            .id
            .as_ref()
            .filter(|id| !id.is_empty())
            .map_or_else(|| made_call_id(&self.seed, 0, index), |id| id.of(data));
        self.push(
            Event::ToolCall(Box::new(ToolCall {
                choice: 0,
                index,
                id,
                name: name.of(data),
                signature: None,
                custom: false,
            })),
            out,
        );
        let delta = function
            .and_then(|it| it.arguments)
            .map(|json| arguments(json, data))
            .transpose()?;
        out.extend(
            delta
                .filter(|delta| !delta.is_empty())
                .map(|delta| Event::ToolArguments {
                    choice: 0,
                    index,
                    delta,
                }),
        );
        out.push(Event::ToolCallEnd { choice: 0, index });
        Ok(())
    }

    fn complete(
        &mut self,
        line: &Line<'_>,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        out.usage = self.usage(line);
        let native = line.done_reason.as_ref();
        if native.is_some_and(Text::is_empty) {
            let message = "the upstream lost its model before the answer was complete: ask again";
            return Err(DecodeError::Upstream(Box::new(Fault::new(
                Code::UpstreamError,
                message,
            ))));
        }
        let reason = match native.map(Text::as_str) {
            Some("length") => Reason::Length,
            // Servers have one word for both. Old ones have none at all.
            _ if self.calls > 0 => Reason::ToolCalls,
            _ => Reason::Stop,
        };
        self.end_thinking(&mut out.events);
        out.events.push(Event::Finish(Box::new(Finish {
            choice: 0,
            reason,
            native: native.map(|word| word.of(data)),
        })));
        out.done = true;
        self.done = true;
        Ok(())
    }

    /// What was used. Counts of zero are left out on this wire, but a prompt is never empty: one
    /// that is not counted stood in a cache, so that its length is not known. An output that is not
    /// counted was none only where nothing was said.
    fn usage(&self, line: &Line<'_>) -> Option<Usage> {
        let input = shape::count(line.prompt_eval_count).filter(|tokens| *tokens > 0);
        let output =
            shape::count(line.eval_count).or_else(|| (input.is_some() && !self.said).then_some(0));
        (input.is_some() || output.is_some()).then_some(Usage {
            input,
            output,
            ..Usage::default()
        })
    }
}

/// Arguments are an object; some compatible servers send its text.
fn arguments(json: &RawValue, data: &ByteString) -> Result<ByteString, DecodeError> {
    if !json.get().starts_with('"') {
        return Ok(data.slice_ref(json.get()));
    }
    let text = serde_json::from_str::<Text<'_>>(json.get());
    text.map(|text| text.of(data))
        .map_err(|error| DecodeError::unreadable(WireId::Ollama, "a tool call's arguments", &error))
}

/// A member with no normalized form, under its name.
fn raw(name: &str, value: &RawValue) -> Event {
    let data = format!("{{{}:{}}}", serde_json::Value::from(name), value.get());
    Event::Raw(Box::new(Raw {
        choice: 0,
        wire: WireId::Ollama,
        data: data.into(),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::fold::{Answer, Part};

    const END: &str = r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}"#;

    fn frame(data: &str, kind: FrameKind) -> Frame {
        Frame {
            name: ByteString::new(),
            data: data.into(),
            kind,
        }
    }

    /// What these lines decode to: all events, the last usage, and how it ended.
    fn run<'a>(
        lines: impl IntoIterator<Item = &'a str>,
    ) -> (Vec<Event>, Option<Usage>, Result<(), DecodeError>) {
        let (mut decoder, mut out, mut events, mut usage) =
            (Decoder::new("seed"), Decoded::default(), Vec::new(), None);
        for line in lines {
            out.clear();
            let read = decoder.decode(&frame(line, FrameKind::Whole), &mut out);
            usage = out.usage.or(usage);
            if read.is_err() {
                return (events, usage, read);
            }
            events.extend(out.events.drain(..));
        }
        out.clear();
        let end = decoder.finish(&mut out);
        (events, usage, end)
    }

    fn said(members: &str) -> String {
        format!(
            r#"{{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{{"role":"assistant",{members}}},"done":false}}"#
        )
    }

    /// The parts of the answer that these messages make.
    fn parts(messages: &[&str]) -> Vec<Part> {
        let lines: Vec<String> = messages.iter().map(|it| said(it)).collect();
        let (events, _, end) = run(lines.iter().map(String::as_str).chain([END]));
        end.unwrap();
        Answer::of(&events).choices.remove(0).parts
    }

    fn mark() -> Part {
        let signature = Some("thinking".into());
        Part::Signature(Signature {
            choice: 0,
            signature,
            redacted: None,
            wire: WireId::Ollama,
            on_text: false,
        })
    }

    fn call(index: u16, id: &str, name: &str, arguments: &str) -> Part {
        let (id, name, arguments) = (id.into(), name.into(), arguments.into());
        Part::ToolCall {
            index,
            id,
            name,
            arguments,
            signature: None,
            custom: false,
        }
    }

    fn raw(data: &str) -> Part {
        Part::Raw(Raw {
            choice: 0,
            wire: WireId::Ollama,
            data: data.into(),
        })
    }

    fn finish(end: &str) -> Finish {
        let (events, _, ended) = run([&*said(r#""content":"a""#), end]);
        ended.unwrap();
        Answer::of(&events).choices.remove(0).finish.unwrap()
    }

    #[test]
    fn text_comes_token_by_token() {
        let (events, usage, end) = run([
            &*said(r#""content":"Hi \n""#),
            &said(r#""content":"there""#),
            &said(r#""content":"""#),
            END,
        ]);
        end.unwrap();
        let text = |delta: &str| Event::Text {
            choice: 0,
            delta: delta.into(),
        };
        let finish = Finish {
            choice: 0,
            reason: Reason::Stop,
            native: Some("stop".into()),
        };
        assert_eq!(
            events,
            [
                text("Hi \n"),
                text("there"),
                Event::Finish(Box::new(finish))
            ]
        );
        assert_eq!(
            usage,
            Some(Usage {
                input: Some(5),
                output: Some(7),
                ..Usage::default()
            })
        );
    }

    #[test]
    fn deltas_are_slices_of_their_frame() {
        let frame = frame(&said(r#""content":"plain""#), FrameKind::Whole);
        let mut out = Decoded::default();
        Decoder::new("s").decode(&frame, &mut out).unwrap();
        let [Event::Text { delta, .. }] = &out.events[..] else {
            panic!("one text: {:?}", out.events)
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
    fn thinking_is_marked_once_it_has_ended() {
        let thought = |words: &str| Part::Reasoning(words.into());
        let messages = [
            r#""content":"","thinking":"let ""#,
            r#""content":"","thinking":"me see""#,
            r#""content":"ok""#,
        ];
        assert_eq!(
            parts(&messages),
            [thought("let me see"), mark(), Part::Text("ok".into())]
        );
        assert_eq!(
            parts(&[r#""thinking":"hm","content":"ok""#]),
            [thought("hm"), mark(), Part::Text("ok".into())]
        );
        assert_eq!(
            parts(&[r#""thinking":"hm""#]),
            [thought("hm"), mark()],
            "nothing but thoughts"
        );
    }

    #[test]
    fn calls_come_whole_over_several_lines() {
        let messages = [
            r#""content":"","tool_calls":[{"id":"call_1","function":{"index":0,"name":"f","arguments":{"x": [1, "\u00e3"]}}}]"#,
            r#""content":"","tool_calls":[{"function":{"index":0,"name":"f","arguments":{}}},{"id":"","function":{"name":"g"}}]"#,
            r#""content":"","tool_calls":[{"id":"s","function":{"name":"h","arguments":"{\"y\":2}"}}]"#,
        ];
        let expected = [
            call(0, "call_1", "f", r#"{"x": [1, "\u00e3"]}"#),
            call(1, "call_seed_1", "f", "{}"),
            call(2, "call_seed_2", "g", ""),
            call(3, "s", "h", r#"{"y":2}"#),
        ];
        assert_eq!(parts(&messages), expected);
        let lines: Vec<String> = messages.iter().map(|it| said(it)).collect();
        let (events, ..) = run(lines.iter().map(String::as_str).chain([END]));
        assert_eq!(
            events
                .iter()
                .filter(|event| matches!(event, Event::ToolCallEnd { .. }))
                .count(),
            4
        );
        let Some(Event::Finish(finish)) = events.last() else {
            panic!("{events:?}")
        };
        assert_eq!(
            (finish.reason, finish.native.as_deref()),
            (Reason::ToolCalls, Some("stop"))
        );
    }

    #[test]
    fn what_has_no_form_is_carried_under_its_name() {
        let messages = [
            r#""content":"a","images":["AAAA"],"audio":null,"video":[],"tool_name":"t""#,
            r#""content":"","hologram":{"depth":3}"#,
            r#""tool_calls":[{"function":{"name":"","arguments":{}}},{}]"#,
        ];
        let nameless = r#"{"tool_calls":{"function":{"name":"","arguments":{}}}}"#;
        let expected = [
            Part::Text("a".into()),
            raw(r#"{"images":["AAAA"]}"#),
            raw(r#"{"hologram":{"depth":3}}"#),
            raw(nameless),
            raw(r#"{"tool_calls":{}}"#),
        ];
        assert_eq!(parts(&messages), expected);
        let line =
            r#"{"message":{"content":"a"},"logprobs":[{"token":"a","logprob":-0.1}],"done":false}"#;
        let (events, ..) = run([line, END]);
        assert_eq!(
            Answer::of(&events).choices[0].parts[1],
            raw(r#"{"logprobs":[{"token":"a","logprob":-0.1}]}"#)
        );
    }

    #[test]
    fn reasons() {
        for (native, reason) in [
            ("stop", Reason::Stop),
            ("length", Reason::Length),
            ("load", Reason::Stop),
            ("unload", Reason::Stop),
            ("brand_new", Reason::Stop),
        ] {
            let end = format!(r#"{{"done":true,"done_reason":"{native}"}}"#);
            assert_eq!(
                finish(&end),
                Finish {
                    choice: 0,
                    reason,
                    native: Some(native.into())
                }
            );
        }
        assert_eq!(
            finish(r#"{"done":true}"#),
            Finish {
                choice: 0,
                reason: Reason::Stop,
                native: None
            },
            "old servers give none"
        );
        let (_, usage, end) =
            run([r#"{"done":true,"done_reason":"","prompt_eval_count":3,"eval_count":1}"#]);
        assert!(
            matches!(end, Err(DecodeError::Upstream(fault)) if fault.code == Code::UpstreamError)
        );
        assert_eq!(usage.unwrap().total(), Some(4));
    }

    #[test]
    fn counts_left_out_are_zero_only_where_that_is_certain() {
        let usage = |counts: &str, content: &str| {
            let end = format!(
                r#"{{"message":{{"content":"{content}"}},"done":true,"done_reason":"stop"{counts}}}"#
            );
            run([&*end]).1.map(|usage| (usage.input, usage.output))
        };
        assert_eq!(
            usage(r#","prompt_eval_count":3,"eval_count":4"#, "a"),
            Some((Some(3), Some(4)))
        );
        assert_eq!(
            usage(r#","eval_count":4"#, "a"),
            Some((None, Some(4))),
            "a cached prompt"
        );
        assert_eq!(
            usage(r#","prompt_eval_count":0,"eval_count":4"#, "a"),
            Some((None, Some(4)))
        );
        assert_eq!(
            usage(r#","prompt_eval_count":3"#, ""),
            Some((Some(3), Some(0)))
        );
        assert_eq!(
            usage(r#","prompt_eval_count":3"#, "a"),
            Some((Some(3), None))
        );
        assert_eq!(
            usage(r#","prompt_eval_count":"x","eval_count":-1"#, "a"),
            None
        );
        assert_eq!(usage("", ""), None);
    }

    #[test]
    fn errors_end_the_stream_wherever_they_come() {
        let error = r#"{"error":"model runner has unexpectedly stopped"}"#;
        for before in [vec![], vec![said(r#""content":"a""#)]] {
            let (.., end) = run(before.iter().map(String::as_str).chain([error, END]));
            let Err(DecodeError::Upstream(fault)) = end else {
                panic!("an error: {end:?}")
            };
            assert!(fault.message.contains("unexpectedly stopped"));
        }
        assert!(
            run([r#"{"error":null,"done":false}"#, r#"{"error":""}"#, END])
                .2
                .is_ok()
        );
        assert!(matches!(
            run([r#"{"error":{"message":"x"}}"#]).2,
            Err(DecodeError::Upstream(_))
        ));
    }

    #[test]
    fn only_done_is_an_end() {
        let line = said(r#""content":"a""#);
        assert!(matches!(run([]).2, Err(DecodeError::CutShort)));
        assert!(matches!(run([&*line]).2, Err(DecodeError::CutShort)));
        assert!(matches!(
            run([&*line, "[DONE]"]).2,
            Err(DecodeError::CutShort)
        ));
    }

    #[test]
    fn an_unended_last_line_counts_where_it_is_complete() {
        for (data, ends) in [
            (END, true),
            (END.strip_suffix('}').unwrap(), false),
            ("{\"mess", false),
        ] {
            let (mut decoder, mut out) = (Decoder::new("s"), Decoded::default());
            decoder
                .decode(&frame(data, FrameKind::Unended), &mut out)
                .unwrap();
            assert_eq!(
                (out.done, decoder.finish(&mut Decoded::default()).is_ok()),
                (ends, ends),
                "{data}"
            );
        }
        let error = Decoder::new("s").decode(
            &frame(r#"{"error":"x"}"#, FrameKind::Unended),
            &mut Decoded::default(),
        );
        assert!(matches!(error, Err(DecodeError::Upstream(_))));
    }

    #[test]
    fn nothing_counts_behind_the_end() {
        let (mut decoder, mut out) = (Decoder::new("s"), Decoded::default());
        for data in [END, END, "junk", r#"{"error":"late"}"#] {
            out.clear();
            decoder
                .decode(&frame(data, FrameKind::Whole), &mut out)
                .unwrap();
        }
        assert!(out.marker && out.events.is_empty());
    }

    #[test]
    fn lines_of_another_kind_are_passed_over_and_broken_ones_are_not() {
        assert!(
            run([
                r#"{"status":"pulling"}"#,
                "{}",
                r#"{"message":null,"done":null}"#,
                END
            ])
            .2
            .is_ok()
        );
        for broken in [
            "<html>",
            "{",
            "[]",
            r#"{"message":"secret"}"#,
            r#"{"message":{"content":["secret"]}}"#,
            r#"{"message":{"tool_calls":["secret"]}}"#,
            r#"{"message":{"content":"secret"},"done":"yes"}"#,
        ] {
            let (.., end) = run([broken, END]);
            let Err(error @ DecodeError::Malformed { .. }) = end else {
                panic!("{broken}: {end:?}")
            };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_object_is_survived(fields in prop::collection::vec(("message|done|done_reason|error|logprobs|eval_count",
                                  r#"null|0|-1|true|"a"|\[\]|\[1\]|\{\}|\{"content":"b","x":1\}|\{"tool_calls":\[\{"function":\{"name":"n","arguments":1\}\}\]\}"#), 0..4)) {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let data = format!("{{{}}}", fields.join(","));
            let (events, _, end) = run([&*data, END]);
            prop_assert_eq!(events.iter().filter(|event| matches!(event, Event::Finish(_))).count(), usize::from(end.is_ok()), "{}", data);
        }

        #[test]
        fn any_text_is_survived(data in ".{0,40}", unended in any::<bool>()) {
            let kind = if unended { FrameKind::Unended } else { FrameKind::Whole };
            let mut out = Decoded::default();
            if Decoder::new("s").decode(&frame(&data, kind), &mut out).is_ok() {
                prop_assert!(out.events.is_empty());
            }
        }
    }
}
