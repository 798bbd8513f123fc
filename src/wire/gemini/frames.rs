//! Decodes the frames of `streamGenerateContent` into events.
//!
//! Invariants: no frame is terminal, so there is no gate. Every chunk may carry a finish reason, and
//! content or an error may follow it: the last one counts and is emitted when the body has ended.
//! The state is bounded: choices, calls, and the pieces of one open call per choice.

mod arguments;
mod citations;
mod content;
mod ending;
mod usage;

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;

use self::content::ContentReader;
use super::refusal;
use super::shape::{Candidate, Chunk, RawChunk};
use crate::codec::{Frame, FrameKind, text};
use crate::model::event::Events;
use crate::model::usage::Usage;
use crate::model::wire::WireId;
use crate::wire::kit::sink::{self, Sink};
use crate::wire::{Decode, DecodeError, Decoded};

/// Maximum number of choices of one answer (OpenAI allows 128, Gemini 8).
const MAX_CHOICES: usize = 128;

/// The state of one stream. It holds content, so neither it nor the types of its fields implement
/// `Debug`.
pub(super) struct Decoder {
    /// Seed of the ids that are made for calls without one.
    seed: ByteString,
    /// The choices by index. `None` for an index that has not come.
    choices: Vec<Option<ContentReader>>,
    /// The provider's reason for blocking the prompt.
    blocked: Option<ByteString>,
}

impl Decode for Decoder {
    fn decode(&mut self, frame: &Frame, out: &mut Decoded) -> Result<(), DecodeError> {
        let text = frame.data.trim();
        match frame.kind {
            // `[DONE]` is OpenAI's marker, which a proxy may add. Gemini has no marker.
            _ if text.is_empty() || text == "[DONE]" => out.marker = true,
            FrameKind::Whole | FrameKind::Exception => self.read_json(text, &frame.data, out)?,
            FrameKind::Unterminated => self.read_rest(text, &frame.data, out)?,
            // Google writes an error in mid-stream as a bare JSON object without `data:`.
            FrameKind::Stray => match find_json(text) {
                Some(json) => self.read_rest(json, &frame.data, out)?,
                None => out.marker = true,
            },
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Decoded) -> Result<(), DecodeError> {
        // A blocked prompt has no candidates, but clients expect a choice that ends.
        if self.blocked.is_some() && self.choices.is_empty() {
            self.choice(0)?;
        }
        let natives = self.choices.iter().flatten().map(ContentReader::native);
        // A blocked prompt ends every choice, even without a finish reason.
        let is_open = self.blocked.is_none() && natives.clone().any(|native| native.is_none());
        if is_open || self.choices.is_empty() {
            return Err(DecodeError::CutShort);
        }
        let failure = ending::failure(natives);
        let data = ByteString::new();
        for (number, choice) in (0..).zip(&mut self.choices) {
            let Some(choice) = choice else { continue };
            let sink = Sink::new(WireId::Gemini, &data, &mut out.events);
            let sink = &mut sink.with_choice(number);
            choice.end_call(sink);
            if failure.is_none() {
                choice.finish(self.blocked.as_ref(), sink);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

/// Decodes a whole answer, which has the form of one chunk of a stream.
pub(super) fn read_whole(body: &Bytes, seed: &str) -> Result<(Events, Option<Usage>), DecodeError> {
    let (mut decoder, mut out) = (Decoder::new(seed), Decoded::default());
    let data = text::from_bytes(body);
    decoder.read_json(data.trim(), &data, &mut out)?;
    decoder.finish(&mut out)?;
    Ok((out.events, out.usage))
}

impl Decoder {
    /// Returns a decoder. Ids that the provider does not send are made from `seed`.
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            choices: Vec::new(),
            blocked: None,
        }
    }

    /// Decodes a chunk or a list of chunks. Google sometimes wraps errors in a list.
    fn read_json(
        &mut self,
        text: &str,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        if !text.starts_with('[') {
            return self.read_chunk(text, data, out);
        }
        let list: Vec<&RawValue> = sink::read(WireId::Gemini, text, "a frame")?;
        list.into_iter()
            .try_for_each(|chunk| self.read_chunk(chunk.get(), data, out))
    }

    /// Decodes the unframed end of a body: complete JSON values, or one that was cut off.
    fn read_rest(
        &mut self,
        text: &str,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
            // JSON that breaks off here was truncated by the end of the body.
            self.read_json(value.map_err(|_| DecodeError::CutShort)?.get(), data, out)?;
        }
        Ok(())
    }

    fn read_chunk(
        &mut self,
        text: &str,
        data: &ByteString,
        out: &mut Decoded,
    ) -> Result<(), DecodeError> {
        let chunk: Chunk<'_> = sink::read(WireId::Gemini, text, "a chunk")?;
        if let Some(error) = chunk.error {
            let fault = refusal::read_payload(error.get());
            return Err(DecodeError::Upstream(Box::new(fault)));
        }
        // Counts are cumulative and some chunks have none: the last ones are kept.
        let usage = chunk.usage_metadata.as_ref().and_then(usage::read_usage);
        out.usage = usage.or(out.usage);
        let blocked = chunk.prompt_feedback.and_then(|it| it.block_reason);
        if let Some(reason) = blocked.filter(|it| !ending::is_unset(it.as_str())) {
            self.blocked = Some(reason.share(data));
        }
        let candidates = chunk.candidates.0;
        // The JSON of the parts is read a second time only if one of them is passed on as it is.
        let raw = if candidates.iter().any(Candidate::has_raw_part) {
            sink::read::<RawChunk<'_>>(WireId::Gemini, text, "a chunk")?.parts()
        } else {
            Vec::new()
        };
        for (at, candidate) in candidates.into_iter().enumerate() {
            // A candidate without an index is the first one.
            let (number, choice) = self.choice(candidate.index.0.unwrap_or(0))?;
            let sink = Sink::new(WireId::Gemini, data, &mut out.events);
            let raw = raw.get(at).map_or(&[][..], Vec::as_slice);
            choice.read(candidate, raw, &mut sink.with_choice(number))?;
        }
        Ok(())
    }

    /// Returns the choice of that index, which begins if it is new.
    fn choice(&mut self, index: u64) -> Result<(u16, &mut ContentReader), DecodeError> {
        let number = u16::try_from(index)
            .ok()
            .filter(|number| usize::from(*number) < MAX_CHOICES);
        let slot = number.and_then(|number| {
            let at = usize::from(number);
            if self.choices.len() <= at {
                self.choices.resize_with(at + 1, || None);
            }
            self.choices.get_mut(at).map(|slot| (number, slot))
        });
        let Some((number, slot)) = slot else {
            let what = "a candidate's index is not below 128";
            return Err(DecodeError::malformed(WireId::Gemini, what));
        };
        let seed = &self.seed;
        let choice = slot.get_or_insert_with(|| ContentReader::new(seed.clone()));
        Ok((number, choice))
    }
}

/// Returns the text from the first line on that begins a JSON object or list. Other text before it
/// is not part of the format and is skipped.
fn find_json(text: &str) -> Option<&str> {
    let mut starts =
        std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
    starts.find_map(|at| text.get(at..).filter(|rest| rest.starts_with(['{', '['])))
}

#[cfg(test)]
mod tests;
