//! Decodes the events of a chat stream.
//!
//! Invariants: only `message-end` completes the stream; the one `Finish` is emitted there. An error
//! ends the stream at any position. Events of an unknown type are not errors: one with a delta is
//! carried unchanged.

mod citations;
mod content;
mod ending;
mod usage;
mod whole;

use serde_json::value::RawValue;

use self::content::ContentReader;
use super::refusal;
use super::shape::{Delta, Envelope, Message, TOOL_PLAN, Tagged};
use crate::codec::Frame;
use crate::codec::json::is_non_empty;
use crate::codec::lenient::Text;
use crate::model::wire::WireId;
use crate::wire::kit::gate::{self, Admitted, Gate};
use crate::wire::kit::sink::{self, Sink};
use crate::wire::{Decode, DecodeError, Decoded};

pub(super) use self::whole::read_whole;

/// Event types with a known shape: an event of such a type that cannot be read is an error.
const KNOWN_EVENTS: [&str; 12] = [
    "message-start",
    "content-start",
    "content-delta",
    "content-end",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "citation-end",
    "message-end",
    "debug",
];

/// The decoder of one stream.
pub(super) struct Decoder {
    gate: Gate,
    content: ContentReader,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        match self.gate.admit(frame, out) {
            Admitted::Nothing => Ok(()),
            Admitted::Foreign => find_error(&frame.data),
            Admitted::Object => match serde_json::from_str::<Envelope<'_>>(&frame.data) {
                Ok(event) => self.read_event(&event, frame, out),
                Err(_) if gate::skip_cut(frame, out) => Ok(()),
                Err(error) => self.read_unexpected(frame, &error, out),
            },
        }
    }

    fn finish(&mut self, _out: &mut Decoded) -> Result<(), DecodeError> {
        self.gate.finish()
    }
}

impl Decoder {
    /// Returns a decoder. Ids that the provider does not send are made from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            gate: Gate::default(),
            content: ContentReader::new(seed),
        }
    }

    fn read_event(
        &mut self,
        event: &Envelope<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        // An event without a `type` takes that of its SSE event name.
        let kind = event.kind.as_ref().map_or(&*frame.name, Text::as_str);
        if is_error(event, kind) {
            return Err(DecodeError::Upstream(Box::new(refusal::read_payload(
                &frame.data,
            ))));
        }
        if kind == "message-end" {
            let none = Delta::default();
            return self.complete(event.delta.as_ref().unwrap_or(&none), frame, out);
        }
        let none = Message::default();
        let message = event.delta.as_ref().and_then(|it| it.message.as_ref());
        let message = message.unwrap_or(&none);
        let index = event.index.map_or(0, |index| index.0);
        let sink = &mut Sink::new(WireId::Cohere, &frame.data, &mut out.events);
        let content = &mut self.content;
        // Known events may have no content, such as `message-start` and `debug`.
        match (kind, message.content, message.tool_calls) {
            ("content-delta", Some(json), _) => content.block_delta(index, json, sink)?,
            ("content-start", Some(json), _) => content.start_block(index, json, sink)?,
            ("content-end", ..) => content.end_block(index),
            ("tool-plan-delta", ..) => {
                content.reasoning(TOOL_PLAN, message.tool_plan.as_ref(), sink);
            }
            ("tool-call-start", _, Some(json)) => content.start_call(index, json, sink)?,
            ("tool-call-delta", _, Some(json)) => content.call_delta(index, json, sink)?,
            ("tool-call-end", ..) => content.end_call(index, sink),
            ("citation-start", ..) => message
                .citations
                .into_iter()
                .for_each(|json| content.citation(json, sink)),
            (known, ..) if KNOWN_EVENTS.contains(&known) => {}
            _ => return self.read_unknown(frame, sink),
        }
        content.logprobs(event.logprobs, sink);
        Ok(())
    }

    fn complete(
        &mut self,
        delta: &Delta<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        // A failed answer has used tokens too, so its usage is read before its error.
        out.usage = delta.usage.and_then(usage::read_usage);
        let finish = ending::finish(
            delta.finish_reason.as_ref(),
            delta.error,
            self.content.has_calls(),
            &frame.data,
        )?;
        // Nothing may follow the `Finish`, so calls that the server left open end before it.
        let sink = &mut Sink::new(WireId::Cohere, &frame.data, &mut out.events);
        self.content.end_all(sink);
        sink.push(finish);
        self.gate.complete(out);
        Ok(())
    }

    /// Handles an event in an unexpected shape, which is an error if its type is known.
    fn read_unexpected(
        &mut self,
        frame: &Frame,
        error: &serde_json::Error,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let tagged: Tagged<'_> = sink::read(WireId::Cohere, &frame.data, "a frame")?;
        let kind = tagged.kind.as_ref().map_or(&*frame.name, Text::as_str);
        if KNOWN_EVENTS.contains(&kind) {
            return Err(DecodeError::unreadable(WireId::Cohere, kind, error));
        }
        let sink = &mut Sink::new(WireId::Cohere, &frame.data, &mut out.events);
        self.read_unknown(frame, sink)
    }

    /// Handles an event of an unknown type: carries it unchanged if it has a delta, else skips it.
    fn read_unknown(&mut self, frame: &Frame, sink: &mut Sink<'_>) -> Result<(), DecodeError> {
        let tagged: Tagged<'_> = sink::read(WireId::Cohere, &frame.data, "a frame")?;
        if tagged.delta.is_some_and(is_non_empty) {
            let whole: &RawValue = sink::read(WireId::Cohere, &frame.data, "a frame")?;
            self.content.raw(whole, sink);
        }
        Ok(())
    }
}

