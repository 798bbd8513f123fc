//! Items as they are when they end: what of them has not been told is told now.

use super::super::shape::{Item, Json, Part};
use super::super::speech::Speech;
use super::open::{Kind, Open, Voice};
use super::{Items, Place};
use crate::wire::DecodeError;

impl Items {
    /// An item ends.
    pub(in super::super) fn end(
        &mut self,
        place: u64,
        json: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
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

    /// A part that has not streamed is told now, whatever stands beside it.
    fn message(
        &mut self,
        place: u64,
        item: &Item<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let parts: Vec<_> = (0..)
            .zip(item.content.list())
            .map(|(index, json)| Said::of(index, json))
            .collect();
        let cited = self
            .find(place, Kind::Message)
            .is_some_and(|open| open.cited);
        let told = self.told(place, &parts);
        let mut streamed = 0;
        for (
            Said {
                index,
                json,
                part,
                voice,
            },
            told,
        ) in parts.into_iter().zip(told)
        {
            let mut from = self.characters;
            match voice {
                None => speech.raw(json),
                Some(Voice::Text) if told => {
                    from = self.text_before(place, streamed);
                    streamed += 1;
                }
                Some(_) if told => {}
                Some(voice) => {
                    let words = if voice == Voice::Refusal {
                        part.refusal
                    } else {
                        part.text
                    };
                    self.say(
                        Place {
                            item: place,
                            part: index,
                        },
                        voice,
                        words,
                        speech,
                    )?;
                }
            }
            if voice == Some(Voice::Text) && !cited {
                part.annotations
                    .list()
                    .into_iter()
                    .for_each(|source| speech.citation(source, from));
            }
        }
        Ok(())
    }

    /// Which of a message's parts have streamed.
    fn told(&mut self, place: u64, parts: &[Said<'_>]) -> Vec<bool> {
        let indexes = |voice| {
            parts
                .iter()
                .filter(move |it| it.voice == Some(voice))
                .map(|it| it.index)
                .collect::<Vec<u64>>()
        };
        let (texts, refusals) = (indexes(Voice::Text), indexes(Voice::Refusal));
        let Some(open) = self.find(place, Kind::Message) else {
            return vec![false; parts.len()];
        };
        let has_told = |said: &Said<'_>| match said.voice {
            Some(voice) => {
                let indexes = if voice == Voice::Refusal {
                    &refusals
                } else {
                    &texts
                };
                indexes
                    .binary_search(&said.index)
                    .is_ok_and(|number| open.has_told_part(voice, indexes, number))
            }
            None => false,
        };
        parts.iter().map(has_told).collect()
    }

    fn reasoning(
        &mut self,
        place: u64,
        item: &Item<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        for (voice, parts) in [
            (Voice::Summary, item.summary),
            (Voice::Thought, item.content),
        ] {
            if self
                .find(place, Kind::Reasoning)
                .is_some_and(|open| open.has_told(voice, None))
            {
                continue;
            }
            for (index, json) in (0..).zip(parts.list()) {
                let part: Part<'_> = json.read();
                self.say(
                    Place {
                        item: place,
                        part: index,
                    },
                    voice,
                    part.text,
                    speech,
                )?;
            }
        }
        speech.signature(item);
        Ok(())
    }

    fn called(
        &mut self,
        place: u64,
        json: Json<'_>,
        item: &Item<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let begun = self.find(place, Kind::Call).and_then(|open| open.call);
        let call = if begun.is_some() {
            begun
        } else {
            self.call(item, speech)?
        };
        let Some(mut call) = call else {
            speech.raw(json);
            return Ok(());
        };
        if !call.told {
            call.argue(
                if item.input.is_said() {
                    item.input
                } else {
                    item.arguments
                },
                speech,
            );
        }
        if let Some(open) = self.find(place, Kind::Call) {
            open.call = Some(call);
        }
        Ok(())
    }

    /// The characters before a message's text number so and so. (A part has not always the same
    /// index in its events.)
    fn text_before(&mut self, place: u64, number: usize) -> u32 {
        let now = self.characters;
        self.find(place, Kind::Message)
            .and_then(|open| open.texts().nth(number).map(|told| told.from))
            .unwrap_or(now)
    }
}

/// A part of a message, as its item has it.
struct Said<'a> {
    index: u64,
    json: Json<'a>,
    part: Part<'a>,
    /// How it speaks; nothing where it has no normalized form.
    voice: Option<Voice>,
}

impl<'a> Said<'a> {
    fn of(index: u64, json: Json<'a>) -> Self {
        let part: Part<'a> = json.read();
        let voice = match part.kind.text().as_deref() {
            Some("output_text" | "text") => Some(Voice::Text),
            Some("refusal") => Some(Voice::Refusal),
            _ => None,
        };
        Self {
            index,
            json,
            part,
            voice,
        }
    }
}
