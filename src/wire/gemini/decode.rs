//! Decodes the frames of `streamGenerateContent` into events.
//!
//! Invariants: no frame is terminal. Every chunk may carry a finish reason, and content or an error
//! may follow it: the last one counts and is emitted when the body has ended. The state is bounded:
//! choices, calls, and the pieces of one open call per choice.

use bytestring::ByteString;
use serde_json::value::RawValue;

use super::choice::{Choice, Sink};
use super::schema::{Candidate, Chunk, Part, UsageMetadata, raw_parts};
use super::{finish, malformed, refusal};
use crate::codec::{Frame, FrameKind};
use crate::model::event::{Event, Reason};
use crate::model::fault::{Code, Fault};
use crate::model::usage::Usage;
use crate::wire::{Decode, DecodeError, Decoded};

/// Maximum number of choices of one answer (OpenAI allows 128, Gemini 8).
const MAX_CHOICES: u64 = 128;

/// The state of one stream. It holds content, so neither it nor the types of its fields implement
/// `Debug`.
pub(super) struct Decoder {
    /// Seed of the ids that are generated for calls without one.
    seed: String,
    /// The choices by index; see [`Choice::begun`].
    choices: Vec<Choice>,
    /// The provider's reason for blocking the prompt.
    blocked: Option<ByteString>,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let text = frame.data.trim();
        match frame.kind {
            // `[DONE]` is OpenAI's marker, which a proxy may add. Gemini has no marker.
            _ if text.is_empty() || text == "[DONE]" => out.marker = true,
            FrameKind::Whole | FrameKind::Exception => self.json(text, &frame.data, out)?,
            FrameKind::Unterminated => self.trailing(text, &frame.data, out)?,
            // Google writes an error in mid-stream as a bare JSON object without `data:`.
            FrameKind::Stray => match find_json(text) {
                Some(json) => self.trailing(json, &frame.data, out)?,
                None => out.marker = true,
            },
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        // A blocked prompt has no candidates, but clients expect a choice that ends.
        if self.blocked.is_some() && !self.choices.iter().any(|choice| choice.begun) {
            self.choice(0)?;
        }
        // A blocked prompt ends every choice, even without a finish reason.
        let unfinished =
            |choice: &Choice| choice.begun && choice.finish.is_none() && self.blocked.is_none();
        if self.choices.iter().any(unfinished) || !self.choices.iter().any(|choice| choice.begun) {
            return Err(DecodeError::CutShort);
        }
        for (number, choice) in (0..)
            .zip(&mut self.choices)
            .filter(|(_, choice)| choice.begun)
        {
            let mut sink = Sink {
                frame: &ByteString::new(),
                choice: number,
                events: &mut out.events,
            };
            choice.close_call(&mut sink);
            sink.events.push(Event::Finish(Box::new(
                choice.finish_event(number, self.blocked.as_ref()),
            )));
        }
        fail_if_no_choice_succeeded(out)
    }
}