/// True for an event of the type `error`, and for a bare error object, which has a message only.
fn is_error(event: &Envelope<'_>, kind: &str) -> bool {
    let has_text = event
        .message
        .is_some_and(|message| message.get().starts_with('"') && is_non_empty(message));
    kind == "error" || event.delta.is_none() && has_text && !KNOWN_EVENTS.contains(&kind)
}

/// Finds an error in text that is not an event.
fn find_error(text: &str) -> Result<(), DecodeError> {
    let Some(json) = gate::first_object(text) else {
        return Ok(());
    };
    match serde_json::from_str::<Envelope<'_>>(json.get()) {
        Ok(event) if is_error(&event, event.kind.as_ref().map_or("", Text::as_str)) => Err(
            DecodeError::Upstream(Box::new(refusal::read_payload(json.get()))),
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::FrameKind;
    use crate::model::event::{Event, Finish, Raw, Reason, Signature};
    use crate::model::fault::Code;
    use crate::model::fold::{Answer, Part};
    use crate::model::usage::Usage;

    const START: &str = r#"{"type":"message-start","id":"c","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}"#;
    const END: &str = r#"{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":1,"output_tokens":2},"tokens":{"input_tokens":5,"output_tokens":7}}}}"#;

    fn frame(name: &str, data: &str) -> Frame {
        Frame {
            name: name.into(),
            data: data.into(),
            kind: FrameKind::Whole,
        }
    }

    /// Decodes these payloads; returns the events, the last usage and the result.
    fn run<'a>(
        payloads: impl IntoIterator<Item = &'a str>,
    ) -> (Vec<Event>, Option<Usage>, Result<(), DecodeError>) {
        let (mut decoder, mut out, mut events, mut usage) =
            (Decoder::new("seed"), Decoded::default(), Vec::new(), None);
        for payload in payloads {
            out.clear();
            let read = decoder.decode(&frame("", payload), &mut out);
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

    /// Decodes an answer with this content; returns its parts.
    fn parts(content: &[String]) -> Vec<Part> {
        let (events, _, end) = run([START]
            .into_iter()
            .chain(content.iter().map(String::as_str))
            .chain([END]));
        end.unwrap();
        Answer::from_events(&events).choices.remove(0).parts
    }

    fn event(kind: &str, index: u32, member: &str, json: &str) -> String {
        format!(
            r#"{{"type":"{kind}","index":{index},"delta":{{"message":{{"{member}":{json}}}}}}}"#
        )
    }

    fn bare(kind: &str, index: u32) -> String {
        format!(r#"{{"type":"{kind}","index":{index}}}"#)
    }

    fn begin(index: u32, json: &str) -> String {
        event("content-start", index, "content", json)
    }

    fn delta(index: u32, json: &str) -> String {
        event("content-delta", index, "content", json)
    }

    fn plan(text: &str) -> String {
        format!(r#"{{"type":"tool-plan-delta","delta":{{"message":{{"tool_plan":"{text}"}}}}}}"#)
    }

    fn tool(index: u32, id: &str, name: &str) -> String {
        let json = format!(
            r#"{{"id":"{id}","type":"function","function":{{"name":"{name}","arguments":""}}}}"#
        );
        event("tool-call-start", index, "tool_calls", &json)
    }

    fn json(index: u32, piece: &str) -> String {
        let piece = serde_json::Value::from(piece);
        event(
            "tool-call-delta",
            index,
            "tool_calls",
            &format!(r#"{{"function":{{"arguments":{piece}}}}}"#),
        )
    }

    fn mark(member: &str) -> Part {
        let signature = Some(member.into());
        Part::Signature(Signature {
            choice: 0,
            signature,
            redacted: None,
            wire: WireId::Cohere,
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
            wire: WireId::Cohere,
            data: data.into(),
        })
    }

    fn text_part(text: &str) -> Part {
        Part::Text(text.into())
    }

    fn reasoning_part(text: &str) -> Part {
        Part::Reasoning(text.into())
    }

    #[test]
    fn text_deltas_are_decoded_in_order() {
        let content = [
            begin(0, r#"{"type":"text","text":""}"#),
            delta(0, r#"{"text":"Hi \n"}"#),
            delta(0, r#"{"text":"there"}"#),
            bare("content-end", 0),
        ];
        let (events, usage, end) = run([START]
            .into_iter()
            .chain(content.iter().map(String::as_str))
            .chain([END, "[DONE]"]));
        end.unwrap();
        let text = |delta: &str| Event::Text {
            choice: 0,
            delta: delta.into(),
        };
        let finish = Finish {
            choice: 0,
            reason: Reason::Stop,
            native: Some("COMPLETE".into()),
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
        let frame = frame("content-delta", &delta(0, r#"{"text":"plain"}"#));
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
    fn escapes_are_decoded() {
        assert_eq!(
            parts(&[delta(0, r#"{"text":"\u00e9\ud83d"}"#)]),
            [text_part("é\u{fffd}")]
        );
    }

    #[test]
    fn thinking_is_followed_by_a_signature() {
        let content = [
            begin(0, r#"{"type":"thinking","thinking":"let "}"#),
            delta(0, r#"{"thinking":"me see"}"#),
            bare("content-end", 0),
            begin(1, r#"{"type":"text","text":"o"}"#),
            delta(1, r#"{"text":"k"}"#),
        ];
        assert_eq!(
            parts(&content),
            [
                reasoning_part("let me see"),
                mark("thinking"),
                text_part("ok")
            ]
        );
        assert_eq!(
            parts(&content[..2]),
            [reasoning_part("let me see"), mark("thinking")],
            "an answer without text"
        );
    }

    #[test]
    fn a_tool_plan_is_reasoning_before_its_calls() {
        let content = [
            plan("I will "),
            plan("look."),
            tool(0, "a", "f"),
            json(0, "{\"x\":"),
            json(0, " 1}"),
            bare("tool-call-end", 0),
            tool(1, "", "g"),
            bare("tool-call-end", 1),
        ];
        let expected = [
            reasoning_part("I will look."),
            mark("tool_plan"),
            call(0, "a", "f", "{\"x\": 1}"),
            call(1, "call_seed_1", "g", ""),
        ];
        assert_eq!(parts(&content), expected);
        let both = [
            begin(0, r#"{"type":"thinking","thinking":"hm"}"#),
            plan("so"),
            tool(0, "a", "f"),
        ];
        let expected = [
            reasoning_part("hm"),
            mark("thinking"),
            reasoning_part("so"),
            mark("tool_plan"),
            call(0, "a", "f", ""),
        ];
        assert_eq!(parts(&both), expected);
    }

    #[test]
    fn calls_are_distinguished_by_index_and_ended_once() {
        let interleaved = [
            tool(3, "a", "f"),
            tool(5, "b", "g"),
            json(5, "{}"),
            json(3, "[1"),
            json(3, "]"),
            bare("tool-call-end", 5),
        ];
        assert_eq!(
            parts(&interleaved),
            [call(0, "a", "f", "[1]"), call(1, "b", "g", "{}")]
        );
        let repeated = [
            tool(0, "a", "f"),
            json(0, "1"),
            tool(0, "b", "g"),
            json(0, "2"),
            bare("tool-call-end", 0),
            bare("tool-call-end", 0),
        ];
        assert_eq!(
            parts(&repeated),
            [call(0, "a", "f", "1"), call(1, "b", "g", "2")]
        );
        let (events, ..) = run(interleaved.iter().map(String::as_str).chain([END]));
        let ends: Vec<_> = events
            .iter()
            .filter_map(|e| {
                if let Event::ToolCallEnd { index, .. } = e {
                    Some(*index)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(ends, [1, 0]);
        let Some(Event::Finish(finish)) = events.last() else {
            panic!("{events:?}")
        };
        assert_eq!(
            finish.reason,
            Reason::ToolCalls,
            "calls decide, not the provider's reason"
        );
    }

    #[test]
    fn content_without_a_normalized_form_is_raw() {
        let block = r#"{"type":"image","mystery":42}"#;
        let nameless = r#"{"id":"a","function":{"name":""}}"#;
        let newer = r#"{"type":"audio-delta","index":0,"delta":{"message":{"audio":"AAAA"}}}"#;
        let unknown = r#"{"type":"vibe","delta":"good","index":"x"}"#;
        let content = [
            begin(0, block),
            delta(0, r#"{"text":"of an image"}"#),
            bare("content-end", 0),
            delta(0, r#"{"glow":9}"#),
            delta(0, r#"{"text":"ok"}"#),
            event("tool-call-start", 0, "tool_calls", nameless),
            json(7, "{}"),
            newer.to_owned(),
            unknown.to_owned(),
            r#"{"type":"ping"}"#.to_owned(),
            r#"{"type":"debug","prompt":"<BOS>"}"#.to_owned(),
        ];
        let expected = [
            raw(block),
            raw(r#"{"text":"of an image"}"#),
            raw(r#"{"glow":9}"#),
            text_part("ok"),
            raw(nameless),
            raw(r#"{"function":{"arguments":"{}"}}"#),
            raw(newer),
            raw(unknown),
        ];
        assert_eq!(parts(&content), expected);
        let line = r#"{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}},"logprobs":{"text":"a","logprobs":[-0.1]}}"#;
        assert_eq!(
            parts(&[line.to_owned()]),
            [
                text_part("a"),
                raw(r#"{"logprobs":{"text":"a","logprobs":[-0.1]}}"#)
            ]
        );
    }

    #[test]
    fn citations_have_spans_in_the_answer() {
        let cited = |index: u32, members: &str| {
            event(
                "citation-start",
                index,
                "citations",
                &format!(r#"{{"start":0,"end":2,"text":"é!","sources":[]{members}}}"#),
            )
        };
        let content = [
            begin(0, r#"{"type":"thinking","thinking":"hm"}"#),
            begin(1, r#"{"type":"text","text":"é!"}"#),
            cited(0, ""),
            bare("citation-end", 0),
            bare("content-end", 1),
            begin(2, r#"{"type":"text","text":"é!"}"#),
            cited(1, r#","content_index":2"#),
            cited(2, r#","content_index":0,"type":"THINKING_CONTENT""#),
        ];
        let spans: Vec<_> = parts(&content)
            .into_iter()
            .filter_map(|part| {
                if let Part::Citation(it) = part {
                    Some(it.span)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(spans, [Some((0, 2)), Some((2, 4)), None]);
    }

    #[test]
    fn finish_reasons_are_normalized() {
        for (native, reason) in [
            ("COMPLETE", Reason::Stop),
            ("STOP_SEQUENCE", Reason::Stop),
            ("MAX_TOKENS", Reason::Length),
            ("ERROR_LIMIT", Reason::Length),
            ("TOOL_CALL", Reason::ToolCalls),
            ("ERROR_TOXIC", Reason::ContentFilter),
            ("BRAND_NEW", Reason::Stop),
        ] {
            let end = format!(r#"{{"type":"message-end","delta":{{"finish_reason":"{native}"}}}}"#);
            let (events, usage, ended) = run([START, &end]);
            ended.unwrap();
            assert_eq!(
                events,
                [Event::Finish(Box::new(Finish {
                    choice: 0,
                    reason,
                    native: Some(native.into())
                }))]
            );
            assert_eq!(usage, None);
        }
        let (events, ..) = run([START, r#"{"type":"message-end"}"#]);
        assert_eq!(
            events,
            [Event::Finish(Box::new(Finish {
                choice: 0,
                reason: Reason::Stop,
                native: None
            }))]
        );
    }

    #[test]
    fn an_answer_that_failed_is_an_error_with_its_usage() {
        for (delta, expected) in [
            (r#""finish_reason":"ERROR""#, "ended the answer with ERROR"),
            (
                r#""finish_reason":"ERROR","error":"the GPU fell off""#,
                "the GPU fell off",
            ),
            (r#""finish_reason":"COMPLETE","error":"late""#, "late"),
            (r#""finish_reason":"TIMEOUT""#, "TIMEOUT"),
            (r#""finish_reason":"USER_CANCEL""#, "USER_CANCEL"),
            (r#""finish_reason":"ERROR_NEW","error":null"#, "ERROR_NEW"),
            (r#""error":{"odd":true}"#, "failed"),
        ] {
            let end = format!(
                r#"{{"type":"message-end","delta":{{{delta},"usage":{{"tokens":{{"input_tokens":3}}}}}}}}"#
            );
            let (events, usage, ended) = run([START, &end, END]);
            let Err(DecodeError::Upstream(fault)) = ended else {
                panic!("{delta}: {ended:?}")
            };
            assert_eq!((fault.code, fault.retryable), (Code::UpstreamError, true));
            assert!(fault.message.contains(expected), "{}", fault.message);
            assert!(events.is_empty());
            assert_eq!(usage.unwrap().input, Some(3));
        }
    }

    #[test]
    fn an_error_ends_the_stream_at_any_position() {
        for error in [
            r#"{"message":"internal","id":"x"}"#,
            r#"{"type":"error","message":"internal"}"#,
            r#"{"type":"error","error":{"message":"internal"}}"#,
        ] {
            for before in [&[][..], &[START]] {
                let (.., end) = run(before.iter().copied().chain([error, END]));
                let Err(DecodeError::Upstream(fault)) = end else {
                    panic!("an error: {end:?}")
                };
                assert!(fault.message.contains("internal"));
            }
        }
        let named =
            Decoder::new("s").decode(&frame("error", r#"{"detail":1}"#), &mut Decoded::default());
        assert!(matches!(named, Err(DecodeError::Upstream(_))));
        let stray = Frame {
            kind: FrameKind::Stray,
            ..frame("", "oops {\n \"message\": \"internal\"}\nbye")
        };
        assert!(matches!(
            Decoder::new("s").decode(&stray, &mut Decoded::default()),
            Err(DecodeError::Upstream(_))
        ));
        let noise = Frame {
            kind: FrameKind::Stray,
            ..frame("", "hello {")
        };
        let mut out = Decoded::default();
        Decoder::new("s").decode(&noise, &mut out).unwrap();
        assert!(out.marker);
    }

    #[test]
    fn only_message_end_completes_the_stream() {
        assert!(matches!(run([]).2, Err(DecodeError::CutShort)));
        assert!(matches!(
            run([START, &delta(0, r#"{"text":"a"}"#)]).2,
            Err(DecodeError::CutShort)
        ));
        assert!(matches!(
            run([START, "[DONE]"]).2,
            Err(DecodeError::CutShort)
        ));
    }

    #[test]
    fn an_unterminated_last_event_counts_if_its_json_is_complete() {
        for (data, ends) in [(END, true), (END.strip_suffix('}').unwrap(), false)] {
            let (mut decoder, mut out) = (Decoder::new("s"), Decoded::default());
            decoder
                .decode(
                    &Frame {
                        kind: FrameKind::Unterminated,
                        ..frame("message-end", data)
                    },
                    &mut out,
                )
                .unwrap();
            assert_eq!(
                (out.done, decoder.finish(&mut Decoded::default()).is_ok()),
                (ends, ends),
                "{data}"
            );
        }
    }

    #[test]
    fn foreign_markers_are_ignored() {
        let (mut decoder, mut out) = (Decoder::new("s"), Decoded::default());
        for data in [
            "[DONE]",
            "",
            "null",
            START,
            END,
            "[DONE]",
            r#"{"type":"error"}"#,
        ] {
            out.clear();
            decoder.decode(&frame("", data), &mut out).unwrap();
            assert_eq!(
                (out.marker, out.done),
                (!matches!(data, START | END), data == END),
                "{data}"
            );
        }
    }

    #[test]
    fn the_event_name_replaces_a_missing_type() {
        let mut out = Decoded::default();
        Decoder::new("s")
            .decode(
                &frame("message-end", r#"{"delta":{"finish_reason":"COMPLETE"}}"#),
                &mut out,
            )
            .unwrap();
        assert!(out.done);
    }

    #[test]
    fn broken_events_are_errors_without_content() {
        for broken in [
            r#"{"type":"content-delta","index":0"#,
            r#"{"type":"content-delta","index":"secret"}"#,
            r#"{"type":"content-delta","delta":{"message":{"content":"secret"}}}"#,
            r#"{"type":"content-delta","delta":{"message":{"content":{"text":["secret"]}}}}"#,
            r#"{"type":"tool-call-start","delta":{"message":{"tool_calls":["secret"]}}}"#,
            r#"{"type":"tool-plan-delta","delta":{"message":{"tool_plan":["secret"]}}}"#,
            r#"{"type":"message-end","delta":"secret"}"#,
        ] {
            let (.., end) = run([START, broken, END]);
            let Err(error @ DecodeError::Malformed { .. }) = end else {
                panic!("{broken}: {end:?}")
            };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_decoder_state_is_bounded() {
        let many = |kind: fn(u32) -> String| (0..10_000).map(kind).collect::<Vec<_>>();
        for all in [
            many(|index| begin(index, r#"{"type":"new","x":1}"#)),
            many(|index| tool(index, "a", "f")),
        ] {
            assert!(matches!(
                run(all.iter().map(String::as_str)).2,
                Err(DecodeError::Malformed { .. })
            ));
        }
        let texts = many(|index| begin(index, r#"{"type":"text","text":"a"}"#));
        assert!(run(texts.iter().map(String::as_str).chain([END])).2.is_ok());
    }

    proptest! {
        #[test]
        fn any_object_decodes_without_panic(kind in "message-(start|end)|content-(start|delta|end)|tool-(plan-delta|call-(start|delta|end))|citation-start|error|x",
                                  index in prop::option::of(0u32..3),
                                  message in prop::collection::vec(("content|tool_plan|tool_calls|citations",
                                  r#"null|0|"a"|\[\]|\{\}|\{"type":"(text|thinking|y)","text":"b"\}|\{"function":\{"name":"n","arguments":"1"\}\}|\{"start":1,"sources":\[1\]\}"#), 0..3)) {
            let message: Vec<String> = message.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            let index = index.map_or_else(|| "null".to_owned(), |index| index.to_string());
            let data = format!("{{\"type\":\"{kind}\",\"index\":{index},\"delta\":{{\"message\":{{{}}}}}}}", message.join(","));
            let (events, _, end) = run([&*data, END]);
            prop_assert_eq!(events.iter().filter(|event| matches!(event, Event::Finish(_))).count(), usize::from(end.is_ok()), "{}", data);
        }

        #[test]
        fn any_text_decodes_without_panic(data in ".{0,40}", name in "[a-z-]{0,8}") {
            let mut out = Decoded::default();
            if Decoder::new("s").decode(&frame(&name, &data), &mut out).is_ok() {
                prop_assert!(out.events.is_empty());
            }
        }
    }
}
