//! Decodes the lines of a chat stream into events.
//!
//! Invariants: only `done: true` completes the stream, and the one `Finish` event is emitted with
//! it. A line with an `error` ends the stream at any point. Each tool call arrives complete,
//! several of them over several lines. The state is a few flags.

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

use super::refusal;
use super::shape::{Call, Line, Message};
use crate::codec::json::is_non_empty;
use crate::codec::lenient::Text;
use crate::codec::{Frame, text};
use crate::model::event::{Events, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::kit::calls::{Calls, NewCall};
use crate::wire::kit::gate::{self, Gate};
use crate::wire::kit::mark::MarkedReasoning;
use crate::wire::kit::sink::{self, Sink};
use crate::wire::kit::{ending, usage};
use crate::wire::{Decode, DecodeError, Decoded};

/// Name of the message member that carries thinking in both directions. It is used as the
/// signature of a thinking block, because this wire has none.
const THINKING: &str = "thinking";

/// The state of one stream.
pub(super) struct Decoder {
    gate: Gate,
    calls: Calls,
    thinking: MarkedReasoning,
    /// True once the stream has carried any output.
    has_output: bool,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        if self.gate.is_over(out) {
            return Ok(());
        }
        // Foreign terminators carry no content.
        if matches!(&*frame.data, "[DONE]" | "null") {
            out.marker = true;
            return Ok(());
        }
        match self.read_line(&frame.data, out) {
            Err(DecodeError::Malformed { .. }) if gate::skip_cut(frame, out) => Ok(()),
            read => read,
        }
    }

    fn finish(&mut self, _out: &mut Decoded) -> Result<(), DecodeError> {
        self.gate.finish()
    }
}

/// Decodes a non-streaming body, which has the form of one line of a stream.
pub(super) fn read_whole(body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
    let (mut decoder, mut out) = (Decoder::new(seed), Decoded::default());
    decoder.read_line(&text::from_bytes(body), &mut out)?;
    decoder.finish(&mut out)?;
    Ok((out.events, out.usage))
}

impl Decoder {
    /// Creates a decoder that generates missing call ids from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            gate: Gate::default(),
            calls: Calls::new(seed),
            thinking: MarkedReasoning::default(),
            has_output: false,
        }
    }

    /// Decodes one line, a JSON object.
    fn read_line(&mut self, data: &ByteString, out: &mut Decoded) -> Result<(), DecodeError> {
        let line: Line<'_> = sink::read(WireId::Ollama, data, "a line")?;
        // `error: null` and `error: ""` report nothing.
        if line.error.is_some_and(is_non_empty) {
            return Err(DecodeError::Upstream(Box::new(refusal::read_payload(data))));
        }
        let sink = &mut Sink::new(WireId::Ollama, data, &mut out.events);
        if let Some(message) = &line.message {
            self.read_message(message, sink)?;
        }
        if let Some(logprobs) = line.logprobs.filter(|value| is_non_empty(value)) {
            self.begin_output(sink);
            sink.raw_member("logprobs", logprobs);
        }
        if line.done.0 {
            self.complete(&line, data, out)?;
        }
        Ok(())
    }

    fn read_message(
        &mut self,
        message: &Message<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), DecodeError> {
        // Thinking goes first: a line that has both precedes its text with the thinking.
        if let Some(delta) = sink.slice(message.thinking.as_ref()) {
            self.has_output = true;
            self.thinking.write(THINKING, delta, sink);
        }
        if let Some(delta) = sink.slice(message.content.as_ref()) {
            self.begin_output(sink);
            sink.text(delta);
        }
        for (name, value) in &message.rest {
            self.begin_output(sink);
            sink.raw_member(name, value);
        }
        message
            .tool_calls
            .0
            .iter()
            .try_for_each(|json| self.read_call(json, sink))
    }

    /// Prepares for output other than thinking: it ends the thinking before it.
    fn begin_output(&mut self, sink: &mut Sink<'_>) {
        self.thinking.end(sink);
        self.has_output = true;
    }

    fn read_call(&mut self, json: &RawValue, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let call: Call<'_> = sink.read(json, "a tool call")?;
        let function = call.function.as_ref();
        self.begin_output(sink);
        let Some(name) = sink.slice(function.and_then(|it| it.name.as_ref())) else {
            // Without a name no client could answer the call, so it is passed on as raw JSON.
            sink.raw_member("tool_calls", json);
            return Ok(());
        };
        let id = sink.slice(call.id.as_ref());
        let number = self.calls.start(NewCall::function(id, name), sink)?;
        if let Some(json) = function.and_then(|it| it.arguments) {
            let arguments = read_arguments(json, sink)?;
            sink.arguments(number, arguments);
        }
        sink.end_call(number);
        Ok(())
    }

    fn complete(
        &mut self,
        line: &Line<'_>,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        out.usage = self.read_usage(line);
        let native = line.done_reason.as_ref();
        // Ollama sends an empty `done_reason` when the connection to its model runner closed.
        if native.is_some_and(Text::is_empty) {
            let message = "the upstream's model runner stopped before the answer was complete: \
                           retry the request";
            return Err(DecodeError::Upstream(Box::new(Fault::new(
                Code::UpstreamError,
                message,
            ))));
        }
        // Servers report `stop` for tool calls too, and old servers report no reason at all.
        let reason = native
            .filter(|native| native.as_str() == "length")
            .map(|_| Reason::Length);
        let sink = &mut Sink::new(WireId::Ollama, data, &mut out.events);
        self.thinking.end(sink);
        let native = sink.slice(native);
        sink.push(ending::finish(0, reason, native, self.calls.any()));
        self.gate.complete(out);
        Ok(())
    }

    /// Returns the token usage that the last line reports.
    ///
    /// This wire omits counts of zero. A prompt is never empty, so a missing prompt count means
    /// that the prompt was cached and its length is unknown. A missing output count means zero only
    /// if the stream carried no output.
    fn read_usage(&self, line: &Line<'_>) -> Option<Usage> {
        let input = line.prompt_eval_count.0.filter(|tokens| *tokens > 0);
        let output = line
            .eval_count
            .0
            .or_else(|| (input.is_some() && !self.has_output).then_some(0));
        usage::known(Usage {
            input,
            output,
            ..Usage::default()
        })
    }
}

