//! Decodes the events of a Messages stream.
//!
//! Invariants: only `message_stop` completes the stream. The one `Finish` is emitted there, because
//! stop reasons may arrive early and content must not follow a `Finish`. An error ends the stream
//! at any position. Unknown event types are not errors.

mod blocks;
mod citations;
mod ending;
mod usage;
mod whole;

use serde_json::value::RawValue;

use self::blocks::Blocks;
use self::ending::Ending;
use self::usage::UsageCounter;
use super::refusal;
use super::shape::{Envelope, Message, RawDelta, Tagged};
use crate::codec::Frame;
use crate::codec::lenient::Text;
use crate::model::wire::WireId;
use crate::wire::kit::gate::{self, Admitted, Gate};
use crate::wire::kit::sink::{self, Sink};
use crate::wire::{Decode, DecodeError, Decoded};

pub(super) use self::whole::{read_token_count, read_whole};

/// Event types with a known shape: an event of such a type that cannot be read is an error.
const KNOWN_EVENTS: [&str; 6] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
];

/// The decoder of one stream.
pub(super) struct Decoder {
    gate: Gate,
    blocks: Blocks,
    ending: Ending,
    counter: UsageCounter,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        match self.gate.admit(frame, out) {
            Admitted::Nothing => Ok(()),
            Admitted::Foreign => find_error(&frame.data),
            Admitted::Object => match serde_json::from_str::<Envelope<'_>>(&frame.data) {
                Ok(event) => self.read_event(&event, frame, out),
                Err(_) if gate::skip_cut(frame, out) => Ok(()),
                Err(error) => read_unexpected(frame, &error, out),
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
            blocks: Blocks::new(seed),
            ending: Ending::default(),
            counter: UsageCounter::default(),
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
        let index = event.index.map_or(0, |index| index.0);
        let sink = &mut Sink::new(WireId::Anthropic, &frame.data, &mut out.events);
        match (kind, &event.delta, event.content_block, event.message) {
            ("content_block_delta", Some(delta), ..) => self.blocks.delta(index, delta, sink),
            ("content_block_start", _, Some(block), _) => self.blocks.start(index, block, sink),
            ("content_block_stop", ..) => {
                self.blocks.stop(index, sink);
                Ok(())
            }
            ("message_start", .., Some(message)) => self.message_start(message, frame, out),
            ("message_delta", ..) => self.message_delta(event, frame, out),
            ("message_stop", ..) => {
                self.complete(frame, out);
                Ok(())
            }
            (known, ..) if KNOWN_EVENTS.contains(&known) => {
                Err(sink.malformed(format!("{known} without its content")))
            }
            // The API asks its clients to skip unknown event types.
            _ => Ok(()),
        }
    }

    /// Decodes `message_start`. Its message is usually empty, but contains the whole answer where a
    /// program called the tools.
    fn message_start(
        &mut self,
        json: &RawValue,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let sink = &mut Sink::new(WireId::Anthropic, &frame.data, &mut out.events);
        let message: Message<'_> = sink.read(json, "message_start")?;
        for block in message.content.unwrap_or_default().0 {
            self.blocks.whole_block(block, sink)?;
        }
        let native = message.stop_reason.as_ref();
        self.ending.record(native, message.stop_details, sink);
        // The stream may break before another count arrives.
        if let Some(usage) = message.usage {
            self.counter.read_usage(usage)?;
            out.usage = self.counter.initial();
        }
        Ok(())
    }

    fn message_delta(
        &mut self,
        event: &Envelope<'_>,
        frame: &Frame,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let sink = &mut Sink::new(WireId::Anthropic, &frame.data, &mut out.events);
        if let Some(delta) = &event.delta {
            let native = delta.stop_reason.as_ref();
            self.ending.record(native, delta.stop_details, sink);
        }
        // There may be several of these events; the counts of the last one are final.
        if let Some(usage) = event.usage {
            self.counter.read_usage(usage)?;
            out.usage = self.counter.changed();
        }
        Ok(())
    }

    fn complete(&mut self, frame: &Frame, out: &mut Decoded) {
        // Nothing may follow the `Finish`, so blocks that the server left open stop before it.
        let sink = &mut Sink::new(WireId::Anthropic, &frame.data, &mut out.events);
        self.blocks.stop_all(sink);
        sink.push(self.ending.finish(self.blocks.has_calls()));
        out.usage = self.counter.changed();
        self.gate.complete(out);
    }
}

