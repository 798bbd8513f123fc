//! Open items: what kind an item is, and which of its content was emitted.

use smallvec::SmallVec;

use super::super::super::shape::{Item, Json, malformed};
use super::super::sink::EventSink;
use crate::model::event::Event;
use crate::wire::DecodeError;

/// Maximum number of parts of one item.
const MAX_PARTS: usize = 4096;

/// An item that has started and not ended.
pub(super) struct OpenItem {
    /// The index in the output.
    pub(super) output_index: u64,
    pub(super) kind: ItemKind,
    /// The parts whose text was emitted.
    pub(super) emitted: SmallVec<[EmittedPart; 2]>,
    /// True if its sources were emitted.
    pub(super) cited: bool,
    /// The tool call, once its name is known.
    pub(super) call: Option<Call>,
}

/// The kind of an item.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    Message,
    Reasoning,
    Call,
    /// An item without a normalized form, usually a tool that the provider runs.
    Other,
}

/// The kind of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum TextKind {
    /// Text of the answer.
    Text,
    /// A refusal.
    Refusal,
    /// A summary of reasoning.
    Summary,
    /// Reasoning itself.
    Reasoning,
}

/// A part whose text was emitted.
pub(super) struct EmittedPart {
    pub(super) text_kind: TextKind,
    /// The index in the item.
    pub(super) index: u64,
    /// Number of characters of text before it.
    pub(super) from: u32,
}

/// A tool call that was emitted.
#[derive(Clone, Copy)]
pub(super) struct Call {
    pub(super) number: u16,
    /// True if arguments were emitted.
    pub(super) emitted: bool,
}

impl OpenItem {
    pub(super) fn new(output_index: u64, kind: ItemKind) -> Self {
        Self {
            output_index,
            kind,
            emitted: SmallVec::new(),
            cited: false,
            call: None,
        }
    }

    /// Returns true if text of this kind was emitted, for this part or, with `None`, for any.
    pub(super) fn has_emitted(&self, text_kind: TextKind, part: Option<u64>) -> bool {
        self.emitted
            .iter()
            .rev()
            .any(|it| it.text_kind == text_kind && part.is_none_or(|part| part == it.index))
    }

    /// Returns true if a part was emitted. `indexes` are the indexes in the item of the parts of
    /// its kind, and `number` its position among them. Some servers use other indexes in their
    /// events: then the number of emitted parts decides.
    pub(super) fn has_emitted_part(
        &self,
        text_kind: TextKind,
        indexes: &[u64],
        number: usize,
    ) -> bool {
        let emitted = || {
            self.emitted
                .iter()
                .filter(|part| part.text_kind == text_kind)
        };
        if emitted().all(|it| indexes.binary_search(&it.index).is_ok()) {
            return indexes
                .get(number)
                .is_some_and(|index| self.has_emitted(text_kind, Some(*index)));
        }
        number < emitted().count()
    }

    /// Records that a part is emitted, with `from` characters of text before it.
    pub(super) fn record_part(
        &mut self,
        text_kind: TextKind,
        index: u64,
        from: u32,
    ) -> Result<(), DecodeError> {
        if self.has_emitted(text_kind, Some(index)) {
            return Ok(());
        }
        // Bounds the memory for a server that uses a new index in every event.
        if self.emitted.len() == MAX_PARTS {
            return Err(malformed(format!(
                "an item has more than {MAX_PARTS} parts"
            )));
        }
        self.emitted.push(EmittedPart {
            text_kind,
            index,
            from,
        });
        Ok(())
    }

    /// Returns the emitted parts with text of the answer.
    pub(super) fn texts(&self) -> impl Iterator<Item = &EmittedPart> {
        self.emitted
            .iter()
            .filter(|part| part.text_kind == TextKind::Text)
    }

    /// Ends the item: emits the end of its call.
    pub(super) fn end(self, sink: &mut EventSink<'_>) {
        sink.out.extend(self.call.map(|call| Event::ToolCallEnd {
            choice: 0,
            index: call.number,
        }));
    }
}

impl Call {
    /// Emits arguments. They are a string, but some servers send the object itself.
    pub(super) fn add_arguments(&mut self, json: Json<'_>, sink: &mut EventSink<'_>) {
        let object = || json.raw().starts_with('{').then(|| json.slice(sink.data));
        if let Some(delta) = json.piece(sink.data).or_else(object) {
            self.emitted = true;
            sink.out.push(Event::ToolArguments {
                choice: 0,
                index: self.number,
                delta,
            });
        }
    }
}

impl TextKind {
    /// Returns the kind of item that contains such text.
    pub(super) fn kind(self) -> ItemKind {
        match self {
            Self::Text | Self::Refusal => ItemKind::Message,
            Self::Summary | Self::Reasoning => ItemKind::Reasoning,
        }
    }
}

impl ItemKind {
    pub(super) fn from_item(item: &Item<'_>) -> Self {
        match item.kind.text().as_deref() {
            Some("message") => Self::Message,
            Some("reasoning") => Self::Reasoning,
            Some("function_call" | "custom_tool_call") => Self::Call,
            _ => Self::Other,
        }
    }
}
