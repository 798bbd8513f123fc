//! An item that has begun and not ended: what it is, and what of it has been told.

use smallvec::SmallVec;

use super::super::shape::{Item, Json, malformed};
use super::super::speech::Speech;
use crate::model::event::Event;
use crate::wire::DecodeError;

/// The most parts that one item may have.
const MAX_PARTS: usize = 4096;

/// An item under way.
pub(super) struct Open {
    /// Its place in the output.
    pub(super) place: u64,
    pub(super) kind: Kind,
    /// The parts that have been told.
    pub(super) told: SmallVec<[Told; 2]>,
    /// Its sources have been told.
    pub(super) cited: bool,
    /// The call that it is, once it has a name.
    pub(super) call: Option<Call>,
}

/// What an item is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call,
    /// Something with no normalized form: a tool that the provider runs, mostly.
    Other,
}

/// The words of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Voice {
    /// The answer's text.
    Text,
    /// A refusal.
    Refusal,
    /// A summary of reasoning.
    Summary,
    /// Reasoning itself.
    Thought,
}

/// A part that has been told.
pub(super) struct Told {
    pub(super) voice: Voice,
    /// Its place in the item.
    pub(super) index: u64,
    /// Characters of text before it.
    pub(super) from: u32,
}

/// A call that has been told.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u16,
    /// Arguments of it, too.
    pub(super) told: bool,
}

impl Open {
    pub(super) fn new(place: u64, kind: Kind) -> Self {
        Self {
            place,
            kind,
            told: SmallVec::new(),
            cited: false,
            call: None,
        }
    }

    /// True where words of the voice have been told: of that part, or of any.
    pub(super) fn has_told(&self, voice: Voice, part: Option<u64>) -> bool {
        self.told
            .iter()
            .rev()
            .any(|told| told.voice == voice && part.is_none_or(|part| part == told.index))
    }

    /// True where a part has been told: the one with this number among those of its voice, which
    /// have these indexes in the item. Some servers give parts other indexes in their events: then
    /// it goes by how many have been told.
    pub(super) fn has_told_part(&self, voice: Voice, indexes: &[u64], number: usize) -> bool {
        let told = || self.told.iter().filter(|told| told.voice == voice);
        if told().all(|it| indexes.binary_search(&it.index).is_ok()) {
            return indexes
                .get(number)
                .is_some_and(|index| self.has_told(voice, Some(*index)));
        }
        number < told().count()
    }

    /// Words of a part are being told, with so many characters of text before them.
    pub(super) fn hear(&mut self, voice: Voice, index: u64, from: u32) -> Result<(), DecodeError> {
        if self.has_told(voice, Some(index)) {
            return Ok(());
        }
        if self.told.len() == MAX_PARTS {
            return Err(malformed(format!("an item of more than {MAX_PARTS} parts")));
        }
        self.told.push(Told { voice, index, from });
        Ok(())
    }

    /// Its parts of text.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Told> {
        self.told.iter().filter(|told| told.voice == Voice::Text)
    }

    /// It has ended.
    pub(super) fn end(self, speech: &mut Speech<'_>) {
        speech.out.extend(self.call.map(|call| Event::ToolCallEnd {
            choice: 0,
            index: call.number,
        }));
    }
}

impl Call {
    /// Arguments are a string; some servers send the object itself.
    pub(super) fn argue(&mut self, json: Json<'_>, speech: &mut Speech<'_>) {
        let object = || json.raw().starts_with('{').then(|| json.slice(speech.data));
        if let Some(delta) = json.piece(speech.data).or_else(object) {
            self.told = true;
            speech.out.push(Event::ToolArguments {
                choice: 0,
                index: self.number,
                delta,
            });
        }
    }
}

impl Voice {
    /// What speaks in this voice.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Text | Self::Refusal => Kind::Message,
            Self::Summary | Self::Thought => Kind::Reasoning,
        }
    }
}

impl Kind {
    pub(super) fn of(item: &Item<'_>) -> Self {
        match item.kind.text().as_deref() {
            Some("message") => Self::Message,
            Some("reasoning") => Self::Reasoning,
            Some("function_call" | "custom_tool_call") => Self::Call,
            _ => Self::Other,
        }
    }
}