/// Returns the arguments of a call as JSON text. Ollama sends an object; some compatible servers
/// send a string that contains its JSON.
fn read_arguments(json: &RawValue, sink: &Sink<'_>) -> Result<ByteString, DecodeError> {
    if !json.get().starts_with('"') {
        return Ok(sink.frame.slice_ref(json.get()));
    }
    let text: Text<'_> = sink.read(json, "a tool call's arguments")?;
    Ok(text.share(sink.frame))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::FrameKind;
    use crate::model::event::{Event, Finish, Raw, Signature};
    use crate::model::fold::{Answer, Part};

    const END: &str = r#"{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":7}"#;

    fn frame(data: &str, kind: FrameKind) -> Frame {
        Frame {
            name: ByteString::new(),
            data: data.into(),
            kind,
        }
    }

    /// Decodes these lines; returns all events, the last usage and the result of the end.
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

    fn message_line(members: &str) -> String {
        format!(
            r#"{{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{{"role":"assistant",{members}}},"done":false}}"#
        )
    }

    /// Returns the parts of the answer that these messages add up to.
    fn parts(messages: &[&str]) -> Vec<Part> {
        let lines: Vec<String> = messages.iter().map(|it| message_line(it)).collect();
        let (events, _, end) = run(lines.iter().map(String::as_str).chain([END]));
        end.unwrap();
        Answer::from_events(&events).choices.remove(0).parts
    }

    fn thinking_signature() -> Part {
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
        let (events, _, ended) = run([&*message_line(r#""content":"a""#), end]);
        ended.unwrap();
        Answer::from_events(&events)
            .choices
            .remove(0)
            .finish
            .unwrap()
    }

    #[test]
    fn text_deltas_become_text_events() {
        let (events, usage, end) = run([
            &*message_line(r#""content":"Hi \n""#),
            &message_line(r#""content":"there""#),
            &message_line(r#""content":"""#),
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
        let frame = frame(&message_line(r#""content":"plain""#), FrameKind::Whole);
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
    fn thinking_is_signed_once_when_it_ends() {
        let thought = |words: &str| Part::Reasoning(words.into());
        let messages = [
            r#""content":"","thinking":"let ""#,
            r#""content":"","thinking":"me see""#,
            r#""content":"ok""#,
        ];
        assert_eq!(
            parts(&messages),
            [
                thought("let me see"),
                thinking_signature(),
                Part::Text("ok".into())
            ]
        );
        assert_eq!(
            parts(&[r#""thinking":"hm","content":"ok""#]),
            [thought("hm"), thinking_signature(), Part::Text("ok".into())]
        );
        assert_eq!(
            parts(&[r#""thinking":"hm""#]),
            [thought("hm"), thinking_signature()],
            "thinking only"
        );
    }

    #[test]
    fn complete_calls_arrive_over_several_lines() {
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
        let lines: Vec<String> = messages.iter().map(|it| message_line(it)).collect();
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
    fn unknown_members_become_raw_events_under_their_name() {
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
            Answer::from_events(&events).choices[0].parts[1],
            raw(r#"{"logprobs":[{"token":"a","logprob":-0.1}]}"#)
        );
    }

    #[test]
    fn done_reasons_map_to_finish_reasons() {
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
            "old servers send no done_reason"
        );
        let (_, usage, end) =
            run([r#"{"done":true,"done_reason":"","prompt_eval_count":3,"eval_count":1}"#]);
        assert!(
            matches!(end, Err(DecodeError::Upstream(fault)) if fault.code == Code::UpstreamError)
        );
        assert_eq!(usage.unwrap().total(), Some(4));
    }

    #[test]
    fn missing_counts_are_zero_only_when_that_is_certain() {
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
    fn an_error_line_ends_the_stream_at_any_point() {
        let error = r#"{"error":"model runner has unexpectedly stopped"}"#;
        for before in [vec![], vec![message_line(r#""content":"a""#)]] {
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
    fn only_done_true_completes_the_stream() {
        let line = message_line(r#""content":"a""#);
        assert!(matches!(run([]).2, Err(DecodeError::CutShort)));
        assert!(matches!(run([&*line]).2, Err(DecodeError::CutShort)));
        assert!(matches!(
            run([&*line, "[DONE]"]).2,
            Err(DecodeError::CutShort)
        ));
    }

    #[test]
    fn a_last_line_without_newline_counts_if_it_is_complete() {
        for (data, ends) in [
            (END, true),
            (END.strip_suffix('}').unwrap(), false),
            ("{\"mess", false),
        ] {
            let (mut decoder, mut out) = (Decoder::new("s"), Decoded::default());
            decoder
                .decode(&frame(data, FrameKind::Unterminated), &mut out)
                .unwrap();
            assert_eq!(
                (out.done, decoder.finish(&mut Decoded::default()).is_ok()),
                (ends, ends),
                "{data}"
            );
        }
        let error = Decoder::new("s").decode(
            &frame(r#"{"error":"x"}"#, FrameKind::Unterminated),
            &mut Decoded::default(),
        );
        assert!(matches!(error, Err(DecodeError::Upstream(_))));
    }

    #[test]
    fn lines_after_the_end_are_ignored() {
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
    fn other_objects_are_skipped_and_broken_lines_are_errors() {
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
        fn no_object_breaks_the_decoder(fields in prop::collection::vec(("message|done|done_reason|error|logprobs|eval_count",
                                  r#"null|0|-1|true|"a"|\[\]|\[1\]|\{\}|\{"content":"b","x":1\}|\{"tool_calls":\[\{"function":\{"name":"n","arguments":1\}\}\]\}"#), 0..4)) {
            let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let data = format!("{{{}}}", fields.join(","));
            let (events, _, end) = run([&*data, END]);
            prop_assert_eq!(events.iter().filter(|event| matches!(event, Event::Finish(_))).count(), usize::from(end.is_ok()), "{}", data);
        }

        #[test]
        fn no_text_breaks_the_decoder(data in ".{0,40}", unended in any::<bool>()) {
            let kind = if unended { FrameKind::Unterminated } else { FrameKind::Whole };
            let mut out = Decoded::default();
            if Decoder::new("s").decode(&frame(&data, kind), &mut out).is_ok() {
                prop_assert!(out.events.is_empty());
            }
        }
    }
}