impl Decoder {
    /// Creates a decoder that generates missing call ids from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.to_owned(),
            choices: Vec::new(),
            blocked: None,
        }
    }

    /// Decodes a chunk or a list of chunks. Google sometimes wraps errors in a list.
    fn json(
        &mut self,
        text: &str,
        frame: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        if !text.starts_with('[') {
            return self.chunk(text, frame, out);
        }
        let list: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        list.into_iter()
            .try_for_each(|chunk| self.chunk(chunk.get(), frame, out))
    }

    /// Decodes the unframed end of a body: complete JSON values, or one that was cut off.
    fn trailing(
        &mut self,
        text: &str,
        frame: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
            // JSON that breaks off here was truncated by the end of the body.
            self.json(value.map_err(|_| DecodeError::CutShort)?.get(), frame, out)?;
        }
        Ok(())
    }

    fn chunk(
        &mut self,
        text: &str,
        frame: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let chunk: Chunk<'_> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        if let Some(error) = chunk.error {
            return Err(DecodeError::Upstream(Box::new(refusal::from_stream(error))));
        }
        // Counts are cumulative and some chunks have none: keep the last ones.
        out.usage = chunk
            .usage_metadata
            .as_ref()
            .and_then(usage_from)
            .or(out.usage);
        if let Some(reason) = chunk
            .prompt_feedback
            .and_then(|it| it.block_reason)
            .filter(|it| !finish::is_unset(it.as_str()))
        {
            self.blocked = Some(reason.share(frame));
        }
        let candidates = chunk.candidates.0;
        // The JSON of the parts is only read a second time if one of them is passed on as it is.
        let has_raw = |it: &Candidate<'_>| {
            it.content
                .as_ref()
                .is_some_and(|content| content.parts.0.iter().any(Part::is_raw))
        };
        let raw = if candidates.iter().any(has_raw) {
            raw_parts(text).map_err(|error| unreadable(&error))?
        } else {
            Vec::new()
        };
        for (at, candidate) in candidates.into_iter().enumerate() {
            self.candidate(
                candidate,
                raw.get(at).map_or(&[], Vec::as_slice),
                frame,
                out,
            )?;
        }
        Ok(())
    }

    fn candidate(
        &mut self,
        candidate: Candidate<'_>,
        raw: &[&RawValue],
        frame: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        // A candidate without an index is the first one.
        let number = candidate.index.0.unwrap_or(0);
        // Clamp before the conversion, so that a huge index is rejected below and not truncated.
        let number = u16::try_from(number.min(MAX_CHOICES)).unwrap_or(u16::MAX);
        self.choice(number)?;
        let Self { choices, seed, .. } = self;
        let Some(choice) = choices.get_mut(usize::from(number)) else {
            return Ok(());
        };
        let mut sink = Sink {
            frame,
            choice: number,
            events: &mut out.events,
        };
        choice.add(candidate, raw, seed, &mut sink)
    }

    /// Begins the choice of that number, unless it has begun already.
    fn choice(&mut self, number: u16) -> Result<(), DecodeError> {
        if u64::from(number) >= MAX_CHOICES {
            return Err(malformed("a candidate's index is not below 128"));
        }
        let at = usize::from(number);
        if self.choices.len() <= at {
            self.choices.resize_with(at + 1, Choice::default);
        }
        self.choices
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|choice| choice.begun = true);
        Ok(())
    }
}

/// Returns an upstream error if every choice ended with a failure.
///
/// The error names the finish reason only, because the provider's `finishMessage` may quote the
/// model.
fn fail_if_no_choice_succeeded(out: &mut Decoded) -> Result<(), DecodeError> {
    let finishes = || {
        out.events.iter().filter_map(|event| {
            if let Event::Finish(it) = event {
                Some(it)
            } else {
                None
            }
        })
    };
    if !finishes().all(|it| it.reason == Reason::Error) {
        return Ok(());
    }
    let native = finishes()
        .find_map(|it| it.native.clone())
        .unwrap_or_default();
    out.events
        .retain(|event| !matches!(event, Event::Finish(_)));
    // Only text that looks like an enum's name is quoted in the message.
    let is_name = native.len() <= 64
        && native
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let reason = if is_name { &*native } else { "unknown" };
    let fault = Fault::new(
        Code::UpstreamError,
        format!(
            "the model stopped without an answer (finish reason: {reason}); \
             retry or change the request"
        ),
    );
    Err(DecodeError::Upstream(Box::new(fault)))
}

/// Returns the text from the first line on that begins a JSON object or list. Other text before it
/// is not part of the format and is skipped.
fn find_json(text: &str) -> Option<&str> {
    let mut starts =
        std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
    starts.find_map(|at| text.get(at..).filter(|rest| rest.starts_with(['{', '['])))
}

