//! The items of an output, and what each kind of them means, whether it streams or comes whole.
//!
//! Invariants: an item is known by its place and kind, as ids change between the events of some
//! servers; what has streamed is not told again from the item's end; calls are numbered from 0 in
//! order of appearance, whatever their place, and one that was begun is ended once; what has no
//! normalized form is carried as the item it came as. Open items and the parts of each are bounded.

mod open;
mod whole;

use bytestring::ByteString;

use self::open::{Call, Kind, Open};
use super::shape::{Item, Json, malformed};
use super::speech::Speech;
use crate::model::chat::made_call_id;
use crate::model::event::{Event, ToolCall};
use crate::wire::DecodeError;

pub(super) use self::open::Voice;

/// The most items that may be open at once. The API has them one after another; this is room for
/// servers that do not.
const MAX_OPEN: usize = 256;

/// The items of one answer.
pub(super) struct Items {
    /// What made ids begin with.
    seed: Box<str>,
    /// Tool calls so far.
    calls: u16,
    /// Characters of text so far.
    characters: u32,
    /// Any item has come.
    seen: bool,
    open: Vec<Open>,
}

/// Where words belong.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The item's place in the output.
    pub(super) item: u64,
    /// The part's place in the item.
    pub(super) part: u64,
}

impl Items {
    pub(super) fn new(seed: &str) -> Self {
        Self {
            seed: seed.into(),
            calls: 0,
            characters: 0,
            seen: false,
            open: Vec::new(),
        }
    }

    /// True once a tool was called that the client is to run.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// True where the item at a place is told whole, when it ends.
    pub(super) fn is_told_whole(&self, place: u64) -> bool {
        self.open
            .iter()
            .any(|open| open.place == place && open.kind == Kind::Other)
    }

    /// An item begins. What it holds already comes again: only the name of a call is news.
    pub(super) fn begin(
        &mut self,
        place: u64,
        json: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let item: Item<'_> = json.read();
        let kind = Kind::of(&item);
        // Some servers number all items 0.
        if let Some(before) = self.take(place, kind) {
            before.end(speech);
        }
        let mut open = Open::new(place, kind);
        if kind == Kind::Call && item.call_id.is_said() {
            open.call = self.call(&item, speech)?;
        }
        self.keep(open)
    }

    /// Words of a part, as they stream.
    pub(super) fn say(
        &mut self,
        place: Place,
        voice: Voice,
        words: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let Some(delta) = words.piece(speech.data) else {
            return Ok(());
        };
        let from = self.characters;
        self.speaking(place.item, voice)?
            .hear(voice, place.part, from)?;
        speech.out.push(self.spoken(voice, delta));
        Ok(())
    }

    /// Words of a part as they are at its end: told where none of them have streamed.
    pub(super) fn say_whole(
        &mut self,
        place: Place,
        voice: Voice,
        words: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let told = self
            .find(place.item, voice.kind())
            .is_some_and(|open| open.has_told(voice, Some(place.part)));
        if told {
            Ok(())
        } else {
            self.say(place, voice, words, speech)
        }
    }

    /// A piece of a call's arguments. While the call has no name they wait: its end has them whole.
    pub(super) fn argue(&mut self, place: u64, delta: Json<'_>, speech: &mut Speech<'_>) {
        if let Some(call) = self
            .find(place, Kind::Call)
            .and_then(|open| open.call.as_mut())
        {
            call.argue(delta, speech);
        }
    }

    /// A call's arguments as they are at their end: told where none of them have streamed.
    pub(super) fn argue_whole(&mut self, place: u64, whole: Json<'_>, speech: &mut Speech<'_>) {
        if let Some(call) = self
            .find(place, Kind::Call)
            .and_then(|open| open.call.as_mut())
            .filter(|call| !call.told)
        {
            call.argue(whole, speech);
        }
    }

    /// A source for the text of a part.
    pub(super) fn cite(&mut self, place: Place, source: Json<'_>, speech: &mut Speech<'_>) {
        let mut from = self.characters;
        if let Some(open) = self.find(place.item, Kind::Message) {
            open.cited = true;
            from = open
                .texts()
                .find(|told| told.index == place.part)
                .map_or(from, |told| told.from);
        }
        speech.citation(source, from);
    }

    /// The answer is complete, and this was its output: told as far as it has not been. Some
    /// servers send it empty.
    pub(super) fn complete(
        &mut self,
        output: Json<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<(), DecodeError> {
        let untold = !self.seen;
        for (place, json) in (0..).zip(output.list()) {
            let kind = Kind::of(&json.read());
            if untold || self.find(place, kind).is_some() {
                self.end(place, json, speech)?;
            }
        }
        if self
            .open
            .iter()
            .any(|open| open.kind == Kind::Call && open.call.is_none())
        {
            return Err(malformed("a tool call has no name"));
        }
        self.open.drain(..).for_each(|open| open.end(speech));
        Ok(())
    }

    /// The next call, if the item has a name for it.
    fn call(
        &mut self,
        item: &Item<'_>,
        speech: &mut Speech<'_>,
    ) -> Result<Option<Call>, DecodeError> {
        let Some(name) = item.name.piece(speech.data) else {
            return Ok(None);
        };
        let index = self.calls;
        self.calls = index
            .checked_add(1)
            .ok_or_else(|| malformed("more tool calls than can be counted"))?;
        let id = item
            .call_id
            .piece(speech.data)
            .unwrap_or_else(|| made_call_id(&self.seed, 0, index));
        let custom = item
            .kind
            .text()
            .is_some_and(|kind| kind == "custom_tool_call");
        speech.out.push(Event::ToolCall(Box::new(ToolCall {
            choice: 0,
            index,
            id,
            name,
            signature: None,
            custom,
        })));
        Ok(Some(Call {
            number: index,
            told: false,
        }))
    }

    fn spoken(&mut self, voice: Voice, delta: ByteString) -> Event {
        match voice {
            Voice::Text => {
                let characters = u32::try_from(delta.chars().count()).unwrap_or(u32::MAX);
                self.characters = self.characters.saturating_add(characters);
                Event::Text { choice: 0, delta }
            }
            Voice::Refusal => Event::Refusal { choice: 0, delta },
            Voice::Summary | Voice::Thought => Event::Reasoning { choice: 0, delta },
        }
    }

    /// The open item that speaks, which begins with its words where nobody has said that it does.
    fn speaking(&mut self, place: u64, voice: Voice) -> Result<&mut Open, DecodeError> {
        if self.find(place, voice.kind()).is_none() {
            self.keep(Open::new(place, voice.kind()))?;
        }
        self.find(place, voice.kind())
            .ok_or_else(|| malformed("an item without a place"))
    }

    fn find(&mut self, place: u64, kind: Kind) -> Option<&mut Open> {
        self.open
            .iter_mut()
            .rev()
            .find(|open| open.place == place && open.kind == kind)
    }

    fn take(&mut self, place: u64, kind: Kind) -> Option<Open> {
        let at = self
            .open
            .iter()
            .position(|open| open.place == place && open.kind == kind)?;
        Some(self.open.remove(at))
    }

    fn keep(&mut self, open: Open) -> Result<(), DecodeError> {
        if self.open.len() == MAX_OPEN {
            return Err(malformed(format!(
                "more than {MAX_OPEN} items are open at once"
            )));
        }
        self.seen = true;
        self.open.push(open);
        Ok(())
    }
}