/// True for an error, which wins over whatever else its event contains.
fn is_error(event: &Envelope<'_>, kind: &str) -> bool {
    event.error.is_some() || kind == "error"
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

/// Handles a frame in an unexpected shape: carries a delta of an unknown type unchanged, skips an
/// event of an unknown type, and rejects the others.
fn read_unexpected(
    frame: &Frame,
    error: &serde_json::Error,
    out: &mut Decoded,
) -> Result<(), DecodeError> {
    let tagged: Tagged<'_> = sink::read(WireId::Anthropic, &frame.data, "a frame")?;
    let kind = tagged.kind.as_ref().map_or(&*frame.name, Text::as_str);
    if kind == "content_block_delta"
        && serde_json::from_str::<RawDelta<'_>>(&frame.data)
            .is_ok_and(|frame| is_unknown_delta(&frame))
    {
        // Everything else in the event fits, so only its delta is newer than this code.
        let sink = &mut Sink::new(WireId::Anthropic, &frame.data, &mut out.events);
        return blocks::unknown_delta(sink);
    }
    if KNOWN_EVENTS.contains(&kind) {
        Err(DecodeError::unreadable(WireId::Anthropic, kind, error))
    } else {
        Ok(())
    }
}

/// True for a delta of a type that is unknown here.
fn is_unknown_delta(frame: &RawDelta<'_>) -> bool {
    const KNOWN_DELTAS: [&str; 5] = [
        "text_delta",
        "thinking_delta",
        "signature_delta",
        "input_json_delta",
        "citations_delta",
    ];
    let tagged = frame
        .delta
        .and_then(|delta| serde_json::from_str::<Tagged<'_>>(delta.get()).ok());
    tagged
        .and_then(|tagged| tagged.kind)
        .is_some_and(|kind| !KNOWN_DELTAS.contains(&kind.as_str()))
}

#[cfg(test)]
mod tests {
    use bytestring::ByteString;
    use proptest::prelude::*;

    use super::*;
    use crate::codec::FrameKind;
    use crate::model::event::{Citation, Event, Finish, Raw, Reason, Signature};
    use crate::model::fault::Code;
    use crate::model::fold::{Answer, Part};
    use crate::model::usage::Usage;

    fn frame(name: &str, data: &str) -> Frame {
        Frame {
            name: name.into(),
            data: data.into(),
            kind: FrameKind::Whole,
        }
    }

    /// Decodes a stream of these payloads; returns its events, its last usage and its result.
    fn run<'a>(
        payloads: impl IntoIterator<Item = &'a str>,
    ) -> (Vec<Event>, Option<Usage>, Result<(), DecodeError>) {
        let mut decoder = Decoder::new("seed");
        let (mut out, mut events, mut usage) = (Decoded::default(), Vec::new(), None);
        for data in payloads {
            out.clear();
            if let Err(error) = decoder.decode(&frame("", data), &mut out) {
                return (events, usage, Err(error));
            }
            events.extend(out.events.drain(..));
            usage = out.usage.or(usage);
        }
        out.clear();
        (events, usage, decoder.finish(&mut out))
    }

    /// Decodes these payloads between a start and a proper end; returns the parts of the answer.
    fn parts(content: &[&str]) -> Vec<Part> {
        let (events, _, end) = run([START]
            .into_iter()
            .chain(content.iter().copied())
            .chain([END, STOP]));
        end.unwrap();
        Answer::from_events(&events).choices.remove(0).parts
    }

    const START: &str = r#"{"type":"message_start","message":{"id":"m","type":"message","role":"assistant","model":"c","content":[],
        "stop_reason":null,"stop_details":null,"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}"#;
    const END: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":12}   }"#;
    const STOP: &str = r#"{"type":"message_stop"          }"#;
    const PING: &str = r#"{"type": "ping"}"#;

    fn begin(index: u32, block: &str) -> String {
        format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}  }}"#)
    }

    fn delta(index: u32, delta: &str) -> String {
        format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#)
    }

    fn stop(index: u32) -> String {
        format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
    }

    fn json(index: u32, piece: &str) -> String {
        delta(
            index,
            &format!(r#"{{"type":"input_json_delta","partial_json":{piece:?}}}"#),
        )
    }

    fn tool(index: u32, id: &str) -> String {
        begin(
            index,
            &format!(r#"{{"type":"tool_use","id":"{id}","name":"f","input":{{}}}}"#),
        )
    }

    fn call(index: u16, id: &str, arguments: &str) -> Part {
        Part::ToolCall {
            index,
            id: id.into(),
            name: "f".into(),
            arguments: arguments.into(),
            signature: None,
            custom: false,
        }
    }

    fn raw(data: &str) -> Part {
        Part::Raw(Raw {
            choice: 0,
            wire: WireId::Anthropic,
            data: data.into(),
        })
    }

    fn signature(signature: Option<&str>, redacted: Option<&str>) -> Part {
        let of = |text: Option<&str>| text.map(ByteString::from);
        Part::Signature(Signature {
            choice: 0,
            signature: of(signature),
            redacted: of(redacted),
            wire: WireId::Anthropic,
            on_text: false,
        })
    }

    fn borrowed(payloads: &[String]) -> Vec<&str> {
        payloads.iter().map(String::as_str).collect()
    }

    #[test]
    fn pings_between_text_are_ignored() {
        let content = [
            begin(0, r#"{"type":"text","text":""}"#),
            PING.to_owned(),
            delta(0, r#"{"type":"text_delta","text":"Hi \n"}"#),
            PING.to_owned(),
            delta(0, r#"{"type":"text_delta","text":"there"}"#),
            stop(0),
        ];
        let (events, usage, end) = run([START, PING]
            .into_iter()
            .chain(borrowed(&content))
            .chain([END, STOP]));
        end.unwrap();
        let finish = Finish {
            choice: 0,
            reason: Reason::Stop,
            native: Some("end_turn".into()),
        };
        let text = |delta: &str| Event::Text {
            choice: 0,
            delta: delta.into(),
        };
        assert_eq!(
            events,
            [
                text("Hi \n"),
                text("there"),
                Event::Finish(Box::new(finish))
            ]
        );
        let usage = usage.unwrap();
        assert_eq!(
            (usage.input, usage.cached_input, usage.output),
            (Some(10), Some(3), Some(12))
        );
    }

    #[test]
    fn deltas_are_slices_of_their_frame() {
        let frame = frame(
            "content_block_delta",
            &delta(0, r#"{"type":"text_delta","text":"plain"}"#),
        );
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
    fn thinking_is_followed_by_its_signature() {
        let content = [
            begin(0, r#"{"type":"thinking","thinking":"","signature":""}"#),
            delta(0, r#"{"type":"thinking_delta","thinking":"hm"}"#),
            delta(0, r#"{"type":"signature_delta","signature":"S1"}"#),
            stop(0),
            begin(1, r#"{"type":"thinking","thinking":"","signature":""}"#),
            delta(1, r#"{"type":"signature_delta","signature":"S2"}"#),
            stop(1),
            begin(2, r#"{"type":"redacted_thinking","data":"XX"}"#),
            stop(2),
            begin(
                3,
                r#"{"type":"thinking","thinking":"whole","signature":"S3"}"#,
            ),
            stop(3),
        ];
        let expected = [
            Part::Reasoning("hm".into()),
            signature(Some("S1"), None),
            signature(Some("S2"), None),
            signature(None, Some("XX")),
            Part::Reasoning("whole".into()),
            signature(Some("S3"), None),
        ];
        assert_eq!(parts(&borrowed(&content)), expected);
    }

    #[test]
    fn tool_calls_are_numbered_independently_of_blocks() {
        let content = [
            begin(0, r#"{"type":"text","text":"ok"}"#),
            stop(0),
            tool(1, "a"),
            json(1, ""),
            json(1, "{\"x\":"),
            json(1, "1}"),
            stop(1),
            tool(2, "b"),
            stop(2),
        ];
        assert_eq!(
            parts(&borrowed(&content)),
            [
                Part::Text("ok".into()),
                call(0, "a", "{\"x\":1}"),
                call(1, "b", "")
            ]
        );
    }

    #[test]
    fn interleaved_and_reused_block_indexes_are_distinguished() {
        let interleaved = [
            tool(1, "a"),
            tool(2, "b"),
            json(2, "{}"),
            json(1, "[1"),
            json(1, "]"),
            stop(2),
            stop(1),
        ];
        assert_eq!(
            parts(&borrowed(&interleaved)),
            [call(0, "a", "[1]"), call(1, "b", "{}")]
        );
        let repeated = [tool(0, "a"), json(0, "1"), tool(0, "b"), json(0, "2")];
        assert_eq!(
            parts(&borrowed(&repeated)),
            [call(0, "a", "1"), call(1, "b", "2")]
        );
    }

    #[test]
    fn every_call_is_ended_once_and_before_the_finish() {
        let content = [tool(0, "a"), json(0, "{}"), tool(1, "b"), stop(1)];
        let (events, ..) = run([START]
            .into_iter()
            .chain(borrowed(&content))
            .chain([END, STOP]));
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
        assert!(matches!(events.last(), Some(Event::Finish(_))));
    }

    #[test]
    fn complete_input_is_used_unless_deltas_follow() {
        let whole = r#"{"type":"tool_use","id":"a","name":"f","input":{"x": 1}}"#;
        assert_eq!(
            parts(&borrowed(&[begin(0, whole), stop(0)])),
            [call(0, "a", r#"{"x": 1}"#)]
        );
        assert_eq!(
            parts(&borrowed(&[
                begin(0, whole),
                json(0, ""),
                json(0, "{}"),
                stop(0)
            ])),
            [call(0, "a", "{}")]
        );
    }

    #[test]
    fn calls_without_id_get_one_and_calls_without_name_are_raw() {
        let nameless = r#"{"type":"tool_use","id":"a","name":"","input":{}}"#;
        let content = [
            begin(0, r#"{"type":"tool_use","id":"","name":"f","input":{}}"#),
            stop(0),
            begin(1, nameless),
            stop(1),
        ];
        assert_eq!(
            parts(&borrowed(&content)),
            [call(0, "call_seed_0", ""), raw(nameless)]
        );
    }

    #[test]
    fn server_tools_and_unknown_content_are_raw() {
        let server = r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{}}"#;
        let piece = r#"{"type":"input_json_delta","partial_json":"{\"q\":1}"}"#;
        let result =
            r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[{"url":"u"}]}"#;
        let compaction = r#"{"type":"compaction_delta","content":"short","text":{"odd":true}}"#;
        let content = [
            begin(0, server),
            delta(0, piece),
            stop(0),
            begin(1, result),
            stop(1),
            begin(2, r#"{"type":"compaction","content":null,"name":7}"#),
            delta(2, compaction),
            stop(2),
            begin(3, r#"{"type":"text","text":""}"#),
            delta(3, r#"{"type":"glow_delta","glow":9}"#),
            stop(3),
        ];
        let expected = [
            raw(server),
            raw(piece),
            raw(result),
            raw(r#"{"type":"compaction","content":null,"name":7}"#),
            raw(compaction),
            raw(r#"{"type":"glow_delta","glow":9}"#),
        ];
        assert_eq!(parts(&borrowed(&content)), expected);
    }

    #[test]
    fn citations_are_read_and_unreadable_ones_are_kept() {
        let web = r#"{"type":"web_search_result_location","url":"https://a.b","title":"T","cited_text":"Q","encrypted_index":"E"}"#;
        let location = r#"{"type":"char_location","document_title":"D","cited_text":"Q","start_char_index":1,"end_char_index":2}"#;
        let content = [
            begin(0, r#"{"type":"text","text":"","citations":null}"#),
            delta(
                0,
                &format!(r#"{{"type":"citations_delta","citation":{web}}}"#),
            ),
            delta(
                0,
                &format!(r#"{{"type":"citations_delta","citation":{location}}}"#),
            ),
            delta(0, r#"{"type":"citations_delta","citation":{"title":7}}"#),
            stop(0),
        ];
        let citation = |url: Option<&str>, title: Option<&str>, quote: Option<&str>, data: &str| {
            let of = |text: Option<&str>| text.map(ByteString::from);
            Part::Citation(Citation {
                choice: 0,
                url: of(url),
                title: of(title),
                quote: of(quote),
                span: None,
                data: data.into(),
            })
        };
        let expected = [
            citation(Some("https://a.b"), Some("T"), Some("Q"), web),
            citation(None, Some("D"), Some("Q"), location),
            citation(None, None, None, r#"{"title":7}"#),
        ];
        assert_eq!(parts(&borrowed(&content)), expected);
    }

    #[test]
    fn message_start_may_contain_the_whole_answer() {
        let start = r#"{"type":"message_start","message":{"content":[{"type":"tool_use","id":"a","name":"f","input":{"x":2},
            "caller":{"type":"code"}}],"stop_reason":"tool_use","usage":{"input_tokens":0,"output_tokens":0}}}"#;
        let (events, usage, end) = run([start, STOP]);
        end.unwrap();
        let choice = Answer::from_events(&events).choices.remove(0);
        assert_eq!(choice.parts, [call(0, "a", r#"{"x":2}"#)]);
        assert_eq!(choice.finish.unwrap().reason, Reason::ToolCalls);
        let usage = usage.unwrap();
        assert_eq!((usage.input, usage.output), (Some(0), Some(0)));
    }

    #[test]
    fn stop_reasons_are_normalized() {
        for (native, reason) in [
            ("end_turn", Reason::Stop),
            ("stop_sequence", Reason::Stop),
            ("max_tokens", Reason::Length),
            ("model_context_window_exceeded", Reason::Length),
            ("tool_use", Reason::ToolCalls),
            ("refusal", Reason::ContentFilter),
            ("pause_turn", Reason::Stop),
            ("compaction", Reason::Stop),
            ("brand_new", Reason::Stop),
        ] {
            let end = format!(r#"{{"type":"message_delta","delta":{{"stop_reason":"{native}"}}}}"#);
            let (events, _, ended) = run([START, &end, STOP]);
            ended.unwrap();
            assert_eq!(
                events,
                [Event::Finish(Box::new(Finish {
                    choice: 0,
                    reason,
                    native: Some(native.into())
                }))]
            );
        }
    }

    #[test]
    fn a_refusal_is_explained_once() {
        let end = r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"category":"x","explanation":"Sorry."}}}"#;
        let (events, ..) = run([START, end, end, STOP]);
        assert_eq!(
            events.first(),
            Some(&Event::Refusal {
                choice: 0,
                delta: "Sorry.".into()
            })
        );
        assert_eq!(events.len(), 2, "{events:?}");
    }

    #[test]
    fn finish_reason_without_a_stop_reason_depends_on_calls() {
        let finish = |content: &[String]| {
            let (events, ..) = run([START].into_iter().chain(borrowed(content)).chain([STOP]));
            Answer::from_events(&events)
                .choices
                .remove(0)
                .finish
                .unwrap()
        };
        assert_eq!(
            finish(&[]),
            Finish {
                choice: 0,
                reason: Reason::Stop,
                native: None
            }
        );
        assert_eq!(finish(&[tool(0, "a")]).reason, Reason::ToolCalls);
    }

    #[test]
    fn an_error_ends_the_stream_at_any_position() {
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_9"}"#;
        for before in [&[][..], &[START], &[START, END]] {
            let (.., end) = run(before.iter().copied().chain([error, STOP]));
            let Err(DecodeError::Upstream(fault)) = end else {
                panic!("an error: {end:?}")
            };
            assert_eq!((fault.code, fault.retryable), (Code::Overloaded, true));
            assert_eq!(fault.upstream_request_id.as_deref(), Some("req_9"));
        }
        let beside =
            r#"{"type":"message_delta","delta":{},"error":{"type":"api_error","message":"x"}}"#;
        assert!(matches!(
            run([START, beside]).2,
            Err(DecodeError::Upstream(_))
        ));
    }

    #[test]
    fn an_unframed_error_in_the_body_is_read() {
        let stray = Frame {
            kind: FrameKind::Stray,
            ..frame(
                "",
                "error: {\n \"error\": {\"type\": \"rate_limit_error\"}\n}\nbye",
            )
        };
        let Err(DecodeError::Upstream(fault)) =
            Decoder::new("s").decode(&stray, &mut Decoded::default())
        else {
            panic!("an error")
        };
        assert_eq!(fault.code, Code::RateLimited);
        let noise = Frame {
            kind: FrameKind::Stray,
            ..frame("", "hello {")
        };
        let mut out = Decoded::default();
        Decoder::new("s").decode(&noise, &mut out).unwrap();
        assert!(out.marker);
    }

    #[test]
    fn only_message_stop_completes_the_stream() {
        assert!(matches!(run([START, END]).2, Err(DecodeError::CutShort)));
        assert!(matches!(
            run([START, END, "[DONE]"]).2,
            Err(DecodeError::CutShort)
        ));
        assert!(matches!(run([]).2, Err(DecodeError::CutShort)));
    }

    #[test]
    fn an_unterminated_last_event_counts_if_its_json_is_complete() {
        for (data, ends) in [
            (STOP, true),
            (r#"{"type":"message_st"#, false),
            (r#"{"type":"message_stop""#, false),
        ] {
            let mut decoder = Decoder::new("s");
            let mut out = Decoded::default();
            decoder
                .decode(
                    &Frame {
                        kind: FrameKind::Unterminated,
                        ..frame("message_stop", data)
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
        let mut decoder = Decoder::new("s");
        let mut out = Decoded::default();
        for data in ["[DONE]", "", "null", PING, STOP, "[DONE]"] {
            out.clear();
            decoder.decode(&frame("data", data), &mut out).unwrap();
            assert_eq!(
                (out.marker, out.done),
                (!data.starts_with('{'), data == STOP),
                "{data}"
            );
        }
    }

    #[test]
    fn the_event_name_replaces_a_missing_type() {
        let mut out = Decoded::default();
        let mut decoder = Decoder::new("s");
        decoder
            .decode(&frame("message_stop", "{}"), &mut out)
            .unwrap();
        assert!(out.done);
        let error = Decoder::new("s").decode(&frame("error", r#"{"message":"x"}"#), &mut out);
        assert!(matches!(error, Err(DecodeError::Upstream(_))));
    }

    #[test]
    fn unknown_events_are_skipped_and_broken_known_ones_are_errors() {
        let unknown = r#"{"type":"vibe_check","delta":"a string","index":"x","usage":[]}"#;
        assert!(
            run([START, unknown, r#"{"nothing":1}"#, END, STOP])
                .2
                .is_ok()
        );
        for broken in [
            r#"{"type":"content_block_delta","index":0"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":{"a":"secret"}}}"#,
            r#"{"type":"content_block_start","index":0}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":["secret"]}}"#,
            r#"{"type":"message_start","message":{"content":"secret"}}"#,
            r#"{"type":"message_delta","usage":"secret"}"#,
        ] {
            let (.., end) = run([START, broken, END, STOP]);
            let Err(error @ DecodeError::Malformed { .. }) = end else {
                panic!("{broken}: {end:?}")
            };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn open_blocks_are_bounded() {
        let many: Vec<String> = (0..10_000)
            .map(|index| begin(index, r#"{"type":"text","text":""}"#))
            .collect();
        assert!(matches!(
            run(borrowed(&many)).2,
            Err(DecodeError::Malformed { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_object_decodes_without_panic(kind in "message_start|message_delta|message_stop|content_block_(start|delta|stop)|ping|error|x",
                                  fields in prop::collection::vec(("index|delta|content_block|message|usage|error|content",
                                  r#"null|0|-1|"a"|\[\]|\[1\]|\{\}|\{"type":"text(_delta)?","text":"b"\}|\{"type":"tool_use","name":"n","input":1\}"#), 0..4)) {
            let fields: String = fields.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
            let data = format!("{{\"type\":\"{kind}\"{fields}}}");
            let (events, _, end) = run([&*data, STOP]);
            prop_assert_eq!(events.iter().filter(|event| matches!(event, Event::Finish(_))).count(), usize::from(end.is_ok()), "{}", data);
        }

        #[test]
        fn any_text_decodes_without_panic(data in ".{0,40}", name in "[a-z_]{0,8}") {
            let mut out = Decoded::default();
            if Decoder::new("s").decode(&frame(&name, &data), &mut out).is_ok() {
                prop_assert!(out.events.is_empty());
            }
        }
    }
}
