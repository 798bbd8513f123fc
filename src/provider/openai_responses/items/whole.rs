//! Items as they are when they end: what of them has not been told is told now.

use super::super::shape::{Item, Json, Part};
use super::super::speech::Speech;
use super::open::{Kind, Open, Voice};
use super::{Items, Place};
use crate::provider::DecodeError;

impl Items {
    /// An item ends.
    pub(in super::super) fn end(&mut self, place: u64, json: Json<'_>, speech: &mut Speech<'_>) -> Result<(), DecodeError> {
        let item: Item<'_> = json.read();
        let kind = Kind::of(&item);
        // It is kept open while its rest is told, so that this is told as what streams is.
        if self.find(place, kind).is_none() {
            self.keep(Open::new(place, kind))?;
        }
        match kind {
            Kind::Message => self.message(place, &item, speech)?,
            Kind::Reasoning => self.reasoning(place, &item, speech)?,
            Kind::Call => self.called(place, json, &item, speech)?,
            Kind::Other => speech.raw(json),
        }
        if let Some(open) = self.take(place, kind) {
            open.end(speech);
        }
        Ok(())
    }

    fn message(&mut self, place: u64, item: &Item<'_>, speech: &mut Speech<'_>) -> Result<(), DecodeError> {
        let (silent, uncited) = self.find(place, Kind::Message).map_or((true, true), |open| (open.told.is_empty(), !open.cited));
        let mut texts = 0;
        for (index, json) in (0..).zip(item.content.list()) {
            let part: Part<'_> = json.read();
            let at = Place { item: place, part: index };
            match part.kind.text().as_deref() {
                Some("output_text" | "text") => {
                    if silent {
                        self.say(at, Voice::Text, part.text, speech)?;
                    }
                    if uncited {
                        let from = self.text_before(place, texts);
                        part.annotations.list().into_iter().for_each(|source| speech.citation(source, from));
                    }
                    texts += 1;
                }
                Some("refusal") if silent => self.say(at, Voice::Refusal, part.refusal, speech)?,
                Some("refusal") => {}
                _ => speech.raw(json),
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, place: u64, item: &Item<'_>, speech: &mut Speech<'_>) -> Result<(), DecodeError> {
        for (voice, parts) in [(Voice::Summary, item.summary), (Voice::Thought, item.content)] {
            if self.find(place, Kind::Reasoning).is_some_and(|open| open.has_told(voice, None)) {
                continue;
            }
            for (index, json) in (0..).zip(parts.list()) {
                let part: Part<'_> = json.read();
                self.say(Place { item: place, part: index }, voice, part.text, speech)?;
            }
        }
        speech.signature(item);
        Ok(())
    }

    fn called(&mut self, place: u64, json: Json<'_>, item: &Item<'_>, speech: &mut Speech<'_>) -> Result<(), DecodeError> {
        let begun = self.find(place, Kind::Call).and_then(|open| open.call);
        let call = if begun.is_some() { begun } else { self.call(item, speech)? };
        let Some(mut call) = call else {
            speech.raw(json);
            return Ok(());
        };
        if !call.told {
            call.argue(if item.input.is_said() { item.input } else { item.arguments }, speech);
        }
        if let Some(open) = self.find(place, Kind::Call) {
            open.call = Some(call);
        }
        Ok(())
    }

    /// The characters before a message's text number so and so. (A part has not always the same index in its events.)
    fn text_before(&mut self, place: u64, number: usize) -> u32 {
        let now = self.characters;
        self.find(place, Kind::Message).and_then(|open| open.texts().nth(number).map(|told| told.from)).unwrap_or(now)
    }
}