/// Returns the cumulative usage of a chunk, or `None` if it has no counts: some chunks carry only
/// the traffic type.
fn usage_from(metadata: &UsageMetadata) -> Option<Usage> {
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    let usage = Usage {
        input: sum(
            metadata.prompt_token_count.0,
            metadata.tool_use_prompt_token_count.0,
        ),
        // Gemini counts thoughts apart from the output; a `Usage` includes them.
        output: sum(
            metadata.candidates_token_count.0,
            metadata.thoughts_token_count.0,
        ),
        cached_input: metadata.cached_content_token_count.0,
        cache_write: None,
        reasoning: metadata.thoughts_token_count.0,
        estimated: false,
        cost: None,
    };
    (usage != Usage::default()).then_some(usage)
}

/// Returns the error for JSON that cannot be read. It gives the position only, because the parser's
/// own message may quote content.
fn unreadable(error: &serde_json::Error) -> DecodeError {
    let kind = if error.is_data() {
        "an unexpected value"
    } else {
        "invalid JSON"
    };
    malformed(&format!(
        "{kind} at line {} column {}",
        error.line(),
        error.column()
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::{Raw, Signature, ToolCall};
    use crate::model::wire::WireId;

    type Outcome = Result<(Vec<Event>, Option<Usage>), DecodeError>;

    fn frame(data: &str, kind: FrameKind) -> Frame {
        Frame {
            name: ByteString::new(),
            data: data.into(),
            kind,
        }
    }

    fn decoded(frames: &[Frame]) -> Outcome {
        let (mut decoder, mut out, mut events, mut usage) =
            (Decoder::new("seed"), Decoded::default(), Vec::new(), None);
        for frame in frames {
            out.clear();
            decoder.decode(frame, &mut out)?;
            assert!(!out.done, "only the end of the body is terminal");
            events.extend(out.events.drain(..));
            usage = out.usage.or(usage);
        }
        out.clear();
        decoder.finish(&mut out)?;
        events.extend(out.events.drain(..));
        Ok((events, usage))
    }

    fn decoded_whole(frames: &[&str]) -> Outcome {
        decoded(
            &frames
                .iter()
                .map(|data| frame(data, FrameKind::Whole))
                .collect::<Vec<_>>(),
        )
    }

    /// Returns the events of one chunk per list of parts, followed by a chunk with `STOP`.
    fn parts(chunks: &[&str]) -> Vec<Event> {
        let chunk = |parts: &&str| {
            format!(r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}}}}]}}"#)
        };
        let mut frames: Vec<String> = chunks.iter().map(chunk).collect();
        frames.push(r#"{"candidates":[{"finishReason":"STOP"}]}"#.into());
        decoded_whole(&frames.iter().map(String::as_str).collect::<Vec<_>>())
            .unwrap()
            .0
    }

    fn text(delta: &str) -> Event {
        Event::Text {
            choice: 0,
            delta: delta.into(),
        }
    }

    fn finished(choice: u16, reason: Reason, native: &str) -> Event {
        Event::Finish(Box::new(crate::model::event::Finish {
            choice,
            reason,
            native: Some(native.into()),
        }))
    }

    fn signature(signature: &str, on_text: bool) -> Event {
        let signature = Some(signature.into());
        Event::Signature(Box::new(Signature {
            choice: 0,
            signature,
            redacted: None,
            wire: WireId::Gemini,
            on_text,
        }))
    }

    fn call(
        index: u16,
        id: &str,
        name: &str,
        signature: Option<&str>,
        arguments: &str,
    ) -> [Event; 3] {
        let signature = signature.map(Into::into);
        [
            Event::ToolCall(Box::new(ToolCall {
                choice: 0,
                index,
                id: id.into(),
                name: name.into(),
                signature,
                custom: false,
            })),
            Event::ToolArguments {
                choice: 0,
                index,
                delta: arguments.into(),
            },
            Event::ToolCallEnd { choice: 0, index },
        ]
    }

    fn fault(outcome: Outcome) -> Fault {
        match outcome {
            Err(DecodeError::Upstream(fault)) => *fault,
            other => panic!("expected an upstream error, got {other:?}"),
        }
    }

    #[test]
    fn text_thoughts_and_signatures_are_decoded() {
        let events = parts(&[
            r#"{"text":"Hm","thought":true}"#,
            r#"{"text":"mm","thought":true,"thoughtSignature":"c2ln"}"#,
            r#"{"text":"Hi \u003cb>"},{"text":""}"#,
            r#"{"text":"","thought_signature":"dGV4dA=="}"#,
        ]);
        let thought = |delta: &str| Event::Reasoning {
            choice: 0,
            delta: delta.into(),
        };
        let expected = [
            thought("Hm"),
            thought("mm"),
            signature("c2ln", false),
            text("Hi <b>"),
            signature("dGV4dA==", true),
            finished(0, Reason::Stop, "STOP"),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn plain_text_is_a_slice_of_the_frame() {
        let frame = frame(
            r#"{"candidates":[{"content":{"parts":[{"text":"plain"}]}}]}"#,
            FrameKind::Whole,
        );
        let mut out = Decoded::default();
        Decoder::new("seed").decode(&frame, &mut out).unwrap();
        let [Event::Text { delta, .. }] = &out.events[..] else {
            panic!("{:?}", out.events)
        };
        let range = frame.data.as_ptr() as usize..frame.data.as_ptr() as usize + frame.data.len();
        assert!(range.contains(&(delta.as_ptr() as usize)));
    }

    #[test]
    fn complete_calls_keep_their_arguments_byte_for_byte() {
        let events = parts(&[concat!(
            r#"{"functionCall":{"name":"a","args":{"b": 1, "a":[1.50]}},"thoughtSignature":"c2ln"},"#,
            r#"{"functionCall":{"id":"x1","name":"b"}},{"functionCall":{"id":"","name":"b","args":{}}}"#
        )]);
        let mut expected = call(
            0,
            "call_seed_0",
            "a",
            Some("c2ln"),
            r#"{"b": 1, "a":[1.50]}"#,
        )
        .to_vec();
        expected.extend(call(1, "x1", "b", None, "{}"));
        expected.extend(call(2, "call_seed_2", "b", None, "{}"));
        expected.push(finished(0, Reason::ToolCalls, "STOP"));
        assert_eq!(events, expected);
    }

    #[test]
    fn calls_in_pieces_are_joined() {
        let events = parts(&[
            r#"{"functionCall":{"name":"read","willContinue":true},"thoughtSignature":"c2ln"}"#,
            r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.id","stringValue":"A","willContinue":true}],"willContinue":true}}"#,
            r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.id","stringValue":"\""}],"willContinue":true}}"#,
            r#"{"functionCall":{"willContinue":true}}"#,
            r#"{"functionCall":{}}"#,
            r#"{"functionCall":{}}"#,
            r#"{"functionCall":{"name":"write","willContinue":true}}"#,
            r#"{"functionCall":{"name":"open","willContinue":true}}"#,
            r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.n[0]","numberValue":0.5}],"willContinue":true}}"#,
        ]);
        let mut expected = call(0, "call_seed_0", "read", Some("c2ln"), r#"{"id":"A\""}"#).to_vec();
        expected.extend(call(1, "call_seed_1", "write", None, "{}"));
        expected.extend(call(2, "call_seed_2", "open", None, r#"{"n":[0.5]}"#));
        expected.push(finished(0, Reason::ToolCalls, "STOP"));
        assert_eq!(events, expected, "the end of the body closes the last call");
    }

    #[test]
    fn arguments_without_a_call_are_malformed() {
        for piece in [
            r#"{"args":{}}"#,
            r#"{"name":"","args":{}}"#,
            r#"{"partialArgs":[{"jsonPath":"$.a","boolValue":true}]}"#,
        ] {
            let chunk = format!(
                r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{piece}}}]}}}}]}}"#
            );
            assert!(
                matches!(decoded_whole(&[&chunk]), Err(DecodeError::Malformed { .. })),
                "{piece}"
            );
        }
    }

    #[test]
    fn other_parts_become_raw_events() {
        let code =
            r#"{"executableCode": {"code":"1","language":"PYTHON"}, "thoughtSignature":"c2ln"}"#;
        let image = r#"{"inlineData":{"mimeType":"image/png","data":"aA=="}}"#;
        let events = parts(&[
            &format!(r#"{{"text":"a"}},{code},{{}}"#),
            image,
            r#"{"toolResponse":{"id":"1"}},{"videoMetadata":null}"#,
        ]);
        let raw = |data: &str| {
            Event::Raw(Box::new(Raw {
                choice: 0,
                wire: WireId::Gemini,
                data: data.into(),
            }))
        };
        let last = finished(0, Reason::Stop, "STOP");
        assert_eq!(
            events,
            [
                text("a"),
                raw(code),
                raw(image),
                raw(r#"{"toolResponse":{"id":"1"}}"#),
                last
            ]
        );
    }

    #[test]
    fn choices_are_separate_and_each_must_end() {
        let first = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}},{"index":1,"content":{"parts":[{"text":"b"}]}}]}"#;
        let ends = r#"{"candidates":[{"index":1,"finishReason":"MAX_TOKENS"},{"index":0,"finishReason":"OTHER"}]}"#;
        let (events, _) = decoded_whole(&[first, ends]).unwrap();
        let second = Event::Text {
            choice: 1,
            delta: "b".into(),
        };
        assert_eq!(
            events,
            [
                text("a"),
                second,
                finished(0, Reason::Error, "OTHER"),
                finished(1, Reason::Length, "MAX_TOKENS")
            ]
        );
        let one = r#"{"candidates":[{"index":1,"finishReason":"STOP"}]}"#;
        assert!(matches!(
            decoded_whole(&[first, one]),
            Err(DecodeError::CutShort)
        ));
        assert!(matches!(
            decoded_whole(&[r#"{"candidates":[{"index":128}]}"#]),
            Err(DecodeError::Malformed { .. })
        ));
        assert!(matches!(
            decoded_whole(&[r#"{"candidates":[{"index":4294967296}]}"#]),
            Err(DecodeError::Malformed { .. })
        ));
    }

    #[test]
    fn the_last_finish_reason_counts_when_the_body_ends() {
        let stop = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;
        let (events, _) =
            decoded_whole(&[stop, stop, r#"{"candidates":[{"finishReason":2}]}"#]).unwrap();
        assert_eq!(
            events,
            [text("a"), text("a"), finished(0, Reason::Length, "2")]
        );
        let late = r#"{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}"#;
        assert_eq!(fault(decoded_whole(&[stop, late])).code, Code::Overloaded);
    }

    #[test]
    fn a_body_without_a_finish_reason_was_cut_short() {
        for frames in [
            &[][..],
            &[r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":null}]}"#],
            &["{}"],
            &["[DONE]"],
        ] {
            assert!(
                matches!(decoded_whole(frames), Err(DecodeError::CutShort)),
                "{frames:?}"
            );
        }
    }

    #[test]
    fn a_blocked_prompt_ends_with_content_filter() {
        let (events, usage) = decoded_whole(&[
            r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}"#,
        ])
        .unwrap();
        assert_eq!(events, [finished(0, Reason::ContentFilter, "SAFETY")]);
        assert_eq!(usage.and_then(|usage| usage.input), Some(3));
        let begun = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#;
        let (events, _) =
            decoded_whole(&[begun, r#"{"prompt_feedback":{"block_reason":4}}"#]).unwrap();
        assert_eq!(events, [text("a"), finished(0, Reason::ContentFilter, "4")]);
        let unset = r#"{"promptFeedback":{"blockReason":"BLOCK_REASON_UNSPECIFIED"}}"#;
        assert!(matches!(
            decoded_whole(&[unset]),
            Err(DecodeError::CutShort)
        ));
    }

    #[test]
    fn an_answer_with_no_successful_choice_is_an_upstream_error() {
        let failed = r#"{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"Malformed: print(secret)"}]}"#;
        let fault = fault(decoded_whole(&[failed]));
        assert_eq!((fault.code, fault.retryable), (Code::UpstreamError, true));
        assert!(
            fault.message.contains("MALFORMED_FUNCTION_CALL") && !fault.message.contains("secret")
        );
    }

    #[test]
    fn the_last_usage_counts_and_includes_thoughts_in_the_output() {
        let (_, usage) = decoded_whole(&[
            r#"{"usageMetadata":{"promptTokenCount":10,"totalTokenCount":10}}"#,
            r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":"5","thoughtsTokenCount":7,
                "toolUsePromptTokenCount":3,"cachedContentTokenCount":4,"totalTokenCount":25}}"#,
            r#"{"usageMetadata":{"trafficType":"ON_DEMAND"}}"#,
        ])
        .unwrap();
        let expected = Usage {
            input: Some(13),
            output: Some(12),
            cached_input: Some(4),
            reasoning: Some(7),
            ..Usage::default()
        };
        assert_eq!(usage, Some(expected));
    }

    #[test]
    fn errors_are_found_in_every_frame_kind() {
        let error =
            "{\n  \"error\": {\n    \"code\": 429,\n    \"status\": \"RESOURCE_EXHAUSTED\"\n  }\n}";
        let good = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#;
        let list = format!("[{error}\n]");
        let beside = format!("noise\n{error}\nmore noise");
        for (data, kind) in [
            (error, FrameKind::Whole),
            (&list, FrameKind::Whole),
            (error, FrameKind::Unterminated),
            (error, FrameKind::Stray),
            (&list, FrameKind::Stray),
            (&beside, FrameKind::Stray),
        ] {
            let outcome = decoded(&[frame(good, FrameKind::Whole), frame(data, kind)]);
            assert_eq!(fault(outcome).code, Code::RateLimited, "{kind:?} {data}");
        }
    }

    #[test]
    fn a_truncated_end_is_cut_short() {
        let good = frame(
            r#"{"candidates":[{"finishReason":"STOP"}]}"#,
            FrameKind::Whole,
        );
        let cut = r#"{"candidates":[{"content":{"parts":[{"text":"a"#;
        for kind in [FrameKind::Unterminated, FrameKind::Stray] {
            assert!(
                matches!(
                    decoded(&[good.clone(), frame(cut, kind)]),
                    Err(DecodeError::CutShort)
                ),
                "{kind:?}"
            );
        }
        let whole = frame(&good.data, FrameKind::Unterminated);
        assert_eq!(
            decoded(&[whole]).unwrap().0,
            [finished(0, Reason::Stop, "STOP")]
        );
        assert!(decoded(&[good, frame("words {beside} it", FrameKind::Stray)]).is_ok());
    }

    #[test]
    fn foreign_markers_are_skipped() {
        for data in ["", " ", "[DONE]"] {
            let mut out = Decoded::default();
            Decoder::new("seed")
                .decode(&frame(data, FrameKind::Whole), &mut out)
                .unwrap();
            assert!(out.marker && out.events.is_empty());
        }
    }

    #[test]
    fn alternative_encodings_are_read() {
        let (events, usage) = decoded_whole(&[concat!(
            "{\n \"candidates\": [\n {\"index\": 0.0, \"content\": {\"role\": null, \"parts\": null},\n",
            " \"finish_reason\": 1, \"citationMetadata\": null}\n ],\n",
            " \"usage_metadata\": {\"prompt_token_count\": 2.0, \"thoughts_token_count\": null}, \"error\": null, \"x\": [1]}"
        )])
        .unwrap();
        assert_eq!(events, [finished(0, Reason::Stop, "1")]);
        assert_eq!(
            usage,
            Some(Usage {
                input: Some(2),
                ..Usage::default()
            })
        );
        assert_eq!(
            parts(&[r#"{"text":"\ud83d!"}"#])[0].output_bytes(),
            "\u{fffd}!".len() as u64
        );
    }

    #[test]
    fn errors_about_unreadable_json_quote_no_content() {
        for data in [
            "{\"candidates\":\"secret\"}",
            "secret",
            "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":{\"secret\":1}}]}}]}",
            "7",
        ] {
            let error = decoded_whole(&[data]).unwrap_err();
            assert!(matches!(error, DecodeError::Malformed { .. }), "{data}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("1".to_owned()),
            Just("\"STOP\"".to_owned()),
            Just("{}".to_owned())
        ];
        let names = "candidates|content|parts|text|functionCall|name|args|partialArgs|jsonPath|index|finishReason|error|code|thoughtSignature\
            |promptFeedback|blockReason|groundingMetadata|groundingSupports|groundingChunks|groundingChunkIndices|citationMetadata|citations";
        leaf.prop_recursive(6, 40, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3)
                    .prop_map(|list| format!("[{}]", list.join(","))),
                proptest::collection::vec((names, inner), 0..4).prop_map(|fields| {
                    let fields: Vec<String> = fields
                        .into_iter()
                        .map(|(name, value)| format!("\"{name}\":{value}"))
                        .collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    /// Generates a chunk of up to two candidates with valid parts.
    fn chunk() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            Just(r#"{"text":"a"}"#),
            Just(r#"{"text":"","thoughtSignature":"cw=="}"#),
            Just(r#"{"functionCall":{"name":"f","args":{"a":1}}}"#),
            Just(r#"{"functionCall":{"name":"g","willContinue":true}}"#),
            Just(
                r#"{"functionCall":{"partialArgs":[{"jsonPath":"$.a[1]","stringValue":"x"}],"willContinue":true}}"#
            ),
            Just(r#"{"functionCall":{}}"#),
            Just(r#"{"executableCode":{}}"#),
        ];
        let candidate = (
            0..2u8,
            proptest::collection::vec(parts, 0..4),
            any::<bool>(),
        )
            .prop_map(|(index, parts, end)| {
                let end = if end { r#","finishReason":"STOP""# } else { "" };
                format!(
                    r#"{{"index":{index},"content":{{"parts":[{}]}}{end}}}"#,
                    parts.join(",")
                )
            });
        proptest::collection::vec(candidate, 0..3)
            .prop_map(|all| format!(r#"{{"candidates":[{}]}}"#, all.join(",")))
    }

    /// Returns true if calls have names, are numbered in order and precede their arguments, and
    /// each choice ends once, after all of its content.
    fn is_well_ordered(events: &[Event]) -> bool {
        let (mut calls, mut ended) = (
            std::collections::HashMap::<u16, u16>::new(),
            std::collections::HashSet::new(),
        );
        let mut fits = |event: &Event| match event {
            Event::Finish(it) => ended.insert(it.choice),
            event if ended.contains(&event.choice()) => false,
            Event::ToolCall(it) => {
                let next = calls.entry(it.choice).or_default();
                *next += 1;
                it.index + 1 == *next && !it.name.is_empty() && !it.id.is_empty()
            }
            Event::ToolArguments {
                choice,
                index,
                delta,
            } => {
                calls.get(choice) == Some(&(index + 1))
                    && serde_json::from_str::<&RawValue>(delta).is_ok()
            }
            Event::ToolCallEnd { choice, index } => calls.get(choice) == Some(&(index + 1)),
            _ => true,
        };
        events.iter().all(&mut fits) && !ended.is_empty()
    }

    proptest! {
        #[test]
        fn no_input_panics_and_events_are_well_ordered(frames in proptest::collection::vec((prop_oneof![1 => json(), 9 => chunk()], 0..3u8), 0..6)) {
            let kinds = [FrameKind::Whole, FrameKind::Unterminated, FrameKind::Stray];
            let frames: Vec<Frame> = frames.iter().map(|(data, kind)| frame(data, kinds[usize::from(*kind)])).collect();
            if let Ok((events, _)) = decoded(&frames) {
                prop_assert!(is_well_ordered(&events), "{events:?}");
            }
        }
    }
}
