//! Decodes the frames of `streamGenerateContent` into events.
//!
//! Invariants: no frame is terminal. Every chunk may carry a finish reason, and content or an error
//! may follow it: the last one counts and is emitted when the body has ended. The state is bounded:
//! choices, calls, and the pieces of one open call per choice.

mod arguments;
mod citations;
mod content;
mod ending;

use bytestring::ByteString;
use serde_json::value::RawValue;

use self::content::{Choice, Sink};
use super::shape::{Candidate, Chunk, Part, UsageMetadata, raw_parts};
use super::{malformed, refusal};
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
            return Err(DecodeError::Upstream(Box::new(refusal::read_payload(
                error,
            ))));
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
            .filter(|it| !ending::is_unset(it.as_str()))
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
mod tests;
